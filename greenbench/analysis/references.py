"""Which lines of a summary descend from which, and what a rank notes about that."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from greenbench.analysis.cells import CellSummary
from greenbench.analysis.error_rates import cell_of
from greenbench.analysis.gains import alike, parent_of
from greenbench.metrics import RATES, missing
from greenbench.models.ancestry import NO_REFERENCE, STATED, identity, is_stated, sought
from greenbench.results.comparability import columns, primary, value

Row = Mapping[Any, Any]


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
