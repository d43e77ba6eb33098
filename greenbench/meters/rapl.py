"""RAPL: CPU package and memory energy from Linux's powercap counters, for Intel and AMD."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

from greenbench.files import kernel
from greenbench.hardware.bounds import BOUNDS, implausible
from greenbench.plugins import Quantity, Reading
from greenbench.plugins.traces import Trace, inside

MIRROR_TOLERANCE_UJ = 1_000_000
"""Two reads of one counter, one after the other, differ by less than this (1 J: 1 ms at a package's most)."""

UDEV_RULE = 'SUBSYSTEM=="powercap", ACTION=="add", KERNEL=="intel-rapl:*", RUN+="/bin/chmod a+r %S%p/energy_uj"'


@dataclass(frozen=True)
class Rapl:
    """Gross joules of the CPU packages and, where the machine counts it, of their memory.

    ``core`` and ``uncore`` are parts of ``package``, ``psys`` contains it, and ``intel-rapl-mmio`` repeats it:
    none of them is counted (Linux, ``Documentation/power/powercap/powercap.rst``).

    Attributes:
        root: where powercap is mounted, e.g. ``/host/sys/class/powercap`` inside a container.
    """

    root: Path = Path("/sys/class/powercap")

    metrics: ClassVar[tuple[str, ...]] = ("energy_cpu_j", "energy_dram_j")
    estimates: ClassVar[bool] = False

    def unavailable(self) -> str | None:
        """Say why no package counter can be read and what to do about it, or return None."""
        try:
            zones = _zones(self.root)
        except PermissionError as error:
            return f"{error.filename} may not be read: run as root, or give this user access to {self.root}"
        except (OSError, ValueError) as error:
            return (
                f"{self.root} has dangling zones ({error}): powercap is masked or mounted in part, as in "
                "containers; mount both /sys/class/powercap and /sys/devices/virtual/powercap from the host, or "
                "measure on the host"
            )
        if not any(zone.is_package for zone in zones):
            return (
                f"no RAPL package counter under {self.root} (usual in virtual machines, on ARM and outside "
                "Linux): measure on bare metal, give a container the host's powercap folder, or ask for the "
                "estimate"
            )
        try:
            for zone in zones:
                _read_uj(zone)
        except PermissionError as error:
            return (
                f"{error.filename} is readable by root only: run `sudo chmod a+r "
                f"{self.root}/intel-rapl:*/energy_uj` (until the next boot), or for good put `{UDEV_RULE}` "
                "into /etc/udev/rules.d/99-rapl.rules; for one group alone use chgrp GROUP and chmod g+r instead"
            )
        except (OSError, ValueError) as error:
            return f"a RAPL counter cannot be read: {error}"
        return None

    @contextmanager
    def window(self, reading: Reading) -> Iterator[None]:
        """Read the counters before and after the ``with`` block; the poller's samples of them serve as a check."""
        zones = _known_zones(self.root)
        begun_s, before, opened_s = time.perf_counter(), _read_all(zones), time.perf_counter()
        yield
        closing_s, after, closed_s = time.perf_counter(), _read_all(zones), time.perf_counter()
        window = _EdgeTimes((begun_s, opened_s), (closing_s, closed_s), reading.trace)
        spans = [_Span(*span) for span in zip(zones, before, after, strict=True)]
        reading.pending.append(lambda: _add(spans, window, reading))

    def sample(self) -> dict[str, float]:
        """Return the raw counters, from which power, and wraps within a window, are computed later."""
        zones = _known_zones(self.root)
        values = zip(zones, _read_all(zones), strict=True)
        return {_sampled_name(zone): uj for zone, uj in values if uj is not None}


@dataclass(frozen=True)
class _Zone:
    """A package or its memory; the counter runs from 0 to ``range_uj`` and starts again."""

    path: Path
    name: str
    range_uj: int

    @property
    def is_package(self) -> bool:
        return self.name.startswith("package-")

    @property
    def domain(self) -> str:
        return "package" if self.is_package else "dram"

    @property
    def safe_s(self) -> float:
        """The longest time between two reads in which the counter can wrap only once, in s."""
        return self.range_uj / 1e6 / BOUNDS[self.domain].highest_w


@dataclass(frozen=True)
class _Span:
    """A counter at the window's edges, None where it could not be read."""

    zone: _Zone
    before_uj: int | None
    after_uj: int | None


@dataclass(frozen=True)
class _EdgeTimes:
    """The times of the reads at both edges, each from before the read to after it, and the poller's trace."""

    opening: tuple[float, float]
    closing: tuple[float, float]
    trace: Trace | None


@dataclass(frozen=True)
class _Seen:
    """A counter's value, read between two moments."""

    begin_s: float
    end_s: float
    uj: int


def _zones(root: Path) -> list[_Zone]:
    zones = []
    for path in sorted(root.glob("intel-rapl:*")):
        name = kernel.read(path / "name")
        if name.startswith("package-") or name == "dram":
            zones.append(_Zone(path, name, kernel.integer(path / "max_energy_range_uj")))
    return zones


@lru_cache
def _known_zones(root: Path) -> Sequence[_Zone]:
    """Return the zones, which are looked up once: they do not change, and the poller asks ten times a second."""
    return _zones(root)


@lru_cache
def _sampled_name(zone: _Zone) -> str:
    """Name a counter in a trace: ``rapl.package-0.energy_uj``, ``rapl.package-0-dram.energy_uj``."""
    owner = zone.path.parent / zone.path.name.rpartition(":")[0] / "name"
    part = zone.name if zone.is_package or not owner.exists() else f"{kernel.read(owner)}-{zone.name}"
    return f"rapl.{part}.energy_uj"


def _read_uj(zone: _Zone) -> int:
    return kernel.integer(zone.path / "energy_uj")


def _read_all(zones: Sequence[_Zone]) -> list[int | None]:
    """Read every counter; None where a read fails, as single ones do now and then (ENODATA)."""
    values: list[int | None] = []
    for zone in zones:
        try:
            values.append(_read_uj(zone))
        except (OSError, ValueError):
            values.append(None)
    return values


def _distinct(packages: Sequence[_Span]) -> list[_Span]:
    """Leave out dies that repeat another die's counter (AMD Zen 1 and 2, codecarbon#1274)."""
    kept: list[_Span] = []
    for span in packages:
        if not any(_mirrors(span, other) for other in kept):
            kept.append(span)
    return kept


def _mirrors(a: _Span, b: _Span) -> bool:
    """Say whether two packages of one socket have the same values at both edges of the window."""
    edges = ((a.before_uj, b.before_uj), (a.after_uj, b.after_uj))
    return a.zone.name.split("-die-")[0] == b.zone.name.split("-die-")[0] and all(
        x is not None and y is not None and abs(x - y) <= MIRROR_TOLERANCE_UJ for x, y in edges
    )


def _energy(spans: Sequence[_Span], window: _EdgeTimes) -> Quantity:
    """Return the joules of all counters, or None with the reason where one of them is not plausible."""
    total_uj = 0
    for span in spans:
        used_uj, why = _used_uj(span, window)
        if used_uj is None:
            return Quantity(None, "counter", "rapl", why)
        total_uj += used_uj
    return Quantity(total_uj / 1e6, "counter", "rapl")


def _add(spans: Sequence[_Span], window: _EdgeTimes, reading: Reading) -> None:
    """Add to a reading the joules of the packages and of their memory, where it is counted."""
    packages = [span for span in spans if span.zone.is_package]
    memories = [span for span in spans if not span.zone.is_package]
    reading.add("energy_cpu_j", _energy(_distinct(packages), window))
    if memories:
        reading.add("energy_dram_j", _energy(memories, window))


def _used_uj(span: _Span, window: _EdgeTimes) -> tuple[int | None, str | None]:
    """Return the microjoules between the edges, or None and why they are unknown."""
    if span.before_uj is None or span.after_uj is None:
        return None, "a counter could not be read at an edge of the window"
    edges = _Seen(*window.opening, span.before_uj), _Seen(*window.closing, span.after_uj)
    used_uj = 0
    for earlier, later in pairwise([edges[0], *_between(span.zone, window), edges[1]]):
        step_uj, why = _step_uj(span.zone, earlier, later)
        if step_uj is None:
            return None, why
        used_uj += step_uj
    if used_uj == 0:
        return None, "a counter did not move: it is stuck, or the window is shorter than its 1 ms update"
    why = implausible(span.zone.domain, used_uj / 1e6, edges[1].end_s - edges[0].begin_s)
    return (None, why) if why else (used_uj, None)


def _step_uj(zone: _Zone, earlier: _Seen, later: _Seen) -> tuple[int | None, str | None]:
    """Return the energy between two reads, across one wrap if need be; None and why where there may be more."""
    for uj in (earlier.uj, later.uj):
        if not 0 <= uj <= zone.range_uj:
            return None, f"a counter is at {uj / 1e6:.6g} J, outside its range of {zone.range_uj / 1e6:.6g} J"
    seconds = later.end_s - earlier.begin_s
    if seconds >= zone.safe_s:
        return None, (
            f"in {seconds:.0f} s without a sample a counter may wrap twice: keep windows under "
            f"{zone.safe_s:.0f} s, or let the poller run (trace_hz)"
        )
    used_uj = (later.uj - earlier.uj) % zone.range_uj  # the counter takes range_uj values
    why = implausible(zone.domain, used_uj / 1e6, seconds, may_rest=True)
    if why and later.uj < earlier.uj:
        return None, (
            f"a counter stepped back from {earlier.uj / 1e6:.6g} to {later.uj / 1e6:.6g} J, far from its range of "
            f"{zone.range_uj / 1e6:.6g} J: it was reset (suspend, reloaded driver, hotplug)"
        )
    return (None, why) if why else (used_uj, None)


def _between(zone: _Zone, window: _EdgeTimes) -> list[_Seen]:
    """Return the samples of a counter whose reads lie wholly between those at the window's edges."""
    if window.trace is None:
        return []
    name, (start_s, end_s) = _sampled_name(zone), (window.opening[1], window.closing[0])
    samples = inside(window.trace.samples(start_s, end_s), start_s, end_s)
    return [_Seen(begin_s, stop_s, int(sample[name])) for begin_s, stop_s, sample in samples if name in sample]
