"""Clock skew: the offset of a power log's clock from this machine's, by the correlation of the log with the load."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from greenbench.plugins.traces import TIME, Sample, Session, series
from greenbench.power.log import PowerLog
from greenbench.statistics.integration import Numbers, energy_j

MAX_S = 30.0
"""The largest skew that is searched for; a log whose clock is further off hardly covers the windows."""

STEP_S = 0.1
BOUND_S = 1.0
"""A possible skew within this is accepted where 0 is possible, too: logs of one sample per second resolve no less."""

MAX_CHANGE = 0.02
MAX_UNCLEAR = 0.1
"""The largest accepted change of a window's joules by a skew that is clear, and by one that is only possible."""

MIN_CORRELATION = 0.6
"""Below this the log does not follow the load well enough to estimate a skew."""

MIN_SAMPLES = 8
MAX_SAMPLES = 5000
"""The most samples of the log that are compared with the load; of more, every n-th is used."""

LIKELIHOOD = 16.0
"""The most that n ln(unexplained variance) may exceed its minimum: 4 standard deviations, as residuals correlate."""

FLOOR = 1e-3
"""A share of the variance that no fit explains, since meters round and average."""

MAX_HOLE_S = 2.0
"""The longest time without a sample over which the load counts as known."""

LoadSeries = tuple[Numbers, Numbers]
"""Times in UTC, and the machine's load until each: watts, percent, or 0 and 1."""


@dataclass(frozen=True)
class Skew:
    """The estimated skew of a log's clock.

    Attributes:
        best_s: the seconds by which it seems to be ahead; None where the log follows the load clearly at no skew.
        low_s: the least skew at which it follows the load equally well, within chance.
        high_s: the largest.
        correlation: at ``best_s``.
        at_zero: the correlation without any skew, or None where it is undefined.
        change: the largest share by which a skew in this range changes the joules of a window.
    """

    best_s: float | None
    low_s: float
    high_s: float
    correlation: float | None
    at_zero: float | None
    change: float

    @property
    def summary(self) -> str:
        """Describe the estimate, for a row's note."""
        if self.best_s is None:
            return f"no skew can be seen, and none up to {MAX_S:g} s changes these joules by over {self.change:.1%}"
        return f"the log follows the load at {self.best_s:+.1f} s ({self.low_s:+.1f} to {self.high_s:+.1f} s)"

    def problem(self) -> str | None:
        """Say why joules from this log are not reliable unless its skew is stated, or return None."""
        span = f"{self.low_s:+.1f} to {self.high_s:+.1f} s"
        change = f"which changes the joules of a window by up to {self.change:.0%}"
        if self.best_s is not None and not self.low_s <= 0 <= self.high_s:
            if self.change <= MAX_CHANGE:
                return None
            zero = "unknown" if self.at_zero is None else f"{self.at_zero:.2f}"
            return (
                f"its clock seems to be {self.best_s:+.1f} s ahead of this machine's ({span}; correlation with the "
                f"run's load {self.correlation:.2f} there, {zero} at 0 s), {change}. State --clock-skew "
                f"{self.best_s:.1f}, or --clock-skew 0 where the clocks agree"
            )
        near = self.best_s is not None and -BOUND_S <= self.low_s <= self.high_s <= BOUND_S
        if near or self.change <= MAX_UNCLEAR:
            return None
        return (
            f"whether its clock agrees with this machine's is unclear: by the run's load it may be {span} ahead, "
            f"{change}. State --clock-skew, 0 where the clocks agree"
        )


