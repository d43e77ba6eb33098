"""Locks that the system releases when their process ends, however it does, and who holds one."""

import getpass
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil

from greenbench.errors import BusyError, StoreError
from greenbench.files import readback, whole
from greenbench.files.forms import TEXT, count, form, record

LOCK, WRITER = ".lock", ".writer.json"

LOOK_S = 1.0
"""Who waits for a lock looks so often: what its holder measures hardly notices."""


@contextmanager
def holding(lock: Path, signature: Path, wait: bool = False) -> Iterator[None]:
    """Hold a lock, and say so in a file beside it, which is missing where there is no room for it.

    Args:
        lock: made where it is missing; every user who may write into its folder may hold it.
        signature: says who holds it.
        wait: until nobody else holds it.

    Raises:
        filelock.Timeout: another process, or thread, holds it.
        OSError: the lock cannot be made.
    """
    from filelock import FileLock

    lock.parent.mkdir(parents=True, exist_ok=True)
    file_lock = FileLock(lock, timeout=-1 if wait else 0, mode=0o666)
    file_lock.acquire(poll_interval=LOOK_S)
    try:
        _sign(signature)
        yield
    finally:
        with suppress(PermissionError):  # it is another user's, who died
            signature.unlink(missing_ok=True)
        file_lock.release()


def holder(signature: Path) -> tuple[str, str] | None:
    """Return who holds a lock, and since when in UTC; None where that is not known."""
    known = _known(signature)
    if known is None:
        return None
    place = f"process {known['pid']} on {known['host']:.80}, user {known['user']:.80}"
    return f"{known['command']!r:.80} ({place})", f"{known['since_utc']:.80}"


def writer_here(folder: Path) -> int | None:
    """Return the id of the process of this machine that writes into a folder; None where there is none."""
    known = _known(folder / WRITER)
    if known is None or known["host"] != platform.node() or not psutil.pid_exists(known["pid"]):
        return None
    return int(known["pid"])


def writer(folder: Path) -> str | None:
    """Return who writes into a folder, and since when; None where nobody does, or its process here is gone."""
    known = _known(folder / WRITER)
    if known is None or (known["host"] == platform.node() and not psutil.pid_exists(known["pid"])):
        return None
    return _writer(folder)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Keep other processes from writing into a folder; whoever comes second is refused with the name of the first.

    Args:
        folder: made where it is missing.

    Raises:
        BusyError: another process writes into it; says which, and since when.
        StoreError: the folder cannot be written.
    """
    from filelock import Timeout

    with ExitStack() as stack:
        try:
            stack.enter_context(holding(folder / LOCK, folder / WRITER))
        except Timeout as error:
            raise BusyError(f"{folder}: {_writer(folder)}. Wait until it ends, or choose another folder.") from error
        except OSError as error:
            raise StoreError(
                f"{folder}: cannot be written: {error.strerror or error}. Choose another --out."
            ) from error
        yield


def _known(signature: Path) -> dict[str, Any] | None:
    try:
        return readback.read_object(signature, _HOLDER)
    except StoreError:
        return None


def _writer(folder: Path) -> str:
    known = holder(folder / WRITER)
    return f"{known[0]} has been writing here since {known[1]}" if known else "another process is writing here"


def _sign(signature: Path) -> None:
    since = datetime.now(timezone.utc).isoformat(timespec="seconds")
    content = {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]]), "pid": os.getpid(), "host": platform.node(),
        "user": _user(), "since_utc": since,
    }  # fmt: skip
    with suppress(OSError):
        whole.write(signature, json.dumps(content))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container whose user has no name
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


_HOLDER = form(record({**dict.fromkeys(("command", "host", "user", "since_utc"), TEXT), "pid": count()}))
