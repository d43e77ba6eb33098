"""The method that lets an encoder work on fewer frames."""

from dataclasses import dataclass
from typing import Any

from greenbench.errors import InputError
from greenbench.models.attention import OTHERS
from greenbench.models.edits.reduce import WITHOUT_SIGNAL, How, Reduce, Reduction, Up
from greenbench.plugins import BARE, Context, Outline


@dataclass(frozen=True)
class ReduceFrames:
    """From one layer on, work on fewer frames; the model's output has as many as before.

    Several frames become one before a layer, as RedApt (arXiv 2210.08475, 2022) does inside of an encoder; what its
    blocks do inside was not published in detail, so that this one is a reconstruction. The form ``conv`` is that of
    FitHuBERT and of RedApt's kind, ``average`` that of SEW; ``signal`` is the signal downsampling of Zaiem et al.
    (arXiv 2303.06740, 2023), by which the front end works less, too. Before the head each frame becomes as many again,
    so that CTC has room for the letters, and lengths, labels and exports stay as they are. Attention grows with the
    square of the frames. Without training the text collapses: name ``distill`` after it in a recipe. Name it twice to
    reduce in two places.

    Attributes:
        factor: frames that become one.
        at: the layer, counted from 0, before which they become one; 0 is after the positional convolution.
        how: ``conv``, a convolution added to the mean of the frames, which begins at zero; ``average``, the mean; or
            ``signal``, by resampling the waveform to the rate of 16 kHz over ``factor``, before the front end.
        up: how one frame becomes several again: ``linear``, by a linear map for each of them, which begins as the
            identity; or ``repeat``, by copies.
        skip: add the frames before the reduction to those after it, by a weight for each feature that begins at zero;
            true where not given, but with ``signal``, which has no frames before.
    """

    factor: int = 2
    at: int = 0
    how: How = "conv"
    up: Up = "linear"
    skip: bool | None = None

    def __post_init__(self) -> None:
        """Refuse what reduces nothing, and places and frames that a signal does not have."""
        if self.factor < 2:
            raise ValueError("factor: give at least 2")
        if self.at < 0:
            raise ValueError("at: layers are counted from 0")
        if self.how == "signal" and (self.at or self.skip):
            raise ValueError("how: signal is before all layers and frames: leave out `at` and `skip`")

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse models whose layers share positions of frames, or that squeeze frames themselves."""
        if reason := self._unlike(before.model_type):
            raise InputError(f"reduce-frames: models of the type {before.model_type} {reason}")
        if before.adapter and self.how == "signal":
            raise InputError("reduce-frames: how: the model has an adapter, which needs all frames")
        if before.exits:
            raise InputError("reduce-frames cannot follow early-exit, whose branches take all frames: leave one out")
        if before.chunked:
            raise InputError(
                "reduce-frames cannot follow chunk-attention, whose chunks are of all frames: leave one out"
            )
        if before.n_layers is not None and self.at >= before.n_layers:
            raise InputError(f"reduce-frames: at: there is no layer {self.at} of {before.n_layers}, counted from 0")
        return before

    def _unlike(self, model_type: str | None) -> str | None:
        """Return why models of a type cannot be reduced so; None where they can."""
        unlike = WITHOUT_SIGNAL if self.how == "signal" else {**WITHOUT_SIGNAL, **OTHERS}
        return unlike.get(model_type or "")

    def __call__(self, model: Any, context: Context = BARE) -> Any:  # noqa: ARG002
        """Put the reducer in.

        Raises:
            InputError: the model is of another kind, has no such layer, or has a reducer there.
        """
        from greenbench.compress.steps import outline

        self.follow(outline(model))
        base, skip = model.base_model, self.how != "signal" if self.skip is None else self.skip
        if self.how == "signal" and hasattr(base, "expander"):
            raise InputError("reduce-frames: how: the signal is resampled already: give one `factor`")
        if self.how != "signal" and hasattr(base.encoder.layers[self.at], "reducer"):
            raise InputError(f"reduce-frames: at: frames become fewer before layer {self.at} already")
        Reduce((Reduction(self.at, self.factor, self.how, self.up, skip),)).make(model)
        return model
