"""The sherpa-onnx family: recognisers of Next-gen Kaldi, NeMo, FunASR and others, as sherpa-onnx runs them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from greenbench import extras
from greenbench.errors import MissingError
from greenbench.hardware import environment
from greenbench.models import hub
from greenbench.models.onnx_session import compute_dtype
from greenbench.plugins import SAMPLE_RATE_HZ, Footprint, ModelRef, Step, Variant, Waveform
from greenbench.variants import cpu_only

Kind = Literal[
    "transducer", "nemo-transducer", "paraformer", "sense-voice", "zipformer-ctc", "nemo-ctc", "wenet-ctc", "whisper",
    "moonshine",
]  # fmt: skip

EXTRA = "sherpa-onnx"

MIN_SAMPLES = SAMPLE_RATE_HZ // 10
"""Shorter utterances are padded with silence to a few frames."""


@dataclass(frozen=True)
class Opening:
    """How sherpa-onnx opens a kind of model.

    Attributes:
        method: of its ``OfflineRecognizer``.
        files: its parameters for files, with the pattern of their names in a published folder.
        batching: how it runs a batch.
        options: further parameters.
        takes_language: whether it has a parameter for the language.
    """

    method: str
    files: Mapping[str, str]
    batching: str = "padded"
    options: Mapping[str, Any] = field(default_factory=dict)
    takes_language: bool = False


_ONE = {"model": "model*.onnx"}
_THREE = {"encoder": "encoder*.onnx", "decoder": "decoder*.onnx", "joiner": "joiner*.onnx"}
_MOONSHINE = {
    "preprocessor": "preprocess*.onnx", "encoder": "encode*.onnx", "uncached_decoder": "uncached_decode*.onnx",
    "cached_decoder": "cached_decode*.onnx",
}  # fmt: skip

OPENINGS: Mapping[Kind, Opening] = {
    "transducer": Opening("from_transducer", _THREE),
    "nemo-transducer": Opening("from_transducer", _THREE, options={"model_type": "nemo_transducer"}),
    "paraformer": Opening("from_paraformer", {"paraformer": "model*.onnx"}),
    "sense-voice": Opening("from_sense_voice", _ONE, takes_language=True),
    "zipformer-ctc": Opening("from_zipformer_ctc", _ONE),
    "nemo-ctc": Opening("from_nemo_ctc", _ONE),
    "wenet-ctc": Opening("from_wenet_ctc", _ONE, "sequential"),
    "whisper": Opening(
        "from_whisper", {"encoder": "*encoder*.onnx", "decoder": "*decoder*.onnx"}, "sequential", takes_language=True
    ),
    "moonshine": Opening("from_moonshine", _MOONSHINE, "sequential"),
}


@dataclass(frozen=True)
class SherpaOnnx:
    """Settings of a model that sherpa-onnx runs on the CPU.

    Attributes:
        model: its folder, as the releases of sherpa-onnx unpack: ONNX files, and a list of tokens.
        kind: ``transducer`` (also zipformer), ``nemo-transducer`` (Parakeet TDT), ``paraformer``, ``sense-voice``,
            ``zipformer-ctc``, ``nemo-ctc`` (Parakeet CTC), ``wenet-ctc``, ``whisper`` or ``moonshine``.
        int8: take the files with ``int8`` in their names, where there are both.
        language: code of the spoken language, for ``whisper`` and ``sense-voice``; None is the package's default.
    """

    model: ModelRef
    kind: Kind
    int8: bool = False
    language: str | None = None

    presets: ClassVar[Mapping[str, Any]] = {}
    takes_builds: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse a kind that there is not, and a language for a model that takes none."""
        if self.kind not in OPENINGS:
            raise ValueError(f"kind is one of {', '.join(get_args(Kind))}")
        if self.language is not None and not OPENINGS[self.kind].takes_language:
            raise ValueError(f"language: models of the kind {self.kind} take none")

    @property
    def label(self) -> str:
        """The model, as part of a default name."""
        return f"{self.model}-int8" if self.int8 else self.model

    def __call__(self, name: str, chain: Sequence[tuple[str, Step]]) -> Variant:  # noqa: ARG002
        """Return the variant."""
        return Variant(
            name=name,
            load=partial(_load, self),
            check=partial(_check, self),
            prepare=partial(_check, self),
            unsupported=partial(cpu_only.unsupported, EXTRA, "sherpa-onnx"),
            extras=(EXTRA,),
            identity=lambda: hub.identity_of([path for key, path in _files(self).items() if key != "tokens"]),
            decoding=lambda: f"greedy, language {self.language}" if self.language else "greedy",
        )


def _check(settings: SherpaOnnx) -> None:
    """Look at the files."""
    _files(settings)


def _files(settings: SherpaOnnx) -> dict[str, Path]:
    """Return each file that the recogniser takes, by its parameter.

    Raises:
        MissingError: one is not there, or it cannot be told which one is meant.
    """
    folder, patterns = Path(settings.model), {**OPENINGS[settings.kind].files, "tokens": "*tokens.txt"}
    if not folder.is_dir():
        raise MissingError(f"model {settings.model}: no such folder. Correct `model`.")
    found = {key: _file(settings, sorted(folder.glob(pattern)), pattern) for key, pattern in patterns.items()}
    if settings.int8 and not any("int8" in path.name for path in found.values()):
        raise MissingError(f"model {settings.model}: no file has int8 in its name. Leave `int8` out.")
    return found


def _file(settings: SherpaOnnx, paths: Sequence[Path], pattern: str) -> Path:
    """Return the one of some files that is meant; where ``int8`` is asked for, parts may be there as floats only."""
    quantised = [path for path in paths if "int8" in path.name]
    floats = [path for path in paths if path not in quantised]
    chosen = (quantised or floats) if settings.int8 else floats
    if len(chosen) == 1:
        return chosen[0]
    place = f"model {settings.model}: {pattern}"
    if chosen:
        names = ", ".join(path.name for path in chosen)
        raise MissingError(f"{place} may be each of {names}. Keep the one that is meant in the folder.")
    hint = "is there in int8 only: set `int8: true`" if quantised else f"is missing: not whole, or no {settings.kind}"
    raise MissingError(f"{place} {hint}.")


def _load(settings: SherpaOnnx, device: str) -> "_Recognizer":  # noqa: ARG001
    extras.need(EXTRA)
    return _Recognizer(settings)


class _Recognizer:
    """A loaded model; sherpa-onnx decodes greedily by default."""

    def __init__(self, settings: SherpaOnnx) -> None:
        from sherpa_onnx import OfflineRecognizer

        opening, files = OPENINGS[settings.kind], _files(settings)
        paths = {key: str(path) for key, path in files.items()}
        language = {"language": settings.language} if settings.language else {}
        create = getattr(OfflineRecognizer, opening.method)
        self.recognizer = create(**paths, **opening.options, **language, num_threads=environment.stated_threads())
        self.batching = opening.batching
        graphs = [path for path in files.values() if path.suffix == ".onnx"]
        self.footprint = Footprint(
            model_bytes=sum(path.stat().st_size for path in graphs), compute_dtype=compute_dtype(graphs)
        )

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        streams = [self.recognizer.create_stream() for _ in batch]
        for stream, waveform in zip(streams, batch, strict=True):
            stream.accept_waveform(SAMPLE_RATE_HZ, np.pad(waveform, (0, max(0, MIN_SAMPLES - len(waveform)))))
        self.recognizer.decode_streams(streams)
        return [stream.result.text.strip() for stream in streams]
