"""The files of a run: that each can be read, and what they hold for the checks."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from greenbench import plan, rescore, store
from greenbench.metrics import ACCURACY
from greenbench.protocol import Protocol
from greenbench.record import KEYS, SCHEMA
from greenbench.suite import Suite, build_protocol
from greenbench.validate.evidence import Evidence, Line, Problem

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
    store.WINDOWS: {**_KEY, "kind": str, "segments": list},
    store.CONTROL: {
        **dict.fromkeys(("edge", "device", "control", "timestamp_utc"), str),
        **dict.fromkeys(("session", "round"), int),
        **dict.fromkeys(("rtfx", "energy_j_per_audio_s"), (*_NUMBER, type(None))),
        **dict.fromkeys(("energy_method", "energy_scope", "reason"), (str, type(None))),
    },
}  # fmt: skip
"""What a line of each file must have, and of which type; the rest of a row of ``records.jsonl`` is ``form``'s."""

_RESTORE = "Restore the file, or measure again."


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
    told = unreadable or list(_contradictory(run))
    return (None if unreadable else run), [Problem("error", str(path), what, _RESTORE) for what in told]


def _unreadable(run: Mapping[str, Any]) -> Iterator[str]:
    """Say why rows cannot be judged by this ``run.json``."""
    wrong = [name for name, kind in RUN.items() if not isinstance(run.get(name), kind)]
    yield from (f"{name} is missing or no {RUN[name].__name__}" for name in wrong)
    if run.get("schema") != SCHEMA:
        yield f"schema is {run.get('schema')!r}, this version of greenbench reads {SCHEMA}"
    if wrong:
        return
    try:
        build_protocol(Suite.model_validate(run["suite"]).protocol)
    except ValueError as error:  # pydantic's errors among them
        yield f"the suite does not load: {' '.join(str(error).split())}"


def _contradictory(run: Mapping[str, Any]) -> Iterator[str]:
    """Say what of ``run.json`` does not agree with its suite."""
    digest = plan.digest(run["suite"])
    if digest != run["suite_hash"]:
        yield f"suite_hash is {run['suite_hash']}, the suite's digest is {digest}"
    expected = {"name": run["suite"]["protocol"].get("use"), **asdict(_steps(run))}
    for name, value in run["protocol"].items():
        if name not in expected or value != expected[name]:
            yield f"protocol.{name} is {value!r}, by the suite {expected.get(name)!r}"


def _steps(run: Mapping[str, Any]) -> Protocol:
    return build_protocol(run["suite"]["protocol"])


def read_lines(folder: Path) -> tuple[dict[str, list[Line]], list[Problem]]:
    """Read every JSON-lines file of a run by name; a line that cannot be used is a problem and left out."""
    lines: dict[str, list[Line]] = {name: [] for name in LINES}
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        for number, text in enumerate(path.read_bytes().splitlines(), start=1):
            row = _object(text)
            wrong = [] if row is None else [k for k, t in LINES.get(path.name, {}).items() if not _is(row.get(k), t)]
            if row is None and text.strip():
                fix = "It is skipped everywhere. Continue the run with --resume where a row is missing."
                found.append(Problem("warning", f"{path}:{number}", "torn line", fix))
            elif wrong:
                what = f"missing or of another type: {', '.join(wrong)}"
                found.append(Problem("error", f"{path}:{number}", what, _RESTORE))
            elif row is not None and path.name in lines:
                lines[path.name].append(Line(path, number, row))
    return lines, found


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(text)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _is(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def evidence(folder: Path, run: Mapping[str, Any], lines: Mapping[str, Sequence[Line]]) -> Evidence:
    """Bring what a run holds beside its rows under the rows' keys."""
    texts: dict[rescore.Key, dict[str, Mapping[str, Any]]] = {}
    for line in lines[store.HYPOTHESES]:
        texts.setdefault(rescore.key_of(line.row), {})[line.row["utterance_id"]] = line.row
    windows = [line.row for line in lines[store.WINDOWS] if line.row["kind"] == "window"]
    return Evidence(
        folder,
        run,
        _steps(run),
        {key: list(found.values()) for key, found in texts.items()},
        {rescore.key_of(row): row["segments"] for row in windows},
        {rescore.key_of(line.row): line.row for line in lines[store.RECORDS]},
        [line.row for line in lines[store.CONTROL]],
    )
