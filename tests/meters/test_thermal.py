"""Temperature is the CPU's and taken under load where it can be; throttling counts once for what shares a counter."""

import json
import time
from pathlib import Path

import pytest

from greenbench.meters.thermal import Thermal, hottest_c, n_throttles
from greenbench.plugins import Polled, Quantity, Reading
from greenbench.plugins.traces import Trace


def write(path: Path, text: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def chip(root: Path, index: int, name: str, **sensors: int) -> None:
    """Make a hwmon chip; a sensor is ``temp1="millidegrees"`` or ``temp1=(label, millidegrees)``."""
    folder = root / f"class/hwmon/hwmon{index}"
    write(folder / "name", name)
    for sensor, value in sensors.items():
        label, thousandths = value if isinstance(value, tuple) else ("", value)
        write(folder / f"{sensor}_input", thousandths)
        if label:
            write(folder / f"{sensor}_label", label)


def zone(root: Path, index: int, kind: str, thousandths: object) -> None:
    write(root / f"class/thermal/thermal_zone{index}/type", kind)
    write(root / f"class/thermal/thermal_zone{index}/temp", thousandths)


def cpu(root: Path, number: int, package: int, core: int, package_count: int, core_count: int) -> None:
    """Make one logical CPU with the throttling counters that it shows."""
    folder = root / f"devices/system/cpu/cpu{number}"
    write(folder / "topology/physical_package_id", package)
    write(folder / "topology/core_id", core)
    write(folder / "thermal_throttle/package_throttle_count", package_count)
    write(folder / "thermal_throttle/core_throttle_count", core_count)


# --- temperature -----------------------------------------------------------------------------------------


def test_an_intel_package_is_read_where_there_is_one(tmp_path: Path) -> None:
    """coretemp's package sensor counts, the hottest of two sockets; disks and boards have no say."""
    chip(tmp_path, 0, "nvme", temp1=99_000)
    chip(tmp_path, 1, "coretemp", temp1=("Package id 0", 61_000), temp2=("Core 0", 63_000))
    chip(tmp_path, 2, "coretemp", temp1=("Package id 1", 62_500), temp2=("Core 0", 60_000))
    zone(tmp_path, 0, "x86_pkg_temp", 90_000)
    assert hottest_c(tmp_path) == 62.5


def test_an_amd_die_goes_before_the_control_temperature(tmp_path: Path) -> None:
    """Tctl may carry an offset of 20 degrees that Tdie does not; without Tdie the hottest sensor counts."""
    chip(tmp_path / "old", 0, "k10temp", temp1=("Tctl", 82_000), temp2=("Tdie", 62_000))
    chip(tmp_path / "new", 0, "k10temp", temp1=("Tctl", 71_000), temp2=("Tccd1", 55_000))
    assert (hottest_c(tmp_path / "old"), hottest_c(tmp_path / "new")) == (62.0, 71.0)


@pytest.mark.parametrize("kind", ["x86_pkg_temp", "cpu_thermal", "cpu-thermal", "CPU-therm", "soc-thermal"])
def test_a_thermal_zone_serves_where_no_driver_does(tmp_path: Path, kind: str) -> None:
    """ARM boards, and x86 without a sensor's driver, have zones; those of other parts are not the CPU's."""
    zone(tmp_path, 0, "acpitz", 95_000)
    zone(tmp_path, 1, kind, 48_200)
    zone(tmp_path, 2, "GPU-therm", 90_000)
    assert hottest_c(tmp_path) == 48.2
    assert Thermal(tmp_path).sample() == {"cpu.temperature_c": 48.2}


def test_a_sensor_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    """A zone that is switched off answers nothing sensible, and is no temperature of 0."""
    zone(tmp_path, 0, "cpu-thermal", "")
    assert hottest_c(tmp_path) is None
    assert Thermal(tmp_path).sample() == {}


# --- throttling ------------------------------------------------------------------------------------------


def throttle(root: Path, events: int) -> None:
    """Two cores of two threads: one event on the package, and so many on core 1, since the counters began."""
    for number, core in enumerate([0, 0, 1, 1]):
        cpu(root, number, 0, core, 7 + (events > 0), 3 + (events if core else 0))


def test_a_shared_counter_counts_once(tmp_path: Path) -> None:
    """Four CPUs show the package's event and two show their core's three: four events, not ten."""
    throttle(tmp_path, 0)
    reading = Reading()
    with Thermal(tmp_path).window(reading):
        throttle(tmp_path, 3)
    assert reading.value("n_cpu_throttles") == 4
    assert n_throttles(tmp_path) == (8 + 3 + 6)


def test_cores_of_two_packages_are_not_mixed_up(tmp_path: Path) -> None:
    """Core 0 of each package is a core of its own."""
    for number in (0, 1):
        cpu(tmp_path, number, number, 0, 0, 0)
    reading = Reading()
    with Thermal(tmp_path).window(reading):
        for number in (0, 1):
            cpu(tmp_path, number, number, 0, 0, 2)
    assert reading.value("n_cpu_throttles") == 4


def test_a_calm_window_has_no_event(tmp_path: Path) -> None:
    """What was counted before the window is not the window's: 0, which is not unknown."""
    throttle(tmp_path, 3)
    reading = Reading()
    with Thermal(tmp_path).window(reading):
        pass
    assert reading.value("n_cpu_throttles") == 0


# --- the window ------------------------------------------------------------------------------------------


def test_a_throttling_counter_that_was_reset_tells_nothing(tmp_path: Path) -> None:
    """A CPU that was unplugged and came back counts anew: the events are unknown, not 0."""
    cpu(tmp_path, 0, package=0, core=0, package_count=7, core_count=7)
    reading = Reading()
    with Thermal(tmp_path).window(reading):
        cpu(tmp_path, 0, package=0, core=0, package_count=1, core_count=1)
    assert reading.quantities["n_cpu_throttles"] == Quantity(None, "counter", "thermal_throttle")


def test_segments_keep_the_first_start_and_the_last_end(tmp_path: Path) -> None:
    """Of a window in segments: the temperature it began with, the one it ended with, and all its events."""
    reading = Reading()
    for before, after, events in ((50_000, 60_000, 0), (58_000, 71_000, 2)):
        zone(tmp_path, 0, "cpu-thermal", before)
        throttle(tmp_path, 0)
        with Thermal(tmp_path).window(reading):
            zone(tmp_path, 0, "cpu-thermal", after)
            throttle(tmp_path, events)
    assert (reading.value("cpu_temp_start_c"), reading.value("cpu_temp_end_c")) == (50.0, 71.0)
    assert reading.value("n_cpu_throttles") == 3


def test_temperatures_are_those_under_load_where_the_poller_runs(tmp_path: Path) -> None:
    """A CPU that cools at the window's edges is judged by what the poller saw inside, not before and after."""
    zone(tmp_path, 0, "cpu-thermal", 40_000)
    now = time.perf_counter()
    seen = {now - 1: 30.0, now + 1: 70.0, now + 2: 75.0, now + 3: 74.0, now + 1000: 20.0}
    path = tmp_path / "power.jsonl"
    path.write_text(
        "".join(json.dumps({"t_s": t, "t_end_s": t, "cpu.temperature_c": c}) + "\n" for t, c in seen.items())
    )
    reading = Reading(trace=Trace(path))
    ends = iter([now, now + 10])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "perf_counter", lambda: next(ends))
        with Thermal(tmp_path).window(reading):
            pass
    assert (reading.value("cpu_temp_start_c"), reading.value("cpu_temp_end_c")) == (70.0, 74.0)


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    """With a sensor and no counter, temperatures are known and events are not, and the other way round."""
    zone(tmp_path, 0, "cpu-thermal", 40_000)
    meter, reading = Thermal(tmp_path), Reading()
    assert meter.unavailable() is None
    with meter.window(reading):
        pass
    assert reading.quantities["n_cpu_throttles"] == Quantity(None, "counter", "thermal_throttle")
    assert reading.value("cpu_temp_end_c") == 40.0
    other = tmp_path / "other"
    throttle(other, 0)
    assert Thermal(other).unavailable() is None
    assert n_throttles(tmp_path) is None


def test_without_both_it_says_why(tmp_path: Path) -> None:
    """An empty tree, as in most virtual machines, is explained with the remedy."""
    reason = Thermal(tmp_path).unavailable()
    assert str(tmp_path) in reason
    assert "modprobe coretemp" in reason


def test_it_can_be_polled() -> None:
    """The poller takes it for a meter that answers between a window's edges."""
    assert isinstance(Thermal(), Polled)
