"""Percentiles: a number only from enough samples, and one that holds as often as it claims."""

from fractions import Fraction
from itertools import count
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.statistics.percentiles import MIN_FOR_MEDIAN, fewest, median, most_beyond, upper_bound

TABLE = {90: (44, 64, 81), 95: (90, 130, 165), 99: (459, 662, 838)}
"""Fewest samples for 0, 1 and 2 exceedances; MLPerf's own figures, e.g. 662 queries for a p99 with one."""


@pytest.mark.parametrize(("pct", "n", "k"), [(pct, n, k) for pct in TABLE for k, n in enumerate(TABLE[pct])])
def test_the_table_of_the_rule(pct: int, n: int, k: int) -> None:
    """One sample fewer than the table asks for allows one exceedance fewer, or no statement at all."""
    assert most_beyond(n, pct) == k
    assert most_beyond(n - 1, pct) == (k - 1 if k else None)


@pytest.mark.parametrize(("n", "n_discarded"), [(2048, 172), (2116, 178), (2145, 181), (7469, 685)])
def test_as_many_exceedances_as_loadgen_finds(n: int, n_discarded: int) -> None:
    """LoadGen's published logs say how many queries its p90 discards: one less than the exceedances it allows."""
    assert most_beyond(n, 90) == n_discarded + 1


@given(st.integers(1, 300), st.sampled_from([90, 95, 99]))
def test_the_rule_in_exact_arithmetic(n: int, pct: int) -> None:
    """In fractions, k exceedances have at most 1 % chance where k is allowed and more where it is not."""
    beyond = 1 - Fraction(pct, 100)

    def chance(k: int) -> Fraction:
        return sum((comb(n, i) * beyond**i * (1 - beyond) ** (n - i) for i in range(k + 1)), Fraction(0))

    k = most_beyond(n, pct)
    assert k is None or chance(k) <= Fraction(1, 100)
    assert chance(0 if k is None else k + 1) > Fraction(1, 100)


@pytest.mark.parametrize("pct", [90, 95, 99])
def test_many_samples_come_close_to_the_share(pct: int) -> None:
    """Of a million samples nearly the percentile's share may lie beyond, though the first terms underflow."""
    share = most_beyond(1_000_000, pct) / 1e6
    assert 0.97 * (1 - pct / 100) < share < 1 - pct / 100


@pytest.mark.parametrize("pct", [50, *TABLE])
def test_fewest_samples_follow_from_the_binomial(pct: int) -> None:
    """The smallest n at which all n samples lie below the percentile with at most 1 % chance."""
    below = Fraction(pct, 100)
    assert fewest(pct) == next(n for n in count(1) if below**n <= Fraction(1, 100))
    assert fewest(50) == MIN_FOR_MEDIAN


@pytest.mark.parametrize("pct", TABLE)
def test_too_few_samples_give_no_percentile(pct: int) -> None:
    """One sample fewer than needed gives None, never a number; with just enough it is the largest."""
    samples = [float(i) for i in range(fewest(pct))]
    assert upper_bound(samples[:-1], pct) is None
    assert upper_bound(samples, pct) == samples[-1]


@pytest.mark.parametrize("pct", TABLE)
def test_the_bound_is_the_sample_before_those_that_may_lie_beyond(pct: int) -> None:
    """With two exceedances allowed the bound is the third largest, whatever the order of the samples."""
    samples = np.random.default_rng(1).permutation(TABLE[pct][2])
    assert upper_bound(list(samples), pct) == TABLE[pct][2] - 3


def test_the_bound_holds_as_often_as_it_claims() -> None:
    """In 2,000 simulated experiments of 500 the true p90 lies above its bound in about 1 %, never in over 2 %."""
    draws = np.random.default_rng(7).exponential(size=(2000, 500))
    true_p90 = np.log(10)
    misses = sum(upper_bound(list(draw), 90) < true_p90 for draw in draws)
    assert 0 < misses <= 40


def test_the_median_is_that_of_the_samples() -> None:
    """The median is no bound but the middle of the samples, from seven of them on."""
    assert median([5.0, 1.0, 2.0, 3.0, 4.0, 7.0, 6.0, 8.0]) == 4.5
    assert median([1.0] * 6) is None
