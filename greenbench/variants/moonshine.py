"""The Moonshine family: small recognisers for devices, with the weights that their package brings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from greenbench import extras
from greenbench.errors import MissingError, NotFiniteError
from greenbench.hardware import environment
from greenbench.models import hub
from greenbench.models.onnx_session import compute_dtype, open_session
from greenbench.models.packaged import Packaged
from greenbench.plugins import SAMPLE_RATE_HZ, Footprint, ModelRef, Step, Variant, VariantInfo, Waveform
from greenbench.variants import cpu_only
from greenbench.variants.moonshine_voice import Library
from greenbench.variants.sequential import one_by_one

SIZES = {"tiny.en": Packaged("moonshine-voice", "moonshine_voice", "assets/tiny-en")}
"""Published sizes that a package brings."""

N_PARAMS = {"tiny.en": 27_092_736}
"""Parameters of each size; the file of the decoder holds the embedding twice (a test counts them)."""

ENCODER, DECODER, TOKENS = "encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin"
FILES = (ENCODER, DECODER, TOKENS)
"""What a model's folder holds, by the names that Moonshine gives them."""

_REMEDY = "Install it again (`pip install --force-reinstall moonshine-voice==0.0.73`), or give `model` a whole folder."

START, END = 1, 2
"""Tokens that begin and end a text."""

OWN_THREADS = "moonshine-voice chooses its number of threads itself, whatever `threads` says"

MIN_SAMPLES = 895
"""Samples that give the encoder one frame: its convolutions are 127 wide by 64, 7 by 3 and 3 by 2."""


@dataclass(frozen=True)
class Moonshine:
    """Settings of a Moonshine model.

    Attributes:
        model: ``tiny.en``, or a folder of files that Moonshine publishes for a model that does not stream.
        max_tokens_per_s: tokens for a second of audio, after which the text ends; 6.5 is Moonshine's own limit for
            English (``MoonshineModel`` in moonshine-ai/moonshine, ``core/moonshine-model.h``).
        engine: ``onnxruntime`` reads an utterance as a whole; ``moonshine-voice`` is the package's own library, for the
            models that it brings, which reads speech in lines of 15 s at most and streams by itself.
        vad_threshold: share of speech above which moonshine-voice takes audio for it. 0 takes all; its own is 0.5, with
            which texts depend on what was spoken before, as its detector of speech goes on from one to the next.
    """

    model: ModelRef
    max_tokens_per_s: float = 6.5
    engine: Literal["onnxruntime", "moonshine-voice"] = "onnxruntime"
    vad_threshold: float = 0.0

    presets: ClassVar[Mapping[str, Any]] = {size: {"model": size} for size in SIZES}
    takes_builds: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse a limit that gives no text, and what the engine does not take."""
        if not 0 < self.max_tokens_per_s < math.inf:
            raise ValueError("max_tokens_per_s is above 0")
        if not 0 <= self.vad_threshold < 1:
            raise ValueError("vad_threshold is at least 0 and below 1")
        if self.engine == "moonshine-voice" and self.model not in SIZES:
            raise ValueError(f"engine: moonshine-voice takes the models of its package: {', '.join(SIZES)}")
        if self.engine != "moonshine-voice" and self.vad_threshold:
            raise ValueError("vad_threshold is for `engine: moonshine-voice`")

    @property
    def label(self) -> str:
        """The model, as part of a default name."""
        return self.model if self.engine == "onnxruntime" else f"{self.model}-{self.engine}"

    @property
    def decoding(self) -> str:
        """How its output becomes text."""
        greedy = f"greedy, at most {self.max_tokens_per_s:g} tokens a second of audio"
        return (
            greedy if self.engine == "onnxruntime" else f"{greedy}, {self.engine}, speech above {self.vad_threshold:g}"
        )

    def __call__(self, name: str, chain: Sequence[tuple[str, Step]]) -> Variant:  # noqa: ARG002
        """Return the variant."""
        packaged = SIZES.get(self.model)
        return Variant(
            name=name,
            load=partial(_load, self),
            check=self._check,
            prepare=self._check,
            unsupported=partial(cpu_only.unsupported, "moonshine", "Moonshine"),
            extras=("moonshine",),
            identity=self._identity,
            decoding=lambda: self.decoding,
            warnings=lambda: [] if self.engine == "onnxruntime" else [OWN_THREADS],
            info=VariantInfo(
                n_params=N_PARAMS.get(self.model),
                licence="MIT" if packaged else None,
                weights_package=str(packaged) if packaged and packaged.folder else None,
            ),
        )

    def _check(self) -> None:
        """Look at the files; what is not installed is said by ``unsupported``."""
        if not extras.missing(["moonshine"]):
            _whole_folder(self.model)

    def _identity(self) -> tuple[str, ...]:
        folder = _folder(self.model)
        weights = hub.identity(str(folder), kinds=("*coder_model*.ort",)) if folder else ()
        return weights if self.engine == "onnxruntime" or not weights else (*weights, self.engine)


def _folder(model: str) -> Path | None:
    """Return a model's folder, in its package or on the disk; None where there is none."""
    if model in SIZES:
        return SIZES[model].folder
    return Path(model) if Path(model).is_dir() else None


