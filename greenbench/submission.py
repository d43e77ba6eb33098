"""An entry for a leaderboard in one file: whole runs and the hash of every file; and what a board refuses of it."""

import hashlib
import json
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenbench import merge, store, validate
from greenbench.errors import GreenbenchError, InputError, StoreError
from greenbench.rescore import key_of
from greenbench.validate import Problem
from greenbench.validate.texts import NOT_RECOUNTED
from greenbench.validate.together import RESUME

FORMAT = "greenbench-submission/1"
MANIFEST = "submission.json"

MAX_BYTES = 2**30
"""Unpacked, all files together: a million texts are a third of that."""

MAX_FILES = 2_000

_MEMBER = re.compile(rf"(?P<run>[A-Za-z0-9][\w.-]*)/(?P<file>{'|'.join(map(re.escape, (store.RUN, *merge.FILES)))})")
_PACK = "Pack the runs again with `greenbench submit`."


@dataclass(frozen=True)
class Packed:
    """What was packed.

    Attributes:
        path: the file.
        digest: SHA-256 over the names and hashes of its files; quote it where the entry is announced.
        run_ids: the runs in it.
    """

    path: Path
    digest: str
    run_ids: tuple[str, ...]


def pack(results: Sequence[Path], out: Path, keep_private: bool = False) -> Packed:
    """Pack runs for a leaderboard; the same runs give the same bytes.

    Args:
        results: folders of runs, or parents of such folders.
        out: the ZIP file.
        keep_private: pack names, paths and addresses too.

    Raises:
        InputError: there is no run, or a board would refuse one; nothing is written.
        StoreError: ``out`` cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "runs"
        merged = merge.merge(results, place, keep_private)
        told = [f"{refused.what}: {refused.reason}" for refused in merged.refused]
        told += [f"{_inside(problem, place)}: {problem.what}. {problem.fix}" for problem in refusals(place)]
        if told:
            raise InputError("\n".join(["a leaderboard would refuse this:", *told[:20]]))
        files = {path.relative_to(place).as_posix(): path for path in sorted(place.glob("*/*"))}
        hashes = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
        _write(out, files, {"format": FORMAT, "digest": digest(hashes), "files": hashes})
    return Packed(out, digest(hashes), tuple(merged.runs))


def digest(hashes: Mapping[str, str]) -> str:
    """Return the SHA-256 over the names and hashes of files."""
    return hashlib.sha256("".join(f"{name}\0{hashes[name]}\n" for name in sorted(hashes)).encode()).hexdigest()


def _write(out: Path, files: Mapping[str, Path], manifest: Mapping[str, Any]) -> None:
    """Write the archive; no entry has a time, a user or a mode of its own."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(_entry(MANIFEST), json.dumps(manifest, indent=2) + "\n")
            for name, path in files.items():
                archive.writestr(_entry(name), path.read_bytes())
    except OSError as error:
        raise StoreError(f"{out}: cannot write: {error.strerror}. Choose another --out.") from error


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    return info


# --- what a board refuses --------------------------------------------------------------------------------


def check(file: Path, folder: Path) -> list[Problem]:
    """Unpack an entry and judge it: its form, its hashes, and its rows against the raw texts.

    Args:
        file: the ZIP file.
        folder: a new or empty folder that gets the runs; what is in it counts only where there is no problem.

    Returns:
        Why a board refuses the entry; nothing where it does not.
    """
    try:
        unpack(file, folder)
        found = list(refusals(folder))
    except GreenbenchError as error:
        return [Problem("error", file.name, str(error).removeprefix(f"{file}: "), _PACK)]
    except Exception as error:  # an entry that was made to break a check is refused by it
        return [Problem("error", file.name, f"cannot be judged: {type(error).__name__}: {error}", _PACK)]
    return [Problem(p.severity, f"{file.name}: {_inside(p, folder)}", p.what, p.fix) for p in found]


