"""The clock is monotonic, and times the block alone."""

import time

import pytest

from greenbench.meters.clock import Clock
from greenbench.plugins import Reading


def test_wall_time_ignores_a_stepped_wall_clock(monkeypatch):
    """A wall clock set back by an hour inside the window leaves wall_s alone."""
    steps = iter([1_000_000.0, 996_400.0, 996_400.0, 996_400.0])
    monkeypatch.setattr(time, "time", lambda: next(steps, 996_400.0))
    reading = Reading()
    with Clock().window(reading):
        time.sleep(0.05)
    assert 0.05 <= reading.value("wall_s") < 1800  # far from the hour


def test_segments_add_up(monkeypatch):
    """Two windows with one reading give the sum of their times, without the time in between."""
    hand, reading = iter([10.0, 10.5, 20.0, 20.25]), Reading()
    monkeypatch.setattr(time, "perf_counter", lambda: next(hand))
    for _ in range(2):
        with Clock().window(reading):
            pass
    assert reading.value("wall_s") == 0.75


def test_a_window_that_raises_is_not_a_measurement():
    """An exception inside the window leaves the reading empty."""
    reading = Reading()
    with pytest.raises(RuntimeError), Clock().window(reading):
        raise RuntimeError
    assert reading.quantities == {}
