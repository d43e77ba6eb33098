"""Which cell of one side is set against which cell of the other."""

from collections.abc import Sequence

from greenbench.analysis.cells import CellPair, CellSummary, summaries
from greenbench.analysis.selection import Side
from greenbench.results.comparability import differing
from greenbench.results.record import CELL

_ASKED_FOR = tuple(name for name in CELL if name not in ("run_id", "variant"))
"""What a suite asks for in addition to the variant."""


def pair(a: Side, b: Side) -> tuple[list[CellPair], list[CellSummary], list[CellSummary]]:
    """Find the partner of each cell.

    Returns:
        The pairs, and the cells of either side that have none.
    """
    cells_a, cells_b = summaries(a.rows), summaries(b.rows)
    pairs: list[CellPair] = []
    alone: list[CellSummary] = []
    for variant in dict.fromkeys(cell.shared["variant"] for cell in cells_b):
        baseline = a.variant or variant
        if baseline == variant and a.texts == b.texts:
            continue  # a cell is no partner of its own
        ours = [cell for cell in cells_b if cell.shared["variant"] == variant]
        found = _couples([cell for cell in cells_a if cell.shared["variant"] == baseline], ours)
        pairs += found
        alone += [cell for cell in ours if all(cell is not y for _, y in found)]
    unused = [cell for cell in cells_a if all(cell is not x for x, _ in pairs)]
    return pairs, ([] if a.texts == b.texts else unused), alone


def _couples(theirs: Sequence[CellSummary], ours: Sequence[CellSummary]) -> list[CellPair]:
    """Give each cell of one variant the cell of another that was run the same way, else the one most like it."""
    free, partners = list(theirs), dict[int, CellSummary]()
    for most in (0, len(_ASKED_FOR)):
        for index, cell in enumerate(ours):
            nearest = min(free, key=lambda x: _distance(x, cell), default=None)
            if index not in partners and nearest is not None and _distance(nearest, cell) <= most:
                partners[index] = nearest
                free.remove(nearest)
    return [(partners[index], cell) for index, cell in enumerate(ours) if index in partners]


def _distance(a: CellSummary, b: CellSummary) -> int:
    """Count in how many columns that were asked for two cells differ."""
    return len(differing(a.shared, b.shared, _ASKED_FOR))
