"""A run: what is missing is fetched, every cell gets its process, and what was measured can be resumed."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenbench.errors import GreenbenchError, InputError
from greenbench.files import lock
from greenbench.hardware import exclusive
from greenbench.hardware.roofline import of_run
from greenbench.harness import ahead, control_cell, forecast, grid, kept_peaks, opening, word_times
from greenbench.harness.cooldown import Cooldown, Temperatures, rest, temperatures
from greenbench.harness.foreseen import Foreseen, joined, obstacle, refuse
from greenbench.harness.heartbeat import beating
from greenbench.harness.job import Job
from greenbench.harness.opening import DEFAULTS, Options
from greenbench.harness.process import run_cell
from greenbench.harness.rows import not_measured
from greenbench.meters.poller import polling
from greenbench.plugins.events import (
    CellStarted,
    Observer,
    PageWritten,
    Phase,
    Planned,
    PowerAttached,
    Preparing,
    RowStored,
    Unavailable,
    Warned,
    unobserved,
)
from greenbench.power import log
from greenbench.results import attach, frames, store
from greenbench.results.record import to_row
from greenbench.results.shortfall import shortfall
from greenbench.suite import config
from greenbench.suite.config import Suite
from greenbench.suite.entries import VariantEntry
from greenbench.suite.plan import Cell, plan

if TYPE_CHECKING:
    import pandas as pd


__all__ = ["Options", "check_only", "run"]


def run(
    suite: str | Path | Mapping[str, Any] | Suite,
    options: Options = DEFAULTS,
    observe: Observer = unobserved,
) -> "pd.DataFrame":
    """Run a suite.

    Args:
        suite: a YAML file, the same as a mapping, or a loaded Suite.
        options: where to, whether to resume, which cells.
        observe: receives what happens, as events.

    Returns:
        The run's rows, as ``load`` gives them; the run's folder is in ``frame.attrs["folder"]``, and in
        ``frame.attrs["shortfall"]`` what it fell short of (None: all was measured), by which the command exits with 1.

    Raises:
        InputError: a name or setting is wrong, or the power log cannot be read; nothing was run.
        MissingError: none of the variants can be measured with what is installed; nothing was run.
        BusyError: another process measures on this machine, or writes into the folder; nothing was run.
        StoreError: the results cannot be written, or the folder holds another run.
    """
    with ahead.all_at_once():
        suite = config.load(suite)
    cells = plan(suite, options.only)
    check_only(suite, cells, options.only)
    if options.power_log:
        log.read(options.power_log)  # a meter that is not recording is reported now, not in an hour
    with beating(observe, Preparing("checking data, models and devices")):
        foreseen = ahead.look(cells, allow_emulated=suite.allow_emulated)
    refuse(foreseen)
    ahead.require(suite, cells)
    grid.require(suite.carbon)
    folder, new_id = opening.place(suite, options)
    with exclusive.measuring(options.wait, observe) if options.lock else nullcontext(), lock.writing(folder):
        look = _thermometer(suite)
        opened = opening.enter(folder, new_id, suite, options, look)
        return _measure(_OpenRun(opened, look), suite, cells, options, foreseen, observe)


@dataclass(frozen=True)
class _OpenRun:
    """Where a run is kept.

    Attributes:
        run: open; no other process writes into its folder.
        look: reads the temperatures that may end a rest.
    """

    run: store.Run
    look: Callable[[], Temperatures]


def _measure(
    place: _OpenRun,
    suite: Suite,
    cells: Sequence[Cell],
    options: Options,
    foreseen: Sequence[Foreseen],
    observe: Observer,
) -> "pd.DataFrame":
    """Run what is left to do of a plan."""
    run, folder, look = place.run, place.run.folder, place.look
    start = run.description.get("cooldown", {}).get("start", {})
    done = opening.done(folder, suite)
    todo = [(index, cell) for index, cell in enumerate(cells) if opening.identity(cell.key) not in done]
    observe(Planned(folder, run.id, len(cells), len(todo), forecast.least_total_s(suite, [cell for _, cell in todo])))
    known, words = _prepare([cell for _, cell in todo], foreseen, suite.streaming.aligner, observe)
    able = [cell for _, cell in todo if obstacle(cell, known) is None]
    run = kept_peaks.measured(run, [cell.device for cell in able], suite.threads, observe)
    limits = of_run(run.description)
    rests = _rests(suite, start, look, bool(done), observe)
    session = _RunSession(run, control_cell.next_session(folder), known, rests, forecast.Pace(able), observe)
    with polling(folder / store.POWER, suite.trace_hz, suite.meters) as trace:
        is_logged, is_alone = options.power_log is not None, options.lock and not options.shared
        jobs = [
            Job(
                run.id, i, suite, cell, trace, is_logged, peaks=limits.get(cell.device), exclusive=is_alone,
                word_times=words.get(str(cell.dataset.name)),
            )
            for i, cell in todo
        ]  # fmt: skip
        for number, of_round in groupby(enumerate(jobs, start=1), key=lambda item: item[1].cell.round):
            session = _round(session, number, list(of_round), len(jobs))
            if number < jobs[-1].cell.round and _in_vain(folder, number):
                told = f"all cells of round {number + 1} failed: the rounds after it are left out"
                observe(Warned(f"{told}; --resume runs the cells of all rounds"))
                break
    if todo:
        kept_peaks.review(session.run, suite.threads, observe)
    logged = _attach(folder, options.power_log, observe) if options.power_log else None
    return _finish(folder, suite, options, logged, observe)


def _in_vain(folder: Path, number: int) -> bool:
    """Say whether cells of a round failed and none was measured."""
    rows = (row for row in store.read_rows(folder / store.RECORDS) if row["round"] == number)
    found = {(row["status"], row["skipped_for"]) for row in store.current(rows)}
    return ("error", None) in found and not {("ok", None), ("skipped", "unservable")} & found


def check_only(suite: Suite, cells: Sequence[Cell], only: str | None) -> None:
    """Refuse a glob that no cell of a suite matches.

    Raises:
        InputError: there are no cells.
    """
    if not cells:
        raise InputError(f"--only {only}: no cell of suite '{suite.name}' matches; `--dry-run` lists the cells")


def _attach(folder: Path, source: log.Source, observe: Observer) -> PowerAttached:
    """Attach a power log; what it lacks costs no row that was measured."""
    try:
        found = attach.attach(folder, attach.await_log(folder, source))
    except GreenbenchError as error:
        found = PowerAttached(0, 0, (str(error),))
    observe(found)
    return found


@dataclass(frozen=True)
class _RunSession:
    """One go at a run, from its beginning or from where it was resumed.

    Attributes:
        run: as its ``run.json`` states it by now.
        number: counts the sessions of the run, from 0.
        known: what keeps cells from being measured, from ``ahead.prepare``.
        rests: the rest before each process that is started.
        pace: how long its cells take.
        observe: receives what happens, as events.
    """

    run: store.Run
    number: int
    known: Sequence[Foreseen]
    rests: Iterator[Cooldown]
    pace: forecast.Pace
    observe: Observer


def _round(session: _RunSession, number: int, jobs: Sequence[tuple[int, Job]], n_cells: int) -> _RunSession:
    """Measure what is left to do of one round, between two controls on each device; return the session after it."""
    able = [job for _, job in jobs if job.suite.control and obstacle(job.cell, session.known) is None]
    brackets = {control_cell.Bracket(session.number, number, job.cell.device): job for job in able}
    _control(session, brackets, "start")
    for place, job in jobs:
        session.observe(CellStarted(job.cell.label, place, n_cells, session.pace.left_s))
        found = obstacle(job.cell, session.known)
        if found is not None:
            _leave_out(session, job, found)
            continue
        begin_s = time.perf_counter()
        session = _cell(session, job)
        session.pace.done(job.cell, time.perf_counter() - begin_s)
    _control(session, brackets, "end")
    for bracket in brackets:
        session = replace(session, run=control_cell.complete(session.run, bracket))
    return session


def _cell(session: _RunSession, job: Job) -> _RunSession:
    """Let the machine rest and measure one cell; the first process also measures what the harness costs."""
    is_first = "harness_overhead" not in session.run.description
    rested = next(session.rests)
    factor = _grid(job.suite, session.observe)
    now = time.perf_counter()
    begun = replace(job, rest=rested, measure_overhead=is_first, grid=factor, started_s=now)
    overhead = run_cell(session.run.folder, begun, session.observe)
    if overhead is None:
        return session
    return replace(session, run=store.amend_run(session.run, harness_overhead=overhead))


def _grid(suite: Suite, observe: Observer) -> dict[str, Any]:
    """Return the columns of the grid factor that was asked for, and warn where that was in vain."""
    found = grid.asked(suite.carbon)
    if note := found.get("carbon_note"):
        observe(Warned(f"co2e_g is null: {note}"))
    return found


def _leave_out(session: _RunSession, job: Job, obstacle: Foreseen) -> None:
    """Record a cell that is known to be impossible, without a process."""
    skipped_for = None if obstacle.kind == "missing" else obstacle.kind
    row = to_row(not_measured(job, "skipped" if skipped_for else "error", obstacle.reason, skipped_for))
    store.append(session.run.folder, [row])
    session.observe(RowStored(row))


def _control(session: _RunSession, brackets: Mapping[control_cell.Bracket, Job], edge: control_cell.Edge) -> None:
    for bracket, job in brackets.items():
        next(session.rests)
        control_cell.take(session.run.folder, bracket, edge, job, session.observe)


def _rests(
    suite: Suite, start: Temperatures, look: Callable[[], Temperatures], has_begun: bool, observe: Observer
) -> Iterator[Cooldown]:
    """Let the machine rest before each process but the run's first."""
    if not has_begun:
        yield Cooldown()
    steps = suite.protocol
    while True:
        if steps.cooldown_s:
            observe(Phase(f"cooling down, {steps.cooldown_s:g} s"))
        yield rest(steps, start, look)


