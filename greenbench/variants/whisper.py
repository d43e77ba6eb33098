"""The Whisper family: sequence-to-sequence models that transformers loads, decoded greedily."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from greenbench import cache, extras, registry
from greenbench.errors import InputError
from greenbench.models import folders, hub
from greenbench.models.seq2seq import Seq2SeqTranscriber
from greenbench.plugins import BARE, Method, ModelRef, Outline, Step, Variant, VariantInfo, follow
from greenbench.variants.loading import check_source, named_failures

ARCHITECTURES: Mapping[str, Mapping[str, Any]] = {
    name: {
        "d_model": width, "encoder_layers": encoder, "decoder_layers": decoder, "num_mel_bins": n_bands,
        "encoder_attention_heads": width // 64, "decoder_attention_heads": width // 64,
        "encoder_ffn_dim": 4 * width, "decoder_ffn_dim": 4 * width, "vocab_size": 51865 if n_bands == 80 else 51866,
    }
    for name, width, encoder, decoder, n_bands in (
        ("tiny", 384, 4, 4, 80), ("base", 512, 6, 6, 80), ("small", 768, 12, 12, 80), ("medium", 1024, 24, 24, 80),
        ("large-v2", 1280, 32, 32, 80), ("large-v3", 1280, 32, 32, 128), ("large-v3-turbo", 1280, 32, 4, 128),
        ("distil-large-v3", 1280, 32, 2, 128),
    )
}  # fmt: skip
"""Published architectures by name, as settings of transformers' ``WhisperConfig``."""

CHECKPOINTS = {
    **{size: f"openai/whisper-{size}" for size in ("tiny.en", "base.en", "small.en", "medium.en")},
    **{size: f"openai/whisper-{size}" for size in ARCHITECTURES if not size.startswith("distil")},
    **{size: f"distil-whisper/{size}" for size in ("distil-small.en", "distil-large-v3", "distil-large-v3.5")},
    **{size: f"UsefulSensors/{size}" for size in ("moonshine-tiny", "moonshine-base")},
}
"""Preset -> hub id."""

BUILDS = ("fp32", "fp16", "bf16", "int8-dynamic")
"""Methods that can be chained on; the others are made for CTC models."""


