"""A log's clock is held against the run's load: known skews are found, harmless ones pass, unclear ones do not."""

from pathlib import Path

import numpy as np
import pytest

from greenbench.plugins.traces import Session
from greenbench.power.clockskew import estimate, load_of
from greenbench.power.log import PowerLog, Source

UTC = 1_700_000_000.0
WINDOWS = [(20.0, 24.0), (33.0, 37.0), (52.0, 58.0)]
BUSY = [(15.0, 24.2), (30.0, 37.2), (50.0, 58.2), (75.0, 80.0)]
"""When the machine computed: each window has its warm-up before, and something else ran after them."""


def busy(t: float, stretches: list[tuple[float, float]] = BUSY) -> bool:
    return any(start <= t < end for start, end in stretches)


def log(watts, skew_s: float, period_s: float = 1.0, noise_w: float = 0.0) -> PowerLog:
    """A meter whose clock is ahead, which samples the machine's power from 30 s before its run to 30 s after it."""
    rng = np.random.default_rng(1)
    true_s = np.arange(-30.0, 130.0, period_s) + 0.37 * period_s
    values = np.array([watts(t) for t in true_s]) + noise_w * rng.standard_normal(len(true_s))
    return PowerLog(Source(Path("wall.csv")), UTC + true_s + skew_s, values)


def session(signal, name: str = "cpu.utilisation_pct") -> Session:
    """A trace of ten samples a second over the run's 90 s, on a clock that read 5000 s at its start."""
    samples = [{"t_s": 5000 + n / 10, "t_end_s": 5000 + n / 10, name: signal(n / 10)} for n in range(900)]
    return Session(UTC - 5000, 0.1, samples)


def edges() -> list:
    idle = [("idle", [(UTC + 2.0, UTC + 12.0)])]
    return idle + [("window", [(UTC + start, UTC + end)]) for start, end in WINDOWS]


def windows() -> list:
    return [segments for kind, segments in edges() if kind == "window"]


def power(t: float) -> float:
    return 60.0 if busy(t) else 20.0


def load(t: float) -> float:
    return 97.0 if busy(t) else 3.0


@pytest.mark.parametrize("noise_w", [0.0, 2.0, 6.0])
@pytest.mark.parametrize("skew_s", [-7.0, -2.0, -0.5, 0.0, 0.5, 2.0, 7.0])
def test_a_known_skew_is_found(skew_s: float, noise_w: float) -> None:
    """Of a log of one sample a second the skew is found to half a second, within the range that is told."""
    found = estimate(log(power, skew_s, noise_w=noise_w), load_of([session(load)], edges()), windows())
    assert found.best_s == pytest.approx(skew_s, abs=0.5)
    assert found.low_s - 0.11 <= skew_s <= found.high_s + 0.11
    assert found.high_s - found.low_s < 2.5
    if abs(skew_s) >= 2:
        assert f"State --clock-skew {found.best_s:.1f}" in str(found.problem())
        assert f"{found.correlation:.2f} there, {found.at_zero:.2f} at 0 s" in str(found.problem())
    elif skew_s == 0:
        assert found.problem() is None
        assert "follows the load at" in found.summary


@pytest.mark.parametrize(("skew_s", "matters"), [(-0.5, True), (0.5, False)])
def test_half_a_second_is_found_by_a_faster_log(skew_s: float, matters: bool) -> None:
    """With five samples a second half a second is seen; it is refused where it takes the rest after a window in."""
    found = estimate(log(power, skew_s, period_s=0.2), load_of([session(load)], edges()), windows())
    assert found.best_s == pytest.approx(skew_s, abs=0.15)
    assert (found.low_s > 0) or (found.high_s < 0)
    assert (found.problem() is not None) is matters
    assert f"the log follows the load at {found.best_s:+.1f} s" in found.summary


@pytest.mark.parametrize("name", ["cpu.utilisation_pct", "hwmon.VDD_IN.power_w"])
def test_sampled_power_and_load_serve_alike(name: str) -> None:
    """What the poller saw of the machine is what the log is held against, be it watts or percent."""
    found = estimate(log(power, 4.0), load_of([session(load, name)], edges()), windows())
    assert found.best_s == pytest.approx(4.0, abs=0.5)


def test_counters_serve_as_well() -> None:
    """Energy that a package counted is power by its differences; a step back is left out."""
    joules = np.cumsum([4.0 if busy(n / 10) else 1.0 for n in range(900)])
    joules[600:] -= joules[600]
    counted = session(lambda t: int(1e6 * joules[round(10 * t)]), "rapl.package-0.energy_uj")
    assert estimate(log(power, -3.0), load_of([counted], edges()), windows()).best_s == pytest.approx(-3.0, abs=0.5)


@pytest.mark.parametrize("skew_s", [0.0, 7.0])
def test_without_a_trace_the_edges_of_windows_serve(skew_s: float) -> None:
    """Idle baselines and windows alone tell a large skew from none."""
    found = estimate(log(power, skew_s, period_s=0.5), load_of([], edges()), windows())
    assert (found.problem() is None) is (skew_s == 0)


@pytest.mark.parametrize("watts", [lambda _t: 42.0, lambda t: 42.0 + 0.5 * np.sin(t)])
@pytest.mark.parametrize("skew_s", [0.0, 2.0])
def test_a_flat_log_needs_no_clock(watts, skew_s: float) -> None:
    """Where the watts hardly change no skew matters: the joules stand, and the note says why."""
    found = estimate(log(watts, skew_s), load_of([session(lambda _t: 2.0)], edges()), windows())
    assert found.best_s is None
    assert found.problem() is None
    assert "no skew can be seen" in found.summary


@pytest.mark.parametrize("signal", [lambda _t: 50.0, lambda t: 50 + 40 * np.sin(9.7 * t * t)])
def test_a_log_that_does_not_follow_the_load_is_refused(signal) -> None:
    """Where the watts change and the load says nothing of when, the skew is unclear, and the joules hang on it."""
    found = estimate(log(power, 2.0), load_of([session(signal)], []), windows())
    assert found.best_s is None
    assert "is unclear" in str(found.problem())
    assert "-30.0 to +30.0 s" in str(found.problem())


def test_a_run_of_which_nothing_is_known() -> None:
    """Without trace and edges there is nothing to hold the log against, which is no crash."""
    assert "is unclear" in str(estimate(log(power, 0.0), load_of([], []), windows()).problem())
