"""The guard of a cell (Linux): starts its worker, ends whatever the worker leaves behind, and says what there was.

It is run as a file, ``python -I -S guard.py COMMAND``, and imports nothing of ours, so that it starts in milliseconds
and weighs next to nothing; then it sleeps until the worker has ended. Orphans of the worker, in whatever session,
become its children (``prctl(2)``, PR_SET_CHILD_SUBREAPER), and it ends with the process that started it, as does
every process that calls ``end_with_parent``.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

PARENT = "GREENBENCH_PARENT_PID"
"""In the environment of a process of ours: the id of the process that started it."""

GRACE_S = 1.0
"""Helpers of libraries that end by themselves once the worker has ended are given so long."""

LOOK_S = 0.01


class _Stop(BaseException):
    """The run wants the cell ended now."""


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process; a kernel that refuses leaves it as it was."""
    ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), *[ctypes.c_ulong(0)] * 3)


def end_with_parent(number: int) -> None:
    """Let the kernel send this process a signal once its parent has ended, however that ends (PR_SET_PDEATHSIG).

    The kernel sends it at the end of the thread that started this process, which therefore waits for it. A parent that
    ended before the kernel was asked is no longer the one that ``PARENT`` names.
    """
    prctl(PR_SET_PDEATHSIG, number)
    parent = str(os.getppid())
    if os.environ.get(PARENT, parent) != parent:
        os.kill(os.getpid(), number)


def main(command: list[str]) -> None:
    """Run a worker to its end and send its exit code, and how many processes it left, as the last message."""
    signal.signal(signal.SIGTERM, _stop)
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(ignored, signal.SIG_IGN)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        end_with_parent(signal.SIGTERM)
        code = _await(_start(command))
        n_left = end_all(GRACE_S)
    except _Stop:
        end_all(0.0)
        return
    with suppress(OSError):  # the run no longer listens
        os.write(1, b'\n{"kind": "end", "returncode": %d, "n_left": %d}\n' % (code, n_left))


def _stop(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Stop


def _start(command: list[str]) -> int:
    """Start the worker in a session of its own; it does not outlive the guard."""
    os.environ[PARENT] = str(os.getpid())
    worker = os.fork()
    if worker == 0:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        end_with_parent(signal.SIGKILL)
        os.execv(command[0], command)  # noqa: S606 (the interpreter that runs this file)
    return worker


def _await(worker: int) -> int:
    """Sleep until the worker has ended, and return its exit code, or minus the signal that killed it."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == worker:
            return os.waitstatus_to_exitcode(status)


def end_all(grace_s: float) -> int:
    """Kill all descendants of this process that do not end in time; return how many there were."""
    deadline, killed = time.monotonic() + grace_s, set[int]()
    while _has_children():
        for pid in descendants() if time.monotonic() >= deadline else ():
            killed.add(pid)
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(LOOK_S)
    return len(killed)


def _has_children() -> bool:
    """Bury the children that have ended; say whether others are left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def descendants() -> list[int]:
    """Return the ids of all living processes below this one, by ``/proc``."""
    parents = dict(_parents())
    found, ring = list[int](), {os.getpid()}
    while ring:
        ring = {pid for pid, parent in parents.items() if parent in ring}
        found += ring
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 (pathlib costs more than all of this)
        with suppress(OSError, ValueError), open(f"/proc/{name}/stat", "rb") as stream:  # noqa: PTH123
            state, parent = stream.read().rpartition(b")")[2].split()[:2]  # a name may hold anything
            if state not in (b"Z", b"X"):
                yield int(name), int(parent)


if __name__ == "__main__":
    main(sys.argv[1:])
