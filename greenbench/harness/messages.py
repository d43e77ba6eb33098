"""Messages from a worker: the one door through which anything of a cell's process comes, and what may pass it."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError

from greenbench.errors import GreenbenchError
from greenbench.files.unicode import from_json, visible
from greenbench.harness.job import Job
from greenbench.results.runfiles import HYPOTHESES, RECORDS, WINDOWS, unstorable

BEGINNING = b'{"kind"'
"""How every message begins: what does not is known to be none before it has been read to its end."""

MAX_BYTES = 2**29
"""A message of the texts of 100,000 utterances is a tenth of this."""


LOST = 70
"""Exit code of a worker whose line to its parent is closed, so that nothing can be said on it."""


class UnreadableError(GreenbenchError):
    """What came from a worker is no message, or none of its cell."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class _Message(_Strict):
    """Anything that a worker sends; where ``ack`` is set it waits for an answer."""

    ack: bool = False


class PhaseMessage(_Message):
    """What the cell begins to do."""

    kind: Literal["phase"]
    text: str


class WarningMessage(_Message):
    """What a user should know of the loaded model."""

    kind: Literal["warning"]
    text: str


class Overhead(_Message):
    """What the harness costs, from ``overhead.overhead``."""

    kind: Literal["overhead"]
    s_per_batch: FiniteFloat
    s_per_window: FiniteFloat


class Hypotheses(_Message):
    """The texts of a window, rows of ``runfiles.HYPOTHESES``."""

    kind: Literal["hypotheses"]
    rows: list[dict[str, Any]]


class Windowed(_Message):
    """When a window or an idle baseline was, a row of ``runfiles.WINDOWS``."""

    kind: Literal["window"]
    row: dict[str, Any]


class Recorded(_Message):
    """A row of ``runfiles.RECORDS``."""

    kind: Literal["record"]
    row: dict[str, Any]


class Done(_Message):
    """All is sent; the process ends now."""

    kind: Literal["done"]


class End(_Message):
    """The worker has ended, by its guard: its exit code, and how many processes it left behind."""

    kind: Literal["end"]
    returncode: int
    n_left: int


Message: TypeAlias = PhaseMessage | WarningMessage | Overhead | Hypotheses | Windowed | Recorded | Done | End

_MESSAGE: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])


def read(line: bytes, job: Job) -> Message:
    """Return the message that a line holds; its bytes are read as UTF-8, with a mark for what is not.

    Args:
        line: without its end.
        job: whose worker sent it.

    Raises:
        UnreadableError: it is no message, a value in it has the wrong type or is not finite, or it is of another cell.
    """
    try:
        value = from_json(line.decode(errors="replace").encode())
        message = _MESSAGE.validate_python(value)
    except ValidationError as error:
        raise UnreadableError(f"a message that cannot be read ({_first(error)}): {_excerpt(line)}") from None
    except (ValueError, RecursionError, MemoryError):
        raise UnreadableError(f"something that is not a message: {_excerpt(line)}") from None
    file, rows = _rows(message)
    for row in rows:
        _check(row, job)
        for fault in unstorable(file, row):
            raise UnreadableError(f"a row that cannot be stored: {visible(fault)[:200]}")
    return message


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ").lower()


def _excerpt(line: bytes) -> str:
    """Quote the beginning of a line."""
    return json.dumps(visible(line[:60].decode(errors="replace"))) + (" ..." if len(line) > 60 else "")


def _rows(message: Message) -> tuple[str, list[dict[str, Any]]]:
    """Return the rows of a message, and the file that they are for."""
    if isinstance(message, Hypotheses):
        return HYPOTHESES, message.rows
    if isinstance(message, Windowed):
        return WINDOWS, [message.row]
    return RECORDS, [message.row] if isinstance(message, Recorded) else []


def _check(row: Mapping[str, Any], job: Job) -> None:
    """Refuse a row of another cell, or of a repeat that was not asked for."""
    repeat = row.get("repeat")
    for name, value in job.key(repeat).items():
        if row.get(name) != value:
            raise UnreadableError(f"a row of another cell ({name} is {visible(repr(row.get(name)))[:60]})")
    if repeat not in (None, *range(job.suite.protocol.repeats)):
        raise UnreadableError(f"a row of a repeat that the protocol does not have ({visible(repr(repeat))[:60]})")
