"""When the words of a recognised text had been spoken, by the times of the words of its reference."""

import hashlib
from collections.abc import Sequence

from greenbench.plugins import WordTime
from greenbench.text.alignment import align
from greenbench.text.characters import as_read

N_DIGEST = 8
"""Hexadecimal digits of the digest of word times."""


def ends_s(final: str, spoken: Sequence[WordTime]) -> list[float | None]:
    """Return for each word of a text the end of the word of the reference that it is.

    Words are aligned as ``text.alignment`` does it, by their letters and digits alone, whatever their case. A word
    that was not said, or was recognised as another, has no end.

    Args:
        final: the recognised text.
        spoken: the words of the reference, in order.

    Returns:
        Seconds from the first sample, or None, for each word of ``final``.
    """
    words, known = final.split(), iter(spoken)
    ends: list[float | None] = []
    for pair in align([_letters(word.word) for word in spoken], [_letters(word) for word in words]):
        said = None if pair.kind == "insertion" else next(known)
        if pair.kind != "deletion":
            ends.append(said.end_s if said and pair.kind == "correct" else None)
    return ends


def _letters(word: str) -> str:
    return "".join(character for character in as_read(word).casefold() if character.isalnum())


def digest(utterances: Sequence[Sequence[WordTime]]) -> str:
    """Return what tells the word times of one data set from others of it."""
    stated = "\0".join(f"{word.word}\t{word.start_s}\t{word.end_s}" for words in utterances for word in words)
    return hashlib.sha256(stated.encode()).hexdigest()[:N_DIGEST]
