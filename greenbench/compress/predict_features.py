"""The method that lets a model predict what other models' heads read, by linear maps that become a part of its head."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from greenbench.compress.calibration import SpeechSettings
from greenbench.compress.probe import divergence, log_probabilities
from greenbench.compress.refit import ridge, towards
from greenbench.errors import InputError
from greenbench.models import linears
from greenbench.models.hooks import attached
from greenbench.plugins import Context, Outline
from greenbench.plugins.events import Phase

if TYPE_CHECKING:
    from torch import Tensor

DAMPING = 1e-6
"""Of the ridge: next to none, since there are many more frames than features."""


@dataclass(frozen=True)
class PredictFeatures(SpeechSettings):
    """Let a model predict the features of other models, and read its own and the predicted ones by one head.

    EFFUSE (arXiv 2310.03938, 2023): of several self-supervised models whose features are fused for a recogniser, one
    runs, and linear maps predict the features of the others from its own. Here h, what enters the head of the model,
    gives h_j' = A_j h + a_j, the least squares of what enters the head of each of a recipe's ``teachers``. A head
    P [h; h_1; ...] learns the mean of all teachers' distributions from true features first and then from the predicted
    ones (KL divergence, in seconds, no transcripts). All of that is linear, so that it is one head in the end,
    W = P_0 + sum_j P_j A_j and b + sum_j P_j a_j, and the model stays as large and as fast as it was. Where that head
    is no nearer to the mean of the teachers than the one before, the model stays as it is.

    Reconstructed from a summary of the paper: which features are predicted, least squares in place of a training of the
    predictors, and the teachers' mean in place of transcripts. Expect little: the model then says nothing that another
    head of its own could not say.

    Attributes:
        steps: of each of the two trainings of the head, each on 4096 frames.
        seed: of their batches.
        calibration: the data set to learn on, in the form of a suite's; by default the bundled unlabelled speech,
            synthetic English. Every fourth utterance is kept to say how well features are predicted.
        n_calibration: number of its utterances to use, spread over the whole data set.
    """

    steps: Annotated[int, Field(ge=1)] = 300
    seed: int = 42

    needs_teacher: ClassVar[bool] = True

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse to be a build or without further teachers, and models whose head is no matrix in floats."""
        if not before.teachers:
            raise InputError(
                "predict-features needs the models whose features it predicts: give `teachers` in a recipe"
            )
        if before.model_type == "parakeet_ctc":
            raise InputError("predict-features: models of the type parakeet_ctc have a convolution for a head")
        if before.integers or before.compiled:
            raise InputError(f"predict-features cannot follow {before.integers or 'compile'}: put it before")
        return before

    def __call__(self, model: Any, context: Context) -> Any:
        """Give the model its new head in place.

        Raises:
            InputError: there is no further teacher, or one has other tokens or frames, or a head is no Linear layer; or
                speech cannot be read.
            MissingError: the calibration speech is not here.
        """
        import torch

        self.follow(Outline(model.config.model_type, teachers=(Outline(),) * len(context.teachers)))
        if not linears.in_floats([model.lm_head]):
            raise InputError(linears.needs_floats("predict-features"))
        speech = self.speech(model, context)
        own, said, others = into_head(model, speech), [log_probabilities(context.teacher, speech)], []
        for number, (teacher, extractor, tokenizer) in enumerate(context.teachers):
            if tokenizer.get_vocab() != context.tokenizer.get_vocab():
                raise InputError(f"predict-features: teachers.{number} has other tokens than the first teacher")
            inputs = self.speech(teacher, replace(context, extractor=extractor))
            others.append(into_head(teacher, inputs))
            said.append(log_probabilities(teacher, inputs))
            if [len(one) for one in said[-1]] != [len(one) for one in own]:
                raise InputError(f"predict-features: teachers.{number} has other frames than the student")
        wanted = [torch.stack(of_all).logsumexp(0) - math.log(len(said)) for of_all in zip(*said, strict=True)]
        predictors = []
        for number, features in enumerate(others):
            weight, bias, explained = predictor(own, features)
            predictors.append((weight, bias))
            context.observe(Phase(f"R² of the predicted features of teachers.{number}: {explained:.2f}"))
        fused = self._fused(model.lm_head, own, others, predictors, wanted)
        _put_if_nearer(model, folded(fused, predictors), wanted, speech)
        return model

    def _fused(self, head: Any, own: Any, others: Any, predictors: Any, wanted: "Sequence[Tensor]") -> Any:
        """Return the head that reads true features and then predicted ones, a Linear layer."""
        import torch

        width = sum(len(bias) for _, bias in predictors)
        weight = torch.cat([head.weight.detach(), head.weight.new_zeros(len(head.weight), width)], 1)
        fused = linears.of(weight, head.bias.detach().clone())
        predicted = [[h @ weight.T + bias for h in own] for weight, bias in predictors]
        for features in (others, predicted):
            read = [torch.cat(of_all, 1) for of_all in zip(own, *features, strict=True)]
            towards([fused], read, wanted, self.steps, self.seed)
        return fused


