"""Entries for a leaderboard: packing runs into one file with the hash of each file, unpacking, and checking them."""

import hashlib
import json
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any

from greenbench import validate
from greenbench.errors import GreenbenchError, InputError, StoreError
from greenbench.files import whole
from greenbench.files.limits import Limits
from greenbench.files.limits import limits as present_limits
from greenbench.files.readback import Fault, lines, open_file
from greenbench.results import record, store
from greenbench.results.runfiles import FORMS
from greenbench.sharing import merge, privacy, share
from greenbench.sharing.privacy import Identifier
from greenbench.validate import Problem
from greenbench.validate.files import MAX_FAULTS

FORMAT = "greenbench-submission/1"
MANIFEST = "submission.json"

_MEMBER = re.compile(
    rf"(?P<run>[A-Za-z0-9][A-Za-z0-9._-]*)/(?P<file>{'|'.join(map(re.escape, (store.RUN, *share.FILES)))})"
)
_PACK = "Pack the runs again with `greenbench submit`."
_BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class Packed:
    """A packed entry.

    Attributes:
        path: the file.
        digest: SHA-256 over the names and hashes of its files; quote it where the entry is announced.
        run_ids: the runs in it.
    """

    path: Path
    digest: str
    run_ids: tuple[str, ...]


@dataclass(frozen=True)
class Preview:
    """What the user should read before runs are published.

    Attributes:
        descriptions: by run, as they will be published.
        identifiers: of a person, a machine or a place in the runs, each once.
    """

    descriptions: Mapping[str, str]
    identifiers: tuple[Identifier, ...]


def preview(results: Sequence[Path], keep_private: bool = False) -> Preview:
    """Search runs for identifiers; a run that cannot be read is skipped, since ``pack`` refuses it.

    Args:
        results: folders of runs, or parents of such folders.
        keep_private: as for ``pack``.
    """
    descriptions, private = dict[str, str](), dict[tuple[str, str], Identifier]()
    for folder in store.runs(*results):
        try:
            content = store.open_run(folder).description
            shared = content if keep_private else privacy.run(content)
            rows = [row for row in store.read_rows(folder / store.RECORDS) if isinstance(row, dict)]
        except (GreenbenchError, AttributeError, TypeError):
            continue
        if isinstance(shared.get("description"), str) and shared["description"]:
            descriptions[folder.name] = shared["description"]
        matches = [
            *privacy.search_run(content, folder.name),
            *(f for row in rows for f in privacy.search(row, folder.name)),
        ]
        private |= {(one.kind, one.text): one for one in reversed(matches)}
    return Preview(descriptions, tuple(sorted(private.values(), key=lambda one: (one.where, one.kind, one.text))))


def pack(results: Sequence[Path], out: Path, keep_private: bool = False) -> Packed:
    """Pack runs for a leaderboard; the same runs give the same bytes.

    Args:
        results: folders of runs, or parents of such folders.
        out: the ZIP file.
        keep_private: pack names, paths and addresses, too.

    Raises:
        InputError: there is no run, or a board would refuse one; nothing is written.
        StoreError: ``out`` cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "runs"
        merged = merge.merge(results, place, keep_private)
        reasons = [f"{refused.what}: {refused.reason}" for refused in merged.refused]
        problems = refusals(place) if merged.runs else ()
        reasons += [f"{_inside(problem, place)}: {problem.what}. {problem.fix}" for problem in problems]
        if reasons:
            raise InputError("\n".join(["a leaderboard would refuse this:", *reasons[:20]]))
        files = {path.relative_to(place).as_posix(): path for path in sorted(place.glob("*/*"))}
        hashes = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
        _write(out, files, {"format": FORMAT, "digest": digest(hashes), "files": hashes})
    return Packed(out, digest(hashes), tuple(merged.runs))


def digest(hashes: Mapping[str, str]) -> str:
    """Return the SHA-256 over the names and hashes of files."""
    return hashlib.sha256("".join(f"{name}\0{hashes[name]}\n" for name in sorted(hashes)).encode()).hexdigest()


def _write(out: Path, files: Mapping[str, Path], manifest: Mapping[str, Any]) -> None:
    """Write the archive; its members have a fixed time and mode, and no user."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with whole.file(out) as aside, zipfile.ZipFile(aside, "x", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(_entry(MANIFEST), json.dumps(manifest, indent=2) + "\n")
            for name, path in files.items():
                archive.writestr(_entry(name), path.read_bytes())
    except OSError as error:
        raise StoreError(f"{out}: cannot write: {error.strerror}. Choose another --out.") from error


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    return info


