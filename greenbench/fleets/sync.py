"""A run's folder in two places: the node sends what is new in it, and at home that is stored as it arrives."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from greenbench.errors import StoreError
from greenbench.files import whole
from greenbench.fleets.messages import PART_BYTES, Appended, NodeMessage, Replaced, is_sent
from greenbench.results import store

GROWING = (store.HYPOTHESES, store.WINDOWS, store.POWER, store.CONTROL, store.RECORDS)
"""Files to which lines are appended; the rows last, so that none arrives without what it rests on."""


@dataclass
class _SentFile:
    """What was sent of a file: its bytes, and their digest."""

    n_bytes: int = 0
    digest: Any = field(default_factory=hashlib.sha256)


class Sender:
    """Sends what is new in a run's folder.

    Args:
        folder: of the run; it may not be there yet.
        send: takes a message.
    """

    def __init__(self, folder: Path, send: Callable[[NodeMessage], None]) -> None:
        self._folder, self._send = folder, send
        self._sent: dict[str, _SentFile] = {}

    def send_new(self) -> None:
        """Send the run's description where it has changed, and the lines that were appended."""
        self._send_changed(store.RUN)
        for file in GROWING:
            self._send_lines(file)

    def send_rest(self) -> None:
        """Send whatever differs from what was sent: then the folder is the same in both places."""
        self.send_new()
        files = (path.relative_to(self._folder).as_posix() for path in sorted(self._folder.rglob("*")))
        for file in filter(is_sent, files):
            self._send_changed(file)

    def _send_lines(self, file: str) -> None:
        """Send the whole lines that are new in a file, in parts."""
        path = self._folder / file
        if not path.is_file():
            return
        sent = self._sent.setdefault(file, _SentFile())
        with path.open("rb") as stream:
            stream.seek(sent.n_bytes)
            while lines := stream.readlines(PART_BYTES):
                part = b"".join(line for line in lines if line.endswith(b"\n"))
                if part:
                    self._send(Appended(file=file, text=part.decode("utf-8", "replace")))
                    sent.n_bytes += len(part)
                    sent.digest.update(part)

    def _send_changed(self, file: str) -> None:
        """Send a whole file unless it is what was sent."""
        path, sent = self._folder / file, self._sent.get(file)
        if not path.is_file():
            return
        content = path.read_bytes()
        digest = hashlib.sha256(content)
        if sent is None or (len(content), digest.digest()) != (sent.n_bytes, sent.digest.digest()):
            self._send(Replaced(file=file, text=content.decode("utf-8", "replace")))
            self._sent[file] = _SentFile(len(content), digest)


def receive(folder: Path, message: Appended | Replaced) -> None:
    """Store what a node sent of a file.

    Args:
        folder: of the run at home.
        message: as ``messages.read`` returns it.

    Raises:
        StoreError: the folder cannot be written.
    """
    path = folder / message.file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(message, Replaced):
            whole.write(path, message.text)
        else:
            with path.open("ab") as stream:
                stream.write(message.text.encode())
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}. The node keeps its rows; continue with "
                         "--resume, or choose another --out.") from error  # fmt: skip


def file_name(name: str) -> str:
    """Return the name of a folder for a node or a fleet, whatever it is called; no two share one."""
    return quote(name, safe=" ").replace(".", "%2E") if name.startswith(".") else quote(name, safe=" ")
