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


MOVES = 0.01
"""Share of a batch's range in the moving average: torch's ``MovingAverageMinMaxObserver`` has it, too."""


class FakeQuantized(nn.Linear):
    """A Linear layer whose weight is rounded to few bits at each call, and its inputs where that is asked for.

    Attributes:
        scales: of the rows of the weight, ``(out_features,)``: those of the weight that it began with.
        bits: of a weight.
        of_inputs: bits of an input; None to leave them.
        ends: of the range of inputs, ``(2,)``: its moving average over the batches of a training, NaN before the first;
            None where each call has a range of its own.
    """

    scales: "Tensor"
    ends: "Tensor | None"

    def __init__(self, layer: nn.Linear, bits: int, of_inputs: int | None, moving: bool) -> None:
        """Take a layer, whose parameters this one shares, and whether the range of inputs is a moving average."""
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.register_buffer("scales", row_scales(layer.weight, bits))
        self.register_buffer("ends", layer.weight.new_full((2,), torch.nan, dtype=torch.float32) if moving else None)
        self.bits, self.of_inputs = bits, of_inputs

    def forward(self, inputs: "Tensor") -> "Tensor":
        """Return ``(..., out_features)`` of ``(..., in_features)``."""
        if self.of_inputs is not None:
            inputs = rounded_between(inputs, self._ends_for(inputs), self.of_inputs)
        return linear(inputs, rounded(self.weight, self.scales, self.bits).to(inputs.dtype), self.bias)

    def _ends_for(self, inputs: "Tensor") -> "Tensor":
        """Return the ends of the range that counts, after a batch of a training has moved them."""
        found = ends_of(inputs)
        if self.ends is None:
            return found
        if self.training:
            self.ends.copy_(found.where(self.ends.isnan(), self.ends.lerp(found, MOVES)))
        return found.where(self.ends.isnan(), self.ends)

    def folded(self, pack: bool) -> Any:
        """Return what computes with the same weight: a packed layer, or a plain one in floats."""
        if pack:
            return of_linear(self, self.bits, self.scales)
        return linears.of(rounded(self.weight.detach(), self.scales, self.bits), self.bias)


def ends_of(values: "Tensor") -> "Tensor":
    """Return the least of values, or 0, and the greatest, or 0, ``(2,)`` in float32.

    It is the range of torch's dynamic quantisation (``int8-dynamic``), one for a tensor.
    """
    low, high = values.detach().float().aminmax()
    return torch.stack([low.clamp_max(0), high.clamp_min(0)])


def rounded_between(values: "Tensor", ends: "Tensor", bits: int) -> "Tensor":
    """Return values in 2^bits equal steps from the least to the greatest that a range holds.

    The gradient is 1, but 0 outside of the range, and where rounding leaves it at one of its ends.

    Args:
        values: of any shape.
        ends: of the range, ``(2,)``: at most 0, and at least 0.
        bits: of each.
    """
    low, high = ends
    n_steps = 2**bits - 1
    scale = ((high - low) / n_steps).clamp_min(torch.finfo(torch.float32).eps)
    zero = (-low / scale).round().clamp(0, n_steps).to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(values.float(), scale, zero, 0, n_steps).to(values.dtype)


def add(model: Any, bits: Mapping[str, int], of_inputs: int | None, moving: bool = False) -> None:
    """Let Linear layers compute with few bits, but those that do so already.

    Args:
        model: a torch module.
        bits: of a weight, by path of a layer.
        of_inputs: bits of an input; None to leave them.
        moving: whether the range of inputs is a moving average.
    """
    for path, n in bits.items():
        layer = model.get_submodule(path)
        if not isinstance(layer, FakeQuantized):
            model.set_submodule(path, FakeQuantized(layer, n, of_inputs, moving))


def fold(model: Any, pack: bool) -> None:
    """Put what computes with the same weights in the place of all these layers."""
    for path, layer in [*model.named_modules()]:
        if isinstance(layer, FakeQuantized):
            model.set_submodule(path, layer.folded(pack))
