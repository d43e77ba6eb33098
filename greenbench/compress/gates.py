"""Hard-concrete gates on the heads of attention and the neurons of feed-forward layers: numbers from 0 to 1 that train.

Louizos, Welling and Kingma, "Learning Sparse Neural Networks through L0 Regularization" (ICLR 2018). Gates are child
modules of the layers that read what they multiply, and hooks use nothing but the module that they are given.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from greenbench.compress.heads import keep
from greenbench.models import shared
from greenbench.models.attention import attentions, n_heads
from greenbench.models.feed_forward import feed_forwards, resize

if TYPE_CHECKING:
    from torch import Tensor

BETA, LOW, HIGH = 2 / 3, -0.1, 1.1
"""Temperature, and the ends of the interval that is cut to 0..1 (the paper's section 4.1)."""

SHARPER = 0.8
"""Of a gate in use: its value is sigmoid(0.8 log alpha / beta), as in DPHuBERT's code (Peng et al., 2023)."""

_CHILD = "gate"


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


def add(model: Any, units: Sequence[str], closed: float, seed: int) -> None:
    """Put gates in front of the output matrices of attention and feed-forward layers that have none.

    Args:
        model: a transformers CTC model.
        units: ``head``, ``neuron`` or both.
        closed: log alpha begins at log((1 - closed) / closed), with noise of 0.01 to tell units apart.
        seed: of that noise.
    """
    draw = torch.Generator().manual_seed(seed)
    for reader, n, size in _readers(model, units):
        if hasattr(reader, _CHILD):
            continue
        start = torch.tensor((1 - closed) / closed).log() + 0.01 * torch.randn(n, generator=draw)
        reader.add_module(_CHILD, HardConcrete(start.to(reader.weight), size))
        reader.register_forward_pre_hook(_gated)


def _readers(model: Any, units: Sequence[str]) -> "list[tuple[Any, int, int]]":
    """Return the layers that read units, the number of these, and their features."""
    found = [(a.out_proj, n_heads(a), int(a.head_dim)) for a in attentions(model).values() if "head" in units]
    layers = feed_forwards(model).values() if "neuron" in units else ()
    return found + [(layer.output_dense, int(layer.output_dense.in_features), 1) for layer in layers]


def gates(model: Any) -> dict[str, HardConcrete]:
    """Return the gates of a model by path, in the order of its modules."""
    return {path: module for path, module in model.named_modules() if isinstance(module, HardConcrete)}


def unit_costs(model: Any, n_frames: int | None) -> dict[str, int]:
    """Return what one unit of each gate costs, by path.

    In multiply-accumulates, with d features and n frames: a neuron 2 d n, a head of h features h (4 d n + 2 n^2), times
    the layers that share it. In parameters (``n_frames`` None): a neuron 2 d + 1, a head h (4 d + 3).
    """
    found, n_runs = {}, shared.n_runs(model)
    for path, gate in gates(model).items():
        owner = model.get_submodule(path.rpartition(f".{_CHILD}")[0])
        width, is_head = owner.out_features, path.endswith(f"out_proj.{_CHILD}")
        if n_frames is None:
            found[path] = gate.size * (4 * width + 3) if is_head else 2 * width + 1
        else:
            once = gate.size * (4 * width * n_frames + 2 * n_frames**2) if is_head else 2 * width * n_frames
            found[path] = once * n_runs[id(owner)]
    return found


def fold(model: Any, values: "Mapping[str, Tensor]") -> None:
    """Multiply gates into the matrices behind them, and take out the units whose gate is 0.

    A layer whose gates are all 0 keeps one unit, which adds nothing.

    Args:
        model: with gates, which are gone afterwards.
        values: of each gate, by path, ``(n_units,)``.
    """
    sizes = {path: gate.size for path, gate in gates(model).items()}
    for path, of_gate in values.items():
        reader = model.get_submodule(path.rpartition(f".{_CHILD}")[0])
        delattr(reader, _CHILD)
        _unhook(reader)
        reader.weight.data.mul_(of_gate.detach().repeat_interleave(sizes[path]).to(reader.weight))
    kept = {path.rpartition(".")[0].rpartition(".")[0]: _open(of_gate) for path, of_gate in values.items()}
    for path, attention in attentions(model).items():
        if path in kept:
            keep(attention, kept[path])
    layers = feed_forwards(model)
    for path, layer in layers.items():
        if path in kept:
            first, second, rows = layer.intermediate_dense, layer.output_dense, kept[path]
            resize(layer, first.weight[rows], first.bias[rows], second.weight[:, rows])
    widths = {int(layer.output_dense.in_features) for layer in layers.values()}
    if len(widths) == 1:
        model.config.intermediate_size = widths.pop()


def _open(values: "Tensor") -> list[int]:
    return values.nonzero().flatten().tolist() or [0]


def _unhook(reader: Any) -> None:
    hooks = reader._forward_pre_hooks
    for number in [number for number, hook in hooks.items() if hook is _gated]:
        del hooks[number]
