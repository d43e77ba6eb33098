"""Which characters of a text are read: what looks the same is the same, however it is stored.

Invisible characters (Unicode's Default_Ignorable_Code_Point, UAX #44, annotation marks and control characters) are left
out, and every white space is a plain one. Joiners stay where an orthography needs them: next to a virama (RFC 5892,
appendices A.1 and A.2) and between letters of a script that joins them, as in Persian.
"""

import re
import unicodedata

_ZWJ = "\u200d"
_JOINERS = "\u200c\u200d"
_WORD_BREAK = "\u200b"

_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
"""Written out, so that a text counts the same with every version of Python. Hangul's fillers of syllables are letters,
and marks that enclose digits (U+0600 to U+0605, U+06DD) are seen."""

RECOUNT = (
    "the texts have invisible characters, which earlier versions counted: `greenbench rescore --amend` counts them anew"
)
"""The explanation for a row whose texts have such characters and no longer give its counts."""

_SPACES = re.compile(r"[^\S \t-\r]|[\u3164\uffa0\u2800]")
"""White space beyond that of ASCII, which every scorer splits at, and letters that are drawn as a space."""

_JOINING = {
    "ARABIC", "SYRIAC", "MANDAIC", "NKO", "MONGOLIAN", "ADLAM", "DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI",
    "ORIYA", "TAMIL", "TELUGU", "KANNADA", "MALAYALAM", "SINHALA",
}  # fmt: skip
"""Scripts in which a joiner between two characters changes what is read."""

_UNSPACED = {"THAI", "LAO", "KHMER", "MYANMAR"}
"""Scripts that write no spaces: a zero-width space divides words."""

_VIRAMA = 9
"""The canonical combining class of the signs that join consonants in Indic scripts."""


def as_read(text: str) -> str:
    """Return a text without what cannot be seen, with plain spaces, composed (Unicode's NFC)."""
    if text.isascii() and text.isprintable():
        return text
    return unicodedata.normalize("NFC", _INVISIBLE.sub(_kept, _SPACES.sub(" ", text)))


def holds_invisible(text: str) -> bool:
    """Say whether a text has characters that cannot be seen and do not count."""
    return unicodedata.normalize("NFC", _SPACES.sub(" ", text)) != as_read(text)


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
