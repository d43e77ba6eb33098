"""Builds by torchao, the successor of torch's own quantisation."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from greenbench.compress.quantize import chosen
from greenbench.plugins import BARE, Context


@dataclass(frozen=True)
class Int8WeightOnly:
    """Int8 weights with a scale for each output, multiplied with activations in floats: smaller, hardly faster.

    What it multiplies in is the model's precision, so that ``bf16+int8-weight-only`` is possible. Weights of four
    bits are left out: torchao multiplies them on GPUs, and on the CPU in a prototype that takes 20 times as long as
    float32.

    Attributes:
        include: only layers whose path contains one of these; every Linear layer where empty.
        exclude: layers whose path contains one of these stay in floats.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ("lm_head",)

    def unsupported(self, device: str) -> str | None:
        """Say that torchao is not installed, or knows no such device."""
        return _unsupported(device)

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
    a layer.

    Attributes:
        include: only layers whose path contains one of these; every Linear layer where empty.
        exclude: layers whose path contains one of these stay in floats.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ("lm_head",)

    def unsupported(self, device: str) -> str | None:
        """Say that torchao is not installed, or knows no such device."""
        return _unsupported(device)

    def __call__(self, model: Any, context: Context = BARE) -> Any:  # noqa: ARG002
        """Replace the weights of the chosen Linear layers in place.

        Raises:
            InputError: no layer is chosen.
        """
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig

        how = Int8DynamicActivationInt8WeightConfig(set_inductor_config=False)
        return _quantize(model, how, chosen(model, self.include, self.exclude, "int8-torchao"))


def _unsupported(device: str) -> str | None:
    if find_spec("torchao") is None:
        return "torchao not installed: pip install 'greenbench[torchao]'"
    return f"torchao's int8 runs on the CPU and on CUDA, not on {device}" if device == "mps" else None


def _quantize(model: Any, how: Any, layers: Any) -> Any:
    from torchao.quantization import quantize_

    quantize_(model, how, filter_fn=lambda _module, name: name in layers)
    return model
