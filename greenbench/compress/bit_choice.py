"""Linear layers whose weight is a mixture of itself in several numbers of bits, of which they learn to choose one.

The Gumbel-softmax is that of Jang, Gu and Poole (arXiv 1611.01144, 2017) and Maddison, Mnih and Teh (arXiv 1611.00712).
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import gumbel_softmax, linear

from greenbench.models.packed import PackedLinear, of_linear, rounded, row_scales

if TYPE_CHECKING:
    from torch import Tensor


class BitChoice(nn.Linear):
    """A Linear layer whose weight is, in training, the sum of its roundings to several numbers of bits, by gates.

    The gates are a Gumbel-softmax of the choice, drawn anew at each call; otherwise the number of bits of the greatest
    choice counts alone, and once one is settled, that one.

    Attributes:
        choice: lambda of each number of bits, ``(n_choices,)``, which trains; all begin at zero.
        scales: of the rows in each number of bits, ``(n_choices, out_features)``: those of the weight at first.
        settled: the number of bits that is settled; 0 before.
        bits: numbers of bits to choose from.
        tau: temperature of the gates: high, they mix; low, they choose.
    """

    scales: "Tensor"
    settled: "Tensor"

    def __init__(self, layer: nn.Linear, bits: Sequence[int]) -> None:
        """Take a layer, whose parameters this one shares, and what it may choose."""
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.choice = nn.Parameter(layer.weight.new_zeros(len(bits)))
        self.register_buffer("scales", torch.stack([row_scales(layer.weight, n) for n in bits]))
        self.register_buffer("settled", torch.zeros((), dtype=torch.long, device=layer.weight.device))
        self.bits, self.tau = tuple(bits), 1.0

    def forward(self, inputs: "Tensor") -> "Tensor":
        """Return ``(..., out_features)`` of ``(..., in_features)``."""
        weight = self.mixture() if self.training and not self.settled else self.rounded_to(self.n_bits())
        return linear(inputs, weight.to(inputs.dtype), self.bias)

    def mixture(self) -> "Tensor":
        """Return the weighted sum of all roundings, ``(out_features, in_features)``."""
        gates = gumbel_softmax(self.choice, self.tau)
        found: Tensor = sum(gate * self.rounded_to(n) for gate, n in zip(gates, self.bits, strict=True))
        return found

    def rounded_to(self, bits: int) -> "Tensor":
        """Return the weight in one of the numbers of bits, of the same shape."""
        return rounded(self.weight, self._scales_of(bits), bits)

    def n_bits(self) -> int:
        """Return the number of bits that counts: what is settled, else the most probable."""
        return int(self.settled) or self.bits[int(self.choice.argmax())]

    def expected_bits(self) -> "Tensor":
        """Return the mean number of bits by the softmax of the choice, a number with gradients."""
        return self.choice.softmax(0) @ self.choice.new_tensor(self.bits)

    def surprise(self) -> dict[int, float]:
        """Return minus the log-probability of each number of bits, in nats."""
        return dict(zip(self.bits, (-self.choice.detach().log_softmax(0)).tolist(), strict=True))

    def packed(self) -> PackedLinear:
        """Return the layer that stores the weight in the number of bits that counts."""
        return of_linear(self, self.n_bits(), self._scales_of(self.n_bits()))

    def _scales_of(self, bits: int) -> "Tensor":
        return self.scales[self.bits.index(bits)]


def add(model: Any, paths: Iterable[str], bits: Sequence[int]) -> None:
    """Let Linear layers choose their bits, but those that do so already.

    Args:
        model: a torch module.
        paths: of the layers.
        bits: numbers of bits to choose from.
    """
    for path in paths:
        layer = model.get_submodule(path)
        if not isinstance(layer, BitChoice):
            model.set_submodule(path, BitChoice(layer, bits))


def choices(model: Any) -> dict[str, BitChoice]:
    """Return these layers of a model by path."""
    return {path: module for path, module in model.named_modules() if isinstance(module, BitChoice)}


def expected_bits(layers: "Sequence[BitChoice]") -> "Tensor":
    """Return the mean bits of a weight over layers, sum of n_l E_l over sum of n_l, a number with gradients."""
    n_weights = [layer.weight.numel() for layer in layers]
    total: Any = sum(n * layer.expected_bits() for n, layer in zip(n_weights, layers, strict=True))
    mean: Tensor = total / sum(n_weights)
    return mean


def pack(model: Any) -> None:
    """Put what stores the bits that count in the place of all these layers."""
    for path, layer in choices(model).items():
        model.set_submodule(path, layer.packed())
