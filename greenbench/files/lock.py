"""Who writes into a folder: one process at a time; whoever comes second is refused with the name of the first."""

import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from greenbench.errors import BusyError, StoreError
from greenbench.files import readback, whole
from greenbench.files.forms import TEXT, count, form, record

LOCK, WRITER = ".lock", ".writer.json"


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Keep other processes from writing into a folder; the system ends this when the process ends, however it does.

    Args:
        folder: made where it is missing.

    Raises:
        BusyError: another process writes into it; says which, and since when.
        StoreError: the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        file_lock = FileLock(folder / LOCK, timeout=0)
        file_lock.acquire()
    except Timeout as error:
        raise BusyError(f"{folder}: {_writer(folder)}. Wait until it ends, or choose another folder.") from error
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error.strerror or error}. Choose another --out.") from error
    try:
        _sign(folder)
        yield
    finally:
        (folder / WRITER).unlink(missing_ok=True)
        file_lock.release()


def _sign(folder: Path) -> None:
    """Say who writes; where there is no room for it the lock holds all the same."""
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]])
    since = datetime.now(timezone.utc).isoformat(timespec="seconds")
    content = {"command": command, "pid": os.getpid(), "host": platform.node(), "since_utc": since}
    with suppress(OSError):
        whole.write(folder / WRITER, json.dumps(content))


def _writer(folder: Path) -> str:
    """Return who writes into a folder, as far as it says."""
    try:
        writer = readback.read_object(folder / WRITER, _WRITER)
    except StoreError:
        return "another process is writing here"
    who = f"{writer['command']!r:.80} (process {writer['pid']} on {writer['host']:.80})"
    return f"{who} has been writing here since {writer['since_utc']:.80}"


_WRITER = form(record({**dict.fromkeys(("command", "host", "since_utc"), TEXT), "pid": count()}))
