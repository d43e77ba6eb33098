"""The file of an entry: runs and the hash of every file in one ZIP archive, written whole and read within limits."""

import hashlib
import json
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO

from greenbench.errors import InputError, StoreError
from greenbench.files import whole
from greenbench.files.limits import Limits, limits
from greenbench.files.readback import FileFault, lines, open_file, parse
from greenbench.results import record, store
from greenbench.results.runfiles import FORMS
from greenbench.sharing import share
from greenbench.validate.files import MAX_FAULTS

FORMAT = "greenbench-submission/1"
MANIFEST = "submission.json"

_MEMBER = re.compile(
    rf"(?P<run>[A-Za-z0-9][A-Za-z0-9._-]*)/(?P<file>{'|'.join(map(re.escape, (store.RUN, *share.FILES)))})"
)
PACK = "Pack the runs again with `greenbench submit`."
_BLOCK_BYTES = 2**20
_HEADER_BYTES = 30
"""What stands before the name of a file in a ZIP archive (APPNOTE 4.3.7)."""


def digest(hashes: Mapping[str, str]) -> str:
    """Return the SHA-256 over the names and hashes of files."""
    return hashlib.sha256("".join(f"{name}\0{hashes[name]}\n" for name in sorted(hashes)).encode()).hexdigest()


