"""The edit ``norm_frozen``: a group norm of the front end that became a part of its convolution."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict

from greenbench.models.convolutions import fold_norm, group_normed, is_folded


@dataclass(frozen=True)
class NormFrozen:
    """The first convolution has a bias, and no norm."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    edit: Literal["norm_frozen"] = "norm_frozen"

    @classmethod
    def find(cls, model: Any) -> "NormFrozen | None":
        """Return whether a model's norm became a part of its convolution; None where it did not."""
        return cls() if is_folded(model) else None

    def make(self, model: Any) -> None:
        """Fold the norm, with the statistics that change nothing.

        Raises:
            ValueError: the front end has no group norm.
        """
        layer = group_normed(model)
        if layer is None:
            raise ValueError("norm_frozen: the front end has no group norm")
        fold_norm(layer, layer.layer_norm.bias.detach() * 0, layer.layer_norm.weight.detach() * 0 + 1)
