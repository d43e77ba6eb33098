"""Scores of neurons: what each neuron of the feed-forward layers is worth, by its weights or by gradients."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from greenbench.compress.saliency import by_gates
from greenbench.errors import InputError
from greenbench.models import linears
from greenbench.models.feed_forward import feed_forwards
from greenbench.models.hooks import attached

if TYPE_CHECKING:
    from torch import Tensor

NeuronScore = Literal["l1", "gradient", "taylor"]

NEEDS_FLOATS = linears.needs_floats("prune-ffn")


def scores(model: Any, score: NeuronScore, speech: "Sequence[Mapping[str, Tensor]]") -> "list[Tensor]":
    """Return the score of each neuron of each feed-forward layer, ``(width,)`` a layer in float32.

    Args:
        model: a transformers CTC model in ``eval``.
        score: see ``PruneFfn``.
        speech: named inputs for each utterance alone; not used for ``l1``.

    Raises:
        InputError: the layers are no plain Linear layers in floats.
    """
    layers = list(feed_forwards(model).values())
    if not linears.in_floats(part for layer in layers for part in (layer.intermediate_dense, layer.output_dense)):
        raise InputError(NEEDS_FLOATS)
    if score == "l1":
        return [_l1(layer) for layer in layers]
    return by_gates(model, [layer.output_dense for layer in layers], speech, per_frame=score == "taylor")


@contextmanager
def masks(model: Any) -> "Iterator[list[Tensor]]":
    """Multiply the neurons of each feed-forward layer by a mask, ``(width,)``, of ones, which the caller may change."""
    import torch

    outputs = [layer.output_dense for layer in feed_forwards(model).values()]
    found = [torch.ones_like(output.weight[0], requires_grad=False) for output in outputs]

    def masked(mask: "Tensor", _: Any, given: "tuple[Tensor, ...]") -> "tuple[Tensor, ...]":
        return (given[0] * mask,)

    pairs = zip(outputs, found, strict=True)
    with attached(output.register_forward_pre_hook(partial(masked, mask)) for output, mask in pairs):
        yield found


def _l1(layer: Any) -> "Tensor":
    """Return the L1 norm of all weights at each neuron: into it, its bias, and out of it."""
    import torch

    first, second = layer.intermediate_dense, layer.output_dense
    with torch.no_grad():
        into = first.weight.float().abs().sum(1) + first.bias.float().abs()
        score: Tensor = into + second.weight.float().abs().sum(0)
        return score
