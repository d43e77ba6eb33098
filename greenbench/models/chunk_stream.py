"""A model with chunks is streamed with caches: each sample, frame, key and value is computed once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface

from greenbench.errors import NotFiniteError
from greenbench.models import chunks
from greenbench.models.chunks import RunningGroupNorm
from greenbench.models.ctc import CtcTranscriber
from greenbench.models.frames import front_end
from greenbench.plugins import Partial, Waveform

if TYPE_CHECKING:
    from torch import Tensor

CACHED = "greenbench-cached"
"""The name of attention with a cache, for transformers."""


class ChunkTranscriber(CtcTranscriber):
    """A CTC model with chunks, which streams by itself: what it says is what it says of whole utterances."""

    def open(self) -> "ChunkSession":
        """Return a session for the next utterance."""
        return ChunkSession(self)


class ChunkSession:
    """One utterance: a chunk is computed when all audio is there that it sees.

    The feature extractor is passed by: how loud the audio is does not matter to models whose front end has group norm,
    and the others normalise it themselves (``edits.chunks.Chunks.level``).
    """

    def __init__(self, transcriber: ChunkTranscriber) -> None:
        """Begin without audio."""
        self.n_computed = 0
        self._transcriber = transcriber
        self._stream = ChunkStream(transcriber.model)
        self._audio: Waveform = np.zeros(0, np.float32)
        self._tokens: list[int] = []

    def feed(self, chunk: Waveform) -> Partial | None:
        """Compute the chunks that can be computed now; None where there are none.

        Raises:
            NotFiniteError: a logit is NaN or infinite.
        """
        self._audio, n_before = np.concatenate([self._audio, chunk]), len(self._tokens)
        while len(self._audio) >= self._stream.n_needed:
            n = self._stream.n_needed
            self._compute(self._audio[:n])
            self._audio = self._audio[n:]
        if len(self._tokens) == n_before:
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
        self._tokens += best.indices.tolist()

    def _text(self) -> str:
        return self._transcriber.decode([self._tokens])[0]


class Totals:
    """Count, sums and sums of squares of all frames so far, by which frames are normalised (``chunks.running``)."""

    def __init__(self) -> None:
        """Begin with no frames."""
        self._n, self._sums, self._squares = (torch.zeros(1, dtype=torch.float64) for _ in range(3))

    def __call__(self, frames: "Tensor") -> "Tensor":
        """Add frames ``(1, n_channels, n_frames)``, and return them normalised."""
        values = frames.float()
        self._n = self._n + frames.shape[-1]
        self._sums = values.sum(-1, keepdim=True).double() + self._sums.to(frames.device)
        self._squares = values.square().sum(-1, keepdim=True).double() + self._squares.to(frames.device)
        mean, scale = chunks.statistics(self._n.to(frames.device), self._sums, self._squares)
        return (frames - mean.to(frames)) * scale.to(frames)


class Cache:
    """Keys and values of a layer's last frames, each ``(1, n_heads, n_frames, size)``."""

    def __init__(self, n_frames: int) -> None:
        """Keep so many frames."""
        self._n_frames = n_frames
        self._kept: tuple[Tensor, Tensor] | None = None

    def extended(self, key: "Tensor", value: "Tensor") -> "tuple[Tensor, Tensor]":
        """Return the kept ones with those of a chunk behind, of which the last ones are kept."""
        if self._kept is not None:
            key, value = (torch.cat(pair, dim=2) for pair in zip(self._kept, (key, value), strict=True))
        begin = max(0, key.shape[2] - self._n_frames)
        self._kept = key[:, :, begin:], value[:, :, begin:]
        return key, value


