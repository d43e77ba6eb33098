"""The edit ``share``: layers of an encoder whose parts are those of other layers, and are stored once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from greenbench.models import shared

_Layer = Annotated[int, Field(ge=0, le=2**10)]


@dataclass(frozen=True)
class Share:
    """Which layer's parts are which other's.

    Attributes:
        parts: name of a module of a layer -> for each layer the first one that has the same, both from 0.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    parts: Annotated[Mapping[str, tuple[_Layer, ...]], Field(min_length=1)]
    edit: Literal["share"] = "share"

    @classmethod
    def find(cls, model: Any) -> "Share | None":
        """Return what the layers of a model share; None where each has its own."""
        found = shared.owners(model)
        return cls(found) if found else None

    def make(self, model: Any) -> None:
        """Put the parts of the first layers in the place of those of the others.

        Raises:
            ValueError: layers or parts are other ones than the model's.
        """
        layers = shared.layers(model)
        for name, firsts in self.parts.items():
            taken = {index: first for index, first in enumerate(firsts) if first != index}
            if len(firsts) != len(layers) or any(
                first > index or first in taken or name not in shared.parts(layers[first])
                for index, first in taken.items()
            ):
                raise ValueError(f"share: {name}: give each of {len(layers)} layers the first that has the same one")
            for index, first in taken.items():
                setattr(layers[index], name, getattr(layers[first], name))
