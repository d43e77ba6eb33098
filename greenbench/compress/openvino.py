"""Builds that OpenVINO runs."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field

from greenbench import extras
from greenbench.compress import calibration
from greenbench.compress.calibration import SpeechSettings
from greenbench.compress.openvino_core import core, preserved_signal_stack
from greenbench.metrics import ratio
from greenbench.models import exported
from greenbench.plugins import CalibrationData, Inapplicable, Outline
from greenbench.plugins.precisions import floats, kept_as
from greenbench.text.wer import count_chars, total

FILE = "model.xml"

Precision = Annotated[Literal["f32", "fp32", "bf16"], AfterValidator(kept_as("f32"))]
"""Of the computation; OpenVINO's own word for ``fp32`` is kept."""


@dataclass(frozen=True)
class OpenVino:
    """The model in OpenVINO's form, float32, run with the suite's threads.

    Attributes:
        precision: of the computation: ``fp32`` (stored as ``f32``), or ``bf16`` on a device that has it, with weights
            kept in float16.
        target: ``CPU``, or ``GPU`` for an Intel one.
    """

    precision: Precision = "f32"
    target: str = "CPU"

    extra: ClassVar[str] = "openvino"

    @property
    def compute_dtype(self) -> str | None:
        """What OpenVINO multiplies in; what an Intel GPU does at most is not measured."""
        return floats(self.precision) if self.target == "CPU" else None

    def unsupported(self, device: str) -> str | None:
        """Say what is not installed, or which device OpenVINO does not see."""
        return _unsupported(device, self)

    def follow(self, before: Outline) -> Outline:
        """Refuse what cannot be exported."""
        return exported.follow(before, "openvino")

    def versions(self) -> dict[str, str]:
        """Return the versions of what writes the files."""
        return exported.versions(("openvino",))

    def export(self, model: Any, extractor: Any, folder: Path) -> None:
        """Write ``model.xml`` and ``model.bin``; any batch size and length of audio can be given to it."""
        _save(_convert(model, extractor), folder, half=self.precision == "bf16")

    def open(self, folder: Path) -> Callable[[Mapping[str, Any]], Any]:
        """Return the compiled model."""
        return _open(folder, self)


@dataclass(frozen=True)
class OpenVinoInt8(SpeechSettings):
    """Static int8 by NNCF: weights and activations, with ranges from a few minutes of speech, run by OpenVINO.

    SmoothQuant (Xiao et al., 2023) moves the outliers of activations into the weights. The front end, the
    positional convolution and the head stay floats: int8 there ruins wav2vec 2.0's accuracy. On disk they are
    float16, as OpenVINO writes a model by default; they are computed in ``precision``.

    Attributes:
        exclude: layers whose path contains one of these stay in floats. ``[conv_layers.0., conv_layers.1.,
            conv_layers.2., conv_layers.3., pos_conv_embed, lm_head]`` has the last three convolutions of wav2vec 2.0's
            seven in int8, too: measure what that costs.
        smooth_quant_alpha: how much of an outlier goes into the weights, 0 to 1; -1 leaves it out.
        calibration: the data set that the ranges come from, in the form of a suite's; by default the bundled
            unlabelled speech, synthetic English. Ranges of speech that is unlike what is transcribed later (language,
            microphone, noise) cost accuracy.
        n_calibration: number of its utterances to use, spread over the whole data set.
        max_drop: largest fraction of the tokens of its greedy output that may differ from the float32 model's on other
            utterances of that data set; where more differ, the layers that matter most go back to float32, one by one
            (NNCF's accuracy control). It takes long, and needs speech that the model recognises; None does not check.
        n_validation: number of those other utterances.
        precision: of what stays in floats: ``fp32`` (stored as ``f32``), or ``bf16`` on a device that has it. The front
            end is most of what is left to do in an int8 model: on wav2vec 2.0 base and one thread bfloat16 makes it 1.5
            times as fast, nearly as much as int8 convolutions would.
        target: ``CPU``, or ``GPU`` for an Intel one.
    """

    exclude: Sequence[str] = ("feature_extractor", "pos_conv_embed", "lm_head")
    smooth_quant_alpha: float = 0.95
    max_drop: Annotated[float, Field(ge=0, lt=1)] | None = None
    n_validation: Annotated[int, Field(ge=1)] = 64
    precision: Precision = "f32"
    target: str = "CPU"

    extra: ClassVar[str] = "openvino"

    @property
    def compute_dtype(self) -> str | None:
        """What OpenVINO multiplies in; what an Intel GPU does at most is not measured."""
        return f"{floats(self.precision)}+int8" if self.target == "CPU" else None

    def unsupported(self, device: str) -> str | None:
        """Say what is not installed, or which device OpenVINO does not see."""
        return _unsupported(device, self)

    def follow(self, before: Outline) -> Outline:
        """Refuse what cannot be exported."""
        return exported.follow(before, "openvino-int8")

    def versions(self) -> dict[str, str]:
        """Return the versions of what writes the files."""
        return exported.versions(("openvino", "nncf"))

    @property
    def _n_clips(self) -> tuple[int, int]:
        """Utterances to calibrate on, and others to validate on."""
        return self.n_calibration, 0 if self.max_drop is None else self.n_validation

    def calibrated_on(self) -> CalibrationData:
        """Return the name of the calibration speech and the digest of what is taken from it."""
        return calibration.described(self.calibration, *self._n_clips)

    @preserved_signal_stack()  # NNCF makes cores of its own
    def export(self, model: Any, extractor: Any, folder: Path) -> None:
        """Write ``model.xml`` and ``model.bin`` with int8 weights and activations."""
        import nncf

        graph = _halved(_convert(model, extractor), folder)
        chosen, others = calibration.clips(self.calibration, *self._n_clips)
        smooth = nncf.AdvancedSmoothQuantParameters(matmul=self.smooth_quant_alpha)
        advanced = nncf.AdvancedQuantizationParameters(smooth_quant_alphas=smooth)
        settings = {
            "subset_size": len(chosen),
            "preset": nncf.QuantizationPreset.MIXED,
            "model_type": nncf.ModelType.TRANSFORMER,
            "ignored_scope": nncf.IgnoredScope(patterns=[f".*{part}.*" for part in self.exclude], validate=False),
        }
        ranges = nncf.Dataset(calibration.inputs(extractor, chosen))
        if self.max_drop is None:
            quantized = nncf.quantize(graph, ranges, advanced_parameters=advanced, **settings)
        else:
            blank = int(model.config.pad_token_id)
            quantized = nncf.quantize_with_accuracy_control(
                graph,
                ranges,
                _with_outputs(graph, calibration.inputs(extractor, others), blank),
                partial(agreement, blank=blank),
                max_drop=self.max_drop,
                advanced_quantization_parameters=advanced,
                **settings,
            )
        _save(quantized, folder)

    def open(self, folder: Path) -> Callable[[Mapping[str, Any]], Any]:
        """Return the compiled model."""
        return _open(folder, self)


