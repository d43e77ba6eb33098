"""Which characters of a text are read: what looks the same is the same, however it is stored.

Invisible characters (Unicode's Default_Ignorable_Code_Point, UAX #44, annotation marks and control characters) are left
out, and every white space is a plain one. Joiners stay where an orthography needs them: next to a virama (RFC 5892,
appendices A.1 and A.2) and between letters of a script that joins them, as in Persian.
"""

import re
import unicodedata
from collections.abc import Iterable

APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\uff07", "'"))
"""Typographic apostrophes and single quotes: ``don\u2019t`` is ``don't``."""

_ZWJ = "\u200d"
_JOINERS = "\u200c\u200d"
_WORD_BREAK = "\u200b"

_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
"""Written out, so that a text counts the same with every version of Python. Hangul's fillers of syllables are letters,
and marks that enclose digits (U+0600 to U+0605, U+06DD) are seen."""

_RECOUNT = "the texts have {}, which earlier versions counted: `greenbench rescore --amend` counts them anew"

_SPACES = re.compile(r"[^\S \t-\r]|[\u3164\uffa0\u2800]")
"""White space beyond that of ASCII, which every scorer splits at, and letters that are drawn as a space."""

_JOINING = {
    "ARABIC", "SYRIAC", "MANDAIC", "NKO", "MONGOLIAN", "ADLAM", "DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI",
    "ORIYA", "TAMIL", "TELUGU", "KANNADA", "MALAYALAM", "SINHALA",
}  # fmt: skip
"""Scripts in which a joiner between two characters changes what is read."""

_UNSPACED = {"THAI", "LAO", "KHMER", "MYANMAR"}
"""Scripts that write no spaces: a zero-width space divides words."""

WITHOUT_SPACES = (
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u19e0-\u19ff\ua9e0-\ua9ff\uaa60-\uaa7f\u2e80-\u2fdf\u3001-\u30ff"
    "\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U000323af]"
)
"""Thai, Lao, Tibetan, Myanmar, Khmer, Chinese and Japanese by Unicode's blocks, written out: their words have no spaces
between them. Korean has."""

_UNSPACED_LETTER = re.compile(WITHOUT_SPACES)

_SEGMENTING = re.compile(f"(?<={WITHOUT_SPACES}) +| +(?={WITHOUT_SPACES})")
"""A space next to such a character, which a segmenter or a normaliser put there."""

_VIRAMA = 9
"""The canonical combining class of the signs that join consonants in Indic scripts."""


def as_read(text: str) -> str:
    """Return a text without what cannot be seen, with plain spaces, composed (Unicode's NFC)."""
    if text.isascii() and text.isprintable():
        return text
    return unicodedata.normalize("NFC", _INVISIBLE.sub(_kept, _SPACES.sub(" ", text)))


def unsegmented(text: str) -> str:
    """Return a text without the spaces next to characters of scripts that write none, which are no characters of it."""
    return text if text.isascii() else _SEGMENTING.sub("", text)


def writes_no_spaces(text: str) -> bool:
    """Say whether most of a text's letters are of scripts that write no spaces, so that words cannot be seen in it."""
    n_letters = sum(map(str.isalpha, text))
    return not text.isascii() and 2 * len(_UNSPACED_LETTER.findall(text)) > n_letters


def holds_invisible(text: str) -> bool:
    """Say whether a text has characters that cannot be seen and do not count."""
    return unicodedata.normalize("NFC", _SPACES.sub(" ", text)) != as_read(text)


def recount(texts: Iterable[str]) -> str | None:
    """Explain why texts no longer give the counts of an earlier version's row; None where nothing here explains it."""
    every = list(texts)
    if any(map(holds_invisible, every)):
        return _RECOUNT.format("invisible characters")
    is_segmented = any(unsegmented(text) != text for text in map(as_read, every))
    return _RECOUNT.format("spaces in a script that writes none") if is_segmented else None


def _kept(found: re.Match[str]) -> str:
    """Return what is kept of a run of invisible characters: what the characters next to it need."""
    start, end = found.span()
    before, after = found.string[max(0, start - 1) : start], found.string[end : end + 1]
    scripts = {_script(before), _script(after)}
    joiner = next((char for char in found[0] if char in _JOINERS), "")
    at_virama = _VIRAMA in map(_class, (before, after)) and (joiner == _ZWJ or _script(after) != "")
    if joiner and (at_virama or scripts <= _JOINING):
        return joiner
    if _WORD_BREAK in found[0] and scripts <= _UNSPACED:
        return " "
    return "".join(re.findall("[\u180b-\u180f]", found[0])) if _script(before) == "MONGOLIAN" else ""


def _script(char: str) -> str:
    """Return the script of a letter or mark as its name begins; empty for anything else."""
    return unicodedata.name(char, "").partition(" ")[0] if char and unicodedata.category(char)[0] in "LM" else ""


def _class(char: str) -> int:
    return unicodedata.combining(char) if char else 0