@dataclass(frozen=True)
class Whisper:
    """Settings of a Whisper, Distil-Whisper or Moonshine model in transformers.

    Attributes:
        model: a folder or a hub id with trained weights.
        config: of random weights: a published size such as ``tiny``, ``large-v3-turbo`` or ``distil-large-v3``, or a
            folder or hub id with a config.
        weights: ``trained``; ``random`` for speed, memory and energy only.
        language: code of the spoken language, such as ``en`` or ``de``; None lets the model guess. A model of one
            language takes its own.
        max_new_tokens: tokens after which a text, or a window of 30 s of a longer one, ends; None is the model's own
            limit. Random weights never end a text by themselves: they need it, and write exactly so many.
        revision: hub revision of ``model``.
        seed: of random weights.
    """

    model: ModelRef | None = None
    config: ModelRef | None = None
    weights: Literal["trained", "random"] = "trained"
    language: str | None = "en"
    max_new_tokens: int | None = None
    revision: str | None = None
    seed: int = 0

    presets: ClassVar[Mapping[str, Any]] = {name: {"model": model} for name, model in CHECKPOINTS.items()}
    takes_builds: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse settings that do not say which model is meant, or how long its texts are."""
        check_source(self.weights, self.model, self.config)
        if self.weights == "random" and self.max_new_tokens is None:
            raise ValueError("`weights: random` needs `max_new_tokens`: how many tokens a text has")
        if self.max_new_tokens is not None and self.max_new_tokens < 1:
            raise ValueError("max_new_tokens is at least 1")

    @property
    def label(self) -> str:
        """The model, as part of a default name."""
        return f"{self.config}-random" if self.model is None else self.model

    def prepare(self) -> None:
        """Fetch the weights (or the configuration) if they are not here, and check that no file is missing."""
        if self.model is not None:
            _check_whole(self, hub.fetch(self.model, self.revision))
        elif self.config not in ARCHITECTURES:
            folders.check_type(self.label, _config_folder(self), folders.SEQ2SEQ)

    def __call__(self, name: str, chain: Sequence[tuple[str, Step]]) -> Variant:
        """Return the variant with methods chained on.

        Raises:
            InputError: one of them cannot be chained on.
        """
        methods, labels = _methods(chain), [label for label, _ in chain]
        base = name.removesuffix("".join(f"+{label}" for label in labels))
        return Variant(
            name=name,
            load=partial(_load, self, methods),
            to_fetch=partial(_to_fetch, self),
            fetch=self.prepare,
            check=partial(_check, self),
            prepare=self.prepare,
            unsupported=partial(_unsupported, methods),
            precision=partial(_precision, methods),
            extras=("torch",),
            identity=partial(_identity, self),
            parent=(base if base != name else f"whisper:{self.label}") if chain else None,
            steps=tuple(labels),
            decoding=partial(_decoding, self),
            info=VariantInfo(revision=self.revision, synthetic=self.weights == "random"),
        )


# --- before it is loaded ---------------------------------------------------------------------------------


def _methods(chain: Sequence[tuple[str, Step]]) -> list[Method]:
    """Return the methods of a chain, and refuse what is not for this family or not for the step before it."""
    methods: list[Method] = []
    for label, step in chain:
        if registry.name_of("methods", step) not in BUILDS:
            raise InputError(f"builds: {label} is not for `use: whisper`, which takes {', '.join(BUILDS)}")
        methods.append(step)  # type: ignore[arg-type]
    follow(Outline(floats="fp32"), methods)
    return methods


def _check(settings: Whisper) -> None:
    """Look at the files that are here."""
    if settings.model is not None:
        if folder := hub.here(settings.model, settings.revision):
            _check_whole(settings, folder)
        return
    config = str(settings.config)
    folder = None if config in ARCHITECTURES else hub.here(config, settings.revision, ("config.json",))
    if folder:
        folders.check_type(settings.label, folder, folders.SEQ2SEQ)


def _check_whole(settings: Whisper, folder: Path) -> None:
    folders.check(settings.label, folder, folders.SEQ2SEQ)
    _language(settings, folder)


def _to_fetch(settings: Whisper) -> str | None:
    if settings.model is not None:
        return hub.to_fetch(settings.model, settings.revision)
    config = str(settings.config)
    return None if config in ARCHITECTURES else hub.to_fetch(config, settings.revision, kinds=("config.json",))


def _unsupported(methods: Sequence[Method], device: str) -> str | None:
    return extras.missing(("torch",)) or next(filter(None, (method.unsupported(device) for method in methods)), None)


def _precision(methods: Sequence[Method]) -> str | None:
    known = follow(Outline(floats="fp32"), methods)
    return "int8" if known.integers else known.floats


def _identity(settings: Whisper) -> tuple[str, ...]:
    """Return the digest of the weights, or of what random ones are drawn from."""
    if settings.model is not None:
        return hub.identity(settings.model, settings.revision)
    config = str(settings.config)
    if config not in ARCHITECTURES:
        config = cache.digest(_config_folder(settings) / "config.json")
    return (f"random:whisper:{config}:{settings.seed}",)


def _decoding(settings: Whisper) -> str:
    if settings.model is None:
        return f"greedy, {settings.max_new_tokens} tokens for each text"
    has_choice = bool(_languages(settings, hub.fetch(settings.model, settings.revision)))
    language = f"language {settings.language or 'guessed'}" if has_choice else None
    limit = f"at most {settings.max_new_tokens} tokens" if settings.max_new_tokens else None
    return ", ".join(filter(None, ["greedy", language, limit]))


def _languages(settings: Whisper, folder: Path) -> Sequence[str]:
    """Return the codes of the languages between which a model can be told to choose; none where it has one."""
    if not (folder / "generation_config.json").is_file():
        return ()
    stated = folders.read_json(settings.label, folder, "generation_config.json")
    known = stated.get("lang_to_id") if stated.get("is_multilingual", True) else None
    return [token.strip("<|>") for token in known] if isinstance(known, dict) else ()


def _language(settings: Whisper, folder: Path) -> str | None:
    """Return the language that is handed to a model; None where it guesses or knows one only.

    Raises:
        InputError: it does not know the language.
    """
    known = _languages(settings, folder)
    if settings.language is None or (not known and settings.language == "en"):
        return None
    if not known:
        one = "the model has no choice of languages: leave `language` out"
        raise InputError(f"model {settings.label}: language: {one}")
    if settings.language not in known:
        given = f"'{settings.language}' is none that it knows; give a language code such as en, de or fr"
        raise InputError(f"model {settings.label}: language: {given}")
    return settings.language


# --- loading ---------------------------------------------------------------------------------------------


def _load(settings: Whisper, methods: Sequence[Method], device: str) -> Seq2SeqTranscriber:
    extras.need("torch")
    from transformers import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model, extractor, decode, options = _random(settings) if settings.model is None else _trained(settings)
    model = model.to(device).eval()
    for method in methods:
        model = method(model, BARE)
    return Seq2SeqTranscriber(model, extractor, decode, device, options)


def _trained(settings: Whisper) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Return model, feature extractor, what decodes tokens, and options of ``generate``."""
    import torch
    from transformers import AutoFeatureExtractor, AutoModelForSpeechSeq2Seq, AutoTokenizer

    folder = hub.fetch(str(settings.model), settings.revision)
    _check_whole(settings, folder)
    with named_failures(settings.label, folders.SEQ2SEQ):
        model, found = AutoModelForSpeechSeq2Seq.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        extractor, tokenizer = AutoFeatureExtractor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        if missing := sorted(found["missing_keys"]):
            raise ValueError(f"no weights for {missing[0]} ({len(missing)} missing): make or fetch it again")
    language, limit = _language(settings, folder), settings.max_new_tokens
    options = {"language": language, "task": "transcribe"} if language else {}
    return model, extractor, partial(tokenizer.batch_decode, skip_special_tokens=True), options | _at_most(limit)


