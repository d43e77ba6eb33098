"""Repeats: independent units, intervals that cover, ratios by round, and what a run could have resolved."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.statistics.repeats import cv_pct, ratio_by_round, summarise, units

positive = st.floats(1e-3, 1e6)
rounds = st.lists(st.tuples(positive, positive), min_size=1, max_size=8)


def by_round(values: list[float]) -> dict:
    return {(number, None): value for number, value in enumerate(values)}


def test_a_known_sample() -> None:
    """Values 10, 11, 12, 13, 19: mean 13, deviation sqrt(12.5), and t of 4 degrees of freedom is 2.776445."""
    found = summarise([19, 10, 12, 13, 11])
    half = 2.776445105 * math.sqrt(12.5 / 5)
    assert (found.n, found.median, found.mean) == (5, 12, 13)
    assert found.cv_pct == pytest.approx(100 * math.sqrt(12.5) / 13)
    assert (found.low, found.high) == pytest.approx((13 - half, 13 + half))


def test_one_value_has_no_spread() -> None:
    """A single value is its own median and says nothing of spread: None, not 0."""
    found = summarise([4.0])
    assert (found.n, found.median, found.cv_pct, found.low, found.high) == (1, 4.0, None, None, None)


def test_no_values_have_no_summary() -> None:
    """Nothing measured is None."""
    assert summarise([]) is None
    assert units([]) == {}


def test_a_mean_of_zero_has_no_relative_spread() -> None:
    """Net energy can vary about 0, where a coefficient of variation says nothing."""
    assert summarise([-1.0, 1.0]).cv_pct is None
    assert summarise([-1.0, -3.0]).cv_pct == pytest.approx(100 * math.sqrt(2) / 2)


def test_windows_of_one_process_count_once() -> None:
    """With several rounds the unit is the process: its windows are averaged, however many it gave."""
    windows = [(0, 0, 1.0), (1, 1, 8.0), (0, 1, 3.0), (1, 0, 4.0), (1, 2, 6.0)]
    assert units(windows) == {(0, None): 2.0, (1, None): 6.0}


def test_windows_of_a_single_process_are_the_units() -> None:
    """With one round there is nothing else to repeat, and the units say so by their repeats."""
    assert units([(0, 1, 3.0), (0, 0, 1.0)]) == {(0, 0): 1.0, (0, 1): 3.0}


def covered(summaries: list, truth: float) -> float:
    return sum(found.low <= truth <= found.high for found in summaries) / len(summaries)


def test_the_interval_covers_the_truth_only_by_rounds() -> None:
    """Where processes differ more than windows do, windows taken as independent cover 100 far too seldom.

    500 runs of 5 processes with 5 windows each: deviation 3 between processes, 1 between windows.
    """
    rng = np.random.default_rng(5)
    runs = 100 + rng.normal(0, 3, (500, 5, 1)) + rng.normal(0, 1, (500, 5, 5))
    windows = [[(r, w, run[r, w]) for r in range(5) for w in range(5)] for run in runs]
    assert 0.92 < covered([summarise(list(units(run).values())) for run in windows], 100) < 0.98
    assert covered([summarise([value for *_, value in run]) for run in windows], 100) < 0.7


@given(rounds)
@settings(deadline=None)
def test_swapping_the_variants_inverts_the_ratio(pairs: list[tuple[float, float]]) -> None:
    """a / b and b / a tell the same story: value and interval are inverses."""
    a, b = (by_round(column) for column in zip(*pairs, strict=True))
    forth, back = ratio_by_round(a, b), ratio_by_round(b, a)
    assert forth.n == back.n == len(pairs)
    assert back.value == pytest.approx(1 / forth.value)
    if len(pairs) > 1:
        assert (math.log(back.low), math.log(back.high)) == pytest.approx(
            (-math.log(forth.high), -math.log(forth.low)), abs=1e-9
        )
    else:
        assert forth.low is forth.high is None


@given(rounds)
@settings(deadline=None)
def test_a_variant_is_as_fast_as_itself(pairs: list[tuple[float, float]]) -> None:
    """The same figures give a ratio of 1 without width."""
    a = by_round([pair[0] for pair in pairs])
    found = ratio_by_round(a, a)
    assert found.value == 1
    assert (found.low, found.high) == ((1, 1) if len(pairs) > 1 else (None, None))


def test_a_known_ratio() -> None:
    """Ratios 2, 4 and 8: the geometric mean is 4; on base-2 logs 1, 2, 3 the half width is t(2) / sqrt(3)."""
    found = ratio_by_round(by_round([1, 10, 100]), by_round([2, 40, 800]))
    half = 4.302652730 / math.sqrt(3)
    assert found.value == pytest.approx(4)
    assert (found.low, found.high) == pytest.approx((2 ** (2 - half), 2 ** (2 + half)))


def test_drift_between_rounds_cancels() -> None:
    """Rounds that differ twofold hide a gain of a tenth from each variant's own interval, not from the ratio."""
    a, b = [10.0, 12.0, 15.0, 18.0, 20.0], [9.02, 10.78, 13.55, 16.15, 18.03]
    found = ratio_by_round(by_round(a), by_round(b))
    assert 0.89 < found.low < 0.9 < found.high < 0.91
    assert summarise(b).high > summarise(a).mean


