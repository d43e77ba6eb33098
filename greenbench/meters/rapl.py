"""RAPL: CPU package and memory energy from Linux's powercap counters, for Intel and AMD."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from greenbench.plugins import Quantity, Reading

MAX_POWER_W = 1000.0
"""More than a package or its memory draws for long: bounds from below how fast a counter can wrap."""

MIRROR_TOLERANCE_UJ = 1_000_000
"""Two reads of one counter, one after the other, differ by less than this (1 J: 1 ms at ``MAX_POWER_W``)."""

UDEV_RULE = 'SUBSYSTEM=="powercap", ACTION=="add", KERNEL=="intel-rapl:*", RUN+="/bin/chmod a+r %S%p/energy_uj"'


@dataclass(frozen=True)
class Rapl:
    """Gross joules of the CPU packages and, where the machine counts it, of their memory.

    ``core`` and ``uncore`` are parts of ``package``, ``psys`` contains it and ``intel-rapl-mmio`` shows it
    once more: none of them is counted (Linux, ``Documentation/power/powercap/powercap.rst``).

    Attributes:
        root: where powercap is mounted, e.g. ``/host/sys/class/powercap`` inside a container.
    """

    root: Path = Path("/sys/class/powercap")

    metrics: ClassVar[tuple[str, ...]] = ("energy_cpu_j", "energy_dram_j")
    estimates: ClassVar[bool] = False

    def unavailable(self) -> str | None:
        """Say why no package counter can be read and what to do about it, or return None."""
        zones = _zones(self.root)
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
                "into /etc/udev/rules.d/99-rapl.rules"
            )
        except (OSError, ValueError) as error:
            return f"a RAPL counter cannot be read: {error}"
        return None

    @contextmanager
    def window(self, reading: Reading) -> Iterator[None]:
        """Read the counters before and after the ``with`` block."""
        zones = _zones(self.root)
        start = time.perf_counter()
        before = _read_all(zones)
        yield
        after = _read_all(zones)
        window_s = time.perf_counter() - start
        spans = [_Span(*span) for span in zip(zones, before, after, strict=True)]
        packages = [span for span in spans if span.zone.is_package]
        memories = [span for span in spans if not span.zone.is_package]
        reading.add("energy_cpu_j", _energy(_distinct(packages), window_s))
        if memories:
            reading.add("energy_dram_j", _energy(memories, window_s))


@dataclass(frozen=True)
class _Zone:
    """A package or its memory; the counter runs from 0 to ``range_uj`` and starts again."""

    path: Path
    name: str
    range_uj: int

    @property
    def is_package(self) -> bool:
        return self.name.startswith("package-")


@dataclass(frozen=True)
class _Span:
    """A counter at the window's edges, None where it could not be read."""

    zone: _Zone
    before_uj: int | None
    after_uj: int | None


def _zones(root: Path) -> list[_Zone]:
    zones = []
    for path in sorted(root.glob("intel-rapl:*")):
        name = (path / "name").read_text().strip()
        if name.startswith("package-") or name == "dram":
            zones.append(_Zone(path, name, int((path / "max_energy_range_uj").read_text())))
    return zones


def _read_uj(zone: _Zone) -> int:
    return int((zone.path / "energy_uj").read_text())


def _read_all(zones: Sequence[_Zone]) -> list[int | None]:
    """Read every counter; the kernel refuses a single read now and then (ENODATA)."""
    values: list[int | None] = []
    for zone in zones:
        try:
            values.append(_read_uj(zone))
        except OSError:
            values.append(None)
    return values


def _distinct(packages: Sequence[_Span]) -> list[_Span]:
    """Leave out the dies that show their neighbour's counter (AMD Zen 1 and 2, codecarbon#1274)."""
    kept: list[_Span] = []
    for span in packages:
        if not any(_mirrors(span, other) for other in kept):
            kept.append(span)
    return kept


def _mirrors(a: _Span, b: _Span) -> bool:
    """Tell whether two packages of one socket read the same at both edges of the window."""
    edges = ((a.before_uj, b.before_uj), (a.after_uj, b.after_uj))
    return a.zone.name.split("-die-")[0] == b.zone.name.split("-die-")[0] and all(
        x is not None and y is not None and abs(x - y) <= MIRROR_TOLERANCE_UJ for x, y in edges
    )


def _energy(spans: Sequence[_Span], window_s: float) -> Quantity:
    """Return the joules of all counters, or None with the reason where one of them cannot be trusted."""
    limit_s = min(span.zone.range_uj for span in spans) / 1e6 / MAX_POWER_W
    used_uj = [_used_uj(span) for span in spans]
    if window_s >= limit_s:
        return _unknown(f"in {window_s:.0f} s a counter may wrap twice: keep windows under {limit_s:.0f} s")
    if None in used_uj:
        return _unknown("a counter could not be read at an edge of the window")
    if 0 in used_uj:
        return _unknown("a counter did not move: it is stuck, or the window is shorter than its 1 ms update")
    return Quantity(sum(uj for uj in used_uj if uj) / 1e6, "counter", "rapl")


def _used_uj(span: _Span) -> int | None:
    """Return the microjoules between the edges, over at most one wrap of the counter."""
    if span.before_uj is None or span.after_uj is None:
        return None
    return (span.after_uj - span.before_uj) % span.zone.range_uj


def _unknown(note: str) -> Quantity:
    return Quantity(None, "counter", "rapl", note)
