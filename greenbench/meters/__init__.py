"""Meters: which of the registered ones can measure on this machine, and how they are nested around a window."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from greenbench import registry
from greenbench.hardware.devices import synchronise
from greenbench.meters import energy, sampled
from greenbench.plugins import Meter, Quantity, Reading

MeterSettings = Mapping[str, Mapping[str, Any]]
"""Settings by meter name, as a suite gives them, e.g. ``{"codecarbon": {"tdp_w": 65}}``."""


def survey(options: MeterSettings | None = None) -> dict[str, str | None]:
    """Report which meters can measure on this machine.

    Args:
        options: settings by meter name; meters that are not named get their defaults.

    Returns:
        For every registered meter by name: why it cannot measure here, or None where it can.

    Raises:
        InputError: ``options`` has an unknown meter, setting or type.
    """
    return {name: _reason(meter) if meter else fault for name, meter, fault in _candidates(options or {})}


def select(estimate: bool, options: MeterSettings | None = None) -> list[Meter]:
    """Choose the meters of a run: each metric is read by one meter, which measures it where one can.

    Args:
        estimate: use an estimating meter for what no meter on this machine measures.
        options: settings by meter name; meters that are not named get their defaults.

    Returns:
        The available meters, those that measure first; of two that read the same metric, the first by name.

    Raises:
        InputError: ``options`` has an unknown meter, setting or type.
    """
    made = [meter for _, meter, _ in _candidates(options or {}) if meter and (estimate or not meter.estimates)]
    chosen: list[Meter] = []
    for meter in sorted(made, key=lambda m: m.estimates):
        answered = {metric for other in chosen for metric in other.metrics}
        if answered.isdisjoint(meter.metrics) and _reason(meter) is None:
            chosen.append(meter)
    return chosen


def absent(chosen: Iterable[Meter], options: MeterSettings | None = None) -> dict[str, str]:
    """Say why the metrics that no chosen meter reads are not measured.

    Args:
        chosen: what ``select`` chose.
        options: settings by meter name; meters that are not named get their defaults.

    Returns:
        By metric, each meter that would measure it, with its reason.
    """
    answered = {metric for meter in chosen for metric in meter.metrics}
    reasons: dict[str, list[str]] = {}
    for name, meter, _ in _candidates(options or {}):
        wanted = [metric for metric in meter.metrics if metric not in answered] if meter else []
        reason = _reason(meter) if meter and wanted and not meter.estimates else None
        for metric in wanted if reason else ():
            reasons.setdefault(metric, []).append(f"{name}: {reason}")
    return {metric: "; ".join(lines) for metric, lines in reasons.items()}


@contextmanager
def measure(meters: Iterable[Meter], reading: Reading) -> Iterator[None]:
    """Measure the ``with`` block: clock innermost, energy counters around it, the device synchronised at both edges.

    Sampled powers are integrated between the two reads of the clock that give ``wall_s``.

    Each meter's computations run once all meters have closed, outside of every window.

    Args:
        meters: from ``select``.
        reading: gets the values; it may be passed again for a further segment. A block that raises leaves it unchanged.
    """
    synchronise(reading.device)
    with ExitStack() as stack:
        for meter in sorted(meters, key=_depth):
            stack.enter_context(meter.window(reading))
        start_s = time.perf_counter()
        yield
        synchronise(reading.device)
        end_s = time.perf_counter()
    reading.settle()
    reading.segments.append((start_s, end_s))
    reading.add("wall_s", Quantity(end_s - start_s, "counter", "perf_counter"))
    sampled.integrate(reading, start_s, end_s)


def _depth(meter: Meter) -> int:
    """Order meters so that slow reads are outside of the energy counters' window, and cost no measured energy.

    From the inside: energy counters, energy estimates, CPU time, and all others.
    """
    if energy.reads_joules(meter):
        return 2 if meter.estimates else 3
    return int("cpu_s" in meter.metrics)


def _candidates(options: MeterSettings) -> Iterator[tuple[str, Meter | None, str | None]]:
    """Yield every meter's name, and the meter or why it cannot be created.

    Whether it can measure is not checked here, which takes long for some: an estimate looks the CPU up in a table.
    """
    for name in sorted({*registry.names("meters"), *options}):
        try:
            meter: Meter = registry.create("meters", name, options.get(name, {}))
        except registry.PluginError as error:
            yield name, None, str(error)
        else:
            yield name, meter, None


def _reason(meter: Meter) -> str | None:
    """Return why a meter cannot measure; one that raises instead counts as unavailable."""
    try:
        return meter.unavailable()
    except Exception as error:
        return f"its check whether it can measure here fails: {type(error).__name__}: {error}"
