"""What one side of a comparison names: a run, a file of rows, or some variants of one of them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from greenbench.errors import InputError, did_you_mean
from greenbench.results import store
from greenbench.results.record import KEYS
from greenbench.results.store import Row

_LATEST = re.compile(r"latest(?:~(\d+))?")


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    Attributes:
        name: as the user wrote it.
        rows: the rows that stand, of the chosen variants.
        texts: where the raw texts of these rows are; the file need not exist.
        variant: the one variant that was asked for; None where none was, or several answer.
    """

    name: str
    rows: tuple[Row, ...]
    texts: Path
    variant: str | None = None


def select(name: str, results: Path = Path("results")) -> Side:
    """Read what a side names.

    Args:
        name: ``PLACE`` or ``PLACE:VARIANT``. A place is a run's folder, a parent of one run, a file of rows, the
            name of a run under ``results``, ``latest`` or ``latest~N``. A variant is a name or a glob.
        results: where runs are by default.

    Raises:
        InputError: nothing is there, it is not one run, or no variant matches; says what there is.
    """
    place, glob = _split(name, results)
    file = _file(place, results)
    rows = _rows(file)
    runs = sorted({str(row["run_id"]) for row in rows})
    if len(runs) > 1:
        raise InputError(f"{name}: {file} holds rows of {len(runs)} runs ({', '.join(runs)}). Name one run's folder.")
    if not rows:
        raise InputError(f"{name}: {file} holds no rows yet. Let the run finish a cell, then compare again.")
    names = list(dict.fromkeys(str(row["variant"]) for row in rows))
    chosen = names if glob is None else _matching(glob, names)
    if not chosen:
        raise InputError(f"{name}: no variant of that run matches '{glob}'. {did_you_mean(glob or '', names)}")
    only = chosen[0] if glob is not None and len(chosen) == 1 else None
    return Side(
        name, tuple(row for row in rows if row["variant"] in chosen), file.resolve().parent / store.HYPOTHESES, only
    )


def _rows(file: Path) -> list[Row]:
    """Return the rows that stand in a file.

    Raises:
        InputError: the file holds something else.
    """
    rows = list(store.read_rows(file))
    if not all(isinstance(row, dict) and {*KEYS, "status"} <= row.keys() for row in rows):
        raise InputError(f"{file}: these are not rows of a run. Name a run's folder, or its {store.RECORDS}.")
    return store.current(rows)


def _split(name: str, results: Path) -> tuple[str, str | None]:
    """Part a place from a variant; either may hold a colon, so the shortest place that exists wins."""
    at = [match.start() for match in re.finditer(":", name)]
    places = [(name, None), *((name[:i], name[i + 1 :]) for i in at)]
    found = [(place, glob) for place, glob in places if _exists(place, results)]
    return found[0] if found else (name.partition(":")[0], None)


def _exists(place: str, results: Path) -> bool:
    return bool(place) and (bool(_LATEST.fullmatch(place)) or Path(place).exists() or (results / place).exists())


def _matching(glob: str, names: Sequence[str]) -> list[str]:
    """Return the variant of exactly this name, else those that match it as a glob."""
    return [glob] if glob in names else [name for name in names if fnmatchcase(name, glob)]


def _file(place: str, results: Path) -> Path:
    """Return the file that holds a place's rows."""
    latest = _LATEST.fullmatch(place)
    if latest and not Path(place).exists():
        return _nth_latest(place, int(latest[1] or 0), results) / store.RECORDS
    path = next((path for path in (Path(place), results / place) if path.exists()), None)
    if path is None:
        known = ["latest", "latest~1", *(run.name for run in store.runs(results)[-5:])]
        raise InputError(f"{place}: there is no such run, folder or file. {did_you_mean(place, known)}")
    return path if path.is_file() else _only_run(path) / store.RECORDS


def _only_run(folder: Path) -> Path:
    """Return the one run at or below a folder."""
    found = store.runs(folder)
    if len(found) != 1:
        raise InputError(f"{folder}: {len(found) or 'no'} runs are here, one was expected.{_listed(found)}")
    return found[0]


def _nth_latest(name: str, back: int, results: Path) -> Path:
    """Return the run under ``results`` that began ``back`` runs before the last one."""
    found = [run.folder for run in store.by_start(results)]
    if back >= len(found):
        raise InputError(f"{name}: {len(found) or 'no'} runs are under {results}/.{_listed(found)}")
    return found[-1 - back]


def _listed(folders: Iterable[Path]) -> str:
    """Name the last few runs to choose from."""
    names = [str(folder) for folder in folders][-5:]
    return f" Name one of: {', '.join(names)}" if names else " `greenbench run` makes one."
