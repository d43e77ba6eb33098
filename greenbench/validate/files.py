"""The files of a run: that each can be read, and what they hold for the checks."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from greenbench.errors import StoreError
from greenbench.files import readback
from greenbench.files.forms import form
from greenbench.files.readback import FileFault
from greenbench.hardware import control
from greenbench.metrics import ACCURACY, BY_ORTHOGRAPHY, BY_SLICE, BY_TERM, DETECTION
from greenbench.plugins import traces
from greenbench.results import record, store
from greenbench.results.record import SCHEMA
from greenbench.results.runfiles import FORMS, described
from greenbench.suite import plan
from greenbench.suite.config import Suite
from greenbench.suite.protocol import Protocol, steps_of
from greenbench.validate.evidence import Evidence, Problem, ResultLine
from greenbench.validate.moments import impossible

NEEDED: dict[str, Sequence[str]] = {
    store.HYPOTHESES: ("speaker", "audio_s"),
    store.SCORES: [name for name in ACCURACY if name not in (*BY_SLICE, *BY_TERM, *BY_ORTHOGRAPHY, *DETECTION)],
    store.CONTROL: ("timestamp_utc", "rtfx", "energy_j_per_audio_s", "energy_method", "energy_scope", "reason"),
}
"""What lines of a file must have, too, for their figures to be believed."""

_RESTORE = "Restore the file, or measure again."
_RESUME = "It is skipped everywhere. Continue the run with --resume where a row is missing."
_INSTALL = "Install the plug-in that the run was made with, or restore the file."

FILES = (
    store.RECORDS, store.HYPOTHESES, store.SCORES, store.WINDOWS, store.CONTROL, store.POWER,
)  # fmt: skip
"""What of a run's folder has rows."""

MAX_FAULTS = 20
"""Lines of one file that cannot be used, and problems of one suite, that are listed one by one."""

MAX_UNUSABLE = 1_000
"""After so many lines of one file that cannot be used the rest of it is not looked at."""


def _other_schema(run: Mapping[str, Any]) -> Iterator[str]:
    if run.get("schema") != SCHEMA:
        yield f"schema is {run.get('schema')!r}, this version of greenbench reads {SCHEMA}"


DESCRIPTION = form(
    described(
        needed=("run_id", "name", "started_utc", "suite_hash", "suite", "protocol", "versions", "machine", "meters"),
        stated=("datasets", "variants", "scenarios", "batch_sizes", "threads", "server", "protocol"),
    )
)
"""Judges ``run.json``: rows are compared with it and with its suite, whose defaults of today may not be the run's."""


def read_run(folder: Path) -> tuple[tuple[dict[str, Any], Suite] | None, list[Problem]]:
    """Read ``run.json``.

    Returns:
        Its content and its suite, where rows can be judged by them; and what is wrong.
    """
    path = folder / store.RUN
    try:
        run = readback.read_object(path)
    except StoreError as error:
        return None, [_of_run(path, str(error).removeprefix(f"{path}: "))]
    if faults := [*_other_schema(run), *DESCRIPTION(run)]:
        return None, [_of_run(path, what) for what in faults]
    try:
        suite = Suite.model_validate(run["suite"])
    except ValidationError as error:
        return None, [_of_run(path, what, fix) for what, fix in _unloadable(error)]
    return (run, suite), [_of_run(path, what) for what in _contradictory(run, suite.protocol)]


def _of_run(path: Path, what: str, fix: str = _RESTORE) -> Problem:
    return Problem("error", str(path), what, fix)


def _unloadable(error: ValidationError) -> Iterator[tuple[str, str]]:
    """Say why a suite does not load, and what to do."""
    for problem in error.errors(include_url=False)[:MAX_FAULTS]:
        where, what = ".".join(map(str, problem["loc"])), problem["msg"].removeprefix("Value error, ")
        fix = _INSTALL if what.startswith("unknown normalizer") else _RESTORE
        yield f"the suite does not load: {where}: {' '.join(what.removesuffix('.').split())}", fix


