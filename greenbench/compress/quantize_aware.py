"""Quantisation-aware training: the model trains with weights of few bits, so that it gets used to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from greenbench.compress.distill import Distill, no_build
from greenbench.compress.distill.companion import Companion
from greenbench.compress.quantize import chosen
from greenbench.errors import InputError
from greenbench.models import linears
from greenbench.plugins import Context, Outline

_Bits = Annotated[int, Field(ge=2, le=8)]


@dataclass(frozen=True)
class QuantizeAware:
    """Train the model with weights rounded to few bits, then store them so.

    Fake quantisation with the straight-through estimator (Bengio et al., arXiv 1308.3432, 2013; Jacob et al., CVPR
    2018): each call rounds a weight to s clip(round(W / s), -2^(b-1), 2^(b-1) - 1), with the scales s of the rows that
    had the least squared error before the training; gradients pass to W as they are, and not where it is clipped.
    ``mixed-precision`` stores few bits without a training; train where it costs too much accuracy.

    Attributes:
        distill: the training, with all settings of ``distill``.
        bits: by pattern of a layer's path (``*``, ``?``, ``[0-9]``), bits of its weights, 2 to 8; the first that fits
            counts, and a Linear layer that none fits stays as it is.
        activations: bits to which the inputs of these layers are rounded while the model trains, within the range of
            each, as ``int8-dynamic`` rounds them with 8; with ``null`` they stay floats.
        observer: the range of these inputs: ``dynamic``, that of each call, or ``ema``, its moving average over the
            batches of the training (Jacob et al., section 3.1), for engines that keep ranges, as ``openvino-int8``
            does; these find their own by calibration.
        exclude: layers whose path contains one of these stay in floats.
        pack: store the weights in these bits, as ``mixed-precision`` does; otherwise as floats of the same values, for
            builds that make integers of them.
    """

    distill: Distill
    bits: Annotated[Mapping[str, _Bits], Field(min_length=1)] = field(default_factory=lambda: {"*": 8})
    activations: _Bits | None = 8
    observer: Literal["dynamic", "ema"] = "dynamic"
    exclude: Sequence[str] = ("lm_head",)
    pack: bool = True

    extra: ClassVar[str] = "distill"

    def __post_init__(self) -> None:
        """Refuse numbers of bits that cannot be."""
        if not self.bits or not all(2 <= bits <= 8 for bits in self.bits.values()):
            raise ValueError("bits: give patterns with numbers from 2 to 8")
        if self.observer == "ema" and self.activations is None:
            raise ValueError("observer: is of inputs, which `activations: null` leaves as they are: leave one out")

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Train anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse to be a build, and models that cannot be trained."""
        if before.teacher is None:
            raise InputError(no_build("quantize-aware"))
        return self.distill.follow(before)

    def __call__(self, model: Any, context: Context) -> Any:
        """Return the trained model; a training that was broken off goes on from its last checkpoint.

        Raises:
            InputError: as ``Distill`` says; or no layer is chosen, or they are not in floats any more.
        """
        bits = self.chosen_bits(model)
        quantization = FakeQuantization(bits, self.activations, self.pack, self.observer == "ema")
        return self.distill.train_with(model, context, [quantization])

    def chosen_bits(self, model: Any) -> dict[str, int]:
        """Return the bits of each layer by path.

        Raises:
            InputError: as a call does.
        """
        layers = chosen(model, (), self.exclude, "quantize-aware")
        if not linears.in_floats(layers.values()):
            raise InputError(linears.needs_floats("quantize-aware", whole=False))
        fits = {path: next((n for glob, n in self.bits.items() if fnmatchcase(path, glob)), None) for path in layers}
        found = {path: n for path, n in fits.items() if n is not None}
        if not found:
            raise InputError(f"quantize-aware: bits: no layer matches {', '.join(self.bits)}")
        return found


class FakeQuantization(Companion):
    """Layers of a student that compute with few bits while it trains, and keep them afterwards."""

    name = "fake_quantization"

    def __init__(self, bits: Mapping[str, int], activations: int | None, pack: bool, moving: bool = False) -> None:
        """Take the bits of each layer by path, those of inputs, and whether layers are packed in the end.

        With ``moving`` the range of inputs is a moving average.
        """
        self.bits, self.activations, self.pack, self.moving = bits, activations, pack, moving

    def attach(self, student: Any, context: Context) -> None:  # noqa: ARG002
        """Let the layers round what they compute with."""
        from greenbench.compress import fake_quantization

        fake_quantization.add(student, self.bits, self.activations, self.moving)

    def detach(self, student: Any) -> Any:
        """Return the student with the rounded weights, packed or as floats."""
        from greenbench.compress import fake_quantization

        fake_quantization.fold(student, self.pack)
        return student
