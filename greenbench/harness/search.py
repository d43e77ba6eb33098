"""The search for the highest load that a model holds: a server's rate of arrivals, or streams at once."""

import math
from collections.abc import Callable, Sequence

from greenbench.harness.window import Probe, Window

NextLoad = Callable[[float, float, int], float | None]
"""Takes the highest load that held and the lowest that was missed (0 and infinity where there is none), and how many
were tried; returns the next one to try, or None where the search is over."""


def find(next_load: NextLoad, measure: Callable[[float], Window], judge: Callable[[float, Window], Probe]) -> Window:
    """Try loads until the highest one that holds is known.

    Args:
        next_load: chooses the loads.
        measure: runs a window under a load.
        judge: says whether the bound held in a window under a load.

    Returns:
        The window under the highest load that held; where none did, the last one. It knows all probes.
    """
    low, high, chosen, probes = 0.0, math.inf, Window(), list[Probe]()
    while (load := next_load(low, high, len(probes))) is not None:
        window = measure(load)
        probes.append(judge(load, window))
        low, high = (load, high) if probes[-1].held else (low, load)
        if probes[-1].held or not low:
            chosen = window
    chosen.probes = tuple(probes)
    return chosen


def highest(probes: Sequence[Probe]) -> float | None:
    """Return the highest load that held, or None where none did."""
    return max((probe.load for probe in probes if probe.held), default=None)


def doubled(most: int) -> NextLoad:
    """Return the choice of whole numbers: 1, 2, 4 ... up to the most while they hold, then the middle of what is left.

    It ends where one number holds and the next one does not, or where the most holds.
    """

    def next_load(low: float, high: float, _n_probes: int) -> float | None:
        if high == math.inf:
            return min(max(1, int(2 * low)), most) if low < most else None
        return int(low + high) // 2 if high - low > 1 else None

    return next_load
