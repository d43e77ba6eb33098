"""The files of a run: that each can be read, and what they hold for the checks."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from greenbench import control, plan, rescore, store, traces
from greenbench.metrics import ACCURACY
from greenbench.protocol import Protocol
from greenbench.record import KEYS, SCHEMA
from greenbench.suite import Suite, build_protocol
from greenbench.unicode import from_json
from greenbench.validate.evidence import Evidence, Line, Problem
from greenbench.validate.moments import impossible

RUN = {
    "run_id": str, "name": str, "started_utc": str, "suite_hash": str, "suite": dict, "protocol": dict,
    "versions": dict, "machine": dict, "meters": dict,
}  # fmt: skip
"""What ``run.json`` must have, and of which type."""

_KEY: dict[str, Any] = {**dict.fromkeys(KEYS[:5], str), "batch_size": int, "round": int, "repeat": (int, type(None))}
_NUMBER = (int, float)
LINES: dict[str, dict[str, Any]] = {
    store.RECORDS: _KEY,
    store.HYPOTHESES: {
        **_KEY, "utterance_id": str, "reference": str, "hypothesis": str, "audio_s": _NUMBER,
        "speaker": (str, type(None)),
    },
    store.SCORES: {**_KEY, "normalizer": str, "scorer": str, **dict.fromkeys(ACCURACY, (*_NUMBER, type(None)))},
    store.WINDOWS: {**_KEY, "kind": str, "segments": list, "t_s": _NUMBER, "utc_s": _NUMBER},
    store.CONTROL: {
        **dict.fromkeys(("edge", "device", "control", "timestamp_utc"), str),
        **dict.fromkeys(("session", "round"), int),
        **dict.fromkeys(("rtfx", "energy_j_per_audio_s"), (*_NUMBER, type(None))),
        **dict.fromkeys(("energy_method", "energy_scope", "reason"), (str, type(None))),
    },
}  # fmt: skip
"""What a line of each file must have, and of which type; the rest of a row of ``records.jsonl`` is ``form``'s."""

_RESTORE = "Restore the file, or measure again."
_INSTALL = "Install the plug-in that the run was made with, or restore the file."

MAX_TORN = 20
"""Torn lines of one file that are told one by one."""


def read_run(folder: Path) -> tuple[dict[str, Any] | None, list[Problem]]:
    """Read ``run.json``; return it where it is sound enough to judge rows by, and what is wrong with it."""
    path = folder / store.RUN
    try:
        run = json.loads(path.read_bytes())
    except ValueError as broken:
        return None, [Problem("error", str(path), f"not JSON: {broken}", _RESTORE)]
    if not isinstance(run, dict):
        return None, [Problem("error", str(path), "not a JSON object", _RESTORE)]
    unreadable = list(_unreadable(run))
    told = unreadable or [(what, _RESTORE) for what in _contradictory(run)]
    return (None if unreadable else run), [Problem("error", str(path), what, fix) for what, fix in told]


