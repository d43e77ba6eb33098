"""The convolutional front end as wav2vec 2.0 has it: which layers these are, and how they get fewer channels.

A transformers configuration has the channels of each layer (``conv_dim``), so that a folder says all of it.
"""

from collections.abc import Sequence
from typing import Any

from greenbench.errors import InputError
from greenbench.models import linears
from greenbench.models.frames import SPECTRA

OTHERS = {
    **dict.fromkeys(SPECTRA, "read spectra, without a convolutional front end for samples"),
    **dict.fromkeys(("sew", "sew-d"), "have a projection of features or none by the width of their last convolution"),
}
"""Model types with another front end, and how it differs."""


def check_type(method: str, model_type: str | None) -> None:
    """Refuse models whose front end is another one.

    Raises:
        InputError: naming the method, the type and what differs.
    """
    if model_type in OTHERS:
        raise InputError(f"{method}: models of the type {model_type} {OTHERS[model_type]}, so their channels must stay")


def convolutions(model: Any) -> list[Any]:
    """Return the layers of a model's front end in order, each with a ``conv``; [] for one with another front end."""
    base = getattr(model, "base_model", None)
    layers = getattr(getattr(base, "feature_extractor", None), "conv_layers", ())
    return list(layers) if hasattr(getattr(base, "feature_projection", None), "projection") else []


def consumers(model: Any) -> list[Any]:
    """Return for each layer what takes its channels in: the next ``Conv1d``, or at last the feature projection."""
    return [layer.conv for layer in convolutions(model)[1:]] + [model.base_model.feature_projection]


def keep(model: Any, number: int, channels: Sequence[int]) -> None:
    """Leave some channels in a layer of the front end, in its norm, and in what takes them in.

    Group norm has a group a channel, so that the others' values stay; layer norm, also the one of the feature
    projection, is then over those that stay.

    Args:
        model: a transformers CTC model with such a front end.
        number: of the layer, from 0.
        channels: that stay, in order.
    """
    layer, after = convolutions(model)[number], consumers(model)[number]
    _narrow(layer.conv, channels)
    _narrow(getattr(layer, "layer_norm", None), channels)
    layer.conv.out_channels = layer.out_conv_dim = len(channels)
    if hasattr(after, "projection"):
        _narrow(getattr(after, "layer_norm", None), channels)
        linears.replace(after.projection, after.projection.weight[:, channels])
    else:
        linears.put(after, "weight", after.weight[:, channels])
        after.in_channels = convolutions(model)[number + 1].in_conv_dim = len(channels)
    widths = list(model.config.conv_dim)
    widths[number] = len(channels)
    model.config.conv_dim = type(model.config.conv_dim)(widths)


def _narrow(module: Any, channels: Sequence[int]) -> None:
    """Leave some outputs of a convolution, or some channels of a norm; nothing where there is none."""
    import torch

    for name, parameter in list(module.named_parameters()) if module is not None else ():
        linears.put(module, name, parameter[channels])
    if isinstance(module, torch.nn.GroupNorm):
        module.num_groups = module.num_channels = len(channels)
    if isinstance(module, torch.nn.LayerNorm):
        module.normalized_shape = (len(channels),)


def group_normed(model: Any) -> Any | None:
    """Return the first layer of a front end where each of its channels is normalised over the utterance; else None."""
    from torch.nn import GroupNorm

    layer = _first(model)
    norm = getattr(layer, "layer_norm", None)
    return layer if type(norm) is GroupNorm and norm.num_groups == norm.num_channels else None


def is_folded(model: Any) -> bool:
    """Say whether the norm of a front end became a part of its first convolution (``fold_norm``)."""
    from torch.nn import Identity

    return isinstance(getattr(_first(model), "layer_norm", None), Identity)


def fold_norm(layer: Any, mean: Any, variance: Any) -> None:
    """Make the group norm of a layer, with fixed statistics, a part of its convolution.

    Args:
        layer: of a front end, as ``group_normed`` returns it.
        mean: of each channel, ``(n_channels,)``.
        variance: of each channel, ``(n_channels,)``.
    """
    from torch.nn import Identity, Parameter

    conv, norm = layer.conv, layer.layer_norm
    weight, scale = conv.weight.detach(), norm.weight.detach().to(mean) / (variance + norm.eps).sqrt()
    before = mean * 0 if conv.bias is None else conv.bias.detach().to(mean)
    bias = (before - mean) * scale + norm.bias.detach().to(mean)
    conv.bias = Parameter(bias.to(weight), requires_grad=conv.weight.requires_grad)
    linears.put(conv, "weight", weight.to(mean) * scale[:, None, None])
    layer.layer_norm = Identity()


def _first(model: Any) -> Any | None:
    """Return the first convolutional layer of a model's front end; None where it has none."""
    base = getattr(model, "base_model", None)
    return next(iter(getattr(getattr(base, "feature_extractor", None), "conv_layers", ())), None)
