"""The one summary of a cell: what its rows agree in, the median and spread of each metric, and its flags."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from operator import itemgetter
from statistics import median
from typing import Any, Literal

from greenbench.analysis.error_rates import CellKey, cell_of
from greenbench.metrics import METRICS
from greenbench.provenance import PROVENANCE, agreed
from greenbench.results.flags import SPREAD, flags_over_repeats
from greenbench.results.record import CELL
from greenbench.results.store import Row
from greenbench.statistics.repeats import Unit, units

SHARED = (*CELL, *(name for name, column in PROVENANCE.items() if not column.varies))
"""The columns in which the rows of a cell are expected to agree."""


@dataclass(frozen=True)
class Spread:
    """One metric of a cell over the windows in which it was measured.

    Attributes:
        values: in the order of the rows, at least one.
        windows: round and repeat of each value.
        median: of the values.
        low, high: the least and the greatest value.
    """

    values: tuple[float, ...]
    windows: tuple[tuple[int, int], ...]
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class CellSummary:
    """One cell, all rounds and repeats together.

    Attributes:
        shared: the columns of ``SHARED``; ``Mixed`` where the rows disagree. Of the failed rows where all failed.
        rows: those with status ``ok``.
        failed: the others.
        flags: of any row that is ok, and what only all of them together show; with the figures behind each.
        spreads: of each metric that a row has.
    """

    shared: Mapping[str, Any]
    rows: tuple[Row, ...] = ()
    failed: tuple[Row, ...] = ()
    flags: Mapping[str, str] = field(default_factory=dict)
    spreads: Mapping[str, Spread] = field(default_factory=dict)


CellPair = tuple[CellSummary, CellSummary]
"""The baseline's cell and the other."""


def summaries(rows: Iterable[Row]) -> list[CellSummary]:
    """Sum up the rows of each cell, in the order in which the cells begin."""
    cells: dict[CellKey, list[Row]] = {}
    for row in rows:
        cells.setdefault(cell_of(row), []).append(row)
    return [_summary(of_cell) for of_cell in cells.values()]


_UNKNOWN: Row = dict.fromkeys((*SHARED, *METRICS))
_values_of = itemgetter(*_UNKNOWN)


def _summary(rows: Sequence[Row]) -> CellSummary:
    ok = tuple(row for row in rows if row["status"] == "ok")
    columns = dict(
        zip(_UNKNOWN, zip(*(_values_of({**_UNKNOWN, **row}) for row in ok or rows), strict=True), strict=True)
    )
    windows = [(row["round"], row["repeat"]) for row in ok]
    spreads = {metric: found for metric in METRICS if ok and (found := _spread(columns[metric], windows)) is not None}
    failed = tuple(row for row in rows if row["status"] != "ok")
    return CellSummary({name: agreed(columns[name]) for name in SHARED}, ok, failed, _flags(ok, spreads), spreads)


def _spread(values: Sequence[float | None], windows: Sequence[tuple[int, int]]) -> Spread | None:
    known = [(value, at) for value, at in zip(values, windows, strict=True) if value is not None]
    if not known:
        return None
    found, measured_in = zip(*known, strict=True)
    return Spread(found, measured_in, median(found), min(found), max(found))


def _flags(ok: Sequence[Row], spreads: Mapping[str, Spread]) -> dict[str, str]:
    """Return the flags of the rows and those of all of them together, with the figures behind each."""
    notes: dict[str, list[str]] = {}
    for row in ok:
        flags = row.get("flags") or ()
        for flag, note in zip_longest(flags, (row.get("flag_notes") or ())[: len(flags)], fillvalue=""):
            notes.setdefault(flag, []).append(note)
    raised = {flag: _first(of_flag, len(ok)) for flag, of_flag in notes.items()}
    values = {metric: spreads[metric].values if metric in spreads else () for metric in SPREAD}
    asked = max((int(row["n_windows"]) for row in ok if row.get("n_windows") is not None), default=None)
    return raised | (flags_over_repeats(values, len(ok), asked) if ok else {})


def _first(notes: Sequence[str], n_windows: int) -> str:
    """Return the first window's figures, and in how many windows there were any where that is not all of them."""
    some = f"in {len(notes)} of {n_windows} windows" if len(notes) < n_windows else ""
    return ": ".join(part for part in (some, next(filter(None, notes), "")) if part)


def status(cell: CellSummary) -> Literal["ok", "error", "skipped"]:
    """Return ``ok`` where any row is, else ``error`` where any row died, else ``skipped``."""
    if cell.rows:
        return "ok"
    return "error" if any(row["status"] == "error" for row in cell.failed) else "skipped"


def failure(cell: CellSummary) -> str | None:
    """Return why rows of a cell failed, each reason once; None where none did."""
    return "; ".join(dict.fromkeys(str(row["reason"]) for row in cell.failed)) or None


def median_of(cell: CellSummary, metric: str) -> float | None:
    """Return a cell's median of a metric over rounds and repeats; None where it was not measured."""
    return cell.spreads[metric].median if metric in cell.spreads else None


def by_unit(cell: CellSummary, metric: str) -> dict[Unit, float]:
    """Return a cell's independent measurements of a metric, see ``repeats.units``."""
    spread = cell.spreads.get(metric)
    return units((*at, value) for at, value in zip(spread.windows, spread.values, strict=True)) if spread else {}
