"""Merging runs of many machines into one folder: each once, fit to be shared, and the reason for what is refused."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from greenbench import validate
from greenbench.errors import GreenbenchError, InputError, StoreError
from greenbench.files import whole
from greenbench.hardware import platforms
from greenbench.results import record, store
from greenbench.results.record import Key, key_of
from greenbench.sharing import privacy, share

MERGED = "merge.json"

_STAGED = ".merging-"
"""Prefix of folders that earlier versions left behind when they were killed."""


@dataclass(frozen=True)
class Refused:
    """A run or a row that was not merged.

    Attributes:
        what: the run, and the row where it is one.
        reason: why.
    """

    what: str
    reason: str


@dataclass(frozen=True)
class Accepted:
    """A run that was merged.

    Attributes:
        run_id: its id, which is its folder's name.
        sha256: of its files.
        platform: see ``platforms``.
        n_rows: its current rows.
    """

    run_id: str
    sha256: str
    platform: str
    n_rows: int


@dataclass
class Merged:
    """The result of a merge.

    Attributes:
        runs: the accepted ones by id.
        duplicates: ids of runs that were merged already, once per copy.
        refused: the runs and rows that were not merged.
        rows: by the id of each run, the fingerprints of its rows.
        measured: by the id of each run and for each measured row, the signs that no other measurement has.
    """

    runs: dict[str, Accepted] = field(default_factory=dict)
    duplicates: list[str] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    rows: dict[str, set[str]] = field(default_factory=dict)
    measured: dict[str, list[set[str]]] = field(default_factory=dict)


def merge(sources: Sequence[Path], out: Path, keep_private: bool = False) -> Merged:
    """Merge runs into one folder, which is read like any folder of runs.

    Args:
        sources: folders of runs, or parents of such folders.
        out: a new or empty folder; it gets one folder per run, and ``merge.json`` with what was accepted and refused.
            Where it contains this same merge, as after a kill at the last moment, nothing is changed.
        keep_private: copy names, paths and addresses, too.

    Raises:
        InputError: there is no run, or ``out`` contains something else.
        StoreError: ``out`` cannot be written.
    """
    earlier = _earlier(out)
    runs = [run for source in sources for run in store.runs(source)]
    if not runs:
        raise InputError(f"{', '.join(map(str, sources))}: no runs here (no {store.RUN} at or below)")
    merged = Merged()
    try:
        with whole.folder(out) if earlier is None else tempfile.TemporaryDirectory() as made:
            aside = Path(made)
            with tempfile.TemporaryDirectory(dir=aside) as staging:
                for number, source in enumerate(runs):
                    _merge_run(source, Path(staging) / str(number), merged, keep_private)
            manifest = json.dumps(_manifest(aside, merged), indent=2, ensure_ascii=False) + "\n"
            if earlier not in (None, manifest):
                raise _occupied(out)
            (aside / MERGED).write_text(manifest, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{out}: cannot write: {error.strerror}. Choose another --out.") from error
    return merged


def _earlier(out: Path) -> str | None:
    """Return the manifest of the merge in a folder; None where it is new or empty.

    Raises:
        InputError: it contains something else.
    """
    if not out.exists() or (out.is_dir() and all(path.name.startswith(_STAGED) for path in out.iterdir())):
        return None
    if not (out / MERGED).is_file():
        raise _occupied(out)
    return (out / MERGED).read_text(encoding="utf-8", errors="replace")


def _occupied(out: Path) -> InputError:
    return InputError(f"{out}: the folder contains something else. Choose a new folder: a merge always starts anew.")


def _merge_run(source: Path, staged: Path, merged: Merged, keep_private: bool) -> None:
    """Merge one run, or record why it is refused; of two copies of a run the one with more rows is used."""
    try:
        run_id = share.shareable(source, staged, keep_private)
        refused = list(_drop_unsound(staged))
        rows, measured = _fingerprints(staged), _measurements(staged)
        if rows <= merged.rows.get(run_id, set()) and run_id in merged.rows:
            merged.duplicates.append(run_id)
            return
        _refuse_conflict(run_id, rows, merged)
        _refuse_copies(run_id, measured, merged)
    except OSError:
        raise  # an error of the disk, not of the run
    except (GreenbenchError, UnicodeError) as error:  # a text may contain half a character
        merged.refused.append(Refused(source.name, privacy.text(str(error))))
        return
    except Exception as error:  # a run that was crafted to break a check is refused
        reason = privacy.text(f"cannot be judged: {type(error).__name__}: {error}")
        merged.refused.append(Refused(source.name, reason))
        return
    if run_id in merged.runs:
        merged.duplicates.append(run_id)
    merged.refused += refused
    merged.rows[run_id], merged.measured[run_id] = rows, measured
    merged.runs[run_id] = _move(staged, staged.parent.parent / run_id)


def _refuse_conflict(run_id: str, rows: set[str], merged: Merged) -> None:
    """Refuse a run with rows of another run, and one whose id belongs to other rows.

    Raises:
        StoreError: either is the case.
    """
    for other_id, old in merged.rows.items():
        if other_id != run_id and rows & old:
            raise StoreError(f"{len(rows & old)} of its rows are those of {other_id}, under another id")
        if other_id == run_id and not old < rows:
            raise StoreError("another run of this id holds other rows")


def _refuse_copies(run_id: str, measured: Sequence[set[str]], merged: Merged) -> None:
    """Refuse a run with windows of another run: no two windows last equally long to the nanosecond.

    Raises:
        StoreError: two of its windows, or all, are another run's.
    """
    for other_id, others in merged.measured.items():
        published = set().union(*others)
        n_copied = sum(bool(signs & published) for signs in measured)
        if other_id != run_id and n_copied >= min(2, len(measured)) > 0:
            raise StoreError(
                f"a copy of {other_id}: {n_copied} of its {len(measured)} windows took as long as that run's, to the "
                "nanosecond, or have its latencies. Publish what was measured by itself"
            )


def _measurements(folder: Path) -> list[set[str]]:
    """Return for each measured row the signs that no other measurement has: times and latencies in full precision."""
    windows = {
        key_of(row): row["segments"] for row in store.read_rows(folder / store.WINDOWS) if row["kind"] == "window"
    }
    latencies: dict[Key, list[Any]] = {}
    for text in store.read_rows(folder / store.HYPOTHESES):
        latencies.setdefault(key_of(text), []).append(text.get("latency_s"))
    rows = store.current(store.read_rows(folder / store.RECORDS))
    return [
        set(_signs(row, windows.get(key_of(row), ()), latencies.get(key_of(row), ())))
        for row in rows
        if row["status"] == "ok"
    ]


def _signs(row: Mapping[str, Any], segments: Sequence[Sequence[float]], latencies: Sequence[Any]) -> Iterator[str]:
    if segments:
        yield "edges " + " ".join(f"{end - start:.8f}" for start, end in segments)
    if row.get("cpu_s"):
        yield f"seconds {row['wall_s']!r} {row['cpu_s']!r}"
    if len(latencies) > 1 and None not in latencies:
        yield "latencies " + " ".join(map(repr, latencies))


def _fingerprints(folder: Path) -> set[str]:
    """Return the fingerprints of a run's rows; that of a measured row does not depend on the run's id."""
    rows = store.read_rows(folder / store.RECORDS)
    contents = (row | {"run_id": None} if row.get("status") == "ok" else row for row in rows)
    return {hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest() for row in contents}


def _move(staged: Path, aside: Path) -> Accepted:
    """Move a run into the folder that is being made."""
    shutil.rmtree(aside, ignore_errors=True)
    staged.rename(aside)
    n_rows = len(store.current(store.read_rows(aside / store.RECORDS)))
    return Accepted(aside.name, share.digest(aside), platforms.platform_id(store.open_run(aside).description), n_rows)


def _drop_unsound(folder: Path) -> Iterator[Refused]:
    """Remove the lines of a run that have errors, and yield the rows among them with the reason.

    Raises:
        StoreError: the run as a whole has an error.
    """
    errors = [problem for problem in validate.problems(folder) if problem.severity == "error"]
    for problem in errors:
        if problem.where == str(folder / store.RUN):
            raise StoreError(f"{store.RUN}: {problem.what}. {problem.fix}")
    for file in (store.RECORDS, store.SCORES):
        rows = dict(enumerate(store.read_rows(folder / file), start=1))
        reasons = {number: _reasons(errors, f"{folder / file}:{number}") for number in rows}
        if any(reasons.values()):
            share.write_lines(folder / file, [row for number, row in rows.items() if not reasons[number]])
        for number, faults in reasons.items():
            if faults and file == store.RECORDS:
                key = ", ".join(str(rows[number].get(name)) for name in record.KEYS[1:])
                yield Refused(f"{rows[number].get('run_id')} ({key})", "; ".join(faults))


def _reasons(errors: Iterable[validate.Problem], line: str) -> list[str]:
    return [error.what for error in errors if error.where == line or error.where.startswith(f"{line} (")]


def _manifest(out: Path, merged: Merged) -> dict[str, Any]:
    runs = [store.open_run(out / run_id).description for run_id in merged.runs]
    return {
        "schema": record.SCHEMA,
        "runs": [asdict(accepted) for accepted in merged.runs.values()],
        "platforms": [asdict(platform) for platform in platforms.platforms(runs).values()],
        "duplicates": merged.duplicates,
        "refused": [asdict(refused) for refused in merged.refused],
    }
