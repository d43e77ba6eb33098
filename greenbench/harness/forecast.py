"""How long a run takes: by what its cells took before, by those that are done, and at least by its protocol."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from greenbench import meters
from greenbench.harness.control_cell import STEPS
from greenbench.meters import energy
from greenbench.results import store
from greenbench.results.record import CELL
from greenbench.suite.config import Suite
from greenbench.suite.plan import Cell
from greenbench.suite.protocol import label, least_s
from greenbench.suite.scenarios import least_window_s


class Pace:
    """How long the cells of a run have taken so far, and what follows for the others.

    Cells differ most by how much speech they transcribe and in which batches, so one says nothing of another data set,
    device, scenario or batch size.

    Args:
        cells: those that are to be measured.
    """

    def __init__(self, cells: Iterable[Cell]) -> None:
        self._rest = Counter(map(_kind, cells))
        self._took: defaultdict[tuple[object, ...], list[float]] = defaultdict(list)

    def done(self, cell: Cell, seconds: float) -> None:
        """Note what a cell took, the rest before it included."""
        self._took[_kind(cell)].append(seconds)
        self._rest[_kind(cell)] -= 1

    @property
    def left_s(self) -> float | None:
        """The expected seconds of all cells that are not done; None where none of the same kind is."""
        rest = +self._rest
        if not self._took or not rest.keys() <= self._took.keys():
            return None
        return sum(n * fmean(self._took[kind]) for kind, n in rest.items())


def _kind(cell: Cell) -> tuple[object, ...]:
    return cell.dataset.name, cell.device, cell.scenario, cell.batch_size


def expected_s(results: Path, suite: Suite, cells: Sequence[Cell]) -> list[float | None]:
    """Return how long each cell and the rest before it took when last run the same way; None where it never was.

    Args:
        results: a folder of earlier runs.
        suite: gives protocol and threads.
        cells: of the suite.
    """
    protocol = label(suite.protocol)
    known: dict[tuple[object, ...], float] = {}
    for folder in store.runs(results):
        for row in store.read_rows(folder / store.RECORDS):
            if row.get("cell_s") and row["threads"] == suite.threads and row["protocol"] == protocol:
                known[tuple(row[name] for name in CELL[1:])] = row["cell_s"] + (row.get("cooldown_s") or 0.0)
    return [known.get(tuple(cell.key[name] for name in CELL[1:])) for cell in cells]


def controls_s(suite: Suite, cells: Sequence[Cell]) -> float:
    """Return the seconds that the controls at both edges of each round take at least on each device."""
    steps = suite.protocol
    n_rounds = len({(cell.round, cell.device) for cell in cells})
    rest_s = steps.cooldown_s if steps.cooldown_within_c is None else 0.0
    return 2 * n_rounds * (least_s(STEPS, idles=False) + rest_s) if suite.control else 0.0


def least_total_s(suite: Suite, cells: Sequence[Cell]) -> float:
    """Return the seconds that cells of a suite take at least by its protocol, controls included."""
    return sum(least(suite, cells)) + controls_s(suite, cells)


def least(suite: Suite, cells: Sequence[Cell]) -> list[float]:
    """Return the seconds that the process of each cell takes at least by the suite, on this machine's meters."""
    idles = any(map(energy.reads_joules, meters.select(suite.estimate_energy, suite.meters)))
    windows_s = [max(suite.protocol.window_s, least_window_s(cell.scenario, suite.streaming)) for cell in cells]
    return [least_s(replace(suite.protocol, window_s=window_s), idles) for window_s in windows_s]
