"""Estimate: CPU energy modelled by codecarbon from design power and load, where there is no counter."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar

from pydantic import Field

from greenbench import extras
from greenbench.hardware.bounds import implausible
from greenbench.hardware.environment import cpu_packages
from greenbench.plugins import Quantity, Reading

MIN_WINDOW_S = 0.1
"""The system counts CPU load in ticks of 10 ms; over fewer than ten of them the load is too inexact."""

UNCERTAINTY = "a model, off by up to 40 %"
"""Independent checks of such models against meters (Fischer, arXiv 2509.22092)."""


@dataclass(frozen=True)
class CodecarbonEstimate:
    """Joules by codecarbon's model of a whole CPU: TDP x (0.1 + 0.9 load^3), load averaged over all cores.

    The formula and the table of TDPs are codecarbon's (``codecarbon/external/hardware.py``, machine mode).

    Attributes:
        tdp_w: the CPU's thermal design power, where codecarbon's table is wrong or lacks the CPU.
    """

    tdp_w: Annotated[float, Field(gt=0)] | None = None

    metrics: ClassVar[tuple[str, ...]] = ("energy_cpu_j",)
    estimates: ClassVar[bool] = True

    def unavailable(self) -> str | None:
        """Say that codecarbon is not installed or knows no TDP, and what to do about it, or return None."""
        if reason := extras.missing(["codecarbon"]):
            return reason
        if self._tdp()[0] is None:
            return "codecarbon does not recognise this CPU's model: give its design power as tdp_w in the suite"
        return None

    @contextmanager
    def window(self, reading: Reading) -> Iterator[None]:
        """Read the machine's CPU load account before and after the ``with`` block."""
        from codecarbon.external.hardware import CPU, MODE_CPU_LOAD

        tdp_w, origin = self._tdp()
        cpu = CPU(output_dir="", mode=MODE_CPU_LOAD, model=origin, tdp=tdp_w)
        start = time.perf_counter()
        cpu.start()
        yield
        window_s = time.perf_counter() - start
        energy_j = cpu.total_power().W * window_s
        note = f"TDP {tdp_w:g} W ({origin}); {UNCERTAINTY}"
        if window_s < MIN_WINDOW_S:
            energy_j, note = None, f"the window of {window_s:.3f} s is too short to know the CPU load"
        elif why := implausible("package", energy_j, window_s, cpu_packages() or 1):
            energy_j, note = None, f"{why}: is tdp_w in W?"
        reading.add("energy_cpu_j", Quantity(energy_j, "estimated", "codecarbon-tdp", note))

    def _tdp(self) -> tuple[float | None, str]:
        return (self.tdp_w, "given in the suite") if self.tdp_w is not None else _looked_up_tdp()


@lru_cache
def _looked_up_tdp() -> tuple[float | None, str]:
    """Return codecarbon's TDP for this CPU in W, and its origin."""
    from codecarbon.core.cpu import DEFAULT_POWER_PER_CORE, TDP

    with _quiet_codecarbon():
        lookup = TDP()
        # TDP() falls back to a default silently; only its table lookup shows whether the CPU is listed.
        is_listed = lookup.tdp is not None and lookup._get_cpu_power_from_registry(lookup.model) is not None
    if is_listed:
        return float(lookup.tdp), f"codecarbon's table, {lookup.model}"
    default = f"codecarbon's default of {DEFAULT_POWER_PER_CORE} W a thread: it does not know {lookup.model}"
    return None if lookup.tdp is None else float(lookup.tdp), default


@contextmanager
def _quiet_codecarbon() -> Iterator[None]:
    """Keep codecarbon's warnings off the terminal: the note says the same."""
    logger = logging.getLogger("codecarbon")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was_disabled
