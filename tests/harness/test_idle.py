"""Before and after a window: the warm-up ends for a reason, and idle power is that of the whole scope."""

from dataclasses import replace
from itertools import cycle

import pytest

from greenbench.harness.idle import idle_after_w, idle_power_w, warm_up
from greenbench.harness.load import batches
from greenbench.plugins import Reading
from greenbench.suite.protocol import PROTOCOLS

from .clockwork import Hand, Meter, Model, speak


@pytest.mark.parametrize(
    ("steps", "seconds", "n_batches", "cv"),
    [
        ({"warmup_batches": 3}, [9.0, 1.0, 5.0, 7.0], 3, None),
        ({"warmup_batches": 3, "warmup_cv_pct": 5}, [5.0, 1.0, 1.0, 1.0, 1.0], 4, 0.0),
        ({"warmup_batches": 6, "warmup_cv_pct": 5}, [1.0] * 9, 6, 0.0),
        ({"warmup_batches": 1, "warmup_cv_pct": 5}, [1.0] * 9, 3, 0.0),
        ({"warmup_batches": 3, "warmup_cv_pct": 5}, [1.0, 1.0, 1.1, 1.0, 1.0, 1.0, 1.0], 6, 0.0),  # 5.6 % of the mean
        ({"warmup_batches": 3, "warmup_cv_pct": 6}, [1.0, 1.0, 1.1, 1.0, 1.0, 1.0, 1.0], 3, 5.587),
        ({"warmup_batches": 3, "warmup_cv_pct": 5, "warmup_max_batches": 7}, [1.0, 2.0] * 9, 7, 43.30),
        ({"warmup_batches": 1, "warmup_cv_pct": 5, "warmup_max_batches": 2}, [1.0] * 9, 2, None),
        ({"warmup_batches": 3, "warmup_s": 10.0}, [1.0] * 20, 10, None),
        ({"warmup_batches": 3, "warmup_s": 10.0, "warmup_max_batches": 5}, [1.0] * 20, 10, None),
        ({"warmup_batches": 3, "warmup_s": 10.0, "warmup_cv_pct": 5}, [1.0] * 4 + [2.0, 1.0] * 9, 8, 0.0),
        (
            {"warmup_batches": 3, "warmup_s": 9.0, "warmup_cv_pct": 5, "warmup_max_batches": 4},
            [1.0, 2.0] * 2 + [1.0] * 9,
            7,
            0.0,
        ),
        ({"warmup_batches": 0}, [1.0], 1, None),
    ],
)
def test_a_warm_up_goes_on_until_it_is_met(
    hand: Hand, steps: dict, seconds: list[float], n_batches: int, cv: float | None
) -> None:
    """Enough batches, then a steady pace or the most batches, and enough seconds; a pace that was steady once is."""
    protocol = replace(PROTOCOLS["quick"], **steps)
    model, start = Model(hand, iter(seconds)), hand.now
    done = warm_up(model, [speak([16_000])], protocol)
    assert done.warmup_batches == n_batches == len(model.heard)
    assert done.warmup_s == hand.now - start == pytest.approx(sum(seconds[:n_batches]))
    assert done.warmup_cv_pct == (cv if cv is None else pytest.approx(cv, abs=0.01))


def test_a_steady_pace_is_by_the_second_of_audio(hand: Hand) -> None:
    """Batches of different lengths, each taking a tenth of its audio, are a steady pace."""
    queue = batches("offline", speak([64_000, 32_000, 16_000]), 1)
    model = Model(hand, cycle([0.1, 0.4, 0.2, 0.1]))
    assert warm_up(model, queue, replace(PROTOCOLS["quick"], warmup_cv_pct=5)).warmup_batches == 3


def test_the_pace_of_the_warm_up_says_how_long_a_pass_takes(hand: Hand) -> None:
    """Three batches in 3 s are a second each, so that 90 take a minute and a half."""
    done = warm_up(Model(hand, iter([1.5, 0.5, 1.0])), [speak([16_000])], PROTOCOLS["quick"])
    assert done.expected_s(90) == pytest.approx(90.0)


def test_the_smallest_batch_is_met_first(hand: Hand) -> None:
    """The last, smaller batch is part of every warm-up, followed by the others in their order."""
    model = Model(hand)
    queue = batches("offline", speak([5, 4, 3, 2, 1]), 2)
    warm_up(model, queue, replace(PROTOCOLS["quick"], warmup_batches=4))
    assert model.heard == [[1], [5, 4], [3, 2], [1]]


def test_idle_power_is_joules_over_seconds(hand: Hand) -> None:
    """A scope that draws 10 W at rest has an idle power of 10 W, read over the seconds asked for."""
    start = hand.now
    assert idle_power_w([Meter(hand)], 30.0, Reading(device="cpu")) == pytest.approx(10.0)
    assert hand.now - start == 30.0


def test_no_idle_power_of_a_part_of_the_scope(hand: Hand) -> None:
    """With the GPU in scope and not read, idle power is None, not that of the CPU."""
    assert idle_power_w([Meter(hand)], 30.0, Reading(device="cuda:0")) is None


def test_a_meter_outside_is_worth_an_idle_baseline(hand: Hand) -> None:
    """Where a wall meter's log will be attached the baseline is taken, although nothing here reads energy."""
    start, reading = hand.now, Reading()
    assert idle_power_w([], 30.0, reading, logged=True) is None
    assert reading.segments == [(start, start + 30.0)]
    for drift_pct, n_idled in ((None, 0), (10.0, 1)):
        idled: list[None] = []
        assert idle_after_w(lambda idled=idled: idled.append(None), None, drift_pct, logged=True) is None
        assert len(idled) == n_idled


@pytest.mark.parametrize(("with_energy", "idle_s"), [(True, 0.0), (False, 30.0)])
def test_no_waiting_for_nothing(hand: Hand, with_energy: bool, idle_s: float) -> None:
    """Without an energy meter, or without seconds to idle, nobody waits and the power is None."""
    start, energy_meter = hand.now, Meter(hand)
    meters = [energy_meter] if with_energy else []
    assert idle_power_w(meters, idle_s, Reading(device="cpu")) is None
    assert (hand.now, energy_meter.n_windows) == (start, 0)


@pytest.mark.parametrize(
    ("watts", "drift_pct", "expected", "n_baselines"),
    [
        ([11.0], 10, 11.0, 1),
        ([9.0], 10, 9.0, 1),
        ([11.01, 10.5], 10, 10.5, 2),
        ([8.99, 8.0], 10, 8.0, 2),
        ([99.0], None, None, 0),
    ],
)
def test_idle_power_is_measured_again_where_it_has_drifted(
    watts: list[float], drift_pct: float | None, expected: float | None, n_baselines: int
) -> None:
    """After a window the baseline of 10 W is checked; at more than 10 % from it a second look decides."""
    looks = iter(watts)
    assert idle_after_w(lambda: next(looks), 10.0, drift_pct) == expected
    assert len(watts) - len(list(looks)) == n_baselines


def test_without_a_baseline_there_is_nothing_to_check() -> None:
    """Where idle power was not measured before the window, nobody idles after it."""
    assert idle_after_w(lambda: pytest.fail("idled"), None, 10) is None
