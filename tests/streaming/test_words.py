"""The ends of recognised words: those of the words of the reference that they are."""

import pytest

from greenbench.plugins import WordTime
from greenbench.streaming.words import digest, ends_s

SPOKEN = (WordTime("Don't", 0.0, 0.5), WordTime("go", 0.5, 1.0), WordTime("there!", 1.0, 1.5))


@pytest.mark.parametrize(
    ("final", "ends"),
    [
        ("DON'T GO THERE", [0.5, 1.0, 1.5]),
        ("dont there", [0.5, 1.5]),
        ("do not go there", [None, None, 1.0, 1.5]),
        ("don't go over there", [0.5, 1.0, None, 1.5]),
        ("don't know there", [0.5, None, 1.5]),
        ("", []),
        ("something else entirely different", [None] * 4),
    ],
)
def test_a_word_has_the_end_of_what_it_is(final: str, ends: list[float | None]) -> None:
    """Case and signs do not matter; what was not said, or is another word, has no end."""
    assert ends_s(final, SPOKEN) == ends


def test_other_times_have_another_digest() -> None:
    """Rows whose latencies are counted from other times are told apart."""
    later = (*SPOKEN[:2], WordTime("there!", 1.0, 1.6))
    assert digest([SPOKEN]) != digest([later])
    assert digest([SPOKEN]) == digest([SPOKEN[:1], SPOKEN[1:]])
