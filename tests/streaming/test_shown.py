"""What was shown: of any texts, each word stands at its place for as long as the texts have it there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.streaming.latency import settled_s
from greenbench.streaming.shown import ShownWord, shown_words

TEXTS = st.lists(st.lists(st.sampled_from("ab"), max_size=3), min_size=1, max_size=5).map(
    lambda texts: [(float(time_s), words) for time_s, words in enumerate(texts)]
)


@given(TEXTS)
def test_the_texts_can_be_read_off_the_words(texts: list) -> None:
    """At the time of each text, the words that stand there are that text; final ones begin where they settle."""
    words = shown_words(texts)
    for time_s, text in texts:
        standing = [one for one in words if one.since_s <= time_s and (one.until_s is None or time_s < one.until_s)]
        assert [(one.place, one.word) for one in standing] == list(enumerate(text))
    assert [one.since_s for one in words if one.until_s is None] == pytest.approx(settled_s(texts))


def test_a_word_that_comes_back_is_shown_twice() -> None:
    """It was gone in between."""
    texts = [(1.0, ["a"]), (2.0, ["b"]), (3.0, ["a", "c"])]
    assert shown_words(texts) == [
        ShownWord(0, "a", 1.0, 2.0), ShownWord(0, "b", 2.0, 3.0), ShownWord(0, "a", 3.0, None),
        ShownWord(1, "c", 3.0, None),
    ]  # fmt: skip
