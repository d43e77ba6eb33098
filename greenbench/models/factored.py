"""A Linear layer of a low rank: two smaller ones, one after the other."""

from typing import TYPE_CHECKING

from torch import nn

from greenbench.models import linears

if TYPE_CHECKING:
    from torch import Tensor


class Factored(nn.Module):
    """A layer ``x -> up(down(x))`` that stands for a Linear layer with the weight ``up.weight @ down.weight``."""

    def __init__(self, down: "Tensor", up: "Tensor", bias: "Tensor | None") -> None:
        """Take the factors.

        Args:
            down: ``(rank, in_features)``.
            up: ``(out_features, rank)``.
            bias: ``(out_features,)``, or None.
        """
        super().__init__()
        self.down = linears.of(down, None)
        self.up = linears.of(up, bias)

    def forward(self, inputs: "Tensor") -> "Tensor":
        """Return ``(..., out_features)`` of ``(..., in_features)``."""
        outputs: Tensor = self.up(self.down(inputs))
        return outputs

    @property
    def rank(self) -> int:
        """Outputs of the first layer, which are the inputs of the second."""
        return int(self.down.out_features)

    @property
    def in_features(self) -> int:
        """As of the layer that this one stands for."""
        return int(self.down.in_features)

    @property
    def out_features(self) -> int:
        """As of the layer that this one stands for."""
        return int(self.up.out_features)
