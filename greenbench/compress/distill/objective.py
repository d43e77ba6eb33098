"""The loss of a batch: what student and teachers make of it, compared, weighted and summed."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from greenbench.compress.distill.hints import compared
from greenbench.compress.distill.losses import Outputs, Target, combine, drawn, ensembled, paired
from greenbench.compress.distill.progress import TrainingRun
from greenbench.compress.distill.teacher import Batch, forward

if TYPE_CHECKING:
    from torch import Tensor


def losses_of(run: TrainingRun, batch: Batch) -> "Iterator[tuple[Tensor, dict[str, float]]]":
    """Yield the loss of a batch, and its parts by name, for each form of the student; the batch's loss is their sum.

    The gradient of each has to be computed before the next is asked for, while the student has that form. The
    companions' terms and mean weights are a part of the first. The parts against a further teacher have its number,
    from 2, at the end of their names, and those of a form its ending.
    """
    settings, model, step = run.settings, run.accelerator.unwrap_model(run.student), run.progress.step
    for companion in run.companions:
        companion.begin(model, step, settings.steps)
    targets = [_target(run, batch, teacher(batch)) for teacher in run.teachers]
    weights, means = _weights(run, model, targets[0])
    as_it_is: list[tuple[str, AbstractContextManager[None]]] = [("", nullcontext())]
    forms = [form for companion in run.companions for form in companion.forms(model, step)]
    for number, (ending, form) in enumerate(forms or as_it_is):
        with form:
            total, parts = _loss(run, batch, targets, weights)
            values = {f"{name}_{ending}" if ending else name: value for name, value in parts.items()}
            if number == 0:
                values |= means
                total = total + _terms(run, model, values)
            yield total, values


def _loss(
    run: TrainingRun, batch: Batch, targets: Sequence[Target], weights: "Tensor | None"
) -> "tuple[Tensor, dict[str, float]]":
    """Return the loss of the student as it is now, and its parts by name."""
    settings, model = run.settings, run.accelerator.unwrap_model(run.student)
    ours = _student_outputs(run, batch)
    targets = [_with_drawn_layers(run, target, ours) for target in targets]
    if settings.ensemble:
        targets[0] = ensembled(targets)
    total: Any = 0
    values: dict[str, float] = {}
    for number, target in enumerate(targets):
        coefficients = settings.coefficients(number)
        part, found = combine(coefficients, compared(model, ours, settings.heads, number), target, weights)
        total, ending = total + part, f"_{number + 1}" if number else ""
        values |= {f"{name}{ending}": value for name, value in found.items()}
    return total, values


def _student_outputs(run: TrainingRun, batch: Batch) -> Outputs:
    """Run the student, or the top of it on what its frozen trunk gave."""
    if run.trunk:
        with run.accelerator.autocast():
            return run.trunk(batch)
    return forward(run.student, batch, run.settings.needs_hidden, "feature_penalty" in run.settings.losses)


def _target(run: TrainingRun, batch: Batch, taught: Outputs) -> Target:
    """Return what the student is compared with of one teacher."""
    settings, blank = run.settings, int(run.context.tokenizer.pad_token_id)
    layers, weights = settings.hint_layers, settings.hidden_weights
    return Target(taught, batch.mask, batch.labels, blank, settings.temperature, layers, weights)


def _with_drawn_layers(run: TrainingRun, target: Target, ours: Outputs) -> Target:
    """Return a target with as many pairs of layers as a step compares."""
    settings = run.settings
    if not settings.sample_hidden:
        return target
    pairs = paired(target.layers, len(ours.hidden) - 1, len(target.teacher.hidden) - 1)
    return replace(target, layers=drawn(pairs, settings.sample_hidden, (settings.seed, run.progress.step)))


def _terms(run: TrainingRun, model: Any, values: dict[str, float]) -> Any:
    """Return the sum of the companions' terms, each of which is put among the values by its name."""
    total: Any = 0
    for companion in run.companions:
        term = companion.term(model, run.progress.step, run.settings.steps)
        if term is not None:
            total, values[companion.name] = total + term, term.item()
    return total


def _weights(run: TrainingRun, model: Any, target: Target) -> "tuple[Tensor | None, dict[str, float]]":
    """Return how much each utterance counts by all companions, and each one's mean by name."""
    weights: Tensor | None = None
    means: dict[str, float] = {}
    for companion in run.companions:
        theirs = companion.weights(model, target)
        if theirs is not None:
            weights = theirs if weights is None else weights * theirs
            means[f"{companion.name}_weight"] = theirs.mean().item()
    return weights, means
