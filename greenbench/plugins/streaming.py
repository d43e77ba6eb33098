"""Streaming: what a model provides that recognises speech while it is spoken."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from greenbench.plugins.speech import Waveform


@dataclass(frozen=True)
class Partial:
    """What a session shows so far.

    Attributes:
        text: of all that was spoken so far, as the user sees it.
        n_final: how many of its first words (what stands between spaces) no later text will change.
    """

    text: str
    n_final: int = 0


class StreamingSession(Protocol):
    """One utterance while it is spoken."""

    @property
    def n_computed(self) -> int | None:
        """Samples that the model has computed so far, each as often as it was computed; None where unknown."""
        ...

    def feed(self, chunk: Waveform) -> Partial | None:
        """Take the next samples; return what is shown now, or None where nothing has changed.

        It returns only when the device has finished.
        """
        ...

    def finish(self) -> str:
        """Return the final text: the speech has ended with the last chunk. Called once, after all chunks."""
        ...


@runtime_checkable
class Streamer(Protocol):
    """A loaded model that streams by itself; any other ``Transcriber`` is streamed by a window of the suite's kind."""

    def open(self) -> StreamingSession:
        """Return a session for the next utterance, ready before its first sample is spoken; others may be open yet."""
        ...


@runtime_checkable
class Framewise(Protocol):
    """A transcriber whose text follows from one token a frame, such as a CTC model: it can be streamed in chunks."""

    @property
    def frame_samples(self) -> int:
        """Samples from the beginning of one frame to that of the next."""
        ...

    def tokens(self, batch: Sequence[Waveform]) -> list[list[int]]:
        """Return the best token of each frame of each waveform; return only when the device has finished."""
        ...

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Return the text of each row of tokens; more tokens behind them make no other text of those before."""
        ...
