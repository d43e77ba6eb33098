"""Compound-tolerant counting: words written together or apart are right, and everything else is as ever."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.text import joining
from greenbench.text.wer import Counts, count_words

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
    assert joining.count(reference, hypothesis).edits == fewest(reference, hypothesis)


@settings(deadline=None)
@given(words, words)
def test_joining_never_costs(reference: tuple[str, ...], hypothesis: tuple[str, ...]) -> None:
    """Never more edits than in plain counting, equally many where nothing can be joined, and the same N."""
    plain = count_words(" ".join(reference), " ".join(hypothesis))
    found = joining.count(reference, hypothesis)
    assert found.n == plain.n == len(reference)
    assert found.edits <= plain.edits
    assert joining.may_join(reference, hypothesis) or found.edits == plain.edits


@settings(deadline=None)
@given(words.filter(lambda found: len(found) > 1), st.data())
def test_one_join_is_right_on_either_side(text: tuple[str, ...], data: st.DataObject) -> None:
    """Writing two or three neighbours together is no error, whichever side does it."""
    size = data.draw(st.integers(2, min(3, len(text))))
    at = data.draw(st.integers(0, len(text) - size))
    joined = (*text[:at], "".join(text[at : at + size]), *text[at + size :])
    assert joining.count(text, joined).edits == joining.count(joined, text).edits == 0
    assert joining.may_join(text, joined)


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
    assert joining.count(reference.split(), hypothesis.split()) == Counts(*counts)


def plainly(reference: tuple[str, ...], hypothesis: tuple[str, ...]) -> Counts:
    """The same cell by cell in plain Python: of equally many edits the most substitutions, the least deletions."""
    zero, rows = (0, 0, 0), [[(j, j, 0) for j in range(len(hypothesis) + 1)]]

    def plus(cost: tuple[int, int, int], *edit: int) -> tuple[int, ...]:
        return tuple(a + b for a, b in zip(cost, edit, strict=True))

    for i, expected in enumerate(reference, start=1):
        above, row = rows[-1], [(i, i, i)]
        for j, heard in enumerate(hypothesis, start=1):
            options = [plus(above[j - 1], *(zero if expected == heard else (1, 0, 0)))]
            options += [plus(above[j], 1, 1, 1), plus(row[j - 1], 1, 1, 0)]
            options += [rows[-n][j - 1] for n in (2, 3) if n <= i and "".join(reference[i - n : i]) == heard]
            options += [above[j - n] for n in (2, 3) if n <= j and "".join(hypothesis[j - n : j]) == expected]
            row.append(min(options))
        rows.append(row)
    edits, indels, deletions = rows[-1][-1]
    return Counts(len(reference), edits - indels, deletions, indels - deletions)


@settings(deadline=None)
@given(*[st.lists(st.sampled_from(["a", "b", "ab", "ba", "aab", "c"]), max_size=25).map(tuple)] * 2)
def test_rows_at_once_count_as_cells_one_by_one(reference: tuple[str, ...], hypothesis: tuple[str, ...]) -> None:
    """Every kind of edit is counted as the plain algorithm does, ties included."""
    assert joining.count(reference, hypothesis) == plainly(reference, hypothesis)


def test_long_texts_are_counted_too() -> None:
    """Ten minutes of speech and more in one utterance: 4,000 words with a thousand joins and known edits."""
    reference = [f"w{n}" for n in range(4000)]
    hypothesis = [
        f"{a}{b}" if n < 1000 else f"{a} {b}"
        for n, (a, b) in enumerate(zip(reference[::2], reference[1::2], strict=True))
    ]
    heard = " ".join(hypothesis).split()
    heard[1500], heard[2000:2003] = "other", []
    assert joining.count(reference, [*heard, "more"]) == Counts(4000, 1, 3, 1)
