"""Slices: they part the words, and the worst of them is called so only where it can be judged, with its interval."""

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.metrics import BY_SLICE
from greenbench.statistics.intervals import rate_interval
from greenbench.text import scorers, slices
from greenbench.text.slices import by_slice, labels, worst
from greenbench.text.wer import Counts, total

accents = st.sampled_from(["scottish", "welsh", "english"])
utterances = st.lists(st.tuples(st.integers(0, 9), st.integers(100, 200), accents), min_size=6, max_size=30)


def counted(spoken: list[tuple[int, int, str]]) -> list[slices.Slice]:
    """Count utterances of (errors, words, accent), all of speakers who are not known."""
    counts = [Counts(n, errors) for errors, n, _ in spoken]
    return by_slice(counts, [None] * len(counts), [labels({"accent": accent}) for *_, accent in spoken])


@given(utterances)
def test_the_slices_of_a_key_part_the_words(spoken: list) -> None:
    """Each word and error is in one slice of a key, and in the rest of every other."""
    found, whole = counted(spoken), total([Counts(n, errors) for errors, n, _ in spoken])
    for one in found:
        assert asdict(total([one.counts, one.rest])) == asdict(whole)
    if found:
        assert asdict(total([one.counts for one in found])) == asdict(whole)
        assert sorted(place for one in found for place in one.places) == list(range(len(spoken)))


@given(utterances)
def test_the_worst_slice_is_no_better_than_the_whole(spoken: list) -> None:
    """Where every slice of a key is judged, the worst has at least the error rate of the whole, and a gap above 0."""
    found = counted(spoken)
    if found and all(one.lacks is None for one in found):
        chosen = worst(found)
        assert chosen.rate >= sum(errors for errors, *_ in spoken) / sum(n for _, n, _ in spoken)
        assert chosen.gap >= 0
        assert chosen.interval[0] <= chosen.rate <= chosen.interval[1]


def test_by_hand() -> None:
    """10 of 100 words against 2 of 400 words are 10 %, 0.5 %, and a gap of 9.5 points."""
    found = counted([(6, 50, "welsh"), (4, 50, "welsh"), (1, 200, "english"), (1, 200, "english")])
    chosen = worst(found)
    assert (chosen.name, chosen.rate) == ("accent=welsh", 0.1)
    assert chosen.gap == pytest.approx(0.095)


def test_intervals_of_slices_hold_together() -> None:
    """Each of two slices has the interval of the whole's method at half of its level, wider than it would be alone."""
    spoken = [(n % 5, 50, "welsh" if n % 2 else "english") for n in range(40)]
    first, second = counted(spoken)
    errors, words = ([one[at] for one in spoken if one[2] == "welsh"] for at in (0, 1))
    alone = rate_interval(errors, words, None)
    assert second.interval == rate_interval(errors, words, None, level=0.025)
    assert second.interval[0] < alone[0] < alone[1] < second.interval[1]
    assert first.name == "accent=english"


@pytest.mark.parametrize(
    ("n_words", "speakers", "why"),
    [
        (10, ("a", "b", "c", "d"), "n=1: 20 reference words or characters, fewer than 100"),
        (60, ("a", "a", "c", "d"), "n=1: one speaker"),
        (60, ("a", None, "c", "d"), None),
        (60, (None, None, None, None), None),
    ],
)
def test_a_slice_is_judged_where_it_has_words_and_speakers(n_words: int, speakers: tuple, why: str | None) -> None:
    """Few words, or one speaker, do not make a worst slice, however many errors there are; the reason is said."""
    counts = [Counts(n_words, n_words), Counts(n_words, n_words), Counts(900), Counts(900)]
    found = by_slice(counts, speakers, [labels({"n": "1"})] * 2 + [()] * 2)
    assert (worst(found) is None) == (why is not None)
    assert why is None or slices.why_none(found) == f"no slice can be judged: {why}"


def test_what_is_stated_of_all_is_no_slice() -> None:
    """One value for all utterances parts nothing, and there is no worst slice then."""
    counts = [Counts(100, 3)] * 4
    assert by_slice(counts, [None] * 4, [labels({"noise": "street"})] * 4) == []
    assert slices.why_none([]) == "the data set states no slices"


def test_a_corpus_has_its_worst_slice_in_words_and_in_characters() -> None:
    """Every column is there, with the slice's name; without slices each is null, with the reason."""
    how, said = scorers.create("none"), "one two three four five " * 6
    texts = [scorers.TextPair(said, said.replace("two", "too") if n % 2 else said, f"s{n // 2}",
                              labels({"noise": "street" if n % 2 else "none"})) for n in range(10)]  # fmt: skip
    figures, origin = scorers.accuracy(texts, how)
    assert (figures["wer_worst_slice"], figures["wer_slice_gap"]) == (0.2, 0.2)
    assert (origin["wer_slice"], origin["cer_slice"], origin["slice_note"]) == ("noise=street", "noise=street", None)
    assert all(figures[name] is not None for name in BY_SLICE)
    figures, origin = scorers.accuracy([text._replace(slices=()) for text in texts], how)
    assert {figures[name] for name in BY_SLICE} == {None}
    assert (origin["wer_slice"], origin["slice_note"]) == (None, "the data set states no slices")


def test_a_slice_of_nobody_known_is_of_utterances() -> None:
    """Speakers of the slice are its units; whom its interval speaks of is said."""
    found = by_slice(
        [Counts(100, 1)] * 6, ["a", "b", "a", "b", "c", "d"], [labels({"x": str(n // 4)}) for n in range(6)]
    )
    assert [one.unit for one in found] == ["speakers like these 2, conservative", "speakers like these 2, conservative"]


@pytest.mark.parametrize(("n_speakers", "has_interval"), [(2, False), (4, False), (5, True)])
def test_few_speakers_have_no_interval(n_speakers: int, has_interval: bool) -> None:
    """Of two speakers an interval would reach far above 100 %: the rate stands alone, and the row says why."""
    how, said = scorers.create("none"), "one two three four five " * 12
    texts = [
        scorers.TextPair(
            said, said.replace("two", "too") if n else said, f"s{n}", labels({"voice": "new" if n else "old"})
        )
        for n in [0, 0, *range(1, n_speakers + 1)]
    ]
    figures, origin = scorers.accuracy(texts, how)
    assert (figures["wer_worst_slice"], origin["wer_slice"]) == (0.2, "voice=new")
    ends = [figures["wer_worst_slice_ci_low"], figures["wer_worst_slice_ci_high"]]
    assert all(end is not None for end in ends) == has_interval
    assert origin["slice_note"] == (
        None if has_interval else f"voice=new: {n_speakers} speakers, too few for an interval"
    )
