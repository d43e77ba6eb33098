"""Compound-tolerant counting: words written together or apart are right, and everything else is as ever."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.text import compound
from greenbench.text.scoring import Counts, count_words

words = st.lists(st.text("ab", min_size=1, max_size=3), max_size=6).map(tuple)


@cache
def fewest(reference: tuple[str, ...], hypothesis: tuple[str, ...]) -> int:
    """The fewest edits, by trying every first step."""
    if not reference or not hypothesis:
        return len(reference) + len(hypothesis)
    steps = [(1, 1, int(reference[0] != hypothesis[0])), (1, 0, 1), (0, 1, 1)]
    steps += [(k, 1, 0) for k in (2, 3) if len(reference) >= k and "".join(reference[:k]) == hypothesis[0]]
    steps += [(1, k, 0) for k in (2, 3) if len(hypothesis) >= k and "".join(hypothesis[:k]) == reference[0]]
    return min(fewest(reference[r:], hypothesis[h:]) + edits for r, h, edits in steps)


@settings(deadline=None)
@given(words, words)
def test_no_alignment_is_better(reference: tuple[str, ...], hypothesis: tuple[str, ...]) -> None:
    """The edits are the fewest that any alignment with joins up to three words has."""
    assert compound.count(reference, hypothesis).edits == fewest(reference, hypothesis)


@settings(deadline=None)
@given(words, words)
def test_joining_never_costs(reference: tuple[str, ...], hypothesis: tuple[str, ...]) -> None:
    """Never more edits than in plain counting, equally many where nothing can be joined, and the same N."""
    plain = count_words(" ".join(reference), " ".join(hypothesis))
    found = compound.count(reference, hypothesis)
    assert found.n == plain.n == len(reference)
    assert found.edits <= plain.edits
    assert compound.may_join(reference, hypothesis) or found.edits == plain.edits


@settings(deadline=None)
@given(words.filter(lambda found: len(found) > 1), st.data())
def test_one_join_is_right_on_either_side(text: tuple[str, ...], data: st.DataObject) -> None:
    """Writing two or three neighbours together is no error, whichever side does it."""
    size = data.draw(st.integers(2, min(3, len(text))))
    at = data.draw(st.integers(0, len(text) - size))
    joined = (*text[:at], "".join(text[at : at + size]), *text[at + size :])
    assert compound.count(text, joined).edits == compound.count(joined, text).edits == 0
    assert compound.may_join(text, joined)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "counts"),
    [
        ("some times every one leaves", "sometimes everyone leave", (5, 1, 0, 0)),
        ("no body else came", "nobody came", (4, 0, 1, 0)),
        ("every one", "everyon", (2, 1, 1, 0)),
        ("over the counter top", "overthecountertop", (4, 1, 3, 0)),
        ("", "a b", (0, 0, 0, 2)),
        ("a b", "", (2, 0, 2, 0)),
    ],
)
def test_what_counts(reference: str, hypothesis: str, counts: tuple[int, ...]) -> None:
    """Joins are free, what is spelt otherwise is an edit, and four words are too many."""
    assert compound.count(reference.split(), hypothesis.split()) == Counts(*counts)
