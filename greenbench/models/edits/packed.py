"""The edit ``packed``: Linear layers whose weights are stored in few bits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from greenbench.models import linears


@dataclass(frozen=True)
class Bits:
    """The bits of packed layers.

    Attributes:
        bits: path of a layer -> bits of each of its weights.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    bits: Mapping[str, Annotated[int, Field(ge=2, le=8)]]
    edit: Literal["packed"] = "packed"

    @classmethod
    def find(cls, model: Any) -> "Bits | None":
        """Return the bits of a model's packed layers; None where it has none."""
        from greenbench.models.packed import packed_layers

        bits = {path: layer.bits for path, layer in packed_layers(model).items()}
        return cls(bits) if bits else None

    def make(self, model: Any) -> None:
        """Put a packed layer with random weights in the place of each.

        Raises:
            ValueError: there is no Linear layer of that name.
        """
        from greenbench.models.packed import drawn

        for path, layer in linears.named(model, self.bits, self.edit):
            model.set_submodule(path, drawn(layer, self.bits[path]))
