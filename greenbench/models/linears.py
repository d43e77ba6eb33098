"""Layers that get other weights, of another shape too, in the precision and on the device that they have."""

from collections.abc import Iterable, Iterator
from typing import Any


def replace(linear: Any, weight: Any, bias: Any = None) -> None:
    """Give a Linear layer another weight, and with it another shape.

    Args:
        linear: a ``torch.nn.Linear``.
        weight: ``(out_features, in_features)``.
        bias: ``(out_features,)``; None keeps the layer's own.
    """
    put(linear, "weight", weight)
    if bias is not None:
        put(linear, "bias", bias)
    linear.out_features, linear.in_features = weight.shape


def put(module: Any, name: str, tensor: Any) -> None:
    """Give a module another parameter, in the precision and on the device of the one that it has."""
    from torch.nn import Parameter

    old = getattr(module, name)
    setattr(module, name, Parameter(tensor.detach().to(old).contiguous(), requires_grad=old.requires_grad))


def in_floats(layers: Iterable[Any]) -> bool:
    """Say whether all of these are plain Linear layers or convolutions in floats, which alone can be reshaped."""
    import torch

    plain = torch.nn.Linear | torch.nn.Conv1d
    return all(isinstance(layer, plain) and type(layer.weight.data) is torch.Tensor for layer in layers)


def needs_floats(method: str, whole: bool = True) -> str:
    """Return why a method refuses layers that are not ``in_floats``, and what to do.

    Args:
        method: its name.
        whole: whether it refuses factors as well, and not integers alone.
    """
    if whole:
        return f"{method} needs whole weights in floats: put it before what makes integers or factors of them"
    return f"{method} needs weights in floats: put it before what makes them integers"


def of(weight: Any, bias: Any) -> Any:
    """Return a ``torch.nn.Linear`` with these weights.

    Args:
        weight: ``(out_features, in_features)``.
        bias: ``(out_features,)``, or None.
    """
    from torch.nn import Linear, Parameter

    n_out, n_in = weight.shape
    linear = Linear(n_in, n_out, bias=bias is not None, device="meta")
    linear.weight = Parameter(weight.detach().contiguous())
    if bias is not None:
        linear.bias = Parameter(bias.detach())
    return linear


def named(model: Any, paths: Iterable[str], edit: str) -> Iterator[tuple[str, Any]]:
    """Yield the Linear layers of a model at some paths, with these; they may be replaced meanwhile.

    Raises:
        ValueError: there is none at a path; the message begins with the edit that names it.
    """
    from torch.nn import Linear

    layers = dict(model.named_modules())
    for path in paths:
        if not isinstance(layer := layers.get(path), Linear):
            raise ValueError(f"{edit}: there is no Linear layer {path}")  # noqa: TRY004 (of the file's value)
        yield path, layer


def drawn(like: Any, *shape: int) -> Any:
    """Return random weights of a shape, as transformers begins with, in the precision and on the device of others."""
    return like.detach().new_empty(shape).normal_(std=0.02)
