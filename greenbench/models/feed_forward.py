"""How wide feed-forward layers are: as wide as their weights, since a transformers configuration has one width for all.

A checkpoint's own shapes decide, so that nothing else can contradict them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from greenbench.errors import InputError
from greenbench.models import linears

OTHERS = ("sew-d", "parakeet_ctc")
"""Model types with other feed-forward layers."""


def check_type(method: str, model_type: str | None) -> None:
    """Refuse models whose feed-forward layers are others.

    Raises:
        InputError: naming the method and the type.
    """
    if model_type in OTHERS:
        raise InputError(f"{method}: models of the type {model_type} have no feed-forward layers like wav2vec 2.0's")


def feed_forwards(model: Any) -> dict[str, Any]:
    """Return the feed-forward layers of a wav2vec 2.0 model or one of its relatives, by path."""
    parts = ("intermediate_dense", "output_dense")
    return {path: module for path, module in model.named_modules() if all(hasattr(module, part) for part in parts)}


def widths(model: Any) -> list[int]:
    """Return the neurons of the feed-forward layers in the order of the model, those that layers share for each."""
    every = model.named_modules(remove_duplicate=False)
    return [int(module.out_features) for path, module in every if path.endswith(".intermediate_dense")]


def resize(layer: Any, weight: Any, bias: Any, back: Any) -> None:
    """Give a feed-forward layer other neurons, in the precision and on the device of those that it has.

    Args:
        layer: one of ``feed_forwards``.
        weight: what leads into them, ``(width, hidden_size)``.
        bias: theirs, ``(width,)``.
        back: what leads out of them, ``(hidden_size, width)``.
    """
    linears.replace(layer.intermediate_dense, weight, bias)
    linears.replace(layer.output_dense, back)


def keep(layer: Any, neurons: Sequence[int]) -> None:
    """Leave some neurons in a feed-forward layer, in the order given; its others then add nothing.

    Args:
        layer: one of ``feed_forwards``.
        neurons: numbers of those that stay.
    """
    first, second = layer.intermediate_dense, layer.output_dense
    resize(layer, first.weight[neurons], first.bias[neurons], second.weight[:, neurons])


def fit(model: Any, stored: Mapping[str, Sequence[int]]) -> None:
    """Make feed-forward layers as wide as their stored weights, with random ones.

    Args:
        model: as built from its configuration, which has one width for all.
        stored: name of a parameter -> its shape.
    """
    for path, layer in feed_forwards(model).items():
        first, second = layer.intermediate_dense, layer.output_dense
        biases = (f"{path}.intermediate_dense.{part}" for part in ("bias", "up.bias"))  # the second of a low rank
        width = next((stored[name][0] for name in biases if name in stored), first.out_features)
        if width != first.out_features:
            weight = linears.drawn(first.weight, width, first.in_features)
            resize(layer, weight, first.bias.new_zeros(width), linears.drawn(second.weight, second.out_features, width))
