"""The one reader of files that others wrote: what a file or a line of it holds, or what is wrong with it and where."""

import gzip
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path
from typing import Any, BinaryIO

from greenbench.errors import StoreError
from greenbench.files.forms import Form, kind
from greenbench.files.limits import PREFIX, limits
from greenbench.files.unicode import from_json

Row = dict[str, Any]


@dataclass(frozen=True)
class FileFault:
    """What is wrong with a file, or with one line of it, which is left out.

    Attributes:
        line: its number, from 1; None where it is about the whole file.
        what: is wrong, and what is expected.
        is_torn: the line is no JSON, as a crash or a full disk leaves it.
    """

    line: int | None
    what: str
    is_torn: bool = False


class NotJsonError(ValueError):
    """The content is no JSON, as a crash or a full disk leaves it."""


def parse(content: bytes) -> Any:
    """Return what JSON holds.

    Raises:
        NotJsonError: it is not JSON in UTF-8.
        ValueError: an object in it has a key twice, or it is nested too deep.
    """
    try:
        value = from_json(content, _once)
    except RecursionError:
        raise ValueError("nested too deep") from None
    except (JSONDecodeError, UnicodeDecodeError) as error:
        raise NotJsonError(str(error)) from error
    most = limits().max_depth
    if content.count(b"[") + content.count(b"{") > most and _is_deeper(value, most):
        raise ValueError(f"nested deeper than {most}")
    return value


def parse_object(content: bytes, form: Form | None = None) -> Row:
    """Return the JSON object that a line or a whole file is.

    Args:
        content: JSON in UTF-8.
        form: what the object must be; None takes any.

    Raises:
        NotJsonError: it is not JSON in UTF-8.
        ValueError: it is no object of this form, has a key twice, or is nested too deep.
    """
    try:
        value = parse(content)
    except NotJsonError as error:
        raise NotJsonError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object is expected, not {kind(value)}")  # noqa: TRY004 (one kind for all faults)
    if form is not None and (found := form(value)):
        raise ValueError("; ".join(found))
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for n, (key, _) in enumerate(pairs) if any(key == other for other, _ in pairs[:n]))
        raise ValueError(f"the key {twice!r} is given twice")
    return found


def _is_deeper(value: Any, depth: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    return depth == 0 or any(
        _is_deeper(one, depth - 1) for one in (value.values() if isinstance(value, dict) else value)
    )


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading; what is no plain file is refused, for a pipe would be waited for.

    Raises:
        StoreError: it cannot be read, or is no file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise StoreError(f"{path}: cannot be read: it is not a regular file")
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def read_whole(path: Path, most: int | None = None) -> bytes:
    """Return the bytes of a file that is read in one piece.

    Args:
        path: the file.
        most: bytes that it may have; by default ``Limits.max_text_bytes``.

    Raises:
        StoreError: it cannot be read, or is larger.
    """
    most = most or limits().max_text_bytes
    try:
        with open_file(path) as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > most:
        raise StoreError(f"{path}: larger than {most / 1e6:.0f} MB, more than such a file can have")
    return content


def read_object(path: Path, form: Form | None = None, most: int | None = None) -> dict[str, Any]:
    """Return the JSON object that is a whole file.

    Args:
        path: the file.
        form: what the object must be.
        most: bytes that it may have; by default ``Limits.max_text_bytes``.

    Raises:
        StoreError: it cannot be read, or is no JSON object of this form.
    """
    content = read_whole(path, most)
    try:
        return parse_object(content, form)
    except ValueError as error:
        raise StoreError(f"{path}: {error}") from error


def numbered(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """Yield each line of a file with its number, None for one that is longer than ``Limits.max_line_bytes``.

    A file that ends in ``.gz`` is unpacked meanwhile; the limits are those of what is unpacked.

    Raises:
        StoreError: the file cannot be read, is no file, or has more bytes or lines than ``Limits`` allow.
    """
    most = limits()
    try:
        with open_file(path) as packed, _unpacked(path, packed) as stream:
            number, n_bytes = 0, 0
            while line := stream.readline(most.max_line_bytes + 1):
                number, n_bytes = number + 1, n_bytes + len(line)
                is_longer = len(line) > most.max_line_bytes
                while is_longer and not line.endswith(b"\n") and line:
                    line = stream.readline(most.max_line_bytes + 1)
                    n_bytes += len(line)
                _refuse_more(path, number, n_bytes)
                yield number, None if is_longer else line
    except (OSError, EOFError, zlib.error) as error:
        raise StoreError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _unpacked(path: Path, stream: BinaryIO) -> BinaryIO | gzip.GzipFile:
    return gzip.GzipFile(fileobj=stream) if path.suffix == ".gz" else stream


def _refuse_more(path: Path, n_lines: int, n_bytes: int) -> None:
    most = limits()
    if n_lines > most.max_file_lines:
        raise StoreError(f"{path}: more than {most.max_file_lines} lines: raise {PREFIX}FILE_LINES to read them")
    if n_bytes > most.max_file_bytes:
        raise StoreError(f"{path}: more than {most.max_file_bytes / 1e6:.0f} MB: raise {PREFIX}FILE_BYTES to read them")


def judged(form: Form | None, number: int, line: bytes | None) -> Row | FileFault | None:
    """Return the row that a line holds, what is wrong with it, or None where it is blank.

    Args:
        form: what the row must be; None takes any object.
        number: of the line.
        line: None where it is too long.
    """
    if line is None:
        return FileFault(number, f"longer than {limits().max_line_bytes / 1e6:.0f} MB, which no line is")
    if not line.strip():
        return None
    try:
        return parse_object(line, form)
    except NotJsonError:
        return FileFault(number, "torn line", is_torn=True)
    except ValueError as error:
        return FileFault(number, str(error))


def lines(path: Path, form: Form | None) -> Iterator[tuple[int, Row | FileFault]]:
    """Yield the number of each line of a file that is not blank, and its row or what is wrong with it.

    Args:
        path: a file of JSON lines.
        form: what a row must be; None takes any object.

    Raises:
        StoreError: the file cannot be read, is no file, or is larger than ``Limits`` allow.
    """
    for number, line in numbered(path):
        found = judged(form, number, line)
        if found is not None:
            yield number, found


def skipped(path: Path, first: FileFault, n_faults: int) -> str:
    """Say in one line what of a file is left out."""
    others = "" if n_faults == 1 else f", and {n_faults - 1} more lines of this file"
    return f"{path}:{first.line}: {first.what} skipped{others}; `greenbench validate` lists them"
