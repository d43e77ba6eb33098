"""Punctuation and case: counted by hand, and against plain counts of the characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.metrics import BY_ORTHOGRAPHY
from greenbench.text import scorers
from greenbench.text.orthography import MARKS, OrthographyCounts, count, metrics
from greenbench.text.scorers import TextPair
from greenbench.text.wer import Counts

ONE_CASE = "the references are not in upper and lower case"

texts = st.lists(st.sampled_from(["a", "A", "bc", "Bc", "don't", "3.5", ",", ".", "?", "!"]), max_size=12).map(" ".join)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "marks", "case"),
    [
        # the example in the description of the punctuation error rate in NVIDIA NeMo: 1 right, 1 each of S, D and I
        ("Hi, dear! Nice to see you. What's", "Hi dear! Nice to see you! What's?", (3, 1, 1, 1), (0, 7)),
        ("Yes, I know.", "Yes, I know.", (2, 0, 0, 0), (0, 3)),
        ("Yes, I know.", "yes i know", (2, 0, 2, 0), (2, 3)),
        ("Yes, I know.", "YES, I KNOW.", (2, 0, 0, 0), (2, 3)),
        ("Yes, I know.", "Yes I, know.", (2, 0, 1, 1), (0, 3)),  # at another place
        ("Yes, I know.", "Yes, I.", (2, 0, 0, 0), (0, 2)),  # a word that is missed takes no mark with it
        ("Yes, I know.", "Yes, I no.", (2, 0, 0, 0), (0, 2)),  # nor is the case of a wrong word judged
        ("Wait... what?", "Wait. What?", (2, 0, 0, 0), (1, 2)),  # marks side by side are one
        ("What?!", "What?", (1, 0, 0, 0), (0, 1)),
        ("It is 3.5, or 3,000.", "It is 3.5 or 3,000.", (2, 0, 1, 0), (0, 3)),  # signs within numbers are no marks
        ("Don\u2019t go.", "Don't go.", (1, 0, 0, 0), (0, 2)),
        ("\u201cGo,\u201d she said \u2013 twice.", "Go, she said, twice.", (2, 0, 0, 1), (0, 4)),  # dashes: no marks
        ("Gehst du nach Haus? Ja!", "Gehst du nach haus. Ja!", (2, 1, 0, 0), (1, 5)),
        ("\u00bfQu\u00e9 tal?", "\u00bfque tal?", (1, 0, 0, 0), (0, 1)),
        ("\u4f60\u597d\uff0c\u4e16\u754c\u3002", "\u4f60\u597d\u4e16\u754c\u3002", (2, 0, 1, 0), (0, 0)),
        ("\u4f60\u597d\uff0c\u4e16\u754c\u3002", "\u4f60\u597d,\u4e16\u754c.", (2, 0, 0, 0), (0, 0)),  # two widths
        ("\u0644\u0627\u060c \u0643\u064a\u0641\u061f", "\u0644\u0627 \u0643\u064a\u0641\u061f", (2, 0, 1, 0), (0, 0)),
        ("", "A b.", (0, 0, 0, 1), (0, 0)),
        ("A b.", "", (1, 0, 1, 0), (0, 0)),
    ],
)  # fmt: skip
def test_counts_by_hand(reference: str, hypothesis: str, marks: tuple[int, ...], case: tuple[int, int]) -> None:
    """N, S, D and I of the marks, and of the words recognised those in another case, are what a reader counts."""
    assert count(reference, hypothesis) == OrthographyCounts(Counts(*marks), case[1], case[0])


@given(texts, texts)
def test_counts_add_up(reference: str, hypothesis: str) -> None:
    """Right, substituted and deleted marks are those of the reference; with inserted ones, those of the hypothesis."""
    found = count(reference, hypothesis).marks
    said, heard = (sum(word in MARKS for word in text.split()) for text in (reference, hypothesis))
    assert found.n == said
    assert found.n - found.deletions + found.insertions == heard
    assert found.substitutions + found.deletions <= found.n


@given(texts)
def test_a_text_is_its_own(text: str) -> None:
    """Against itself a text has no wrong mark and no wrong case; in capitals each word in lower case is wrong."""
    same, shouted = count(text, text), count(text, text.upper())
    assert (same.marks.edits, same.n_case_errors) == (0, 0)
    assert (shouted.marks.edits, shouted.n_words) == (0, same.n_words)
    assert shouted.n_case_errors == sum(word != word.upper() for word in text.split())


def corpus(*pairs: tuple[str, str]) -> tuple[dict, str | None]:
    return metrics([r for r, _ in pairs], [h for _, h in pairs], [f"s{n % 7}" for n in range(len(pairs))])


def test_a_corpus_has_the_rates_of_its_sums() -> None:
    """3 right marks, 1 substituted, 1 deleted and 1 inserted: precision 3/5, recall 3/5, F1 6/10, not a mean."""
    figures, why = corpus(("A, b. C!", "A, b. C?"), ("D. E", "d e,"), ("F.", "F."))
    assert why is None
    assert figures["punct_f1"] == pytest.approx(0.6)
    names = ("n_ref_marks", "n_mark_substitutions", "n_mark_deletions", "n_mark_insertions")
    assert [figures[name] for name in names] == [5, 1, 1, 1]
    assert figures["case_error_rate"] == pytest.approx(2 / 6)
    assert (figures["n_case_words"], figures["n_case_errors"]) == (6, 2)
    assert 0 <= figures["punct_f1_ci_low"] < 0.6 < figures["punct_f1_ci_high"] <= 1
    assert 0 <= figures["case_error_rate_ci_low"] < 2 / 6 < figures["case_error_rate_ci_high"]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "known", "why"),
    [
        ("SO IT IS", "So, it is.", set(), f"the references have no punctuation; {ONE_CASE}"),
        ("so it is.", "So it is.", {"punct"}, ONE_CASE),
        ("So it is", "So it is.", {"case"}, "the references have no punctuation"),
        ("So it is.", "", {"punct"}, "no word was recognised"),
        ("\u4f60\u597d\u3002", "\u4f60\u597d\u3002", {"punct"}, ONE_CASE),
    ],
)  # fmt: skip
def test_what_the_references_lack_is_null_with_the_reason(
    reference: str, hypothesis: str, known: set[str], why: str
) -> None:
    """References without punctuation, or in one case, judge neither: null, never 0."""
    figures, note = corpus((reference, hypothesis), (reference, hypothesis))
    assert note == why
    assert {name.split("_")[0] for name in ("punct_f1", "case_error_rate") if figures[name] is not None} == known
    assert set(figures) == set(BY_ORTHOGRAPHY)


def test_the_scorer_counts_words_as_the_plain_one_does() -> None:
    """The scorer adds its columns to plain word counts; other scorers leave them null, without a note."""
    pairs = [TextPair("Yes, I know.", "Yes I no."), TextPair("Ah!", "Ah!")]
    plain, origin = scorers.accuracy(pairs, scorers.create("whisper-english"))
    more, note = scorers.accuracy(pairs, scorers.create("whisper-english+punctuation"))
    assert {name: value for name, value in more.items() if name not in BY_ORTHOGRAPHY} == {
        name: value for name, value in plain.items() if name not in BY_ORTHOGRAPHY
    }
    assert {plain[name] for name in BY_ORTHOGRAPHY} == {None} == {origin["orthography_note"], note["orthography_note"]}
    assert more["punct_f1"] == pytest.approx(2 * 2 / (3 + 2))
