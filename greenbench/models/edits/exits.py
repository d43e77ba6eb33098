"""The edit ``exits``: layers after which a branch may answer, so that those behind do not run."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

Over = Literal["frames", "labels"]

TYPES = ("data2vec-audio", "hubert", "unispeech", "unispeech-sat", "wav2vec2", "wavlm")
"""Model types whose encoder loops over its layers, with as many frames in each as its output has."""

MOST = 100.0
"""No entropy in nats is as large: a threshold that the first branch is always below."""

Entropy = Annotated[float, Field(ge=-1, le=MOST)]


@dataclass(frozen=True)
class Exits:
    """The exits of a model.

    Attributes:
        after: numbers of layers, each with a branch behind.
        threshold: largest mean entropy in nats of a branch that answers; none does with -1.
        over: ``frames``, the mean over all frames, or ``labels``, over those whose best token is not the blank.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    after: Annotated[tuple[Annotated[int, Field(ge=1, le=2**10)], ...], Field(min_length=1)]
    threshold: Entropy
    over: Over
    edit: Literal["exits"] = "exits"

    @classmethod
    def find(cls, model: Any) -> "Exits | None":
        """Return the exits of a model; None where it has none."""
        from greenbench.models import exits

        layers = exits.of(model)
        if layers is None:
            return None
        over: Over = "frames" if layers.blank is None else "labels"
        return cls(tuple(exits.branches(layers)), layers.threshold, over)

    def make(self, model: Any) -> None:
        """Put the branches behind these layers, as they begin.

        Raises:
            ValueError: the model has no such layer, or an encoder of another kind.
        """
        from greenbench.models import exits

        if model.config.model_type not in TYPES:
            raise ValueError(f"exits: models of the type {model.config.model_type} have none")
        n_layers = len(model.base_model.encoder.layers)
        if max(self.after) > n_layers:
            raise ValueError(f"exits: there is no layer {max(self.after)} of {n_layers}, counted from 1")
        exits.attach(model, self.after, self.threshold, model.config.pad_token_id if self.over == "labels" else None)
