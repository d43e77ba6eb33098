"""Chains of methods: what is known of a model at each step, and which method may follow which."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from greenbench.errors import InputError
from greenbench.plugins.models import Export, Method, Step
from greenbench.plugins.precisions import Floats


@dataclass(frozen=True)
class Outline:
    """The properties of a model at one step of a chain, as far as they are known before it is loaded.

    Attributes:
        model_type: of its transformers configuration, such as ``wav2vec2`` or ``sew-d``; None where unknown.
        n_layers: transformer layers; None where unknown.
        floats: the precision of its floats; None where unknown.
        integers: the earlier build that quantised weights to integers, or None.
        all_integers: whether that build quantised every layer that it can.
        compiled: whether it is compiled.
        shared: whether some of its layers have the same weights, once.
        exits: whether it is decided for each utterance how many layers run.
        chunked: whether its frames see no further than their chunk and a look-ahead.
        adapter: whether an adapter stands between the last layer and the head.
        group_norm: whether its front end normalises each channel over the whole utterance; None where unknown.
        teacher: the outline of the model that trainings learn from, where the chain is the steps of a recipe; None
            where it is the builds of a variant, of which none may train.
        teachers: the outlines of further models that these learn from.
    """

    model_type: str | None = None
    n_layers: int | None = None
    floats: Floats | None = None
    integers: str | None = None
    all_integers: bool = False
    compiled: bool = False
    shared: bool = False
    exits: bool = False
    chunked: bool = False
    adapter: bool = False
    group_norm: bool | None = None
    teacher: "Outline | None" = None
    teachers: "tuple[Outline, ...]" = ()


@runtime_checkable
class Chained(Protocol):
    """A method that states, before anything is loaded, which models it can be applied to (optional).

    What follows any other method in a chain is not checked beforehand; what fails, fails in its cell.
    """

    def follow(self, before: Outline) -> Outline:
        """Return the outline of a model after this method.

        Args:
            before: the outline of the model that it is applied to; a field that is None may have any value.

        Raises:
            InputError: it cannot be applied to such a model; one line that says why, and what to do instead.
        """
        ...


@runtime_checkable
class Compressible(Protocol):
    """A family of variants whose models a recipe can change: torch modules (optional)."""

    def outline(self) -> Outline:
        """Return the model's outline from its settings and local files; downloads and loads nothing.

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
    """Return the outline of a model after a chain.

    Args:
        before: its outline before the chain.
        chain: methods and exports, in order.

    Raises:
        InputError: one of them cannot be applied to the model that the steps before it give.
    """
    for step in chain:
        unknown = Outline(teacher=before.teacher, teachers=before.teachers)
        before = step.follow(before) if isinstance(step, Chained) else unknown
    return before


def parted(chain: Sequence[tuple[str, Step]]) -> tuple[list[Method], Export | None]:
    """Split a chain into its methods and the export at its end, if there is one.

    Args:
        chain: each step with its label.

    Raises:
        InputError: a step follows an export, whose model another engine runs.
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
