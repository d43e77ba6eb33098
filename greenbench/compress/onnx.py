"""Builds that ONNX Runtime runs."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from greenbench import extras
from greenbench.models import exported
from greenbench.models.onnx_session import open_session
from greenbench.plugins import Inapplicable, Outline

NEEDS = ("onnx", "onnxruntime")
FILE = "model.onnx"


@dataclass(frozen=True)
class Onnx:
    """The model in ONNX, float32, run by ONNX Runtime on the CPU with the suite's threads."""

    compute_dtype: ClassVar[str] = "fp32"
    extra: ClassVar[str] = "onnx"

    def unsupported(self, device: str) -> str | None:
        """Say what is not installed, or that only the CPU is supported."""
        if reason := extras.missing(["onnx"]):
            return reason
        return None if device == "cpu" else Inapplicable(f"the ONNX builds run on the CPU only, not on {device}")

    def follow(self, before: Outline) -> Outline:
        """Refuse what cannot be exported."""
        return exported.follow(before, "onnx")

    def versions(self) -> dict[str, str]:
        """Return the versions of what writes the file."""
        return exported.versions(NEEDS)

    def export(self, model: Any, extractor: Any, folder: Path) -> None:
        """Write ``model.onnx``; any batch size and length of audio can be given to it."""
        _export(model, extractor, folder / FILE)

    def open(self, folder: Path) -> Callable[[Mapping[str, Any]], Any]:
        """Return a session."""
        import torch

        session = open_session(folder / FILE, torch.get_num_threads())
        return lambda inputs: session.run(None, dict(inputs))[0]


@dataclass(frozen=True)
class OnnxInt8(Onnx):
    """Dynamic int8 by ONNX Runtime: matrix products alone, weights per channel, activations on the fly.

    Convolutions stay in float32: ONNX Runtime's integer convolutions are slow, and wav2vec 2.0's front end loses
    its accuracy in int8.

    Attributes:
        exclude: layers whose path contains one of these stay in float32.
    """

    exclude: Sequence[str] = ("lm_head",)

    compute_dtype: ClassVar[str] = "fp32+int8"

    def follow(self, before: Outline) -> Outline:
        """Refuse what cannot be exported."""
        return exported.follow(before, "onnx-int8")

    def export(self, model: Any, extractor: Any, folder: Path) -> None:
        """Write ``model.onnx`` with int8 weights."""
        import onnx
        from onnxruntime.quantization import quantize_dynamic

        _export(model, extractor, folder / "float32.onnx")
        nodes = onnx.load(folder / "float32.onnx").graph.node
        kept = [node.name for node in nodes if any(part in node.name for part in self.exclude)]
        quantize_dynamic(
            folder / "float32.onnx",
            folder / FILE,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            nodes_to_exclude=kept,
        )
        for float_file in folder.glob("float32.onnx*"):
            float_file.unlink()


def _export(model: Any, extractor: Any, path: Path) -> None:
    """Write the graph that torch's tracing exporter makes: ONNX Runtime runs it faster than the newer exporter's.

    On wav2vec 2.0 base and two cores: 1.17 and 0.98 times torch's speed, and 1.93 and 1.52 times in int8.
    """
    import torch

    module, example = exported.graph(model, extractor)
    free = {name: {0: "n_utterances", 1: "n_inputs"} for name in example}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, about sizes that stay free all the same, and of its age
        torch.onnx.export(
            module,
            tuple(example.values()),
            path,
            dynamo=False,
            opset_version=17,
            input_names=list(example),
            output_names=["logits"],
            dynamic_axes={**free, "logits": {0: "n_utterances", 1: "n_frames"}},
        )
