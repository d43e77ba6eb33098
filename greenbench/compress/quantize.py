"""Builds that store weights as integers."""

from dataclasses import dataclass
from typing import Any

from greenbench.errors import InputError
from greenbench.plugins import BARE, Context


@dataclass(frozen=True)
class Int8Dynamic:
    """Dynamic int8 of every Linear layer: int8 weights, activations quantised on the fly.

    The method of Peng et al., "Shrinking Bigfoot: Reducing wav2vec 2.0 footprint" (SustaiNLP 2021), section 3:
    ``torch.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)``.
    """

    def unsupported(self, device: str) -> str | None:
        """Say that torch's int8 kernels are for the CPU."""
        if device != "cpu":
            return f"torch's dynamic quantisation runs on the CPU only, not on {device}"
        import torch

        engines = torch.backends.quantized.supported_engines
        return None if set(engines) - {"none"} else "this build of torch has no quantisation engine"

    def __call__(self, model: Any, context: Context = BARE) -> Any:  # noqa: ARG002
        """Replace every ``torch.nn.Linear`` in place by its int8 form; the rest stays as it is.

        Raises:
            InputError: the model is not in float32, in which alone the int8 kernels take and give activations.
        """
        import torch
        from torch.ao.quantization import quantize_dynamic

        if any(p.is_floating_point() and p.dtype != torch.float32 for p in model.parameters()):
            raise InputError("int8-dynamic needs a model in float32: leave out the fp16 or bf16 before it")
        return quantize_dynamic(  # type: ignore[no-untyped-call]
            model, {torch.nn.Linear}, dtype=torch.qint8, inplace=True
        )
