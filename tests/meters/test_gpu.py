"""A GPU's heat, slowdowns and visitors are those of the board in use, and what the driver hides is unknown."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pynvml
import pytest

from greenbench.meters import gpu
from greenbench.meters.gpu import Gpu
from greenbench.plugins import Polled, Reading
from greenbench.plugins.traces import Trace

COUNTER = "nvmlDeviceGetViolationStatus"
PROCESSES = "nvmlDeviceGetComputeRunningProcesses_v3"
HEAT, BRAKE, CAP, IDLE = 0x20, 0x80, 0x04, 0x01


def window(reading, work=lambda: None):
    """One window with the meter alone."""
    with Gpu().window(reading):
        work()
    return reading


@pytest.fixture
def hand(monkeypatch):
    """A clock whose hand moves when somebody sleeps."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))


# --- temperature -----------------------------------------------------------------------------------------


def test_temperatures_are_of_the_windows_edges(driver):
    """The board's temperature as the window opens and as it closes; the other board's is no matter."""
    driver.set(1, celsius=99)
    reading = window(Reading(device="cuda:0"), lambda: driver.set(0, celsius=61))
    assert (reading.value("gpu_temp_start_c"), reading.value("gpu_temp_end_c")) == (40, 61)


def test_over_segments_the_first_start_and_the_last_end_stay(driver):
    """A window of several segments begins with the first and ends with the last."""
    reading = Reading(device="cuda")
    for celsius in (50, 60, 55):
        window(reading, lambda c=celsius: driver.set(0, celsius=c))
    assert (reading.value("gpu_temp_start_c"), reading.value("gpu_temp_end_c")) == (40, 55)


def test_of_several_boards_the_hottest_counts(driver):
    """Where no device is named the hottest visible board is told."""
    assert window(Reading()).value("gpu_temp_end_c") == 41


def test_a_model_elsewhere_says_nothing_about_gpus(driver):
    """A model on the CPU has no GPU state: its row must not be flagged for a GPU that it does not use."""
    driver.run(0, 1)
    assert window(Reading(device="cpu")).quantities == {}


@pytest.mark.parametrize("code", [pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_NO_PERMISSION])
def test_what_the_driver_does_not_tell_is_unknown(driver, code):
    """A driver that refuses every question gives None for all of them, never 0."""
    for call in ("nvmlDeviceGetTemperature", COUNTER, PROCESSES):
        driver.refuse(0, call, code)
    reading = window(Reading(device="cuda"))
    assert {name: reading.value(name) for name in Gpu.metrics} == dict.fromkeys(Gpu.metrics)
    assert set(reading.quantities) == set(Gpu.metrics)


# --- slowdowns -------------------------------------------------------------------------------------------


def test_heat_and_the_power_limit_are_told_apart(driver):
    """The driver's counters, in ns, give the seconds of each cause inside the window."""
    driver.set(0, thermal_ns=7_000_000_000, power_ns=1)
    reading = window(Reading(device="cuda"), lambda: driver.set(0, thermal_ns=7_250_000_000, power_ns=1_500_000_001))
    assert (reading.value("gpu_throttled_s"), reading.value("gpu_power_capped_s")) == (0.25, 1.5)
    assert reading.quantities["gpu_throttled_s"].method == "counter"


def test_slowdowns_add_over_segments(driver):
    """Two segments with a quarter of a second each are half a second; what lies between them is not counted."""
    reading = Reading(device="cuda")
    for n in range(2):
        driver.set(0, thermal_ns=n * 10_000_000_000)
        window(reading, lambda n=n: driver.set(0, thermal_ns=n * 10_000_000_000 + 250_000_000))
    assert reading.value("gpu_throttled_s") == 0.5


def test_of_several_boards_the_one_slowed_down_for_longest_counts(driver):
    """Where no device is named two boards slowed down at once are not twice the time."""
    reading = window(Reading(), lambda: [driver.set(n, thermal_ns=(n + 1) * 500_000_000) for n in range(2)])
    assert reading.value("gpu_throttled_s") == 1.0


def test_no_slowdown_is_zero(driver):
    """A counter that stood still says that nothing slowed the board down, which is known."""
    assert window(Reading(device="cuda")).value("gpu_throttled_s") == 0.0


def test_a_counter_that_fell_is_unknown(driver):
    """After a reset of the driver the difference means nothing."""
    driver.set(0, thermal_ns=5)
    assert window(Reading(device="cuda"), lambda: driver.set(0, thermal_ns=0)).value("gpu_throttled_s") is None


def trace_of(path: Path, reasons: dict[float, int], end: float = 110.0) -> Trace:
    """A trace with ten samples a second from 99 s on; a reason holds from its time until the next one's."""
    now, lines = 0, []
    for tenth in range(990, int(end * 10)):
        now = reasons.get(tenth / 10, now)
        lines.append(json.dumps({"t_s": tenth / 10, "nvml.0.throttle_reasons": now, "nvml.1.throttle_reasons": 0xFF}))
    path.write_text("\n".join(lines) + "\n")
    return Trace(path)


