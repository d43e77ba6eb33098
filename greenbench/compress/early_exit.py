"""The method that lets a model answer after fewer layers where it is sure."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from greenbench.compress import layerwise
from greenbench.compress.calibration import NUtterances, SpeechSettings
from greenbench.compress.distill import Distill, no_build
from greenbench.compress.distill.companion import Companion
from greenbench.compress.probe import log_probabilities
from greenbench.compress.refit import towards
from greenbench.errors import InputError
from greenbench.models import linears
from greenbench.models.edits.exits import TYPES, Entropy, Exits, Over
from greenbench.models.macs import fewer_frames
from greenbench.plugins import BARE, Context, Outline
from greenbench.plugins.events import Phase

if TYPE_CHECKING:
    from torch import Tensor

    Inputs = Sequence[dict[str, Tensor]]
    """Named inputs of a model for each utterance alone."""

DEFAULT = 0.1
"""Entropy in nats; what it gives depends on the model and its layers."""


@dataclass(frozen=True)
class EarlyExit(SpeechSettings):
    """Let a branch behind some layers answer where it is sure, so that the layers after it do not run.

    DAISY (arXiv 2406.05464, 2024), for CTC: the first branch whose mean entropy is at most the threshold answers for
    the whole utterance. A branch is a norm and a linear layer, begins as the model's own, and learns the model's own
    final output (KL divergence, which is a reconstruction: theirs is the best token's cross-entropy). Without
    ``distill`` only the branches do, in seconds, on calibration speech. A batch leaves when its last utterance is
    sure, so that it saves most at batch size 1. Rows have the layers run (``mean_layers``). Where the last layers add
    nothing, cut them first (``layer-drop``). Engines exit too: an export has a graph up to the first exit, and one from
    each exit to the next, of which the engine runs as many as it takes, by the same rule. No ``compile`` follows.

    Attributes:
        layers: numbers of layers behind which there is a branch, counted from 1, in rising order; ``all`` but the last.
            Each costs a little in every utterance that comes by.
        threshold: largest mean entropy in nats of a branch that answers; -1 lets none. 0.1 where neither it nor
            ``mean_layers`` is given.
        mean_layers: choose the least threshold with which so many layers run, mean over utterances: of the validation
            speech where there is some, else of the calibration speech, of which every fourth utterance is kept for
            that where branches learn on it.
        over: which frames count: ``labels``, those whose best token is not the blank (all where an utterance has none),
            or ``frames``, all. Padding counts only in models that take no mask of it.
        distill: a training with all its settings, in recipes; the weights of the last step are the result.
        train_trunk: train the whole model along: with the losses of ``distill``, and ``exits`` at 1 if not among them.
            Otherwise only the branches train, on hidden states that are computed once for each utterance, and
            ``exits`` is the only loss.
        refit_steps: steps for each branch without ``distill``, each on 4096 frames.
        seed: of the batches of these steps.
        calibration: the data set of these steps, and of the threshold, in the form of a suite's; by default the
            bundled unlabelled speech, synthetic English. Never the speech that is evaluated on.
        n_calibration: number of its utterances to use, spread over the whole data set.
    """

    layers: Annotated[Sequence[Annotated[int, Field(ge=1)]], Field(min_length=1)] | Literal["all"] = "all"
    threshold: Entropy | None = None
    mean_layers: Annotated[float, Field(ge=1)] | None = None
    over: Over = "labels"
    distill: Distill | None = None
    train_trunk: bool = False
    refit_steps: Annotated[int, Field(ge=1)] = 300
    seed: int = 42
    n_calibration: NUtterances = field(default=150, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse two thresholds, layers in another order, and settings of a training that do not fit."""
        super().__post_init__()
        if self.threshold is not None and self.mean_layers is not None:
            raise ValueError("`mean_layers` chooses the threshold: give one of the two")
        if self.layers != "all" and sorted({*self.layers}) != [*self.layers]:
            raise ValueError("layers: give numbers of layers, counted from 1, in rising order, each once")
        if self.distill is None:
            if self.train_trunk:
                raise ValueError("train_trunk: needs a training: give `distill`")
            return
        if self.distill.patience_steps is not None:
            raise ValueError("distill.patience_steps: the final output does not show how exits learn: leave it out")
        if self.distill.gradient_checkpointing:
            raise ValueError("distill.gradient_checkpointing: branches need what layers give: leave it out")
        if self.distill.train_only and not self.train_trunk:
            raise ValueError("distill.train_only: only the branches train without `train_trunk`: leave it out")

    @property
    def extra(self) -> str:
        """The extra that it does not run without."""
        return "torch" if self.distill is None else "distill"

    @property
    def needs_speech(self) -> bool:
        """Whether branches learn, or the threshold is chosen, on calibration speech."""
        return self.distill is None or self.mean_layers is not None

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse models of other encoders, layers that are not there, integers, and to train as a build."""
        if before.model_type is not None and before.model_type not in TYPES:
            raise InputError(f"early-exit: models of the type {before.model_type} have another encoder; use {_TYPES}")
        if before.adapter:
            raise InputError("early-exit: the model has an adapter behind its layers, which branches would go without")
        if before.exits:
            raise InputError("early-exit: the model has exits: name it once, with all `layers`")
        if before.chunked:
            raise InputError(
                "early-exit cannot follow chunk-attention, since it decides by whole utterances: leave one out"
            )
        if before.integers or before.compiled:
            raise InputError(f"early-exit cannot follow {before.integers or 'compile'}: put it before")
        if before.n_layers is not None:
            self._after(before.n_layers)
        if self.distill is not None:
            if before.teacher is None:
                raise InputError(f"{no_build('early-exit: distill')}, or leave `distill` out")
            self.distill.follow(before)
        return replace(before, exits=True)

    def __call__(self, model: Any, context: Context = BARE) -> Any:
        """Return the model with exits.

        Raises:
            InputError: the model is built in another way; or speech cannot be read, or trained on (``Distill``).
        """
        from greenbench.compress.steps import outline
        from greenbench.models import exits

        if fewer_frames(model):
            raise InputError("early-exit cannot follow reduce-frames, whose layers have fewer frames: leave one out")
        if not linears.in_floats([model.lm_head]):
            raise InputError(linears.needs_floats("early-exit"))
        replace(self, distill=None, train_trunk=False).follow(outline(model))
        n_layers = len(layerwise.layers_of(model))
        Exits(self._after(n_layers), DEFAULT if self.threshold is None else self.threshold, self.over).make(model)
        with exits.leaving_never():
            if self.distill is not None:
                held_out, model = context.validation, self._train(self.distill, model, context)
                speech = _inputs(held_out, model, context) if held_out else self.speech(model, context)
            else:
                speech = self._refit(model, self.speech(model, context))
            if self.mean_layers is not None:
                self._choose(self.mean_layers, model, speech, context)
        return model

    def _after(self, n_layers: int) -> tuple[int, ...]:
        """Return the layers of a model behind which there is a branch."""
        after = (*range(1, n_layers),) if self.layers == "all" else (*self.layers,)
        if not after or after[-1] >= n_layers:
            raise InputError(
                f"early-exit: layers: of {n_layers} layers, counted from 1, the last one with a branch can be "
                f"{n_layers - 1}"
            )
        if self.mean_layers is not None and self.mean_layers < after[0]:
            raise InputError(
                f"early-exit: mean_layers: {self.mean_layers:g} is less than {after[0]}, where the first exit is"
            )
        return after

    def _train(self, distill: Distill, model: Any, context: Context) -> Any:
        """Return the model after the training."""
        losses = {"exits": 1.0} | (dict(distill.losses) if self.train_trunk else {})
        only = distill.train_only if self.train_trunk else (".exit.",)
        return replace(distill, losses=losses, train_only=only).train_with(model, context, [_OfLastStep()])

    def _refit(self, model: Any, speech: "Inputs") -> "Inputs":
        """Let each branch learn by itself; return the speech that none of them has learned on."""
        held_out = speech[::4] if self.mean_layers is not None and len(speech) > 1 else ()
        learned_on = [one for number, one in enumerate(speech) if number % 4] if held_out else speech
        wanted = log_probabilities(model, learned_on)
        states, entries = layerwise.entering(model, learned_on)
        for layer, of_layer in zip(layerwise.layers_of(model), entries, strict=True):
            states = layerwise.advance(layer, states, of_layer)
            if branch := getattr(layer, "exit", None):
                hidden = [one[0] for one in states]
                towards([branch.norm, branch.lm_head], hidden, wanted, self.refit_steps, self.seed)
        return held_out or speech

    def _choose(self, mean_layers: float, model: Any, speech: "Inputs", context: Context) -> None:
        """Set the threshold by speech."""
        from greenbench.models import exits

        layers = exits.of(model)
        assert layers is not None
        after, n_layers = [*exits.branches(layers)], len(layers)
        entropies = _entropies(model, speech, layers.blank)
        layers.threshold = least_threshold(entropies, after, n_layers, mean_layers)
        found = _mean_layers(entropies, after, n_layers, layers.threshold)
        said = f"at a threshold of {layers.threshold:.4g} nats {found:.2f} of {n_layers} layers run"
        context.observe(Phase(f"{said}, mean of {len(speech)} utterances"))


_TYPES = f"one of {', '.join(TYPES)}"


class _OfLastStep(Companion):
    """Takes the student of the last step, since validation reads the final output, and exits improve without it."""

    name = "early_exit"
    last = True


def _inputs(utterances: Sequence[Any], model: Any, context: Context) -> "Inputs":
    """Return the inputs of validation speech."""
    from greenbench.compress.distill.teacher import collate

    return [dict(collate([utterance], model, context).inputs) for utterance in utterances]


def _entropies(model: Any, speech: "Inputs", blank: int | None) -> list[list[float]]:
    """Return the mean entropy of each branch, in order, for each utterance, in nats."""
    import torch

    from greenbench.models.exits import mean_entropy

    with torch.inference_mode():
        given = (model(**inputs).exits for inputs in speech)
        return [[float(mean_entropy(logits, blank=blank)[0]) for logits in of_all] for of_all in given]


def least_threshold(
    entropies: Sequence[Sequence[float]], after: Sequence[int], n_layers: int, mean_layers: float
) -> float:
    """Return the least threshold with which at most a mean number of layers runs; -1 where all may.

    Args:
        entropies: of the branches, in order, for each utterance, in nats.
        after: layers before each branch.
        n_layers: of the model.
        mean_layers: at least the first of ``after``.
    """
    candidates = sorted({-1.0, *(entropy for of_utterance in entropies for entropy in of_utterance)})
    few = bisect_left(candidates, True, key=lambda t: _mean_layers(entropies, after, n_layers, t) <= mean_layers)
    return candidates[few]


def _mean_layers(entropies: Sequence[Sequence[float]], after: Sequence[int], n_layers: int, threshold: float) -> float:
    def layers(of_utterance: Sequence[float]) -> int:
        return next((n for n, entropy in zip(after, of_utterance, strict=True) if entropy <= threshold), n_layers)

    return sum(map(layers, entropies)) / len(entropies)
