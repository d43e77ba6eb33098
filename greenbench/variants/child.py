"""A program in the cell's process tree: it is started once, answers lines with lines, and is ended with the cell."""

import os
import selectors
import subprocess
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import Signals
from typing import IO

import psutil

from greenbench.errors import ProgramError
from greenbench.files.unicode import visible
from greenbench.variants.exchange import MAX_ANSWER_BYTES, excerpt, read

GRACE_S = 2.0
"""A program that is to end is given so long after its input is closed, and so long again after it is terminated."""

LAST_LINES = 3
"""Of what a program printed to standard error, so many lines are in the reason of an error row."""


class Child:
    """A program that runs; its standard error goes to the cell's log.

    Attributes:
        process: the program's own.
        timeout_s: within which it must be ready, read a request, and answer it.
        close: ends the program, if it has not ended.
    """

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> None:
        """Start a program and wait until it says that it is ready.

        Raises:
            ProgramError: it does not start, or says something else.
        """
        self._name, self.timeout_s, self._unread = Path(argv[0]).name, timeout_s, bytearray()
        pipe = subprocess.PIPE
        try:
            self.process = subprocess.Popen(argv, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)
        except OSError as error:
            raise ProgramError(f"{self._name} does not start: {error.strerror or error}") from error
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._logger = threading.Thread(target=_log, args=(self.process.stderr, self._last), daemon=True)
        self._logger.start()
        self.close = weakref.finalize(self, _end, self.process)  # at the latest when this process ends
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in, self._out = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self._in, False)
        line = self._receive("is not ready")
        content = read(line)
        if not isinstance(content, dict) or content.get("ready") is not True:
            raise self.failed(f'printed {excerpt(line)} where {{"ready": true}} is expected, its first line')

    def ask(self, line: bytes) -> bytes:
        """Send a line and return the line that answers it, without its end.

        Raises:
            ProgramError: it has ended, or does not answer in time.
        """
        self._send(line)
        return self._receive("has not answered")

    def failed(self, what: str) -> ProgramError:
        """Return the error of what a program did, with its last words."""
        said = " | ".join(self._last)
        return ProgramError(f"{self._name} {what}" + (f"; its last lines: {said}" if said else ""))

    def _send(self, line: bytes) -> None:
        left, deadline = memoryview(line), time.monotonic() + self.timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._in, selectors.EVENT_WRITE)
            while left:
                if not selector.select(deadline - time.monotonic()):
                    raise self._silent("has not read a request")
                try:
                    left = left[os.write(self._in, left) :]
                except OSError:
                    raise self._ended() from None

    def _receive(self, silence: str) -> bytes:
        deadline, searched = time.monotonic() + self.timeout_s, 0
        with selectors.DefaultSelector() as selector:
            selector.register(self._out, selectors.EVENT_READ)
            while (end := self._unread.find(b"\n", searched)) < 0:
                searched = len(self._unread)
                if not selector.select(deadline - time.monotonic()):
                    raise self._silent(silence)
                chunk = os.read(self._out, 1 << 16)
                if not chunk:
                    raise self._ended()
                self._unread += chunk
                if len(self._unread) > MAX_ANSWER_BYTES:
                    raise self.failed(f"printed a line of more than {MAX_ANSWER_BYTES} bytes")
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        return line

    def _silent(self, what: str) -> ProgramError:
        return self.failed(f"{what} for {self.timeout_s:g} s (timeout_s). Does it flush each line that it prints?")

    def _ended(self) -> ProgramError:
        """Say how a program ended that should not have; one that only closed its pipes runs on until the cell ends."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE_S)
        self._logger.join(GRACE_S)
        code = self.process.returncode
        if code is None:
            return self.failed("closed its input or output")
        killed = -code in set(Signals)
        return self.failed(f"was killed by {Signals(-code).name}" if killed else f"ended early with exit code {code}")


def _log(stream: IO[bytes], last: "deque[str]") -> None:
    """Pass on what a program prints to standard error, and keep its last lines."""
    with stream:
        for line in iter(lambda: stream.readline(1 << 16), b""):
            with suppress(OSError):
                os.write(2, line)
            if text := " ".join(line.decode(errors="replace").split()):
                last.append(visible(text)[:300])


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a program and what it started: its input is closed, then it is terminated, then killed."""
    tree = _tree(process.pid)
    with suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    for stop in (psutil.Process.terminate, psutil.Process.kill):
        if not _has_ended(process):
            tree = [*tree, *_tree(process.pid)]
            _each(stop, tree)
    _each(psutil.Process.kill, tree)
    _has_ended(process)
    if process.stdout is not None:
        process.stdout.close()


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _tree(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants; none where it has ended."""
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        return [*root.children(recursive=True), root]
    return []


def _each(stop: Callable[[psutil.Process], None], tree: Sequence[psutil.Process]) -> None:
    for process in tree:
        with suppress(psutil.Error):  # it has ended, and its number may be another's: psutil compares when it began
            stop(process)
