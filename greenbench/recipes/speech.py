"""The speech that a recipe trains on: kept in memory as far as it fits, decoded when it is used beyond that."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from greenbench.errors import InputError
from greenbench.models.lineage import Speech
from greenbench.plugins import SAMPLE_RATE_HZ, TRANSCRIBE, Clip, Spoken, Utterance, Waveform
from greenbench.suite.entries import DatasetEntry, build_dataset, corpus_of, task_of

KEPT_S = 10 * 3600.0
"""Seconds of audio that are kept in memory (float32 at 16 kHz: 2.3 GB)."""


@dataclass(frozen=True)
class OnDemand:
    """An utterance that is decoded each time its audio is asked for.

    Attributes:
        id: unique within the speech.
        clip: where it comes from.
        n_samples: its length.
    """

    id: str
    clip: Clip
    n_samples: int

    @property
    def audio(self) -> Waveform:
        """Decode it."""
        return self.clip.read()

    @property
    def reference(self) -> str:
        """The transcript, empty where there is none."""
        return self.clip.reference

    @property
    def speaker(self) -> str | None:
        """Who speaks, where known."""
        return self.clip.speaker

    @property
    def duration_s(self) -> float:
        """Seconds of audio."""
        return self.n_samples / SAMPLE_RATE_HZ


def with_reference(utterance: Spoken, text: str) -> Spoken:
    """Return an utterance with another transcript."""
    if isinstance(utterance, OnDemand):
        return replace(utterance, clip=replace(utterance.clip, reference=text))
    assert isinstance(utterance, Utterance)
    return replace(utterance, reference=text)


def split(entries: Iterable[DatasetEntry], validation_share: float) -> tuple[list[Spoken], list[Utterance], Speech]:
    """Gather the speech of several data sets and hold some of it out.

    Args:
        entries: resolved.
        validation_share: share of the utterances that is held out, every so many-th.

    Returns:
        The speech to train on, the speech held out, and what the lineage says of both.

    Raises:
        InputError: a data set has no transcripts, as it is for another task.
        MissingError: a data set is not here.
        BadAudioError: a file cannot be decoded.
    """
    spoken: list[Spoken] = []
    hashes: dict[str, str] = {}
    read_s = 0.0
    for entry in entries:
        if (task := task_of(entry.use)) != TRANSCRIBE:
            raise InputError(f"train: {entry.name} is for task {task} and has no transcripts: name speech")
        build_dataset(entry).prepare()
        corpus = corpus_of(entry)
        clips = {clip.id: clip for clip in corpus.clips()}
        for utterance in (utterance for chunk in corpus.chunks() for utterance in chunk):
            read_s += utterance.duration_s
            name = f"{entry.name}/{utterance.id}"  # ids are a data set's own
            on_demand = OnDemand(name, clips[utterance.id], utterance.n_samples)
            spoken.append(replace(utterance, id=name) if read_s <= KEPT_S else on_demand)
        assert corpus.stats is not None
        hashes[str(entry.name)] = corpus.stats.data_hash
    train, held_out = _hold_out(spoken, validation_share)
    return train, held_out, Speech(hashes, len(train), sum(u.duration_s for u in train), len(held_out))


def _hold_out(spoken: Sequence[Spoken], share: float) -> tuple[list[Spoken], list[Utterance]]:
    every = round(1 / share) if share else len(spoken) + 1
    held_out = [Utterance(u.id, u.audio, u.reference, u.speaker) for u in spoken[every - 1 :: every]]
    return [utterance for index, utterance in enumerate(spoken) if (index + 1) % every], held_out
