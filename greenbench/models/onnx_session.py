"""How ONNX Runtime opens a model: on the CPU, with so many threads."""

from pathlib import Path
from typing import Any


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
