"""Attaching: what a power log says of each window is written into the rows of a run that is over."""

import time
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from greenbench.errors import StoreError
from greenbench.hardware.bounds import implausible
from greenbench.meters import energy
from greenbench.metrics import ratio
from greenbench.plugins import Quantity, traces
from greenbench.plugins.events import PowerAttached
from greenbench.power import clockskew
from greenbench.power.log import EXTERNAL, PowerLog, Source, read
from greenbench.results import frames, store
from greenbench.results.flag_rules import Measured
from greenbench.results.flags import BY_ENERGY, flags_anew, flags_of
from greenbench.results.record import KEYS
from greenbench.suite.protocol import Protocol
from greenbench.suite.scenarios import SIMULATED

PATIENCE_S = 10.0
"""How long a log may lag behind the run that has just ended."""

STEP_S = 1.0
"""A change of the system's clock against the monotonic one by more than this: it was set, or the machine was suspended.
What clocks drift, and NTP corrects step by step, is far less between two windows."""

STILL_S, FEW = 30.0, 10
"""Over so many seconds and samples of a run a log that never changes is of a meter that is stuck."""

Row = dict[str, Any]
Segments = Sequence[tuple[float, float]]


def attach(folder: Path, log: PowerLog) -> PowerAttached:
    """Append the rows of a run anew, with the energy of the whole machine from a log.

    The rows that were measured stay in the file; attaching again begins from them. Rows of speech that was streamed
    at a simulated pace get no joules.

    Args:
        folder: of the run.
        log: of a meter that feeds the whole machine.

    Raises:
        StoreError: the run does not say when its windows were, the log covers none of them, or how far its clock is
            off is not stated and matters; nothing is changed.
    """
    edges = list(store.read_rows(folder / store.WINDOWS))
    steps = store.protocol_of(store.open_run(folder))
    rows = [row for row in _measured_rows(folder) if row["status"] == "ok" and row.get("pace") != SIMULATED]
    if not rows or not edges:
        raise StoreError(
            f"{folder}: no measured windows with known times ({store.WINDOWS}): nothing to attach a log to"
        )
    if stuck := _stuck(log, edges):
        raise StoreError(f"{log.source.path}: {stuck}. Nothing was changed.")
    skew = _skew(folder, log, edges)
    stated = f"clock skew {log.source.skew_s:g} s" if skew is None else f"clock skew not stated: {skew.summary}"
    new = [_with_system(row, log, edges, steps, stated) for row in rows]
    notes = [row["energy_system_note"] for row in new if row["energy_system_j"] is None]
    reasons = tuple(dict.fromkeys(notes))
    if len(notes) == len(new):
        raise StoreError(f"{log.source.path}: the log covers no window of {folder}: {reasons[0]}. Nothing was changed.")
    if skew is not None and (problem := skew.problem()):
        raise StoreError(f"{log.source.path}: {problem}. Nothing was changed.")
    store.append(folder, new)
    return PowerAttached(len(new), len(new) - len(notes), reasons)


def await_log(folder: Path, source: Source) -> PowerLog:
    """Read a log that is still written, once it has reached the end of the run's last window or is overdue."""
    ends = [edges[-1][1] for row in store.read_rows(folder / store.WINDOWS) if (edges := frames.segments_utc(row))]
    deadline = time.monotonic() + PATIENCE_S
    while True:
        log = read(source)
        if not ends or log.times[-1] >= max(ends) or time.monotonic() > deadline:
            return log
        time.sleep(0.5)


def _measured_rows(folder: Path) -> list[Row]:
    """Return the standing rows as they were before any log was attached."""
    rows = store.read_rows(folder / store.RECORDS)
    return store.current(row for row in rows if row.get("energy_system_source") != EXTERNAL)


def _skew(folder: Path, log: PowerLog, edges: Sequence[Row]) -> clockskew.Skew | None:
    """Return what the log says of its clock by the run's load, or None where the user has stated the skew."""
    if log.source.skew_s is not None:
        return None
    spans = [(str(row["kind"]), frames.segments_utc(row)) for row in edges]
    sessions = traces.sessions(store.read_rows(folder / store.POWER))
    windows = [segments for kind, segments in spans if kind == "window"]
    return clockskew.estimate(log, clockskew.load_of(sessions, spans), windows)


