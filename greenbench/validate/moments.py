"""When a row was measured: times that can be, windows one after the other, and as long as they say."""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from statistics import median

from greenbench.results import frames, record, store
from greenbench.results.runfiles import MAX_PASSES
from greenbench.validate.evidence import SAME_CLOCK_S, Check, Evidence, ResultLine, Row

FIRST_UTC = datetime(2026, 1, 1, tzinfo=timezone.utc)
"""Before, there was no greenbench."""

AHEAD = timedelta(days=1)
"""A clock may be ahead by so much, which covers one that shows local time as UTC."""

CLOCK = timedelta(minutes=5)
"""Within a run the system's clock may be set by so much."""

EDGE_S, EDGE_SHARE = 0.1, 0.005
"""A clock is read just inside the edges of a segment: for so long the process may have been kept from running."""

OVERLAP_S = 0.1
"""Two windows may overlap by so much, since each was brought to UTC by its own look at the clock."""

MIN_WINDOW_S = 1.0
MAX_LAST_PASS = 4.0
"""A last pass that took so many times as long as those before it did not happen."""

MEASURE = "Measure again, with the system's clock set."


def impossible(text: object) -> str | None:
    """Say why a text is no time at which a run can have been, or return None."""
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        return "not an ISO 8601 time"
    if when.tzinfo is None:
        return "a time without a time zone"
    if when < FIRST_UTC:
        return "before greenbench existed"
    return "in the future" if when > datetime.now(timezone.utc) + AHEAD else None


def _is_dated(row: Row, evidence: Evidence) -> Iterator[str]:
    """A row was measured after its run began, and before now."""
    stated = row.get("timestamp_utc")
    why = "it does not state when it was measured" if stated is None else impossible(stated)
    if why:
        yield f"timestamp_utc is {stated!r:.80}: {why}"
    elif impossible(evidence.run["started_utc"]) is None and _time(stated) < _time(evidence.run["started_utc"]) - CLOCK:
        yield f"timestamp_utc is {stated}, before the run began, {evidence.run['started_utc']}"


def _time(text: object) -> datetime:
    return datetime.fromisoformat(str(text))


def _has_its_window(row: Row, evidence: Evidence) -> Iterator[str]:
    """``windows.jsonl`` says when the row's window was, and that is within the run and before the row was written."""
    edges = evidence.window(row)
    if edges is None:
        yield f"{store.WINDOWS} does not say when this window was"
        return
    if impossible(evidence.run["started_utc"]):
        return
    spans = frames.segments_utc(dict(edges))
    began, ended = _time(evidence.run["started_utc"]) - CLOCK, _time(row["timestamp_utc"]) + CLOCK
    if spans[0][0] < began.timestamp() or spans[-1][1] > ended.timestamp():
        ends = [_utc(seconds) for seconds in (spans[0][0], spans[-1][1])]
        yield (
            f"its window was from {ends[0]} to {ends[1]} ({store.WINDOWS}), not between the start of the run, "
            f"{evidence.run['started_utc']}, and the time of the row, {row['timestamp_utc']}"
        )


def _utc(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g} s"


def _is_apart(row: Row, evidence: Evidence) -> Iterator[str]:
    """A machine measures one window at a time: each begins after what stands before it has ended."""
    at = evidence.at.get(record.key_of(row), 0)
    before, line = (evidence.edges[at - 1], evidence.edges[at]) if at else (None, None)
    if before and line and (overlap_s := _overlap_s(before, line)):
        yield f"its window begins {overlap_s:.3g} s before that of {store.WINDOWS}:{before.number} ends"


def _overlap_s(before: ResultLine, line: ResultLine) -> float | None:
    """Return by how much a line's window begins before another's ends, None where it does not."""
    shifts = [one.row["utc_s"] - one.row["t_s"] for one in (before, line)]
    shift_s = 0.0 if abs(shifts[1] - shifts[0]) < SAME_CLOCK_S else shifts[1] - shifts[0]
    overlap_s: float = before.row["segments"][-1][1] - line.row["segments"][0][0] - shift_s
    return overlap_s if overlap_s > OVERLAP_S else None