def estimate(log: PowerLog, load: LoadSeries, windows: Sequence[Sequence[Sequence[float]]]) -> Skew:
    """Estimate the skew of a log's clock: its samples are correlated with the run's load at every skew.

    The skew is the lag of the highest correlation (Knapp and Carter, "The generalized correlation method for
    estimation of time delay", 1976, without weights); its range is that of the likelihood of a straight line between
    load and watts.

    Args:
        log: read with no skew.
        load: of the run.
        windows: the segments of each window in UTC.
    """
    skews: Numbers = np.linspace(-MAX_S, MAX_S, 2 * round(MAX_S / STEP_S) + 1)
    times, watts = _near(log, load)
    fits = np.array([_fit(times - skew, watts, load) for skew in skews])
    defined, correlations = np.isfinite(fits[:, 0]), fits[:, 0]
    if not defined.any() or np.nanmax(correlations) < MIN_CORRELATION:
        return Skew(None, float(skews[0]), float(skews[-1]), None, None, _change(log, windows, skews))
    misfit = fits[:, 1] * np.log(1 - np.clip(correlations, 0, 1) ** 2 + FLOOR)
    best = int(np.nanargmax(correlations))
    possible = skews[defined & (misfit - misfit[best] <= LIKELIHOOD)]
    # Where many fit equally, as with one sample per second, the one in their middle is the estimate.
    alike = skews[defined & (correlations >= correlations[best] - 1e-3)]
    zero = float(correlations[len(skews) // 2])
    return Skew(
        float(np.median(alike)), float(possible.min()), float(possible.max()), float(correlations[best]),
        zero if np.isfinite(zero) else None, _change(log, windows, possible),
    )  # fmt: skip


def _near(log: PowerLog, load: LoadSeries) -> tuple[Numbers, Numbers]:
    """Return the log's samples from the time of the run, extended by the largest skew."""
    if not len(load[0]):
        return log.times[:0], log.watts[:0]
    near = (log.times >= load[0][0] - MAX_S) & (log.times <= load[0][-1] + MAX_S)
    every = -(-int(near.sum()) // MAX_SAMPLES) or 1
    return log.times[near][::every], log.watts[near][::every]


def _fit(times: Numbers, watts: Numbers, load: LoadSeries) -> tuple[float, int]:
    """Return the correlation of watts with the load at these times, NaN where undefined, and the number of samples."""
    at = np.searchsorted(load[0], times)
    inner = (at > 0) & (at < len(load[0]))
    at = np.clip(at, 1, max(len(load[0]) - 1, 1))
    inner &= len(load[0]) > 1
    if inner.any():
        inner &= load[0][at] - load[0][at - 1] <= MAX_HOLE_S
    n = int(inner.sum())
    if n < MIN_SAMPLES:
        return np.nan, n
    x, y = load[1][at[inner]], watts[inner]
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return (0.0 if np.ptp(load[1]) else np.nan), n
    return float(np.corrcoef(x, y)[0, 1]), n


def _change(log: PowerLog, windows: Sequence[Sequence[Sequence[float]]], skews: Numbers) -> float:
    """Return the largest relative change of a covered window's energy over these skews."""
    some = skews[np.unique(np.linspace(0, len(skews) - 1, 41).astype(int))]
    changes = [0.0]
    for segments in windows:
        assumed_j = _joules(log, segments, 0.0)
        shifted = [_joules(log, segments, float(skew)) for skew in some]
        changes += [abs(joules / assumed_j - 1) for joules in shifted if assumed_j and joules is not None]
    return max(changes)


def _joules(log: PowerLog, segments: Sequence[Sequence[float]], skew_s: float) -> float | None:
    parts = [
        energy_j(log.times, log.watts, start + skew_s, end + skew_s, log.source.max_gap_s)[0] for start, end in segments
    ]
    return None if None in parts else sum(part for part in parts if part is not None)


# --- the machine's load ----------------------------------------------------------------------------------


def load_of(sessions: Iterable[Session], edges: Sequence[tuple[str, Sequence[Sequence[float]]]]) -> LoadSeries:
    """Return the load of a run's machine: its sampled power or CPU load, else 1 in windows and 0 in idle baselines.

    Args:
        sessions: of the run's trace.
        edges: ``window`` or ``idle``, with its segments in UTC.
    """
    traced = [_traced(session) for session in sessions if len(session.samples) > 1]
    if traced:
        times, values = (np.concatenate(parts) for parts in zip(*traced, strict=True))
        if len(values) and np.ptp(values) > 0:
            return times, values
    points = sorted(
        (float(t), float(kind == "window"))
        for kind, segments in edges
        for start, end in segments
        for t in np.arange(start, end, STEP_S)
    )
    times, values = np.array(points, dtype=np.float64).reshape(-1, 2).T
    return times, values


def _traced(session: Session) -> LoadSeries:
    """Return the first of sampled power, counted power and CPU load that a session has and that varies."""
    for find in (_power, _counted, _utilisation):
        times, values = find(session.samples)
        if len(values) > 1 and np.ptp(values) > 0.02 * np.abs(values).mean():
            return times + session.offset_s, values
    return np.empty(0), np.empty(0)


def _power(samples: Sequence[Sample]) -> LoadSeries:
    return _sum(samples, [name for name in samples[-1] if name.endswith(".power_w")])


def _utilisation(samples: Sequence[Sample]) -> LoadSeries:
    return series(samples, "cpu.utilisation_pct")


def _counted(samples: Sequence[Sample]) -> LoadSeries:
    """Return watts from the counters of the CPU packages; a step back is a wrap or a reset, and left out."""
    names = [name for name in samples[-1] if name.startswith("rapl.") and name.endswith(".energy_uj")]
    times, joules = _sum(samples, names)
    watts = [(t, (b - a) / (t - s)) for (s, a), (t, b) in pairwise(zip(times, joules, strict=True)) if b >= a and t > s]
    ends, powers = np.array(watts, dtype=np.float64).reshape(-1, 2).T
    return ends, powers


def _sum(samples: Sequence[Sample], names: Sequence[str]) -> LoadSeries:
    whole: list[Mapping[str, Any]] = [s for s in samples if names and all(name in s for name in names)]
    points = [{TIME: s[TIME], "sum": sum(s[name] for name in names)} for s in whole]
    return series(points, "sum")
