"""Atomic writing: next to its place and then renamed, so that a file or folder is complete or as it was."""

import ctypes
import hashlib
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import psutil

_UNFINISHED = re.compile(r"\..*\.(?P<host>[0-9a-f]{6})-(?P<pid>\d+)-[0-9a-f]{8}\.tmp")

OLD_S = 24 * 3600.0
"""What another machine left unfinished so long ago is taken away."""

_SPACE = Path("/proc/self/ns/pid")

_AT_FDCWD, _EXCHANGE, _SWAP = -100, 2, 2  # linux/fs.h RENAME_EXCHANGE; Darwin's sys/stdio.h RENAME_SWAP


def write(path: Path, content: str | bytes) -> None:
    """Write a file: at every moment its place has the old content or the new, also after a crash.

    Args:
        path: a link is followed; what is no file, such as a pipe, is written to directly.
        content: text is written in UTF-8.

    Raises:
        OSError: it cannot be written; the place is as it was.
    """
    with file(path) as aside:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def file(path: Path) -> Iterator[Path]:
    """Yield where to write a file, which takes its place once it is complete and on the disk.

    Raises:
        OSError: it cannot be written; the place is as it was.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    place = path.resolve()
    _clear(place)
    aside = _unfinished(place)
    try:
        yield aside
        if place.exists():
            shutil.copymode(place, aside)
        _flush(aside)
        aside.replace(place)
        _flush(place.parent)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def folder(path: Path, keep: bool = False, exchange: bool = True) -> Iterator[Path]:
    """Yield an empty folder, which takes its place once it is complete; what was there before is then removed.

    Where the system can exchange two folders in one step (Linux, macOS), a reader sees the old one or the new one.
    Elsewhere, and for a mount point or the working directory, files are moved one by one in the order in which they
    were written.

    Args:
        path: made where it is missing.
        keep: begin with links to the files that are there, which must be replaced and never changed.
        exchange: False moves the files one by one, for a folder into which others may write at the same time.

    Raises:
        OSError: it cannot be written; the place is as it was.
    """
    place = path.resolve()
    place.parent.mkdir(parents=True, exist_ok=True)
    _clear(place)
    aside = _unfinished(place)
    try:
        aside.mkdir()
        if keep and place.is_dir():
            shutil.copytree(place, aside, symlinks=True, copy_function=link, dirs_exist_ok=True)
        yield aside
        _take_place(aside, place, exchange)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def rename(aside: Path, place: Path) -> None:
    """Give a complete folder a name that none has, once its files are on the disk.

    Raises:
        OSError: it cannot be written, or something is there.
    """
    _flush_all(aside)
    aside.rename(place)
    _flush(place.parent)


def link(source: Path | str, target: Path | str) -> Path | str:
    """Link a file, or copy it where the file system has no links."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target)
    return target


def _take_place(aside: Path, place: Path, exchange: bool) -> None:
    """Put a folder where another one, or none, is; ``aside`` is left with what was there."""
    _flush_all(aside)
    if not place.exists():
        aside.rename(place)
    elif not exchange or Path.cwd().is_relative_to(place) or not _exchange(aside, place):
        _move(aside, place)
    _flush(place.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; return whether the system can."""
    sys.audit("greenbench.exchange", str(one), str(other))
    if os.name != "posix":
        return False
    libc = ctypes.CDLL(None)
    if hasattr(libc, "renameat2"):
        done = libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE)
    elif hasattr(libc, "renamex_np"):
        done = libc.renamex_np(os.fsencode(one), os.fsencode(other), _SWAP)
    else:
        return False
    return bool(done == 0)


def _move(aside: Path, place: Path) -> None:
    """Move files one by one, the last written last, and remove what is no longer there."""
    made = _files(aside)
    names = {path.relative_to(aside) for path in made}
    gone = [path for path in _files(place) if path.relative_to(place) not in names]
    for path in sorted(made, key=lambda path: path.lstat().st_mtime_ns):
        target = place / path.relative_to(aside)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    for old in gone:
        old.unlink(missing_ok=True)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]


# --- unfinished files ------------------------------------------------------------------------------------


def _unfinished(place: Path) -> Path:
    """Name what is not finished: hidden, and by the process that writes it."""
    return place.with_name(f"{_prefix(place)}{_here()}-{os.getpid()}-{uuid4().hex[:8]}.tmp")


def _prefix(place: Path) -> str:
    return f".{place.name[:40]}."


def _here() -> str:
    """Name this machine, or this container, among those that may share the folder."""
    space = str(_SPACE.readlink()) if _SPACE.is_symlink() else ""
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:6]


def _clear(place: Path) -> None:
    """Remove what processes that were killed left unfinished of this file or folder."""
    if not place.parent.is_dir():
        return
    with os.scandir(place.parent) as found:
        names = [entry.name for entry in found if entry.name.startswith(_prefix(place))]
    for name in names:
        match = _UNFINISHED.fullmatch(name)
        if match and _is_left(place.with_name(name), match["host"], int(match["pid"])):
            _remove(place.with_name(name))


def _is_left(path: Path, host: str, pid: int) -> bool:
    """Whether no process will finish it: its process is gone, or it is of another machine and old."""
    if host == _here():
        return not psutil.pid_exists(pid)
    with suppress(OSError):
        return time.time() - path.stat().st_mtime > OLD_S
    return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush_all(folder: Path) -> None:
    """Flush what was written into a folder; what is linked was flushed before."""
    for made in _files(folder):
        if made.is_file() and made.lstat().st_nlink == 1:
            _flush(made)


def _flush(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # some file systems cannot flush a folder
            raise
    finally:
        os.close(descriptor)