def _contradictory(run: Mapping[str, Any], protocol: Protocol) -> Iterator[str]:
    """Say what of ``run.json`` does not agree with its suite, and what cannot be."""
    why = record.refused_id(run["run_id"])
    if why:
        yield f"run_id {run['run_id']!r:.80} is not a valid folder name: {why}"
    why = impossible(run["started_utc"])
    if why:
        yield f"started_utc is {run['started_utc']!r:.80}: {why}"
    digest = plan.digest(run["suite"])
    if digest != run["suite_hash"]:
        yield f"suite_hash is {run['suite_hash']}, the suite's digest is {digest}"
    expected = {"name": protocol.use, **steps_of(protocol)}
    for name, value in run["protocol"].items():
        if name not in expected or value != expected[name]:
            yield f"protocol.{name} is {value!r}, the suite says {expected.get(name)!r}"


def uncontrolled(run: Mapping[str, Any], lines: Sequence[ResultLine], folder: Path) -> Iterator[Problem]:
    """Find what ``run.json`` says of the controls and ``control.jsonl`` does not."""
    expected = control.summary(line.row for line in lines)
    if run.get("control", expected) != expected:
        what = f"control is {run['control']!r}, {store.CONTROL} gives {expected!r}"
        yield Problem("error", str(folder / store.RUN), what, _RESTORE)


def read_lines(folder: Path) -> tuple[dict[str, list[ResultLine]], list[Problem]]:
    """Read every JSON-lines file of a run by name; a line that cannot be used is a problem and left out."""
    lines: dict[str, list[ResultLine]] = {name: [] for name in FILES}
    found: list[Problem] = []
    for path in sorted(folder.glob("*.jsonl")):
        of_file: list[Problem] = []
        kept = lines.get(path.name)
        needed = NEEDED.get(path.name, ())
        n_faults = 0
        try:
            for number, row in readback.lines(path, FORMS.get(path.name)):
                fault = row if isinstance(row, FileFault) else _lacking(needed, number, row)
                if fault is not None:
                    n_faults += 1
                    if n_faults == MAX_UNUSABLE:
                        break
                    of_file += [_fault(path, fault)] if n_faults <= MAX_FAULTS else []
                elif kept is not None and isinstance(row, dict):
                    kept.append(ResultLine(path, number, row))
        except StoreError as error:
            of_file.append(Problem("error", str(path), str(error).removeprefix(f"{path}: "), _RESTORE))
        found += of_file
        if n_faults > MAX_FAULTS:
            rest = "; the lines after these were not looked at" if n_faults == MAX_UNUSABLE else ""
            what = f"{n_faults - MAX_FAULTS} more lines that cannot be used{rest}"
            found.append(Problem("error", str(path), what, _RESTORE))
    return lines, found


def _fault(path: Path, fault: FileFault) -> Problem:
    """Return a line's fault as a problem; a torn line is what a crash leaves, and what a resumed run mends."""
    fix = _RESUME if fault.is_torn else _RESTORE
    return Problem("warning" if fault.is_torn else "error", f"{path}:{fault.line}", fault.what, fix)


def _lacking(needed: Sequence[str], number: int, row: Mapping[str, Any]) -> FileFault | None:
    lacking = [name for name in needed if name not in row]
    return FileFault(number, f"{', '.join(lacking)}: missing") if lacking else None


def evidence(
    folder: Path, run: Mapping[str, Any], protocol: Protocol, lines: Mapping[str, Sequence[ResultLine]]
) -> Evidence:
    """Group what a run holds in addition to its rows by the rows' keys."""
    texts: dict[record.Key, dict[str, Mapping[str, Any]]] = {}
    for line in lines[store.HYPOTHESES]:
        texts.setdefault(record.key_of(line.row), {})[line.row["utterance_id"]] = line.row
    edges = lines[store.WINDOWS]
    at = {record.key_of(line.row): n for n, line in enumerate(edges) if line.row["kind"] == "window"}
    return Evidence(
        folder,
        run,
        protocol,
        {key: list(found.values()) for key, found in texts.items()},
        {key: edges[n].row["segments"] for key, n in at.items()},
        {record.key_of(line.row): line.row for line in lines[store.RECORDS]},
        [line.row for line in lines[store.CONTROL]],
        edges,
        at,
        traces.sessions(line.row for line in lines[store.POWER]),
    )