def _fills_its_window(row: Row, evidence: Evidence) -> Iterator[str]:
    """The seconds of a row are those between the edges of its window."""
    segments = evidence.segments.get(record.key_of(row))
    if segments is None:
        return
    between_s = sum(end - start for start, end in segments)
    if not math.isclose(row["wall_s"], between_s, rel_tol=EDGE_SHARE, abs_tol=EDGE_S * len(segments)):
        yield f"wall_s is {row['wall_s']:g}, {store.WINDOWS} has {between_s:g} s between the edges"


def _ended_when_it_could(row: Row, evidence: Evidence) -> Iterator[str]:
    """A window ends with the first pass that makes it long enough: more passes than fit into it were not made.

    Those of a search go on until there are samples enough for its verdict.
    """
    n_passes, wall_s, asked_s = row["n_passes"], row["wall_s"], evidence.steps.window_s
    if (
        row["scenario"] == "server"
        or row.get("stream_probes")
        or n_passes < 2
        or asked_s < MIN_WINDOW_S
        or wall_s <= asked_s
    ):
        return
    others_s, last_s = asked_s / (n_passes - 1), wall_s - asked_s
    if last_s > max(MAX_LAST_PASS * others_s, MIN_WINDOW_S / 4):
        yield (
            f"n_passes is {n_passes} in {wall_s:.3g} s, and the protocol ends a window with the first pass after "
            f"{asked_s:g} s: passes of {wall_s / n_passes:.2g} s would have ended it at {asked_s + others_s:.3g} s"
        )


def _made_its_passes(row: Row, evidence: Evidence) -> Iterator[str]:
    """A row counts the passes whose seconds ``windows.jsonl`` has; only the last one ends after ``window_s``."""
    edges, n_passes = evidence.window(row), row["n_passes"]
    pass_s = (edges or {}).get("pass_s")
    if pass_s is None:
        return
    if len(pass_s) != min(n_passes, MAX_PASSES):
        yield f"n_passes is {n_passes}, {store.WINDOWS} has the seconds of {len(pass_s)} passes"
    elif sum(pass_s) > row["wall_s"] + EDGE_S:
        yield f"the passes in {store.WINDOWS} took {sum(pass_s):.4g} s, wall_s is {row['wall_s']:.4g}"
    elif n_passes == len(pass_s) and sum(pass_s) < LEAST_BUSY * row["wall_s"] - EDGE_S:
        yield f"the passes in {store.WINDOWS} took {sum(pass_s):.4g} s of {row['wall_s']:.4g} s: some are missing"
    elif median(pass_s) * n_passes > MOST_BUSY * row["wall_s"] + EDGE_S:
        first = f"the first {len(pass_s)} in {store.WINDOWS} took {median(pass_s):.3g} s each"
        yield f"n_passes is {n_passes} in {row['wall_s']:.4g} s, {first}"
    elif not row.get("stream_probes") and sum(pass_s[:-1]) > evidence.steps.window_s:
        yield (
            f"the passes in {store.WINDOWS} before the last one took {sum(pass_s[:-1]):.4g} s, and the protocol ends a "
            f"window after {evidence.steps.window_s:g} s: the last one was not run"
        )


LEAST_BUSY, MOST_BUSY = 0.25, 1.5
"""The least share of a window that its batches take, since the rest is the loop between them; and the largest, by the
median of the first passes, which may be slower than later ones."""

MOMENTS = (
    Check(_is_dated, MEASURE),
    Check(_has_its_window, MEASURE, dependent=True),
    Check(_is_apart, "Restore windows.jsonl, or measure again."),
    Check(_fills_its_window, "Restore the row from its run, or measure again."),
    Check(_ended_when_it_could, "Restore the row from its run, or measure again."),
    Check(_made_its_passes, "Restore the row and windows.jsonl from their run, or measure again."),
)
"""What holds of the time of a measured row."""
