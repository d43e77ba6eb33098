"""Comparisons with a control cell: equal things do not differ because a whole run was slower, and 10 % is still found.

Times of cells have a standard deviation of 2 % between processes, each of a round's two controls one of 1.5 %. The
machine slows both down by ``MACHINES``. Run as a script this file writes the table of docs/explanation/comparing.md.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from greenbench.analysis.steadiness import MAX_CHANGE_PCT
from greenbench.statistics.controls import hull
from greenbench.statistics.repeats import Ratio, ratio_by_round

CELL_SD, CONTROL_SD = 0.02, 0.015

Machine = Callable[[np.random.Generator, int], npt.NDArray[np.float64]]
"""Gives, for so many rounds, the logarithm of how much slower the machine is in each."""


def shifted(sd: float) -> Machine:
    return lambda rng, n: np.full(n, rng.normal(0, sd))


def autocorrelated(rng: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
    state = [rng.normal(0, 0.03)]
    while len(state) < n:
        state.append(0.9 * state[-1] + rng.normal(0, 0.03 * math.sqrt(1 - 0.81)))
    return np.array(state)


def drifting(rng: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
    return rng.uniform(-1, 1) * 0.1 * np.linspace(0, 1, n)


MACHINES: dict[str, Machine] = {
    "steady": lambda _rng, n: np.zeros(n),
    "whole-run shift, sd 1 %": shifted(0.01),
    "whole-run shift, sd 2 %": shifted(0.02),
    "whole-run shift, sd 5 %": shifted(0.05),
    "AR(0.9), sd 3 %": autocorrelated,
    "drift of up to 10 % over a run": drifting,
}


def simulate(rng: np.random.Generator, machine: Machine, n: int, change: float, reach: float) -> tuple[Ratio, Ratio]:
    """Compare two runs of ``n`` rounds without and with controls.

    Args:
        rng: random numbers.
        machine: what happens to it.
        n: rounds.
        change: by which the second cell is slower, as a logarithm.
        reach: which part of what happens to the machine reaches the cell, 1 where it does to the control.

    Returns:
        The ratio as it is, and widened by the controls; where those differ too much, the interval has no end.
    """
    times, controls = [], []
    for slower in (0.0, change):
        state = machine(rng, n)
        cell = np.exp(slower + reach * state + rng.normal(0, CELL_SD, n))
        both = (state + rng.normal(0, CONTROL_SD, (2, n))).mean(0)
        times.append({(number, None): float(value) for number, value in enumerate(cell)})
        controls.append({number: float(np.exp(value)) for number, value in enumerate(both)})
    raw = ratio_by_round(*times)
    assert raw is not None
    levels = [np.mean(np.log(list(side.values()))) for side in controls]
    if abs(math.expm1(levels[1] - levels[0])) > MAX_CHANGE_PCT / 100:
        return raw, Ratio(n, raw.value, 0.0, math.inf, 1.0)
    return raw, hull((times[0], times[1]), (controls[0], controls[1]), raw)


def found_pct(machine: Machine, change: float = 0.0, reach: float = 1.0, n: int = 5, times: int = 400) -> list[float]:
    """Return in how many of a hundred comparisons a difference is shown, without and with controls, and not judged."""
    rng = np.random.default_rng(7)
    pairs = [simulate(rng, machine, n, change, reach) for _ in range(times)]
    shown = [[not (ratio.low or 0) <= 1 <= (ratio.high or 0) for ratio in pair] for pair in pairs]
    refused = [pair[1].high == math.inf for pair in pairs]
    return [100 * float(np.mean(column)) for column in (*zip(*shown, strict=True), refused)]


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("reach", [0.0, 0.5, 1.0])
def test_equal_things_do_not_differ(name: str, reach: float) -> None:
    """At a nominal 5 % at most 7 in a hundred are shown, whether the machine's change reaches the cell or not."""
    assert found_pct(MACHINES[name], reach=reach)[1] <= 7


