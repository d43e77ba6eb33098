"""One cell's process, seen from the parent: started, listened to in one's sleep, and accounted for."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter

from greenbench import store
from greenbench.plan import Job
from greenbench.suite import build_protocol
from greenbench.unicode import IN_UTF8, from_json

Observer = Callable[[str, Mapping[str, Any]], None]
"""Told what happens: ``plan``, ``stage``, ``missing``, ``warning``, ``cell``, ``phase``, ``row``, ``power``,
``page``; it may print."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",  # torch, CTranslate2, ONNX Runtime
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",  # tokenizers
)


def run_cell(folder: Path, job: Job, missing: str | None, observe: Observer) -> None:
    """Run one cell in a process of its own, to its end; a death without a row of its own becomes one.

    Args:
        folder: of the run; rows go there.
        job: the cell.
        missing: why it cannot run, where data or weights are missing.
        observe: told what happens.

    Raises:
        StoreError: a row could not be written; the process is ended.
    """
    if missing is not None:
        _record_failure(folder, job, missing, observe)
        return
    with tempfile.TemporaryFile() as log:
        process = _start(job, log)
        alarm = threading.Timer(job.suite.timeout_s, _kill, [process])
        alarm.start()
        try:
            finished = _converse(process, folder, job, observe)
            process.wait()
        finally:
            timed_out = alarm.finished.is_set()
            alarm.cancel()
            _end(process)
        if not finished:
            reason = f"took longer than timeout_s: {job.suite.timeout_s:g}" if timed_out else _cause(process, log)
            _record_failure(folder, job, reason, observe)
        if not finished or process.returncode:
            _keep_log(folder, job, log)


def _start(job: Job, log: IO[bytes]) -> "subprocess.Popen[str]":
    """Start the worker in a process group of its own, with the suite's thread count, and hand it its job.

    The job is JSON in ASCII: what no encoding has, such as a byte of a path that is not UTF-8, arrives as it was.
    """
    threads = dict.fromkeys(THREAD_VARIABLES, str(job.suite.threads))
    process = subprocess.Popen(
        [sys.executable, "-m", "greenbench.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        encoding="utf-8",
        errors="backslashreplace",
        env={**os.environ, **IN_UTF8, **threads, "HF_HUB_OFFLINE": "1"},
        start_new_session=True,
    )
    _tell(process, json.dumps(TypeAdapter(Job).dump_python(job, mode="json")))
    return process


def _tell(process: "subprocess.Popen[str]", line: str) -> None:
    """Send a line to the worker; one that has died meanwhile is noticed when its output ends."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write(line + "\n")
        process.stdin.flush()


def _converse(process: "subprocess.Popen[str]", folder: Path, job: Job, observe: Observer) -> bool:
    """Store what the worker sends, blocked on the pipe in between.

    Returns:
        Whether the cell is accounted for: every repeat measured, or a row that says why not.
    """
    assert process.stdout is not None
    n_measured, explained = 0, False
    for message in filter(None, map(_message, process.stdout)):
        if message["kind"] == "hypotheses":
            store.append(folder, message["rows"], store.HYPOTHESES)
        elif message["kind"] == "window":
            store.append(folder, [message["row"]], store.WINDOWS)
        elif message["kind"] == "overhead":
            store.amend_run(folder, harness_overhead={n: s for n, s in message.items() if n != "kind"})
        elif message["kind"] == "record":
            store.append(folder, [message["row"]])
            n_measured += message["row"]["status"] == "ok"
            explained |= message["row"]["status"] != "ok"
            observe("row", message["row"])
        else:
            observe(message["kind"], message)
        if message.get("ack"):
            _tell(process, "")
    return explained or n_measured == build_protocol(job.suite.protocol).repeats


def _message(line: str) -> dict[str, Any] | None:
    """Return the message that a line holds; None for one that a kill cut off, or that is none of ours."""
    try:
        message = from_json(line.encode(errors="backslashreplace"))
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) and isinstance(message.get("kind"), str) else None


def _kill(process: "subprocess.Popen[str]") -> None:
    """End the worker and all its children."""
    if not hasattr(os, "killpg"):  # Windows has no process groups
        process.kill()
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _end(process: "subprocess.Popen[str]") -> None:
    """Make sure that nothing of the worker is left: processes, zombie, pipes."""
    _kill(process)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with suppress(BrokenPipeError):  # what the worker did not live to read
            pipe.close()


def _record_failure(folder: Path, job: Job, reason: str, observe: Observer) -> None:
    from greenbench.record import to_row
    from greenbench.rows import not_measured

    row = to_row(not_measured(job, "error", reason))
    store.append(folder, [row])
    observe("row", row)


def _cause(process: "subprocess.Popen[str]", log: IO[bytes]) -> str:
    """Say how a worker died without a word of its own."""
    last = _tail(log)
    said = f"; its last words: {last}" if last else ""
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        hint = " (out of memory, or killed from outside)" if name == "SIGKILL" else ""
        return f"the worker was killed by {name}{hint}{said}"
    return f"the worker ended early with exit code {process.returncode}{said}"


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return " ".join(lines[-1].split())[:300] if lines else ""


def _keep_log(folder: Path, job: Job, log: IO[bytes]) -> None:
    """Keep what a failed worker printed; a full disk must not hide the failure itself."""
    log.seek(0)
    with suppress(OSError):
        logs = folder / "logs"
        logs.mkdir(exist_ok=True)
        (logs / f"cell-{job.order_index}.log").write_bytes(log.read())