def test_only_rounds_of_both_count() -> None:
    """A round in which one variant failed is left out, and without a common one there is no ratio."""
    a, b = by_round([1, 2, 3]), by_round([2, 4, 6])
    del a[(1, None)]
    assert ratio_by_round(a, b).n == 2
    assert ratio_by_round(by_round([1]), {(1, None): 1}) is None


def test_windows_are_never_paired_with_processes() -> None:
    """A variant of one process is not compared by round with one of several: their units differ in kind."""
    assert ratio_by_round(units([(0, 0, 1.0), (0, 1, 1.0)]), units([(0, 0, 1.0), (1, 0, 1.0)])) is None


@pytest.mark.parametrize("wrong", [0.0, -1.0])
def test_a_figure_not_above_zero_has_no_ratio(wrong: float) -> None:
    """Net energy below 0 stands in no proportion to another."""
    assert ratio_by_round(by_round([1, wrong]), by_round([1, 1])) is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        ([1.0], None),
        ([0.0, 0.0], None),
        ([2.0, 2.0], 0.0),
        ([90.0, 100.0, 110.0], 10.0),
        ([-9, -11], 14.14),
    ],
)
def test_the_coefficient_of_variation(values: list[float], expected: float | None) -> None:
    """Sample deviation over mean; a single value, or a mean of nothing, has none."""
    assert cv_pct(values) == (expected if expected is None else pytest.approx(expected, abs=0.01))


def test_the_p_of_a_ratio_is_that_of_the_paired_t_test() -> None:
    """p is Student's, of the logarithms paired by round, as scipy has it; ratios that never vary leave no doubt."""
    from scipy.stats import ttest_rel

    a, b = {(i, None): v for i, v in enumerate((10, 11, 12))}, {(i, None): v for i, v in enumerate((11, 13, 13))}
    expected = ttest_rel([math.log(v) for v in b.values()], [math.log(v) for v in a.values()]).pvalue
    assert ratio_by_round(a, b).p == pytest.approx(expected)
    assert ratio_by_round(a, a).p == 1
    assert ratio_by_round(a, {unit: 2 * v for unit, v in a.items()}).p == pytest.approx(0, abs=1e-9)
    assert ratio_by_round({(0, 0): 1.0}, {(0, 0): 2.0}).p is None


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_smallest_ratio_is_found_four_times_in_five(n: int) -> None:
    """The ratio that one comparison states is found by another like it in 80 % of 4,000 simulated pairs of them."""
    from scipy.stats import ttest_1samp

    rng, units_a = np.random.default_rng(5), by_round([1.0] * n)
    stated = [ratio_by_round(units_a, by_round(np.exp(rng.normal(0, 0.02, n)))).smallest for _ in range(4000)]
    again = np.log1p(stated)[:, None] + rng.normal(0, 0.02, (4000, n))
    found = ttest_1samp(again, 0, axis=1)
    assert np.mean((found.pvalue < 0.05) & (found.statistic > 0)) == pytest.approx(0.8, abs=0.02)
