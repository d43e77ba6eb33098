"""The growing window: any transcriber is streamed by transcribing all that was spoken so far, again at each chunk."""

from collections.abc import Sequence
from itertools import takewhile

import numpy as np

from greenbench.plugins import Partial, Transcriber, Waveform

HOW = "growing window, agreement of 2"
"""The name of this way to stream, for rows."""


class GrowingWindow:
    """A streamer of any transcriber, with local agreement over two runs.

    Words that two transcriptions in a row have in common from the beginning on are final: LA-2 of Liu, Spanakis and
    Niehues, "Low-latency sequence-to-sequence speech recognition and translation by partial hypothesis selection"
    (Interspeech 2020). The others are shown and may change. All audio is computed anew at each chunk, so that the
    work grows with the square of the length.
    """

    def __init__(self, transcriber: Transcriber) -> None:
        """Take a loaded model."""
        self._transcriber = transcriber

    def open(self) -> "GrowingSession":
        """Return a session for the next utterance."""
        return GrowingSession(self._transcriber)


class GrowingSession:
    """One utterance of a growing window."""

    def __init__(self, transcriber: Transcriber) -> None:
        """Begin without audio."""
        self.n_computed = 0
        self._transcriber = transcriber
        self._audio: Waveform = np.zeros(0, np.float32)
        self._words: list[str] = []
        self._final: list[str] = []

    def feed(self, chunk: Waveform) -> Partial:
        """Transcribe all that was spoken so far."""
        self._audio = np.concatenate([self._audio, chunk])
        self.n_computed += len(self._audio)
        words = self._transcriber([self._audio])[0].split()
        self._final += words[len(self._final) : n_common(self._words, words)]
        self._words = words
        return Partial(self._text(), len(self._final))

    def finish(self) -> str:
        """Return what the last chunk, after which all was transcribed, has shown."""
        return self._text()

    def _text(self) -> str:
        return " ".join([*self._final, *self._words[len(self._final) :]])


def n_common(a: Sequence[str], b: Sequence[str]) -> int:
    """Return how many of their first words two texts have in common."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
