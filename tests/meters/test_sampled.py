"""Sampled power becomes joules once a window has closed, or says why it does not."""

import json
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from greenbench.meters import measure
from greenbench.plugins import Quantity, Reading, SampledPower
from greenbench.plugins.traces import Trace


class Source:
    """A meter that leaves its power to the poller."""

    metrics, estimates = ("energy_system_j",), False

    def __init__(self, *names: str, note: str | None = None) -> None:
        self.power = SampledPower(names, "fake", note)

    @contextmanager
    def window(self, reading):
        yield
        reading.sampled["energy_system_j"] = self.power


class Counter:
    """A meter that reads the time at which its window closes."""

    metrics, estimates = ("energy_cpu_j",), False
    closed_s = 0.0

    @contextmanager
    def window(self, reading):
        yield
        self.closed_s = time.perf_counter()


@pytest.fixture
def hand(monkeypatch):
    """A clock whose hand moves when somebody sleeps."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def write(path: Path, watts, start: int = 990, end: int = 1100) -> Trace:
    """A trace of ten samples a second from 99 s to 110 s; ``watts`` gives each one's values."""
    samples = [json.dumps({"t_s": n / 10, **watts(n / 10)}) for n in range(start, end)]
    path.write_text("\n".join(samples) + "\n")
    return Trace(path)


def test_watts_times_seconds(tmp_path, hand):
    """Two powers of a metric, constant over 3 s, give the sum of their watts times the seconds."""
    reading = Reading(trace=write(tmp_path / "p", lambda _t: {"a.power_w": 12.5, "b.power_w": 2.5}))
    with measure([Source("a.power_w", "b.power_w", note="rail X")], reading):
        time.sleep(3.0)
    quantity = reading.quantities["energy_system_j"]
    assert quantity.value == pytest.approx(45.0)
    assert (quantity.method, quantity.source) == ("sampled", "fake")
    assert quantity.note == "rail X, 31 samples in the window, 1 different values"
    assert reading.segments == [(100.0, 103.0)]


@pytest.mark.parametrize(("seconds", "told"), [(0.85, "only 9 samples"), (0.95, "10 samples")])
def test_few_samples_are_told(tmp_path, hand, seconds, told):
    """A window with fewer than ten samples has its joules, and the reader is told of how few."""
    reading = Reading(trace=write(tmp_path / "p", lambda t: {"a.power_w": t}))
    with measure([Source("a.power_w")], reading):
        time.sleep(seconds)
    assert reading.quantities["energy_system_j"].note.startswith(told)


def test_a_sensor_that_falls_to_0_is_no_energy(tmp_path, hand):
    """A sensor that read 12 W until just before the window, and 0 W in a part of it, gives no joules of the rest."""
    for zeros, n_zero in (((99.95, 104.0), 31), ((101.0, 101.05), 1)):
        hand[0] = 100.0
        trace = write(tmp_path / "p", lambda t, at=zeros: {"a.power_w": 0.0 if at[0] <= t < at[1] else 12.0})
        reading = Reading(trace=trace)
        with measure([Source("a.power_w")], reading):
            time.sleep(3.0)
        assert reading.value("energy_system_j") is None
        assert f"0 W in {n_zero} of 31 samples" in reading.quantities["energy_system_j"].note


class Worker:
    """A meter that says how many CPU seconds each second of the window took, beside the clock."""

    metrics, estimates = ("cpu_s",), False

    def __init__(self, cores: float) -> None:
        self.cores = cores

    @contextmanager
    def window(self, reading):
        start_s = time.perf_counter()
        yield
        wall_s = time.perf_counter() - start_s
        reading.add("cpu_s", Quantity(self.cores * wall_s, "counter", "fake"))


@pytest.mark.parametrize("seconds", [0.15, 0.5, 3.0, 30.0])
def test_a_sensor_at_0_is_no_energy(tmp_path, hand, seconds):
    """What stands at 0 W does not measure: None, however short the window, and never 0 J."""
    reading = Reading(trace=write(tmp_path / "p", lambda _t: {"a.power_w": 0.0}, end=1400))
    with measure([Source("a.power_w")], reading):
        time.sleep(seconds)
    assert reading.value("energy_system_j") is None
    assert "stands at 0 W" in reading.quantities["energy_system_j"].note


@pytest.mark.parametrize(
    ("source", "cores", "seconds", "is_known"),
    [
        ("hwmon", 2.0, 6.0, False),
        ("hwmon", 0.6, 6.0, False),
        ("hwmon", 0.01, 6.0, True),  # a model that waits
        ("hwmon", 2.0, 4.0, True),
        ("battery", 2.0, 20.0, True),
        ("battery", 2.0, 31.0, False),
    ],
)
def test_a_sensor_that_stands_still_while_the_model_computes(tmp_path, hand, source, cores, seconds, is_known):
    """One value for longer than the source's slowest update is a sensor that is stuck, unless nothing computes."""
    meter = Source("a.power_w")
    meter.power = replace(meter.power, source=source)
    reading = Reading(trace=write(tmp_path / "p", lambda _t: {"a.power_w": 12.5}, start=1000, end=1500))
    with measure([meter, Worker(cores)], reading):
        time.sleep(seconds)
    assert reading.value("energy_system_j") == (pytest.approx(12.5 * seconds) if is_known else None)
    assert is_known or "stood at 12.5 W" in reading.quantities["energy_system_j"].note


