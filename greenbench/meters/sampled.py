"""Sampled power: how what the poller saw during a window becomes joules, for every meter that has no counter."""

import math

import numpy as np

from greenbench.bounds import domain_of, implausible, impossible_w
from greenbench.plugins import Quantity, Reading, SampledPower
from greenbench.traces import Numbers, Trace, energy_j, series

FEW = 10
"""Fewer samples than this leave much of a window to interpolation: the note says so."""

NO_POLLER = "no process samples it: the suite's trace_hz is 0, or the process could not be started"


def integrate(reading: Reading, start_s: float, end_s: float) -> None:
    """Add to a reading the joules of each power that its meters left to the poller.

    Args:
        reading: of the window; its meters have closed, so waiting for the sample after the window costs nothing.
        start_s: start of the window on ``time.perf_counter``.
        end_s: its end.
    """
    if reading.trace is not None and reading.sampled:
        reading.trace.await_sample(end_s)
    for metric, power in reading.sampled.items():
        domain = domain_of(metric.split("_")[1], power.source)
        joules, note = _joules(reading.trace, power, domain, (start_s, end_s))
        reading.add(metric, Quantity(joules, "sampled", power.source, note, power.shared))


def _joules(
    trace: Trace | None, power: SampledPower, domain: str, window: tuple[float, float]
) -> tuple[float | None, str | None]:
    """Sum the powers of a metric, or return None with the reason where one of them cannot be known."""
    if trace is None:
        return None, NO_POLLER
    samples, total_j, n_samples, n_levels = trace.samples(*window), 0.0, math.inf, 0
    for name in power.names:
        times, watts = series(samples, name)
        joules, why = energy_j(times, watts, *window, trace.max_gap_s)
        why = why or _impossible(watts, domain) or implausible(domain, joules or 0.0, window[1] - window[0])
        if joules is None or why:
            return None, f"{name}: {why}"
        total_j += joules
        n_samples = min(n_samples, int(((times >= window[0]) & (times <= window[1])).sum()))
        n_levels = max(n_levels, len(np.unique(watts)))
    # A sensor that is slower than the poller repeats itself: the reader must know how often it really moved.
    told = f"{'only ' if n_samples < FEW else ''}{n_samples} samples in the window, {n_levels} different values"
    return total_j, f"{power.note}, {told}" if power.note else told


def _impossible(watts: Numbers, domain: str) -> str | None:
    return impossible_w(domain, float(watts.min())) or impossible_w(domain, float(watts.max()))