class ChunkStream:
    """The states of one utterance of a model with chunks.

    Attributes:
        n_needed: samples until the next chunk can be computed.
    """

    def __init__(self, model: Any) -> None:
        """Begin; the model, in ``eval``, is left as it is."""
        self._model, self._base, self._chunks = model, model.base_model, chunks.of(model)
        self._positions = self._base.encoder.pos_conv_embed
        self._weight = self._positions.conv.weight.detach()
        self.n_needed, self._step = chunks.blocks(front_end(model.config), self._chunks.sizes[0], self._chunks.ahead)
        self._level, self._norm = Totals(), Totals()
        self._tails: list[Tensor | None] = [None] * len(self._base.feature_extractor.conv_layers)
        width = model.config.hidden_size
        self._frames: Tensor = next(model.parameters()).new_zeros(1, width, self._positions.left)
        self._caches = [Cache(self._chunks.left) for _ in self._base.encoder.layers]

    @torch.inference_mode()
    def __call__(self, audio: "Tensor", last: bool = False) -> "Tensor":
        """Take the next samples, and return the logits of the chunks that see all that they may, ``(n_frames, n)``.

        Args:
            audio: ``n_needed`` samples; any number where it is the last.
            last: whether the utterance ends here.
        """
        self.n_needed = self._step
        features = self._features(audio[None, None])
        if features is not None:
            projected = self._base.feature_projection(features.transpose(1, 2))
            hidden = projected[0] if isinstance(projected, tuple) else projected
            self._frames = torch.cat([self._frames, hidden.transpose(1, 2)], dim=2)
        logits = [self._model.lm_head(self._encoded(hidden))[0] for hidden in self._ready(last)]
        return torch.cat(logits) if logits else audio.new_zeros(0, self._model.config.vocab_size)

    def _features(self, wave: "Tensor") -> "Tensor | None":
        """Return the frames of the front end that samples complete, ``(1, n_channels, n_frames)``; None without any."""
        frames = self._level(wave) if self._chunks.level else wave
        for number, layer in enumerate(self._base.feature_extractor.conv_layers):
            tail, kernel, stride = self._tails[number], layer.conv.kernel_size[0], layer.conv.stride[0]
            frames = frames if tail is None else torch.cat([tail, frames], dim=2)
            n_frames = max(0, (frames.shape[2] - kernel) // stride + 1)
            self._tails[number] = frames[..., n_frames * stride :]
            if not n_frames:
                return None
            frames = self._convolved(layer, frames)
        return frames

    def _convolved(self, layer: Any, frames: "Tensor") -> "Tensor":
        """Return what a layer of the front end makes of frames; group norm goes on from those before."""
        norm = getattr(layer, "layer_norm", None)
        if not isinstance(norm, RunningGroupNorm):
            convolved: Tensor = layer(frames)
            return convolved
        normed: Tensor = layer.activation(norm.scaled(self._norm(layer.conv(frames))))
        return normed

    def _ready(self, last: bool) -> "Iterator[Tensor]":
        """Yield each chunk that sees all that it may, with its positions, ``(1, n_frames, width)``."""
        size, ahead, left = self._chunks.sizes[0], self._chunks.ahead, self._positions.left
        while n_frames := self._frames.shape[2] - left:
            if n_frames < size + ahead and not last:
                return
            n = min(size, n_frames)
            window = self._frames[..., : left + n + ahead]
            whole = pad(window, (0, left + n + ahead - window.shape[2]))
            positions = self._positions.of_window(whole, self._weight)
            yield (window[..., left : left + n] + positions).transpose(1, 2)
            self._frames = self._frames[..., n:]

    def _encoded(self, hidden: "Tensor") -> "Tensor":
        """Return what the encoder's layers make of a chunk, ``(1, n_frames, width)`` both, in transformers' order."""
        encoder, norms_first = self._base.encoder, getattr(self._model.config, "do_stable_layer_norm", False)
        if not norms_first:
            hidden = encoder.layer_norm(hidden)
        with _cached(self._model.config):
            for layer, cache in zip(encoder.layers, self._caches, strict=True):
                hidden = layer(hidden, cache=cache)
        return encoder.layer_norm(hidden) if norms_first else hidden


@contextmanager
def _cached(config: Any) -> "Iterator[None]":
    """Let a model's attention take keys and values from caches for as long as the block runs."""
    before = config._attn_implementation
    config._attn_implementation = CACHED
    try:
        yield
    finally:
        config._attn_implementation = before


def _attend(
    _module: Any, query: "Tensor", key: "Tensor", value: "Tensor", _mask: None, cache: Cache, scaling: float, **_: Any
) -> "tuple[Tensor, None]":
    """Attend to all that is kept, and to the chunk: each of its frames sees the same, so that no mask is needed."""
    key, value = cache.extended(key, value)
    return scaled_dot_product_attention(query, key, value, scale=scaling).transpose(1, 2).contiguous(), None


AttentionInterface.register(CACHED, _attend)
