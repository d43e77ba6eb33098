"""Methods that set weights to zero or take them out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from greenbench.compress.layers import set_weight
from greenbench.errors import InputError
from greenbench.models.feed_forward import feed_forwards, resize
from greenbench.plugins import BARE, Context, Outline

PAPER = {
    "*conv*": 0.1,
    "*.layers.[3-9].*": 0.3,
    "*.layers.1[0-6].*": 0.3,
    "*.layers.1[7-9].*": 0.4,
    "*.layers.2[0-3].*": 0.4,
}
"""Sensitivities of the preliminary study in "Shrinking Bigfoot", for the 24 layers of the large model, from 0."""


@dataclass(frozen=True)
class PruneMagnitude:
    """Set small weights to zero: in each layer those below its sensitivity times their standard deviation.

    The preliminary study of Peng et al., "Shrinking Bigfoot" (SustaiNLP 2021), by the rule of Han et al., "Learning
    both weights and connections" (2015). Zeros scattered over a dense matrix are multiplied like any other number
    and stored like any other: the row's ``n_nonzero_params`` falls, and neither size nor time do. The paper saw the
    same: 23 % zeros, the same WER, no speed-up.

    Attributes:
        sensitivity: by pattern of a layer's path (``*``, ``?``, ``[0-9]``); the first that fits counts, and a
            convolution or Linear layer that none fits stays as it is. The default is the paper's.
    """

    sensitivity: Mapping[str, float] = field(default_factory=lambda: dict(PAPER))

    def __post_init__(self) -> None:
        """Refuse what prunes nothing."""
        if not self.sensitivity or min(self.sensitivity.values()) <= 0:
            raise ValueError("sensitivity: give patterns with numbers above 0")

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Follow anything."""
        return before

    def __call__(self, model: Any, context: Context = BARE) -> Any:  # noqa: ARG002
        """Set weights of convolutions and Linear layers to zero in place.

        Raises:
            InputError: no pattern fits any layer.
        """
        import torch

        fits = {
            module: next((s for pattern, s in self.sensitivity.items() if fnmatchcase(name, pattern)), None)
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear | torch.nn.Conv1d)
        }
        if not any(fits.values()):
            raise InputError(f"prune-magnitude: sensitivity: no layer is called like {', '.join(self.sensitivity)}")
        for module, sensitivity in fits.items():
            if sensitivity is not None:
                weight = module.weight.detach()
                set_weight(module, weight * (weight.abs() >= sensitivity * weight.std(correction=0)))
        return model


@dataclass(frozen=True)
class PruneFfn:
    """Take whole neurons out of the feed-forward layers, those with the smallest weights first.

    A neuron's score is the L1 norm of all weights at it: those that lead into it, its bias, and those that lead out of
    it (row pruning in Lin et al., "Is Smaller Always Faster?", arXiv 2211.09949, 2022, who take the same number out of
    every layer, in several steps with training in between: name this method and ``distill`` several times).

    Attributes:
        keep: share of the neurons that stay.
        scope: rank the neurons of each ``layer`` by themselves, so that layers stay equally wide, or those of the whole
            ``model`` together, so that each layer is as wide as it has neurons among the highest.
        multiple_of: widths are rounded to multiples of this, which kernels like; a layer keeps at least one.
    """

    keep: float
    scope: Literal["layer", "model"] = "layer"
    multiple_of: int = 8

    def __post_init__(self) -> None:
        """Refuse what takes nothing, or everything."""
        if not 0 < self.keep < 1:
            raise ValueError("keep: give a share between 0 and 1")
        if self.multiple_of < 1:
            raise ValueError("multiple_of: give at least 1")

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse layers that are integers already."""
        if before.model_type in ("sew-d", "parakeet_ctc"):
            kind = before.model_type
            raise InputError(f"prune-ffn: models of the type {kind} have no feed-forward layers like wav2vec 2.0's")
        if before.all_integers:
            raise InputError(_NEEDS_FLOATS)
        return before

    def __call__(self, model: Any, context: Context = BARE) -> Any:  # noqa: ARG002
        """Narrow the feed-forward layers in place, and the configuration with them where they stay equally wide.

        Raises:
            InputError: the model has no such layers, or not in floats any more.
        """
        layers = list(feed_forwards(model).values())
        if not layers:
            raise InputError("prune-ffn: the model has no feed-forward layers as wav2vec 2.0 has them")
        scores = [_scores(layer) for layer in layers]
        widths = self._widths(scores)
        for layer, score, width in zip(layers, scores, widths, strict=True):
            kept = score.argsort(descending=True, stable=True)[:width].sort().values
            first, second = layer.intermediate_dense, layer.output_dense
            resize(layer, first.weight[kept], first.bias[kept], second.weight[:, kept])
        if len(set(widths)) == 1:
            model.config.intermediate_size = widths[0]
        return model

    def _widths(self, scores: Sequence[Any]) -> list[int]:
        """Return how many neurons of each layer stay, from their scores, ``(width,)`` a layer."""
        import torch

        together = torch.cat(list(scores))
        last = together.sort(descending=True).values[max(1, round(self.keep * len(together))) - 1]
        shares = [self.keep if self.scope == "layer" else float((s >= last).float().mean()) for s in scores]
        rounded = [round(share * len(s) / self.multiple_of) for share, s in zip(shares, scores, strict=True)]
        return [min(len(s), max(1, n) * self.multiple_of) for n, s in zip(rounded, scores, strict=True)]


_NEEDS_FLOATS = "prune-ffn needs whole weights in floats: put it before what makes integers or factors of them"


def _scores(layer: Any) -> Any:
    """Return the score of each neuron of a feed-forward layer, in float32."""
    import torch

    first, second = layer.intermediate_dense, layer.output_dense
    if not all(
        isinstance(part, torch.nn.Linear) and type(part.weight.data) is torch.Tensor for part in (first, second)
    ):
        raise InputError(_NEEDS_FLOATS)
    with torch.no_grad():
        into = first.weight.float().abs().sum(1) + first.bias.float().abs()
        return into + second.weight.float().abs().sum(0)