def _finish(
    folder: Path, suite: Suite, options: Options, logged: PowerAttached | None, observe: Observer
) -> "pd.DataFrame":
    """Score the texts in the other ways asked for, write the page and return the rows."""
    from greenbench.results.rescore import rescore_run

    with beating(observe, Preparing("scoring texts and writing the page")):
        rescore_run(folder, suite.also_score)
        if options.page:
            options.page(folder, folder / store.REPORT)
            observe(PageWritten(folder / store.REPORT))
    frame = frames.load(folder)
    frame.attrs["folder"] = str(folder)
    frame.attrs["shortfall"] = shortfall(frame, logged)
    return frame


# --- before the cells ------------------------------------------------------------------------------------


def _prepare(
    cells: Sequence[Cell], foreseen: Sequence[Foreseen], aligner: VariantEntry | None, observe: Observer
) -> tuple[list[Foreseen], dict[str, Path]]:
    """Fetch and make what the cells need; what is missing or doubtful is reported once.

    Returns:
        What keeps cells from being measured, and by data set the file of the times of words that were aligned.
    """
    concerning = [one for one in foreseen if any(map(one.concerns, cells))]
    known = ahead.prepare(cells, concerning, observe)
    able = [cell for cell in cells if obstacle(cell, known) is None]
    words, unaligned = word_times.prepare(able, aligner, observe)
    known += unaligned
    missing = [one for one in known if one.kind == "missing"]
    for reason in dict.fromkeys(one.reason for one in missing):
        what = next(one.what for one in missing if one.reason == reason)
        observe(Unavailable(what, reason))
    for one in concerning:
        if one.kind == "doubt":
            observe(Warned(str(one)))
    for one in joined(one for one in concerning if one.kind == "lacking"):
        observe(Unavailable(one.what, one.reason))
    return known, words


def _thermometer(suite: Suite) -> Callable[[], Temperatures]:
    """Return what reads the temperatures that may end a rest: none where the protocol does not ask for them."""
    from greenbench import meters

    if suite.protocol.cooldown_within_c is None:
        return dict
    return partial(temperatures, meters.select(False, suite.meters))
