"""Whether steps can be taken: found out before the first of them is, from what is known of the model."""

from collections.abc import Iterator, Sequence
from typing import Any

from greenbench.compress.distill import Distill
from greenbench.errors import InputError, MissingError
from greenbench.models import edits
from greenbench.plugins import Export, Inapplicable, Outline, Step, follow
from greenbench.plugins.precisions import floats
from greenbench.variants.outline import described

Steps = Sequence[tuple[str, Step]]
"""Methods in order, each with its label."""


def outline(model: Any) -> Outline:
    """Return what is known of a loaded transformers CTC model."""
    return described(model.config.to_dict(), floats(str(model.dtype)), edits.find(model))


def check(steps: Steps, before: Outline, lacking: Sequence[str], device: str = "cpu") -> None:
    """Refuse steps of which one cannot be taken.

    Args:
        steps: to be taken.
        before: what is known of the model that they start from, and of the teacher.
        lacking: what trainings need and nobody gives, of the fields of ``Context``.
        device: that the model is on.

    Raises:
        InputError: a step cannot follow those before it, is none for the device or ends in another engine; trainings
            that lack something, or in two precisions. One line that names the step.
        MissingError: a step needs what is not installed.
    """
    _check_trainings(steps, lacking)
    for _ in _taken(steps, before, device):
        pass


def check_savable(steps: Steps, before: Outline, lacking: Sequence[str]) -> None:
    """Refuse steps that cannot be taken, too, where they leave nothing that transformers can load from a folder.

    Args:
        steps: of a recipe.
        before: as in ``check``.
        lacking: as there.

    Raises:
        InputError: as there; or weights would be integers, or the model compiled.
        MissingError: as there.
    """
    _check_trainings(steps, lacking)
    for number, (label, after) in enumerate(_taken(steps, before, "cpu")):
        if after.integers or after.compiled:
            raise InputError(f"steps.{number}: {_measured_instead(label)}")


def _taken(steps: Steps, before: Outline, device: str) -> Iterator[tuple[str, Outline]]:
    """Yield the label of each step, and what is known of the model once it is taken."""
    for number, (label, step) in enumerate(steps):
        if isinstance(step, Export):
            raise InputError(f"steps.{number}: {_measured_instead(label)}")
        try:
            before = follow(before, [step])
        except InputError as error:
            raise InputError(f"steps.{number}: {error}") from error
        yield label, before
        if reason := step.unsupported(device):
            kind = InputError if isinstance(reason, Inapplicable) else MissingError
            raise kind(f"steps.{number}: {label}: {reason}")


def _measured_instead(label: str) -> str:
    return (
        f"{label} leaves nothing that a student's folder can hold: end the recipe before it and measure the student as "
        f"file:FOLDER+{label}"
    )


def _check_trainings(steps: Steps, lacking: Sequence[str]) -> None:
    """Refuse trainings that lack something, or that would fail after the first: accelerate keeps one precision."""
    nested = (step if isinstance(step, Distill) else getattr(step, "distill", None) for _, step in steps)
    trainings = [training for training in nested if training is not None]
    if trainings and lacking:
        raise InputError(f"distill: a training needs {' and '.join(f'`{name}`' for name in lacking)}: give it")
    asked = sorted({training.precision for training in trainings})
    if len(asked) > 1:
        raise InputError(f"distill: precision: {' and '.join(asked)} in one process; give all steps the same")
