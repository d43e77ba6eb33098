"""Every error a user can meet: one line saying what is wrong, where, and how to fix it."""

from collections.abc import Iterable
from difflib import get_close_matches


class GreenbenchError(Exception):
    """The base of all errors that greenbench raises on purpose; the CLI prints it without a traceback."""

    exit_code = 1


class InputError(GreenbenchError):
    """The suite, an option or a name is wrong; nothing was run."""

    exit_code = 2


class MissingError(GreenbenchError):
    """A data set, a model or a library that a cell needs is not here and could not be fetched."""


class BadAudioError(GreenbenchError):
    """An audio file is corrupt, empty, unreadable or has no samples."""


class StoreError(GreenbenchError):
    """A results folder cannot be written, read or resumed."""


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Say which valid name was probably meant.

    Args:
        name: what the user wrote.
        valid: the names that exist.

    Returns:
        ``"Did you mean 'x'?"`` where a name is close, else the list of valid names.
    """
    names = sorted(valid)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"Valid: {', '.join(names) or '(none)'}."
