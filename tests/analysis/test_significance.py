"""The matched-pair test reproduces NIST's sc_stats on real recognisers, and cases worked by hand."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.analysis.significance import Segment, mapsswe, segments
from greenbench.text.alignment import Pair, align

REFERENCE = Path(__file__).parents[2].parent / "shared" / "reference" / "mapsswe.json"
PAIRS = ("ab", "ac", "bc")

letters = st.sampled_from("abcdefgh")
heard = st.lists(st.lists(letters, max_size=2), max_size=12)  # what became of each word of the reference


@pytest.fixture(scope="module")
def published() -> dict:
    """Three recognisers on 60 utterances, with what sc_stats printed."""
    if not REFERENCE.is_file():
        pytest.skip("../shared/reference/mapsswe.json is not here")
    return json.loads(REFERENCE.read_text())


@pytest.fixture(scope="module")
def aligned(published: dict) -> dict[str, list[list[Pair]]]:
    """The alignments of each recogniser."""
    return {
        system: [align(u["reference"].split(), u[system].split()) for u in published["utterances"]] for system in "abc"
    }


def printed(p: float) -> str:
    return f"{p:.3f}" if p >= 0.0005 else "<0.001"


def cut(reference: str, a: str, b: str) -> list[tuple[int, int, int]]:
    """The segments of one utterance: reference words, errors of a, errors of b."""
    found = segments(*(align(reference.split(), hypothesis.split()) for hypothesis in (a, b)))
    return [(s.n_ref_words, s.errors_a, s.errors_b) for s in found]


@pytest.mark.parametrize("pair", PAIRS)
def test_matched_pairs_of_real_recognisers(published: dict, aligned: dict, pair: str) -> None:
    """Segments, words, errors, mean, deviation, Z and p are those that sc_stats printed."""
    both = zip(aligned[pair[0]], aligned[pair[1]], strict=True)
    found = mapsswe([segment for a, b in both for segment in segments(a, b)])
    assert {
        "n_segments": found.n_segments,
        "mean": round(found.mean, 3),
        "std": round(found.std, 3),
        "z": round(found.z, 3),
        "n_ref_words_in_segments": found.n_ref_words,
        "errors": [found.errors_a, found.errors_b],
        "p_mapsswe": printed(found.p),
    }.items() <= published["expected"][pair].items()


@pytest.mark.parametrize(
    ("reference", "a", "b", "expected"),
    [
        ("a b c d", "a b c d", "a b c d", []),
        ("", "", "", []),
        # an error of one system, with two correct words on either side, of which none is left out
        ("a b c d e f g", "a b c x e f g", "a b c d e f g", [(5, 1, 0)]),
        # two errors: one correct word between them keeps them together, two part them and count on both sides
        ("a b c d e f g", "a b x d y f g", "a b c d e f g", [(7, 2, 0)]),
        ("a b c d e f g h", "a b x d e y g h", "a b c d e f g h", [(5, 1, 0), (5, 1, 0)]),
        ("a b c d e f g h i", "a b x d e f y h i", "a b c d e f g h i", [(5, 1, 0), (5, 1, 0)]),
        # both systems must have the words right for them to part anything
        ("a b c d e f g h", "a b x d e y g h", "a b c d z f g h", [(8, 2, 1)]),
        # the ends of the utterance bound a segment, however few words are there
        ("a b c d", "x b c d", "a b c y", [(3, 1, 0), (3, 0, 1)]),
        ("a b c", "a x c", "a b c", [(3, 1, 0)]),
        # an insertion belongs to the gap it stands in, and parts correct words
        ("a b c d", "a b x c d", "a b c d", [(4, 1, 0)]),
        ("a b c d e", "a b x c y d e", "a b c d e", [(5, 2, 0)]),
        ("a b c d", "x a b c d", "a b c d y", [(2, 1, 0), (2, 0, 1)]),
        ("", "x y", "z", [(0, 2, 1)]),
        # deletions, to the point of silence
        ("a b c", "", "a b c", [(3, 3, 0)]),
    ],
)
def test_segments_worked_by_hand(reference: str, a: str, b: str, expected: list) -> None:
    """Each segment runs from two correct words to two correct words."""
    assert cut(reference, a, b) == expected
    assert cut(reference, b, a) == [(n, y, x) for n, x, y in expected]


def test_matched_pairs_worked_by_hand() -> None:
    """Differences 2, 1, 0, 1: mean 1, deviation sqrt(2 / 3), Z = sqrt(6), p of the normal distribution."""
    found = mapsswe([Segment(5, 2, 0), Segment(5, 1, 0), Segment(6, 1, 1), Segment(4, 1, 0)])
    assert (found.n_segments, found.n_ref_words, found.errors_a, found.errors_b) == (4, 20, 5, 1)
    assert (found.mean, found.std, found.z) == pytest.approx((1, math.sqrt(2 / 3), math.sqrt(6)))
    assert found.p == pytest.approx(0.014306, abs=1e-6)


@pytest.mark.parametrize("few", [[], [Segment(5, 3, 0)], [Segment(5, 1, 0)] * 3])
def test_without_a_deviation_nothing_is_found(few: list[Segment]) -> None:
    """No segment, one, or several alike give p = 1, as sc_stats has it."""
    found = mapsswe(few)
    assert (found.std, found.z, found.p) == (0, 0, 1)


def test_alignments_of_two_utterances_are_refused() -> None:
    """Two references that differ are an error, also where they have as many words."""
    with pytest.raises(ValueError, match="same reference"):
        segments(align(["a"], ["a"]), align(["b"], ["b"]))


def said(words: list[list[str]], reference: list[str]) -> list[Pair]:
    """An alignment of the reference with an utterance in which each word became what ``words`` says."""
    return align(reference, [w for word in words for w in word])


@given(heard, st.data())
@settings(deadline=None, max_examples=200)
def test_segments_hold_every_error_once(words: list[list[str]], data: st.DataObject) -> None:
    """All errors are in segments, as many as a regular expression finds between runs of correct words."""
    reference = data.draw(st.lists(letters, min_size=len(words), max_size=len(words)))
    kept = data.draw(st.lists(st.booleans(), min_size=len(words), max_size=len(words)))
    mixed = [[word] if keep else became for word, keep, became in zip(reference, kept, words, strict=True)]
    a, b = said(mixed, reference), said(list(map(list, reference[:-1])), reference)
    found = segments(a, b)
    assert sum(s.errors_a for s in found) == sum(pair.kind != "correct" for pair in a)
    assert sum(s.errors_b for s in found) == sum(pair.kind != "correct" for pair in b)
    assert [(s.n_ref_words, s.errors_b, s.errors_a) for s in segments(b, a)] == [
        (s.n_ref_words, s.errors_a, s.errors_b) for s in found
    ]
    between = re.split("C{2,}", "".join(places(a, b)))
    assert len(found) == sum(bool(set(part) & {"E", "+"}) for part in between)


def places(a: list[Pair], b: list[Pair]) -> list[str]:
    """Write an utterance as C for a word right in both, E for another word, + for a gap with an insertion."""
    tokens = [re.findall(r"(I*)(.)", "".join(p.kind[0].upper() for p in pairs) + "$") for pairs in (a, b)]
    return [
        ("+" if x[0] or y[0] else "") + ("" if x[1] == "$" else "C" if x[1] == y[1] == "C" else "E")
        for x, y in zip(*tokens, strict=True)
    ]


@given(heard, st.lists(letters, max_size=8))
@settings(deadline=None)
def test_a_system_differs_in_nothing_from_itself(words: list[list[str]], reference: list[str]) -> None:
    """The same system twice: no difference in any segment, and p is 1."""
    a = said(words, reference)
    found = mapsswe(segments(a, a))
    assert (found.mean, found.z, found.p) == (0, 0, 1)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=20))
@settings(deadline=None)
def test_swapping_negates_matched_pairs(differences: list[tuple[int, int]]) -> None:
    """Mean and Z change sign, deviation and p do not."""
    forth = mapsswe([Segment(5, a, b) for a, b in differences])
    back = mapsswe([Segment(5, b, a) for a, b in differences])
    assert (back.mean, back.z) == pytest.approx((-forth.mean, -forth.z))
    assert (back.std, back.p) == pytest.approx((forth.std, forth.p))


def test_equal_systems_are_seldom_told_apart() -> None:
    """Over 400 simulated pairs of equal systems, 100 segments each, p is below 0.05 in about 5 %."""
    counts = np.random.default_rng(2).poisson(1.2, (400, 100, 2))
    p = [mapsswe([Segment(5, int(a), int(b)) for a, b in pair]).p for pair in counts]
    assert 0.03 < np.mean(np.array(p) < 0.05) < 0.075
