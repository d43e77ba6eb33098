"""Which lines of a summary descend from which, where the two may be compared, and what a rank notes about that."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from greenbench.analysis.cells import CellSummary
from greenbench.analysis.error_rates import cell_of
from greenbench.metrics import RATES, missing
from greenbench.models.ancestry import (
    NAMED,
    NO_REFERENCE,
    STATED,
    handles,
    identity,
    is_stated,
    nearest,
    sought,
)
from greenbench.results.comparability import columns, primary, value

Row = Mapping[Any, Any]

Alike = Mapping[tuple[str, ...], Sequence[CellSummary]]
"""Measured lines by weights and by name, and by the values in which two must agree before a metric may be compared."""


def alike(measured: Iterable[CellSummary], metric: str) -> Alike:
    """Sort lines by what they are found by and by everything in which two must agree to compare ``metric``."""
    found: dict[tuple[str, ...], list[CellSummary]] = {}
    for line in measured:
        for handle in handles(line.shared):
            found.setdefault(_key(line, handle, metric), []).append(line)
    return found


def teacher_of(line: CellSummary, known: Alike, metric: str) -> CellSummary | None:
    """Find the cell that a line descends from, as far up as was measured alike, whatever each is called.

    A build of a student is compared with the teacher too, or a lossy student's builds would pass for being as lossy.

    Args:
        line: the student.
        known: where to look, from ``alike`` for the same metric.
        metric: for which the two must be comparable.
    """
    seen, found = {cell_of(line.shared)}, None
    parent = parent_of(line, known, metric)
    while parent is not None and cell_of(parent.shared) not in seen:
        found = parent
        seen.add(cell_of(found.shared))
        parent = parent_of(found, known, metric)
    return found


def parent_of(line: CellSummary, known: Alike, metric: str) -> CellSummary | None:
    """Find the nearest cell that a line descends from among those measured alike, in the same run where it can be."""
    keys = [_key(line, handle, metric) for handle in sought(line.shared)]
    alike_ones = {id(one): one for key in keys for one in known.get(key, ())}
    return nearest(line.shared, alike_ones.values(), lambda one: one.shared)


def comparable(line: CellSummary, variant: str | None, known: Alike, metric: str) -> CellSummary | None:
    """Find the comparable cell of a variant, in the same run where there is one; never of the line's own variant."""
    is_other = variant not in (None, line.shared["variant"])
    named = known.get(_key(line, f"{NAMED}{variant}", metric), ()) if is_other else ()
    return min(named, key=lambda x: x.shared["run_id"] != line.shared["run_id"], default=None)


def _key(line: CellSummary, handle: str, metric: str) -> tuple[str, ...]:
    return (handle, *(str(value(line.shared, name)) for name in columns(metric)))


def parents(rows: Sequence[Row]) -> list[Row | None]:
    """Return each line's nearest ancestor among those whose error rate may be compared with its own, or None."""
    lines = [CellSummary(row) for row in rows]
    known = alike(lines, RATES[0])
    found = [parent_of(line, known, RATES[0]) for line in lines]
    return [None if parent is None else parent.shared for parent in found]


def relation(row: Row, ancestor: Row) -> str:
    """Say what an ancestor is to a line: the teacher of what was distilled from it, else the base model."""
    is_taught = is_distilled(row) and not is_distilled(ancestor)
    return "teacher" if is_taught or is_stated(row, ancestor) else "base model"


def is_distilled(row: Row) -> bool:
    """Say whether a line's lineage has a distillation."""
    return not missing(row.get("steps")) and re.search(r"(?<![\w-])distill(?![\w-])", str(row["steps"])) is not None


def notes(rows: Sequence[Row]) -> list[str | None]:
    """Return the note to each line's rank: that it has no reference here, or that the suite states it.

    A model that nothing says to be made from another lacks one only among others: alone it is compared with nothing.
    """
    scored = [row for row in rows if not missing(row[primary(row)])]
    with_parents = list(zip(scored, parents(scored), strict=True))
    together = Counter(map(_conditions, scored))
    linked = {cell_of(row) for pair in with_parents if pair[1] is not None for row in pair if row is not None}
    lost = [row for row in scored if _descends(row) or together[_conditions(row)] > 1]
    found = {cell_of(row): NO_REFERENCE for row in lost if cell_of(row) not in linked}
    found |= {cell_of(row): STATED for row, parent in with_parents if parent is not None and is_stated(row, parent)}
    return [found.get(cell_of(row)) for row in rows]


def _conditions(row: Row) -> str:
    return str([value(row, name) for name in columns(RATES[0])])


def _descends(row: Row) -> bool:
    """Whether a line says that it is made from another model."""
    return len(identity(row)) > 1 or len(sought(row)) > len(identity(row)[:1])
