"""Starting greenbench on a node: this file imports the standard library alone, for engines carry it to the node."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Mapping
from typing import IO, Any

PYTHON = "GREENBENCH_PYTHON"
"""In the environment of a node: the Python that has greenbench; by default the one that the engine runs on there."""

PARENT = "GREENBENCH_PARENT_PID"
"""As ``guard.PARENT``: by it the process ends with the one that started it."""

NOT_PASSED = ("OMP_NUM_THREADS",)
"""Variables that an engine sets for what it starts: a suite says how many threads there are."""

LOOK_S = 1.0
"""Who waits for a line looks up so often: Ray cancels a task by an exception, which no read of a pipe is woken by."""

GRACE_S = 15.0
"""A process that is to end is given so long to end what it has started."""


def lines(
    suite: Mapping[str, Any] | None,
    options: Mapping[str, Any],
    began: "Callable[[subprocess.Popen[bytes]], object]" = id,
) -> Generator[str, None, None]:
    """Start greenbench in the node's own environment, and yield what it sends until it has ended.

    Closing the generator ends the process. Where that ends by itself with an error, the last line says so.

    Args:
        suite: plain data; None where the node is only to say what it is.
        options: see ``node.Order``.
        began: gets the process, as it has begun.
    """
    python = os.environ.get(PYTHON) or sys.executable
    passed = {name: value for name, value in os.environ.items() if name not in NOT_PASSED}
    env = {**passed, PARENT: str(os.getpid()), "PYTHONIOENCODING": "utf-8:backslashreplace"}
    order = json.dumps({"suite": suite, **options}).encode() + b"\n"
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(  # in a session of its own, for Ctrl-C reaches it by its parent
                [python, "-m", "greenbench.fleets.node"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=env, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            yield _died(f"{python}: cannot be started: {error.strerror}. Set {PYTHON} to a Python that has greenbench")
            return
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            began(process)
            _send(process.stdin, order)
            yield from _received(process.stdout)
            if code := process.wait():
                yield _died(f"{python} ended with exit code {code}{_last_words(log)}")
        finally:
            _end(process)


def _received(pipe: IO[bytes]) -> Generator[str, None, None]:
    """Yield what arrives; an engine that interrupts this thread from within is heeded within ``LOOK_S``."""
    received: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    threading.Thread(target=_pass_on, args=[pipe, received], daemon=True).start()
    while True:
        try:
            line = received.get(timeout=LOOK_S)
        except queue.Empty:
            continue
        if line is None:
            return
        yield line.decode("utf-8", "replace")


def _pass_on(pipe: IO[bytes], received: "queue.SimpleQueue[bytes | None]") -> None:
    try:
        for line in pipe:
            received.put(line)
    except ValueError:  # it was closed
        pass
    received.put(None)


def into_file(suite: Mapping[str, Any] | None, options: Mapping[str, Any], path: str) -> None:
    """Write what ``lines`` yields into a file, each line at once."""
    with open(path, "a", encoding="utf-8") as stream:  # noqa: PTH123 (nothing but what is needed on a node)
        for line in lines(suite, options):
            stream.write(line if line.endswith("\n") else f"{line}\n")
            stream.flush()


def _send(line: IO[bytes], order: bytes) -> None:
    try:
        line.write(order)
        line.flush()
    except BrokenPipeError:  # it ended before it read its order: its exit code says so
        pass


def _died(reason: str) -> str:
    return json.dumps({"kind": "end", "status": "failed", "reason": reason})


def _last_words(log: IO[bytes]) -> str:
    """Return the last line that was printed on standard error."""
    log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
    printed = log.read().decode("utf-8", "replace").strip().splitlines()
    return f": {printed[-1][:500]}" if printed else ""


def _end(process: "subprocess.Popen[bytes]") -> None:
    """RunEnd a process in order, or at once where it takes too long."""
    process.terminate()
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        try:
            if pipe is not None:
                pipe.close()
        except BrokenPipeError:
            pass