def refusals(folder: Path) -> Iterator[Problem]:
    """Yield why a board refuses runs: what does not agree, and what is missing.

    Args:
        folder: a folder of runs, each in a folder of its id.
    """
    found = list(validate.problems(folder))
    bad = [p for p in found if p.severity == "error" or p.fix in (RESUME, NOT_RECOUNTED)]  # whole, and scored again
    yield from bad
    for run in store.runs(folder) if not bad else ():
        if store.read_run(run)["run_id"] != run.name:
            yield Problem("error", str(run / store.RUN), "another run's id than its folder's", _PACK)
        windows = {key_of(row) for row in store.read_rows(run / store.WINDOWS) if row["kind"] == "window"}
        for row in store.current(store.read_rows(run / store.RECORDS)):
            if row["status"] == "ok" and key_of(row) not in windows:
                where = f"{run / store.RECORDS} ({', '.join(map(str, key_of(row)[1:]))})"
                yield Problem("error", where, f"{store.WINDOWS} does not say when this window was", _PACK)


def _inside(problem: Problem, folder: Path) -> str:
    """Say where a problem is without the folder that an entry happens to be unpacked in."""
    return problem.where.replace(f"{folder}/", "")


def unpack(file: Path, folder: Path) -> None:
    """Unpack an entry whose names are safe, whose size is bounded and whose files are those of its manifest.

    Args:
        file: the ZIP file.
        folder: gets a folder a run.

    Raises:
        InputError: it is none of that.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            _refuse_members(file, archive.infolist())
            hashes = _manifest(file, archive)
            for name, expected in hashes.items():
                _extract(file, archive, name, expected, folder / name)
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as an entry: {error}. {_PACK}") from error


def _refuse_members(file: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse names that are not an entry's, links, encryption, twins, and more than an entry may hold.

    Raises:
        InputError: any of these.
    """
    if len(members) > MAX_FILES:
        raise InputError(f"{file}: {len(members)} files, at most {MAX_FILES} make an entry.")
    if sum(member.file_size for member in members) > MAX_BYTES:
        raise InputError(f"{file}: unpacks to more than {MAX_BYTES / 2**30:.0f} GiB.")
    seen = set[str]()
    for member in members:
        kind = member.external_attr >> 16 & 0o170000
        if member.filename != MANIFEST and not _MEMBER.fullmatch(member.filename):
            raise InputError(f"{file}: holds {member.filename!r:.80}, which is no file of an entry. {_PACK}")
        if kind not in (0, 0o100000) or member.flag_bits & 1:
            raise InputError(f"{file}: {member.filename} is a link or encrypted. {_PACK}")
        if member.filename.lower() in seen:
            raise InputError(f"{file}: holds {member.filename} twice. {_PACK}")
        seen.add(member.filename.lower())


def _manifest(file: Path, archive: zipfile.ZipFile) -> dict[str, str]:
    """Return the hash of each file, as the manifest has it.

    Raises:
        InputError: it is not there, of another form, or does not name exactly the files of the archive.
    """
    names = set(archive.namelist()) - {MANIFEST}
    if MANIFEST not in archive.namelist() or not names:
        raise InputError(f"{file}: no {MANIFEST} or no runs in it. {_PACK}")
    content = json.loads(_read(archive, MANIFEST))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{file}: {MANIFEST} is not of the format {FORMAT}. {_PACK}")
    hashes = content.get("files")
    if not isinstance(hashes, dict) or not all(isinstance(value, str) for value in hashes.values()):
        raise InputError(f"{file}: {MANIFEST} names no files. {_PACK}")
    if set(hashes) != names:
        odd = ", ".join(sorted(set(hashes) ^ names)[:5])
        raise InputError(f"{file}: {MANIFEST} and the archive do not hold the same files: {odd}. {_PACK}")
    if content.get("digest") != digest(hashes):
        raise InputError(f"{file}: the digest is not that of the files' hashes. {_PACK}")
    return hashes


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read a member, never more than it says it holds."""
    with archive.open(name) as stream:
        return stream.read(archive.getinfo(name).file_size + 1)


def _extract(file: Path, archive: zipfile.ZipFile, name: str, expected: str, target: Path) -> None:
    content = _read(archive, name)
    if hashlib.sha256(content).hexdigest() != expected:
        raise InputError(f"{file}: {name} was changed after it was packed: its hash is another. {_PACK}")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
