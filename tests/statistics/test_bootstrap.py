"""The bootstrap intervals of earlier versions' rows agree with known ones."""

from itertools import product
from math import sqrt

import numpy as np
import pytest

from greenbench.statistics import bootstrap
from greenbench.statistics.bootstrap import bootstrap_rate


@pytest.mark.parametrize(("n", "rate"), [(1000, 0.2), (4000, 0.5)])
def test_the_interval_of_independent_words(n: int, rate: float) -> None:
    """For utterances of one word, the interval is that of the binomial's normal approximation."""
    errors = [1] * int(n * rate) + [0] * int(n * (1 - rate))
    low, high = bootstrap_rate(errors, [1] * n, None, n=10_000)
    half = 1.96 * sqrt(rate * (1 - rate) / n)
    assert (low, high) == pytest.approx((rate - half, rate + half), abs=0.06 * half)


def test_long_utterances_weigh_more() -> None:
    """The rate is errors over words of the whole resample, not a mean of the utterances' own rates."""
    low, high = bootstrap_rate([0, 1] * 200, [99, 1] * 200, None)
    assert low < 0.01 < high < 0.02


def test_speakers_who_err_alike_widen_the_interval() -> None:
    """Resampling whole speakers is wider where errors cluster by speaker, as few speakers say little."""
    pairs = list(product(range(20), range(30)))
    errors = [2 if speaker < 5 else 0 for speaker, _ in pairs]
    words, speakers = [10] * len(pairs), [f"s{speaker}" for speaker, _ in pairs]
    by_utterance, by_speaker = bootstrap_rate(errors, words, None), bootstrap_rate(errors, words, speakers)
    assert by_speaker[1] - by_speaker[0] > 4 * (by_utterance[1] - by_utterance[0])


def test_blocks_of_one_are_no_blocks() -> None:
    """A speaker for each utterance gives what resampling utterances gives."""
    errors, words = [0, 3, 1, 2, 0, 1], [5, 6, 7, 8, 9, 4]
    assert bootstrap_rate(errors, words, list("abcdef")) == bootstrap_rate(errors, words, None)


def test_the_same_seed_gives_the_same_interval() -> None:
    """An interval can be recomputed from the counts; another seed gives a slightly different one."""
    errors, words = list(range(50)), [100] * 50
    assert bootstrap_rate(errors, words, None) == bootstrap_rate(errors, words, None)
    assert bootstrap_rate(errors, words, None, seed=1) != bootstrap_rate(errors, words, None)


def test_slices_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many resamples are drawn at once is a matter of memory: the interval stays the same to the last bit."""
    errors, words = list(range(50)), [100] * 50
    at_once = bootstrap_rate(errors, words, None, n=1000)
    monkeypatch.setattr(bootstrap, "DRAWS_AT_ONCE", 7 * 50)
    assert bootstrap_rate(errors, words, None, n=1000) == at_once


def test_counts_are_summed_exactly() -> None:
    """A corpus of more words than single precision holds keeps its last digit."""
    errors, words = [2**24 + 1] * 4, [2**25 + 3] * 4
    assert bootstrap_rate(errors, words, list("aabb"), n=10) == ((2**24 + 1) / (2**25 + 3),) * 2


def test_many_utterances_take_little_memory() -> None:
    """A corpus of 100000 utterances is resampled in slices, not in one array of all draws."""
    import tracemalloc

    errors, words = np.zeros(100_000, np.int64), np.ones(100_000, np.int64)
    tracemalloc.start()
    try:
        bootstrap_rate(errors, words, None, n=50)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 64e6


@pytest.mark.parametrize(
    ("errors", "words", "blocks"),
    [
        ([], [], None),
        ([1], [5], None),
        ([1, 2], [5, 5], ["one", "one"]),
        ([1, 2], [0, 0], None),
    ],
)
def test_no_interval_without_a_sample(errors, words, blocks) -> None:
    """Fewer than two blocks, or no words at all, give no interval rather than one of zero width."""
    assert bootstrap_rate(errors, words, blocks) is None
