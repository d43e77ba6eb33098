"""OpenVINO's core, one a process, and the signal stack that its CPU plug-in must leave as it was.

The plug-in puts an alternate signal stack of its own under the thread that loads it and unmaps it when it is released;
the stack before it comes back only where plug-ins are released in the reverse order of their loading. Python's handlers
run on that stack, so the next handled signal (Ctrl-C, a time limit) would end the process with a segmentation fault.
``docs/upstream/openvino-signal-stack.md`` is the report of it.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


class Stack(ctypes.Structure):
    """``stack_t`` of Linux, see sigaltstack(2).

    Attributes:
        sp: address; None where there is no stack.
        flags: ``SS_DISABLE`` (2) where there is none.
        size: bytes.
    """

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@cache
def core() -> Any:
    """Return the one core of this process, its plug-ins loaded; it is never released."""
    import openvino

    with preserved_signal_stack():
        made = openvino.Core()
        _ = made.available_devices  # loads the plug-ins
    return made


@contextmanager
def preserved_signal_stack() -> Iterator[None]:
    """Put this thread's alternate signal stack back at the end of the block; nothing to do but on Linux.

    For what makes cores of its own, as NNCF does. These may be released at any time after the block: a plug-in puts
    nothing back where its own stack is not the current one. Within the block a handled signal can still be fatal, so a
    process that spends long in it handles none (``compress.exported``).
    """
    before = signal_stack()
    try:
        yield
    finally:
        if before is not None:
            set_signal_stack(before)


def signal_stack() -> Stack | None:
    """Return this thread's alternate signal stack, or None where that cannot be asked (not Linux)."""
    if sys.platform != "linux":
        return None
    stack = Stack()
    _sigaltstack(None, ctypes.byref(stack))
    return stack


def set_signal_stack(stack: Stack) -> None:
    """Give this thread an alternate signal stack; its memory has to outlive its use. On Linux only."""
    _sigaltstack(ctypes.byref(stack), None)


def _sigaltstack(new: Any, old: Any) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.sigaltstack(new, old):
        raise OSError(ctypes.get_errno(), "the thread's signal stack cannot be read or set")
