"""Cool-down: how long the machine rests between two processes, by the clock or by its temperature."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from greenbench.plugins import Meter, Polled
from greenbench.suite.protocol import Protocol

LOOK_S = 1.0
"""Seconds between two looks at the temperature."""

Temperatures = Mapping[str, float]
"""Degrees Celsius by the sample's name, e.g. ``cpu.temperature_c``; empty where none can be read."""


@dataclass(frozen=True)
class Cooldown:
    """What a rest came to; its fields are columns of the rows of the process that follows.

    Attributes:
        cooldown_s: seconds rested; None before the first process.
        cooldown_excess_c: how far the warmest part was above the run's start in the end; None where no
            temperature was read.
    """

    cooldown_s: float | None = None
    cooldown_excess_c: float | None = None


def temperatures(meters: Sequence[Meter]) -> Temperatures:
    """Return every temperature that the polled meters see now; a sensor that fails ends no run."""
    seen: dict[str, float] = {}
    for meter in meters:
        if isinstance(meter, Polled):
            with suppress(Exception):
                seen |= meter.sample()
    return {name: value for name, value in seen.items() if name.endswith("temperature_c")}


def rest(steps: Protocol, start: Temperatures, look: Callable[[], Temperatures]) -> Cooldown:
    """Wait as the protocol says.

    Args:
        steps: for how long, and whether a temperature may end it.
        start: the temperatures at the run's start.
        look: reads them now.
    """
    if not steps.cooldown_s:
        return Cooldown(0.0)
    began_s, within_c = time.perf_counter(), steps.cooldown_within_c if start else None
    while True:
        excess_c = None if within_c is None else _excess_c(start, look())
        rested_s = time.perf_counter() - began_s
        cool = within_c is not None and excess_c is not None and excess_c <= within_c
        if cool or rested_s >= steps.cooldown_s:
            return Cooldown(rested_s, excess_c)
        left_s = steps.cooldown_s - rested_s
        time.sleep(left_s if within_c is None else min(LOOK_S, left_s))


def _excess_c(start: Temperatures, now: Temperatures) -> float | None:
    return max((now[name] - start[name] for name in start.keys() & now.keys()), default=None)


def rule(steps: Protocol, start: Temperatures) -> str:
    """Say in words how long the machine rests before each process but the first."""
    if not steps.cooldown_s:
        return "none"
    if steps.cooldown_within_c is None:
        return f"{steps.cooldown_s:g} s"
    if not start:
        return f"{steps.cooldown_s:g} s, for no temperature can be read here"
    return f"until within {steps.cooldown_within_c:g} °C of the run's start, at most {steps.cooldown_s:g} s"
