"""The method that gives the group norm of a front end fixed statistics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from greenbench.compress.calibration import SpeechSettings
from greenbench.errors import InputError
from greenbench.models import linears
from greenbench.models.convolutions import fold_norm, group_normed
from greenbench.models.frames import SPECTRA
from greenbench.plugins import BARE, Context, Outline

if TYPE_CHECKING:
    from torch import Tensor

WITHOUT = (*SPECTRA, "data2vec-audio")
"""Model types whose front end never has a group norm."""

_NO_NORM = "freeze-norm: the front end of the model has no group norm to freeze: leave it out"


@dataclass(frozen=True)
class FreezeNorm(SpeechSettings):
    """Give the group norm of the front end fixed statistics, and make it a part of the first convolution.

    Group norm takes the mean and variance of each channel from the whole utterance, so that padding in a batch changes
    them, the last sample is needed for the first frame, and no engine can merge it with the convolution. With those of
    all frames of calibration speech it is an affine map, as batch norm is when a model is used (Ioffe and Szegedy,
    ICML 2015): weights become w g / s, and biases (b - m) g / s + h, with mean m, s = sqrt(variance + eps), and weight
    g and bias h of the norm. Speech that is unlike the calibration speech gets other features than before, and the
    level of the waveform matters from then on where the feature extractor does not normalise it.

    Attributes:
        calibration: the data set for mean and variance, in the form of a suite's; by default the bundled unlabelled
            speech, synthetic English. Never the speech that is evaluated on.
        n_calibration: number of its utterances to use, spread over the whole data set.
    """

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse front ends without a group norm, or with one that is fixed or that runs."""
        if before.group_norm is False or before.model_type in WITHOUT:
            raise InputError(_NO_NORM)
        if before.chunked:
            raise InputError("freeze-norm cannot follow chunk-attention, whose statistics run: put it before")
        if before.compiled:
            raise InputError("freeze-norm cannot follow compile: put it before")
        return replace(before, group_norm=False)

    def __call__(self, model: Any, context: Context = BARE) -> Any:
        """Fold the norm in place.

        Raises:
            InputError: the front end has no group norm of one channel a group, or a convolution that is not in floats;
                or there is no speech.
        """
        from greenbench.compress.steps import outline

        self.follow(outline(model))
        layer = group_normed(model)
        if layer is None:
            raise InputError(_NO_NORM)
        if not linears.in_floats([layer.conv]):
            raise InputError(linears.needs_floats("freeze-norm", whole=False))
        fold_norm(layer, *_moments(model, layer.conv, self.speech(model, context)))
        return model


def _moments(model: Any, conv: Any, speech: "Sequence[Mapping[str, Tensor]]") -> "tuple[Tensor, Tensor]":
    """Return mean and variance of each channel over all frames of speech that a convolution gives, in float64."""
    import torch

    from greenbench.models.resampler import lowered

    n, sums, squares = 0, torch.zeros(()), torch.zeros(())
    with torch.no_grad():
        for inputs in speech:
            frames = conv(lowered(model, inputs["input_values"])[:, None])[0].cpu().double()
            n += frames.shape[1]
            sums, squares = sums + frames.sum(1), squares + frames.square().sum(1)
    mean = sums / n
    return mean, (squares / n - mean.square()).clamp(min=0)
