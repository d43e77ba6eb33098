"""Where results live: a folder a run, and append-only JSON lines in it."""

import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from greenbench.errors import StoreError, UnsavedError
from greenbench.files import readback, whole
from greenbench.files.readback import FileFault
from greenbench.files.unicode import to_json
from greenbench.results import runfiles
from greenbench.results.record import KEYS, SCHEMA
from greenbench.results.runfiles import CONTROL, HYPOTHESES, POWER, RECORDS, RUN, SCORES, WINDOWS, Row
from greenbench.suite.protocol import Protocol, build_protocol

__all__ = ["CONTROL", "HYPOTHESES", "POWER", "RECORDS", "REPORT", "RUN", "SCORES", "SUITE", "WINDOWS", "Row"]

REPORT, SUITE = "report.html", "suite.yaml"

FLEET, NODES = "fleet.json", "nodes"
"""In a fleet's folder: what became of each node, and the folder of what the nodes sent."""


@dataclass(frozen=True)
class Run:
    """A run that is open: read once, and handed on to whoever needs to know what it is.

    Attributes:
        folder: where its files are.
        id: names it in every row.
        description: what ``run.json`` holds.
    """

    folder: Path
    id: str
    description: Mapping[str, Any]


def write_run(folder: Path, run: Mapping[str, Any]) -> None:
    """Create the run's folder and write ``run.json`` in one step.

    Raises:
        StoreError: the folder cannot be written.
    """
    text = to_json({"schema": SCHEMA, **run}, indent=2, allow_nan=True) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        whole.write(folder / RUN, text)
    except OSError as error:
        raise StoreError(f"{folder}: cannot write {RUN}: {error.strerror}. Choose another --out.") from error


def read_run(folder: Path) -> dict[str, Any]:
    """Return a run's ``run.json``.

    Raises:
        StoreError: the folder holds no readable run.
    """
    path = folder / RUN
    try:
        return readback.read_object(path, runfiles.FORMS[RUN])
    except StoreError as error:
        why = str(error).removeprefix(f"{path}: ")
        raise StoreError(f"{folder}: not a run: {RUN} cannot be read ({why})") from error


def open_run(folder: Path) -> Run:
    """Open the run in a folder.

    Raises:
        StoreError: the folder holds no readable run.
    """
    description = read_run(folder)
    return Run(folder, description["run_id"], description)


def open_runs(*folders: Path) -> list[Run]:
    """Open all runs at or anywhere below ``folders``, in the order of ``runs``.

    Raises:
        StoreError: a run cannot be read.
    """
    return [open_run(folder) for folder in runs(*folders)]


def by_start(*folders: Path) -> list[Run]:
    """Open all runs at or anywhere below ``folders``, in the order in which they began: the latest is the last.

    Raises:
        StoreError: a run cannot be read.
    """
    return sorted(open_runs(*folders), key=lambda run: (str(run.description.get("started_utc")), run.folder))


def protocol_of(run: Run) -> Protocol:
    """Return the protocol by which a run was measured.

    Raises:
        StoreError: ``run.json`` states none, or none that this version knows.
    """
    try:
        return build_protocol(run.description["suite"]["protocol"])
    except (KeyError, TypeError, ValueError) as error:
        why = str(error).rstrip(".") if isinstance(error, ValueError) else "it is not stated"
        stop = "" if why.endswith("?") else "."
        raise StoreError(
            f"{run.folder / RUN}: suite.protocol: {why}{stop} Restore {RUN} from a copy, or measure again."
        ) from error


def amend_run(run: Run, **known: Any) -> Run:
    """Add to ``run.json`` what is known only once the run has begun.

    Args:
        run: open, and not written since.
        known: JSON-ready values by key.

    Returns:
        The run as it is now.

    Raises:
        StoreError: the folder cannot be written.
    """
    description = {**run.description, **known}
    write_run(run.folder, description)
    return replace(run, description=description)


def append(folder: Path, rows: Iterable[Mapping[str, Any]], file: str = RECORDS) -> None:
    """Append rows to a run's file and flush them to the disk; on failure the file is as it was before.

    Args:
        folder: the run's folder.
        rows: JSON-ready rows; written whole or not at all.
        file: ``RECORDS``, ``HYPOTHESES``, ``SCORES``, ``WINDOWS`` or ``CONTROL``.

    Raises:
        UnsavedError: the disk is full or gone; it carries the rows.
    """
    text = "".join(to_json(row) + "\n" for row in rows)
    path = folder / file
    try:
        _append_bytes(path, text.encode())
    except OSError as error:
        raise UnsavedError(
            f"{path}: cannot append: {error.strerror}. Earlier rows are intact; "
            "free some space or choose another --out, then continue with --resume.",
            text,
        ) from error


