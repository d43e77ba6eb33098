"""Bootstrap intervals of error rates agree with known ones."""

from itertools import product
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.statistics import bootstrap
from greenbench.statistics.bootstrap import bootstrap_rate, paired_difference

utterances = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 20), st.sampled_from("abcd")),
    min_size=2,
    max_size=20,
)


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
    monkeypatch.setattr(bootstrap, "_DRAWS_AT_ONCE", 7 * 50)
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
    assert paired_difference(errors, errors, words, blocks) is None


@given(utterances, st.booleans())
@settings(deadline=None, max_examples=30)
def test_swapping_the_systems_negates_the_difference(rows: list[tuple[int, int, int, str]], by_speaker: bool) -> None:
    """b - a is minus a - b, so are the ends of its interval, and the probabilities of improvement sum to 1."""
    a, b, words, speakers = (list(column) for column in zip(*rows, strict=True))
    blocks = speakers if by_speaker else None
    forth, back = (paired_difference(*pair, words, blocks, n=200) for pair in ((a, b), (b, a)))
    if forth is None or back is None:
        assert forth is back is None
        assert len(set(speakers)) == 1
        return
    assert (back.value, back.low, back.high) == pytest.approx((-forth.value, -forth.high, -forth.low), abs=1e-12)
    assert back.p_better == pytest.approx(1 - forth.p_better)
    assert forth.low <= forth.high


@given(utterances)
@settings(deadline=None, max_examples=20)
def test_a_system_is_as_good_as_itself(rows: list[tuple[int, int, int, str]]) -> None:
    """Two systems with the same errors differ by nothing, and neither is the better one."""
    errors, _, words, _ = (list(column) for column in zip(*rows, strict=True))
    found = paired_difference(errors, errors, words, None, n=50)
    assert found == bootstrap.Difference(0.0, 0.0, 0.0, 0.5)


def test_the_interval_of_a_difference() -> None:
    """For utterances of one word the interval is that of McNemar's table: (n01 - n10) / n and its normal deviation."""
    n01, n10, n = 60, 90, 1000
    a, b = [1] * n10 + [0] * (n - n10), [0] * n10 + [1] * n01 + [0] * (n - n10 - n01)
    found = paired_difference(a, b, [1] * n, None, n=10_000)
    value = (n01 - n10) / n
    deviation = sqrt((n01 + n10) / n - value**2) / sqrt(n)
    assert found.value == value
    assert (found.low, found.high) == pytest.approx((value - 1.96 * deviation, value + 1.96 * deviation), abs=1e-3)
    assert found.p_better == pytest.approx(0.993, abs=0.003)  # the normal distribution below 30 / sqrt(150 - 0.9)


def test_pairing_cancels_what_is_hard_for_both() -> None:
    """A small but constant gain stands out, though each system's own interval is far wider."""
    rng = np.random.default_rng(3)
    a = rng.integers(0, 15, 300)
    b = np.maximum(a - (rng.random(300) < 0.2), 0)
    found = paired_difference(a, b, [20] * 300, None)
    low, high = bootstrap_rate(a, [20] * 300, None)
    assert found.high < 0
    assert found.p_better == 1
    assert high - low > 5 * (found.high - found.low)


def test_the_interval_covers_the_truth() -> None:
    """Over 200 simulated corpora of equal systems, the 95 % interval of the difference holds 0 in about 95 %."""
    rng, covered = np.random.default_rng(11), 0
    for seed in range(200):
        words = rng.integers(5, 30, 150)
        a, b = rng.binomial(words, 0.1), rng.binomial(words, 0.1)
        found = paired_difference(a, b, words, None, n=400, seed=seed)
        covered += found.low <= 0 <= found.high
    assert 0.91 * 200 <= covered <= 0.99 * 200


def test_errors_that_cluster_by_speaker_widen_the_difference() -> None:
    """Where one system fails on whole speakers, resampling speakers shows that few speakers say little."""
    speakers = [f"s{number}" for number in range(20) for _ in range(30)]
    a = [1] * 600
    b = [0 if number < 12 else 2 for number in range(20) for _ in range(30)]
    by_utterance, by_speaker = (paired_difference(a, b, [10] * 600, blocks) for blocks in (None, speakers))
    assert by_speaker.value == by_utterance.value
    assert by_speaker.high - by_speaker.low > 4 * (by_utterance.high - by_utterance.low)
