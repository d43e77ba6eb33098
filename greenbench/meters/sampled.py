"""Sampled power: how the poller's samples of a window become joules, for every meter without a counter."""

import math
from collections.abc import Sequence

import numpy as np

from greenbench.hardware.bounds import domain_of, domain_of_sensor, implausible, impossible_w
from greenbench.plugins import Quantity, Reading, SampledPower
from greenbench.plugins.meters import FULL_SCALE, POWER
from greenbench.plugins.traces import Sample, Trace, series
from greenbench.statistics.integration import Numbers, energy_j

FEW = 10
"""With fewer samples much of a window is interpolated: the note says so."""

BUSY_CORES = 0.5
"""From this many cores' worth of CPU time on, a process computes; while it waits, its power may be constant."""

BUSY_PCT = 20.0
"""From this utilisation on, in half of the samples, a GPU board computes: the CPU may sleep meanwhile."""

REST_S = 5.0
RESTS_S = {"battery": 30.0}
"""By source: the longest time for which a working sensor may show one value while a model computes. Chips and drivers
update theirs within a second and to the milliwatt, and load is never that even; battery gauges within 30 s."""

NO_POLLER = "no process samples it: the suite's trace_hz is 0"


def integrate(reading: Reading, start_s: float, end_s: float) -> None:
    """Add the joules of each sampled power to a reading.

    Args:
        reading: of the window; its meters have closed, so that waiting for the sample after the window is free.
        start_s: start of the window on ``time.perf_counter``.
        end_s: its end.
    """
    if reading.trace is not None and reading.sampled:
        reading.trace.await_sample(end_s)
    for metric, power in reading.sampled.items():
        domain = domain_of(metric.split("_")[1], power.source)
        joules, note = _joules(reading.trace, power, domain, (start_s, end_s))
        if joules is not None and reading.trace is not None:
            stuck = _stuck(reading.trace, power, (start_s, end_s), _computes(reading))
            joules, note = (None, stuck) if stuck else (joules, note)
        reading.add(metric, Quantity(joules, "sampled", power.source, note, power.shared))


def _joules(
    trace: Trace | None, power: SampledPower, domain: str, window: tuple[float, float]
) -> tuple[float | None, str | None]:
    """Integrate and sum the powers of a metric; None with the reason where one of them is unknown."""
    if trace is None:
        return None, NO_POLLER
    samples, total_j, n_samples, n_levels = trace.samples(*window), 0.0, math.inf, 0
    for name in power.names:
        times, watts = series(samples, name)
        joules, why = energy_j(times, watts, *window, trace.max_gap_s)
        inside = watts[(times >= window[0]) & (times <= window[1])]
        of = domain_of_sensor(name, domain)
        why = _at_full_scale(samples, name) or why or _impossible(watts, inside, of)
        why = why or implausible(of, joules or 0.0, window[1] - window[0])
        if joules is None or why:
            return None, f"{name}: {why}"
        total_j += joules
        n_samples = min(n_samples, len(inside))
        n_levels = max(n_levels, len(np.unique(watts)))
    # A sensor that is slower than the poller repeats its values: the note says how many are different.
    summary = f"{'only ' if n_samples < FEW else ''}{n_samples} samples in the window, {n_levels} different values"
    return total_j, f"{power.note}, {summary}" if power.note else summary


def _at_full_scale(samples: Sequence[Sample], power: str) -> str | None:
    """Say that a sensor was at the end of its range, where it no longer measures, or return None."""
    _, watts = series(samples, power.removesuffix(POWER) + FULL_SCALE)
    if not len(watts):
        return None
    where = f"it is at the end of its range ({watts[0]:,.6g} W) in {len(watts)} of {len(samples)} samples"
    return f"{where}: the power is beyond what it can show, or it is faulty"


def _computes(reading: Reading) -> bool:
    """Say whether this process computed in the windows so far: the machine's power cannot have been constant then."""
    return (reading.value("cpu_s") or 0.0) > BUSY_CORES * (reading.value("wall_s") or math.inf)


def _stuck(trace: Trace, power: SampledPower, window: tuple[float, float], computes: bool) -> str | None:
    """Say that a sensor showed one value for too long while this process or its board computed, or return None."""
    rest_s = RESTS_S.get(power.source, REST_S)
    since_s = min(window[0], window[1] - rest_s)
    samples = trace.samples(since_s, window[1])
    for name in power.names:
        times, watts = series(samples, name)
        seen = times <= window[1]
        still = times[0] <= since_s and seen.sum() >= FEW and len(np.unique(watts[seen])) == 1
        if still and (computes or _board_computes(samples, name)):
            stood_s = window[1] - since_s
            return f"{name}: it stood at {watts[0]:g} W for {stood_s:.0f} s while the model computed: it is stuck"
    return None


def _board_computes(samples: Sequence[Sample], power: str) -> bool:
    """Say whether the GPU board whose power this is was used; False where samples have no utilisation of it."""
    _, used_pct = series(samples, f"{power.rpartition('.')[0]}.utilisation_pct")
    return len(used_pct) > 0 and float(np.median(used_pct)) >= BUSY_PCT


def _impossible(watts: Numbers, inside: Numbers, domain: str) -> str | None:
    if not inside.all():
        n_zero = len(inside) - np.count_nonzero(inside)
        return f"it stands at 0 W in {n_zero} of {len(inside)} samples while the machine runs: it does not measure"
    return impossible_w(domain, float(watts.min())) or impossible_w(domain, float(watts.max()))
