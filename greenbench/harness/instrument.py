"""Measuring any code: the meters of a suite around a ``with`` block."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from greenbench.errors import InputError
from greenbench.hardware import devices
from greenbench.meters import energy
from greenbench.metrics import energy_net_j
from greenbench.plugins import Meter, Origin, Polled, Quantity, Reading
from greenbench.plugins.traces import Trace

TRACE_HZ = 10.0
"""Samples a second of what has no counter, as a suite takes by default."""

OF_A_RUN = ("harness_cpu_s", "poller_cpu_s", "foreign_cpu_s")
"""CPU seconds of the parties of a suite's run, which a block has not."""

NOT_OVER = "the block has not ended, or it raised"


@dataclass
class Measurement:
    """What a block took. Until the block has ended, and where it raised, everything is None.

    Attributes:
        device: where the block computes, which decides what an energy total must cover.
        quantities: every value with its method, source and note, by metric (``wall_s``, ``cpu_s``,
            ``peak_rss_bytes``, ``energy_cpu_j``, ``energy_j`` ...).
        missing: by metric, why it has no value.
        energy_scope: the parts of the machine that ``energy_j`` covers: ``cpu+dram``, ``cpu+gpu``, ``system`` ...
        idle_power_w: W of that scope before the block; None where no baseline was asked for, or it is unknown.
    """

    device: str
    quantities: Mapping[str, Quantity] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    energy_scope: str | None = None
    idle_power_w: float | None = None

    def value(self, metric: str) -> float | None:
        """Return a value in the unit of its metric, or None where it is not known (``why_missing`` says why)."""
        return self.quantities[metric].value if metric in self.quantities else None

    def why_missing(self, metric: str) -> str | None:
        """Say why a metric has no value, or return None where it has one."""
        if self.value(metric) is not None:
            return None
        return self.missing.get(metric, "no meter here reads it") if self.quantities else NOT_OVER

    @property
    def wall_s(self) -> float | None:
        """Seconds on the monotonic clock."""
        return self.value("wall_s")

    @property
    def cpu_s(self) -> float | None:
        """CPU seconds of this process with all its threads and descendants, summed over cores."""
        return self.value("cpu_s")

    @property
    def peak_rss_bytes(self) -> float | None:
        """The most resident memory of this process and its descendants, in bytes."""
        return self.value("peak_rss_bytes")

    @property
    def peak_gpu_bytes(self) -> float | None:
        """The peak of GPU memory allocated by torch, in bytes; None where torch used no GPU."""
        return self.value("peak_gpu_bytes")

    @property
    def energy_j(self) -> float | None:
        """Gross joules of ``energy_scope``: all that these parts of the machine drew, whoever used them."""
        return self.value("energy_j")

    @property
    def energy_net_j(self) -> float | None:
        """Joules beyond the idle baseline, ``energy_j - idle_power_w * wall_s``; None without ``idle_s``."""
        return self.value("energy_net_j")

    @property
    def energy_method(self) -> Origin | None:
        """How ``energy_j`` came about: ``counter``, ``sampled`` or ``estimated``, the weakest of its parts."""
        return self.quantities["energy_j"].method if "energy_j" in self.quantities else None

    @property
    def energy_source(self) -> str | None:
        """What ``energy_j`` was read from: ``rapl``, ``rapl+nvml-total-energy``, ``codecarbon-tdp`` ..."""
        return self.quantities["energy_j"].source if "energy_j" in self.quantities else None

    def __str__(self) -> str:
        """Return what is known, a line a metric, with method and source."""
        if not self.quantities:
            return f"not measured: {NOT_OVER}"
        known = {name: quantity for name, quantity in self.quantities.items() if quantity.value is not None}
        lines = [f"{name}: {found.value:.6g} ({found.method}, {found.source})" for name, found in known.items()]
        unknown = [] if self.energy_j is not None else [f"energy_j: unknown ({self.why_missing('energy_j')})"]
        return "\n".join([*lines, *unknown])


