"""Trials: pairs of one speaker and as many of two, of different texts, drawn by the seed alone."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from greenbench import registry
from greenbench.datasets import nested
from greenbench.errors import InputError
from greenbench.plugins import Clip
from greenbench.suite.entries import DatasetEntry, corpus_of, resolve_dataset, task_of

Asked = dict[tuple[str, str], bool]


@dataclass(frozen=True)
class Speech:
    """Utterances by ``(speaker, text)``, whose ids are their places."""

    said: tuple[tuple[str | None, str], ...]
    label = "speech"

    def prepare(self) -> None:
        """Nothing is to be done."""

    def __call__(self) -> Iterator[Clip]:
        for place, (speaker, text) in enumerate(self.said):
            yield Clip(f"u{place:03}", lambda: np.zeros(1600, np.float32), text, speaker)


def asked(said: list[tuple[str | None, str]], monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Asked:
    """Return what is asked of each pair, the later one first."""
    monkeypatch.setattr(nested, "dataset", lambda _of: Speech(tuple(said)))
    clips = list(registry.create("datasets", "trials", {"of": "quickstart", **settings})())
    return {(c.id, other): same for c in clips for other, same in json.loads(c.reference).items()}


SPEECH = [(f"s{n % 5}", f"text {n // 5}") for n in range(60)]
"""Five speakers, each of whom says the same twelve texts."""


def test_pairs_are_balanced_and_true_and_of_different_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many of one speaker as of two, of each speaker as many as asked for; what is said tells nothing."""
    found = asked(SPEECH, monkeypatch, n_per_speaker=10)
    kinds = Counter(found.values())
    assert kinds == {True: 50, False: 50}
    own = Counter()
    for (later, earlier), same in found.items():
        assert earlier < later  # the first utterances have the trials among them
        (a, said_a), (b, said_b) = (SPEECH[int(name[1:])] for name in (later, earlier))
        assert (a == b) is same
        assert said_a != said_b
        own[a] += same
    assert set(own.values()) == {10}


def test_others_come_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each two speakers meet within a quarter of as often as all do on average; pairs of one text are left out."""
    met = Counter(
        frozenset(SPEECH[int(name[1:])][0] for name in pair)
        for pair, same in asked(SPEECH, monkeypatch, n_per_speaker=20).items()
        if not same
    )
    assert len(met) == 10
    assert all(abs(n - 10) <= 2.5 for n in met.values())


def test_few_utterances_give_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A speaker of one utterance is compared with others only; an unknown speaker with nobody."""
    said = [("a", "x"), ("a", "y"), ("b", "z"), (None, "w"), ("c", "x"), ("a", "y")]
    found = asked(said, monkeypatch)
    targets = {pair for pair, same in found.items() if same}
    assert targets <= {("u001", "u000"), ("u005", "u000")}
    assert len(targets) == len(found) / 2 == 2
    assert all({"u002", "u004"} & {*pair} for pair, same in found.items() if not same)
    assert not any("u003" in pair for pair in found)
    assert ("u004", "u000") not in found  # they say the same


def test_speech_without_transcripts_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known to be the same text."""
    found = asked([(f"s{n % 3}", "") for n in range(12)], monkeypatch, n_per_speaker=4)
    assert Counter(found.values()) == {True: 12, False: 12}


def test_the_seed_decides_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two passes are the same; another seed draws other pairs."""
    first, second, other = (asked(SPEECH, monkeypatch, n_per_speaker=5, seed=seed) for seed in (0, 0, 1))
    assert first == second != other


@pytest.mark.parametrize("said", [[("a", "x"), ("a", "y")], [("a", "x"), ("b", "y")], [(None, "x"), (None, "y")]])
def test_speech_without_two_speakers_has_no_trials(said: list, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so when it is read, and what helps."""
    with pytest.raises(InputError, match=r"trials\(speech\): no two speakers are known .*`speaker`"):
        asked(said, monkeypatch)


def test_the_bundled_speech_has_trials_in_its_own_order() -> None:
    """Speaker and slices stay; a limit keeps the first utterances, and the corpus doubts no reference."""
    clips = {clip.id: clip for clip in registry.create("datasets", "quickstart", {})()}
    entry = DatasetEntry(use="trials", of="quickstart", n_per_speaker=3, limit=8)
    found = list(registry.create("datasets", "trials", {"of": "quickstart", "n_per_speaker": 3})())
    assert [clip.id for clip in found] == [name for name in clips if name in {clip.id for clip in found}]
    assert all((clip.speaker, clip.slices) == (clips[clip.id].speaker, clips[clip.id].slices) for clip in found)
    corpus = corpus_of(entry)
    assert [utterance.id for chunk in corpus.chunks() for utterance in chunk] == [clip.id for clip in found[:8]]
    assert corpus.stats is not None
    assert corpus.stats.doubts == []


def test_a_suite_names_it_after_what_it_is_of() -> None:
    """Settings of the data set within it are resolved with it, and it is for the task verify."""
    (entry,) = resolve_dataset(DatasetEntry(use="trials", of={"use": "quickstart", "voices": "unseen"}), base=None)
    assert entry["name"] == "trials(quickstart/unseen)"
    assert task_of("trials") == "verify"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"of": "quickstrat"}, "Did you mean 'quickstart'"),
        ({"of": {"use": "trials", "of": "quickstart"}}, "trials is made of speech itself"),
        ({"of": "quickstart", "n_per_speaker": 0}, "n_per_speaker: "),
    ],
)
def test_wrong_settings_are_one_line(settings: dict, message: str) -> None:
    """The name of the data set within, and limits."""
    with pytest.raises(InputError, match=message):
        registry.create("datasets", "trials", settings)
