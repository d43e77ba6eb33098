"""Lists of terms whose recognition is counted apart: read from a file, and found in transcripts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from greenbench import registry
from greenbench.errors import InputError, StoreError
from greenbench.files import readback
from greenbench.plugins import Clip, SuitePath
from greenbench.text.characters import as_read
from greenbench.text.terms import spoken

Clips = Callable[[], Iterator[Clip]]


def listed(given: str | Sequence[str], base: Path | None = None) -> list[str]:
    """Return the terms of a list, or of a file with a term a line; what follows a ``#`` at its beginning is a note.

    Args:
        given: the terms, or the path of the file.
        base: folder that a relative path is tried against first.

    Raises:
        InputError: the file cannot be read, or there is no term.
    """
    terms = _read(given, base) if isinstance(given, str) else given
    found = list(dict.fromkeys(" ".join(as_read(term).split()) for term in terms))
    if not any(found):
        raise InputError(f"terms: {given} has no term; write a word or phrase a line")
    return [term for term in found if term]


def _read(given: str, base: Path | None) -> list[str]:
    path: Path = registry.adapter(SuitePath).validate_python(given, context={"base": base})
    try:
        lines = [(raw or b"").decode("utf-8-sig") for _, raw in readback.numbered(path)]
    except (StoreError, UnicodeDecodeError) as error:
        cause = error if isinstance(error, StoreError) else f"{path}: it is not UTF-8"
        raise InputError(f"terms: {cause}. Name a text file with a term a line") from error
    return [line for line in lines if not line.startswith("#")]


def with_terms(clips: Clips, terms: Sequence[str]) -> Clips:
    """Return clips that say which of the terms their transcript has."""
    return lambda: (replace(clip, terms=spoken(terms, clip.reference)) for clip in clips())
