"""The search of the highest load that a model holds: a server's rate of arrivals."""

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
