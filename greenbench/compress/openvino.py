"""Builds that OpenVINO runs."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field

from greenbench import extras
from greenbench.compress import calibration
from greenbench.compress.calibration import SpeechSettings
from greenbench.compress.openvino_core import core, preserved_signal_stack
from greenbench.errors import InputError
from greenbench.metrics import ratio
from greenbench.models import exported
from greenbench.plugins import CalibrationData, Inapplicable, Outline
from greenbench.plugins.precisions import floats, kept_as
from greenbench.text.wer import count_chars, total

if TYPE_CHECKING:
    from greenbench.models.graphs import Graph
    from greenbench.models.segmented import RunGraph

FILE = "model.xml"

_IN_FLOATS = {"INFERENCE_PRECISION_HINT": "f32"}

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

    def export(self, model: Any, extractor: Any, folder: Path) -> int:
        """Write ``model.xml`` and ``model.bin``; any batch size and length of audio can be given to it."""
        halves = self.precision == "bf16"
        return sum(_save(_convert(graph), file, half=halves) for file, graph in _graphs(model, extractor, folder))

    def open(self, folder: Path) -> Any:
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
        """Refuse what cannot be exported, and to compare texts that are read at an exit."""
        if before.exits and self.max_drop is not None:
            raise InputError("openvino-int8: max_drop looks at one graph, and early-exit makes several: leave it out")
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
    def export(self, model: Any, extractor: Any, folder: Path) -> int:
        """Write ``model.xml`` and ``model.bin`` with int8 weights and activations."""
        import nncf

        chosen, others = calibration.clips(self.calibration, *self._n_clips)
        known, validation = calibration.inputs(extractor, chosen), calibration.inputs(extractor, others)
        n_bits, blank = 0, int(model.config.pad_token_id)
        for file, of_model in _graphs(model, extractor, folder):
            graph = _halved(_convert(of_model), folder)
            ranges = nncf.Dataset([{name: one[name] for name in of_model.inputs} for one in known])
            if len(of_model.outputs) > 1:  # which the next graph takes in
                session = _session(core().compile_model(graph, "CPU", _IN_FLOATS))
                known = [one | session(one) for one in known]
            n_bits += _save(self._quantized(graph, ranges, len(chosen), validation, blank), file)
        return n_bits

    def _quantized(self, graph: Any, ranges: Any, n: int, validation: Sequence[dict[str, Any]], blank: int) -> Any:
        """Return a graph in int8, with the ranges of ``n`` inputs."""
        import nncf

        smooth = nncf.AdvancedSmoothQuantParameters(matmul=self.smooth_quant_alpha)
        advanced = nncf.AdvancedQuantizationParameters(smooth_quant_alphas=smooth)
        settings = {
            "subset_size": n,
            "preset": nncf.QuantizationPreset.MIXED,
            "model_type": nncf.ModelType.TRANSFORMER,
            "ignored_scope": _ignored(self.exclude),
        }
        if self.max_drop is None:
            return nncf.quantize(graph, ranges, advanced_parameters=advanced, **settings)
        return nncf.quantize_with_accuracy_control(
            graph,
            ranges,
            _with_outputs(graph, validation, blank),
            partial(agreement, blank=blank),
            max_drop=self.max_drop,
            advanced_quantization_parameters=advanced,
            **settings,
        )

    def open(self, folder: Path) -> Any:
        """Return the compiled model."""
        return _open(folder, self)


@dataclass(frozen=True)
class OpenVinoInt4(OpenVino):
    """Weights of 4 bits by NNCF, multiplied in floats by OpenVINO: smaller, and no calibration.

    The matrices of products alone: what ``exclude`` names stays in floats, float16 on disk, as do norms, biases and
    convolutions. A row's weights are rounded in groups, each with a scale in float16 and a zero of 4 bits. A row that
    is no multiple of the size has groups of the largest power of two that fits, at least 32; where none fits it has 8
    bits. ``bits_per_weight`` is the mean over all parameters, those in floats included.

    Attributes:
        precision: of the computation: ``fp32`` (stored as ``f32``), or ``bf16`` on a device that has it.
        target: ``CPU``, or ``GPU`` for an Intel one.
        exclude: layers whose path contains one of these stay in floats.
        group_size: weights of a row that share a scale and a zero.
        ratio: share of the weights that have 4 bits; the others have 8, those whose rounding to 4 errs most.
    """

    exclude: Sequence[str] = ("feature_extractor", "pos_conv_embed", "lm_head")
    group_size: Literal[32, 64, 128, 256] = 64
    ratio: Annotated[float, Field(gt=0, le=1)] = 1.0

    def follow(self, before: Outline) -> Outline:
        """Refuse what cannot be exported."""
        return exported.follow(before, "openvino-int4")

    def versions(self) -> dict[str, str]:
        """Return the versions of what writes the files."""
        return exported.versions(("openvino", "nncf"))

    @preserved_signal_stack()  # NNCF makes cores of its own
    def export(self, model: Any, extractor: Any, folder: Path) -> int:
        """Write ``model.xml`` and ``model.bin`` with weights of 4 bits.

        Raises:
            InputError: no matrix is left.
        """
        import nncf

        fitting = nncf.AdvancedCompressionParameters(group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST)
        n_bits, n_rounded = 0, 0
        for file, graph in _graphs(model, extractor, folder):
            rounded = nncf.compress_weights(
                _halved(_convert(graph), folder),
                mode=nncf.CompressWeightsMode.INT4_ASYM,
                ratio=self.ratio,
                group_size=self.group_size,
                ignored_scope=_ignored(self.exclude),
                all_layers=True,
                advanced_parameters=fitting,
            )
            n_rounded += sum(map(_has_four_bits, rounded.get_ops()))
            n_bits += _save(rounded, file)
        if not n_rounded:
            raise InputError("openvino-int4: exclude leaves no matrix to store in 4 bits: name fewer layers")
        return n_bits


def _ignored(parts: Sequence[str]) -> Any:
    """Return what NNCF leaves in floats: layers whose path contains one of these."""
    import nncf

    return nncf.IgnoredScope(patterns=[f".*{part}.*" for part in parts], validate=False)


def _has_four_bits(node: Any) -> bool:
    return bool(node.get_type_name() == "Constant" and node.get_element_type().get_type_name() == "u4")


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

    compiled = core().compile_model(graph, "CPU", _IN_FLOATS)
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


def _graphs(model: Any, extractor: Any, folder: Path) -> "Iterator[tuple[Path, Graph]]":
    """Yield what is traced of a model, and where it is to be written."""
    from greenbench.models.graphs import graphs
    from greenbench.models.segmented import numbered

    for number, graph in enumerate(graphs(model, extractor)):
        yield numbered(folder / FILE, number), graph


def _convert(graph: "Graph") -> Any:
    import openvino

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's tracer, about sizes that stay free all the same
        converted = openvino.convert_model(graph.module, example_input=tuple(graph.inputs.values()))
    for ports, names in ((converted.inputs, graph.inputs), (converted.outputs, graph.outputs)):
        for port, name in zip(ports, names, strict=True):
            port.get_tensor().set_names({name})
    free = graph.n_free
    converted.reshape({name: [-1] * free[name] + [*one.shape[free[name] :]] for name, one in graph.inputs.items()})
    return converted


def _halved(graph: Any, folder: Path) -> Any:
    """Return the graph with float16 weights, which are computed in float32: OpenVINO writes them so, by itself.

    What is written meanwhile lies in ``folder``, whose owner removes it if this process is ended.
    """
    with TemporaryDirectory(dir=folder) as halved:
        _save(graph, Path(halved) / FILE, half=True)
        return core().read_model(Path(halved) / FILE)


def _save(graph: Any, aside: Path, half: bool = False) -> int:
    """Write a graph, and return the bits of its weights, scales and zeros included."""
    import openvino

    openvino.save_model(graph, aside, compress_to_fp16=half)
    return 8 * aside.with_suffix(".bin").stat().st_size


def _open(folder: Path, build: "OpenVino | OpenVinoInt8") -> Any:
    import torch

    from greenbench.models import segmented

    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": build.precision, "PERFORMANCE_HINT": "LATENCY"}
    # on some CPUs OpenVINO would round the inputs of layers with 4 bits to int8, unless told not to by a group of 0
    of_cpu = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
    settings |= of_cpu if build.target == "CPU" else {}
    return segmented.opened(folder / FILE, lambda file: _session(core().compile_model(file, build.target, settings)))


def _session(compiled: Any) -> "RunGraph":
    inputs, outputs = ([port.get_any_name() for port in ports] for ports in (compiled.inputs, compiled.outputs))

    def run(known: Mapping[str, Any]) -> dict[str, Any]:
        given = compiled({name: known[name] for name in inputs})
        return {name: given[place] for place, name in enumerate(outputs)}

    return run
