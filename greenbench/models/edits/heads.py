"""The edit ``heads``: attention layers whose heads are fewer, or smaller, than the configuration's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from greenbench.models import linears
from greenbench.models.attention import PARTS, attentions, n_heads, reshape

_Count = Annotated[int, Field(ge=1, le=2**16)]


@dataclass(frozen=True)
class Heads:
    """The heads of each attention layer, in order.

    Attributes:
        number: of heads.
        size: of each of them: rows of queries, keys and values.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    number: tuple[_Count, ...]
    size: tuple[_Count, ...]
    edit: Literal["heads"] = "heads"

    @classmethod
    def find(cls, model: Any) -> "Heads | None":
        """Return the heads of a model; None where they are those of its configuration."""
        found = list(attentions(model).values())
        edit = cls(tuple(map(n_heads, found)), tuple(int(attention.head_dim) for attention in found))
        if not found:
            return None
        number = model.config.num_attention_heads
        configured = number, model.config.hidden_size // number
        return None if set(zip(edit.number, edit.size, strict=True)) == {configured} else edit

    def make(self, model: Any) -> None:
        """Give each attention layer its heads, with random weights.

        Raises:
            ValueError: these are the heads of another number of layers.
        """
        found = attentions(model)
        if not len(found) == len(self.number) == len(self.size):
            raise ValueError(
                f"heads: {len(self.number)} numbers and {len(self.size)} sizes for {len(found)} attention layers"
            )
        for attention, number, size in zip(found.values(), self.number, self.size, strict=True):
            reshape(attention, size, _drawn(attention, number * size))


def _drawn(attention: Any, width: int) -> Mapping[str, tuple[Any, Any]]:
    """Return random weights, and biases of zero, of a width, as ``reshape`` takes them."""
    *into, out = (getattr(attention, part) for part in PARTS)
    shapes = [(layer, (width, layer.in_features), width) for layer in into]
    shapes.append((out, (out.out_features, width), out.out_features))
    return {
        part: (linears.drawn(layer.weight, *weight), layer.bias.new_zeros(bias))
        for part, (layer, weight, bias) in zip(PARTS, shapes, strict=True)
    }