def _unsupported(device: str, build: "OpenVino | OpenVinoInt8") -> str | None:
    if reason := extras.missing(["openvino"]):
        return reason
    if device != "cpu":
        return Inapplicable(f"OpenVINO does not run on {device}; `target: GPU` is an Intel GPU, under device cpu")
    devices = core().available_devices
    if not any(name.startswith(build.target) for name in devices):
        return f"OpenVINO sees no {build.target} (only {', '.join(devices)})"
    if build.precision == "bf16" and "BF16" not in core().get_property(build.target, "OPTIMIZATION_CAPABILITIES"):
        return Inapplicable(f"this {build.target} has no bfloat16: leave out `precision: bf16`")
    return None


def _with_outputs(graph: Any, inputs: Sequence[dict[str, Any]], blank: int) -> Any:
    """Return a data set for NNCF of inputs and what the float32 graph reads in them."""
    import nncf

    compiled = core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return nncf.Dataset([(i, greedy(compiled(i)[0], blank)) for i in inputs], lambda item: item[0])


def agreement(compiled: Any, items: Iterable[tuple[dict[str, Any], str]], blank: int) -> tuple[float, None]:
    """Return 1 less the share of tokens that a graph reads differently, in the form that NNCF asks for."""
    counts = total([count_chars(read, greedy(compiled(inputs)[0], blank)) for inputs, read in items])
    return 1 - (ratio(counts.edits, counts.n) or 0.0), None


def greedy(logits: npt.NDArray[np.float32], blank: int) -> str:
    """Return the best token of each frame, repeats and blanks left out, a character each; for one utterance."""
    best = logits[0].argmax(-1)
    first = np.concatenate(([True], best[1:] != best[:-1]))
    return "".join(chr(0xE000 + token) for token in best[first & (best != blank)].tolist())  # for private use


def _convert(model: Any, extractor: Any) -> Any:
    import openvino

    module, example = exported.graph(model, extractor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's tracer, about sizes that stay free all the same
        graph = openvino.convert_model(module, example_input=tuple(example.values()))
    for port, name in zip(graph.inputs, example, strict=True):
        port.get_tensor().set_names({name})
    graph.reshape({name: [-1, -1, *tensor.shape[2:]] for name, tensor in example.items()})
    return graph


def _halved(graph: Any, folder: Path) -> Any:
    """Return the graph with float16 weights, which are computed in float32: OpenVINO writes them so, by itself.

    What is written meanwhile lies in ``folder``, whose owner removes it if this process is ended.
    """
    with TemporaryDirectory(dir=folder) as halved:
        _save(graph, Path(halved), half=True)
        return core().read_model(Path(halved) / FILE)


def _save(graph: Any, aside: Path, half: bool = False) -> None:
    import openvino

    openvino.save_model(graph, aside / FILE, compress_to_fp16=half)


def _open(folder: Path, build: "OpenVino | OpenVinoInt8") -> Callable[[Mapping[str, Any]], Any]:
    import torch

    settings = {"INFERENCE_PRECISION_HINT": build.precision, "PERFORMANCE_HINT": "LATENCY"}
    threads = {"INFERENCE_NUM_THREADS": torch.get_num_threads()} if build.target == "CPU" else {}
    compiled = core().compile_model(folder / FILE, build.target, settings | threads)
    return lambda inputs: compiled(dict(inputs))[0]
