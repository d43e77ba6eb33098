"""What is done to reference and hypothesis before they are compared; each normaliser has a name and a version."""

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version

from greenbench import registry
from greenbench.text.characters import as_read

ENGLISH = "whisper-english"

NOT_ENGLISH_PCT = 0.5
"""From this share of foreign letters on a text is taken for another language; running German has 2 %, Italian 1 %."""

_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\uff07", "'"))
"""Typographic apostrophes and single quotes: ``don\u2019t`` is ``don't``."""


@dataclass(frozen=True)
class Normalizer:
    """A normaliser (group ``greenbench.normalizers``: functions that return one).

    Attributes:
        version: changes whenever any text could come out differently.
        apply: text in, as ``characters.as_read`` gives it; text out.
    """

    version: str
    apply: Callable[[str], str]


def whisper_english() -> Normalizer:
    """Return OpenAI Whisper's English normaliser: case, punctuation, fillers, contractions, numbers, spelling.

    It is for English alone: marks are taken off letters (``schön`` becomes ``schon``), and digits that are spoken one
    by one become one number, which counts as one word (``two nine eight one`` is ``2981``). Typographic apostrophes are
    plain ones here; Whisper's own code takes them for spaces (``don t``).
    """
    from whisper_normalizer.english import EnglishTextNormalizer

    theirs = EnglishTextNormalizer()
    return Normalizer(f"2-{_library()}", lambda text: theirs(text.translate(_APOSTROPHES)))


def whisper_basic() -> Normalizer:
    """Return OpenAI Whisper's normaliser for any language: case, punctuation, symbols, what is in brackets.

    Unlike Whisper's default it keeps marks, without which Hindi loses its vowels: ``preserve_marks`` of
    whisper-normalizer.
    """
    from whisper_normalizer.basic import BasicTextNormalizer

    return Normalizer(f"1-{_library()}", BasicTextNormalizer(preserve_marks=True))


def _library() -> str:
    return f"whisper-normalizer-{version('whisper-normalizer')}"


def librispeech() -> Normalizer:
    """Return LibriSpeech's convention: upper case, nothing else changed."""
    return Normalizer("2", str.upper)


def none() -> Normalizer:
    """Return the normaliser that changes nothing beyond what ``characters.as_read`` does."""
    return Normalizer("2", str)


def create(name: str) -> tuple[str, Normalizer]:
    """Return a registered normaliser and its identifier for rows, ``name@version``.

    Texts come to it as they are read: what looks the same is the same, however its characters are stored. That is no
    part of the version: rows stand whose texts count the same by it, and of others a recount says that they do not.
    """
    made: Normalizer = registry.load("normalizers", name)()

    @lru_cache(maxsize=2**14)  # the references come again with every cell, and most hypotheses with every repeat
    def apply(text: str) -> str:
        return made.apply(as_read(text))

    return f"{name}@{made.version}", replace(made, apply=apply)


def non_english_pct(texts: Iterable[str]) -> float | None:
    """Return the share of letters and marks that English does not have, in percent; None where there are no letters."""
    text = unicodedata.normalize("NFC", "\n".join(texts))
    letters = [c for c in text if c.isalpha() or unicodedata.category(c)[0] == "M"]
    return 100 * sum(not c.isascii() for c in letters) / len(letters) if letters else None


def misfit(normalizer: str, share_pct: float | None) -> str | None:
    """Say why a normaliser does not fit the texts, and which does; None where nothing speaks against it.

    Args:
        normalizer: its name, or its identifier in a row.
        share_pct: of the references, from ``non_english_pct``.
    """
    if normalizer.partition("@")[0] != ENGLISH or share_pct is None or share_pct < NOT_ENGLISH_PCT:
        return None
    return (
        f"{share_pct:.1f} % of the letters in its references are not English, and {ENGLISH} takes marks off letters "
        "and splits words at them, so that errors vanish: set `normalizer: whisper-basic`, or rescore with "
        "`--normalizer whisper-basic`"
    )
