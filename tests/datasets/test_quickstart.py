"""The bundled speech is what its documentation says it is."""

import json

from greenbench.assets import QUICKSTART
from greenbench.datasets.corpus import Corpus
from greenbench.datasets.quickstart import Quickstart


def test_the_bundled_speech_is_large_and_varied_enough() -> None:
    """At least 200 utterances, 10 minutes and 6 voices, 2 of them unseen; every file decodes to its length."""
    corpus = Corpus(Quickstart())
    (utterances,) = corpus.chunks()
    assert corpus.stats is not None
    assert corpus.stats.n_utterances >= 200
    assert corpus.stats.audio_s >= 600
    assert len({u.speaker for u in utterances}) >= 6
    assert len({clip.speaker for clip in Quickstart("unseen")()}) >= 2


def test_seen_and_unseen_voices_are_all_voices() -> None:
    """The two slices do not overlap and leave nothing out."""
    ids = {voices: [clip.id for clip in Quickstart(voices)()] for voices in ("all", "seen", "unseen")}
    assert sorted(ids["seen"] + ids["unseen"]) == sorted(ids["all"])


def test_the_bundled_speech_states_its_slices() -> None:
    """Each utterance says its kind, its engine, whether it is noisy and whether the teacher has seen its voice."""
    lines = map(json.loads, (QUICKSTART / "evaluation" / "manifest.jsonl").read_text().splitlines())
    stated = {line["audio_filepath"]: {k: line[k] for k in ("kind", "engine", "noise") if k in line} for line in lines}
    for voices in ("seen", "unseen"):
        for clip in Quickstart(voices)():
            assert clip.slices == stated[f"{clip.id}.flac"] | {"voices": voices}
            assert {"kind", "engine"} <= set(clip.slices)
