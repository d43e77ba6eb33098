"""What the statistics of a large corpus cost. Run with: pytest tests/benchmarks --benchmark-only."""

import numpy as np

from greenbench.statistics.bootstrap import bootstrap_rate, paired_difference

GOAL_S = 2.0


def counts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors of two systems, and words, of 5000 utterances."""
    rng = np.random.default_rng(1)
    words = rng.integers(1, 40, 5000)
    return rng.binomial(words, 0.1), rng.binomial(words, 0.1), words


def test_an_official_interval_takes_under_two_seconds(benchmark) -> None:
    """10,000 resamples of 5000 utterances, one by one and not by speaker: the median of whole calls."""
    errors, _, words = counts()
    benchmark.pedantic(bootstrap_rate, (errors, words, None), {"n": 10_000}, rounds=5)
    assert benchmark.stats.stats.median < GOAL_S


def test_an_official_difference_takes_under_two_seconds(benchmark) -> None:
    """The same for the difference of two systems."""
    errors_a, errors_b, words = counts()
    benchmark.pedantic(paired_difference, (errors_a, errors_b, words, None), {"n": 10_000}, rounds=5)
    assert benchmark.stats.stats.median < GOAL_S
