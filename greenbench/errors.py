"""The errors that a user can meet: one line says what is wrong, where, and how to fix it."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class GreenbenchError(Exception):
    """The base of all errors that greenbench raises on purpose; the CLI prints it without a traceback."""

    exit_code = 1


class InputError(GreenbenchError):
    """The suite, an option or a name is wrong; nothing was run."""

    exit_code = 2


class BusyError(InputError):
    """Another process writes into the folder; nothing was changed."""


class MissingError(GreenbenchError):
    """A data set, a model or a library that a cell needs is not available and could not be fetched."""


class BadAudioError(GreenbenchError):
    """An audio file is corrupt, empty, unreadable or has no samples."""


class NotFiniteError(GreenbenchError):
    """A model computed NaN or infinity, so that there is no text to count.

    Attributes:
        positions: of the affected utterances in the batch.
        what: the values that were not finite.
    """

    def __init__(self, positions: Sequence[int], what: str = "the logits", ids: Sequence[str] = ()) -> None:
        """Make the message, with the ids of the utterances where they are given."""
        self.positions, self.what = tuple(positions), what
        which = ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
        where = f" of {which}" if ids else ""
        super().__init__(
            f"{what}{where} are not finite (NaN or infinity), so there is no text to count. A 16-bit or integer build "
            "may overflow: measure the float32 one, or bf16 instead of fp16. If that is not finite either, the weights "
            "are damaged: make or fetch the model again."
        )

    def of(self, ids: Sequence[str]) -> "NotFiniteError":
        """Return the same error with the ids of the utterances of the batch."""
        return NotFiniteError(self.positions, self.what, [ids[position] for position in self.positions])


class AnswerError(GreenbenchError):
    """A model returned something other than its contract says: of a transcriber, one text for each waveform."""

    def __init__(
        self, answer: str, contract: str = "a transcriber returns a list with one str for each waveform"
    ) -> None:
        super().__init__(f"the model returned {answer}: {contract}")


class UnansweredError(GreenbenchError):
    """A model cannot answer the task of a data set: it is not made for it."""


class ProgramError(GreenbenchError):
    """A program or a server that a suite names does not start, has ended, or does not answer as it must."""


class TrainingError(GreenbenchError):
    """A training has diverged."""


class StoreError(GreenbenchError):
    """A results folder cannot be written, read or resumed."""


class UnsavedError(StoreError):
    """A row could not be written; ``unsaved`` holds it as JSON lines, so that nothing measured is lost."""

    def __init__(self, message: str, unsaved: str) -> None:
        super().__init__(message)
        self.unsaved = unsaved


def nearest(name: str, valid: Sequence[str]) -> str | None:
    """Return the valid name that a name was probably meant to be, or None where none is close."""
    return next(iter(get_close_matches(name, valid, n=1, cutoff=0.5)), None)


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Suggest the valid name that was probably meant.

    Args:
        name: what the user wrote.
        valid: the names that exist.

    Returns:
        ``"Did you mean 'x'?"`` where a name is close, else the list of valid names.
    """
    names = sorted(valid)
    close = nearest(name, names)
    if close:
        return f"Did you mean '{close}'?"
    return f"Valid: {', '.join(names) or '(none)'}."


def words(error: BaseException) -> str:
    """Return an error's message in one line, even where its own ``__str__`` fails."""
    try:
        return " ".join(str(error).split())
    except Exception:  # of the error's own making
        return "(its message cannot be read)"
