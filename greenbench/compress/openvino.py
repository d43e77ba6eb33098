"""Builds that OpenVINO runs."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from greenbench.compress import exported
from greenbench.datasets.quickstart import Quickstart
from greenbench.plugins import SAMPLE_RATE_HZ

FILE = "model.xml"


@dataclass(frozen=True)
class OpenVino:
    """The model in OpenVINO's form, float32, run with the suite's threads.

    Attributes:
        target: ``CPU``, or ``GPU`` for an Intel one.
    """

    target: str = "CPU"

    def unsupported(self, device: str) -> str | None:
        """Say what is not installed, or which device OpenVINO does not see."""
        return _unsupported(device, self.target, ("openvino",))

    def versions(self) -> dict[str, str]:
        """Return the versions of what writes the files."""
        return exported.versions(("openvino",))

    def export(self, model: Any, extractor: Any, folder: Path) -> None:  # noqa: ARG002
        """Write ``model.xml`` and ``model.bin``; any batch size and length of audio can be given to it."""
        _save(_convert(model), folder)

    def open(self, folder: Path) -> Callable[[Mapping[str, Any]], Any]:
        """Return the compiled model."""
        return _open(folder, self.target)


@dataclass(frozen=True)
class OpenVinoInt8:
    """Static int8 by NNCF: weights and activations, with ranges from a few minutes of speech, run by OpenVINO.

    SmoothQuant (Xiao et al., 2023) moves the outliers of activations into the weights. The front end, the
    positional convolution and the head stay in float32: int8 there ruins wav2vec 2.0's accuracy.

    Attributes:
        exclude: layers whose path contains one of these stay in float32.
        smooth_quant_alpha: how much of an outlier goes into the weights, 0 to 1; -1 leaves it out.
        n_calibration: utterances of the bundled unlabelled speech that the ranges come from.
        target: ``CPU``, or ``GPU`` for an Intel one.
    """

    exclude: Sequence[str] = ("feature_extractor", "pos_conv_embed", "lm_head")
    smooth_quant_alpha: float = 0.95
    n_calibration: int = 64
    target: str = "CPU"

    def unsupported(self, device: str) -> str | None:
        """Say what is not installed, or which device OpenVINO does not see."""
        return _unsupported(device, self.target, ("openvino", "nncf"))

    def versions(self) -> dict[str, str]:
        """Return the versions of what writes the files."""
        return exported.versions(("openvino", "nncf"))

    def export(self, model: Any, extractor: Any, folder: Path) -> None:
        """Write ``model.xml`` and ``model.bin`` with int8 weights and activations."""
        import nncf

        graph = _convert(model)
        kept = [f".*{part}.*" for part in self.exclude]
        quantized = nncf.quantize(
            graph,
            nncf.Dataset(_calibration(extractor, self.n_calibration)),
            subset_size=self.n_calibration,
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER,
            ignored_scope=nncf.IgnoredScope(patterns=kept, validate=False),
            advanced_parameters=nncf.AdvancedQuantizationParameters(smooth_quant_alpha=self.smooth_quant_alpha),
        )
        _save(quantized, folder)

    def open(self, folder: Path) -> Callable[[Mapping[str, Any]], Any]:
        """Return the compiled model."""
        return _open(folder, self.target)


def _unsupported(device: str, target: str, needs: Sequence[str]) -> str | None:
    missing = [name for name in needs if find_spec(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed: pip install 'greenbench[openvino]'"
    if device != "cpu":
        return f"OpenVINO does not run on {device}; `target: GPU` is an Intel GPU, under device cpu"
    import openvino

    seen = openvino.Core().available_devices
    return (
        None if any(name.startswith(target) for name in seen) else f"OpenVINO sees no {target} (only {', '.join(seen)})"
    )


def _calibration(extractor: Any, n: int) -> list[dict[str, Any]]:
    """Return the inputs of ``n`` utterances of the bundled unlabelled speech, spread over its voices."""
    clips = list(Quickstart(part="unlabelled")())
    spread = clips[:: max(1, len(clips) // n)][:n]
    return [dict(extractor(clip.read(), sampling_rate=SAMPLE_RATE_HZ, return_tensors="np")) for clip in spread]


def _convert(model: Any) -> Any:
    import openvino

    module, example = exported.graph(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's tracer, about sizes that stay free all the same
        graph = openvino.convert_model(module, example_input=tuple(example.values()))
    for port, name in zip(graph.inputs, example, strict=True):
        port.get_tensor().set_names({name})
    graph.reshape({name: [-1, -1] for name in example})
    return graph


def _save(graph: Any, folder: Path) -> None:
    import openvino

    openvino.save_model(graph, folder / FILE, compress_to_fp16=False)


def _open(folder: Path, target: str) -> Callable[[Mapping[str, Any]], Any]:
    import openvino
    import torch

    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    threads = {"INFERENCE_NUM_THREADS": torch.get_num_threads()} if target == "CPU" else {}
    compiled = openvino.compile_model(folder / FILE, target, settings | threads)
    return lambda inputs: compiled(dict(inputs))[0]
