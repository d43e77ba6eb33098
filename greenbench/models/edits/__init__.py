"""Edits: what of a model's structure its transformers configuration cannot say, found in the model and made again.

A model's folder states them in ``config.json`` under ``greenbench``. Its ``model_type`` is then one that other programs
do not know, since they would load what they cannot place as random weights; the true one is ``base``.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from greenbench.files.forms import faults
from greenbench.models.edits.chunks import Chunks
from greenbench.models.edits.exits import Exits
from greenbench.models.edits.heads import Heads
from greenbench.models.edits.low_rank import Ranks
from greenbench.models.edits.norm import NormFrozen
from greenbench.models.edits.packed import Bits
from greenbench.models.edits.reduce import Reduce
from greenbench.models.edits.share import Share

KEY, PREFIX = "greenbench", "greenbench-"
"""The key in ``config.json``, and what stands before the model type there."""

KINDS: tuple[type[Share | NormFrozen | Heads | Ranks | Reduce | Exits | Bits | Chunks], ...]
KINDS = (Share, NormFrozen, Heads, Reduce, Ranks, Exits, Bits, Chunks)
"""Every edit, in the order in which they are made: the others name what is shared once, by its first path, and what is
factorised or packed may be a part of a reduction."""

AnyEdit = Annotated[Share | NormFrozen | Heads | Ranks | Reduce | Exits | Bits | Chunks, Field(discriminator="edit")]


@dataclass(frozen=True)
class Structure:
    """What ``config.json`` says under ``greenbench``.

    Attributes:
        base: the model type that the edits change.
        edits: what they change, in order.
        form: version of this form.
    """

    base: str
    edits: Annotated[tuple[AnyEdit, ...], Field(min_length=1)]
    form: Literal[1] = 1

    @property
    def model_type(self) -> str:
        """The model type that other programs refuse by name."""
        return PREFIX + self.base

    @property
    def is_shared(self) -> bool:
        """Whether layers have the same weights."""
        return any(isinstance(edit, Share) for edit in self.edits)

    @property
    def has_exits(self) -> bool:
        """Whether it is decided for each utterance how many layers run."""
        return any(isinstance(edit, Exits) for edit in self.edits)

    @property
    def has_frozen_norm(self) -> bool:
        """Whether the group norm of the front end became a part of its convolution."""
        return any(isinstance(edit, NormFrozen) for edit in self.edits)

    @property
    def has_chunks(self) -> bool:
        """Whether frames see no further than their chunk and a look-ahead."""
        return any(isinstance(edit, Chunks) for edit in self.edits)


def find(model: Any) -> Structure | None:
    """Return what a model's configuration does not say of it; None where it says all."""
    found = tuple(edit for kind in KINDS if (edit := kind.find(model)))
    return Structure(model.config.model_type, found) if found else None


def make(model: Any, structure: Structure | None) -> None:
    """Change the structure of a model as built from its configuration; its new parameters are random.

    Raises:
        ValueError: an edit does not fit the model.
    """
    for edit in structure.edits if structure else ():
        edit.make(model)


def parted(config: Mapping[str, Any]) -> tuple[dict[str, Any], Structure | None]:
    """Split what a ``config.json`` holds into the configuration proper, with the true model type, and the edits.

    Raises:
        ValueError: the edits are damaged, or of a later version; the message says where.
    """
    if KEY not in config:
        return dict(config), None
    try:
        structure = _adapter().validate_json(json.dumps(config[KEY]), strict=True)
    except ValidationError as error:
        raise ValueError(f"{KEY}: {'; '.join(faults(error))}") from error
    return {name: value for name, value in config.items() if name != KEY} | {"model_type": structure.base}, structure


def joined(config: Mapping[str, Any], structure: Structure | None) -> dict[str, Any]:
    """Return what ``config.json`` is to hold: the inverse of ``parted``."""
    if structure is None:
        return dict(config)
    return {**config, "model_type": structure.model_type, KEY: asdict(structure)}


@lru_cache
def _adapter() -> TypeAdapter[Structure]:
    return TypeAdapter(Structure)
