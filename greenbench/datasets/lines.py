"""Lines of the text files that list utterances: numbered, within limits, in UTF-8; faults are named by their line."""

import codecs
import stat
from collections.abc import Iterator
from pathlib import Path

from greenbench.errors import InputError, MissingError
from greenbench.files import readback
from greenbench.files.limits import limits
from greenbench.files.pointers import stand_in

Stamp = tuple[int, int]
"""Bytes of a file, and when it was changed in nanoseconds."""


def stamp(path: Path, what: str, remedy: str) -> Stamp:
    """Return what changes where a file does, which can be opened.

    Args:
        path: the file.
        what: it is, for the message.
        remedy: what to do where it cannot be opened.

    Raises:
        MissingError: it cannot be opened.
    """
    try:
        found = path.stat()
        if stat.S_ISFIFO(found.st_mode):  # which is read once, and waited for
            raise OSError(0, "it is a pipe")
        path.open("rb").close()
    except OSError as error:
        raise MissingError(f"{path}: {what} cannot be opened ({error.strerror}). {remedy}") from error
    return found.st_size, found.st_mtime_ns


def lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield each line of a file as it is, its end included, with where it stands: ``file:line``.

    Raises:
        InputError: a line is too long; ``file:line: problem``.
        StoreError: the file cannot be read, or is larger than ``Limits`` allow.
    """
    for number, raw in readback.numbered(path):
        where = f"{path}:{number}"
        if raw is None:
            raise InputError(f"{where}: the line is longer than {limits().max_line_bytes / 1e6:.0f} MB")
        yield where, raw.removeprefix(codecs.BOM_UTF8 if number == 1 else b"")


def texts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the same as texts.

    Raises:
        InputError: as ``lines``, or a line is not UTF-8.
        StoreError: as ``lines``.
    """
    for where, line in lines(path):
        try:
            text = decoded(line)
        except ValueError as error:
            raise InputError(f"{where}: {error}") from error
        yield where, text


def decoded(line: bytes) -> str:
    """Return the text of a line.

    Raises:
        ValueError: it is not UTF-8, or stands in place of a file that was not fetched.
    """
    if b"\0" in line:
        raise ValueError("it looks like UTF-16: save the file as UTF-8")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        byte = line[error.start]
        raise ValueError(
            f"not UTF-8: byte 0x{byte:02x} ({bytes([byte]).decode('cp1252', 'replace')!r} in Windows-1252) at column "
            f"{error.start + 1}: save the file as UTF-8"
        ) from error
    if other := stand_in(line):
        raise ValueError(other)
    return text
