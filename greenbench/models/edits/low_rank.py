"""The edit ``low_rank``: Linear layers that are two smaller ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from greenbench.models import linears


@dataclass(frozen=True)
class Ranks:
    """The ranks of factorised layers.

    Attributes:
        ranks: path of a layer -> its rank.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    ranks: Mapping[str, Annotated[int, Field(ge=1, le=2**16)]]
    edit: Literal["low_rank"] = "low_rank"

    @classmethod
    def find(cls, model: Any) -> "Ranks | None":
        """Return the ranks of a model's factorised layers; None where it has none."""
        from greenbench.models.factored import Factored

        ranks = {path: module.rank for path, module in model.named_modules() if isinstance(module, Factored)}
        return cls(ranks) if ranks else None

    def make(self, model: Any) -> None:
        """Put two layers with random weights in the place of each.

        Raises:
            ValueError: there is no Linear layer of that name.
        """
        from greenbench.models.factored import Factored

        for path, layer in linears.named(model, self.ranks, self.edit):
            weight, rank = layer.weight, self.ranks[path]
            down = linears.drawn(weight, rank, layer.in_features)
            up = linears.drawn(weight, layer.out_features, rank)
            model.set_submodule(path, Factored(down, up, layer.bias))
