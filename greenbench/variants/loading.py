"""How a wav2vec 2.0 model's settings become a torch module, with its feature extractor and its tokeniser."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from greenbench.errors import MissingError
from greenbench.models import edits, folders, hub, lineage, opening
from greenbench.models.ctc import CtcTranscriber
from greenbench.models.exported import Exported
from greenbench.models.precision import torch_dtype
from greenbench.plugins import BARE, Method, NeedsTeacher
from greenbench.variants import fit, languages
from greenbench.variants.checkpoints import ARCHITECTURES, VOCABULARY
from greenbench.variants.outline import ModelSettings


def check_source(weights: str, model: str | None, config: str | None) -> None:
    """Refuse settings that do not say which trained model is meant, or of which configuration weights are random.

    Raises:
        ValueError: they say none, or both.
    """
    if weights == "trained" and (model is None or config is not None):
        raise ValueError("give `model` (a folder or hub id), or `config` with `weights: random`")
    if weights == "random" and (config is None or model is not None):
        raise ValueError("`weights: random` takes `config` and no `model`")


def trained_folder(settings: ModelSettings) -> Path:
    """Return the folder of trained weights, fetched if need be and whole as far as can be seen without loading it."""
    folder = hub.fetch(str(settings.model), settings.revision)
    config = folders.check(str(settings.model), folder)
    if settings.target_lang is not None:
        languages.check(settings.label, folder, config, settings.target_lang)
        folder = hub.fetch(str(settings.model), settings.revision, languages.files(settings.target_lang))
        languages.check_adapter(settings.label, folder, settings.target_lang)
    return folder


def module(settings: ModelSettings, methods: Sequence[Method], device: str) -> Any:
    """Return the model on a device with the methods applied in order."""
    from transformers import logging

    from greenbench.models import exits

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model = _random(settings) if settings.weights == "random" else _trained(settings)
    model = model.to(device).eval()
    context = replace(BARE, extractor=processor(settings)[0]) if methods else BARE
    if any(isinstance(method, NeedsTeacher) for method in methods):
        context = replace(context, teacher=deepcopy(model))
    with exits.leaving_never():
        for method in methods:
            model = method(model, context)
    return model


def transcriber(model: Any) -> type[CtcTranscriber]:
    """Return what transcribes with a loaded model, a torch module or an exported one: what has chunks streams too."""
    from greenbench.models import chunks
    from greenbench.models.chunk_stream import ChunkGraphTranscriber, ChunkTranscriber

    if isinstance(model, Exported):
        return CtcTranscriber if model.steps is None else ChunkGraphTranscriber
    return CtcTranscriber if chunks.of(model) is None else ChunkTranscriber


def _trained(settings: ModelSettings) -> Any:
    folder = trained_folder(settings)
    # float32 whatever a file holds: the builds decide the precision, and for a student those in its lineage did
    dtype = torch_dtype(lineage.read(settings.model).precision)
    with named_failures(str(settings.model)):
        model = opening.opened(str(settings.model), folder, dtype)
    if settings.target_lang is not None:
        with named_failures(str(settings.model)):
            model.load_adapter(settings.target_lang, local_files_only=True, use_safetensors=True)
    return model


@contextmanager
def named_failures(label: str, kind: folders.ModelKind = folders.CTC) -> Iterator[None]:
    """Turn what transformers raises about a folder into one line that names the model.

    Raises:
        MissingError: in its place.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, SafetensorError) as error:
        cause = " ".join(str(error).split())
        raise MissingError(
            f"model {label}: does not load as a {kind.name}: {type(error).__name__}: {cause:.300}"
        ) from error


def config_folder(settings: ModelSettings) -> Path:
    """Return the folder of the configuration of random weights, fetched if need be."""
    return hub.fetch(str(settings.config), settings.revision, kinds=("config.json",))


def configuration(settings: ModelSettings) -> Any:
    """Return the configuration of the model."""
    return _structure(settings)[0]


def _structure(settings: ModelSettings) -> tuple[Any, edits.Structure | None]:
    """Return the configuration of the model, and its edits."""
    from transformers import Wav2Vec2Config

    if settings.config in ARCHITECTURES:
        return Wav2Vec2Config(**ARCHITECTURES[settings.config], vocab_size=len(VOCABULARY)), None
    if settings.weights == "random":
        return opening.configuration(str(settings.config), config_folder(settings))
    folder = trained_folder(settings)
    with named_failures(str(settings.model)):
        config, structure = opening.configuration(str(settings.model), folder)
        if settings.target_lang is not None:
            config.vocab_size = languages.n_outputs(folder, settings.target_lang)
        return config, structure


def _random(settings: ModelSettings) -> Any:
    import torch

    torch.manual_seed(settings.seed)
    return opening.built(*_structure(settings))


def fitting_processor(settings: ModelSettings) -> tuple[Any, Any]:
    """Return the feature extractor and the tokeniser; refuse those that do not fit the model."""
    extractor, tokenizer = processor(settings)
    fit.check(settings.label, configuration(settings).vocab_size, extractor, tokenizer)
    return extractor, tokenizer


def processor(settings: ModelSettings) -> tuple[Any, Any]:
    """Return the feature extractor and the tokeniser; random weights get those of the LibriSpeech checkpoints."""
    from transformers import AutoFeatureExtractor, AutoTokenizer, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor

    if settings.weights == "trained":
        folder = trained_folder(settings)
        of_language = {"target_lang": settings.target_lang} if settings.target_lang is not None else {}
        with named_failures(str(settings.model)):
            return AutoFeatureExtractor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder, **of_language)
    masked = getattr(configuration(settings), "feat_extract_norm", "layer") == "layer"
    with tempfile.TemporaryDirectory() as scratch:
        aside = Path(scratch)
        (aside / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(VOCABULARY)}), "utf-8")
        tokenizer = Wav2Vec2CTCTokenizer(str(aside / "vocab.json"))
    return Wav2Vec2FeatureExtractor(return_attention_mask=masked), tokenizer
