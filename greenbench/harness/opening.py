"""Where a run is kept: a folder that is made or gone on with, what it says of itself, and what of it is still to do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

from greenbench.errors import InputError
from greenbench.harness.cooldown import Temperatures, rule
from greenbench.power import log
from greenbench.results import store
from greenbench.results.record import KEYS
from greenbench.suite.config import Suite
from greenbench.suite.plan import NOT_MEASURED, content_hash
from greenbench.suite.protocol import steps_of


@dataclass(frozen=True)
class Options:
    """How a run is carried out, as opposed to what it measures.

    Attributes:
        out: the run's folder; by default ``results/<run_id>``.
        resume: continue the run in ``out`` (by default the suite's latest), running what is missing or failed.
        only: a glob on cells.
        command: how the run was started, for ``run.json``.
        power_log: what a wall meter writes meanwhile; attached to the rows at the end.
        page: writes the page of the run's folder into a file at the end; None leaves the page out.
        made: the text of a suite that was made for the run, which is kept in its folder.
        wait: until nobody else measures on this machine, rather than to refuse.
        lock: keep others on this machine from measuring meanwhile; rows of a run that does not are not ranked.
        shared: a scheduler may place others' work on this machine meanwhile; the rows are not ranked.
    """

    out: Path | None = None
    resume: bool = False
    only: str | None = None
    command: str | None = None
    power_log: log.Source | None = None
    page: Callable[[Path, Path], object] | None = None
    made: str | None = None
    wait: bool = False
    lock: bool = True
    shared: bool = False


DEFAULTS = Options()


def place(suite: Suite, options: Options) -> tuple[Path, str]:
    """Return the folder of the run to resume or of a new one, and the id that a new one gets.

    Raises:
        InputError: the folder is a file, other runs are inside it, or there is no run to resume.
    """
    now = datetime.now(timezone.utc)
    new_id = f"{suite.name}-{now:%Y%m%d-%H%M%S}-{uuid4().hex[:4]}"  # two runs may begin in one second
    resumed = _latest(suite.name) if options.resume and options.out is None else None
    folder = options.out or resumed or Path("results") / new_id
    if not (folder / store.RUN).exists():
        _refuse_parent(folder)
    return folder, new_id


def enter(folder: Path, new_id: str, suite: Suite, options: Options, look: Callable[[], Temperatures]) -> store.Run:
    """Go on with the run in a folder, or create one there, and open it.

    Args:
        folder: from ``place``; no other process writes into it.
        new_id: of a new run.
        suite: its suite.
        options: whether to resume.
        look: reads the temperatures at its start.

    Raises:
        InputError: a run is there and is not to be resumed, or is of another suite.
    """
    if (folder / store.RUN).exists():
        if not options.resume:
            raise InputError(f"--out {folder}: a run is here already. Continue it with --resume, or choose another.")
        run = store.open_run(folder)
        _refuse_changes(run, suite)
        return run
    start = look()
    cooldown = {"rule": rule(suite.protocol, start), "start": start}
    described = _describe(suite, new_id, datetime.now(timezone.utc), options)
    store.write_run(folder, described | {"cooldown": cooldown})
    if options.made is not None:
        store.write_file(folder / store.SUITE, options.made, "cannot write the suite", "Choose another --out.")
    return store.open_run(folder)


def done(folder: Path, suite: Suite) -> set[tuple[Any, ...]]:
    """Return the cells that need no process: all repeats measured, or skipped for what nothing mends."""
    repeats = suite.protocol.repeats
    rows = store.current(store.read_rows(folder / store.RECORDS))
    counts: dict[tuple[Any, ...], int] = {}
    for row in rows:
        lacked = row.get("skipped_for") in {"lacking", "emulated"}  # it may be installed or allowed since: it is tried
        status = "lacking" if lacked else row["status"]
        n = {"ok": 1, "skipped": repeats}.get(status, -repeats)
        counts[identity(row)] = counts.get(identity(row), 0) + n
    return {cell for cell, n in counts.items() if n >= repeats}


def _refuse_parent(folder: Path) -> None:
    """Refuse a folder whose runs a new one would lie among, and what is no folder."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder}: it is a file. Name a new folder.")
    inside = store.runs(folder) if folder.is_dir() else []
    if inside:
        raise InputError(f"--out {folder}: runs are inside this folder ({inside[0].name}). Name one of its own, "
                         f"such as {folder / 'mine'}.")  # fmt: skip


def _latest(name: str) -> Path:
    """Return the suite's latest run under ``results``."""
    found = [run.folder for run in store.by_start(Path("results")) if run.description.get("name") == name]
    if not found:
        raise InputError(f"--resume: there is no run of suite '{name}' under results/. Name it with --out.")
    return found[-1]


def _refuse_changes(run: store.Run, suite: Suite) -> None:
    old = run.description
    if old["suite_hash"] == content_hash(suite):
        return
    new = suite.model_dump(mode="json")
    changed = sorted(key for key in new if key not in NOT_MEASURED and old["suite"].get(key) != new[key])
    raise InputError(
        f"--resume {run.folder}: the suite has changed since that run ({', '.join(changed)}). "
        "Start a new run, or restore the suite."
    )


def _describe(suite: Suite, run_id: str, now: datetime, options: Options) -> dict[str, Any]:
    """Return the content of ``run.json``: everything that is the same for all rows."""
    from greenbench import meters
    from greenbench.hardware import environment

    return {
        "run_id": run_id,
        "name": suite.name,
        "description": suite.description,
        "started_utc": now.isoformat(timespec="seconds"),
        "command": options.command,
        "only": options.only,
        "suite_hash": content_hash(suite),
        "suite": suite.model_dump(mode="json"),
        "protocol": {"name": suite.protocol.use, **steps_of(suite.protocol)},
        "versions": environment.versions(),
        "git": environment.git_state(Path.cwd()),
        "machine": environment.machine(),
        "meters": meters.survey(suite.meters),
    }


def identity(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what identifies a cell within a run."""
    return tuple(row[name] for name in KEYS[1:-1])
