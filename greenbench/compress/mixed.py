"""The method that stores weights in few bits, more of them where a model needs them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from greenbench.compress.bits import BitSearch, allocation
from greenbench.compress.calibration import NUtterances, SpeechSettings
from greenbench.compress.distill import Distill, no_build
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
    """Store the weights of Linear layers in few bits, of each layer in as many as it needs.

    After Xu et al., "Effective and Efficient Mixed Precision Quantization of Speech Foundation Models" (arXiv
    2501.03643, 2025). A weight W of a row becomes s clip(round(W / s), -2^(b-1), 2^(b-1) - 1) with b bits, and the
    scale s, a float16, of the least squared error. Without a training each layer is tried with each number of bits,
    alone, and bits are then taken where the mean KL divergence over frames to the model before rises least for each
    bit saved. One number of bits for all layers needs no speech: ``bits: [3], mean_bits: 3``. In a recipe ``search:
    gumbel`` learns the bits with the weights, as theirs does: a layer computes with the sum over b of g_b times its
    weight in b bits, g = softmax((l + G) / tau), where l trains and G is Gumbel noise, and the loss has the term n
    budget max(0, mean bits by softmax(l) - ``mean_bits``), with n the mean frames of an utterance. Their equations
    could not be read: the term and the rate of l are a reconstruction. Each layer then gets its most probable bits,
    fewer where their mean is too high. The model becomes smaller, and not faster: floats are made of the codes at each
    call.

    Attributes:
        bits: numbers of bits, 2 to 8, of which a layer gets one.
        mean_bits: the most bits of a weight, as the mean over all weights of these layers, without their scales.
        exclude: layers whose path contains one of these stay in floats.
        search: ``sensitivity``, without a training, or ``gumbel``, in one.
        distill: of ``gumbel``: the training, with all settings of ``distill``; the weights of the last step are the
            result.
        tau: of ``gumbel``: its first temperature and its last, between which it falls by the same factor each step.
        budget: of ``gumbel``: factor of the term of too many bits.
        steps_after: of ``gumbel``: steps after those of ``distill``, with the bits settled.
        calibration: the data set that layers are tried on, in the form of a suite's; by default the bundled unlabelled
            speech, synthetic English. Never the speech that is evaluated on.
        n_calibration: number of its utterances to use, spread over the whole data set.
    """

    bits: Sequence[int] = (2, 4, 8)
    mean_bits: float = 4.0
    exclude: Sequence[str] = ("lm_head",)
    search: Literal["sensitivity", "gumbel"] = "sensitivity"
    distill: Distill | None = None
    tau: Annotated[Sequence[Annotated[float, Field(gt=0)]], Field(min_length=2, max_length=2)] = (1.0, 0.1)
    budget: Annotated[float, Field(gt=0)] = 1.0
    steps_after: Annotated[int, Field(ge=0)] = 0
    n_calibration: NUtterances = 30

    def __post_init__(self) -> None:
        """Refuse numbers of bits that cannot be, and to look at nothing."""
        super().__post_init__()
        if not self.bits or not all(2 <= bits <= 8 for bits in self.bits):
            raise ValueError("bits: give one or more numbers from 2 to 8")
        if self.mean_bits < min(self.bits):
            raise ValueError(f"mean_bits: give at least {min(self.bits)}, the least of `bits`")
        if self.search == "gumbel" and self.distill is None:
            raise ValueError("search: gumbel learns the bits in a training: give `distill`")
        if self.search == "sensitivity" and (self.distill is not None or self.steps_after):
            raise ValueError("distill, steps_after: are for `search: gumbel`; sensitivity trains nothing")
        for key in ("patience_steps", "train_only") if self.distill is not None else ():
            if getattr(self.distill, key):
                raise ValueError(f"distill.{key}: bits are chosen over all steps, with the weights: leave it out")

    @property
    def extra(self) -> str:
        """The extra that it does not run without."""
        return "torch" if self.distill is None else "distill"

    @property
    def needs_speech(self) -> bool:
        """Whether the settings leave a choice to calibration speech."""
        return self.search == "sensitivity" and min(self.bits) < self.mean_bits < max(self.bits)

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse layers that are integers already, or compiled, and to train as a build."""
        if before.integers or before.compiled:
            raise InputError(f"mixed-precision cannot follow {before.integers or 'compile'}: put it before")
        if self.distill is None:
            return before
        if before.teacher is None:
            raise InputError(no_build("mixed-precision: search: gumbel"))
        return self.distill.follow(before)

    def __call__(self, model: Any, context: Context = BARE) -> Any:
        """Pack the layers in place; after a training, of which one that was broken off goes on.

        Raises:
            InputError: no layer is chosen, or they are not in floats any more; there is no calibration speech; or as
                ``Distill`` says.
            MissingError: the calibration speech is not here.
        """
        from greenbench.models.packed import of_linear

        layers = chosen(model, (), self.exclude, "mixed-precision")
        if not linears.in_floats(layers.values()):
            raise InputError(linears.needs_floats("mixed-precision", whole=False))
        if self.distill is not None:
            training = replace(self.distill, steps=self.distill.steps + self.steps_after)
            chosen_by = BitSearch([*layers], self.bits, self.mean_bits, self.tau, self.budget, self.distill.steps)
            return training.train_with(model, context, [chosen_by])
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
