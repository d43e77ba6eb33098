"""Companions of a training: what is trained, weighted or frozen beside the student, within the same loop."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

from greenbench.errors import InputError
from greenbench.models.frames import n_frames
from greenbench.plugins import Context

if TYPE_CHECKING:
    from torch import Tensor

    from greenbench.compress.distill.losses import Target


class Companion:
    """Something that goes along with a training; each method may be left as it is, which does nothing.

    What it adds to the student, parameters and buffers alike, is kept in checkpoints and restored with the student's
    own, so that a training that goes on is the same as one without a break. It keeps no other state.

    Attributes:
        name: of its term in the log.
        last: whether the student of the last step is the result, rather than the one whose validation read best: for a
            companion that changes over the training what the student is.
        partial: whether a form of the student leaves some of its parameters out.
    """

    name: ClassVar[str]
    last: ClassVar[bool] = False
    partial: ClassVar[bool] = False

    def attach(self, student: Any, context: Context) -> None:
        """Add modules to a student, before its optimiser is made and before a checkpoint is loaded."""

    def groups(self, student: Any, lr: float) -> list[dict[str, Any]]:  # noqa: ARG002
        """Return parameter groups of its own, as ``torch.optim`` takes them, each with its highest rate as ``lr``.

        Their rates follow the same schedule as the student's; ``maximize`` makes one ascend.

        Args:
            student: with what ``attach`` added.
            lr: highest rate of the student's own parameters.
        """
        return []

    def begin(self, student: Any, step: int, of: int) -> None:
        """Get ready before a batch is run; the arguments are those of ``term``."""

    def forms(self, student: Any, step: int) -> "Iterable[tuple[str, AbstractContextManager[None]]]":  # noqa: ARG002
        """Return the forms of the student that learn each batch, whose losses are summed; none for it as it is.

        Args:
            student: with what ``attach`` added.
            step: taken before, from 0.

        Returns:
            For each form the ending of its losses' names in the log, empty for that of the student as it is, and the
            context in which the student has this form. The endings are the same in each step.
        """
        return ()

    def in_use(self, student: Any) -> "AbstractContextManager[None]":  # noqa: ARG002
        """Return the context in which the student is what validation is to read."""
        return nullcontext()

    def term(self, student: Any, step: int, of: int) -> "Tensor | None":  # noqa: ARG002
        """Return what is added to the loss of each batch, once, a number with gradients; it is logged by ``name``.

        Args:
            student: with what ``attach`` added.
            step: taken before, from 0.
            of: steps of the whole training.
        """
        return None

    def weights(self, student: Any, target: "Target") -> "Tensor | None":  # noqa: ARG002
        """Return how much each utterance counts for what is learned from the teacher, 0 to 1, ``(n_utterances,)``.

        What is learned from its transcript counts one minus that.
        """
        return None

    def detach(self, student: Any) -> Any:
        """Return the trained student without what was added, or with it folded into plain modules."""
        return student


def mean_frames(student: Any, context: Context) -> float:
    """Return the mean frames of an utterance to train on, by which a term keeps up with losses that are sums."""
    return sum(n_frames(student.config, u.n_samples) for u in context.train) / max(1, len(context.train))


def parameters(student: Any, setting: str, texts: Iterable[str]) -> dict[str, Any]:
    """Return a student's parameters by path, for a setting of ``distill`` that takes texts which paths contain.

    Raises:
        InputError: no path contains one of the texts.
    """
    named = dict(student.named_parameters())
    for text in texts:
        if not any(text in path for path in named):
            raise InputError(f"distill: {setting}: no parameter's path contains '{text}'")
    return named