# --- checking an entry -----------------------------------------------------------------------------------


def check(file: Path, folder: Path, limits: Limits | None = None) -> list[Problem]:
    """Unpack an entry and check it: its form, its hashes, and its rows against everything else in it.

    Args:
        file: the ZIP file.
        folder: a new or empty folder that gets the runs; use them only where there is no problem.
        limits: on the entry's size and cost; by default from ``greenbench.files.limits``.

    Returns:
        Why a board refuses the entry; nothing where it does not.
    """
    try:
        unpack(file, folder, limits)
        problems = list(refusals(folder))
    except GreenbenchError as error:
        return [Problem("error", file.name, str(error).removeprefix(f"{file}: ").removesuffix(f". {_PACK}"), _PACK)]
    except Exception as error:  # an entry that was crafted to break a check is refused
        return [Problem("error", file.name, f"cannot be judged: {type(error).__name__}: {error}", _PACK)]
    return [replace(p, where=f"{file.name}: {_inside(p, folder)}") for p in problems]


def refusals(folder: Path) -> Iterator[Problem]:
    """Yield why a board refuses runs: the errors of ``greenbench validate``, and ids that differ from the folder's.

    Args:
        folder: a folder of runs, each in a folder of its id.
    """
    bad = [problem for problem in validate.problems(folder) if problem.severity == "error"]
    yield from bad
    for run in store.runs(folder) if not bad else ():
        if store.open_run(run).id != run.name:
            yield Problem("error", str(run / store.RUN), "the run's id is not its folder's name", _PACK)


def _inside(problem: Problem, folder: Path) -> str:
    """Return a problem's place without the temporary folder into which the entry was unpacked."""
    return problem.where.replace(f"{folder}/", "")


def unpack(file: Path, folder: Path, limits: Limits | None = None) -> str:
    """Unpack an entry whose names are safe, whose size is bounded and whose files are those of its manifest.

    Args:
        file: the ZIP file.
        folder: gets one folder per run.
        limits: on the entry's size and cost; by default from ``greenbench.files.limits``.

    Returns:
        The entry's digest.

    Raises:
        InputError: a name, a size or a hash is refused, or it is no archive.
    """
    limits = limits or present_limits()
    try:
        with open_file(file) as stream, zipfile.ZipFile(stream) as archive:
            _refuse_members(file, archive.infolist(), limits)
            hashes = _manifest(file, archive)
            for name, expected in hashes.items():
                _extract(file, archive.open(name), expected, folder / name, limits)
        _refuse_dear(file, folder, limits.max_aligned)
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as an entry: {error}. {_PACK}") from error
    return digest(hashes)


def _refuse_dear(file: Path, folder: Path, most: int) -> None:
    """Refuse texts that would take too long to be scored again, or with too many faulty lines (InputError)."""
    seen, n_steps, n_faults = set[int](), 0, 0
    for _, row in chain.from_iterable(lines(path, FORMS[path.name]) for path in folder.glob(f"*/{store.HYPOTHESES}")):
        n_faults += isinstance(row, Fault)
        if isinstance(row, dict) and (pair := hash((row["reference"], row["hypothesis"]))) not in seen:
            seen.add(pair)
            n_steps += len(row["reference"]) * len(row["hypothesis"])
        if n_steps > most:
            raise InputError(f"{file}: its texts take too long to be counted again. Pack fewer runs in one entry.")
        if n_faults > MAX_FAULTS:
            raise InputError(f"{file}: more than {MAX_FAULTS} lines of {store.HYPOTHESES} cannot be used. {_PACK}")


def read_digest(file: Path) -> str:
    """Return the digest that an entry which was checked says it has."""
    with open_file(file) as stream, zipfile.ZipFile(stream) as archive:
        return digest(_manifest(file, archive))


