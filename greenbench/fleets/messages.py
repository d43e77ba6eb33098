"""Messages of a node: what its process sends home, and the one door through which that is read."""

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from greenbench.files.forms import faults
from greenbench.files.unicode import from_json, to_json, visible
from greenbench.plugins.engines import NodeError
from greenbench.results import store
from greenbench.results.runfiles import FILES

Stage = Literal["prepare", "doctor", "lock", "run", "fetch"]
"""What happens on a node, in this order."""

PART_BYTES = 32_000
"""Of a file that is sent in parts: small enough to travel within Ray's own messages (below 100 kB), so that a part that
has left its node is not lost with it."""

_LOG = re.compile(r"logs/[A-Za-z0-9][A-Za-z0-9._-]*")


class _SentMessage(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Hello(_SentMessage):
    """The process has begun: what runs it, and on which platform."""

    kind: Literal["hello"] = "hello"
    version: str
    rows: int
    python: str
    platform: str
    platform_name: str


class Begun(_SentMessage):
    """A stage begins."""

    kind: Literal["begun"] = "begun"
    stage: Stage


class Said(_SentMessage):
    """A line for people."""

    kind: Literal["said"] = "said"
    text: str


class Appended(_SentMessage):
    """The next lines of a file that grows."""

    kind: Literal["appended"] = "appended"
    file: str
    text: str


class Replaced(_SentMessage):
    """A whole file, which takes the place of what was sent of it."""

    kind: Literal["replaced"] = "replaced"
    file: str
    text: str


class Checked(_SentMessage):
    """One finding of the doctor, as ``doctor.finding.Finding``."""

    kind: Literal["checked"] = "checked"
    topic: str
    ok: bool | None
    message: str
    remedy: str | None
    blocks_official: bool


class RunEnd(_SentMessage):
    """Nothing follows: whether the run measured all that it was asked for, and what the engine used meanwhile."""

    kind: Literal["end"] = "end"
    status: Literal["ok", "failed", "refused"]
    reason: str | None = None
    run_s: float | None = None
    engine_cpu_s: float | None = None


NodeMessage: TypeAlias = Hello | Begun | Said | Appended | Replaced | Checked | RunEnd

_NODE_MESSAGE: TypeAdapter[NodeMessage] = TypeAdapter(Annotated[NodeMessage, Field(discriminator="kind")])


def write(message: NodeMessage) -> str:
    """Return a message as one line."""
    return to_json(message.model_dump(mode="json"))


def read(line: str) -> NodeMessage:
    """Return the message that a line holds.

    Raises:
        NodeError: it is none, or names a file that no run has.
    """
    try:
        message = _NODE_MESSAGE.validate_python(from_json(line.encode("utf-8", "replace")))
    except ValidationError as error:
        raise _unreadable("; ".join(faults(error)), line) from None
    except (ValueError, RecursionError):
        raise _unreadable("no JSON", line) from None
    if isinstance(message, (Appended, Replaced)) and not is_sent(message.file):
        raise _unreadable(f"no run has a file {message.file!r:.60}", line)
    return message


def is_sent(file: str) -> bool:
    """Say whether a file of a run comes home: all but its page, which is written anew."""
    return file in FILES.keys() - {store.REPORT, "logs/"} or _LOG.fullmatch(file) is not None


def _unreadable(why: str, line: Any) -> NodeError:
    return NodeError("failed", f"the node sent something that is no message ({why}): {visible(str(line))[:80]}")
