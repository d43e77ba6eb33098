"""Tasks: what a row is of, and what a variant is asked for."""

import pytest

from greenbench import registry, tasks
from greenbench.errors import InputError
from greenbench.metrics import RATES
from greenbench.plugins import TRANSCRIBE, TextPair
from greenbench.suite.entries import task_of

TEXTS = [TextPair("red green", "red green", "a"), TextPair("blue", "blew", "b"), TextPair("white", "white", "b")]


@pytest.mark.parametrize(("row", "name"), [({}, TRANSCRIBE), ({"task": None}, TRANSCRIBE), ({"task": "x"}, "x")])
def test_rows_of_earlier_versions_were_transcribed(row: dict, name: str) -> None:
    """A row that does not say its task is one of transcribing."""
    assert tasks.name_of(row) == name


@pytest.mark.parametrize("name", registry.names("tasks"))
def test_a_task_says_by_what_its_rows_are_timed_and_judged(name: str) -> None:
    """Its rate is a known one or the suite's choice, and what it scores by is found again from a row."""
    task = tasks.create(name)
    assert task.rate in (None, *RATES)
    assert task.timed_region.startswith("waveform-to-")
    ids = task.counted_by("none")
    assert set(ids) == {"normalizer", "scorer"}
    assert task.counted_by(task.scoring_of(ids)) == ids


def test_no_two_tasks_are_timed_alike() -> None:
    """What a window times distinguishes them, so that their speeds are never compared."""
    timed = [tasks.create(name).timed_region for name in registry.names("tasks")]
    assert len(set(timed)) == len(timed)


def test_transcribing_counts_words_and_characters() -> None:
    """One wrong word of four, two wrong letters of 20: w and e stand for u and e, by hand blue -> blew is 2 edits."""
    figures, origin = tasks.create(TRANSCRIBE).score(TEXTS, "none")
    assert (figures["wer"], figures["n_ref_words"], figures["n_char_substitutions"]) == (0.25, 4, 2)
    assert origin["wer_ci_unit"] == "speakers like these 2, conservative"


def test_an_unknown_task_is_one_line() -> None:
    """The nearest name is suggested."""
    with pytest.raises(InputError, match="unknown task 'transcrib'. Did you mean 'transcribe'"):
        tasks.create("transcrib")


@pytest.mark.parametrize("name", ["quickstart", "manifest", "librispeech"])
def test_speech_is_to_be_transcribed(name: str) -> None:
    """A data set that asks for nothing else."""
    assert task_of(name) == TRANSCRIBE
