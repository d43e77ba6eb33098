"""Alignment: the cost is least, ties are sclite's, and both texts can be read back from the pairs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from greenbench.text import wer
from greenbench.text.alignment import GAP, SUBSTITUTION, Pair, align, align_characters
from greenbench.text.wer import score

texts = st.lists(st.sampled_from("abcd"), max_size=9)
LETTER = {"correct": "C", "substitution": "S", "deletion": "D", "insertion": "I"}
COST = {"correct": 0, "substitution": SUBSTITUTION, "deletion": GAP, "insertion": GAP}


def kinds(reference: str, hypothesis: str) -> str:
    return "".join(LETTER[pair.kind] for pair in align(reference.split(), hypothesis.split()))


def by_hand(reference: list[str], hypothesis: list[str]) -> str:
    """The same by recursion from the end, in so many words: substitution, else insertion, else deletion."""

    def best(i: int, j: int) -> tuple[int, str]:
        if not i or not j:
            return GAP * (i + j), "D" * i + "I" * j
        if (i, j) not in known:
            same = reference[i - 1] == hypothesis[j - 1]
            ways = [(best(i - 1, j - 1), 0 if same else SUBSTITUTION, "C" if same else "S")]
            ways += [(best(i, j - 1), GAP, "I"), (best(i - 1, j), GAP, "D")]
            known[i, j] = min(((c + more, path + letter) for (c, path), more, letter in ways), key=lambda way: way[0])
        return known[i, j]

    known: dict[tuple[int, int], tuple[int, str]] = {}
    return best(len(reference), len(hypothesis))[1]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("", "", ""),
        ("a b", "", "DD"),
        ("", "a b", "II"),
        ("a b c", "a b c", "CCC"),
        ("a b c", "a x c", "CSC"),
        # which of two equal words is missing, or one too many: the first, as the last agrees with the last
        ("a a", "a", "DC"),
        ("a", "a a", "IC"),
        # a substitution beside a gap: the substitution comes last
        ("a c", "d", "DS"),
        ("anon", "and on", "IS"),
        # deletion and insertion (6) rather than two substitutions (8), though both are two edits
        ("a b", "b c", "DCI"),
        # of two equal ways the insertion comes last
        ("a b c d", "c d a b", "DDCCII"),
    ],
)
def test_worked_by_hand(reference: str, hypothesis: str, expected: str) -> None:
    """Small cases whose table fits on a slip of paper."""
    assert kinds(reference, hypothesis) == expected


def test_pairs_say_what_was_heard_as_what() -> None:
    """A pair has both words, or None on the side where there is none."""
    assert align(["the", "old", "man"], ["a", "the", "man", "ran"]) == [
        Pair(None, "a", "insertion"),
        Pair("the", "the", "correct"),
        Pair("old", None, "deletion"),
        Pair("man", "man", "correct"),
        Pair(None, "ran", "insertion"),
    ]


@given(texts, texts)
@settings(deadline=None)
def test_ties_are_resolved_from_the_end(reference: list[str], hypothesis: list[str]) -> None:
    """The table of costs, filled row by row, gives what the recursion does, tie by tie."""
    assert "".join(LETTER[pair.kind] for pair in align(reference, hypothesis)) == by_hand(reference, hypothesis)


@given(texts, texts)
@settings(deadline=None)
def test_both_texts_can_be_read_back(reference: list[str], hypothesis: list[str]) -> None:
    """Every word of both texts is in the alignment once, in order, and its kind follows from the pair."""
    pairs = align(reference, hypothesis)
    assert [pair.reference for pair in pairs if pair.reference is not None] == reference
    assert [pair.hypothesis for pair in pairs if pair.hypothesis is not None] == hypothesis
    for pair in pairs:
        assert (pair.kind == "insertion") == (pair.reference is None)
        assert (pair.kind == "deletion") == (pair.hypothesis is None)
        assert (pair.kind == "correct") == (pair.reference == pair.hypothesis)


@given(texts, texts)
@settings(deadline=None)
def test_the_cost_is_least(reference: list[str], hypothesis: list[str]) -> None:
    """No alignment is cheaper: rapidfuzz finds the same weighted distance; and none has fewer edits than WER's."""
    pairs = align(reference, hypothesis)
    least = Levenshtein.distance(reference, hypothesis, weights=(GAP, GAP, SUBSTITUTION))
    assert sum(COST[pair.kind] for pair in pairs) == least
    counted = score([" ".join(reference)], [" ".join(hypothesis)], str).words[0]
    assert sum(pair.kind != "correct" for pair in pairs) >= counted.edits


def test_long_texts_are_aligned_too() -> None:
    """A talk of 3000 words with every tenth missing: exactly those are deletions."""
    reference = [f"word{number}" for number in range(3000)]
    hypothesis = [word for number, word in enumerate(reference) if number % 10]
    pairs = align(reference, hypothesis)
    assert [pair.reference for pair in pairs if pair.kind == "deletion"] == reference[::10]
    assert len(pairs) == 3000


@given(st.text("abあ ", max_size=9), st.text("abあ ", max_size=9))
def test_characters_are_aligned_with_as_many_edits_as_cer_counts(reference: str, hypothesis: str) -> None:
    """The runs spell both texts, and the characters that differ are those that CER counts."""
    reference, hypothesis = reference.strip(), hypothesis.strip()
    runs = align_characters(reference, hypothesis)
    assert "".join(run.reference or "" for run in runs) == reference
    assert "".join(run.hypothesis or "" for run in runs) == hypothesis
    assert all(run.reference == run.hypothesis for run in runs if run.kind == "correct")
    n_edits = sum(len(run.reference or run.hypothesis or "") for run in runs if run.kind != "correct")
    assert n_edits == wer.count_chars(reference, hypothesis).edits
