"""One cell's process, seen from the parent: what it sends is stored, and whatever it does becomes a row."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from typing import Any

from greenbench.files import whole
from greenbench.harness import messages
from greenbench.harness.job import Job
from greenbench.harness.line import ENDED, Connection, started
from greenbench.plugins.events import Observer, Phase, RowStored, Warned
from greenbench.results import store
from greenbench.results.record import to_row

ENDS_S = 30.0
"""A worker that has sent all is given so long to end by itself."""

EXPLAINS_S = 1.0
"""One that sent something that is not a message: its end, if it comes so soon, says why."""


@dataclass
class _CellOutcome:
    """What became of a cell so far.

    Attributes:
        rows: what it sent for ``store.RECORDS``.
        fault: what the worker sent that is no message of its cell.
        is_done: whether it has sent all.
        has_ended: whether it ended by itself.
        returncode: its exit code, or minus the signal that killed it; None where that is not known.
        n_left: processes that it left behind, and that were ended.
        overhead: what the harness costs, where it has measured that.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    fault: str | None = None
    is_done: bool = False
    has_ended: bool = False
    returncode: int | None = None
    n_left: int = 0
    overhead: dict[str, float] | None = None

    def is_whole(self, job: Job) -> bool:
        """Say whether the cell is accounted for: every repeat measured, or a row that says why not."""
        measured = {row["repeat"] for row in self.rows if row["status"] == "ok"}
        is_explained = any(row["status"] != "ok" for row in self.rows)
        return self.fault is None and (is_explained or len(measured) == job.suite.protocol.repeats)


def run_cell(folder: Path, job: Job, observe: Observer) -> dict[str, float] | None:
    """Run one cell in a process of its own, to its end; a death without a row of its own becomes one.

    Args:
        folder: of the run; rows go there.
        job: the cell.
        observe: receives what happens, as events.

    Returns:
        What the harness costs, ``s_per_batch`` and ``s_per_window``; None where the process did not measure it.

    Raises:
        StoreError: a row could not be written; the process is ended.
    """
    with started(job) as line:
        outcome = _exchange(line, folder, job, observe)
    if outcome.n_left:
        _record_left(folder, outcome)
    if not outcome.is_whole(job):
        _record_failure(folder, job, _cause(outcome, job, line.log.last_line()) + _left(outcome.n_left), observe)
    elif not outcome.has_ended:
        text = f"{job.cell.label}: its process did not end within {ENDS_S:g} s of its last row, and was ended"
        observe(Warned(text))
    if not outcome.is_whole(job) or outcome.returncode:
        _keep_log(folder, job, line)
    return outcome.overhead


def _exchange(line: Connection, folder: Path, job: Job, observe: Observer) -> _CellOutcome:
    """Store what the worker sends, asleep in between, until it has ended or its time is up."""
    outcome, has_begun = _CellOutcome(), False
    deadline = time.monotonic() + job.suite.timeout_s
    while (left_s := deadline - time.monotonic()) > 0 and (received := line.receive(left_s)) is not None:
        if received is ENDED:
            outcome.has_ended = True
            outcome.returncode = line.process.returncode if outcome.returncode is None else outcome.returncode
            break
        assert isinstance(received, bytes)
        try:
            message = messages.read(received, job)
        except messages.UnreadableError as error:
            if has_begun and outcome.fault is None and received.strip():  # before: what Python's start prints
                outcome.fault, deadline = str(error), min(deadline, time.monotonic() + EXPLAINS_S)
            continue
        has_begun = True
        if isinstance(message, messages.End):
            outcome.returncode, outcome.n_left = message.returncode, message.n_left
        elif isinstance(message, messages.Done):
            outcome.is_done, deadline = True, min(deadline, time.monotonic() + ENDS_S)
        elif outcome.fault is None:
            _take(message, outcome, folder, observe)
            if message.ack:
                line.send()
    return outcome


def _take(message: messages.Message, outcome: _CellOutcome, folder: Path, observe: Observer) -> None:
    """Store what a message brings, or pass it on."""
    if isinstance(message, messages.Hypotheses):
        store.append(folder, message.rows, store.HYPOTHESES)
    elif isinstance(message, messages.Windowed):
        store.append(folder, [message.row], store.WINDOWS)
    elif isinstance(message, messages.Overhead):
        outcome.overhead = {"s_per_batch": message.s_per_batch, "s_per_window": message.s_per_window}
    elif isinstance(message, messages.Recorded):
        store.append(folder, [message.row])
        outcome.rows.append(message.row)
        observe(RowStored(message.row))
    elif isinstance(message, messages.PhaseMessage):
        observe(Phase(message.text))
    elif isinstance(message, messages.WarningMessage):
        observe(Warned(message.text))


def _record_failure(folder: Path, job: Job, reason: str, observe: Observer) -> None:
    from greenbench.harness.rows import failed

    row = to_row(failed(job, reason))
    store.append(folder, [row])
    observe(RowStored(row))


def _record_left(folder: Path, outcome: _CellOutcome) -> None:
    """Write into the cell's rows how many processes it left behind: their work is in no figure of the run."""
    from greenbench.results.flag_rules import processes_left
    from greenbench.results.flags import flagged

    def known(row: dict[str, Any]) -> Mapping[str, Any] | None:
        if row not in outcome.rows:
            return None
        count = {"n_processes_left": outcome.n_left}
        if row["status"] != "ok":
            return {**count, "reason": f"{row['reason']}{_left(outcome.n_left)}"}
        return {**count, **flagged(row, "processes-left", processes_left(outcome.n_left))}

    if outcome.rows:
        store.amend_rows(folder, known)


def _left(n_left: int) -> str:
    from greenbench.results.flag_rules import processes_left

    return f"; it left {processes_left(n_left)} behind, now ended" if n_left else ""


def _cause(outcome: _CellOutcome, job: Job, last: str) -> str:
    """Say why a cell has no row of its own."""
    said = f"; its last output: {last}" if last else ""
    if outcome.fault is not None:
        death = f"{_death(outcome)}; before, it" if outcome.returncode else "the worker"
        return f"{death} sent {outcome.fault}"
    if not outcome.has_ended and outcome.returncode is None:
        if outcome.is_done:
            return "the worker sent no row for every repeat, and did not end"
        return f"took longer than timeout_s: {job.suite.timeout_s:g}"
    return _death(outcome) + said


def _death(outcome: _CellOutcome) -> str:
    """Say how a worker died."""
    code = outcome.returncode or 0
    if code == messages.LOST:
        return "the worker lost the line to its parent: something in it closes file descriptors that are not its own"
    if code >= 0:
        return f"the worker ended early with exit code {code}"
    name = Signals(-code).name if -code in set(Signals) else f"signal {-code}"
    hint = " (out of memory, or killed from outside)" if name == "SIGKILL" else ""
    return f"the worker was killed by {name}{hint}"


def _keep_log(folder: Path, job: Job, line: Connection) -> None:
    """Keep what a failed worker printed; a full disk must not hide the failure itself."""
    with suppress(OSError):
        logs = folder / "logs"
        logs.mkdir(exist_ok=True)
        whole.write(logs / f"cell-{job.order_index}.log", line.log.text())
