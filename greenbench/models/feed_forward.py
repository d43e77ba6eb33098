"""How wide feed-forward layers are: as wide as their weights, since a transformers configuration has one width for all.

A checkpoint's own shapes decide, so that nothing else can contradict them.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def feed_forwards(model: Any) -> dict[str, Any]:
    """Return the feed-forward layers of a wav2vec 2.0 model or one of its relatives, by path."""
    parts = ("intermediate_dense", "output_dense")
    return {path: module for path, module in model.named_modules() if all(hasattr(module, part) for part in parts)}


def resize(layer: Any, weight: Any, bias: Any, back: Any) -> None:
    """Give a feed-forward layer other neurons, in the precision and on the device of those that it has.

    Args:
        layer: one of ``feed_forwards``.
        weight: what leads into them, ``(width, hidden_size)``.
        bias: theirs, ``(width,)``.
        back: what leads out of them, ``(hidden_size, width)``.
    """
    from torch.nn import Parameter

    first, second = layer.intermediate_dense, layer.output_dense
    for linear, name, tensor in ((first, "weight", weight), (first, "bias", bias), (second, "weight", back)):
        old = getattr(linear, name)
        setattr(linear, name, Parameter(tensor.detach().to(old).contiguous(), requires_grad=old.requires_grad))
    first.out_features = second.in_features = len(bias)


def restore(model: Any, folder: Path, misfits: Iterable[str]) -> set[str]:
    """Give the feed-forward layers whose stored weights are of another width than configured that width and weights.

    Args:
        model: what ``from_pretrained(ignore_mismatched_sizes=True)`` made of the folder.
        folder: with the weights, in safetensors.
        misfits: names of the parameters that it could not take from there because of their shape.

    Returns:
        The names that no width explains: the folder does not hold one model.
    """
    left = set(misfits)
    for path, layer in feed_forwards(model).items():
        names = [
            f"{path}.{part}" for part in ("intermediate_dense.weight", "intermediate_dense.bias", "output_dense.weight")
        ]
        found = [] if left.isdisjoint(names) else _stored(folder, names)
        if len(found) == len(names) and _fit(layer, *found):
            resize(layer, *found)
            left.difference_update(names)
    return left


def _fit(layer: Any, weight: Any, bias: Any, back: Any) -> bool:
    """Whether weights are those of one layer, of whatever width, between the model's hidden states."""
    width = len(bias)
    into, out_of = (width, layer.intermediate_dense.in_features), (layer.output_dense.out_features, width)
    return (tuple(weight.shape), tuple(back.shape)) == (into, out_of)


def _stored(folder: Path, names: Sequence[str]) -> list[Any]:
    """Return those of the named tensors that a folder's safetensors hold, in order."""
    from safetensors import safe_open

    found: dict[str, Any] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            found |= {name: tensors.get_tensor(name) for name in set(names) & set(tensors.keys())}
    return [found[name] for name in names if name in found]
