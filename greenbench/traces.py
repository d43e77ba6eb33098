"""Traces: what a separate process saw of the machine at a steady pace, and energy integrated from it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Sample = Mapping[str, float]
"""What was seen at one moment: ``t_s`` on ``time.perf_counter`` (one clock for all processes of a machine) and
values named ``<source>.<part>.<quantity>_<unit>``, e.g. ``nvml.0.power_w`` or ``rapl.package-0.energy_uj``."""

TIME = "t_s"


@dataclass(frozen=True)
class Trace:
    """A file of samples, one JSON object a line, that another process appends to while it is read.

    Attributes:
        path: of the file; lines of other kinds (without ``t_s``) are left out.
    """

    path: Path

    def samples(self, start_s: float, end_s: float) -> list[Sample]:
        """Return the samples from the last one before ``start_s`` to the first one after ``end_s``, in order."""
        seen = [sample for line in self._lines() if TIME in (sample := json.loads(line))]
        before = [sample for sample in seen if sample[TIME] < start_s][-1:]
        inside = [sample for sample in seen if start_s <= sample[TIME] <= end_s]
        after = [sample for sample in seen if sample[TIME] > end_s][:1]
        return [*before, *inside, *after]

    def _lines(self) -> list[str]:
        """Return the whole lines written so far; the last one may be half written."""
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()


def integrate_j(samples: Sequence[Sample], name: str, start_s: float, end_s: float) -> float | None:
    """Integrate a sampled power over a window by the trapezoid rule, with values interpolated at its edges.

    Args:
        samples: as ``Trace.samples`` returns them.
        name: of a value in W.
        start_s: start of the window on the samples' clock.
        end_s: its end.

    Returns:
        Joules, or None where fewer than two samples have the value or they do not reach over both edges.
    """
    import numpy as np

    points = [(sample[TIME], sample[name]) for sample in samples if name in sample]
    if len(points) < 2 or points[0][0] > start_s or points[-1][0] < end_s:
        return None
    times, watts = np.array(points).T
    inner = (times > start_s) & (times < end_s)
    at = np.concatenate([[start_s], times[inner], [end_s]])
    return float(np.trapezoid(np.interp(at, times, watts), at))
