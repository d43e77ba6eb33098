"""What takes long to make and can be made again: kept by the content it was made from, within a limit."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenbench.errors import InputError

LIMIT_GIB = 20.0
"""Default of ``GREENBENCH_CACHE_GIB``: room for some ten exports of the largest wav2vec 2.0 model."""

ABOUT = "about.json"


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
    """Return where artefacts lie: ``GREENBENCH_CACHE``, or the user's cache folder."""
    import pooch

    return Path(os.environ.get("GREENBENCH_CACHE") or pooch.os_cache("greenbench")) / "artefacts"


def artefact(about: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
    """Return the folder of an artefact, making it if it is not kept.

    Args:
        about: everything that decides its content, JSON types only.
        make: writes its files into a folder; what it raises is passed on and nothing is kept.
    """
    path = folder() / hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:24]
    if not (path / ABOUT).exists():
        _make(path, about, make)
        _shrink(spare=path)
    os.utime(path / ABOUT)
    return path


def _make(path: Path, about: Mapping[str, Any], make: Callable[[Path], None]) -> None:
    """Write beside the final place and move there at the end, so that half an artefact is never used."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".making-", dir=path.parent))
    try:
        make(unfinished)
        (unfinished / ABOUT).write_text(json.dumps(about, indent=2), encoding="utf-8")
        shutil.rmtree(path, ignore_errors=True)
        unfinished.replace(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def artefacts() -> list[Artefact]:
    """Return what is kept, the least recently used first."""
    kept = [_read(about.parent) for about in folder().glob(f"*/{ABOUT}") if not about.parent.name.startswith(".")]
    return sorted(kept, key=lambda a: a.used_s)


def _read(path: Path) -> Artefact:
    n_bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    about = json.loads((path / ABOUT).read_text(encoding="utf-8"))
    return Artefact(path, about, n_bytes, (path / ABOUT).stat().st_mtime)


def clear() -> int:
    """Remove everything; return how many bytes that freed."""
    freed = sum(kept.n_bytes for kept in artefacts())
    shutil.rmtree(folder(), ignore_errors=True)
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
        return float(given or LIMIT_GIB) * 2**30
    except ValueError as error:
        raise InputError(f"GREENBENCH_CACHE_GIB: '{given}' is no number of GiB") from error


def digest(path: Path) -> str:
    """Return the SHA-256 of a file; it is computed once as long as the file's size and time stay the same."""
    state = path.resolve().stat()
    identity = f"{path.resolve()}\0{state.st_size}\0{state.st_mtime_ns}"
    memo = folder().parent / "digests" / hashlib.sha256(identity.encode()).hexdigest()[:24]
    if memo.exists():
        return memo.read_text(encoding="ascii")
    found = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 24):
            found.update(block)
    memo.parent.mkdir(parents=True, exist_ok=True)
    memo.write_text(found.hexdigest(), encoding="ascii")
    return found.hexdigest()
