"""Languages of MMS checkpoints: beside the weights that all share, each has an adapter and a vocabulary of its own."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greenbench.errors import InputError, MissingError, StoreError, did_you_mean
from greenbench.files import readback


def files(language: str | None) -> tuple[str, ...]:
    """Return the names of what is loaded for a language beside the weights; () for the checkpoint's own."""
    return (f"adapter.{language}.safetensors",) if language else ()


def check(label: str, folder: Path, config: Mapping[str, Any], language: str) -> None:
    """Refuse a language that a checkpoint does not have; its adapter is not looked for, since it may be still to fetch.

    Args:
        label: names the model in the message.
        folder: of the checkpoint.
        config: its configuration.
        language: code of the language, as its vocabulary has it.

    Raises:
        InputError: the checkpoint has no adapters, or none of that language; the message names the nearest.
    """
    if config.get("model_type") != "wav2vec2" or config.get("adapter_attn_dim") is None:
        raise InputError(f"model {label}: target_lang: it has no adapters for languages. Leave target_lang out.")
    known = _known(folder)
    if language not in known:
        raise InputError(f"model {label}: target_lang: '{language}' is none of its languages. {_near(language, known)}")


def check_adapter(label: str, folder: Path, language: str) -> None:
    """Refuse a folder without the adapter of a language.

    Raises:
        MissingError: it is not there.
    """
    for name in files(language):
        if not (folder / name).is_file():
            raise MissingError(f"model {label}: {name} is missing in {folder}. Fetch it from where the model is from.")


def n_outputs(folder: Path, language: str) -> int:
    """Return the outputs of the head that a language's adapter brings."""
    from safetensors import safe_open

    with safe_open(folder / files(language)[0], framework="np") as tensors:
        shape: list[int] = tensors.get_slice("lm_head.weight").get_shape()
    return shape[0]


def _known(folder: Path) -> list[str]:
    """Return the languages of a vocabulary, which has a vocabulary for each; [] where it is of one language."""
    try:
        vocabulary = json.loads(readback.read_whole(folder / "vocab.json"))
    except (StoreError, ValueError, RecursionError):
        return []
    return sorted(name for name, tokens in vocabulary.items() if isinstance(tokens, dict))


def _near(language: str, known: list[str]) -> str:
    """Suggest a language; a thousand are not listed."""
    listed = did_you_mean(language, known)
    return listed if len(known) < 30 or not listed.startswith("Valid") else f"It has {len(known)}: see its vocab.json."
