"""The edit ``reduce``: places where a model takes several frames together."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from greenbench.models import shared
from greenbench.models.frames import SPECTRA

How = Literal["conv", "average", "signal"]
Up = Literal["linear", "repeat"]

WITHOUT_SIGNAL = {
    **dict.fromkeys(SPECTRA, "read spectra, and no signal"),
    **dict.fromkeys(("sew", "sew-d"), "already combine frames"),
}
"""Model types whose signal cannot be at a lower rate, and why."""


@dataclass(frozen=True)
class Reduction:
    """One of them.

    Attributes:
        at: the layer, counted from 0, before which it is; 0 for ``signal``.
        factor: frames that become one.
        how: ``average``, their mean, or ``conv``, a convolution added to it; or ``signal``, by a front end that hears a
            lower sampling rate, before all others.
        up: ``repeat``, or ``linear``: a map of its own for each of the frames that it becomes again.
        skip: whether the frames before are added to these, by a weight for each feature.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    at: Annotated[int, Field(ge=0, le=2**10)]
    factor: Annotated[int, Field(ge=2, le=64)]
    how: How
    up: Up
    skip: bool


@dataclass(frozen=True)
class Reduce:
    """All places of a model.

    Attributes:
        places: in the order of the layers.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    places: Annotated[tuple[Reduction, ...], Field(min_length=1)]
    edit: Literal["reduce"] = "reduce"

    @classmethod
    def find(cls, model: Any) -> "Reduce | None":
        """Return the places of a model; None where it has none."""
        layers = shared.layers(model)
        found = [(at, layer.reducer) for at, layer in enumerate(layers) if hasattr(layer, "reducer")]
        places = [Reduction(at, r.factor, r.how, r.up_by, r.gate is not None) for at, r in found]
        if expander := getattr(getattr(model, "base_model", None), "expander", None):
            places.insert(0, Reduction(0, expander.factor, "signal", expander.up_by, skip=False))
        return cls(tuple(places)) if places else None

    def make(self, model: Any) -> None:
        """Put a reducer as it begins before each of these layers, or before the front end.

        Raises:
            ValueError: there is no such layer, or no front end that reads waveforms.
        """
        from greenbench.models import resampler
        from greenbench.models.reducer import Reducer, attach

        encoder = model.base_model.encoder
        for place in self.places:
            if place.how == "signal":
                if reason := WITHOUT_SIGNAL.get(kind := model.config.model_type):
                    raise ValueError(f"reduce: models of the type {kind} {reason}")
                resampler.attach(model.base_model, place.factor, place.up)
                continue
            if place.at >= len(encoder.layers):
                raise ValueError(f"reduce: there is no layer {place.at} of {len(encoder.layers)}")
            reducer = Reducer(model.config.hidden_size, place.factor, place.how, place.up, place.skip)
            attach(encoder, place.at, reducer.to(next(encoder.layers[place.at].parameters())))
