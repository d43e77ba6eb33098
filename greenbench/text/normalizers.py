"""Normalisers: what is done to reference and hypothesis before they are compared; each has a name and a version."""

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version

from greenbench import registry
from greenbench.text.characters import APOSTROPHES, as_read

ENGLISH = "whisper-english"

NOT_ENGLISH_PCT = 0.5
"""From this share of non-English letters on, a text counts as another language; German prose has 2 %, Italian 1 %."""


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

    It is for English only: diacritics are removed (``schön`` becomes ``schon``), and digits that are spoken one by one
    become one number, which counts as one word (``two nine eight one`` is ``2981``). Typographic apostrophes become
    plain ones here; Whisper's own code replaces them by spaces (``don t``).
    """
    from whisper_normalizer.english import EnglishTextNormalizer

    whisper = EnglishTextNormalizer()
    return Normalizer(f"2-{_library()}", lambda text: whisper(text.translate(APOSTROPHES)))


def whisper_basic() -> Normalizer:
    """Return OpenAI Whisper's normaliser for any language: case, punctuation, symbols, bracketed text.

    Unlike Whisper's default it keeps diacritics, without which Hindi loses its vowels (``preserve_marks`` of
    whisper-normalizer).
    """
    from whisper_normalizer.basic import BasicTextNormalizer

    return Normalizer(f"1-{_library()}", BasicTextNormalizer(preserve_marks=True))


def arabic() -> Normalizer:
    """Return whisper-normalizer's rules for Arabic: vowel signs, forms of alif and yaa, digits, punctuation."""
    return _international("Arabic")


def chinese() -> Normalizer:
    """Return whisper-normalizer's rules for Chinese: numerals become digits; widths, spaces and punctuation."""
    return _international("Chinese")


def french() -> Normalizer:
    """Return whisper-normalizer's rules for French: number words become digits; case and punctuation, not accents."""
    return _international("French")


def russian() -> Normalizer:
    """Return whisper-normalizer's rules for Russian: the letter yo, signs within numbers, case, punctuation."""
    return _international("Russian")


def spanish() -> Normalizer:
    """Return whisper-normalizer's rules for Spanish: number words become digits; case and punctuation, not accents."""
    return _international("Spanish")


def dutch() -> Normalizer:
    """Return whisper-basic behind text2num's rules for Dutch: number words become digits."""
    return _with_digits("nl")


def german() -> Normalizer:
    """Return whisper-basic behind text2num's rules for German: number words become digits."""
    return _with_digits("de")


def italian() -> Normalizer:
    """Return whisper-basic behind text2num's rules for Italian: number words become digits."""
    return _with_digits("it")


def portuguese() -> Normalizer:
    """Return whisper-basic behind text2num's rules for Portuguese: number words become digits."""
    return _with_digits("pt")


def _international(language: str) -> Normalizer:
    from whisper_normalizer import international

    apply: Callable[[str], str] = getattr(international, f"{language}TextNormalizer")()
    return Normalizer(f"1-{_library()}-{_numbers()}", apply)


def _with_digits(language: str) -> Normalizer:
    """Return whisper-basic for a language that groups thousands by dots."""
    from text_to_num import alpha2digit

    basic = whisper_basic().apply

    def apply(text: str) -> str:
        return basic(_GROUPED.sub("", alpha2digit(text, language)))

    return Normalizer(f"1-{_library()}-{_numbers()}", apply)


_GROUPED = re.compile(r"(?<=\d)\.(?=\d{3}(?!\d))")
"""The dot in ``1.000``."""


def _numbers() -> str:
    return f"text2num-{version('text2num')}"


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

    Texts pass ``as_read`` first, so that what looks the same is the same, however its characters are encoded.
    This is no part of the version: rows whose texts still give their counts stay valid, and a recount detects others.
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
    """Say why a normaliser does not suit the texts, and which one does; None where it suits them.

    Args:
        normalizer: its name, or its identifier in a row.
        share_pct: of the references, from ``non_english_pct``.
    """
    if normalizer.partition("@")[0] != ENGLISH or share_pct is None or share_pct < NOT_ENGLISH_PCT:
        return None
    return (
        f"{share_pct:.1f} % of the letters in its references are not English, and {ENGLISH} removes diacritics "
        "and splits words at them, which hides errors: set `normalizer: whisper-basic`, or rescore with "
        "`--normalizer whisper-basic`"
    )
