"""Chains of builds: what is known of a model as methods are put onto it, before anything is loaded."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

Floats = Literal["fp32", "fp16", "bf16"]


@dataclass(frozen=True)
class Outline:
    """What is known of a model at one place of a chain.

    Attributes:
        model_type: of its transformers configuration, such as ``wav2vec2`` or ``sew-d``; None where that is not known.
        n_layers: transformer layers; None where that is not known.
        floats: the precision of its floats; None where that is not known.
        integers: the build before that made integers of weights, or None.
        all_integers: whether it made them of every layer that such a build takes.
        compiled: whether it is compiled.
    """

    model_type: str | None = None
    n_layers: int | None = None
    floats: Floats | None = None
    integers: str | None = None
    all_integers: bool = False
    compiled: bool = False


@runtime_checkable
class Chained(Protocol):
    """A method that knows before anything is loaded what it can follow; any other is tried when its cell runs."""

    def follow(self, before: Outline) -> Outline:
        """Return what it makes of a model.

        Raises:
            InputError: it cannot be applied to such a model.
        """
        ...
