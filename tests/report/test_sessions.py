"""Utterances that were streamed: what the page's chart is drawn of."""

from typing import Any

from greenbench.report import sessions
from greenbench.report.utterances import CellTexts

SHOWN = [
    {"time_s": 1.0, "text": "the cut"},
    {"time_s": 1.5, "text": "the cat"},
    {"time_s": 2.25, "text": "the cat ran"},
]
WORDS = [{"word": "The", "start_s": 0.1, "end_s": 0.25}, {"word": "cat.", "start_s": 0.3, "end_s": 0.75}]


def cell(line: int, dataset: str = "d", **of: Any) -> CellTexts:
    row = {"utterance_id": "u", "audio_s": 2.0, "reference": "The cat.", "hypothesis": "the cat ran"}
    return CellTexts(line, f"v{line}", dataset, "wer", [row | of], [])


def test_words_have_their_times_in_the_speech_and_on_the_screen() -> None:
    """Replaced words have an end on the screen; final ones have the end of the spoken word that they are."""
    found = sessions.drawn([cell(0, shown=SHOWN, words=WORDS), cell(1, shown=SHOWN), cell(2)])
    timed = [
        [0, "the", 1, None, 0.25],
        [1, "cut", 1, 1.5, None],
        [1, "cat", 1.5, None, 0.75],
        [2, "ran", 2.25, None, None],
    ]
    assert found == {"u": {"audio_s": 2.0, "lines": {0: timed, 1: [[*word[:4], None] for word in timed]}}}


def test_utterances_of_several_data_sets_are_told_apart() -> None:
    """Their names have the data set's; where there is one, they are the ids."""
    several = [cell(0, "a", shown=SHOWN), cell(1, "b", shown=SHOWN)]
    assert list(sessions.drawn(several)) == ["a: u", "b: u"]
    assert sessions.drawn([cell(0)]) == {}