def write(out: Path, files: Mapping[str, Path]) -> str:
    """Write the archive; its members have a fixed time and mode, and no user.

    Args:
        out: the ZIP file.
        files: by their names in it.

    Returns:
        The entry's digest.

    Raises:
        StoreError: ``out`` cannot be written.
    """
    hashes = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    manifest = {"format": FORMAT, "digest": digest(hashes), "files": hashes}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with whole.file(out) as aside, zipfile.ZipFile(aside, "x", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(_entry(MANIFEST), json.dumps(manifest, indent=2) + "\n")
            for name, path in files.items():
                archive.writestr(_entry(name), path.read_bytes())
    except OSError as error:
        raise StoreError(f"{out}: cannot write: {error.strerror}. Choose another --out.") from error
    return digest(hashes)


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    return info


def unpack(file: Path, folder: Path, allowed: Limits | None = None) -> str:
    """Unpack an entry whose names are safe, whose size is bounded and whose files are those of its manifest.

    Args:
        file: the ZIP file.
        folder: gets one folder per run.
        allowed: limits on the entry's size and cost; by default from ``greenbench.files.limits``.

    Returns:
        The entry's digest.

    Raises:
        InputError: a name, a size or a hash is refused, or it is no archive.
    """
    allowed = allowed or limits()
    try:
        with open_file(file) as stream, zipfile.ZipFile(stream) as archive:
            _refuse_members(file, archive.infolist(), allowed)
            _refuse_stowaways(file, archive)
            hashes = _manifest(file, archive)
            for name, expected in hashes.items():
                _extract(file, archive.open(name), expected, folder / name, allowed)
            for member in archive.infolist():
                _refuse_padding(file, stream, member)
        _refuse_dear(file, folder, allowed.max_aligned)
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as an entry: {error}. {PACK}") from error
    return digest(hashes)


def _refuse_dear(file: Path, folder: Path, most: int) -> None:
    """Refuse texts that would take too long to be scored again, or with too many faulty lines (InputError)."""
    seen, n_steps, n_faults = set[int](), 0, 0
    for _, row in chain.from_iterable(lines(path, FORMS[path.name]) for path in folder.glob(f"*/{store.HYPOTHESES}")):
        n_faults += isinstance(row, FileFault)
        if isinstance(row, dict) and (pair := hash((row["reference"], row["hypothesis"]))) not in seen:
            seen.add(pair)
            n_steps += len(row["reference"]) * len(row["hypothesis"])
        if n_steps > most:
            raise InputError(f"{file}: its texts take too long to be counted again. Pack fewer runs in one entry.")
        if n_faults > MAX_FAULTS:
            raise InputError(f"{file}: more than {MAX_FAULTS} lines of {store.HYPOTHESES} cannot be used. {PACK}")


def read_digest(file: Path) -> str:
    """Return the digest that an entry which was checked says it has."""
    with open_file(file) as stream, zipfile.ZipFile(stream) as archive:
        return digest(_manifest(file, archive))


def _refuse_members(file: Path, members: Sequence[zipfile.ZipInfo], allowed: Limits) -> None:
    """Refuse names that are not an entry's, links, encryption, twins, and more than an entry may hold.

    Raises:
        InputError: any of these.
    """
    if len(members) > allowed.max_files:
        raise InputError(f"{file}: {len(members)} files, at most {allowed.max_files} make an entry.")
    if sum(member.file_size for member in members) > allowed.max_bytes:
        most = f"{allowed.max_bytes / 1e6:.0f} MB"
        raise InputError(f"{file}: unpacks to more than {most}. Pack fewer runs in one entry.")
    seen, folders = set[str](), dict[str, str]()
    for member in members:
        kind = member.external_attr >> 16 & 0o170000
        if member.filename != MANIFEST and not _MEMBER.fullmatch(member.filename):
            raise InputError(f"{file}: holds {member.filename!r:.80}, which is not a file of an entry. {PACK}")
        why = record.refused_id(member.filename.partition("/")[0]) if member.filename != MANIFEST else None
        if why:
            raise InputError(f"{file}: holds {member.filename!r:.80}, and no run can be called so: {why}. {PACK}")
        if kind not in (0, 0o100000) or member.flag_bits & 1:
            raise InputError(f"{file}: {member.filename} is a link or encrypted. {PACK}")
        if member.filename.lower() in seen:
            raise InputError(f"{file}: holds {member.filename} twice. {PACK}")
        folder = member.filename.partition("/")[0]
        if folders.setdefault(folder.lower(), folder) != folder:
            raise InputError(f"{file}: {folder} differs from another run's folder only in upper and lower case. {PACK}")
        if member.file_size > max(_BLOCK_BYTES, allowed.max_ratio * member.compress_size):
            times = member.file_size / max(member.compress_size, 1)
            raise InputError(f"{file}: {member.filename} unpacks to {times:.0f} times its size. {PACK}")
        seen.add(member.filename.lower())


def _refuse_stowaways(file: Path, archive: zipfile.ZipFile) -> None:
    """Refuse bytes that no hash covers, and names that other programs read otherwise (InputError)."""
    end = 0
    for member in sorted(archive.infolist(), key=lambda one: one.header_offset):
        if member.header_offset != end:
            break
        name = member.orig_filename.encode()
        end += _HEADER_BYTES + len(name) + len(member.extra) + member.compress_size
        if member.orig_filename != member.filename:
            raise InputError(f"{file}: {member.filename} is named in two ways. {PACK}")
        if member.comment or member.extra:
            raise InputError(f"{file}: {member.filename} has a comment or extra fields, which no hash covers. {PACK}")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(f"{file}: {member.filename} is compressed by another method than deflate. {PACK}")
    if end != archive.start_dir or archive.comment:
        raise InputError(f"{file}: holds bytes before, between or after its files. {PACK}")


def _refuse_padding(file: Path, stream: IO[bytes], member: zipfile.ZipInfo) -> None:
    """Refuse compressed bytes after the end of a file, or beyond its stated size, which readers skip (InputError)."""
    stream.seek(member.header_offset + _HEADER_BYTES + len(member.orig_filename.encode()))
    inflate, n_left, n_bytes, block = zlib.decompressobj(-zlib.MAX_WBITS), member.compress_size, 0, b""
    if member.compress_type == zipfile.ZIP_STORED:
        n_left, n_bytes = 0, member.compress_size
    while n_left and not inflate.eof and n_bytes <= member.file_size:
        block = block or stream.read(min(n_left, _BLOCK_BYTES))
        if not block:
            break
        n_bytes += len(inflate.decompress(block, _BLOCK_BYTES))
        n_left -= len(block) - len(inflate.unconsumed_tail) - len(inflate.unused_data)
        block = inflate.unconsumed_tail
    if n_left or n_bytes + len(inflate.flush()) != member.file_size:
        raise InputError(f"{file}: {member.filename} has compressed bytes that do not belong to it. {PACK}")


def _manifest(file: Path, archive: zipfile.ZipFile) -> dict[str, str]:
    """Return the hash of each file from the manifest.

    Raises:
        InputError: it is missing or malformed, or does not name exactly the files of the archive.
    """
    names = set(archive.namelist()) - {MANIFEST}
    if MANIFEST not in archive.namelist() or not names:
        raise InputError(f"{file}: no {MANIFEST} or no runs in it. {PACK}")
    if archive.getinfo(MANIFEST).file_size > _BLOCK_BYTES:
        raise InputError(f"{file}: {MANIFEST} is larger than {_BLOCK_BYTES / 1e6:.0f} MB. {PACK}")
    content = parse(archive.read(MANIFEST))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{file}: {MANIFEST} is not of the format {FORMAT}. {PACK}")
    hashes = content.get("files")
    if not isinstance(hashes, dict) or not all(isinstance(value, str) for value in hashes.values()):
        raise InputError(f"{file}: {MANIFEST} names no files. {PACK}")
    if set(hashes) != names:
        odd = ", ".join(sorted(set(hashes) ^ names)[:5])
        raise InputError(f"{file}: {MANIFEST} and the archive do not name the same files: {odd}. {PACK}")
    if content.get("digest") != digest(hashes):
        raise InputError(f"{file}: the digest is not that of the files' hashes. {PACK}")
    return hashes


def _extract(file: Path, stream: IO[bytes], expected: str, target: Path, allowed: Limits) -> None:
    """Write a member line by line within the limits on lines.

    Raises:
        InputError: its hash differs, or it exceeds a limit.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    name, hashed = f"{target.parent.name}/{target.name}", hashlib.sha256()
    with stream, target.open("xb") as out:
        content = iter(partial(stream.readline, allowed.max_line_bytes + 1), b"")
        for number, line in enumerate(content, start=1):
            if number > allowed.max_lines:
                raise InputError(
                    f"{file}: {name} has more than {allowed.max_lines} lines. Pack fewer runs in one entry."
                )
            if len(line) > allowed.max_line_bytes:
                raise InputError(f"{file}: {name} has a line of more than {allowed.max_line_bytes} bytes. {PACK}")
            hashed.update(line)
            out.write(line)
    if hashed.hexdigest() != expected:
        raise InputError(f"{file}: {name} was changed after it was packed: its hash differs. {PACK}")