@contextmanager
def measure(
    device: str = "cpu",
    *,
    idle_s: float = 0.0,
    estimate_energy: bool = False,
    meters: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[Measurement]:
    """Measure a ``with`` block: wall seconds, CPU seconds, peak memory and joules, by the meters of a suite.

        with greenbench.measure() as m:
            transcribe(files)
        print(m.wall_s, m.energy_j, m.energy_method, m.energy_source)

    The clock is innermost and the energy counters are next to it, as in a suite's window. Where joules have no counter,
    or a counter that may wrap, a process of its own samples them ten times a second; it is no part of what is measured.
    Blocks may be nested, and may run in several threads: each measurement is of the whole process and, for joules, of
    the whole machine, whichever thread did the work; an outer block includes what an inner one costs. Memory and CPU
    seconds include descendants, but the peak of one that has ended before the block is not seen. A block that raises
    closes the meters and leaves the measurement empty.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:N``, ``mps``, or ``auto`` for a GPU where torch has one: where the block
            computes. If torch is loaded, the block begins and ends when the device is idle; torch is not needed.
        idle_s: seconds to idle before the block for a baseline, from which ``energy_net_j`` follows; load the model
            before. Nothing idles where no meter here reads energy.
        estimate_energy: take codecarbon's model where no counter answers; ``energy_method`` then says ``estimated``.
        meters: settings of meters by name, e.g. ``{"codecarbon": {"tdp_w": 65}}``.

    Yields:
        The measurement, filled in when the block ends.

    Raises:
        InputError: a device, meter or setting is wrong.
    """
    import greenbench.meters
    from greenbench.harness.idle import idle_power_w

    _check(device, idle_s)
    if device == "auto":
        from greenbench.hardware.environment import accelerator

        device = accelerator()
    chosen, found = greenbench.meters.select(estimate_energy, meters), Measurement(device)
    with _sampled(chosen, meters or {}) as trace:
        idle_w = idle_power_w(chosen, idle_s, Reading(trace=trace, device=device))
        reading = Reading(trace=trace, device=device, absent=greenbench.meters.absent(chosen, meters))
        with greenbench.meters.measure(chosen, reading):
            yield found
    _fill(found, reading, idle_w)


def _check(device: Any, idle_s: Any) -> None:
    if not isinstance(device, str) or not re.match(devices.PATTERN, device):
        raise InputError(f"measure: device: unknown device {device!r:.60}. Valid: {devices.VALID}")
    if isinstance(idle_s, bool) or not isinstance(idle_s, int | float) or not 0 <= idle_s < float("inf"):
        raise InputError(f"measure: idle_s: seconds of at least 0 are expected (got {idle_s!r:.60})")


@contextmanager
def _sampled(chosen: Sequence[Meter], options: Mapping[str, Mapping[str, Any]]) -> Iterator[Trace | None]:
    """Let a poller run meanwhile where an energy meter can be polled."""
    from greenbench.meters.poller import polling

    needs_samples = any(isinstance(meter, Polled) and energy.reads_joules(meter) for meter in chosen)
    with TemporaryDirectory() as folder, polling(Path(folder) / "power", TRACE_HZ * needs_samples, options) as trace:
        yield trace


def _fill(found: Measurement, reading: Reading, idle_w: float | None) -> None:
    """Write into a measurement what the meters read, and the totals that follow."""
    origin = energy.provenance(found.device, reading)
    parts = energy.scope(found.device, reading)
    totals, missing = dict[str, Quantity](), dict(reading.absent)
    gross_j = energy.total_j(found.device, reading)
    if gross_j is None:
        missing["energy_j"] = _why_no_total(reading, parts)
    else:
        of = [reading.quantities[energy.part_column(part)] for part in parts]
        sources = "+".join(dict.fromkeys(quantity.source for quantity in of))
        notes = "; ".join(quantity.note for quantity in of if quantity.note) or None
        total = Quantity(gross_j, origin["energy_method"], sources, notes)
        net_j = energy_net_j(gross_j, idle_w, reading.value("wall_s"))
        totals = {"energy_j": total}
        if net_j is not None:
            totals["energy_net_j"] = Quantity(net_j, total.method, sources, notes)
    if "energy_net_j" not in totals:
        missing["energy_net_j"] = missing.get("energy_j", "no idle baseline was measured: give idle_s")
    missing |= {name: q.note or "it could not be read" for name, q in reading.quantities.items() if q.value is None}
    of_block = {name: quantity for name, quantity in reading.quantities.items() if name not in OF_A_RUN}
    found.quantities, found.missing = {**of_block, **totals}, missing
    found.energy_scope, found.idle_power_w = origin.get("energy_scope"), idle_w


def _why_no_total(reading: Reading, parts: Sequence[str]) -> str:
    """Say what keeps the total of some parts of the machine from being known."""
    reasons = []
    for part in parts:
        name = energy.part_column(part)
        quantity = reading.quantities.get(name)
        if quantity is None:
            reasons.append(f"{part}: {reading.absent.get(name, 'no meter here reads it')}")
        elif quantity.value is None:
            reasons.append(f"{part}: {quantity.note or 'it could not be read'}")
    return "; ".join(reasons)
