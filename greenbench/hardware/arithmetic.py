"""Which precisions this CPU computes in, and which torch can only emulate on it, slowly."""

from collections.abc import Mapping
from typing import Any

INSTRUCTIONS: Mapping[str, tuple[str, ...]] = {
    "bf16": ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"),
    "fp16": ("avx512_fp16", "amx_fp16", "fp16_arith"),
    "int8": ("avx512_vnni", "avx_vnni", "amx_int8", "dot", "i8mm"),
}
"""Precision -> the capabilities of a CPU, as ``torch.cpu.get_capabilities`` names them, of which one is its arithmetic.

That oneDNN accepts bfloat16 says less: it does from AVX-512 on, and converts to float32 where the CPU has no more.
"""

NAMES = {"bf16": "bfloat16", "fp16": "float16", "int8": "int8"}


def native(precision: str) -> bool | None:
    """Say whether this CPU multiplies numbers of a precision by instructions of its own.

    Args:
        precision: from ``INSTRUCTIONS``.

    Returns:
        None where that is not known: torch is not installed, or too old to say it, or of a CPU that it
        does not describe.
    """
    found = capabilities()
    return any(found.get(name) for name in INSTRUCTIONS[precision]) if "architecture" in found else None


def emulated(precision: str | None) -> str | None:
    """Say why a precision is slow on this CPU, and None where it is not or nobody knows.

    Args:
        precision: from ``INSTRUCTIONS``; any other is computed by every CPU.
    """
    if precision is None or precision not in INSTRUCTIONS or native(precision) is not False:
        return None
    return f"this CPU ({_level()}) has no {NAMES[precision]} arithmetic"


def capabilities() -> Mapping[str, Any]:
    """Return what torch knows of the CPU; empty where it does not say."""
    try:
        from torch import cpu
    except ImportError:
        return {}
    ask = getattr(cpu, "get_capabilities", None)
    found: Mapping[str, Any] = ask() if ask else {}
    return found


def _level() -> str:
    """Return the vector instructions that torch uses, such as ``AVX2``."""
    import torch

    return str(torch.backends.cpu.get_cpu_capability())
