"""Percentiles: a number only from enough samples."""

from fractions import Fraction
from itertools import count

import numpy as np
import pytest

from greenbench.statistics.percentiles import MIN_SAMPLES, percentile


@pytest.mark.parametrize("pct", MIN_SAMPLES)
def test_fewest_samples_follow_from_the_binomial(pct: int) -> None:
    """MIN_SAMPLES is the smallest n at which all n samples lie below the percentile with at most 1 % chance."""
    below = Fraction(pct, 100)
    assert MIN_SAMPLES[pct] == next(n for n in count(1) if below**n <= Fraction(1, 100))


@pytest.mark.parametrize("pct", MIN_SAMPLES)
def test_too_few_samples_give_no_percentile(pct: int) -> None:
    """One sample fewer than needed gives None, never a number."""
    enough = [1.0] * MIN_SAMPLES[pct]
    assert percentile(enough[:-1], pct) is None
    assert percentile(enough, pct) == 1.0


@pytest.mark.parametrize("pct", MIN_SAMPLES)
def test_percentiles_of_known_samples(pct: int) -> None:
    """The percentile of 0, 1, ... 1000 in any order is its share of 1000."""
    samples = np.random.default_rng(1).permutation(1001)
    assert percentile(list(samples), pct) == pytest.approx(10 * pct)
