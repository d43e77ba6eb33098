"""Builds by torchao, the successor of torch's own quantisation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from greenbench import extras
from greenbench.compress.quantize import chosen, integers
from greenbench.errors import InputError
from greenbench.plugins import BARE, Context, Inapplicable, Outline

if TYPE_CHECKING:
    from torch.nn import Linear


@dataclass(frozen=True)
class Int8WeightOnly:
    """Int8 weights with a scale for each output, multiplied with activations in floats: smaller, hardly faster.

    What it multiplies in is the model's precision, so that ``bf16+int8-weight-only`` is possible.

    Attributes:
        include: only layers whose path contains one of these; every Linear layer where empty.
        exclude: layers whose path contains one of these stay in floats.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ("lm_head",)

    extra: ClassVar[str] = "torchao"

    def unsupported(self, device: str) -> str | None:
        """Say that torchao is not installed, or knows no such device."""
        return _unsupported(device)

    def follow(self, before: Outline) -> Outline:
        """Refuse layers that are integers already."""
        return integers(before, "int8-weight-only", self.include, self.exclude)

    def __call__(self, model: Any, context: Context = BARE) -> Any:  # noqa: ARG002
        """Replace the weights of the chosen Linear layers in place.

        Raises:
            InputError: no layer is chosen.
        """
        from torchao.quantization import Int8WeightOnlyConfig

        how = Int8WeightOnlyConfig(set_inductor_config=False)
        return _quantize(model, how, chosen(model, self.include, self.exclude, "int8-weight-only"))


@dataclass(frozen=True)
class Int8TorchAo:
    """Dynamic int8 by torchao: weights with a scale for each output, activations with one for each frame.

    Its scales are finer than those of ``int8-dynamic``, which has one for a weight and one for all activations of
    a layer. On wav2vec 2.0 base and one thread it is 1.6 times as fast as float32, ``int8-dynamic`` 1.9 times.

    Attributes:
        include: only layers whose path contains one of these; every Linear layer where empty.
        exclude: layers whose path contains one of these stay in floats.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ("lm_head",)

    extra: ClassVar[str] = "torchao"

    def unsupported(self, device: str) -> str | None:
        """Say that torchao is not installed, or knows no such device."""
        return _unsupported(device)

    def follow(self, before: Outline) -> Outline:
        """Refuse layers that are integers already."""
        return integers(before, "int8-torchao", self.include, self.exclude)

    def __call__(self, model: Any, context: Context = BARE) -> Any:  # noqa: ARG002
        """Replace the weights of the chosen Linear layers in place.

        Raises:
            InputError: no layer is chosen.
        """
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig

        how = Int8DynamicActivationInt8WeightConfig(set_inductor_config=False)
        return _quantize(model, how, chosen(model, self.include, self.exclude, "int8-torchao"))


@dataclass(frozen=True)
class Int4WeightOnly:
    """Weights of 4 bits, multiplied with bfloat16 activations on the CPU; put ``bf16`` before it.

    A prototype in torchao, which has no other int4 for the CPU; its kernel takes 20 times as long in float32.

    Attributes:
        group_size: weights of a row that share a scale and a zero: 32, 64 or 128. Layers whose inputs are no multiple
            of it, or whose outputs are no multiple of 16, stay in bfloat16.
        include: only layers whose path contains one of these; every Linear layer where empty.
        exclude: layers whose path contains one of these stay in bfloat16.
    """

    group_size: Literal[32, 64, 128] = 32
    include: Sequence[str] = ()
    exclude: Sequence[str] = ("lm_head",)

    extra: ClassVar[str] = "torchao"

    def unsupported(self, device: str) -> str | None:
        """Say that torchao is not installed, or that this is for the CPU."""
        if device != "cpu":
            return Inapplicable(f"int4-weight-only runs on the CPU only, not on {device}")
        return _unsupported(device)

    def follow(self, before: Outline) -> Outline:
        """Refuse floats other than bfloat16, and layers that are integers already."""
        if before.floats in ("fp32", "fp16"):
            raise InputError(_NEEDS_BFLOAT16)
        return integers(before, "int4-weight-only", self.include, self.exclude)

    def __call__(self, model: Any, context: Context = BARE) -> Any:  # noqa: ARG002
        """Replace the weights of the chosen Linear layers in place.

        Raises:
            InputError: the model is not in bfloat16, or no layer is chosen or fits the size of the groups.
        """
        layers = self._layers(model)

        from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

        how = PrototypeInt4WeightOnlyConfig(group_size=self.group_size, set_inductor_config=False)
        return _quantize(model, how, layers)

    def _layers(self, model: Any) -> "Mapping[str, Linear]":
        """Return the chosen layers whose weights can be cut into groups."""
        import torch

        if model.dtype != torch.bfloat16:
            raise InputError(_NEEDS_BFLOAT16)
        layers = chosen(model, self.include, self.exclude, "int4-weight-only")
        fitting = {
            name: layer
            for name, layer in layers.items()
            if layer.in_features % self.group_size == 0 and layer.out_features % 16 == 0
        }
        if not fitting:
            raise InputError(
                f"int4-weight-only: group_size: no layer has inputs in groups of {self.group_size} and outputs in "
                "sixteens: give a smaller one, or leave the build out"
            )
        return fitting


_NEEDS_BFLOAT16 = "int4-weight-only needs a model in bfloat16: put bf16 before it"


def _unsupported(device: str) -> str | None:
    if reason := extras.missing(["torchao"]):
        return reason
    return Inapplicable(f"torchao's int8 runs on the CPU and on CUDA, not on {device}") if device == "mps" else None


def _quantize(model: Any, how: Any, layers: Any) -> Any:
    from torchao.quantization import quantize_

    quantize_(model, how, filter_fn=lambda _module, name: name in layers)
    return model