@pytest.mark.parametrize(
    ("name", "at_least"), [("steady", 95), ("whole-run shift, sd 2 %", 90), ("AR(0.9), sd 3 %", 80)]
)
def test_a_true_difference_of_ten_per_cent_is_still_found(name: str, at_least: float) -> None:
    """The wider interval costs little where the machine holds more or less still."""
    assert found_pct(MACHINES[name], change=math.log(1.1))[1] >= at_least


def test_without_controls_a_shift_is_taken_for_a_difference() -> None:
    """The simulation can fail: five rounds of equal things differ in half of the runs and more under a shift of 5 %."""
    without, _, _ = found_pct(MACHINES["whole-run shift, sd 5 %"])
    assert without > 50


# --- one pair --------------------------------------------------------------------------------------------

A = {(n, None): value for n, value in enumerate((1.00, 1.01, 0.99, 1.005, 0.995))}
STEADY = dict.fromkeys(range(5), 100.0)


def scaled(values: dict, factor: float) -> dict:
    return {unit: value * factor for unit, value in values.items()}


def test_a_machine_that_slowed_with_the_cell_is_no_difference() -> None:
    """Cell and control 8 % slower: the ratio stays what it is, its interval reaches to 1, and p is 1."""
    b = scaled({unit: value * (1.002 if unit[0] % 2 else 0.998) for unit, value in A.items()}, 1.08)
    raw = ratio_by_round(A, b)
    assert raw is not None
    assert raw.low is not None
    assert raw.low > 1
    wide = hull((A, b), (STEADY, scaled(STEADY, 1.08)), raw)
    assert wide.value == raw.value
    assert wide.low is not None
    assert wide.high is not None
    assert wide.low <= 1 < wide.high == raw.high
    assert wide.p is not None
    assert wide.p > 0.05


def test_a_cell_that_slowed_alone_stays_a_difference() -> None:
    """The control is where it was: both readings are the same, and so is the interval, to rounding."""
    b = scaled({unit: value * (1.002 if unit[0] % 2 else 0.998) for unit, value in A.items()}, 1.08)
    raw = ratio_by_round(A, b)
    assert raw is not None
    wide = hull((A, b), (STEADY, STEADY), raw)
    assert [wide.low, wide.high, wide.p] == pytest.approx([raw.low, raw.high, raw.p])


def test_a_change_of_the_machine_hides_as_much_as_it_is() -> None:
    """What both readings resolve is at least the machine's own change on top of what the noise resolves."""
    b = scaled({unit: value * (1.002 if unit[0] % 2 else 0.998) for unit, value in A.items()}, 1.3)
    raw = ratio_by_round(A, b)
    assert raw is not None
    assert raw.smallest is not None
    wide = hull((A, b), (STEADY, scaled(STEADY, 1.05)), raw)
    assert wide.smallest == pytest.approx((1 + raw.smallest) * 1.05 - 1)


def test_one_controlled_round_is_not_enough() -> None:
    """With a control in a single round on both sides nothing is known of the spread: the ratio stays as it is."""
    b = scaled({unit: value * (1.002 if unit[0] % 2 else 0.998) for unit, value in A.items()}, 1.08)
    raw = ratio_by_round(A, b)
    assert raw is not None
    assert hull((A, b), ({0: 100.0}, STEADY), raw) == raw


def table(times: int = 20_000) -> list[str]:
    """Return the lines of the table in docs/explanation/comparing.md."""
    lines = [
        "| machine | rounds | false, no control | false | 10 % found | not compared |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, machine in MACHINES.items():
        for n in (5, 10):
            without, false, _ = found_pct(machine, n=n, times=times)
            _, true, refused = found_pct(machine, math.log(1.1), n=n, times=times)
            lines.append(f"| {name} | {n} | {without:.1f} % | {false:.1f} % | {true:.1f} % | {refused:.1f} % |")
    return lines


if __name__ == "__main__":
    print("\n".join(table()))  # noqa: T201
