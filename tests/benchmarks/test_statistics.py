"""What the statistics of a large corpus cost. Run with: pytest tests/benchmarks --benchmark-only."""

import numpy as np

from greenbench.statistics.intervals import paired_difference, rate_interval

GOAL_S = 0.1


def counts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors of two systems, and words, of 5000 utterances."""
    rng = np.random.default_rng(1)
    words = rng.integers(1, 40, 5000)
    return rng.binomial(words, 0.1), rng.binomial(words, 0.1), words


def test_an_interval_takes_under_a_tenth_of_a_second(benchmark) -> None:
    """Of 5000 utterances, one by one and not by speaker: the median of whole calls."""
    errors, _, words = counts()
    benchmark.pedantic(rate_interval, (errors, words, None), rounds=5)
    assert benchmark.stats.stats.median < GOAL_S


def test_a_difference_takes_under_a_tenth_of_a_second(benchmark) -> None:
    """The same for the difference of two systems."""
    errors_a, errors_b, words = counts()
    benchmark.pedantic(paired_difference, (errors_a, errors_b, words, None), rounds=5)
    assert benchmark.stats.stats.median < GOAL_S
