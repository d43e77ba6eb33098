"""Builds that choose the floating-point precision of weights and computation."""

from dataclasses import dataclass, replace
from typing import Any

from greenbench.errors import InputError
from greenbench.plugins import BARE, Context, Inapplicable, Outline


@dataclass(frozen=True)
class Fp32:
    """32-bit floats, as loaded."""

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Follow anything."""
        return replace(before, floats="fp32")

    def __call__(self, model: Any, context: Context = BARE) -> Any:  # noqa: ARG002
        """Return the model in float32."""
        return model.float()


@dataclass(frozen=True)
class Fp16:
    """16-bit floats (IEEE half).

    A CPU without half-precision arithmetic emulates it slowly: there it is skipped, unless the suite allows that.
    """

    def unsupported(self, device: str) -> str | None:  # noqa: ARG002
        """Run anywhere."""
        return None

    def follow(self, before: Outline) -> Outline:
        """Refuse to follow a build that made integers."""
        if before.integers:
            raise InputError(_after_integers("fp16", before.integers))
        return replace(before, floats="fp16")

    def __call__(self, model: Any, context: Context = BARE) -> Any:  # noqa: ARG002
        """Return the model in float16."""
        _refuse_int8(model, "fp16")
        return model.half()


@dataclass(frozen=True)
class Bf16:
    """16-bit floats with float32's range (bfloat16).

    A CPU without bfloat16 arithmetic emulates it slowly: there it is skipped, unless the suite allows that.
    """

    def unsupported(self, device: str) -> str | None:
        """Say so where the GPU has no bfloat16."""
        if device == "cpu":
            return None
        import torch

        if device == "mps":
            native = torch.backends.mps.is_macos_or_newer(14, 0)
            return None if native else Inapplicable("mps has bfloat16 from macOS 14 on; use fp16")
        with torch.cuda.device(device):  # emulated, bfloat16 runs on any GPU, and slower than float32
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        return None if native else Inapplicable(f"{device} has no bfloat16; use fp16")

    def follow(self, before: Outline) -> Outline:
        """Refuse to follow a build that made integers."""
        if before.integers:
            raise InputError(_after_integers("bf16", before.integers))
        return replace(before, floats="bf16")

    def __call__(self, model: Any, context: Context = BARE) -> Any:  # noqa: ARG002
        """Return the model in bfloat16."""
        _refuse_int8(model, "bf16")
        return model.bfloat16()


def _after_integers(build: str, integers: str) -> str:
    """Say why a precision cannot follow a build that made integers of weights."""
    if integers == "int8-dynamic":
        return f"{build} cannot follow int8-dynamic, whose layers take float32 only: leave one of them out"
    return f"{build} cannot follow {integers}, which keeps the precision before it: swap them"


def _refuse_int8(model: Any, build: str) -> None:
    """Raise ``InputError`` where int8 layers would meet activations that they cannot take."""
    import torch
    from torch.ao.nn.quantized import Linear

    if any(isinstance(module, Linear) for module in model.modules()):
        raise InputError(_after_integers(build, "int8-dynamic"))
    if any(type(parameter.data) is not torch.Tensor for parameter in model.parameters()):
        raise InputError(_after_integers(build, "a build by torchao"))
