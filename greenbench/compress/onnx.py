"""Builds that ONNX Runtime runs."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from greenbench import extras
from greenbench.errors import InputError
from greenbench.models import exported
from greenbench.models.onnx_session import open_session
from greenbench.plugins import Inapplicable, Outline

if TYPE_CHECKING:
    from greenbench.models.segmented import RunGraph

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
        return exported.follow(before, "onnx", streams=True)

    def versions(self) -> dict[str, str]:
        """Return the versions of what writes the file."""
        return exported.versions(NEEDS)

    def export(self, model: Any, extractor: Any, folder: Path) -> int:
        """Write ``model.onnx``; any batch size and length of audio can be given to it."""
        _export(model, extractor, folder / FILE)
        return _n_bits(folder)

    def open(self, folder: Path) -> Any:
        """Return a session."""
        from greenbench.models import chunk_graphs

        return chunk_graphs.opened(folder / FILE, _session)


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
        return exported.follow(before, "onnx-int8", streams=True)

    def export(self, model: Any, extractor: Any, folder: Path) -> int:
        """Write ``model.onnx`` with weights of fewer bits."""
        with TemporaryDirectory(dir=folder) as floats:
            for graph in _export(model, extractor, Path(floats) / FILE):
                kept = [node.name for node in _nodes(graph) if any(part in node.name for part in self.exclude)]
                self._store(graph, folder / graph.name, kept)
        return _n_bits(folder)

    def _store(self, graph: Path, to: Path, kept: Sequence[str]) -> None:
        """Write a float32 graph with weights of fewer bits, except in the nodes that are kept."""
        from onnxruntime.quantization import quantize_dynamic

        quantize_dynamic(graph, to, op_types_to_quantize=["MatMul"], per_channel=True, nodes_to_exclude=list(kept))


@dataclass(frozen=True)
class OnnxInt4(OnnxInt8):
    """Weights of 4 bits by ONNX Runtime (``MatMulNBits``), multiplied in float32: smaller, and no calibration.

    The matrices of products alone: convolutions, and so the front end, stay in float32, as do norms and biases. A
    column's weights are rounded in blocks, each with a scale in float32 and a zero of 4 bits; blocks that a column does
    not fill take the room of whole ones. ``bits_per_weight`` is the mean over all parameters, those in floats included.

    Attributes:
        exclude: layers whose path contains one of these stay in float32.
        block_size: weights of a column that share a scale and a zero.
    """

    block_size: Literal[16, 32, 64, 128, 256] = 64

    compute_dtype: ClassVar[str] = "fp32"

    def unsupported(self, device: str) -> str | None:
        """Say what is not installed, or that only the CPU is supported."""
        if reason := super().unsupported(device):
            return reason
        return None if extras.is_installed("onnx_ir") else "onnx-ir not installed: pip install 'greenbench[onnx]'"

    def follow(self, before: Outline) -> Outline:
        """Refuse what cannot be exported."""
        return exported.follow(before, "onnx-int4", streams=True)

    def versions(self) -> dict[str, str]:
        """Return the versions of what writes the file."""
        return exported.versions((*NEEDS, "onnx-ir"))

    def export(self, model: Any, extractor: Any, folder: Path) -> int:
        """Write ``model.onnx`` with weights of 4 bits.

        Raises:
            InputError: no matrix is left.
        """
        n_bits = super().export(model, extractor, folder)
        if not any(node.op_type == "MatMulNBits" for graph in folder.glob("*.onnx") for node in _nodes(graph)):
            raise InputError("onnx-int4: exclude leaves no matrix to store in 4 bits: name fewer layers")
        return n_bits

    def _store(self, graph: Path, to: Path, kept: Sequence[str]) -> None:
        """Write a float32 graph with weights of 4 bits, except in the nodes that are kept."""
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

        quantizer = MatMulNBitsQuantizer(str(graph), block_size=self.block_size, nodes_to_exclude=list(kept))
        quantizer.process()
        quantizer.model.save_model_to_file(str(to))


def _nodes(graph: Path) -> Sequence[Any]:
    import onnx

    nodes: Sequence[Any] = onnx.load(graph, load_external_data=False).graph.node
    return nodes


def _n_bits(folder: Path) -> int:
    """Return the bits that the weights of graphs take, scales and zeros included."""
    import onnx

    weights = (one for graph in folder.glob("*.onnx") for one in onnx.load(graph).graph.initializer)
    return 8 * sum(onnx.numpy_helper.to_array(one).nbytes for one in weights)


def _session(graph: Path) -> "RunGraph":
    import torch

    session = open_session(graph, torch.get_num_threads())
    names = [one.name for one in session.get_inputs()]
    outputs = [one.name for one in session.get_outputs()]
    return lambda known: dict(zip(outputs, session.run(None, {name: known[name] for name in names}), strict=True))


def _export(model: Any, extractor: Any, path: Path) -> list[Path]:
    """Write the graph of a model, or its graphs where it has early exits, and return where they are.

    They are those of torch's tracing exporter: ONNX Runtime runs them faster than the newer exporter's. On wav2vec 2.0
    base and two cores: 1.17 and 0.98 times torch's speed, and 1.93 and 1.52 times in int8.
    """
    import torch

    from greenbench.models.graphs import graphs
    from greenbench.models.segmented import numbered

    written = []
    for number, graph in enumerate(graphs(model, extractor)):
        written.append(numbered(path, number))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the tracer, about sizes that stay free all the same, and of its age
            torch.onnx.export(
                graph.module,
                tuple(graph.inputs.values()),
                written[-1],
                dynamo=False,
                opset_version=17,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                dynamic_axes={name: [*range(n)] for name, n in graph.n_free.items()},
            )
    return written
