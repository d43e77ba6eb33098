"""How ONNX Runtime opens a model, on the CPU with so many threads, and what the model's graphs compute in."""

import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from greenbench.models.precision import named


def open_session(model: Path | bytes, n_threads: int) -> Any:
    """Return a session on the CPU.

    Args:
        model: a file (``.onnx`` or ``.ort``), or its content.
        n_threads: that an operation is split over.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def compute_dtype(files: Iterable[Path]) -> str | None:
    """Name the precisions of graphs of floats, some of which may multiply integers: ``fp32``, or ``fp32+int8``."""
    return named({"float32", *(["int8"] if any(map(_multiplies_integers, files)) else [])})


def _multiplies_integers(file: Path) -> bool:
    """Say whether a graph has ONNX Runtime's integer products, by the names of its operations."""
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(name) >= 0 for name in (b"MatMulInteger", b"DynamicQuantizeMatMul"))
