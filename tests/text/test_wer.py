"""Scoring: edits are counted over the corpus, as an independent edit distance counts them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.text.population import n_speakers
from greenbench.text.wer import Counts, metrics, score, total

texts = st.text("ab \t\n\u00a0", max_size=12)


def distance(reference, hypothesis) -> int:
    """Levenshtein's distance, one row of the table at a time."""
    row = list(range(len(hypothesis) + 1))
    for i, expected in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, heard in enumerate(hypothesis, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (expected != heard))
    return row[-1]


def rates(references: list[str], hypotheses: list[str]) -> dict:
    return metrics(score(references, hypotheses, str), [None] * len(references))[0]


@given(texts, texts)
def test_edits_are_levenshteins(reference: str, hypothesis: str) -> None:
    """S + D + I is the edit distance between words, and between characters with one space between words."""
    result = score([reference], [hypothesis], str)
    words = reference.split(), hypothesis.split()
    assert result.words[0].edits == distance(*words)
    assert result.chars[0].edits == distance(*(" ".join(w) for w in words))


@given(texts, texts)
def test_counts_add_up(reference: str, hypothesis: str) -> None:
    """The lengths of both texts follow from the counts: N - D + I is the length of the hypothesis."""
    result = score([reference], [hypothesis], str)
    for counts, sides in (
        (result.words[0], (reference.split(), hypothesis.split())),
        (result.chars[0], [" ".join(text.split()) for text in (reference, hypothesis)]),
    ):
        assert counts.n == len(sides[0])
        assert counts.n - counts.deletions + counts.insertions == len(sides[1])
        assert counts.substitutions + counts.deletions <= counts.n


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=6))
def test_the_corpus_is_the_sum_of_its_utterances(pairs: list[tuple[str, str]]) -> None:
    """Corpus counts are sums over utterances, so that no edit crosses from one to the next."""
    result = score([r for r, _ in pairs], [h for _, h in pairs], str)
    summed = total(result.words)
    assert summed.edits == sum(distance(r.split(), h.split()) for r, h in pairs)
    assert summed.n == sum(len(r.split()) for r, _ in pairs)


def test_corpus_wer_is_no_mean_of_utterances() -> None:
    """One error in ten words and one in one word are 2 / 11, where a mean of utterances would say 0.55."""
    found = rates(["a b c d e f g h i j", "x"], ["a b c d e f g h i", "y"])
    assert found["wer"] == 2 / 11
    assert (found["n_ref_words"], found["n_word_substitutions"], found["n_word_deletions"]) == (11, 1, 1)


def test_no_rate_is_rounded() -> None:
    """One error in 30011 words is its exact ratio."""
    assert rates(["a " * 30011], ["a " * 30010])["wer"] == 1 / 30011


@pytest.mark.parametrize(
    ("reference", "hypothesis", "counts"),
    [
        ("a b c", "a b c", (3, 0, 0, 0)),
        ("a b c", "a x c", (3, 1, 0, 0)),
        ("a b c", "a c", (3, 0, 1, 0)),
        ("a b c", "a b b c", (3, 0, 0, 1)),
        ("a b", "", (2, 0, 2, 0)),
        ("", "a b", (0, 0, 0, 2)),
        ("", "", (0, 0, 0, 0)),
        ("a\tb\nc", "a b  c", (3, 0, 0, 0)),
    ],
)
def test_each_kind_of_edit(reference: str, hypothesis: str, counts: tuple) -> None:
    """Substitutions, deletions and insertions are told apart; any white space separates words."""
    assert score([reference], [hypothesis], str).words == [Counts(*counts)]


def test_words_said_into_silence_count() -> None:
    """Insertions against an empty reference add to the numerator, so that WER can pass 1."""
    assert rates(["a b", ""], ["a b", "c d e"])["wer"] == 1.5


@pytest.mark.parametrize("hypotheses", [["", ""], ["a", "b c"]])
def test_without_reference_words_there_is_no_rate(hypotheses: list[str]) -> None:
    """A corpus whose references are all empty has no WER and CER, neither 0 nor the number of insertions."""
    found = rates(["", " "], hypotheses)
    assert (found["wer"], found["cer"], found["wer_ci_low"], found["wer_ci_high"]) == (None,) * 4
    assert found["cer_ci_low"] is found["cer_ci_high"] is None
    assert found["n_word_insertions"] == sum(len(h.split()) for h in hypotheses)


def test_both_sides_are_normalised() -> None:
    """The normaliser is applied to reference and hypothesis before anything is counted."""
    result = score(["A b"], ["a B c"], str.upper)
    assert result.words == [Counts(2, 0, 0, 1)]
    assert result.chars == [Counts(3, 0, 0, 2)]


def test_words_can_be_counted_otherwise() -> None:
    """Another way to count words gets both texts normalised and single-spaced; characters are counted as ever."""
    seen = []
    result = score([" a\tB"], ["a  c "], str.upper, lambda *pair: seen.append(pair) or Counts(9, 1))
    assert seen == [("A B", "A C")]
    assert (result.words, result.chars) == ([Counts(9, 1)], [Counts(3, 1)])


def test_unequal_lists_are_refused() -> None:
    """A missing hypothesis is an error, not an utterance less."""
    with pytest.raises(ValueError, match="zip"):
        score(["a", "b"], ["a"], str)


@pytest.mark.parametrize(
    ("speakers", "unit"),
    [
        ([f"s{i % 7}" for i in range(40)], "speakers like these 7"),
        ([f"s{i % 3}" for i in range(40)], "speakers like these 3, conservative"),
        (["s"] * 40, "utterances of this 1 speaker"),
        ([None] + [f"s{i % 7}" for i in range(39)], "speakers like these 8, those not known as one"),
        ([None] + ["s", "t"] * 19 + ["s"], "speakers like these 3, those not known as one, conservative"),
        ([None] * 40, "utterances like these 40, speakers unknown"),
    ],
)
def test_an_interval_says_for_whom_it_is(speakers: list, unit: str) -> None:
    """It is over speakers where every one is known and there are several, and the row says which, and how many."""
    hypotheses = ["a b" if i % 4 else "a c" for i in range(40)]
    found, told = metrics(score(["a b"] * 40, hypotheses, str), speakers)
    assert told == unit
    assert found["wer_ci_low"] < found["wer"] == 10 / 80 < found["wer_ci_high"]
    assert found["cer_ci_low"] < found["cer"] == 10 / 120 < found["cer_ci_high"]


def test_one_utterance_has_no_interval() -> None:
    """A single utterance has a WER and nothing that would vary."""
    found, told = metrics(score(["a b"], ["a"], str), ["s"])
    assert (found["wer"], found["wer_ci_low"], told) == (0.5, None, None)


def test_a_speaker_who_is_not_known_makes_no_sample_of_few() -> None:
    """Of two speakers one is always misheard: an utterance without a label does not make forty units of them."""
    speakers = [f"s{i % 2}" for i in range(40)]
    texts = ["a b" if i % 2 else "a c" for i in range(40)]
    of_two, _ = metrics(score(["a b"] * 40, texts, str), speakers)
    found, told = metrics(score(["a b"] * 40, texts, str), [None, *speakers[1:]])
    assert n_speakers(told) == 3
    assert n_speakers("speakers like these 12, those not known as one") == 12
    assert found["wer_ci_high"] - found["wer_ci_low"] > (of_two["wer_ci_high"] - of_two["wer_ci_low"]) / 3
    by_utterance, _ = metrics(score(["a b"] * 40, texts, str), [None] * 40)
    assert found["wer_ci_high"] > 2 * by_utterance["wer_ci_high"]