def _refuse_members(file: Path, members: Sequence[zipfile.ZipInfo], limits: Limits) -> None:
    """Refuse names that are not an entry's, links, encryption, twins, and more than an entry may hold.

    Raises:
        InputError: any of these.
    """
    if len(members) > limits.max_files:
        raise InputError(f"{file}: {len(members)} files, at most {limits.max_files} make an entry.")
    if sum(member.file_size for member in members) > limits.max_bytes:
        raise InputError(f"{file}: unpacks to more than {limits.max_bytes / 1e6:.0f} MB. Pack fewer runs in one entry.")
    seen = set[str]()
    for member in members:
        kind = member.external_attr >> 16 & 0o170000
        if member.filename != MANIFEST and not _MEMBER.fullmatch(member.filename):
            raise InputError(f"{file}: holds {member.filename!r:.80}, which is no file of an entry. {_PACK}")
        why = record.refused_id(member.filename.partition("/")[0]) if member.filename != MANIFEST else None
        if why:
            raise InputError(f"{file}: holds {member.filename!r:.80}, and no run can be called so: {why}. {_PACK}")
        if kind not in (0, 0o100000) or member.flag_bits & 1:
            raise InputError(f"{file}: {member.filename} is a link or encrypted. {_PACK}")
        if member.filename.lower() in seen:
            raise InputError(f"{file}: holds {member.filename} twice. {_PACK}")
        if member.file_size > max(_BLOCK_BYTES, limits.max_ratio * member.compress_size):
            times = member.file_size / max(member.compress_size, 1)
            raise InputError(f"{file}: {member.filename} unpacks to {times:.0f} times its size. {_PACK}")
        seen.add(member.filename.lower())


def _manifest(file: Path, archive: zipfile.ZipFile) -> dict[str, str]:
    """Return the hash of each file from the manifest.

    Raises:
        InputError: it is missing or malformed, or does not name exactly the files of the archive.
    """
    names = set(archive.namelist()) - {MANIFEST}
    if MANIFEST not in archive.namelist() or not names:
        raise InputError(f"{file}: no {MANIFEST} or no runs in it. {_PACK}")
    if archive.getinfo(MANIFEST).file_size > _BLOCK_BYTES:
        raise InputError(f"{file}: {MANIFEST} is larger than {_BLOCK_BYTES / 1e6:.0f} MB. {_PACK}")
    content = json.loads(archive.read(MANIFEST))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{file}: {MANIFEST} is not of the format {FORMAT}. {_PACK}")
    hashes = content.get("files")
    if not isinstance(hashes, dict) or not all(isinstance(value, str) for value in hashes.values()):
        raise InputError(f"{file}: {MANIFEST} names no files. {_PACK}")
    if set(hashes) != names:
        odd = ", ".join(sorted(set(hashes) ^ names)[:5])
        raise InputError(f"{file}: {MANIFEST} and the archive do not name the same files: {odd}. {_PACK}")
    if content.get("digest") != digest(hashes):
        raise InputError(f"{file}: the digest is not that of the files' hashes. {_PACK}")
    return hashes


def _extract(file: Path, stream: IO[bytes], expected: str, target: Path, limits: Limits) -> None:
    """Write a member line by line within the limits on lines.

    Raises:
        InputError: its hash differs, or it exceeds a limit.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    name, hashed = f"{target.parent.name}/{target.name}", hashlib.sha256()
    with stream, target.open("xb") as out:
        content = iter(partial(stream.readline, limits.max_line_bytes + 1), b"")
        for number, line in enumerate(content, start=1):
            if number > limits.max_lines:
                raise InputError(
                    f"{file}: {name} has more than {limits.max_lines} lines. Pack fewer runs in one entry."
                )
            if len(line) > limits.max_line_bytes:
                raise InputError(f"{file}: {name} has a line of more than {limits.max_line_bytes} bytes. {_PACK}")
            hashed.update(line)
            out.write(line)
    if hashed.hexdigest() != expected:
        raise InputError(f"{file}: {name} was changed after it was packed: its hash differs. {_PACK}")
