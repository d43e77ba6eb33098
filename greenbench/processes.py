"""Processes that greenbench starts: each ends at once when the one that started it does, however that ends."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import IO

from greenbench import guard
from greenbench.files.unicode import IN_UTF8

BY_KERNEL = sys.platform == "linux"
"""Elsewhere a thread of the child waits for the end of the pipe from its parent."""


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process to be started: this one's, who starts it, what it prints, and ``more``."""
    return {**os.environ, **IN_UTF8, guard.PARENT: str(os.getpid()), **more}


def follow_parent(line: IO[bytes]) -> Callable[[], bytes]:
    """End this process once its parent has ended; a process that ``environment`` was made for calls it at its start.

    Args:
        line: the pipe from the parent, of which nobody else reads from now on; it is open as long as the parent lives.

    Returns:
        What waits for the parent's next line and returns it.
    """
    if BY_KERNEL:
        guard.end_with_parent(signal.SIGKILL)
        return line.readline
    received = SimpleQueue[bytes]()
    raw = os.fdopen(os.dup(line.fileno()), "rb", buffering=0)  # a buffer's lock may not be held when Python ends
    threading.Thread(target=_pass_on, args=[raw, received], daemon=True).start()
    return received.get


def _pass_on(line: IO[bytes], received: "SimpleQueue[bytes]") -> None:
    with suppress(OSError):
        for text in line:
            received.put(text)
    os._exit(1)


def run(
    command: Sequence[str], env: Mapping[str, str], order: bytes = b"", timeout_s: float | None = None
) -> "subprocess.CompletedProcess[bytes]":
    """Run a process of ours to its end, which calls ``follow_parent``.

    Args:
        command: the program and its arguments.
        env: from ``environment``.
        order: the beginning of its standard input, which stays open.
        timeout_s: time limit; None sets none.

    Returns:
        Its exit code, and what it printed on both streams.

    Raises:
        subprocess.TimeoutExpired: the process took longer, and was ended.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        line, process.stdin = process.stdin, None  # ``communicate`` would close it
        assert line is not None
        try:
            with suppress(BrokenPipeError):  # it ended before it read its order: its exit code says so
                line.write(order)
                line.flush()
            out, err = process.communicate(timeout=timeout_s)
        except BaseException:
            process.kill()
            raise
        finally:
            with suppress(BrokenPipeError):
                line.close()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def last_words(done: "subprocess.CompletedProcess[bytes]") -> str:
    """Return the last line that a process wrote on standard error, or its exit code where it wrote none."""
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"
