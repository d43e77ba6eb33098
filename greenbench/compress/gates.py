"""Hard-concrete gates on heads, on neurons of feed-forward layers and on channels: numbers from 0 to 1 that train.

Louizos, Welling and Kingma, "Learning Sparse Neural Networks through L0 Regularization" (ICLR 2018). Gates are child
modules of the layers that read what they multiply, and hooks use nothing but the module that they are given.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from greenbench.compress.heads import keep
from greenbench.models import convolutions, shared
from greenbench.models.attention import attentions, n_heads
from greenbench.models.feed_forward import feed_forwards
from greenbench.models.feed_forward import keep as keep_neurons
from greenbench.models.frames import front_end, lengths, n_frames

if TYPE_CHECKING:
    from torch import Tensor

BETA, LOW, HIGH = 2 / 3, -0.1, 1.1
"""Temperature, and the ends of the interval that is cut to 0..1 (the paper's section 4.1)."""

SHARPER = 0.8
"""Of a gate in use: its value is sigmoid(0.8 log alpha / beta), as in DPHuBERT's code (Peng et al., 2023)."""

_CHILD = "gate"

Term = tuple[int, tuple[str, ...]]
"""A part of a model's work: a factor, and the paths of the gates whose numbers of open units it is multiplied by."""


def drawn(log_alpha: "Tensor", uniform: "Tensor") -> "Tensor":
    """Return gates for draws u from 0..1: s = sigmoid((log u - log(1 - u) + log alpha) / beta), stretched and cut.

    Equations 10 and 11 of Louizos et al.; all are of one shape.
    """
    s = torch.sigmoid((uniform.log() - (-uniform).log1p() + log_alpha) / BETA)
    return (s * (HIGH - LOW) + LOW).clamp(0, 1)


def open_probability(log_alpha: "Tensor") -> "Tensor":
    """Return the probability that a gate is not 0: sigmoid(log alpha - beta log(-low / high)), equation 12."""
    return torch.sigmoid(log_alpha - BETA * torch.tensor(-LOW / HIGH).log())


def opened(log_alpha: "Tensor") -> "Tensor":
    """Return the value in use of gates that are not closed, of the same shape."""
    return torch.sigmoid(SHARPER * log_alpha / BETA)


def in_use(log_alpha: "Tensor") -> "Tensor":
    """Return gates without draws: as many as are expected to be 0 are, those of the least log alpha; ``(n,)`` both."""
    n_closed = round(len(log_alpha) - float(open_probability(log_alpha).sum()))
    closed = log_alpha.argsort(stable=True)[:n_closed]
    return opened(log_alpha).index_fill(0, closed, 0.0)


class HardConcrete(nn.Module):
    """Gates of the units of one layer, drawn anew for each batch while it trains.

    Attributes:
        log_alpha: ``(n_units,)``.
        size: features of a unit, which stand side by side.
    """

    def __init__(self, log_alpha: "Tensor", size: int) -> None:
        """Take where the gates begin, and the features of a unit."""
        super().__init__()
        self.log_alpha, self.size = nn.Parameter(log_alpha), size

    def values(self) -> "Tensor":
        """Return the gates, ``(n_units,)``."""
        if not self.training:
            return in_use(self.log_alpha)
        tiny = torch.finfo(self.log_alpha.dtype).eps
        return drawn(self.log_alpha, torch.empty_like(self.log_alpha).uniform_(tiny, 1 - tiny))

    def forward(self, features: "Tensor") -> "Tensor":
        """Return features ``(..., n_units * size)`` times their gates."""
        return features * self.values().repeat_interleave(self.size).to(features.dtype)


def _gated(module: Any, given: "tuple[Tensor, ...]") -> "tuple[Tensor, ...]":
    return (getattr(module, _CHILD)(given[0]), *given[1:])


def _gated_channels(module: Any, given: "tuple[Tensor, ...]") -> "tuple[Tensor, ...]":
    """Multiply gates into ``(n_utterances, n_channels, n_frames)``."""
    return (getattr(module, _CHILD)(given[0].transpose(1, 2)).transpose(1, 2), *given[1:])


def add(model: Any, units: Sequence[str], closed: float, seed: int) -> None:
    """Put gates in front of what reads heads, neurons or channels, where there are none.

    That is the output matrix of an attention or feed-forward layer; and of a convolution of the front end the next one,
    or at last the matrix of the feature projection, which stands behind its norm.

    Args:
        model: a transformers CTC model.
        units: ``head``, ``neuron``, ``channel``, or several of them.
        closed: log alpha begins at log((1 - closed) / closed), with noise of 0.01 to tell units apart.
        seed: of that noise.
    """
    draw = torch.Generator().manual_seed(seed)
    for reader, n, size in _readers(model, units):
        if hasattr(reader, _CHILD):
            continue
        start = torch.tensor((1 - closed) / closed).log() + 0.01 * torch.randn(n, generator=draw)
        reader.add_module(_CHILD, HardConcrete(start.to(reader.weight), size))
        reader.register_forward_pre_hook(_gated_channels if isinstance(reader, nn.Conv1d) else _gated)


def _readers(model: Any, units: Sequence[str]) -> "list[tuple[Any, int, int]]":
    """Return the layers that read units, the number of these, and their features."""
    found = [(a.out_proj, n_heads(a), int(a.head_dim)) for a in attentions(model).values() if "head" in units]
    layers = feed_forwards(model).values() if "neuron" in units else ()
    found += [(layer.output_dense, int(layer.output_dense.in_features), 1) for layer in layers]
    widths = [int(layer.conv.out_channels) for layer in convolutions.convolutions(model)] if "channel" in units else []
    return found + [(reader, n, 1) for reader, n in zip(_channel_readers(model), widths, strict=False)]


def _channel_readers(model: Any) -> list[Any]:
    """Return for each convolution of the front end what multiplies its channels by weights; [] where it has none."""
    if not convolutions.convolutions(model):
        return []
    *further, projection = convolutions.consumers(model)
    return [*further, projection.projection]


def gates(model: Any) -> dict[str, HardConcrete]:
    """Return the gates of a model by path, in the order of its modules."""
    return {path: module for path, module in model.named_modules() if isinstance(module, HardConcrete)}


def terms(model: Any, n_samples: int | None) -> list[Term]:
    """Return the work of what gates multiply, as a sum of terms.

    In multiply-accumulates, with d features and n frames: a neuron 2 d n, a head of h features h (4 d n + 2 n^2), times
    the layers that share it; a convolution of kernel k its output frames times k, for each channel in and each out; the
    feature projection d n a channel. In parameters: a neuron 2 d + 1, a head h (4 d + 3), a convolution k for each pair
    of channels, and 1 for each bias, scale or shift of one.

    Args:
        model: with gates.
        n_samples: of an utterance, for multiply-accumulates; None for parameters.
    """
    n_runs, squeeze = shared.n_runs(model), getattr(model.config, "squeeze_factor", 1)
    n = n_frames(model.config, n_samples) // squeeze if n_samples else None
    channels, found = _channel_readers(model), list[Term]()
    for path, gate in gates(model).items():
        owner = model.get_submodule(path.rpartition(f".{_CHILD}")[0])
        if any(owner is reader for reader in channels):
            continue
        width, is_head = owner.out_features, path.endswith(f"out_proj.{_CHILD}")
        if n is None:
            found.append((gate.size * (4 * width + 3) if is_head else 2 * width + 1, (path,)))
        else:
            once = gate.size * (4 * width * n + 2 * n**2) if is_head else 2 * width * n
            found.append((once * n_runs[id(owner)], (path,)))
    return found + _channel_terms(model, n_samples)


def _channel_terms(model: Any, n_samples: int | None) -> list[Term]:
    """Return the terms of the convolutions of the front end, and of the projection of its features."""
    readers = _channel_readers(model)
    paths = {id(gate): path for path, gate in gates(model).items()}
    of_gates = [paths.get(id(getattr(reader, _CHILD, None))) for reader in readers]
    if None in of_gates or not readers:
        return []
    layers, projection = convolutions.convolutions(model), readers[-1]
    outputs = lengths(n_samples, front_end(model.config))[1:] if n_samples else [1] * len(layers)
    found, before = list[Term](), tuple[str, ...]()
    for layer, n, path in zip(layers, outputs, map(str, of_gates), strict=True):
        n_in = 1 if before else int(layer.conv.in_channels)
        found.append((int(layer.conv.kernel_size[0]) * n * n_in, (*before, path)))
        before = (path,)
    found.append((int(projection.out_features) * outputs[-1], before))
    if n_samples is None:
        found += [(_n_vectors(layer), (str(path),)) for layer, path in zip(layers, of_gates, strict=True)]
        norm = getattr(model.base_model.feature_projection, "layer_norm", None)
        found.append((_n_vectors(norm) if norm is not None else 0, before))
    return found


def _n_vectors(module: nn.Module) -> int:
    """Return how many parameters of a module have a number for each channel: biases, and what norms scale and shift by.

    Gates in it have their own numbers, which go with them.
    """
    own = {id(weight) for gate in module.modules() if isinstance(gate, HardConcrete) for weight in gate.parameters()}
    return sum(weight.ndim == 1 and id(weight) not in own for weight in module.parameters())


def work(parts: Sequence[Term], n_open: Mapping[str, Any]) -> Any:
    """Return the sum of terms, with the number of open units of each gate by path: numbers, or tensors of them."""
    return sum(factor * prod(n_open[path] for path in paths) for factor, paths in parts)


def unit_work(parts: Sequence[Term], n_open: Mapping[str, int], path: str) -> int:
    """Return the work that goes with one of the open units of a gate."""
    of_gate = ((factor, paths) for factor, paths in parts if path in paths)
    return sum(factor * prod(n_open[other] for other in paths if other != path) for factor, paths in of_gate)


def fold(model: Any, values: "Mapping[str, Tensor]") -> None:
    """Multiply gates into the weights behind them, and take out the units whose gate is 0.

    A layer whose gates are all 0 keeps one unit, which adds nothing. Norms over channels are then over those that stay.

    Args:
        model: with gates, which are gone afterwards.
        values: of each gate, by path, ``(n_units,)``.
    """
    sizes = {path: gate.size for path, gate in gates(model).items()}
    kept: dict[int, list[int]] = {}
    for path, of_gate in values.items():
        reader = model.get_submodule(path.rpartition(f".{_CHILD}")[0])
        kept[id(reader)] = _open(of_gate)
        delattr(reader, _CHILD)
        _unhook(reader)
        factors = of_gate.detach().repeat_interleave(sizes[path]).to(reader.weight)
        reader.weight.data.mul_(factors.view(1, -1, *[1] * (reader.weight.ndim - 2)))
    for attention in attentions(model).values():
        if id(attention.out_proj) in kept:
            keep(attention, kept[id(attention.out_proj)])
    layers = feed_forwards(model)
    for layer in layers.values():
        if id(layer.output_dense) in kept:
            keep_neurons(layer, kept[id(layer.output_dense)])
    for number, reader in enumerate(_channel_readers(model)):
        if id(reader) in kept:
            convolutions.keep(model, number, kept[id(reader)])
    widths = {int(layer.output_dense.in_features) for layer in layers.values()}
    if len(widths) == 1:
        model.config.intermediate_size = widths.pop()


def _open(values: "Tensor") -> list[int]:
    return values.nonzero().flatten().tolist() or [0]


def _unhook(reader: Any) -> None:
    hooks = reader._forward_pre_hooks
    for number in [number for number, hook in hooks.items() if hook in (_gated, _gated_channels)]:
        del hooks[number]
