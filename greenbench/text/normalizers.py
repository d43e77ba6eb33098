"""What is done to reference and hypothesis before they are compared; each normaliser has a name and a version."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

from greenbench import registry


@dataclass(frozen=True)
class Normalizer:
    """A normaliser (group ``greenbench.normalizers``: functions that return one).

    Attributes:
        version: changes whenever any text could come out differently.
        apply: text in, text out.
    """

    version: str
    apply: Callable[[str], str]


def whisper_english() -> Normalizer:
    """Return OpenAI Whisper's English normaliser: case, punctuation, fillers, contractions, numbers, spelling."""
    from whisper_normalizer.english import EnglishTextNormalizer

    return Normalizer(f"whisper-normalizer-{version('whisper-normalizer')}", EnglishTextNormalizer())


def librispeech() -> Normalizer:
    """Return LibriSpeech's convention: upper case, nothing else changed."""
    return Normalizer("1", str.upper)


def none() -> Normalizer:
    """Return the normaliser that changes nothing."""
    return Normalizer("1", str)


def create(name: str) -> tuple[str, Normalizer]:
    """Return a registered normaliser and its identifier for rows, ``name@version``."""
    normalizer: Normalizer = registry.load("normalizers", name)()
    return f"{name}@{normalizer.version}", normalizer
