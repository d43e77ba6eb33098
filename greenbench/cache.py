"""The artefact cache: what takes long to make is kept by the content it was made from, and checked at each use."""

import hashlib
import json
import os
import re
import shutil
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

from greenbench.errors import InputError, MissingError, StoreError
from greenbench.files import readback, whole
from greenbench.files.forms import ANY, TEXT, each, form, record

LIMIT_GIB = 20.0
"""Default of ``GREENBENCH_CACHE_GIB``: room for some ten exports of the largest wav2vec 2.0 model."""

ABOUT = "about.json"
"""What an artefact was made from, and the SHA-256 of each of its files."""

SETTLED_S = 2.0
"""A file that was written less long ago could change again without a change of its times: FAT has steps of 2 s."""


@dataclass(frozen=True)
class Artefact:
    """One kept artefact.

    Attributes:
        path: its folder, named by the digest of ``about``.
        about: what it was made from.
        n_bytes: size of its files.
        used_s: when it was last used, seconds since 1970.
    """

    path: Path
    about: Mapping[str, Any]
    n_bytes: int
    used_s: float


def folder() -> Path:
    """Return the folder of the artefacts: in ``GREENBENCH_CACHE``, or in the user's cache folder."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("GREENBENCH_CACHE") or user_cache_dir("greenbench", False)) / "artefacts"


def artefact(about: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
    """Return the folder of an artefact; make it first if it is not in the cache, or was changed there.

    Processes that ask for the same artefact at the same time wait until it is made.

    Args:
        about: everything that decides its content, JSON types only.
        make: writes its files into a folder; what it raises is passed on and nothing is kept.

    Raises:
        MissingError: a file of the cache cannot be written.
    """
    from filelock import FileLock

    path, locks = _place(about), folder().parent / "locks"
    try:
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / path.name):
            _ensure(path, about, make)
        os.utime(path / ABOUT)
        _shrink(spare=path)
    except OSError as error:
        raise MissingError(
            f"{folder()}: the cache cannot be written ({error}). Free some space, or set GREENBENCH_CACHE."
        ) from error
    return path


def holds(about: Mapping[str, Any]) -> bool:
    """Say whether an artefact is in the cache and intact, so that asking for it makes nothing."""
    path = _place(about)
    return os.path.lexists(path) and fault(path, about) is None


def _place(about: Mapping[str, Any]) -> Path:
    return folder() / hashlib.sha256(_plain(about).encode()).hexdigest()[:24]


def _ensure(path: Path, about: Mapping[str, Any], make: Callable[[Path], None]) -> None:
    """Make an artefact unless it is in the cache and intact; warn where it is there and damaged."""
    if os.path.lexists(path):
        problem = fault(path, about)
        if problem is None:
            return
        warnings.warn(f"{path}: the cached artefact cannot be used ({problem}), so it is made again", stacklevel=4)
    _make(path, about, make)


def fault(path: Path, about: Mapping[str, Any]) -> str | None:
    """Say why an artefact cannot be used; None where it is intact and was made from ``about``.

    Args:
        path: its folder.
        about: what it should have been made from.
    """
    described = _described(path)
    if described is None:
        return f"{ABOUT} is damaged or of an earlier version"
    if _plain(described["about"]) != _plain(about):
        return "it was made from something else"
    expected, present = described["files"], _hashes(path)
    changed = sorted(name for name in {**expected, **present} if expected.get(name) != present.get(name))
    return f"{changed[0]} is not as it was written" if changed else None


def _described(path: Path) -> dict[str, Any] | None:
    """Return what ``ABOUT`` holds, None where it is not of that form."""
    try:
        return readback.read_object(path / ABOUT, _ABOUT)
    except StoreError:
        return None


_ABOUT = form(record({"about": each(ANY), "files": each(TEXT)}))


def _hashes(path: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of an artefact."""
    files = (file for file in path.rglob("*") if file.is_file() and file != path / ABOUT)
    return {file.relative_to(path).as_posix(): digest(file) for file in files}


def _plain(about: Mapping[str, Any]) -> str:
    return json.dumps(about, sort_keys=True)


