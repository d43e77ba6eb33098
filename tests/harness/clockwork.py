"""A clock, a model and a meter for tests of windows and baselines, in which time passes only as they say."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle

import numpy as np

from greenbench.datasets.corpus import Corpus
from greenbench.plugins import Clip, Footprint, Quantity, Reading, Utterance, Waveform


@dataclass
class Hand:
    """The hand of a clock that moves only when told to."""

    now: float = 1000.0

    def move(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Model:
    """Takes the seconds it is told, in turn, and answers each waveform's length; ``heard`` are the batches."""

    hand: Hand
    seconds: Iterator[float] = field(default_factory=lambda: cycle([0.5]))
    heard: list[list[int]] = field(default_factory=list)
    footprint = Footprint()
    batching = "padded"

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        self.hand.move(next(self.seconds))
        self.heard.append([len(audio) for audio in batch])
        return [str(len(audio)) for audio in batch]


@dataclass
class Meter:
    """Reads joules at constant power off the hand; knows whether a window is open."""

    hand: Hand
    watts: float = 10.0
    n_windows: int = 0
    is_open: bool = False
    metrics = ("energy_cpu_j",)
    estimates = False

    @contextmanager
    def window(self, reading: Reading) -> Iterator[None]:
        start, self.is_open = self.hand.now, True
        yield
        self.is_open, seconds = False, self.hand.now - start
        self.n_windows += 1
        reading.add("energy_cpu_j", Quantity(self.watts * seconds, "counter", "hand"))


def speak(n_samples: Sequence[int]) -> list[Utterance]:
    return [Utterance(f"u{i}", np.zeros(n, np.float32), f"TEXT {i}", "s") for i, n in enumerate(n_samples)]


def corpus_of(n_samples: Sequence[int], **options) -> Corpus:
    """A corpus that was passed over once, with utterances of these lengths."""
    clips = [Clip(u.id, lambda u=u: u.audio, u.reference, u.speaker) for u in speak(n_samples)]
    corpus = Corpus(lambda: iter(clips), **options)
    assert list(corpus.chunks())
    return corpus