def _with_system(row: Row, log: PowerLog, edges: Sequence[Row], steps: Protocol, skew: str) -> Row:
    """Return a row with the machine's energy in its window, and all that derives from it."""
    window, before, after = _edges_of(row, edges)
    joules, why = (
        _joules(log, frames.segments_utc(window)) if window else (None, "the time of this window is not known")
    )
    why = why or _stepped(window, edges)
    why = why or energy.less_than_parts(joules, row)
    joules = None if why else joules
    note = why or f"{log.source.path.name}, {skew}"
    reading = energy.reading_of(row)
    reading.quantities["energy_system_j"] = Quantity(joules, "sampled", EXTERNAL, note)
    idle_w = _power_w(log, before)
    factor = None if row["carbon_g_per_kwh"] is None else (row["carbon_g_per_kwh"], row["carbon_pue"])
    changed: Row = {
        **row,
        "energy_scope": None,
        "energy_method": None,
        **energy.provenance(row["device"], reading),
        "energy_system_j": joules,
        "idle_power_w": idle_w,
        "idle_power_after_w": _power_w(log, after),
        **energy.derived(row["device"], reading, idle_w, row["audio_s"], factor),
    }
    now = Measured(changed, changed, steps, n_cpus=1)
    flags = flags_anew(now, flags_of(row), BY_ENERGY)
    return {**changed, "flags": [*flags], "flag_notes": [*flags.values()]}


def _joules(log: PowerLog, segments: Segments) -> tuple[float | None, str | None]:
    """Return the joules of a window, or None and why the log does not give them, or why what it gives is impossible."""
    joules, why = log.energy_j(segments)
    n_zero = sum(int(((log.times >= a) & (log.times <= b) & (log.watts == 0)).sum()) for a, b in segments)
    why = why or (f"the log says 0 W in {n_zero} samples: is its plug on, and this machine on it?" if n_zero else None)
    why = why or implausible("system", joules or 0.0, sum(end - start for start, end in segments))
    return (None, why) if why else (joules, None)


def _stuck(log: PowerLog, edges: Sequence[Row]) -> str | None:
    """Say that the log never changes, over windows and what lies between them; or return None."""
    spans = [frames.segments_utc(row) for row in edges]
    start_s, end_s = min(span[0][0] for span in spans), max(span[-1][1] for span in spans)
    watts = log.watts[(log.times >= start_s) & (log.times <= end_s)]
    is_still = len(watts) >= FEW and 0 < watts.min() == watts.max()  # at 0 W its plug is off, which is said elsewhere
    if not is_still or len(spans) < 2 or end_s - start_s < STILL_S:
        return None
    over = f"over the whole run ({end_s - start_s:.0f} s, {len(watts)} samples)"
    return f"it stands at {watts[0]:g} W {over}, whether the machine computes or rests: the meter is stuck"


def _stepped(window: Row | None, edges: Sequence[Row]) -> str | None:
    """Say that the clock was set, or the machine suspended, since the window before: its times in UTC are not known."""
    at = next((number for number, edge in enumerate(edges) if edge is window), 0)
    if window is None or at == 0 or edges[at - 1]["t_s"] > window["t_s"]:  # the machine was started anew
        return None
    step_s = (window["utc_s"] - window["t_s"]) - (edges[at - 1]["utc_s"] - edges[at - 1]["t_s"])
    if abs(step_s) <= STEP_S:
        return None
    return f"the system's clock moved by {step_s:+.1f} s in or before this window: it was set, or the machine suspended"


def _edges_of(row: Row, edges: Sequence[Row]) -> tuple[Row | None, Row | None, Row | None]:
    """Return the edges of a row's window, the last if it was measured again, and of the idling before and after it."""
    of_cell = [edge for edge in edges if all(edge[name] == row[name] for name in KEYS[:-1])]
    at = max((i for i, edge in enumerate(of_cell) if edge["repeat"] == row["repeat"]), default=None)
    if at is None:
        return None, None, None
    before = [edge for edge in of_cell[:at] if edge["kind"] == "idle"]
    after = list(takewhile(lambda edge: edge["kind"] == "idle", of_cell[at + 1 :]))
    return of_cell[at], before[-1] if before else None, after[-1] if after else None


def _power_w(log: PowerLog, idle: Row | None) -> float | None:
    """Return the mean power while the machine was idle."""
    if idle is None:
        return None
    segments = frames.segments_utc(idle)
    return ratio(_joules(log, segments)[0], sum(end - start for start, end in segments))
