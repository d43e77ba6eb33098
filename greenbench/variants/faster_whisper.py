"""The faster-whisper family: Whisper on CTranslate2, the peer that users would pick instead."""

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal

from greenbench.errors import MissingError
from greenbench.plugins import Footprint, Method, ModelRef, Variant, VariantInfo, Waveform
from greenbench.variants import hub
from greenbench.variants.arithmetic import named

SIZES = {
    "tiny.en": "Systran/faster-whisper-tiny.en",
    "base.en": "Systran/faster-whisper-base.en",
    "small.en": "Systran/faster-whisper-small.en",
    "medium.en": "Systran/faster-whisper-medium.en",
    "large-v2": "Systran/faster-whisper-large-v2",
    "large-v3": "Systran/faster-whisper-large-v3",
    "distil-small.en": "Systran/faster-distil-whisper-small.en",
    "distil-large-v3": "Systran/faster-distil-whisper-large-v3",
}
"""Published sizes and the hub ids of their converted weights, as faster-whisper itself names them."""

INSTALL = "faster-whisper is not installed. Run `pip install 'greenbench[whisper]'`."

ComputeType = Literal[
    "default", "auto", "float32", "float16", "bfloat16", "int16",
    "int8", "int8_float32", "int8_float16", "int8_bfloat16",
]  # fmt: skip

_STORED = {0: "float32", 1: "int8", 2: "int16", 4: "float16", 5: "bfloat16"}
"""CTranslate2's type ids of stored weights."""


@dataclass(frozen=True)
class FasterWhisper:
    """Settings of a Whisper model on CTranslate2.

    Attributes:
        model: a folder, a hub id of a converted model, or one of ``SIZES``.
        compute_type: precision that CTranslate2 computes in.
        beam_size: 1 is greedy.
        language: spoken language; None lets the model guess.
        revision: hub revision of ``model``.
    """

    model: ModelRef
    compute_type: ComputeType = "default"
    beam_size: int = 1
    language: str | None = "en"
    revision: str | None = None

    presets: ClassVar[Mapping[str, Any]] = {size: {"model": size} for size in SIZES}
    takes_builds: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """The model, as part of a default name."""
        return f"{self.model}-{self.compute_type}"

    def prepare(self) -> None:
        """Fetch the weights if they are not here."""
        _folder(self)

    def __call__(self, name: str, methods: Sequence[tuple[str, Method]]) -> Variant:  # noqa: ARG002
        """Return the variant."""
        return Variant(
            name=name,
            load=partial(_load, self),
            prepare=self.prepare,
            unsupported=self._unsupported,
            info=VariantInfo(revision=self.revision, licence="MIT" if self.model in SIZES else None),
        )

    def _unsupported(self, device: str) -> str | None:
        try:
            import ctranslate2
        except ImportError:
            return INSTALL
        try:
            supported = ctranslate2.get_supported_compute_types(*_split(device))
        except (RuntimeError, ValueError) as error:
            return f"CTranslate2 cannot use {device}: {' '.join(str(error).split())}"
        if self.compute_type in ("default", "auto") or self.compute_type in supported:
            return None
        return f"CTranslate2 cannot compute in {self.compute_type} on {device}; it can in {sorted(supported)}"


def _split(device: str) -> tuple[str, int]:
    kind, _, index = device.partition(":")
    return kind, int(index or 0)


def _folder(settings: FasterWhisper) -> Path:
    """Return the model's folder, from the disk, the hub's cache or the hub."""
    return hub.fetch(SIZES.get(settings.model, settings.model), settings.revision, kinds=("model.bin",))


def _load(settings: FasterWhisper, device: str) -> "_Whisper":
    try:
        from faster_whisper import WhisperModel
    except ImportError as error:
        raise MissingError(INSTALL) from error
    folder = _folder(settings)
    kind, index = _split(device)
    # without cpu_threads CTranslate2 takes OMP_NUM_THREADS, which the runner sets
    model = WhisperModel(str(folder), device=kind, device_index=index, compute_type=settings.compute_type)
    return _Whisper(model, settings, _footprint(folder / "model.bin", model.model.compute_type))


class _Whisper:
    """A loaded Whisper; greedy or beam search at temperature 0, so that every pass says the same."""

    batching = "sequential"

    def __init__(self, model: Any, settings: FasterWhisper, footprint: Footprint) -> None:
        self.model, self.settings, self.footprint = model, settings, footprint

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        return [self._transcribe(waveform) for waveform in batch]

    def _transcribe(self, waveform: Waveform) -> str:
        segments, _ = self.model.transcribe(
            waveform, beam_size=self.settings.beam_size, language=self.settings.language, temperature=0.0
        )
        return "".join(segment.text for segment in segments).strip()


# --- size ------------------------------------------------------------------------------------------------


def _footprint(file: Path, compute_type: str) -> Footprint:
    """Read parameters from the head of each variable in ``model.bin``.

    CTranslate2 converts the weights while loading and cannot serialise the result, so ``model_bytes`` is the
    file's size only where the file is stored in the precision that runs.
    """
    try:
        with file.open("rb") as stream:
            n_by_type = _count_variables(stream)
    except (OSError, struct.error, UnicodeDecodeError):
        return Footprint()
    if not n_by_type:
        return Footprint()
    stored = _STORED.get(max(n_by_type, key=lambda kind: n_by_type[kind]))
    runs_as_stored = compute_type.partition("_")[0] == stored
    n_bytes = file.stat().st_size if runs_as_stored else None
    return Footprint(sum(n_by_type.values()), n_bytes, compute_dtype=named(compute_type.split("_")))


def _count_variables(stream: BinaryIO) -> Counter[int]:
    """Return the number of weights by type id: CTranslate2's ``model_spec.py`` writes this layout."""
    _unpack(stream, "I")  # version of the file format
    _text(stream)  # name of the specification
    _unpack(stream, "I")  # revision of the specification
    counts: Counter[int] = Counter()
    for _ in range(_unpack(stream, "I")[0]):
        name = _text(stream)
        shape = _unpack(stream, f"{_unpack(stream, 'B')[0]}I")
        kind, n_bytes = *_unpack(stream, "B"), *_unpack(stream, "I")
        stream.seek(n_bytes, 1)
        if shape and not name.endswith(("_scale", "_zero")):  # how stored integers map to floats
            counts[kind] += prod(shape)
    return counts


def _unpack(stream: BinaryIO, form: str) -> tuple[Any, ...]:
    return struct.unpack(f"={form}", stream.read(struct.calcsize(f"={form}")))


def _text(stream: BinaryIO) -> str:
    return stream.read(_unpack(stream, "H")[0]).rstrip(b"\0").decode()
