"""A model with chunks is streamed with caches: each sample, frame, key and value is computed once."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import pad

from greenbench.errors import NotFiniteError
from greenbench.models import chunk_steps, chunks
from greenbench.models.chunk_steps import ChunkSteps
from greenbench.models.ctc import CtcTranscriber
from greenbench.models.frames import front_end, n_frames
from greenbench.plugins import Partial, Waveform

if TYPE_CHECKING:
    from torch import Tensor


class ChunkTranscriber(CtcTranscriber):
    """A CTC model with chunks, which streams by itself: what it says is what it says of whole utterances."""

    def __init__(self, model: Any, extractor: Any, tokenizer: Any, device: str) -> None:
        """Take a model as ``CtcTranscriber``."""
        super().__init__(model, extractor, tokenizer, device)
        self.steps = chunk_steps.of(model)

    def open(self) -> "ChunkSession":
        """Return a session for the next utterance."""
        return ChunkSession(self)


class ChunkGraphTranscriber(ChunkTranscriber):
    """The same by another engine, which has the two steps alone: whole utterances are given to it chunk by chunk."""

    batching = "sequential"

    def __init__(self, model: Any, extractor: Any, tokenizer: Any, device: str) -> None:
        """Take an exported model that has steps."""
        CtcTranscriber.__init__(self, model, extractor, tokenizer, device)
        self.steps, self.dtype = model.steps, torch.float32

    def tokens(self, batch: Sequence[Waveform]) -> list[list[int]]:
        """Return the best token of each frame, as ``CtcTranscriber``."""
        sessions, broken = [self.open() for _ in batch], []
        for position, (session, waveform) in enumerate(zip(sessions, batch, strict=True)):
            try:
                session.feed(waveform)
                session.finish()
            except NotFiniteError:
                broken.append(position)
        if broken:
            raise NotFiniteError(broken)
        return [session.tokens for session in sessions]


class ChunkSession:
    """One utterance: a chunk is computed when all audio is there that it sees.

    The feature extractor is passed by: how loud the audio is does not matter to models whose front end has group norm,
    and the others normalise it themselves (``edits.chunks.Chunks.level``).

    Attributes:
        n_computed: samples so far.
        tokens: the best one of each frame so far.
    """

    def __init__(self, transcriber: ChunkTranscriber) -> None:
        """Begin without audio."""
        self.n_computed = 0
        self.tokens: list[int] = []
        self._transcriber = transcriber
        self._stream = ChunkStream(transcriber.steps, transcriber.model.config)
        self._audio: Waveform = np.zeros(0, np.float32)

    def feed(self, chunk: Waveform) -> Partial | None:
        """Compute the chunks that can be computed now; None where there are none.

        Raises:
            NotFiniteError: a logit is NaN or infinite.
        """
        self._audio, n_before = np.concatenate([self._audio, chunk]), len(self.tokens)
        while len(self._audio) >= self._stream.n_needed:
            n = self._stream.n_needed
            self._compute(self._audio[:n])
            self._audio = self._audio[n:]
        if len(self.tokens) == n_before:
            return None
        text = self._text()
        return Partial(text, max(0, len(text.split()) - 1))  # the last word may go on

    def finish(self) -> str:
        """Compute what is left.

        Raises:
            NotFiniteError: as ``feed``.
        """
        self._compute(self._audio, last=True)
        return self._text()

    def _compute(self, audio: Waveform, last: bool = False) -> None:
        missing = self._transcriber.min_samples - self.n_computed - len(audio)
        self.n_computed += len(audio)
        samples = torch.from_numpy(np.pad(audio, (0, max(0, missing)))).to(self._transcriber.device)
        best = self._stream(samples.to(self._transcriber.dtype), last).max(dim=-1)
        if not torch.isfinite(best.values).all():
            raise NotFiniteError([0])
        self.tokens += best.indices.tolist()

    def _text(self) -> str:
        return self._transcriber.decode([self.tokens])[0]


class ChunkStream:
    """One utterance of a model with chunks.

    Attributes:
        n_needed: samples until the next chunk can be computed.
    """

    def __init__(self, steps: ChunkSteps, config: Any) -> None:
        """Begin an utterance.

        Args:
            steps: of the model.
            config: its configuration.
        """
        self._steps, self._config, geometry = steps, config, steps.geometry
        self.n_needed, self._n_step = chunks.blocks(front_end(config), geometry.size, geometry.ahead)
        self._of_front, self._of_encoder = steps.begin
        self._n_samples = 0
        self._frames = torch.zeros(1, geometry.width, geometry.before)

    def __call__(self, audio: "Tensor", last: bool = False) -> "Tensor":
        """Take the next samples, and return the logits of the chunks that see all that they may, ``(n_frames, n)``.

        Args:
            audio: ``n_needed`` samples; any number where it is the last.
            last: whether the utterance ends here.
        """
        self.n_needed, n_before, geometry = self._n_step, self._n_samples, self._steps.geometry
        self._n_samples += len(audio)
        if self._n_complete(self._n_samples) > self._n_complete(n_before):
            frames, self._of_front = self._steps.front(audio[None], self._of_front)
            self._frames = torch.cat([self._frames.to(frames), frames], dim=2)
        logits = [self._logits(window) for window in self._ready(last)]
        return torch.cat(logits) if logits else audio.new_zeros(0, geometry.n_tokens)

    def _n_complete(self, n_samples: int) -> int:
        """Return how many frames so many samples complete."""
        return max(0, n_frames(self._config, n_samples))

    def _logits(self, window: "Tensor") -> "Tensor":
        logits, self._of_encoder = self._steps.encoder(window, self._of_encoder)
        return logits[0]

    def _ready(self, last: bool) -> "Iterator[Tensor]":
        """Yield each chunk that sees all that it may, with the frames that its positions see, and zeros behind them."""
        size, ahead, before = (getattr(self._steps.geometry, name) for name in ("size", "ahead", "before"))
        while n_there := self._frames.shape[2] - before:
            if n_there < size + ahead and not last:
                return
            n = min(size, n_there)
            window = self._frames[..., : before + n + ahead]
            yield pad(window, (0, before + n + ahead - window.shape[2]))
            self._frames = self._frames[..., n:]
