"""The small files in which a kernel shows what it knows: ``/proc``, ``/sys``."""

from contextlib import suppress
from pathlib import Path


def read(path: Path) -> str:
    """Return a file's text without the white space around it.

    Raises:
        OSError: it cannot be read.
    """
    return path.read_text("utf-8", "replace").strip()


def text(path: Path) -> str:
    """Return a file's text without the white space around it; empty where it cannot be read."""
    with suppress(OSError):
        return read(path)
    return ""


def integer(path: Path) -> int:
    """Return the integer that a file holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds something else.
    """
    return int(read(path))