def _random(settings: Whisper) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Return the same of random weights, whose texts are the numbers of their tokens."""
    import torch
    from transformers import (
        AutoConfig,
        AutoModelForSpeechSeq2Seq,
        Wav2Vec2FeatureExtractor,
        WhisperConfig,
        WhisperFeatureExtractor,
    )

    if architecture := ARCHITECTURES.get(str(settings.config)):
        config = WhisperConfig(**architecture)
    else:
        folders.check_type(settings.label, _config_folder(settings), folders.SEQ2SEQ)
        with named_failures(settings.label, folders.SEQ2SEQ):
            config = AutoConfig.from_pretrained(_config_folder(settings))
    torch.manual_seed(settings.seed)
    model = AutoModelForSpeechSeq2Seq.from_config(config, dtype=torch.float32)
    extractor = Wav2Vec2FeatureExtractor()
    if config.model_type == "whisper":
        window_s = config.max_source_positions * 2 // 100  # a position is two frames of 10 ms
        extractor = WhisperFeatureExtractor(config.num_mel_bins, chunk_length=window_s)
    return model, extractor, _numbers, {**_at_most(settings.max_new_tokens), "min_new_tokens": settings.max_new_tokens}


def _at_most(n_tokens: int | None) -> dict[str, int]:
    return {} if n_tokens is None else {"max_new_tokens": n_tokens}


def _numbers(tokens: Any) -> list[str]:
    return [" ".join(map(str, row)) for row in tokens.tolist()]


def _config_folder(settings: Whisper) -> Path:
    return hub.fetch(str(settings.config), settings.revision, kinds=("config.json",))
