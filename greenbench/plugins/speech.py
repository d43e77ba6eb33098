"""Speech: utterances, and the data sets that they come from."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

SAMPLE_RATE_HZ = 16_000

Waveform = npt.NDArray[np.float32]
"""Mono audio, shape ``(n_samples,)``, at ``SAMPLE_RATE_HZ``, nominally within -1..1."""


@dataclass(frozen=True)
class WordTime:
    """When a word of the transcript was spoken.

    Attributes:
        word: as the transcript has it.
        start_s: seconds from the first sample of the utterance.
        end_s: the same of its end.
    """

    word: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Clip:
    """One utterance that is not decoded yet; a data set yields these, so it never holds audio.

    Attributes:
        id: unique within the data set.
        read: decodes the audio; raises ``BadAudioError`` naming the file.
        reference: the transcript as the corpus gives it, not normalised.
        speaker: who speaks, where known.
        duration_s: seconds of audio, read without decoding (approximate: a header may be wrong); None where it needs
            decoding.
        digest: identifies the audio on every machine, in hexadecimal digits; for audio whose decoding or resampling
            differs in the last bits between machines. Where it is None or returns None, the samples are hashed.
        slices: what is stated of the utterance, by which its errors are counted apart, as ``{"accent": "scottish"}``.
        terms: listed words and phrases that the transcript has, whose recognition is counted apart.
        words: when each word of the transcript was spoken, in order; empty where that is not known.
    """

    id: str
    read: Callable[[], Waveform]
    reference: str
    speaker: str | None = None
    duration_s: Callable[[], float] | None = None
    digest: Callable[[], str | None] | None = None
    slices: Mapping[str, str] = field(default_factory=dict, hash=False)
    terms: tuple[str, ...] = ()
    words: tuple[WordTime, ...] = ()


@dataclass(frozen=True)
class Utterance:
    """One decoded utterance; ``audio`` is a ``Waveform``, ``reference`` is not normalised.

    ``audio_digest`` identifies the audio on every machine (see ``Clip.digest``); empty where it was not requested.
    ``slices``, ``terms`` and ``words`` are those of the clip.
    """

    id: str
    audio: Waveform
    reference: str
    speaker: str | None = None
    audio_digest: str = ""
    slices: Mapping[str, str] = field(default_factory=dict, hash=False)
    terms: tuple[str, ...] = ()
    words: tuple[WordTime, ...] = ()

    @property
    def n_samples(self) -> int:
        """Length of the audio."""
        return len(self.audio)

    @property
    def duration_s(self) -> float:
        """Seconds of audio."""
        return self.n_samples / SAMPLE_RATE_HZ


class Spoken(Protocol):
    """An utterance whose audio is in memory or decoded on access: ``Utterance``, and clips of a corpus."""

    @property
    def id(self) -> str:
        """Unique within the speech."""
        ...

    @property
    def audio(self) -> Waveform:
        """The waveform; access may decode it."""
        ...

    @property
    def reference(self) -> str:
        """The transcript, empty where there is none."""
        ...

    @property
    def speaker(self) -> str | None:
        """Who speaks, where known."""
        ...

    @property
    def n_samples(self) -> int:
        """Length of the audio, known without decoding."""
        ...

    @property
    def duration_s(self) -> float:
        """Seconds of audio, known without decoding."""
        ...


class Dataset(Protocol):
    """Where utterances come from (group ``greenbench.datasets``)."""

    @property
    def label(self) -> str:
        """The default name of the data set in rows, e.g. ``librispeech/test-other``."""
        ...

    def prepare(self) -> None:
        """Make the data available, downloading it if necessary; raise ``MissingError`` with the remedy."""
        ...

    def __call__(self) -> Iterator[Clip]:
        """Yield the clips lazily, always in the same order."""
        ...


@runtime_checkable
class Fetched(Protocol):
    """A data set that ``prepare`` downloads where it is not on this machine, or a build that needs one (optional)."""

    def to_fetch(self) -> str | None:
        """Describe what would be downloaded and from where; None where it is on this machine."""
        ...
