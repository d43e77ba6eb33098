"""The connection to one cell's process: it is started, its messages are awaited without polling, and it is ended."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Final

import psutil
from pydantic import TypeAdapter

from greenbench import guard, processes
from greenbench.files.unicode import for_terminal
from greenbench.harness import messages
from greenbench.harness.job import Job
from greenbench.meters.cputime import HARNESS

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",  # torch, CTranslate2, ONNX Runtime
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",  # tokenizers
)

HAS_GUARD = processes.BY_KERNEL
"""Elsewhere a worker leads a process group of its own, and what leaves that group is not found."""

DRAIN_S = 1.0
"""What a worker wrote before its end is read in less, though somebody else may still hold its pipe."""

END_S = 5.0
"""A guard ends all processes of a cell in less, unless it was stopped."""

LOG_BYTES = 10_000_000
"""Of what a cell prints: the first half of so much is kept, and the last."""

_CHUNK = 1 << 16

ENDED: Final = object()
"""What ``receive`` returns once the process has ended and all that it sent was read."""


class Log:
    """What a worker prints: its beginning and its end, in bounded memory."""

    def __init__(self, kept: int = LOG_BYTES) -> None:
        self._half, self._head, self._tail, self._n_bytes = kept // 2, bytearray(), bytearray(), 0

    def write(self, chunk: bytes) -> None:
        """Take in what was printed."""
        self._n_bytes += len(chunk)
        room = self._half - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        if len(self._tail) > 2 * self._half:
            del self._tail[: -self._half]

    def text(self) -> str:
        """Return what is kept, and how much is missing between the halves; control characters are escapes."""
        tail = self._tail[-self._half :]
        n_lost = self._n_bytes - len(self._head) - len(tail)
        gap = f"\n[{n_lost} bytes are left out here]\n" if n_lost else ""
        both = (part.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n") for part in (self._head, tail))
        return gap.join(map(for_terminal, both))

    def last_line(self) -> str:
        """Return the last words, in one line of at most 300 characters."""
        lines = bytes(self._tail or self._head)[-_CHUNK:].decode(errors="replace").split("\n")
        return next((for_terminal(" ".join(line.split()))[:300] for line in reversed(lines) if line.strip()), "")


class Connection:
    """Both directions of the line to a worker; two threads read its pipes, asleep while nothing comes."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process, self.log = process, Log()
        self._queue: queue.Queue[bytes | object] = queue.Queue(maxsize=1)
        self._closed = threading.Event()
        self._reader = self._thread(self._read)
        self._logger = self._thread(self._keep_log)
        self._watcher = self._thread(self._watch)

    def send(self, line: bytes = b"") -> None:
        """Send a line; a worker that has died meanwhile is noticed by ``receive``."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.write(line + b"\n")
            self.process.stdin.flush()

    def receive(self, timeout_s: float) -> bytes | object | None:
        """Return the next line, ``ENDED``, or None where neither comes in so many seconds, which are above 0."""
        with suppress(queue.Empty):
            return self._queue.get(timeout=timeout_s)
        return None

    def close(self) -> None:
        """End the process and all that it left; each pipe is closed by its thread once no process has it open."""
        self._closed.set()
        _end(self.process, self._watcher)
        for thread in (self._reader, self._logger):
            thread.join(DRAIN_S)
        assert self.process.stdin is not None
        with suppress(OSError):  # what the worker did not live to read
            self.process.stdin.close()

    def _thread(self, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def _put(self, item: bytes | object) -> None:
        while not self._closed.is_set():
            with suppress(queue.Full):
                self._queue.put(item, timeout=DRAIN_S)
                return

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in lines(stream):
                self._put(line)

    def _keep_log(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            while chunk := _chunk(stream):
                self.log.write(chunk)

    def _watch(self) -> None:
        self.process.wait()
        self._reader.join(DRAIN_S)
        self._logger.join(DRAIN_S)
        self._put(ENDED)


def lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield lines without their ends; one that is seen to be no message is cut where it is seen."""
    begun = bytearray()
    while chunk := _chunk(stream):
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            yield bytes(begun + end)
            begun.clear()
        begun += rest
        if len(begun) > messages.MAX_BYTES or (len(begun) >= _CHUNK and not begun.startswith(messages.BEGINNING)):
            yield bytes(begun)
            begun.clear()
    if begun:
        yield bytes(begun)


def _chunk(stream: IO[bytes]) -> bytes:
    """Return what there is, and nothing at the end."""
    return stream.read1(_CHUNK)  # type: ignore[attr-defined, no-any-return]


@contextmanager
def started(job: Job) -> Iterator[Connection]:
    """Start a worker, with the suite's thread count, and hand it its job; nothing of it is left afterwards.

    The job is JSON in ASCII: what no encoding has, such as a byte of a path that is not UTF-8, arrives as it was.
    """
    threads = dict.fromkeys(THREAD_VARIABLES, str(job.suite.threads))
    guarded = [sys.executable, "-I", "-S", guard.__file__] if HAS_GUARD else []
    process = subprocess.Popen(
        [*guarded, sys.executable, "-m", "greenbench.harness.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=processes.environment(**threads, HF_HUB_OFFLINE="1", **{HARNESS: str(os.getpid())}),
        start_new_session=True,
    )
    line = Connection(process)
    try:
        line.send(json.dumps(TypeAdapter(Job).dump_python(job, mode="json")).encode())
        yield line
    finally:
        line.close()


def _end(process: "subprocess.Popen[bytes]", watcher: threading.Thread) -> None:
    """Make sure that nothing of the worker is left: its guard ends all, and is ended with all if it does not."""
    if HAS_GUARD:
        process.terminate()
        watcher.join(END_S)
        if process.poll() is None:
            _kill_tree(process.pid)
    elif hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()  # Windows has no process groups
    watcher.join(END_S)


def _kill_tree(pid: int) -> None:
    """Kill a process that does not answer, its descendants first: it may still be all that finds them."""
    deadline = time.monotonic() + END_S
    with suppress(psutil.Error):
        while (below := psutil.Process(pid).children(recursive=True)) and time.monotonic() < deadline:
            living = [process for process in below if process.status() != psutil.STATUS_ZOMBIE]
            if not living:
                break
            for process in living:
                with suppress(psutil.Error):
                    process.kill()
        psutil.Process(pid).kill()
