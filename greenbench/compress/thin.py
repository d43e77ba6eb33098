"""The method that thins the convolutional front end."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from greenbench.compress import refit
from greenbench.compress.calibration import SpeechSettings
from greenbench.compress.saliency import by_gates
from greenbench.errors import InputError
from greenbench.models import linears
from greenbench.models.convolutions import check_type, consumers, convolutions, keep
from greenbench.plugins import BARE, Context, Outline


@dataclass(frozen=True)
class ThinConv(SpeechSettings):
    """Take channels out of the convolutions of the front end, those with the lowest scores first.

    Work and weights of a convolution fall with the product of the channels that go in and come out; the feature
    projection loses inputs with the last one. A channel's score is by a gate on its output h, where L is the
    cross-entropy to the model's own best tokens: the sum over frames of |h dL/dh| (Molchanov et al., arXiv 1611.06440,
    2017, equation 7, each frame by itself). Where the front end has layer norms, and in that of the feature projection,
    means and deviations are then over the channels that stay. No transcripts are needed. transformers' configuration
    has the channels, so that other programs load a saved model too.

    Attributes:
        keep: share of the channels of each convolution that stay; or give ``channels``.
        channels: how many stay, a number for each convolution such as ``[64, 96, 128, 192]``, instead of ``keep``,
            ``skip`` and ``multiple_of``; one that keeps all is neither thinned nor refitted.
        skip: for ``keep``: the first convolutions, so many, keep all of their channels.
        multiple_of: for ``keep``: channels are rounded to multiples of this, which kernels like; a convolution keeps at
            least one.
        refit: fit what takes in the channels of each thinned convolution to what it gave before, by ridge regression,
            convolution after convolution, as ``prune-ffn`` does; kept only if the mean KL divergence over frames to the
            model before is then smaller, on the same speech.
        calibration: the data set for scores and refit, in the form of a suite's; by default the bundled unlabelled
            speech, synthetic English. Never the speech that is evaluated on.
        n_calibration: number of its utterances to use, spread over the whole data set.
    """

    keep: Annotated[float, Field(gt=0, lt=1)] | None = None
    channels: Sequence[int] | None = None
    skip: Annotated[int, Field(ge=0)] = 1
    multiple_of: Annotated[int, Field(ge=1)] = 8
    refit: bool = True

    def __post_init__(self) -> None:
        """Refuse channels that are named in two ways, or in none."""
        super().__post_init__()
        if (self.keep is None) == (self.channels is None):
            raise ValueError("give `keep`, or how many channels of each convolution stay as `channels`")
        if self.channels is not None and (self.skip, self.multiple_of) != (1, 8):
            raise ValueError("`channels` has a number for each convolution: leave out `skip` and `multiple_of`")

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse another front end, and what has no gradients."""
        check_type("thin-conv", before.model_type)
        if before.integers or before.compiled:
            raise InputError(f"thin-conv cannot follow {before.integers or 'compile'}: put it before")
        return before

    def __call__(self, model: Any, context: Context = BARE) -> Any:
        """Thin the convolutions in place, and the configuration with them.

        Raises:
            InputError: the model has no such front end, or not whole and in floats any more, or none of its
                convolutions is left to thin, or ``channels`` do not fit them; or there is no speech.
        """
        self.follow(Outline(model.config.model_type))
        layers = convolutions(model)
        widths = self._widths([layer.conv.out_channels for layer in layers])
        if not linears.in_floats([*(layer.conv for layer in layers), model.base_model.feature_projection.projection]):
            raise InputError(linears.needs_floats("thin-conv"))
        speech = self.speech(model, context)
        kept = _highest(model, widths, speech)
        whole = deepcopy(model) if self.refit else None
        for number, channels in kept.items():
            keep(model, number, channels)
        if whole is not None:
            refit.kept_if_nearer(partial(refit.front_end, model, whole, kept, speech), model, whole, speech)
        return model

    def _widths(self, present: Sequence[int]) -> Mapping[int, int]:
        """Return how many channels stay of each convolution that is thinned."""
        if self.channels is not None:
            return _fewer(present, self.channels)
        if self.skip >= len(present):
            raise InputError(f"thin-conv: skip: {self.skip} leaves none of {len(present)} convolutions to thin")
        return {number: self._share(n) for number, n in enumerate(present) if number >= self.skip}

    def _share(self, n: int) -> int:
        """Return how many of a convolution's channels stay by ``keep``."""
        assert self.keep is not None
        return min(n, max(1, round(self.keep * n / self.multiple_of)) * self.multiple_of)


def _fewer(present: Sequence[int], wanted: Sequence[int]) -> Mapping[int, int]:
    """Return how many channels stay of each convolution that has more.

    Raises:
        InputError: these are the numbers of another front end, or of none with fewer channels.
    """
    if len(wanted) != len(present):
        raise InputError(
            f"thin-conv: channels: {len(wanted)} numbers for {len(present)} convolutions: give one for each"
        )
    for number, (n, n_present) in enumerate(zip(wanted, present, strict=True)):
        if not 1 <= n <= n_present:
            raise InputError(
                f"thin-conv: channels: convolution {number}, counted from 0, cannot keep {n} of {n_present} channels"
            )
    if fewer := {number: n for number, n in enumerate(wanted) if n < present[number]}:
        return fewer
    raise InputError(f"thin-conv: channels: the model has {list(present)} already: give fewer")


def _highest(model: Any, widths: Mapping[int, int], speech: Sequence[Mapping[str, Any]]) -> dict[int, list[int]]:
    """Return the channels with the highest scores, in order, of each convolution that is thinned."""
    scores = by_gates(model, [consumers(model)[number] for number in widths], speech, per_frame=True)
    return {
        number: sorted(score.argsort(descending=True, stable=True)[:n].tolist())
        for (number, n), score in zip(widths.items(), scores, strict=True)
    }