def into_head(model: Any, speech: "Sequence[Mapping[str, Tensor]]") -> "list[Tensor]":
    """Return what enters the head of a CTC model for each utterance alone, ``(n_frames, width)``."""
    import torch

    found: list[Tensor] = []

    def keep(_: Any, given: "Sequence[Tensor]") -> None:
        found.append(given[0][0])

    with attached([model.lm_head.register_forward_pre_hook(keep)]), torch.no_grad():
        for inputs in speech:
            model(**inputs)
    return found


def predictor(own: "Sequence[Tensor]", theirs: "Sequence[Tensor]") -> "tuple[Tensor, Tensor, float]":
    """Return the map from a model's features to another's, and how much it explains.

    Args:
        own: ``(n_frames, width)`` for each utterance.
        theirs: ``(n_frames, other width)``, of the same frames.

    Returns:
        Weight ``(other width, width)`` and bias of the least squares over all utterances but every fourth; and on these
        R² = 1 - sum |y - y'|² / sum |y - mean y|² over frames and features (of the only utterance where there is one).
    """
    import torch

    learned_on = [pair for number, pair in enumerate(zip(own, theirs, strict=True)) if number % 4 or len(own) == 1]
    n_out, n_in = theirs[0].shape[1], own[0].shape[1]
    weight, bias = ridge(learned_on, own[0].new_zeros(n_out, n_in), own[0].new_zeros(n_out), DAMPING)
    assert bias is not None
    x, y = torch.cat(list(own[::4])).double(), torch.cat(list(theirs[::4])).double()
    missed = (y - x @ weight.double().T - bias.double()).square().sum()
    return weight, bias, float(1 - missed / (y - y.mean(0)).square().sum())


def folded(fused: Any, predictors: "Sequence[tuple[Tensor, Tensor]]") -> "tuple[Tensor, Tensor]":
    """Return the weight and bias of one head that gives what a head of own and predicted features gives.

    W = P_0 + sum_j P_j A_j and b = p + sum_j P_j a_j, with P the weight of the head, p its bias, A_j and a_j those of
    the predictors; computed in float64.
    """
    widths = [len(bias) for _, bias in predictors]
    n_own = fused.in_features - sum(widths)
    own, *parts = fused.weight.detach().double().split([n_own, *widths], 1)
    weight, bias = own, fused.bias.detach().double()
    for part, (matrix, offset) in zip(parts, predictors, strict=True):
        weight, bias = weight + part @ matrix.double(), bias + part @ offset.double()
    return weight.to(fused.weight), bias.to(fused.bias)


def _put_if_nearer(
    model: Any, head: "tuple[Tensor, Tensor]", wanted: "Sequence[Tensor]", speech: "Sequence[Mapping[str, Tensor]]"
) -> None:
    """Give a model a head, unless it is then no nearer to the wanted distributions."""
    before = divergence(model, wanted, speech)
    kept = model.lm_head.weight.detach().clone(), model.lm_head.bias.detach().clone()
    linears.replace(model.lm_head, *head)
    if not divergence(model, wanted, speech) < before:
        linears.replace(model.lm_head, *kept)
