"""Fewer frames inside an encoder: a layer takes them together, and the encoder's output has them all again.

The modules and hooks use nothing but the module that they are given, so that copies are independent, a trace has them,
and shapes alone can be counted. Frames that stand for padding are left out of every mean.
"""

from itertools import accumulate
from operator import mul
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import avg_pool1d, max_pool1d, pad

from greenbench.models import shared

if TYPE_CHECKING:
    from torch import Tensor


class Reducer(nn.Module):
    """Makes one frame of several, and of each such frame several again.

    RedApt (arXiv 2210.08475, 2022) shortens sequences inside of an encoder so; what its blocks do inside was not
    published in detail, so that this block is a reconstruction: it begins as the mean of frames and their repetition,
    and what training adds to that begins at zero.

    Attributes:
        factor: frames that become one; the last of an utterance may be made of fewer.
        kept: the frames before, from ``reduce`` to ``expand``.
    """

    def __init__(self, width: int, factor: int, how: str, up: str, skip: bool) -> None:
        """Take the width of frames, and what ``edits.reduce.Reduction`` says."""
        super().__init__()
        self.factor, self.how, self.up_by = factor, how, up
        self.down = nn.Conv1d(width, width, factor, stride=factor) if how == "conv" else None
        self.up = spread(width, factor) if up == "linear" else None
        self.gate = nn.Parameter(torch.zeros(width)) if skip else None
        self.kept: Tensor | None = None
        with torch.no_grad():
            for parameter in self.down.parameters() if self.down is not None else ():
                parameter.zero_()

    def reduce(self, frames: "Tensor", valid: "Tensor") -> "Tensor":
        """Return ``(n, ceil(n_frames / factor), width)`` of ``(n, n_frames, width)``.

        Args:
            frames: of each utterance.
            valid: ``(n or 1, 1, n_frames)``, 1 where a frame is none of padding, else 0.
        """
        self.kept = frames
        whole = pad(frames.transpose(1, 2) * valid, (0, self.factor - 1))
        sums = avg_pool1d(whole, self.factor)
        counts = avg_pool1d(pad(valid, (0, self.factor - 1)), self.factor).clamp_min(0.5 / self.factor)
        reduced = sums / counts
        if self.down is not None:
            reduced = reduced + self.down(whole)
        return reduced.transpose(1, 2)

    def expand(self, frames: "Tensor") -> "Tensor":
        """Return ``(n, n_frames, width)``, as many frames as ``reduce`` was given."""
        before, self.kept = self.kept, None
        assert before is not None, "a reduction comes before its expansion"
        longer = expanded(frames, self.factor, self.up, before.shape[1])
        return longer if self.gate is None else longer + self.gate * before


def spread(width: int, factor: int) -> nn.Linear:
    """Return the map of one frame to several, which begins as the identity for each of them."""
    up = nn.Linear(width, factor * width)
    with torch.no_grad():
        up.weight.copy_(torch.eye(width).repeat(factor, 1))
        up.bias.zero_()
    return up


def expanded(frames: "Tensor", factor: int, up: nn.Linear | None, n_frames: int) -> "Tensor":
    """Return ``(n, n_frames, width)`` of ``(n, ceil(n_frames / factor), width)``.

    Args:
        frames: of which each becomes ``factor``.
        factor: how many.
        up: the map by which it does; None for copies.
        n_frames: to be returned; the last of what one becomes are left out.
    """
    if up is None:
        longer = frames.repeat_interleave(factor, dim=1)
    else:
        longer = up(frames).reshape(frames.shape[0], -1, frames.shape[2])
    return longer[:, :n_frames]


def attach(encoder: Any, at: int, reducer: Reducer) -> None:
    """Let an encoder take frames together before one of its layers, counted from 0, and give them all again."""
    if not _reducers(encoder):
        encoder.register_forward_pre_hook(_begin)
        encoder.register_forward_hook(_end)
        for layer in encoder.layers:
            layer.register_forward_pre_hook(_shorten, with_kwargs=True)
    encoder.layers[at].reducer = reducer


def factors(model: Any) -> list[int]:
    """Return by how much each part of a model's encoder has fewer frames than its output: 2, then 4 where halved twice.

    They are those behind a front end that hears a lower sampling rate, and after each reducer, in order; [] for a model
    without.
    """
    inside = _reducers(getattr(getattr(model, "base_model", None), "encoder", None))
    of_signal = [factor] if (factor := _of_signal(model)) > 1 else []
    return [*accumulate([*of_signal, *(reducer.factor for reducer in inside)], mul)]


def fewer_after(model: Any) -> dict[int, int]:
    """Return the layers, counted from 1, whose hidden states have fewer frames, with by how much; {} for none."""
    found, factor = {}, _of_signal(model)
    for number, layer in enumerate(shared.layers(model), 1):
        factor *= layer.reducer.factor if hasattr(layer, "reducer") else 1
        if factor > 1:
            found[number] = factor
    return found


def _of_signal(model: Any) -> int:
    """Return by how much a model's front end hears a lower sampling rate; 1 where it hears the signal as it is."""
    front_end = getattr(getattr(model, "base_model", None), "feature_extractor", None)
    return int(getattr(getattr(front_end, "resampler", None), "factor", 1))


def _reducers(encoder: Any) -> list[Reducer]:
    return [layer.reducer for layer in getattr(encoder, "layers", ()) if hasattr(layer, "reducer")]


def _begin(encoder: Any, _given: Any) -> None:
    """Tell each layer by how much its frames are fewer than those of the mask, which is the same for all."""
    factor = 1
    for layer in encoder.layers:
        layer.before = factor
        factor *= layer.reducer.factor if hasattr(layer, "reducer") else 1


def _shorten(layer: Any, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Give a layer its frames and mask, both shortened."""
    reducer, mask = getattr(layer, "reducer", None), named.get("attention_mask")
    if reducer is not None:
        frames = given[0]
        valid = frames.new_ones(1, 1, frames.shape[1]) if mask is None else _valid(mask, layer.before).to(frames)
        given = (reducer.reduce(frames, valid), *given[1:])
    factor = layer.before * (1 if reducer is None else reducer.factor)
    if mask is not None and factor > 1:
        named = named | {"attention_mask": _short(mask, factor)}
    return given, named


def _end(encoder: Any, _given: Any, output: Any) -> Any:
    for reducer in reversed(_reducers(encoder)):
        output.last_hidden_state = reducer.expand(output.last_hidden_state)
    return output


def _valid(mask: "Tensor", factor: int) -> "Tensor":
    """Return 1 for each frame after a reduction that has one of an utterance's frames, ``(n, 1, n_frames)``.

    Args:
        mask: of attention, ``(n, 1, n_queries, n_frames)``: True, or 0 in floats, where a frame is one.
        factor: of the reduction.
    """
    keys = mask[:, 0, :1]
    frames = (keys if keys.dtype is torch.bool else keys == 0).float()
    return max_pool1d(pad(frames, (0, factor - 1)), factor) if factor > 1 else frames


def _short(mask: "Tensor", factor: int) -> "Tensor":
    """Return the mask of attention after a reduction, ``(n, 1, 1, n_frames)``, of the type of another."""
    valid = _valid(mask, factor)[:, None] > 0
    if mask.dtype is torch.bool:
        return valid
    return torch.zeros_like(valid, dtype=mask.dtype).masked_fill(~valid, torch.finfo(mask.dtype).min)
