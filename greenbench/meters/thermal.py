"""Thermal: the CPU's temperature while the model runs, and how often it was throttled (Linux)."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from greenbench.files import kernel
from greenbench.plugins import Quantity, Reading
from greenbench.plugins.traces import inside

CHIPS = {"coretemp": "Package", "k10temp": "Tdie", "zenpower": "Tdie"}
"""hwmon drivers of CPUs (Intel, AMD) -> the beginning of the preferred sensor's label: an AMD ``Tctl`` may have an
offset that ``Tdie`` does not (Linux, ``Documentation/hwmon/k10temp.rst``)."""

ZONES = ("x86_pkg_temp", "cpu", "soc")
"""Beginnings of the types of CPUs' thermal zones: on x86 where no driver of ``CHIPS`` is loaded, and on ARM boards."""

TEMPERATURE = "cpu.temperature_c"


@dataclass(frozen=True)
class Thermal:
    """Temperature of the hottest CPU at both ends of the window, and the throttling events inside it.

    A CPU cools by many degrees within a second of rest, so both temperatures are those under load where the poller
    runs: its first and last sample within the window. Otherwise they are read at the window's edges. Events are the
    kernel's ``package_throttle_count`` and ``core_throttle_count`` (Intel), which every CPU of a package or core
    repeats: they count once.

    Attributes:
        root: where sysfs is mounted, e.g. ``/host/sys`` inside a container.
    """

    root: Path = Path("/sys")

    metrics: ClassVar[tuple[str, ...]] = ("cpu_temp_start_c", "cpu_temp_end_c", "n_cpu_throttles")
    estimates: ClassVar[bool] = False

    def unavailable(self) -> str | None:
        """Say why neither temperature nor throttling can be read, or return None."""
        if hottest_c(self.root) is not None or _counts(self.root):
            return None
        return (
            f"no CPU temperature sensor and no throttling counter under {self.root} (usual in virtual machines and "
            "outside Linux): measure on bare metal, or load the sensor's driver (`sudo modprobe coretemp`, on AMD "
            "`k10temp`)"
        )

    @contextmanager
    def window(self, reading: Reading) -> Iterator[None]:
        """Read temperature and counters before and after the ``with`` block."""
        before, start_c, start_s = _counts(self.root), hottest_c(self.root), time.perf_counter()
        yield
        end_s, end_c, after = time.perf_counter(), hottest_c(self.root), _counts(self.root)
        seen = _seen_c(reading, start_s, end_s)
        start_c, end_c = (seen[0], seen[-1]) if len(seen) > 1 else (start_c, end_c)
        reading.first("cpu_temp_start_c", Quantity(start_c, "sampled", "sysfs"))
        reading.last("cpu_temp_end_c", Quantity(end_c, "sampled", "sysfs"))
        reading.add("n_cpu_throttles", Quantity(_events(before, after), "counter", "thermal_throttle"))

    def sample(self) -> Mapping[str, float]:
        """Return the temperature of the hottest CPU, where there is a sensor."""
        now_c = hottest_c(self.root)
        return {} if now_c is None else {TEMPERATURE: now_c}


def hottest_c(root: Path) -> float | None:
    """Return the temperature of the hottest CPU in degrees Celsius, or None without a sensor."""
    return max((degrees for path in _sensors(root) if (degrees := _degrees(path)) is not None), default=None)


def n_throttles(root: Path) -> int | None:
    """Return the throttling events since boot, or None where the kernel does not count them."""
    counts = _counts(root)
    return _events(dict.fromkeys(counts, 0), counts)


@lru_cache
def _sensors(root: Path) -> tuple[Path, ...]:
    """Return the sensors of the CPUs, which are looked up once: the poller reads them ten times a second."""
    chips = [path for folder in root.glob("class/hwmon/hwmon*") for path in _inputs(folder)]
    every = root.glob("class/thermal/thermal_zone*")
    zones = [path for path in every if kernel.text(path / "type").lower().startswith(ZONES)]
    return tuple(chips or [zone / "temp" for zone in zones])


def _inputs(chip: Path) -> list[Path]:
    """Return the preferred inputs of a CPU's hwmon chip, all where none is preferred; none of other chips."""
    preferred = CHIPS.get(kernel.text(chip / "name"))
    if preferred is None:
        return []
    inputs = sorted(chip.glob("temp*_input"))
    best = [path for path in inputs if kernel.text(path.with_name(f"{path.name[:-5]}label")).startswith(preferred)]
    return best or inputs


def _seen_c(reading: Reading, start_s: float, end_s: float) -> list[float]:
    """Return the temperatures that the poller sampled within the window."""
    samples = reading.trace.samples(start_s, end_s) if reading.trace else []
    return [sample[TEMPERATURE] for _, _, sample in inside(samples, start_s, end_s) if TEMPERATURE in sample]


def _counts(root: Path) -> dict[tuple[str, str], int]:
    """Return every throttling counter by its package or core and the CPU that shows it."""
    counts = {}
    for cpu in root.glob("devices/system/cpu/cpu[0-9]*"):
        package = kernel.text(cpu / "topology/physical_package_id")
        core = f"{package} core {kernel.text(cpu / 'topology/core_id')}"
        for part, file in ((package, "package_throttle_count"), (core, "core_throttle_count")):
            with suppress(OSError, ValueError):
                counts[part, cpu.name] = kernel.integer(cpu / "thermal_throttle" / file)
    return counts


def _events(before: Mapping[tuple[str, str], int], after: Mapping[tuple[str, str], int]) -> int | None:
    """Count the events in between, once per package and core; None without counters, or where one was reset."""
    if any(after[key] < before[key] for key in before.keys() & after.keys()):
        return None
    most: dict[str, int] = {}
    for key in before.keys() & after.keys():
        most[key[0]] = max(most.get(key[0], 0), after[key] - before[key])
    return sum(most.values()) if most else None


def _degrees(path: Path) -> float | None:
    """Return a sensor's temperature, which the kernel gives in thousandths; None where it cannot be read."""
    with suppress(OSError, ValueError):
        return kernel.integer(path) / 1000
    return None
