"""The other files in a model's folder, and whether they fit its weights."""

from pathlib import Path
from typing import Any

from greenbench.errors import InputError
from greenbench.models import folders
from greenbench.plugins import SAMPLE_RATE_HZ

LANGUAGE_MODEL = ("language_model", "alphabet.json")
"""What transformers' ``Wav2Vec2ProcessorWithLM`` adds to a checkpoint's folder."""


def language_model(folder: Path) -> str | None:
    """Return the file or folder by which a checkpoint brings a language model, or None."""
    return next((name for name in LANGUAGE_MODEL if (folder / name).exists()), None)


def check(label: str, n_outputs: int, extractor: Any, tokenizer: Any) -> None:
    """Refuse a feature extractor of another sampling rate, and a tokeniser of another vocabulary than the head's.

    A tokeniser may add special tokens to its vocabulary, which a head need not have.

    Args:
        label: names the model in the message.
        n_outputs: of its head.
        extractor: its transformers feature extractor.
        tokenizer: its tokeniser.

    Raises:
        InputError: they do not fit.
    """
    if extractor.sampling_rate != SAMPLE_RATE_HZ:
        raise InputError(folders.of_another_rate(label, extractor.sampling_rate))
    known = (tokenizer.vocab_size, len(tokenizer))
    if n_outputs not in known:
        raise InputError(
            f"model {label}: its head has {n_outputs} outputs and its tokeniser {known[0]} tokens, as if it "
            "were of another language (`target_lang`). Save the model with the tokeniser that it was trained with."
        )