def amend_rows(folder: Path, known: Callable[[Row], Mapping[str, Any] | None]) -> None:
    """Write into rows of ``RECORDS`` what is known only after them; the file is replaced in one step.

    Args:
        folder: the run's folder.
        known: returns the columns of a row that change; None leaves its line as it is.

    Raises:
        StoreError: the file cannot be written; it is as it was before.
    """
    path = folder / RECORDS
    try:
        with whole.file(path) as aside, path.open("rb") as old, aside.open("xb") as new:
            new.writelines(_amended(line, known) for line in old)
    except OSError as error:
        raise StoreError(f"{path}: cannot write: {error.strerror}. Rows are intact; continue with --resume.") from error


def _amended(line: bytes, known: Callable[[Row], Mapping[str, Any] | None]) -> bytes:
    row = readback.judged(runfiles.FORMS[RECORDS], 0, line)
    if isinstance(row, dict):
        changed = known(row)
        if changed is not None:
            return (to_json(row | dict(changed)) + "\n").encode()
    return line


def write_file(
    path: Path, content: str | bytes, failure: str = "cannot write", fix: str = "Choose another --out."
) -> None:
    """Write a file that people asked for whole or not at all, and its folder where that is missing.

    Args:
        path: the file.
        content: text is written in UTF-8.
        failure: what the message says could not be done.
        fix: what it proposes.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole.write(path, content)
    except OSError as error:
        raise StoreError(f"{path}: {failure}: {error.strerror}. {fix}") from error


def _append_bytes(path: Path, data: bytes) -> None:
    """Append whole lines, after ending a line that an earlier crash tore off."""
    with path.open("ab+", buffering=0) as stream:
        end = stream.seek(0, os.SEEK_END)
        if end:
            stream.seek(end - 1)
            data = data if stream.read(1) == b"\n" else b"\n" + data
        try:
            if stream.write(data) != len(data):
                raise OSError(28, "no space left on device")
            os.fsync(stream.fileno())
        except OSError:
            stream.truncate(end)
            raise


def runs(*folders: Path) -> list[Path]:
    """Return the run folders at or below ``folders``, sorted, each once; of a fleet those that were merged."""
    found = ((Path(folder), path) for folder in folders for path in Path(folder).rglob(RUN))
    return sorted({path.parent for folder, path in found if not _is_a_nodes(folder, path)})


def _is_a_nodes(folder: Path, path: Path) -> bool:
    """Say whether a file is a copy from a node, which the merged runs of the same fleet hold, too."""
    inner = path.relative_to(folder).parents
    return any(one.name == NODES and (folder / one).with_name(FLEET).is_file() for one in inner)


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of one of a run's files; lines that are torn or of another form are skipped with one warning.

    Raises:
        StoreError: the file cannot be read.
    """
    if not path.exists():
        return
    yield from _sound(path, (found for _, found in readback.lines(path, runfiles.FORMS.get(path.name))))


def read_texts(path: Path, wanted: Callable[[Row], bool]) -> Iterator[Row]:
    """Yield the rows of a file of ``HYPOTHESES`` whose window is wanted, parsing no others: there may be millions.

    Args:
        path: the file; where there is none, nothing is yielded.
        wanted: answers for the ``KEYS`` of a window, asked once for each stretch of lines that share them. A line
            that does not begin with all of them, as ``append`` writes them, is always yielded.
    """
    if not path.exists():
        return
    yield from _sound(path, _asked_for(path, wanted))


def _asked_for(path: Path, wanted: Callable[[Row], bool]) -> Iterator[Row | FileFault]:
    last, take = b"", True
    for number, line in readback.numbered(path):
        head, _, _ = (line or b"").partition(b'"utterance_id"')
        if head != last:
            key, last = _key(head), head
            take = key is None or wanted(key)
        if take and (found := readback.judged(runfiles.FORMS.get(path.name), number, line)) is not None:
            yield found


def _sound(path: Path, found: Iterable[Row | FileFault]) -> Iterator[Row]:
    """Yield the rows among what was found, and warn of the others once."""
    first: list[FileFault] = []
    n_faults, unknown = 0, runfiles.UNKNOWN.get(path.name, {})
    for one in found:
        if isinstance(one, FileFault):
            first, n_faults = first or [one], n_faults + 1
        else:
            yield {**one, **{name: value for name, value in unknown.items() if name not in one}}
    if first:
        warnings.warn(readback.skipped(path, first[0], n_faults), stacklevel=3)


def _key(head: bytes) -> Row | None:
    """Return the keys that a line begins with, None where some are missing or of another type."""
    try:
        key = json.loads(head.rstrip(b" ,") + b"}")
    except (ValueError, RecursionError):
        return None
    return None if runfiles.is_key(key) else key


def current(rows: Iterable[Row]) -> list[Row]:
    """Return the rows that stand: of one key the last; a failure only until a later success of its cell.

    A share of the peak above 100 %, which earlier versions wrote, is a fault of the peak and read as unknown.
    """
    standing: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        cell = tuple(row.get(name) for name in KEYS[:-1])
        key = (*cell, row["repeat"])
        for replaced in ((*cell, None), key):
            standing.pop(replaced, None)
        standing[key] = {**row, "mfu_pct": None} if (row.get("mfu_pct") or 0) > 100 else row
    return list(standing.values())
