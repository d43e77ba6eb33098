"""One run as it may be shared: its files without what identifies a person, a machine or a place, and their digest."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from greenbench import identifiers
from greenbench.errors import StoreError
from greenbench.files import whole
from greenbench.files.unicode import to_json
from greenbench.results import record, store
from greenbench.sharing import privacy

FILES = (store.RECORDS, store.HYPOTHESES, store.SCORES, store.WINDOWS, store.POWER, store.CONTROL)
"""The files that are shared in addition to ``run.json``; logs and pages are not."""

_Names = dict[tuple[Any, ...], tuple[Any, ...]]


def shareable(source: Path, target: Path, keep_private: bool = False) -> str:
    """Copy a run's files as they may be shared, its rows as this version writes them; return the run's id.

    Raises:
        StoreError: it is no run, a newer version wrote it, or it cannot be shared.
    """
    run = store.open_run(source)
    original, why = run.description, record.refused_id(run.id)
    if why:
        raise StoreError(f"run_id {run.id!r:.60} is not a valid folder name: {why}")
    record.migrate({"schema": original.get("schema")})  # refuses a newer schema
    shared = original if keep_private else privacy.run(original)
    store.write_run(target, {**shared, "schema": record.SCHEMA})
    hashes = {str(original.get("suite_hash")): str(shared.get("suite_hash"))}
    names: _Names = {}
    for file in FILES:
        rows = (row for row in store.read_rows(source / file) if isinstance(row, dict))
        lines = rows if keep_private else _shared(rows, hashes, names)
        write_lines(target / file, map(record.migrate, lines) if file == store.RECORDS else lines)
    return run.id


def _shared(
    rows: Iterable[Mapping[str, Any]], suite_hashes: Mapping[str, str], names: _Names
) -> Iterator[dict[str, Any]]:
    """Yield lines as they may be shared; ``names`` gets each cell's key as shared -> its original key.

    Raises:
        StoreError: two cells would get the same key, or the ids of utterances are paths.
    """
    for row in rows:
        if identifiers.is_private_id(row.get("utterance_id")):
            raise StoreError(
                "the ids of its utterances are paths outside their manifest's folder, "
                "and the data hash depends on them. Give each line of the manifest an id, and measure again; or share "
                "it with --keep-private."
            )
        shared = privacy.row(row, suite_hashes)
        before, after = (tuple(str(content.get(name)) for name in record.CELL) for content in (row, shared))
        if names.setdefault(after, before) != before:
            raise StoreError(
                f"without their paths two of its cells are both called '{after[1]}' on '{after[2]}'. Name them in "
                "the suite and measure again, or share it with --keep-private."
            )
        yield shared


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a file of JSON lines; remove it where there is no line."""
    lines = iter(rows)
    first = next(lines, None)
    if first is None:
        path.unlink(missing_ok=True)
        return
    with whole.file(path) as aside, aside.open("x", encoding="utf-8") as stream:
        stream.writelines(to_json(row, allow_nan=True) + "\n" for row in chain([first], lines))


def digest(folder: Path) -> str:
    """Return the SHA-256 over the names and contents of a run's files."""
    hashed = hashlib.sha256()
    for path in (folder / name for name in (store.RUN, *FILES)):
        if path.is_file():  # a pipe would be waited for
            hashed.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return hashed.hexdigest()