def _unreadable(run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Say why rows cannot be judged by this ``run.json``, and what to do."""
    wrong = [name for name, kind in RUN.items() if not isinstance(run.get(name), kind)]
    yield from ((f"{name} is missing or no {RUN[name].__name__}", _RESTORE) for name in wrong)
    if run.get("schema") != SCHEMA:
        yield f"schema is {run.get('schema')!r}, this version of greenbench reads {SCHEMA}", _RESTORE
    if wrong:
        return
    try:
        build_protocol(Suite.model_validate(run["suite"]).protocol)
    except ValidationError as error:
        for problem in error.errors(include_url=False)[:MAX_TORN]:
            where, what = ".".join(map(str, problem["loc"])), problem["msg"].removeprefix("Value error, ")
            fix = _INSTALL if what.startswith("unknown normalizer") else _RESTORE
            yield f"the suite does not load: {where}: {' '.join(what.removesuffix('.').split())}", fix
    except (ValueError, KeyError, TypeError) as error:
        yield f"the suite does not load: {' '.join(str(error).removesuffix('.').split())}", _RESTORE


def _contradictory(run: Mapping[str, Any]) -> Iterator[str]:
    """Say what of ``run.json`` does not agree with its suite, and what cannot be."""
    why = store.refused_id(run["run_id"])
    if why:
        yield f"run_id {run['run_id']!r:.80} is no name for a folder: {why}"
    why = impossible(run["started_utc"])
    if why:
        yield f"started_utc is {run['started_utc']!r:.80}: {why}"
    digest = plan.digest(run["suite"])
    if digest != run["suite_hash"]:
        yield f"suite_hash is {run['suite_hash']}, the suite's digest is {digest}"
    expected = {"name": run["suite"]["protocol"].get("use"), **asdict(_steps(run))}
    for name, value in run["protocol"].items():
        if name not in expected or value != expected[name]:
            yield f"protocol.{name} is {value!r}, by the suite {expected.get(name)!r}"


def uncontrolled(run: Mapping[str, Any], lines: Sequence[Line], folder: Path) -> Iterator[Problem]:
    """Find what ``run.json`` says of the controls and ``control.jsonl`` does not."""
    told = control.summary(line.row for line in lines)
    if run.get("control", told) != told:
        what = f"control is {run['control']!r}, by {store.CONTROL} {told!r}"
        yield Problem("error", str(folder / store.RUN), what, _RESTORE)


def _steps(run: Mapping[str, Any]) -> Protocol:
    return build_protocol(run["suite"]["protocol"])


def read_lines(folder: Path) -> tuple[dict[str, list[Line]], list[Problem]]:
    """Read every JSON-lines file of a run by name; a line that cannot be used is a problem and left out."""
    lines: dict[str, list[Line]] = {name: [] for name in (*LINES, store.POWER)}
    found: list[Problem] = []
    for path in sorted(folder.glob("*.jsonl")):
        n_torn = 0
        with path.open("rb") as stream:
            for number, text in enumerate(stream, start=1):
                row = _object(text)
                wrong = list(_misfits(path.name, row)) if row is not None else []
                if row is None and text.strip():
                    n_torn += 1
                    found += [_torn(f"{path}:{number}")] if n_torn <= MAX_TORN else []
                elif wrong:
                    what = f"missing or of another type: {', '.join(wrong)}"
                    found.append(Problem("error", f"{path}:{number}", what, _RESTORE))
                elif row is not None and path.name in lines:
                    lines[path.name].append(Line(path, number, row))
        found += [_torn(str(path), n_torn - MAX_TORN)] if n_torn > MAX_TORN else []
    return lines, found


def _torn(where: str, n_more: int = 0) -> Problem:
    fix = "It is skipped everywhere. Continue the run with --resume where a row is missing."
    return Problem("warning", where, f"{n_more} more torn lines" if n_more else "torn line", fix)


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        row = from_json(text)
    except ValueError:
        return None
    except RecursionError:
        return {"nested": "too deep"}  # which lacks whatever a line must have
    return row if isinstance(row, dict) else None


def _misfits(file: str, row: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of what a line lacks, or has of another type."""
    if file == store.POWER:
        header = row.get("header")
        timed = header if isinstance(header, dict) else row
        needed = (traces.TIME, "utc_s", "period_s") if isinstance(header, dict) else (traces.TIME,)
        yield from (name for name in needed if not _is(timed.get(name), _NUMBER))
        yield from (name for name in row if name not in ("header", traces.TIME) and not _is(row[name], _NUMBER))
        return
    yield from (name for name, kind in LINES.get(file, {}).items() if not _is(row.get(name), kind))
    if file == store.WINDOWS and isinstance(row.get("segments"), list) and not _are_segments(row["segments"]):
        yield "segments"


def _are_segments(segments: Sequence[Any]) -> bool:
    """Whether these are pairs of times, each in order and after the one before."""
    pairs = [
        pair for pair in segments if isinstance(pair, list) and len(pair) == 2 and all(_is(t, _NUMBER) for t in pair)
    ]
    times = [t for pair in pairs for t in pair]
    return bool(pairs) and len(pairs) == len(segments) and times == sorted(times)


def _is(value: Any, kind: Any) -> bool:
    """Whether a value is of a type; a number is finite, and true is none."""
    fits = isinstance(value, kind) and not isinstance(value, bool)
    return fits and not (isinstance(value, (int, float)) and not is_finite(value))


def is_finite(value: float) -> bool:
    """Whether a number can be calculated with; a whole number may be too long for that."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def evidence(folder: Path, run: Mapping[str, Any], lines: Mapping[str, Sequence[Line]]) -> Evidence:
    """Bring what a run holds beside its rows under the rows' keys."""
    texts: dict[rescore.Key, dict[str, Mapping[str, Any]]] = {}
    for line in lines[store.HYPOTHESES]:
        texts.setdefault(rescore.key_of(line.row), {})[line.row["utterance_id"]] = line.row
    edges = lines[store.WINDOWS]
    at = {rescore.key_of(line.row): n for n, line in enumerate(edges) if line.row["kind"] == "window"}
    return Evidence(
        folder,
        run,
        _steps(run),
        {key: list(found.values()) for key, found in texts.items()},
        {key: edges[n].row["segments"] for key, n in at.items()},
        {rescore.key_of(line.row): line.row for line in lines[store.RECORDS]},
        [line.row for line in lines[store.CONTROL]],
        edges,
        at,
        traces.sessions(line.row for line in lines[store.POWER]),
    )
