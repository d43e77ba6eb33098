"""Precisions by name, and in which of them a model multiplies: what its row says as ``compute_dtype``."""

from collections.abc import Iterable
from typing import Any

from greenbench.plugins.precisions import PRECISIONS, floats


def torch_dtype(precision: str) -> Any:
    """Return torch's type of a precision: ``fp32``, ``fp16`` or ``bf16``."""
    import torch

    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]


def compute_dtype(model: Any) -> str | None:
    """Name the precisions of a torch module's matrix products and convolutions.

    They are those of the parameters of more than one dimension. Layers that quantise their inputs, too, multiply
    integers; weights that are only kept as integers are multiplied as floats. On CUDA torch runs convolutions of
    float32 in TF32 where the GPU has it, unless that is turned off.

    Args:
        model: a ``torch.nn.Module`` on its device.

    Returns:
        E.g. ``fp32+int8``; None where nothing is multiplied.
    """
    from torch.ao.nn.quantized import Linear

    kinds = {"int8" for module in model.modules() if isinstance(module, Linear)}
    for weight in (parameter.data for parameter in model.parameters() if parameter.ndim > 1):
        is_dynamic = getattr(weight, "act_quant_kwargs", None) is not None  # a tensor of torchao's
        kinds.add("int8" if is_dynamic else str(weight.dtype).removeprefix("torch."))
        if weight.dtype.itemsize == 4 and weight.device.type == "cuda" and _has_tf32(weight.device):
            kinds.add("tf32")
    return named(kinds)


def stored_bits(tensor: Any) -> int:
    """Return the bits in which a parameter is stored, with the scales and zero points of integers.

    Args:
        tensor: a plain one, one of torch's quantised ones (a scale of 64 bits and a zero point of 64), one of
            torchao's, which is made of several, or a ``PackedLinear``, for its weight.
    """
    from greenbench.models.packed import PackedLinear

    if isinstance(tensor, PackedLinear):
        return tensor.n_bits()
    if hasattr(tensor, "__tensor_flatten__"):
        return sum(stored_bits(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    n_bits = 8 * int(tensor.numel() * tensor.element_size())
    if not tensor.is_quantized:
        return n_bits
    by_channel = "per_channel" in str(tensor.qscheme())
    return n_bits + 128 * (int(tensor.q_per_channel_scales().numel()) if by_channel else 1)


def _has_tf32(device: Any) -> bool:
    import torch

    is_allowed = torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32
    return bool(is_allowed and torch.cuda.get_device_capability(device)[0] >= 8)


def named(kinds: Iterable[str]) -> str | None:
    """Join names of types, as torch or CTranslate2 have them, in the order of ``PRECISIONS``; others come last."""
    names = {floats(kind) or kind for kind in kinds}
    return "+".join([*(n for n in PRECISIONS if n in names), *sorted(names - set(PRECISIONS))]) or None
