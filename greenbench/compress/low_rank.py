"""The method that makes two small Linear layers of a large one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from greenbench.compress.calibration import SpeechSettings
from greenbench.compress.moments import second_moments
from greenbench.compress.quantize import chosen
from greenbench.compress.spectrum import balanced, check_rank, rank_of
from greenbench.errors import InputError
from greenbench.models import linears
from greenbench.plugins import BARE, Context, Outline

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Linear

_NEEDS_FLOATS = linears.needs_floats("low-rank", whole=False)


@dataclass(frozen=True)
class LowRank(SpeechSettings):
    """Replace each large Linear layer by two small ones.

    One of the methods that Lin et al., "Is Smaller Always Faster?" (arXiv 2211.09949, 2022), compare. A layer of m
    outputs and n inputs becomes two with r outputs between them, of r (m + n) weights; it is left as it is where that
    would save nothing, from r = m n / (m + n) on.

    Attributes:
        rank: r of each layer; where it is not given, ``energy`` decides for each.
        energy: the least share of the squared singular values that is kept; not used where ``rank`` is given.
        include: only layers whose path contains one of these; every Linear layer but the head where empty.
        how: ``svd``, by the singular values of the weight: what is lost of it, squared, is the sum of the squared
            values after the r-th (Eckart and Young, 1936); or ``activations``, by the principal axes of what the layer
            gives on calibration speech, as LiteASR does.
        calibration: the data set of ``activations``, in the form of a suite's; by default the bundled unlabelled
            speech, synthetic English.
        n_calibration: number of its utterances to use, spread over the whole data set.
        multiple_of: ranks chosen by ``energy`` are rounded up to multiples of this, on which kernels are fastest.
    """

    rank: int | None = None
    energy: float = 0.99
    include: Sequence[str] = ("feed_forward",)
    how: Literal["svd", "activations"] = "svd"
    multiple_of: int = 8

    def __post_init__(self) -> None:
        """Refuse to leave nothing."""
        super().__post_init__()
        check_rank(self.rank, self.energy, self.multiple_of)

    @property
    def needs_speech(self) -> bool:
        """Whether the settings ask for speech."""
        return self.how == "activations"

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse layers that are integers already."""
        if before.all_integers:
            raise InputError(_NEEDS_FLOATS)
        return before

    def __call__(self, model: Any, context: Context = BARE) -> Any:
        """Factorise the layers in place.

        Raises:
            InputError: no layer is chosen, they are not in floats any more, or none would become smaller; there is no
                calibration speech.
            MissingError: the calibration speech is not here.
        """
        layers = chosen(model, self.include, ("lm_head",), "low-rank")
        if not linears.in_floats(layers.values()):
            raise InputError(_NEEDS_FLOATS)
        factored = dict(zip(layers, self._factored(model, list(layers.values()), context), strict=True))
        if not any(factored.values()):
            raise InputError(f"low-rank: none of {len(layers)} layers becomes smaller: give a lower `rank` or `energy`")
        for path, layer in factored.items():
            if layer:
                model.set_submodule(path, layer)
        return model

    def _factored(self, model: Any, layers: "Sequence[Linear]", context: Context) -> list[Any]:
        """Return for each layer the two that stand for it; None where they would save nothing."""
        if self.how == "svd":
            return [_layer(layer, *self._of_weight(layer)) for layer in layers]
        moments = second_moments(model, layers, self.speech(model, context), "outputs")
        return [_layer(layer, *self._of_outputs(layer, m)) for layer, m in zip(layers, moments, strict=True)]

    def _of_weight(self, layer: "Linear") -> "Factors":
        import torch

        weight = layer.weight.detach().double()
        rank = self.rank or rank_of(torch.linalg.svdvals(weight), self.energy, self.multiple_of)
        up, down = balanced(weight, torch.eye(len(weight.T)).to(weight), min(rank, *weight.shape))
        return down.T, up, layer.bias

    def _of_outputs(self, layer: "Linear", moment: "Tensor") -> "Factors":
        """Return the factors by the principal axes V of outputs: V'W, then V, and a bias that keeps their mean."""
        import torch

        mean = moment[:-1, -1]
        values, axes = torch.linalg.eigh(moment[:-1, :-1] - mean.outer(mean))
        values, axes = values.flip(0).clamp_min(0), axes.flip(1)
        axes = axes[:, : self.rank or rank_of(values.sqrt(), self.energy, self.multiple_of)]
        bias = -mean if layer.bias is None else layer.bias.detach().double() - mean
        return axes.T @ layer.weight.detach().double(), axes, mean + axes @ (axes.T @ bias)


Factors = tuple[Any, Any, Any]
"""What leads into the narrow place, ``(rank, n_in)``, what leads out of it, ``(n_out, rank)``, and the bias."""


def _layer(layer: "Linear", down: "Tensor", up: "Tensor", bias: "Tensor | None") -> Any:
    """Return a layer of two factors in the precision of another one; None where it has no fewer weights."""
    from greenbench.models.factored import Factored

    if down.numel() + up.numel() >= layer.weight.numel():
        return None
    return Factored(down.to(layer.weight), up.to(layer.weight), None if bias is None else bias.to(layer.weight))
