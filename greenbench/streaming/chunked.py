"""The chunked window: a model with a token a frame is streamed in windows of which the middle frames are kept."""

import numpy as np

from greenbench.plugins import SAMPLE_RATE_HZ, Framewise, Partial, Waveform


class ChunkedWindow:
    """A streamer of any CTC model, without training: a window is left context, what is new, and right context.

    At each chunk the model computes a window; the tokens of the frames of what is new are kept, and the context is
    thrown away. Repeated tokens are collapsed after all kept ones were put in a row, across the joins, too
    ("Making automatic speech recognition work on large files with Wav2Vec2", Hugging Face, 2022; it works for CTC
    alone). What is kept never changes, so that a text only grows. Statistics over the audio, of the feature extractor
    and of group norm, are those of the window, not of the utterance: texts differ from offline ones by that, too.
    """

    def __init__(self, model: Framewise, left_s: float, right_s: float) -> None:
        """Take a loaded model.

        Args:
            model: gives a token for each frame.
            left_s: seconds of context before what is new.
            right_s: seconds behind it, for which the text has to wait.
        """
        self._model = model
        self._left, self._right = round(left_s * SAMPLE_RATE_HZ), round(right_s * SAMPLE_RATE_HZ)

    def open(self) -> "ChunkedSession":
        """Return a session for the next utterance."""
        return ChunkedSession(self._model, self._left, self._right)


class ChunkedSession:
    """One utterance of a chunked window."""

    def __init__(self, model: Framewise, left: int, right: int) -> None:
        """Begin without audio; ``left`` and ``right`` are samples."""
        self.n_computed = 0
        self._model, self._left, self._right = model, left, right
        self._audio: Waveform = np.zeros(0, np.float32)
        self._tokens: list[int] = []

    def feed(self, chunk: Waveform) -> Partial | None:
        """Compute the frames that have their right context by now; None where there are none."""
        self._audio = np.concatenate([self._audio, chunk])
        n_before = len(self._tokens)
        self._keep(len(self._audio) - self._right)
        if len(self._tokens) == n_before:
            return None
        text = self._text()
        return Partial(text, max(0, len(text.split()) - 1))  # the last word may go on

    def finish(self) -> str:
        """Compute the frames that are left, whose right context is the end of the audio."""
        self._keep(len(self._audio))
        return self._text()

    def _keep(self, end: int) -> None:
        """Compute and keep the frames that begin before a sample and are not kept yet."""
        size = self._model.frame_samples
        new, last = len(self._tokens), end // size
        if last <= new:
            return
        first = max(0, new - self._left // size)
        window = self._audio[first * size :]
        self.n_computed += len(window)
        self._tokens += self._model.tokens([window])[0][new - first : last - first]

    def _text(self) -> str:
        return self._model.decode([self._tokens])[0]
