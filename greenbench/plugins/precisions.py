"""Precisions: the one list of them, and what libraries and earlier files call them.

Builds, rows and peaks spell a precision as ``PRECISIONS`` does. Settings that began with a library's own spelling take
both; lineages and the keys of kept exports have the library's, so that they stay valid.
"""

from collections.abc import Callable
from typing import Literal

PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "int8")
"""In which a model may multiply, in the order in which a row names them: ``fp32+int8``."""

Floats = Literal["fp32", "fp16", "bf16"]
"""The precisions that a model's floats can have."""

_SPELT: dict[str, Floats] = {
    "fp32": "fp32", "float32": "fp32", "f32": "fp32", "no": "fp32",
    "fp16": "fp16", "float16": "fp16", "f16": "fp16",
    "bf16": "bf16", "bfloat16": "bf16",
}  # fmt: skip
"""How torch, CTranslate2, OpenVINO and accelerate (``no``: not mixed) spell the precisions of floats."""


def floats(spelling: str) -> Floats | None:
    """Return the precision of floats that a library calls so, ``torch.`` before it or not; None for any other word.

    Args:
        spelling: such as ``float32``, ``torch.float32``, ``f32`` or ``fp32``.
    """
    return _SPELT.get(spelling.removeprefix("torch."))


def kept_as(stored: str) -> Callable[[str], str]:
    """Return a validator of a setting, which gives ``fp32`` the word that its files have for it and leaves others.

    Args:
        stored: a library's word for ``fp32``.
    """
    return lambda given: stored if given == "fp32" else given