@pytest.mark.parametrize(
    ("reasons", "throttled_s", "capped_s"),
    [
        ({}, 0.0, 0.0),
        ({101.0: HEAT, 101.5: 0}, 0.5, 0.0),
        ({101.0: BRAKE | IDLE, 101.5: CAP, 102.5: HEAT | CAP, 102.7: 0}, 0.7, 1.2),
        ({99.5: HEAT, 100.5: 0}, 0.5, 0.0),
        ({102.8: HEAT}, 0.2, 0.0),
        ({99.0: CAP}, 0.0, 3.0),
        ({101.0: IDLE | 0x02 | 0x100}, 0.0, 0.0),
    ],
)
def test_without_counters_the_reasons_that_the_poller_saw_count(driver, hand, tmp_path, reasons, throttled_s, capped_s):
    """A reason holds until the next sample; what lies outside of the window, and other reasons, do not count."""
    driver.refuse(0, COUNTER)
    reading = Reading(trace=trace_of(tmp_path / "p", reasons), device="cuda:0")
    window(reading, lambda: time.sleep(3.0))
    assert reading.value("gpu_throttled_s") == pytest.approx(throttled_s)
    assert reading.value("gpu_power_capped_s") == pytest.approx(capped_s)
    assert reading.quantities["gpu_throttled_s"].method == "sampled"


@pytest.mark.parametrize(("start", "end"), [(None, 101.0), (101.0, 110.0), (99.0, 99.0)])
def test_a_trace_with_a_hole_tells_nothing(driver, hand, tmp_path, start, end):
    """Where the poller began late, or had stopped, nobody knows what slowed the board down meanwhile."""
    driver.refuse(0, COUNTER)
    trace = trace_of(tmp_path / "p", {}, end)
    if start is not None:
        trace.path.write_text(
            "".join(line + "\n" for line in trace.path.read_text().splitlines()[int(start * 10) - 990 :])
        )
    assert window(Reading(trace=trace, device="cuda"), lambda: time.sleep(3.0)).value("gpu_throttled_s") is None


def test_without_counters_and_poller_a_slowdown_is_unknown(driver):
    """Nobody looked, so nobody knows."""
    driver.refuse(0, COUNTER)
    assert window(Reading(device="cuda")).value("gpu_throttled_s") is None


# --- others on the board ---------------------------------------------------------------------------------


@pytest.fixture
def namespace(tmp_path, monkeypatch):
    """Put this process into a namespace of processes; returns the function that does."""

    def put(name: str | None) -> None:
        monkeypatch.setattr(gpu, "PROC", tmp_path)
        if name is not None:
            (tmp_path / "self/ns").mkdir(parents=True)
            (tmp_path / "self/ns/pid").symlink_to(name)

    return put


CONTAINER = "pid:[4026532281]"
MACHINE = "pid:[4026531836]"
ME = os.getpid()


@pytest.mark.parametrize(
    ("where", "pids", "expected"),
    [
        (MACHINE, [ME], 0),
        (MACHINE, [ME, 1], 1),
        (MACHINE, [ME, 1, 2, 1], 2),
        (CONTAINER, [ME, 1], 1),
        (CONTAINER, [ME], None),  # others' are hidden
        (CONTAINER, [], None),
        (CONTAINER, [4_000_001], None),  # our own, under its number outside
        (MACHINE, [], None),
        (None, [ME], 0),  # a system without namespaces
    ],
)
def test_others_on_the_board_are_counted_where_they_show(driver, namespace, where, pids, expected):
    """Processes that are not of this tree count; where the driver may hide some, none is no answer."""
    namespace(where)
    driver.run(0, *pids)
    driver.run(1, 9, 10, 11)
    assert window(Reading(device="cuda:0")).value("n_gpu_foreign_processes") == expected


def test_a_child_is_none_of_the_others(driver, namespace):
    """A descendant of this process that computes on the GPU is the model's own."""
    namespace(MACHINE)
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    driver.run(0, ME, child.pid)
    reading = window(Reading(device="cuda"))
    child.communicate()
    assert reading.value("n_gpu_foreign_processes") == 0


def test_a_visitor_who_leaves_inside_the_window_counts(driver, namespace):
    """Whoever computes at the opening edge was there in the window, although gone at its end."""
    namespace(MACHINE)
    driver.run(0, ME, 1)
    assert window(Reading(device="cuda"), lambda: driver.set(0, n_pids=1)).value("n_gpu_foreign_processes") == 1


def test_a_visitor_at_either_edge_counts_once_over_the_segments(driver, namespace):
    """One who comes inside the first segment and stays is one, and is still told of after a quiet segment."""
    namespace(MACHINE)
    driver.run(0, ME)
    reading = Reading(device="cuda")
    window(reading, lambda: driver.run(0, 1))
    window(reading)
    driver.set(0, n_pids=1)
    window(reading)
    assert reading.value("n_gpu_foreign_processes") == 1


# --- the poller ------------------------------------------------------------------------------------------


def test_every_visible_board_is_sampled(driver, monkeypatch):
    """The poller sees heat, load, clock and reasons of each visible board; what one does not tell is left out."""
    assert isinstance(Gpu(), Polled)
    driver.set(0, reasons=HEAT)
    driver.refuse(1, "nvmlDeviceGetUtilizationRates")
    assert Gpu().sample() == {
        "nvml.0.temperature_c": 40, "nvml.0.utilisation_pct": 90, "nvml.0.clock_hz": 1_410_000_000,
        "nvml.0.throttle_reasons": HEAT,
        "nvml.1.temperature_c": 41, "nvml.1.clock_hz": 1_410_000_000, "nvml.1.throttle_reasons": 0,
    }  # fmt: skip


def test_no_driver_is_a_reason(no_driver):
    """Without the driver's library the meter is unavailable, with the remedy."""
    assert "no NVIDIA driver" in Gpu().unavailable()
    reading = window(Reading(device="cuda"))
    assert reading.quantities == {}


def test_a_driver_makes_it_available(driver):
    """A visible board is enough, whatever it tells."""
    driver.refuse(0, "nvmlDeviceGetTemperature")
    assert Gpu().unavailable() is None