def _make(path: Path, about: Mapping[str, Any], make: Callable[[Path], None]) -> None:
    """Write into a temporary folder and rename it at the end, so that half an artefact is never used."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
    with whole.folder(path) as aside:
        make(aside)
        content = {"about": about, "files": _hashes(aside)}
        (aside / ABOUT).write_text(json.dumps(content, indent=2), encoding="utf-8")


def artefacts() -> list[Artefact]:
    """Return the artefacts in the cache, the least recently used first."""
    kept = list[Artefact]()
    for about in folder().glob(f"*/{ABOUT}"):
        with suppress(FileNotFoundError):  # another process may remove one meanwhile
            kept += [_read(about.parent)] if not about.parent.name.startswith(".") else []
    return sorted(kept, key=lambda a: a.used_s)


def _read(path: Path) -> Artefact:
    n_bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    about = (_described(path) or {"about": {"build": "damaged"}})["about"]
    return Artefact(path, about, n_bytes, (path / ABOUT).stat().st_mtime)


def clear() -> int:
    """Remove everything; return how many bytes that freed."""
    freed = sum(one.n_bytes for one in artefacts())
    for kept in (folder(), _memos()):
        shutil.rmtree(kept, ignore_errors=True)
    return freed


def _shrink(spare: Path) -> None:
    """Remove the least recently used artefacts until the rest is within the limit; ``spare`` stays."""
    kept = artefacts()
    too_much = sum(a.n_bytes for a in kept) - limit_bytes()
    for old in kept:
        if too_much > 0 and old.path != spare:
            shutil.rmtree(old.path, ignore_errors=True)
            too_much -= old.n_bytes


def limit_bytes() -> float:
    """Return the limit that ``GREENBENCH_CACHE_GIB`` sets.

    Raises:
        InputError: it is no number.
    """
    given = os.environ.get("GREENBENCH_CACHE_GIB", "")
    try:
        limit = float(given or LIMIT_GIB)
    except ValueError:
        limit = nan
    if not limit >= 0:  # nor is NaN, above which nothing is
        raise InputError(f"GREENBENCH_CACHE_GIB: '{given}' is not a number of GiB")
    return limit * 2**30


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, which is computed once as long as the file is the same.

    A memo is believed where it names this file in this state (place, inode, size, times of its content and of its
    inode, which no copy keeps) and is whole; it is written only once the file has been left alone for ``SETTLED_S``.
    """
    with path.open("rb") as stream:
        state = _state(path, stream.fileno())
        memo = _memos() / hashlib.sha256(state.encode(errors="surrogateescape")).hexdigest()[:24]
        remembered = _recall(memo, state)
        if remembered:
            return remembered
        hashed = hashlib.sha256()
        while block := stream.read(1 << 24):
            hashed.update(block)
        if _is_settled(stream.fileno()) and _state(path, stream.fileno()) == state:
            _remember(memo, state, hashed.hexdigest())
    return hashed.hexdigest()


def _memos() -> Path:
    return folder().parent / "digests"


def _state(path: Path, descriptor: int) -> str:
    """Return what identifies a file in one state: it differs from that of other files, and of other states."""
    now = os.fstat(descriptor)
    parts = (path.resolve(), now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
    return "\0".join(map(str, parts))


def _is_settled(descriptor: int) -> bool:
    """Whether the last change is so long ago that another would show; a time ahead of the clock never is."""
    now = os.fstat(descriptor)
    return time.time() - max(now.st_mtime, now.st_ctime) > SETTLED_S


def _recall(memo: Path, state: str) -> str | None:
    """Return the digest that a memo holds: 64 hexadecimal digits, sealed with the state that they belong to."""
    with suppress(OSError, ValueError):
        hexdigest, seal = memo.read_text(encoding="ascii").split()
        if re.fullmatch("[0-9a-f]{64}", hexdigest) and seal == _seal(state, hexdigest):
            return hexdigest
    return None


def _remember(memo: Path, state: str, hexdigest: str) -> None:
    """Write a memo whole or not at all; where there is no room for it the file is read again next time."""
    with suppress(OSError):
        memo.parent.mkdir(parents=True, exist_ok=True)
        whole.write(memo, f"{hexdigest} {_seal(state, hexdigest)}\n")


def _seal(state: str, hexdigest: str) -> str:
    return hashlib.sha256(f"{state}\0{hexdigest}".encode(errors="surrogateescape")).hexdigest()
