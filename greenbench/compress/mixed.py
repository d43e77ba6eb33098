"""The method that stores weights in few bits, more of them where a model needs them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from greenbench.compress.calibration import NUtterances, SpeechSettings
from greenbench.compress.probe import divergence, log_probabilities
from greenbench.compress.quantize import chosen
from greenbench.errors import InputError
from greenbench.models import linears
from greenbench.plugins import BARE, Context, Outline

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Linear


@dataclass(frozen=True)
class MixedPrecision(SpeechSettings):
    """Store the weights of Linear layers in few bits, of each layer in as many as it needs; nothing is trained.

    After Xu et al., "Effective and Efficient Mixed Precision Quantization of Speech Foundation Models" (arXiv
    2501.03643, 2025), who learn the bits; here they follow from how sensitive each layer is. A weight W of a row
    becomes s clip(round(W / s), -2^(b-1), 2^(b-1) - 1) with b bits, and the scale s, a float16, of the least squared
    error. Each layer is tried with each number of bits, alone, and bits are then taken where the mean KL divergence
    over frames to the model before rises least for each bit saved. One number of bits for all layers needs no speech:
    ``bits: [3], mean_bits: 3``. The model becomes smaller, and not faster: floats are made of the codes at each call.

    Attributes:
        bits: numbers of bits, 2 to 8, of which a layer gets one.
        mean_bits: the most bits of a weight, as the mean over all weights of these layers, without their scales.
        exclude: layers whose path contains one of these stay in floats.
        calibration: the data set that layers are tried on, in the form of a suite's; by default the bundled unlabelled
            speech, synthetic English. Never the speech that is evaluated on.
        n_calibration: number of its utterances to use, spread over the whole data set.
    """

    bits: Sequence[int] = (2, 4, 8)
    mean_bits: float = 4.0
    exclude: Sequence[str] = ("lm_head",)
    n_calibration: NUtterances = 30

    def __post_init__(self) -> None:
        """Refuse numbers of bits that cannot be, and to look at nothing."""
        super().__post_init__()
        if not self.bits or not all(2 <= bits <= 8 for bits in self.bits):
            raise ValueError("bits: give one or more numbers from 2 to 8")
        if self.mean_bits < min(self.bits):
            raise ValueError(f"mean_bits: give at least {min(self.bits)}, the least of `bits`")

    @property
    def needs_speech(self) -> bool:
        """Whether the settings leave a choice."""
        return min(self.bits) < self.mean_bits < max(self.bits)

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse layers that are integers already, or compiled."""
        if before.integers or before.compiled:
            raise InputError(f"mixed-precision cannot follow {before.integers or 'compile'}: put it before")
        return before

    def __call__(self, model: Any, context: Context = BARE) -> Any:
        """Pack the layers in place.

        Raises:
            InputError: no layer is chosen, or they are not in floats any more; there is no calibration speech.
            MissingError: the calibration speech is not here.
        """
        from greenbench.models.packed import of_linear

        layers = chosen(model, (), self.exclude, "mixed-precision")
        if not linears.in_floats(layers.values()):
            raise InputError(linears.needs_floats("mixed-precision", whole=False))
        for (path, layer), bits in zip(layers.items(), self._allotted(model, layers, context), strict=True):
            model.set_submodule(path, of_linear(layer, bits))
        return model

    def _allotted(self, model: Any, layers: "Mapping[str, Linear]", context: Context) -> list[int]:
        """Return the bits of each layer."""
        if not self.needs_speech:
            fitting = max(bits for bits in self.bits if bits <= self.mean_bits)
            return [fitting] * len(layers)
        damage = damages(model, list(layers.values()), self.bits, self.speech(model, context))
        return allocation(damage, [layer.weight.numel() for layer in layers.values()], self.mean_bits)


def damages(
    model: Any, layers: "Sequence[Linear]", bits: Sequence[int], speech: "Sequence[Mapping[str, Tensor]]"
) -> list[dict[int, float]]:
    """Return how far a model is from itself, as ``probe`` says, with each layer alone in each number of bits.

    Args:
        model: a transformers CTC model; it is left as it is.
        layers: of it, in floats.
        bits: numbers of bits.
        speech: named inputs for each utterance alone.
    """
    from greenbench.models.packed import rounded, row_scales

    theirs = log_probabilities(model, speech)
    found: list[dict[int, float]] = [{} for _ in layers]
    for layer, of_layer in zip(layers, found, strict=True):
        whole = layer.weight.data
        for n in bits:
            layer.weight.data = rounded(whole.float(), row_scales(whole, n), n).to(whole)
            of_layer[n] = divergence(model, theirs, speech)
        layer.weight.data = whole
    return found


def allocation(damage: Sequence[Mapping[int, float]], n_weights: Sequence[int], mean_bits: float) -> list[int]:
    """Return the bits of each layer: from the most for all, those go first that save a bit at the least damage.

    A layer may lose several steps at once, so that one bad number between two good ones does not stop it.

    Args:
        damage: number of bits -> what a layer does to the model with them, for each layer.
        n_weights: of each layer.
        mean_bits: of a weight, that the mean is not to exceed; at least the fewest bits.
    """
    found = [max(of_layer) for of_layer in damage]
    while sum(n * bits for n, bits in zip(n_weights, found, strict=True)) > mean_bits * sum(n_weights):
        _, layer, fewer = min(
            ((of_layer[fewer] - of_layer[found[layer]]) / (n_weights[layer] * (found[layer] - fewer)), layer, fewer)
            for layer, of_layer in enumerate(damage)
            for fewer in of_layer
            if fewer < found[layer]
        )
        found[layer] = fewer
    return found
