"""The page of a folder as it is now: runs that did not change are not read again, and what cannot be read is named."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock

from greenbench.analysis.gate import Gate
from greenbench.errors import GreenbenchError
from greenbench.report import pages
from greenbench.report.content import RunContent, Unread, read, together
from greenbench.results import store

WATCHED = (store.RUN, store.RECORDS, store.HYPOTHESES, store.SCORES)
"""The files whose change is news; what is sampled ten times a second is read when one of these has changed."""

_READ = (*WATCHED, store.POWER, store.WINDOWS)

Stamp = tuple[tuple[str, int, int, int, int], ...]
"""Path, inode, times of the last change (of inode and content) and size of each watched file."""


def page_of(folder: Path, gate: Gate) -> Callable[[], tuple[str, bytes]]:
    """Return what gives the page of a folder as it is now, and its tag; a page is drawn by one caller at a time."""
    parts: dict[Path, tuple[Stamp, RunContent]] = {}
    last: dict[str, bytes] = {}
    lock = Lock()

    def part(run: Path) -> RunContent:
        stamp = _stamp(run)
        if run not in parts or parts[run][0] != stamp:
            parts[run] = (stamp, _read(run))
        return parts[run][1]

    def page() -> tuple[str, bytes]:
        with lock:
            stamps = repr([folder.is_dir(), *(_stamp(run) for run in store.runs(folder))])
            tag = f'"{hashlib.sha256(stamps.encode()).hexdigest()[:16]}"'
            if tag not in last:
                last.clear()
                last[tag] = _rendered(folder, gate, part).encode()
            return tag, last[tag]

    return page


def _stamp(run: Path) -> Stamp:
    found = []
    for path in (run / name for name in WATCHED):
        try:
            stat = path.stat()
        except OSError:  # not there yet, or gone since it was listed
            continue
        found.append((str(path), stat.st_ino, stat.st_ctime_ns, stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def _read(run: Path) -> RunContent:
    """Read a run whose files are files: a pipe would be waited for without end.

    Raises:
        GreenbenchError: it cannot be read.
    """
    for path in (run / name for name in _READ):
        if path.exists() and not path.is_file():
            raise GreenbenchError(f"{path.name} is not a regular file")
    return read(run)


def _rendered(folder: Path, gate: Gate, part: Callable[[Path], RunContent]) -> str:
    """Return the page of the runs that can be read, with the others by name, or one that says what it waits for."""
    readable, unread = dict[Path, RunContent](), list[Unread]()
    for run in store.runs(folder):
        try:
            readable[run] = part(run)
        except Exception as error:  # whatever a file holds costs its own run, and no other
            unread.append(_unread(folder, run, error))
    try:
        return _drawn(folder, readable, gate, unread)
    except Exception:
        unshown = _unshown(folder, readable, gate)
    rest = {run: each for run, each in readable.items() if run not in unshown}
    return _drawn(folder, rest, gate, [*unread, *unshown.values()])


def _unshown(folder: Path, readable: Mapping[Path, RunContent], gate: Gate) -> dict[Path, Unread]:
    """Return the runs of which alone no page can be made either; where each alone can, all of them."""
    found = dict[Path, Unread]()
    for run, part in readable.items():
        try:
            _drawn(folder, {run: part}, gate, [])
        except Exception as error:
            found[run] = _unread(folder, run, error)
    why = "cannot be shown with the other runs"
    return found or {run: Unread(_name(folder, run), why) for run in readable}


def _drawn(folder: Path, readable: Mapping[Path, RunContent], gate: Gate, unread: list[Unread]) -> str:
    """Return the page of runs, or where none has a row yet the one that waits."""
    parts = [part for part in readable.values() if not part.rows.empty]
    if parts:
        return pages.render(together(parts, gate), live=True, unread=unread)
    reason = "The runs here have no rows yet." if readable else "There is no run here that can be shown yet."
    if not folder.is_dir():
        reason = f"There is no folder {folder} yet: check its name, unless a run will make it."
    waiting = pages.templates().get_template("waiting.html.jinja")
    return waiting.render(folder=folder, reason=reason, unread=unread)


def _unread(folder: Path, run: Path, error: Exception) -> Unread:
    reason = str(error) if isinstance(error, GreenbenchError) else f"{type(error).__name__}: {error}"
    return Unread(_name(folder, run), reason.removeprefix(f"{run}: ")[:300])


def _name(folder: Path, run: Path) -> str:
    return str(run.relative_to(folder)) if run != folder else run.name or str(run)
