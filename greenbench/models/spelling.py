"""How a text is spelt for a model: in its vocabulary's case, and without marks that it has no token for."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from greenbench.text.characters import as_read

_ALIKE = {"\u2019": "'", "\u2018": "'", "\u02bc": "'", "\u00b4": "'", "`": "'"}


@dataclass(frozen=True)
class Spelt:
    """A transcript as a model can write it.

    Attributes:
        text: in the characters of the vocabulary.
        n_letters: letters and digits that it had.
        unknown: those of them that the vocabulary has in no case.
    """

    text: str
    n_letters: int
    unknown: str


@lru_cache(maxsize=4)
def speller(tokenizer: Any) -> Callable[[str], Spelt]:
    """Return what spells a transcript in the vocabulary of a CTC tokeniser.

    A letter is taken in the case that the vocabulary has, dashes become spaces and other marks are left out where it
    has none, and so are letters that it lacks. A vocabulary of pieces longer than a character is left to its tokeniser,
    in the case in which that knows most of it.

    Args:
        tokenizer: a transformers tokeniser.
    """
    written = {token for token, index in tokenizer.get_vocab().items() if index < tokenizer.vocab_size}  # by the model
    delimiter = getattr(tokenizer, "word_delimiter_token", None) or " "
    known = frozenset(written - {delimiter, *tokenizer.all_special_tokens})
    if any(len(token) > 1 for token in known):
        return lambda text: _in_pieces(as_read(text), tokenizer)
    return lambda text: _spelt(text, known, " " if delimiter in written else "")


def _in_pieces(text: str, tokenizer: Any) -> Spelt:
    """Return a text in the case of which a tokeniser knows most; a piece that it does not know counts as a letter."""
    n_unknown = {
        form: tokenizer(form).input_ids.count(tokenizer.unk_token_id)
        for form in dict.fromkeys((text, text.lower(), text.upper()))
    }
    best = min(n_unknown, key=lambda form: n_unknown[form])
    n_letters = sum(unicodedata.category(char)[0] in "LN" for char in text)
    return Spelt(best, n_letters, "\ufffd" * min(n_unknown[best], n_letters))


def _spelt(text: str, known: frozenset[str], space: str) -> Spelt:
    letters, n_letters, unknown = list[str](), 0, list[str]()
    for char in as_read(text):
        is_letter = unicodedata.category(char)[0] in "LN"
        n_letters += is_letter
        found = _as_known(char, known)
        if found is None and is_letter:
            unknown.append(char)
        is_gap = char.isspace() or unicodedata.category(char) == "Pd"
        letters.append(" " if found is None and is_gap else found or "")
    return Spelt(space.join("".join(letters).split()), n_letters, "".join(unknown))


def _as_known(char: str, known: frozenset[str]) -> str | None:
    """Return a character as the vocabulary has it; None where it has it in no case."""
    forms = (char, char.lower(), char.upper(), _ALIKE.get(char, ""))
    return next((form for form in forms if form and known.issuperset(form)), None)
