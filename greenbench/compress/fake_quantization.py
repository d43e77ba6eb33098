"""Linear layers that compute with weights and inputs of few bits while floats train."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import linear

from greenbench.models import linears
from greenbench.models.packed import of_linear, rounded, row_scales

if TYPE_CHECKING:
    from torch import Tensor


class FakeQuantized(nn.Linear):
    """A Linear layer whose weight is rounded to few bits at each call, and its inputs where that is asked for.

    Attributes:
        scales: of the rows of the weight, ``(out_features,)``: those of the weight that it began with.
        bits: of a weight.
        of_inputs: bits of an input; None to leave them.
    """

    scales: "Tensor"

    def __init__(self, layer: nn.Linear, bits: int, of_inputs: int | None) -> None:
        """Take a layer, whose parameters this one shares."""
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.register_buffer("scales", row_scales(layer.weight, bits))
        self.bits, self.of_inputs = bits, of_inputs

    def forward(self, inputs: "Tensor") -> "Tensor":
        """Return ``(..., out_features)`` of ``(..., in_features)``."""
        if self.of_inputs is not None:
            inputs = rounded_in_range(inputs, self.of_inputs)
        return linear(inputs, rounded(self.weight, self.scales, self.bits).to(inputs.dtype), self.bias)

    def folded(self, pack: bool) -> Any:
        """Return what computes with the same weight: a packed layer, or a plain one in floats."""
        if pack:
            return of_linear(self, self.bits, self.scales)
        return linears.of(rounded(self.weight.detach(), self.scales, self.bits), self.bias)


def rounded_in_range(values: "Tensor", bits: int) -> "Tensor":
    """Return values in 2^bits equal steps from the least of them, or 0, to the greatest, or 0; one range for a tensor.

    So does torch's dynamic quantisation (``int8-dynamic``) with 8 bits. The gradient is 1, but 0 where
    rounding leaves the range at one of its ends.

    Args:
        values: of any shape.
        bits: of each.
    """
    found = values.detach().float()
    low, high = found.amin().clamp_max(0), found.amax().clamp_min(0)
    n_steps = 2**bits - 1
    scale = ((high - low) / n_steps).clamp_min(torch.finfo(torch.float32).eps)
    zero = (-low / scale).round().clamp(0, n_steps).to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(values.float(), scale, zero, 0, n_steps).to(values.dtype)


def add(model: Any, bits: Mapping[str, int], of_inputs: int | None) -> None:
    """Let Linear layers compute with few bits, but those that do so already.

    Args:
        model: a torch module.
        bits: of a weight, by path of a layer.
        of_inputs: bits of an input; None to leave them.
    """
    for path, n in bits.items():
        layer = model.get_submodule(path)
        if not isinstance(layer, FakeQuantized):
            model.set_submodule(path, FakeQuantized(layer, n, of_inputs))


def fold(model: Any, pack: bool) -> None:
    """Put what computes with the same weights in the place of all these layers."""
    for path, layer in [*model.named_modules()]:
        if isinstance(layer, FakeQuantized):
            model.set_submodule(path, layer.folded(pack))
