"""Who is shown to recognise better: pairing sees what overlap does not, and chance rarely makes a winner."""

from itertools import combinations

import numpy as np
import pytest

from greenbench.analysis import contest
from greenbench.analysis.contest import Contestant
from greenbench.analysis.error_rates import Counted
from greenbench.statistics.intervals import rate_interval
from greenbench.text.wer import Counts, count_words

WORDS = [f"w{i}" for i in range(12)]
TEXT = " ".join(WORDS)


def contestant(wrong: np.ndarray, ids: str = "u") -> Contestant:
    """A cell of 20 speakers' utterances of twelve words, those wrong where it is said."""
    heard = [" ".join("x" if bad else word for word, bad in zip(WORDS, row, strict=True)) for row in wrong]
    counts = tuple(count_words(TEXT, text) for text in heard)
    speakers = tuple(f"s{i % 20}" for i in range(len(wrong)))
    low, high = rate_interval([c.edits for c in counts], [c.n for c in counts], speakers)
    names = tuple(f"{ids}{i}" for i in range(len(wrong)))
    return Contestant(low, high, Counted(names, speakers, (TEXT,) * len(wrong), tuple(heard), counts,
                                         (Counts(1),) * len(wrong)))  # fmt: skip


def errors(rng: np.random.Generator, rate: float, n: int = 200) -> np.ndarray:
    """Words that are wrong, more of them in some utterances than in others."""
    return rng.random((n, len(WORDS))) < (rate * rng.gamma(2, 0.5, n))[:, None]


def test_pairing_ranks_what_overlap_does_not() -> None:
    """A system that makes every error of another, and a few more, ranks behind it though their intervals overlap."""
    rng = np.random.default_rng(1)
    base = errors(rng, 0.2)
    worse = base | (rng.random(base.shape) < 0.02)
    entries = [contestant(worse), contestant(base), contestant(base)]
    assert entries[1].high > entries[0].low
    assert contest.ranks(entries) == [3, 1, 1]


def test_without_texts_only_intervals_that_are_apart_make_a_rank() -> None:
    """Where texts are not at hand, or are of other utterances, overlap decides."""
    rng = np.random.default_rng(1)
    base = errors(rng, 0.2)
    worse = base | (rng.random(base.shape) < 0.02)
    assert contest.ranks([contestant(base), contestant(worse, "other")]) == [1, 1]
    spans = [Contestant(0.1, 0.2, None), Contestant(0.15, 0.3, None), Contestant(0.25, 0.4, None)]
    assert contest.ranks(spans) == [1, 1, 2]
    assert contest.ranks([]) == []


def test_equal_systems_are_ranked_apart_in_few_boards() -> None:
    """Of 100 boards of five equally good systems at most 5 %, and three deviations, rank anybody second."""
    rng, wrong = np.random.default_rng(7), 0
    for _ in range(100):
        wrong += max(contest.ranks([contestant(errors(rng, 0.2, 60)) for _ in range(5)])) > 1
    assert wrong <= 5 + 3 * np.sqrt(100 * 0.05 * 0.95)


@pytest.mark.parametrize("seed", range(3))
def test_ranks_follow_the_truth_where_it_is_plain(seed: int) -> None:
    """Three tiers far apart get the ranks 1, 3 and 5 in whatever order they come; who is shown is the better one."""
    rng = np.random.default_rng(seed)
    rates = rng.permutation([0.05, 0.05, 0.2, 0.2, 0.5])
    entries = [contestant(errors(rng, rate)) for rate in rates]
    assert contest.ranks(entries) == [{0.05: 1, 0.2: 3, 0.5: 5}[rate] for rate in rates]
    assert all(rates[a] < rates[b] for a, b in contest.shown(entries, combinations(range(5), 2)))
