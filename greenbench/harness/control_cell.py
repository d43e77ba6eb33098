"""The control cell: measured in its own process, stored with the run, and written into the rows of its round."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from greenbench.hardware.control import COLUMNS, INTERRUPTED, NAME, columns, summary
from greenbench.harness.job import Job
from greenbench.harness.process import run_cell
from greenbench.metrics import ratio
from greenbench.plugins.events import Observer, Preparing, Unavailable, unobserved
from greenbench.plugins.traces import Trace
from greenbench.results import store
from greenbench.suite import config
from greenbench.suite.config import Suite
from greenbench.suite.plan import plan
from greenbench.suite.protocol import PROTOCOLS, short_form

TIMEOUT_S = 120.0

STEPS = replace(
    PROTOCOLS["quick"], warmup_batches=10, warmup_s=0.5, window_s=2, repeats=1, idle_s=0, resamples=1
)  # fmt: skip
"""How the control is measured."""

WORK: Mapping[str, Any] = {
    "name": NAME,
    "protocol": short_form(STEPS),
    "datasets": [{"use": "quickstart", "limit": 8}],
    "variants": ["wav2vec2/quickstart-2l"],
    "batch_sizes": [8],
    "normalizer": "none",
    "trace_hz": 0,
    "timeout_s": TIMEOUT_S,
    "control": False,
}  # fmt: skip
"""The bundled student of two layers in float32 on eight bundled utterances, for two seconds."""

Edge = Literal["start", "end"]


@dataclass(frozen=True)
class Bracket:
    """Between which two measurements cells ran: those of one round, on one device, in one session of the run.

    Attributes:
        session: counts how often the run was begun or resumed, from 0.
        round: of the cells.
        device: theirs.
    """

    session: int
    round: int
    device: str

    def holds(self, line: Mapping[str, Any]) -> bool:
        """Say whether a line of ``store.CONTROL`` is one of the two."""
        return all(line.get(name) == value for name, value in vars(self).items())


def next_session(folder: Path) -> int:
    """Return the number of a session that begins: one more than any before it in the run."""
    return max((line["session"] for line in store.read_rows(folder / store.CONTROL)), default=-1) + 1


def take(folder: Path, bracket: Bracket, edge: Edge, job: Job, observe: Observer) -> None:
    """Measure the control in a process of its own and keep what it gave; its failure is a reason and no more.

    Args:
        folder: of the run.
        bracket: for whose cells.
        edge: before or after them.
        job: any of theirs: its suite gives threads and meters, and it knows the trace.
        observe: receives what happens, as events.

    Raises:
        StoreError: the line cannot be written.
    """
    observe(Preparing(f"control, {edge} of round {bracket.round + 1} on {bracket.device}"))
    found = measure(job.run_id, job.suite, bracket.device, job.trace)
    before = {line["reason"] for line in store.read_rows(folder / store.CONTROL)}
    if found["reason"] and found["reason"] not in before:
        observe(Unavailable("control", found["reason"]))
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    store.append(folder, [{"edge": edge, **vars(bracket), **found, "timestamp_utc": now}], store.CONTROL)


def measure(run_id: str, suite: Suite, device: str, trace: Trace | None) -> dict[str, Any]:
    """Run the workload once on a device with a suite's threads and meters.

    Returns:
        A line of ``store.CONTROL`` without its place: ``rtfx``, ``energy_j_per_audio_s`` with ``energy_method`` and
        ``energy_scope``, and ``foreign_pct``, the share of all CPUs that other processes used; or the ``reason`` why
        it gave nothing.
    """
    same = {"threads": suite.threads, "meters": suite.meters, "estimate_energy": suite.estimate_energy}
    work = config.load({**WORK, **same, "devices": [device]})
    with TemporaryDirectory() as scratch:
        run_cell(Path(scratch), Job(run_id, 0, work, plan(work)[0], trace), unobserved)
        row = next(store.read_rows(Path(scratch) / store.RECORDS))
    figures = ("rtfx", "energy_j_per_audio_s", "energy_method", "energy_scope", "reason")
    return {"control": NAME, **{name: row[name] for name in figures}, "foreign_pct": _foreign_pct(row)}


def _foreign_pct(row: Mapping[str, Any]) -> float | None:
    import psutil

    share = ratio(row["foreign_cpu_s"], (row["wall_s"] or 0.0) * (psutil.cpu_count() or 1))
    return None if share is None else 100 * share


def complete(run: store.Run, bracket: Bracket) -> store.Run:
    """Write into the rows of a round that have no control yet what the controls around them say.

    A row from before the first of the two, of a session that was interrupted within the round, gets the reason only.

    Returns:
        The run, which states what all its controls came to.

    Raises:
        StoreError: the rows cannot be written.
    """
    folder = run.folder
    lines = [line for line in store.read_rows(folder / store.CONTROL) if bracket.holds(line)]
    inside, since = columns(lines), min(line["timestamp_utc"] for line in lines)
    outside = {"control_note": INTERRUPTED}

    def known(row: dict[str, Any]) -> dict[str, Any] | None:
        is_within = row["round"] == bracket.round and row["device"] == bracket.device
        if row["status"] != "ok" or not is_within or any(row.get(name) is not None for name in COLUMNS):
            return None
        return inside if row["timestamp_utc"] >= since else outside

    if (folder / store.RECORDS).exists():
        store.amend_rows(folder, known)
    return store.amend_run(run, control=summary(store.read_rows(folder / store.CONTROL)))
