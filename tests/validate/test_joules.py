"""Joules against samples: what counters and sensors showed bounds them from both sides, whatever the edges hide."""

from pathlib import Path
from typing import Any

import pytest

from greenbench.plugins.traces import Session
from greenbench.results.record import KEYS
from greenbench.suite.protocol import PROTOCOLS
from greenbench.validate.evidence import Evidence, ResultLine, Rule
from greenbench.validate.joules import _agrees_with_its_samples, _hides_no_energy, _never_steps_back

START_S, END_S = 100.0, 104.0
KEY = dict.fromkeys(KEYS, "x")


def found(
    samples: list[dict[str, float]], part: str, joules: float, source: str, rule: Rule = _agrees_with_its_samples,
    **more: object,
) -> list[str]:  # fmt: skip
    """What is said of a row of four seconds whose part is said to have drawn so much."""
    row: dict[str, Any] = {**KEY, "wall_s": END_S - START_S, f"energy_{part}_j": joules,
                           f"energy_{part}_method": "counter", f"energy_{part}_source": source, **more}  # fmt: skip
    edges = {**KEY, "kind": "window", "segments": [[START_S, END_S]], "t_s": 0.0, "utc_s": 1e9}
    key = tuple(KEY.values())
    evidence = Evidence(
        Path(), {}, PROTOCOLS["quick"], {}, {key: [[START_S, END_S]]}, {key: row},
        edges=[ResultLine(Path(), 1, edges)], at={key: 0}, trace=[Session(1e9, 0.1, samples)],
    )  # fmt: skip
    return list(rule(row, evidence))


def times() -> list[float]:
    return [START_S - 0.25 + n / 10 for n in range(46)]


def counted(
    watts: float, wrap_uj: float = float("inf"), name: str = "rapl.package-0.energy_uj"
) -> list[dict[str, float]]:
    return [{"t_s": t, name: (1e6 * watts * (t - 90)) % wrap_uj} for t in times()]


@pytest.mark.parametrize(
    ("joules", "holds"), [(80, True), (78, True), (84, True), (70, False), (20, False), (95, False)]
)
def test_a_counter_bounds_joules_from_both_sides(joules: float, holds: bool) -> None:
    """20 W for 4 s are 80 J; a sample at either edge may be missed, and no more."""
    assert bool(found(counted(20), "cpu", joules, "rapl")) is not holds


def test_a_counter_that_wraps_bounds_from_below(tmp_path: Path) -> None:
    """How far a wrapped counter went nobody knows without its range; what it showed before and after is the least."""
    samples = counted(20, wrap_uj=60e6)
    assert found(samples, "cpu", 80, "rapl") == []
    assert found(samples, "cpu", 20, "rapl")


def test_packages_add_up_and_mirrors_do_not() -> None:
    """Two packages draw what both count; a die that shows its neighbour's counter counts nothing of its own."""
    one, two = counted(20), counted(30, name="rapl.package-1.energy_uj")
    both = [a | b for a, b in zip(one, two, strict=True)]
    assert found(both, "cpu", 200, "rapl") == []
    assert found(both, "cpu", 80, "rapl")
    mirror = counted(20, name="rapl.package-0-die-1.energy_uj")
    assert found([a | b for a, b in zip(one, mirror, strict=True)], "cpu", 80, "rapl") == []


def test_memory_is_held_against_its_own_counter() -> None:
    """The counter of a package's memory is none of the package's, and the other way round."""
    memory = counted(5, name="rapl.package-0-dram.energy_uj")
    samples = [a | b for a, b in zip(counted(20), memory, strict=True)]
    assert found(samples, "dram", 20, "rapl") == []
    assert found(samples, "cpu", 80, "rapl") == []
    assert found(samples, "dram", 80, "rapl")


@pytest.mark.parametrize(("joules", "holds"), [(40, True), (40.5, True), (10, False), (60, False)])
def test_sampled_joules_are_the_integral_of_their_samples(joules: float, holds: bool) -> None:
    """A rail of 10 W for 4 s is 40 J."""
    samples = [{"t_s": t, "hwmon.VDD_IN.power_w": 10.0} for t in times()]
    assert bool(found(samples, "system", joules, "hwmon")) is not holds


@pytest.mark.parametrize(("joules", "holds"), [(400, True), (800, True), (480, True), (200, False), (1500, False)])
def test_boards_count_one_of_them_or_all(joules: float, holds: bool) -> None:
    """Of two boards of 100 W one or both may have worked; less than the smaller, or more than both, did not."""
    samples = [{"t_s": t, "nvml.0.power_w": 100.0, "nvml.1.power_w": 100.0} for t in times()]
    assert bool(found(samples, "gpu", joules, "nvml-total-energy")) is not holds


def test_samples_that_do_not_reach_over_the_window_say_nothing() -> None:
    """A poller that began in the middle can neither confirm nor deny."""
    assert found(counted(20)[20:], "cpu", 1, "rapl") == []


def board(watts: float, reset_at: int | None = None) -> list[dict[str, float]]:
    """What a board's counter shows, and its power; it may begin anew at a sample."""
    begun = [START_S - 10 if reset_at is None or n < reset_at else START_S + 2 for n in range(len(times()))]
    return [{"t_s": t, "nvml.0.energy_mj": 1e3 * watts * (t - b), "nvml.0.power_w": watts}
            for t, b in zip(times(), begun, strict=True)]  # fmt: skip


@pytest.mark.parametrize(("joules", "holds"), [(400, True), (0.4, False), (300, False), (500, False)])
def test_joules_of_a_board_are_those_of_its_counter(joules: float, holds: bool) -> None:
    """100 W for 4 s are 400 J: a quarter less, which a lagging sensor would forgive, its counter does not."""
    assert bool(found(board(100), "gpu", joules, "nvml-total-energy")) is not holds


def test_a_boards_counter_never_steps_back() -> None:
    """It has 64 bits: one that stepped back was reset, and tells no joules."""
    assert found(board(100), "gpu", 400, "nvml-total-energy", _never_steps_back) == []
    (what,) = found(board(100, reset_at=30), "gpu", 400, "nvml-total-energy", _never_steps_back)
    assert "nvml.0.energy_mj in power.jsonl steps back" in what


def test_a_simulated_pace_has_counters_and_no_joules() -> None:
    """Counters are sampled whatever is measured; only where the speech was not waited for may they be left out."""
    assert found(counted(20), "gpu", 1.0, "nvml", _hides_no_energy)
    assert found(counted(20), "gpu", 1.0, "nvml", _hides_no_energy, pace="real-time")
    assert not found(counted(20), "gpu", 1.0, "nvml", _hides_no_energy, pace="simulated")