def _whole_folder(model: str) -> Path:
    """Return a model's folder, and refuse one that lacks a file or has an empty one."""
    folder = _folder(model)
    if folder is None:
        where = f"not in {SIZES[model]}" if model in SIZES else f"no such folder, and not one of {', '.join(SIZES)}"
        raise MissingError(f"model {model}: {where}. {_REMEDY if model in SIZES else 'Correct `model`.'}")
    lost = [name for name in FILES if not (folder / name).is_file() or not (folder / name).stat().st_size]
    if lost:
        raise MissingError(
            f"model {model}: {', '.join(lost)} missing or empty: not a complete Moonshine model. {_REMEDY}"
        )
    return folder


def _load(settings: Moonshine, device: str) -> "_EncoderDecoder | Library":  # noqa: ARG001
    extras.need("moonshine")
    if settings.engine == "onnxruntime":
        return _EncoderDecoder(settings)
    folder = _whole_folder(settings.model)
    options = {"max_tokens_per_second": settings.max_tokens_per_s, "vad_threshold": settings.vad_threshold}
    return Library(folder, options, _footprint(settings, [folder / ENCODER, folder / DECODER]))


class _EncoderDecoder:
    """A loaded Moonshine, decoded greedily.

    Utterances run one after the other, as in Moonshine's own engine: the encoder normalises over an utterance's whole
    length and scales its integers by the whole batch, so that padding and neighbours would change the texts.
    """

    batching = "sequential"

    def __init__(self, settings: Moonshine) -> None:
        folder, n_threads = _whole_folder(settings.model), environment.stated_threads()
        self.max_tokens_per_s = settings.max_tokens_per_s
        self.encoder, self.decoder = (open_session(folder / name, n_threads) for name in (ENCODER, DECODER))
        self.vocabulary = _vocabulary(settings.model, (folder / TOKENS).read_bytes())
        self.footprint = _footprint(settings, [folder / ENCODER, folder / DECODER])
        past = [port for port in self.decoder.get_inputs() if port.name.startswith("past_key_values.")]
        # shape (n_utterances, n_heads, n_tokens, width), where the first and the third are free
        self.empty = {port.name: np.zeros((1, port.shape[1], 0, port.shape[3]), np.float32) for port in past}

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        return one_by_one(self._transcribe, batch)

    def _transcribe(self, waveform: Waveform) -> str:
        limit = math.ceil(len(waveform) / SAMPLE_RATE_HZ * self.max_tokens_per_s)
        audio = np.pad(waveform, (0, max(0, MIN_SAMPLES - len(waveform))))[None]
        return self._text(self._tokens(audio, limit))

    def _tokens(self, audio: Waveform, limit: int) -> list[int]:
        """Return the most likely tokens, each after those before it, for audio of shape ``(1, n_samples)``."""
        mask = np.ones(audio.shape, np.int64)
        (hidden,) = _run(self.encoder, ["last_hidden_state"], {"input_values": audio, "attention_mask": mask})
        encoded = {"encoder_hidden_states": hidden, "encoder_attention_mask": mask}
        past, changing, tokens = {**self.empty}, list(self.empty), [START]
        while len(tokens) <= limit and tokens[-1] != END:
            new = {"input_ids": np.array([tokens[-1:]]), "use_cache_branch": np.array([len(tokens) > 1])}
            outputs = ["logits", *(name.replace("past_key_values", "present") for name in changing)]
            logits, *present = _run(self.decoder, outputs, {**encoded, **new, **past})
            past.update(zip(changing, present, strict=True))
            changing = [name for name in past if ".decoder." in name]  # the encoder's keys and values stay as they are
            tokens.append(_best(logits[0, -1]))
        return tokens

    def _text(self, tokens: Sequence[int]) -> str:
        pieces = (self.vocabulary[token] for token in tokens)
        text = b"".join(piece for piece in pieces if not (piece[:1] == b"<" and piece[-1:] == b">" and len(piece) > 2))
        return text.decode(errors="replace").replace("\N{LOWER ONE EIGHTH BLOCK}", " ").strip()


def _best(logits: npt.NDArray[np.float32]) -> int:
    token = int(logits.argmax())
    if not np.isfinite(logits[token]):
        raise NotFiniteError([0])
    return token


def _run(session: Any, outputs: Sequence[str], values: Mapping[str, Any]) -> list[Any]:
    """Run a session on those of the values that it takes: not every export has the masks."""
    taken = {port.name for port in session.get_inputs()}
    result: list[Any] = session.run(outputs, {name: value for name, value in values.items() if name in taken})
    return result


# --- the files -------------------------------------------------------------------------------------------


def _footprint(settings: Moonshine, files: Sequence[Path]) -> Footprint:
    n_bytes = sum(file.stat().st_size for file in files)
    return Footprint(N_PARAMS.get(settings.model), n_bytes, compute_dtype=compute_dtype(files))


def _vocabulary(model: str, content: bytes) -> list[bytes]:
    """Return the bytes of each token; before them stands their number, from 128 on in two bytes, the low one first.

    The layout is that of ``core/bin-tokenizer/bin-tokenizer.cpp`` in moonshine-ai/moonshine.

    Raises:
        MissingError: the file ends within a token.
    """
    tokens, at = [], 0
    while at < len(content):
        n_bytes, at = content[at], at + 1
        if n_bytes >= 128:
            n_bytes, at = int.from_bytes(content[at : at + 1], "little") * 128 + n_bytes - 128, at + 1
        tokens.append(content[at : at + n_bytes])
        at += n_bytes
    if at > len(content):
        raise MissingError(f"model {model}: {TOKENS} is cut short. {_REMEDY}")
    return tokens