@pytest.mark.parametrize(
    ("used_pct", "watts", "is_known"),
    [
        (95, lambda _t: 61.0, False),
        (95, lambda t: 61.0 + (t > 104), True),  # it moves
        (3, lambda _t: 61.0, True),  # a board that rests may draw the same
        (None, lambda _t: 61.0, True),  # whether it computes is not known
    ],
)
def test_a_boards_sensor_that_stands_still_while_the_board_computes(tmp_path, hand, used_pct, watts, is_known):
    """The CPU sleeps while a GPU computes: the board's utilisation says that its power cannot be constant."""
    used = {} if used_pct is None else {"nvml.0.utilisation_pct": used_pct, "nvml.1.utilisation_pct": 99}
    meter = Source("nvml.0.power_w")
    reading = Reading(trace=write(tmp_path / "p", lambda t: {"nvml.0.power_w": watts(t), **used}))
    with measure([meter, Worker(0.01)], reading):
        time.sleep(6.0)
    assert (reading.value("energy_system_j") is not None) is is_known
    assert is_known or "nvml.0.power_w: it stood at 61 W" in reading.quantities["energy_system_j"].note


def test_a_sensor_that_has_long_stood_still_is_stuck_in_a_short_window(tmp_path, hand):
    """What happened before a window counts: a gauge of 40 s ago is none, and one that moved 10 s ago is."""
    for moved_s, is_known in ((60.0, False), (90.0, True)):
        hand[0] = 100.0
        meter = Source("a.power_w")
        meter.power = replace(meter.power, source="battery")
        gauge = write(tmp_path / "p", lambda t, at=moved_s: {"a.power_w": 9.0 if t < at else 12.5}, start=500, end=1500)
        reading = Reading(trace=gauge)
        with measure([meter, Worker(2.0)], reading):
            time.sleep(2.0)
        assert reading.value("energy_system_j") == (pytest.approx(25.0) if is_known else None)


@pytest.mark.parametrize(("watts", "told"), [(-41.0, "clamp reversed"), (42e6, "more than a machine (20,000 W)")])
def test_watts_that_cannot_be_are_no_energy(tmp_path, hand, watts, told):
    """One sample below 0 or beyond what a machine draws makes the joules unknown, and the reason says which."""
    trace = write(tmp_path / "p", lambda t: {"a.power_w": watts if t == 101.0 else 40.0})
    reading = Reading(trace=trace)
    with measure([Source("a.power_w")], reading):
        time.sleep(3.0)
    assert reading.value("energy_system_j") is None
    assert told in reading.quantities["energy_system_j"].note


@pytest.mark.parametrize("shared", [False, True])
def test_a_shared_power_makes_shared_joules(tmp_path, hand, shared):
    """What is marked at the power is marked at its joules."""
    source = Source("a.power_w")
    source.power = replace(source.power, shared=shared)
    reading = Reading(trace=write(tmp_path / "p", lambda _t: {"a.power_w": 1.0}))
    with measure([source], reading):
        time.sleep(1.0)
    assert reading.quantities["energy_system_j"].shared is shared


def test_segments_add_up_without_what_is_between(tmp_path, hand):
    """Two windows of one reading add up; what is drawn between them is not counted."""
    reading = Reading(trace=write(tmp_path / "p", lambda t: {"a.power_w": 1000.0 if 101.3 < t < 102.7 else 10.0}))
    for _ in range(2):
        with measure([Source("a.power_w")], reading):
            time.sleep(1.0)
        hand[0] = 103.0
    assert reading.value("energy_system_j") == pytest.approx(20.0)
    assert reading.segments == [(100.0, 101.0), (103.0, 104.0)]


def test_one_segment_that_is_unknown_makes_the_window_unknown(tmp_path, hand):
    """Where the samples end within the second segment, the sum is None and says why, never a part of it."""
    reading = Reading(trace=write(tmp_path / "p", lambda _t: {"a.power_w": 10.0}, end=1035))
    for _ in range(2):
        with measure([Source("a.power_w")], reading):
            time.sleep(1.0)
        hand[0] = 103.0
    quantity = reading.quantities["energy_system_j"]
    assert quantity.value is None
    assert "a.power_w: the samples of power do not reach over the window" in quantity.note


def test_one_of_two_powers_missing_is_unknown(tmp_path, hand):
    """A metric with a power that was not sampled is None, not the other one alone."""
    reading = Reading(trace=write(tmp_path / "p", lambda _t: {"a.power_w": 10.0}))
    with measure([Source("a.power_w", "b.power_w")], reading):
        time.sleep(1.0)
    assert reading.value("energy_system_j") is None
    assert "b.power_w" in reading.quantities["energy_system_j"].note


def test_without_a_poller_it_is_unknown(hand):
    """Where nothing is sampled the joules are None, and the note says what to look at."""
    reading = Reading()
    with measure([Source("a.power_w")], reading):
        time.sleep(1.0)
    assert reading.value("energy_system_j") is None
    assert "trace_hz" in reading.quantities["energy_system_j"].note


def test_counters_do_not_wait_for_samples(tmp_path, hand):
    """The sample after the window is awaited once all meters have closed, whatever their order."""
    counter = Counter()
    for meters in ([Source("a.power_w"), counter], [counter, Source("a.power_w")]):
        hand[0] = 100.0
        trace = write(tmp_path / "p", lambda _t: {"a.power_w": 1.0}, end=1005)
        with measure(meters, Reading(trace=trace)):
            time.sleep(2.0)
        assert counter.closed_s == 102.0 < hand[0]


def test_a_window_that_raises_is_not_a_measurement(tmp_path, hand):
    """An exception inside the window leaves the reading empty."""
    reading = Reading(trace=write(tmp_path / "p", lambda _t: {"a.power_w": 1.0}))
    with pytest.raises(ZeroDivisionError), measure([Source("a.power_w")], reading):
        _ = 1 / 0
    assert (reading.quantities, reading.segments) == ({}, [])
