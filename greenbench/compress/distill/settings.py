"""What a distillation may be set to; a training needs these, and ``Distill`` says what each means."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from greenbench.compress.distill.hints import PredictionHeads
from greenbench.compress.distill.weighting import AdaKd
from greenbench.errors import did_you_mean
from greenbench.plugins.precisions import kept_as

HIDDEN_LOSSES = ("hidden", "hidden_mse", "hidden_cos", "gram")
"""The losses that compare what is between the layers."""

LOSS_NAMES = ("kl", "kl_near_labels", "one_best", "feature_penalty", "ctc", "exits", *HIDDEN_LOSSES)
"""The losses of ``distill.losses``, named here so that a recipe is checked without torch."""


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of ``Distill``, in a class of their own, so that the training does not depend on its start."""

    steps: Annotated[int, Field(ge=1)]
    losses: Mapping[str, float] = field(default_factory=lambda: {"kl": 1.0, "feature_penalty": 1.0})
    hidden_layers: Mapping[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = field(default_factory=dict)
    hidden_weights: Mapping[Annotated[int, Field(ge=1)], Annotated[float, Field(ge=0)]] = field(default_factory=dict)
    heads: PredictionHeads | None = None
    sample_hidden: Annotated[int, Field(ge=1)] | None = None
    ensemble: bool = False
    teacher_weights: Sequence[Annotated[float, Field(ge=0)]] = ()
    temperature: Annotated[float, Field(gt=0)] = 1.0
    lr: Annotated[float, Field(gt=0, le=1)] = 5e-5
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.05
    schedule: Literal["linear", "tri_stage"] = "linear"
    batch_s: Annotated[float, Field(gt=0)] = 32.0
    accumulate: Annotated[int, Field(ge=1)] = 1
    weighting: AdaKd | None = None
    train_only: Sequence[str] = ()
    gradient_scale: Mapping[str, Annotated[float, Field(gt=0)]] = field(default_factory=dict)
    clip: Annotated[float, Field(gt=0)] = 1.0
    precision: Annotated[Literal["no", "fp32", "bf16", "fp16"], AfterValidator(kept_as("no"))] = "no"
    gradient_checkpointing: bool = False
    cache_teacher: bool = True
    log_every: Annotated[int, Field(ge=1)] = 25
    validate_every: Annotated[int, Field(ge=1)] = 250
    patience_steps: int | None = None
    seed: int = 42

    def __post_init__(self) -> None:
        """Refuse a loss that is none."""
        for name in self.losses:
            if name not in LOSS_NAMES:
                raise ValueError(f"losses: unknown loss '{name}'. {did_you_mean(name, LOSS_NAMES)}")
        if not self.losses:
            raise ValueError("losses: name at least one")
        for key in ("hidden_layers", "hidden_weights", "sample_hidden", "heads"):
            if getattr(self, key) and not self.needs_hidden:
                raise ValueError(f"{key}: is for the losses {', '.join(HIDDEN_LOSSES)}, and none of them is named")
        if self.teacher_weights and not self.needs_hidden:
            raise ValueError("teacher_weights: are of the losses between layers, and none of them is named")
        if self.heads and self.hidden_layers:
            raise ValueError("hidden_layers: heads name the teacher's layers: leave one of the two out")
        compared = self.hint_layers
        if compared and (others := sorted(set(self.hidden_weights) - set(compared))):
            raise ValueError(f"hidden_weights: {others[0]}: is not compared, only {', '.join(map(str, compared))}")
        if self.schedule == "tri_stage" and self.warmup >= _STAGES[-1]:
            raise ValueError(f"warmup: with `schedule: tri_stage` give less than {_STAGES[-1]:g}")

    @property
    def needs_hidden(self) -> bool:
        """Whether a loss looks at what is between the layers."""
        return not self.losses.keys().isdisjoint(HIDDEN_LOSSES)

    def coefficients(self, number: int) -> Mapping[str, float]:
        """Return the losses against a teacher, from 0: those on outputs and transcripts are against the first alone."""
        weight = self.teacher_weights[number] if self.teacher_weights else 1.0
        between = {name: weight * self.losses[name] for name in self.losses if name in HIDDEN_LOSSES}
        return between if number else {**self.losses, **between}

    @property
    def hint_layers(self) -> Mapping[int, int]:
        """What is compared, a layer of the student or a head -> a layer of the teacher; evenly where empty."""
        return dict(enumerate(self.heads.layers, 1)) if self.heads else self.hidden_layers

    def learning_rate(self, step: int, highest: float | None = None) -> float:
        """Return the rate of a step.

        ``linear``: up from half over the warm-up, then down linearly, to zero after the last. ``tri_stage``: up from a
        hundredth over the warm-up, level until three fifths of the steps, then down exponentially to a twentieth
        (fairseq's ``tri_stage`` with the proportions of wav2vec 2.0's fine-tuning; Park et al., "SpecAugment", 2019).

        Args:
            step: taken before, from 0.
            highest: rate of the parameters in question; ``lr`` where not given.
        """
        highest, rising = self.lr if highest is None else highest, self.warmup * self.steps
        if self.schedule == "tri_stage":
            return highest * _tri_stage(step, rising, _STAGES[-1] * self.steps, self.steps)
        if step < rising:
            return highest * (0.5 + 0.5 * step / rising)
        return highest * (self.steps - step) / max(1.0, self.steps - rising)


_STAGES = (0.01, 0.05, 0.6)
"""Of ``tri_stage``: the first rate and the last, as shares of the highest, and where it begins to fall."""


def _tri_stage(step: int, rising: float, falling: float, steps: int) -> float:
    """Return the share of the highest rate at a step; the three last arguments are steps."""
    first, last, _ = _STAGES
    if step < rising:
        return first + (1 - first) * step / rising
    return math.exp(math.log(last) * max(0.0, step - falling) / (steps - falling))
