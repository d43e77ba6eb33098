"""Runs of many machines in one folder: fit to be shared, each once, and of what is not taken in the reason."""

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
"""What earlier versions left behind when they were killed."""


@dataclass(frozen=True)
class Refused:
    """Something that was not taken in.

    Attributes:
        what: the run, and the row where it is one.
        reason: why.
    """

    what: str
    reason: str


@dataclass(frozen=True)
class Taken:
    """A run that was taken in.

    Attributes:
        run_id: its id, which is its folder's name.
        sha256: of its files.
        platform: see ``platforms``.
        n_rows: rows that stand.
    """

    run_id: str
    sha256: str
    platform: str
    n_rows: int


@dataclass
class Merged:
    """What came of a merge.

    Attributes:
        runs: taken in, by id.
        duplicates: ids of runs that were here already, once for each copy.
        refused: what was not taken in.
        rows: by the id of each run, what identifies its rows.
        measured: by the id of each run, what tells its measurements from any others.
    """

    runs: dict[str, Taken] = field(default_factory=dict)
    duplicates: list[str] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    rows: dict[str, set[str]] = field(default_factory=dict)
    measured: dict[str, list[set[str]]] = field(default_factory=dict)


def merge(sources: Sequence[Path], out: Path, keep_private: bool = False) -> Merged:
    """Bring runs together in one folder, which is read like any folder of runs.

    Args:
        sources: folders of runs, or parents of such folders.
        out: a new or empty folder; it gets a folder a run, and ``merge.json`` with what was taken in and what not.
            Where it holds this very merge, as after a kill at the last moment, nothing is changed.
        keep_private: copy names, paths and addresses too.

    Raises:
        InputError: there is no run, or ``out`` holds something else.
        StoreError: ``out`` cannot be written.
    """
    earlier = _earlier(out)
    found = [run for source in sources for run in store.runs(source)]
    if not found:
        raise InputError(f"{', '.join(map(str, sources))}: no runs here (no {store.RUN} at or below)")
    merged = Merged()
    try:
        with whole.folder(out) if earlier is None else tempfile.TemporaryDirectory() as made:
            aside = Path(made)
            with tempfile.TemporaryDirectory(dir=aside) as staging:
                for number, source in enumerate(found):
                    _take(source, Path(staging) / str(number), merged, keep_private)
            manifest = json.dumps(_manifest(aside, merged), indent=2, ensure_ascii=False) + "\n"
            if earlier not in (None, manifest):
                raise _occupied(out)
            (aside / MERGED).write_text(manifest, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{out}: cannot write: {error.strerror}. Choose another --out.") from error
    return merged


def _earlier(out: Path) -> str | None:
    """Return the manifest of the merge that a folder holds; None where it is new or empty.

    Raises:
        InputError: it holds something else.
    """
    if not out.exists() or (out.is_dir() and all(path.name.startswith(_STAGED) for path in out.iterdir())):
        return None
    if not (out / MERGED).is_file():
        raise _occupied(out)
    return (out / MERGED).read_text(encoding="utf-8", errors="replace")


def _occupied(out: Path) -> InputError:
    return InputError(f"{out}: something else is there already. Choose a new folder: merging begins anew each time.")


def _take(source: Path, staged: Path, merged: Merged, keep_private: bool) -> None:
    """Take one run in, or note why not; of two copies of a run the one that went on further stays."""
    try:
        run_id = share.shareable(source, staged, keep_private)
        refused = list(_drop_unsound(staged))
        rows, measured = _fingerprints(staged), _measurements(staged)
        if rows <= merged.rows.get(run_id, set()) and run_id in merged.rows:
            merged.duplicates.append(run_id)
            return
        _refuse_rivals(run_id, rows, merged)
        _refuse_copies(run_id, measured, merged)
    except OSError:
        raise  # of the disk, not of the run
    except (GreenbenchError, UnicodeError) as error:  # a text may hold half a character
        merged.refused.append(Refused(source.name, privacy.text(str(error))))
        return
    except Exception as error:  # a run that was made to break a check is refused by it
        told = privacy.text(f"cannot be judged: {type(error).__name__}: {error}")
        merged.refused.append(Refused(source.name, told))
        return
    if run_id in merged.runs:
        merged.duplicates.append(run_id)
    merged.refused += refused
    merged.rows[run_id], merged.measured[run_id] = rows, measured
    merged.runs[run_id] = _move(staged, staged.parent.parent / run_id)


def _refuse_rivals(run_id: str, rows: set[str], merged: Merged) -> None:
    """Refuse rows that another run holds, and a run whose id belongs to other rows.

    Raises:
        StoreError: either is the case.
    """
    for known, old in merged.rows.items():
        if known != run_id and rows & old:
            raise StoreError(f"{len(rows & old)} of its rows are those of {known}, under another id")
        if known == run_id and not old < rows:
            raise StoreError("another run of this id holds other rows")


def _refuse_copies(run_id: str, measured: Sequence[set[str]], merged: Merged) -> None:
    """Refuse a run whose windows are another run's: to the nanosecond no two windows take equally long.

    Raises:
        StoreError: two of its windows, or all, are.
    """
    for known, others in merged.measured.items():
        taken = set().union(*others)
        n_copied = sum(bool(signs & taken) for signs in measured)
        if known != run_id and n_copied >= min(2, len(measured)) > 0:
            raise StoreError(
                f"a copy of {known}: {n_copied} of its {len(measured)} windows took as long as that run's, to the "
                "nanosecond, or have its latencies. Publish what was measured by itself"
            )


def _measurements(folder: Path) -> list[set[str]]:
    """Return of each measured row what no other measurement has: seconds and latencies in full precision."""
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
    """Return what identifies a run's rows; of a measured row that is what it says, whatever the run is called."""
    rows = store.read_rows(folder / store.RECORDS)
    told = (row | {"run_id": None} if row.get("status") == "ok" else row for row in rows)
    return {hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest() for row in told}


def _move(staged: Path, aside: Path) -> Taken:
    """Move a run to its place in the folder that is being made."""
    shutil.rmtree(aside, ignore_errors=True)
    staged.rename(aside)
    n_rows = len(store.current(store.read_rows(aside / store.RECORDS)))
    return Taken(aside.name, share.digest(aside), platforms.platform_id(store.open_run(aside).description), n_rows)


def _drop_unsound(folder: Path) -> Iterator[Refused]:
    """Take the lines out of a run that do not hold, and yield the rows among them with the reason.

    Raises:
        StoreError: the run as a whole does not hold.
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
        for number, told in reasons.items():
            if told and file == store.RECORDS:
                key = ", ".join(str(rows[number].get(name)) for name in record.KEYS[1:])
                yield Refused(f"{rows[number].get('run_id')} ({key})", "; ".join(told))


def _reasons(errors: Iterable[validate.Problem], line: str) -> list[str]:
    return [error.what for error in errors if error.where == line or error.where.startswith(f"{line} (")]


def _manifest(out: Path, merged: Merged) -> dict[str, Any]:
    runs = [store.open_run(out / run_id).description for run_id in merged.runs]
    return {
        "schema": record.SCHEMA,
        "runs": [asdict(taken) for taken in merged.runs.values()],
        "platforms": [asdict(platform) for platform in platforms.platforms(runs).values()],
        "duplicates": merged.duplicates,
        "refused": [asdict(refused) for refused in merged.refused],
    }
