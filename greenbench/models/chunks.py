"""Chunks of frames: attention, positional convolution and normalisation that see no further than a look-ahead.

A model streams only if nothing in it waits for the end of the utterance. Frames are taken in chunks. Attention sees
the chunk and some frames before it; the positional convolution sees the chunk, what is before it and the look-ahead
behind it, and zeros in place of what is further, as at the end of an utterance; and what was normalised over the whole
utterance is normalised over all that there is when its chunk is computed. A chunk as long as the utterance is the plain
model. Hooks use nothing but the module that they are given, so that copies are independent.
"""

from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import conv1d, pad

from greenbench.models.frames import Layer, front_end

if TYPE_CHECKING:
    from torch import Tensor

EPS = 1e-12
"""Added to variances: small enough that audio of any level, normalised before or not, comes to the same."""


class ChunkPositions(nn.Module):
    """The positional convolution of an encoder, which sees zeros behind the look-ahead of each frame's chunk.

    Li et al., "Dynamic Chunk Convolution for Unified Streaming and Non-Streaming Conformer ASR" (ICASSP 2023) hide what
    is behind a chunk so, without moving the kernel, whose weights keep their meaning.

    Attributes:
        chunks: of the model, ``edits.chunks.Chunks``.
        size: frames of a chunk in this run.
    """

    def __init__(self, plain: Any, chunks: Any) -> None:
        """Take the convolution of transformers' module, whose padding is the windows' from now on, and the chunks."""
        super().__init__()
        self.conv, self.activation = plain.conv, plain.activation
        self.conv.padding = (0,)
        self.chunks, self.size = chunks, chunks.sizes[0]

    @property
    def left(self) -> int:
        """Frames before a frame that the kernel reaches."""
        return int(self.conv.kernel_size[0]) // 2

    @property
    def right(self) -> int:
        """Frames behind a frame that the kernel reaches."""
        return int(self.conv.kernel_size[0]) - 1 - self.left

    def forward(self, hidden: "Tensor") -> "Tensor":
        """Return positions ``(n, n_frames, width)`` of hidden states of this shape."""
        n, n_frames, width = hidden.shape
        size = min(self.size, n_frames)
        n_chunks = -(-n_frames // size)
        whole = pad(hidden.transpose(1, 2), (self.left, n_chunks * size - n_frames + self.right))
        windows = whole.unfold(2, self.left + size + self.right, size).transpose(1, 2).flatten(0, 1)
        positions = self.of_window(windows[..., : self.left + size + self.chunks.ahead]).transpose(1, 2)
        return positions.reshape(n, n_chunks * size, width)[:, :n_frames]

    def of_window(self, frames: "Tensor", weight: "Tensor | None" = None) -> "Tensor":
        """Return positions ``(n, width, n_frames)`` of ``(n, width, left + n_frames + ahead)``, zeros behind.

        Args:
            frames: of each window.
            weight: of the convolution, where it is at hand: weight norm computes it anew at each call.
        """
        whole = pad(frames, (0, self.right - self.chunks.ahead))
        found = self.conv(whole) if weight is None else conv1d(whole, weight, self.conv.bias, groups=self.conv.groups)
        positions: Tensor = self.activation(found)
        return positions


class RunningGroupNorm(nn.GroupNorm):
    """Group norm of one channel a group, over all frames that there are when a frame's chunk is computed.

    Attributes:
        blocks: frames of the first chunk with its look-ahead, and of each further one.
    """

    blocks: tuple[int, int] = (1, 1)

    @classmethod
    def of(cls, plain: nn.GroupNorm) -> "RunningGroupNorm":
        """Return one with the weights of a plain one."""
        norm = cls(plain.num_groups, plain.num_channels, plain.eps)
        norm.weight, norm.bias = plain.weight, plain.bias
        return norm

    def forward(self, frames: "Tensor") -> "Tensor":
        """Return ``(n, n_channels, n_frames)`` of frames of this shape."""
        return self.scaled(running(frames, self.blocks))

    def scaled(self, frames: "Tensor") -> "Tensor":
        """Return normalised frames with weight and bias applied."""
        return frames * self.weight[:, None] + self.bias[:, None]


def running(frames: "Tensor", blocks: tuple[int, int], valid: "Tensor | None" = None) -> "Tensor":
    """Return frames less their mean, over their deviation, both over all frames up to the end of their block.

    Sums of blocks are added up in float64: they are subtracted from each other.

    Args:
        frames: ``(n, n_channels, n_frames)``.
        blocks: frames of the first block, and of each further one.
        valid: ``(n, 1, n_frames)``, 1 where a frame is none of padding; None where all are.
    """
    n_frames, (first, more) = frames.shape[-1], blocks
    n_more = -(-max(0, n_frames - first) // more)
    counted = (frames if valid is None else frames * valid).float()

    def up_to_each(values: "Tensor") -> "Tensor":
        rest = pad(values[..., first:], (0, n_more * more - max(0, n_frames - first)))
        sums = [values[..., :first].sum(-1, keepdim=True), rest.reshape(*rest.shape[:2], n_more, more).sum(-1)]
        return torch.cat(sums, -1).double().cumsum(-1)

    n = up_to_each((counted.new_ones(1, 1, n_frames) if valid is None else valid).float())
    mean, scale = statistics(n, up_to_each(counted), up_to_each(counted.square()))
    block = ((torch.arange(n_frames, device=frames.device) - first) // more + 1).clamp(min=0)
    return (frames - mean.to(frames)[..., block]) * scale.to(frames)[..., block]


def statistics(n: "Tensor", sums: "Tensor", squares: "Tensor") -> "tuple[Tensor, Tensor]":
    """Return mean and inverse deviation from counts, sums and sums of squares."""
    mean = sums / n.clamp(min=1)
    return mean, ((squares / n.clamp(min=1) - mean.square()).clamp(min=0) + EPS).rsqrt()


def of(model: Any) -> Any:
    """Return the chunks of a CTC model, ``edits.chunks.Chunks``; None for one that sees whole utterances."""
    encoder = getattr(getattr(model, "base_model", None), "encoder", None)
    positions = getattr(encoder, "pos_conv_embed", None)
    return positions.chunks if isinstance(positions, ChunkPositions) else None


def reach(model: Any) -> int:
    """Return how many frames ahead a model's positional convolution sees."""
    return (int(model.config.num_conv_pos_embeddings) - 1) // 2


def blocks(layers: Sequence[Layer], size: int, ahead: int) -> tuple[int, int]:
    """Return what enters some layers of the front end until the first chunk can be computed, and for each further one.

    Args:
        layers: kernel, stride and padding of each, up to the last.
        size: frames of a chunk.
        ahead: frames behind it.
    """
    first = reduce(lambda n, layer: (n - 1) * layer[1] + layer[0], reversed(layers), size + ahead)
    return first, size * prod(stride for _, stride, _ in layers)


def attach(model: Any, chunks: Any) -> None:
    """Let the frames of a model of one of ``edits.chunks.TYPES`` see no more than ``edits.chunks.Chunks`` say."""
    base = model.base_model
    if of(model) is None:
        _prepare(base, chunks)
    base.encoder.pos_conv_embed.chunks = chunks
    _tell(base, chunks.sizes[0])


def _prepare(base: Any, chunks: Any) -> None:
    """Replace the modules that see the whole utterance, and tell layers what they see at each call."""
    base.encoder.pos_conv_embed = ChunkPositions(base.encoder.pos_conv_embed, chunks)
    first = base.feature_extractor.conv_layers[0]
    if isinstance(getattr(first, "layer_norm", None), nn.GroupNorm):
        first.layer_norm = RunningGroupNorm.of(first.layer_norm)
    base.register_forward_pre_hook(_begin, with_kwargs=True)
    for layer in base.encoder.layers:
        layer.register_forward_pre_hook(_see, with_kwargs=True)


def _tell(base: Any, size: int) -> None:
    """Tell each part how many frames a chunk of this run has."""
    positions, norm = base.encoder.pos_conv_embed, getattr(base.feature_extractor.conv_layers[0], "layer_norm", None)
    positions.size = size
    if isinstance(norm, RunningGroupNorm):
        norm.blocks = blocks(front_end(base.config)[1:], size, positions.chunks.ahead)
    for layer in base.encoder.layers:
        layer.chunk = size, positions.chunks.left


def _begin(base: Any, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Draw the size of chunks where the model trains, and normalise the waveform."""
    chunks = base.encoder.pos_conv_embed.chunks
    drawn = int(torch.randint(len(chunks.sizes), ())) if base.training and len(chunks.sizes) > 1 else 0
    _tell(base, chunks.sizes[drawn])
    if not chunks.level:
        return None
    mask, wave = named.get("attention_mask"), given[0][:, None]
    valid = None if mask is None else mask[:, None].to(wave)
    level = running(wave, blocks(front_end(base.config), chunks.sizes[drawn], chunks.ahead), valid)
    return ((level if valid is None else level * valid)[:, 0], *given[1:]), named


def _see(layer: Any, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Hide from attention what is out of sight of each frame; a streamed layer has in its cache what it may see."""
    if "cache" in named:
        return None
    frames, mask, (size, left) = given[0], named.get("attention_mask"), layer.chunk
    sees = visible(frames.shape[1], size, left, frames.device)
    if mask is None and layer.attention.config._attn_implementation == "eager":
        mask = frames.new_zeros(1, 1, 1, 1)
    if mask is None:
        mask = sees
    elif mask.dtype is torch.bool:  # a frame of padding sees itself: without any, its values would not be numbers
        mask = mask & sees | torch.eye(frames.shape[1], dtype=torch.bool, device=frames.device)
    else:
        mask = mask.masked_fill(~sees, torch.finfo(mask.dtype).min)
    return given, named | {"attention_mask": mask}


def visible(n_frames: int, size: int, left: int, device: "torch.device | None" = None) -> "Tensor":
    """Return ``(1, 1, n_frames, n_frames)``: whether a frame (row) attends to another (column).

    Frame i sees frame j where s - left <= j < s + size, with s = size * floor(i / size), the begin of its chunk.
    """
    frames = torch.arange(n_frames, device=device)
    begin = (frames // size * size)[:, None]
    return ((frames >= begin - left) & (frames < begin + size))[None, None]
