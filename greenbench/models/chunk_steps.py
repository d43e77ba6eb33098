"""A model with chunks as two steps whose states are tensors that are given and returned, so that graphs hold them too.

The front end makes frames of samples; the encoder makes logits of a chunk of frames. What either has to remember goes
in with its input and comes out with its output, so that nothing is computed twice, in torch and in any other engine.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from greenbench.models import chunks
from greenbench.models.chunks import RunningGroupNorm

if TYPE_CHECKING:
    from torch import Tensor

CACHED = "greenbench-cached"
"""The name of attention with a cache, for transformers."""

States = Sequence[Any]
"""What a step remembers: tensors, of torch or of the engine that runs it."""

ChunkStep = Callable[["Tensor", States], "tuple[Tensor, States]"]
"""One computation: an input and the states before it in, an output and the states after it out."""


@dataclass(frozen=True)
class Geometry:
    """What a stream has to know of a model with chunks.

    Attributes:
        size: frames of a chunk.
        ahead: frames behind it that its positions see.
        before: frames before it that they see.
        width: of a frame.
        n_tokens: of the logits.
    """

    size: int
    ahead: int
    before: int
    width: int
    n_tokens: int

    @classmethod
    def of(cls, model: Any) -> "Geometry":
        """Return that of a model."""
        seen, positions, config = chunks.of(model), model.base_model.encoder.pos_conv_embed, model.config
        return cls(seen.sizes[0], seen.ahead, positions.left, config.hidden_size, config.vocab_size)


@dataclass(frozen=True)
class ChunkSteps:
    """The two steps of a model and what they begin with.

    Attributes:
        geometry: of the model.
        front: audio ``(1, n_samples)`` in, frames ``(1, width, n_frames)`` out; at least one frame has to be complete.
        encoder: frames ``(1, width, before + n_frames + ahead)`` in, logits ``(1, n_frames, n_tokens)`` out.
        begin: the states of each of the two at the beginning of an utterance.
    """

    geometry: Geometry
    front: ChunkStep
    encoder: ChunkStep
    begin: tuple[States, States]


def of(model: Any) -> ChunkSteps:
    """Return the steps of a torch model with chunks, in ``eval``, which is left as it is."""
    front, encoder = ChunkFrontEnd(model).eval(), ChunkEncoder(model).eval()
    with torch.no_grad():
        begin = front.begin(), encoder.begin()
    return ChunkSteps(Geometry.of(model), _step(front), _step(encoder), begin)


def _step(module: nn.Module) -> ChunkStep:
    def run(given: "Tensor", states: States) -> "tuple[Tensor, States]":
        with torch.inference_mode():
            found, *after = module(given, *states)
        return found, after

    return run


class ChunkFrontEnd(nn.Module):
    """The front end: audio in, frames out. States: totals of what is normalised, and what each layer has left over."""

    def __init__(self, model: Any) -> None:
        """Take a model with chunks."""
        super().__init__()
        self.layers, self.project = model.base_model.feature_extractor.conv_layers, model.base_model.feature_projection
        self.level = bool(chunks.of(model).level)
        self.normed = isinstance(getattr(self.layers[0], "layer_norm", None), RunningGroupNorm)

    def begin(self) -> "list[Tensor]":
        """Return the states of an utterance without audio."""
        convolutions = [layer.conv for layer in self.layers]
        like = convolutions[0].weight
        widths = [1] * self.level + [convolutions[0].out_channels] * self.normed
        totals = [like.new_zeros(1, n, 1, dtype=torch.float64) for width in widths for n in (1, width, width)]
        return [*totals, *(like.new_zeros(1, conv.in_channels, 0) for conv in convolutions)]

    def forward(self, audio: "Tensor", *states: "Tensor") -> "tuple[Tensor, ...]":
        """Return the frames that samples complete, and the states after them."""
        before, totals, tails = list(states), [], []
        frames = audio[:, None]
        if self.level:
            frames, *totals = normalised(frames, *before[:3])
            del before[:3]
        of_norm = [before.pop(0) for _ in range(3)] if self.normed else []
        for layer, tail in zip(self.layers, before, strict=True):
            frames, kernel, stride = torch.cat([tail, frames], dim=2), layer.conv.kernel_size[0], layer.conv.stride[0]
            tails.append(frames[..., ((frames.shape[2] - kernel) // stride + 1) * stride :])
            if of_norm:
                frames, *of_norm = normalised(layer.conv(frames), *of_norm)
                frames, totals, of_norm = layer.activation(layer.layer_norm.scaled(frames)), [*totals, *of_norm], []
            else:
                frames = layer(frames)
        projected = self.project(frames.transpose(1, 2))
        hidden = projected[0] if isinstance(projected, tuple) else projected
        return hidden.transpose(1, 2), *totals, *tails


def normalised(frames: "Tensor", n: "Tensor", sums: "Tensor", squares: "Tensor") -> "tuple[Tensor, ...]":
    """Return frames normalised by all frames so far (``chunks.running``), and their count, sums and squares.

    Args:
        frames: ``(1, n_channels, n_frames)``.
        n: frames before them, ``(1, 1, 1)`` in float64.
        sums: of each channel, ``(1, n_channels, 1)`` in float64.
        squares: the same of the squares.
    """
    values = frames.float()
    n = n + torch.ones_like(values[:, :1]).sum(-1, keepdim=True).double()
    sums = sums + values.sum(-1, keepdim=True).double()
    squares = squares + values.square().sum(-1, keepdim=True).double()
    mean, scale = chunks.statistics(n, sums, squares)
    return (frames - mean.to(frames)) * scale.to(frames), n, sums, squares


class ChunkEncoder(nn.Module):
    """The encoder and the head: a chunk with what its positions see in, its logits out. States: keys and values."""

    def __init__(self, model: Any) -> None:
        """Take a model with chunks."""
        super().__init__()
        self.encoder, self.head, self.config = model.base_model.encoder, model.lm_head, model.config
        self.norms_first = getattr(model.config, "do_stable_layer_norm", False)
        self.seen, self.before = chunks.of(model), self.encoder.pos_conv_embed.left
        self.weight = self.encoder.pos_conv_embed.conv.weight.detach()  # weight norm computes it anew at each call

    def begin(self) -> "list[Tensor]":
        """Return the states of an utterance without frames: none of what a frame leaves."""
        width, n_seen = self.config.hidden_size, self.before + 1 + self.seen.ahead
        _, *kept = self(self.weight.new_zeros(1, width, n_seen))
        return [one[:, :, :0] for one in kept]

    def forward(self, window: "Tensor", *states: "Tensor") -> "tuple[Tensor, ...]":
        """Return the logits of a chunk, and the states after it; layers run in transformers' order."""
        positions = self.encoder.pos_conv_embed.of_window(window, self.weight)
        chunk = window[..., self.before : window.shape[2] - self.seen.ahead]
        hidden = (chunk + positions).transpose(1, 2)
        if not self.norms_first:
            hidden = self.encoder.layer_norm(hidden)
        kept: list[Tensor] = []
        with _cached(self.config):
            for number, layer in enumerate(self.encoder.layers):
                cache = Cache(self.seen.left, states[2 * number : 2 * number + 2])
                hidden = layer(hidden, cache=cache)
                kept += cache.kept
        if self.norms_first:
            hidden = self.encoder.layer_norm(hidden)
        return self.head(hidden), *kept


class Cache:
    """Keys and values of a layer's last frames, each ``(1, n_heads, n_frames, size)``."""

    def __init__(self, n_frames: int, kept: "Sequence[Tensor]" = ()) -> None:
        """Keep so many frames; take the keys and the values that are kept."""
        self.kept, self._n_frames = list(kept), n_frames

    def extended(self, key: "Tensor", value: "Tensor") -> "list[Tensor]":
        """Return the kept ones with those of a chunk behind, of which the last ones are kept."""
        both = [key, value]
        if self.kept:
            both = [torch.cat(pair, dim=2) for pair in zip(self.kept, both, strict=True)]
        self.kept = [one[:, :, -self._n_frames :] if self._n_frames else one[:, :, :0] for one in both]
        return both


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
