"""Which cell of one side is set against which cell of the other."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from greenbench.analysis.error_rates import Cell, cell_of
from greenbench.analysis.selection import Side
from greenbench.provenance import PROVENANCE
from greenbench.results.comparability import differing
from greenbench.results.record import CELL
from greenbench.results.store import Row
from greenbench.statistics.repeats import Unit, units

_ASKED_FOR = tuple(name for name in CELL if name not in ("run_id", "variant"))
"""What a suite asks for beside the variant."""


@dataclass(frozen=True)
class Line:
    """One cell of one side, its rounds and repeats together.

    Attributes:
        shared: key and provenance; where its rows disagree, every value joined by a slash.
        rows: those with status ``ok``.
        flags: of any of these.
        failure: why the others are not, None where all are.
    """

    shared: Mapping[str, Any]
    rows: tuple[Row, ...]
    flags: tuple[str, ...]
    failure: str | None


def lines(rows: Iterable[Row]) -> list[Line]:
    """Sum up the rows of each cell, in their order."""
    cells: dict[Cell, list[Row]] = {}
    for row in rows:
        cells.setdefault(cell_of(row), []).append(row)
    return [_line(of_cell) for of_cell in cells.values()]


def _line(rows: Sequence[Row]) -> Line:
    ok = [row for row in rows if row["status"] == "ok"]
    failures = dict.fromkeys(str(row["reason"]) for row in rows if row["status"] != "ok")
    shared = {name: _agreed([row.get(name) for row in ok or rows]) for name in (*CELL, *PROVENANCE)}
    flags = dict.fromkeys(flag for row in ok for flag in row["flags"] or ())
    return Line(shared, tuple(ok), tuple(flags), "; ".join(failures) or None)


def _agreed(values: Sequence[Any]) -> Any:
    """Return the one value of a column, or its different values as text."""
    distinct = {str(value): value for value in values if value is not None}
    return " / ".join(distinct) if len(distinct) > 1 else next(iter(distinct.values()), None)


def middle(line: Line, metric: str) -> float | None:
    """Return a line's median of a metric over rounds and repeats; None where it was not measured."""
    values = [row[metric] for row in line.rows if row.get(metric) is not None]
    return median(values) if values else None


def by_unit(line: Line, metric: str) -> dict[Unit, float]:
    """Return a line's independent measurements of a metric, see ``repeats.units``."""
    return units((row["round"], row["repeat"], row[metric]) for row in line.rows if row.get(metric) is not None)


def pair(a: Side, b: Side) -> tuple[list[tuple[Line, Line]], list[Line], list[Line]]:
    """Find the partner of each cell.

    Returns:
        The pairs, and the lines of either side that have none.
    """
    lines_a, lines_b = lines(a.rows), lines(b.rows)
    pairs: list[tuple[Line, Line]] = []
    alone: list[Line] = []
    for variant in dict.fromkeys(line.shared["variant"] for line in lines_b):
        baseline = a.variant or variant
        if baseline == variant and a.texts == b.texts:
            continue  # a cell is no partner of its own
        ours = [line for line in lines_b if line.shared["variant"] == variant]
        found = _couples([line for line in lines_a if line.shared["variant"] == baseline], ours)
        pairs += found
        alone += [line for line in ours if all(line is not y for _, y in found)]
    unused = [line for line in lines_a if all(line is not x for x, _ in pairs)]
    return pairs, ([] if a.texts == b.texts else unused), alone


def _couples(theirs: Sequence[Line], ours: Sequence[Line]) -> list[tuple[Line, Line]]:
    """Give each line of one variant the line of another that was run the same way, else the one most like it."""
    free, partners = list(theirs), dict[int, Line]()
    for most in (0, len(_ASKED_FOR)):
        for index, line in enumerate(ours):
            nearest = min(free, key=lambda x: _distance(x, line), default=None)
            if index not in partners and nearest is not None and _distance(nearest, line) <= most:
                partners[index] = nearest
                free.remove(nearest)
    return [(partners[index], line) for index, line in enumerate(ours) if index in partners]


def _distance(a: Line, b: Line) -> int:
    """Count in how many columns that were asked for two cells differ."""
    return len(differing(a.shared, b.shared, _ASKED_FOR))
