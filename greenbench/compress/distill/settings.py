"""What a distillation may be set to; a training needs these, and ``Distill`` says what each means."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from greenbench.errors import did_you_mean
from greenbench.plugins.precisions import kept_as

LOSS_NAMES = ("kl", "kl_near_labels", "feature_penalty", "ctc", "hidden", "hidden_mse")
"""The losses of ``distill.losses``, named here so that a recipe is checked without torch."""


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of ``Distill``, in a class of their own, so that the training does not depend on its start."""

    steps: Annotated[int, Field(ge=1)]
    losses: Mapping[str, float] = field(default_factory=lambda: {"kl": 1.0, "feature_penalty": 1.0})
    hidden_layers: Mapping[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = field(default_factory=dict)
    temperature: Annotated[float, Field(gt=0)] = 1.0
    lr: Annotated[float, Field(gt=0, le=1)] = 5e-5
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.05
    batch_s: Annotated[float, Field(gt=0)] = 32.0
    accumulate: Annotated[int, Field(ge=1)] = 1
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
        if self.hidden_layers and not self.needs_hidden:
            raise ValueError("hidden_layers: is for the losses hidden and hidden_mse, and neither is named")

    @property
    def needs_hidden(self) -> bool:
        """Whether a loss looks at what is between the layers."""
        return any(name.startswith("hidden") for name in self.losses)

    def learning_rate(self, step: int) -> float:
        """Return the rate of a step: up from half over the warm-up, then down linearly, to zero after the last."""
        rising = self.warmup * self.steps
        if step < rising:
            return self.lr * (0.5 + 0.5 * step / rising)
        return self.lr * (self.steps - step) / max(1.0, self.steps - rising)
