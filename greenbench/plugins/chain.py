"""Chains of methods: where they begin, what is known of a model as each is applied, and what may follow what."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from greenbench.errors import InputError
from greenbench.plugins.models import Export, Method, Step

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
        teacher: what is known of the model that trainings learn from, where the chain is the steps of a recipe; None
            where it is the builds of a variant, of which none may train.
    """

    model_type: str | None = None
    n_layers: int | None = None
    floats: Floats | None = None
    integers: str | None = None
    all_integers: bool = False
    compiled: bool = False
    teacher: "Outline | None" = None


@runtime_checkable
class Chained(Protocol):
    """A method that can tell before anything is loaded what it can follow (optional).

    A chain with any other method is not refused beforehand for what comes after it; what fails, fails in its cell.
    """

    def follow(self, before: Outline) -> Outline:
        """Return what is known of a model once this method has been applied to it.

        Args:
            before: what is known of the model that it would be applied to; a field that is None may be anything.

        Raises:
            InputError: it cannot be applied to such a model; one line that says why, and what to do instead.
        """
        ...


@runtime_checkable
class Compressible(Protocol):
    """A family of variants whose models a recipe can change: torch modules (optional)."""

    def outline(self) -> Outline:
        """Return what the settings, and the files that are here, say of the model; downloads and loads nothing.

        Raises:
            InputError: it is a model of another kind.
            MissingError: a file is missing or damaged.
        """
        ...

    def prepare(self) -> None:
        """Fetch the model if it is not on this machine; raise ``MissingError`` with the remedy."""
        ...

    def open(self) -> tuple[Any, Any, Any]:
        """Return the torch module in float32 on the CPU, its feature extractor and its tokeniser.

        Each has ``save_pretrained(folder)``, as those of transformers have.
        """
        ...


def follow(before: Outline, chain: Iterable[Step]) -> Outline:
    """Return what is known of a model behind a chain.

    Args:
        before: what is known of it where the chain begins.
        chain: its methods and exports, in order.

    Raises:
        InputError: one of them cannot follow what is before it.
    """
    for step in chain:
        before = step.follow(before) if isinstance(step, Chained) else Outline(teacher=before.teacher)
    return before


def parted(chain: Sequence[tuple[str, Step]]) -> tuple[list[Method], Export | None]:
    """Return the methods of a chain, and the export that ends it, if one does.

    Args:
        chain: each step with its label.

    Raises:
        InputError: something is to follow an export, whose model another engine runs.
    """
    methods: list[Method] = []
    for number, (label, step) in enumerate(chain, start=1):
        if not isinstance(step, Export):
            methods.append(step)
        elif number < len(chain):
            raise InputError(
                f"builds: {chain[number][0]} cannot follow {label}, which another engine runs: put it before"
            )
        else:
            return methods, step
    return methods, None
