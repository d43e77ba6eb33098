"""The loss of a batch: what student and teachers make of it, compared, weighted and summed."""

from typing import TYPE_CHECKING, Any

from greenbench.compress.distill.hints import compared
from greenbench.compress.distill.losses import Outputs, Target, combine, drawn, ensembled, paired
from greenbench.compress.distill.progress import TrainingRun
from greenbench.compress.distill.teacher import Batch, forward

if TYPE_CHECKING:
    from torch import Tensor


def batch_loss(run: TrainingRun, batch: Batch) -> "tuple[Tensor, dict[str, float]]":
    """Return the loss of a batch, and its parts by name, with the companions' terms and mean weights.

    The parts against a further teacher have its number, from 2, at the end of their names.
    """
    settings, model = run.settings, run.accelerator.unwrap_model(run.student)
    for companion in run.companions:
        companion.begin(model, run.progress.step, settings.steps)
    taught = [teacher(batch) for teacher in run.teachers]
    ours = _student_outputs(run, batch)
    targets = [_target(run, batch, ours, outputs) for outputs in taught]
    weights, means = _weights(run, model, targets[0])
    if settings.ensemble:
        targets[0] = ensembled(targets)
    total: Any = 0
    values: dict[str, float] = {}
    for number, target in enumerate(targets):
        coefficients = settings.coefficients(number)
        part, found = combine(coefficients, compared(model, ours, settings.heads, number), target, weights)
        total, ending = total + part, f"_{number + 1}" if number else ""
        values |= {f"{name}{ending}": value for name, value in found.items()}
    values |= means
    for companion in run.companions:
        term = companion.term(model, run.progress.step, settings.steps)
        if term is not None:
            total, values[companion.name] = total + term, term.item()
    return total, values


def _student_outputs(run: TrainingRun, batch: Batch) -> Outputs:
    """Run the student, or the top of it on what its frozen trunk gave."""
    if run.trunk:
        with run.accelerator.autocast():
            return run.trunk(batch)
    return forward(run.student, batch, run.settings.needs_hidden, "feature_penalty" in run.settings.losses)


def _target(run: TrainingRun, batch: Batch, ours: Outputs, taught: Outputs) -> Target:
    """Return what the student is compared with of one teacher."""
    settings, layers = run.settings, run.settings.hint_layers
    if settings.sample_hidden:
        pairs = paired(layers, len(ours.hidden) - 1, len(taught.hidden) - 1)
        layers = drawn(pairs, settings.sample_hidden, (settings.seed, run.progress.step))
    blank = int(run.context.tokenizer.pad_token_id)
    return Target(taught, batch.mask, batch.labels, blank, settings.temperature, layers, settings.hidden_weights)


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
