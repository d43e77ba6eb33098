"""The one reader of the files of a run: each line as a row of known types, or what is wrong with it and where."""

import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from pydantic_core import SchemaValidator, ValidationError, core_schema

from greenbench.errors import StoreError
from greenbench.limits import limits
from greenbench.metrics import ACCURACY, METRICS
from greenbench.plugins import LINEAGE, METHODS
from greenbench.provenance import PROVENANCE
from greenbench.record import KEYS, NUMERIC
from greenbench.unicode import from_json

RUN, RECORDS, HYPOTHESES, SCORES = "run.json", "records.jsonl", "hypotheses.jsonl", "scores.jsonl"
POWER, WINDOWS, CONTROL = "power.jsonl", "windows.jsonl", "control.jsonl"

FILES: dict[str, str] = {
    RUN: "the resolved suite, every step of the protocol, versions, git state, the machine, which meters answer",
    RECORDS: "one row per cell and repeat",
    HYPOTHESES: "reference and hypothesis of every utterance, not normalised, with its latency",
    SCORES: "the same texts under other normalisers and scorers: `also_score`, `greenbench rescore`",
    POWER: "samples of power, temperature, frequency and load, with the times before and after each read",
    WINDOWS: "when each window and idle baseline began and ended, on the same monotonic clock and in UTC",
    CONTROL: "one line per measurement of the control cell, or why there is none",
    "report.html": "the page",
    "logs/": "what the process of a failed cell printed",
}
"""What a run's folder holds, by name; all but the first two are there only where they have something to say."""

HEADER, KEY = "header", "key"
"""Parts that have a form of their own: the first line of a poller, and the keys that a line begins with."""

Row = dict[str, Any]

SIGNED = ("energy_net_j",)
"""Metrics that may be below 0, beside temperatures."""

MOST = 1e19
"""No number here is larger: sums and squares of such numbers are finite."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a file, or with one line of it, which is left out.

    Attributes:
        line: its number, from 1; None where it is about the whole file.
        what: is wrong, and what is expected.
        is_torn: the line is no JSON, as a crash or a full disk leaves it.
    """

    line: int | None
    what: str
    is_torn: bool = False


# --- what each file holds --------------------------------------------------------------------------------

Schema = Any
_TEXT = core_schema.str_schema(strict=True)
_FLAG = core_schema.bool_schema(strict=True)


def _number(least: float = -MOST, most: float = MOST) -> Schema:
    return core_schema.float_schema(strict=True, allow_inf_nan=False, ge=least, le=most)


def _count(least: int = 0, most: int = 10**9) -> Schema:
    return core_schema.int_schema(strict=True, ge=least, le=most)


def _or_null(schema: Schema) -> Schema:
    return core_schema.nullable_schema(schema)


def _object(needed: Mapping[str, Schema], other: Mapping[str, Schema] | None = None) -> Schema:
    """Return an object with keys that must be there, keys whose values are checked where they are, and any other."""
    of = core_schema.typed_dict_field
    told = {name: of(schema, required=True) for name, schema in needed.items()}
    return core_schema.typed_dict_schema(
        told | {name: of(_or_null(schema), required=False) for name, schema in (other or {}).items()}
    )


def _each(values: Schema) -> Schema:
    return core_schema.dict_schema(_TEXT, values)


def _list(items: Schema) -> Schema:
    return core_schema.list_schema(items, strict=True)


def _either(schemas: list[Schema], what: str) -> Schema:
    return core_schema.union_schema(schemas, custom_error_type="either", custom_error_message=f"Input should be {what}")


def _metric(name: str) -> Schema:
    signed = METRICS[name].unit == "°C" or name in SIGNED
    return _number() if signed else _number(0)


_KEY: dict[str, Schema] = {
    **dict.fromkeys(KEYS[:5], _TEXT), "batch_size": _count(1), "round": _count(), "repeat": _or_null(_count()),
}  # fmt: skip
_METRICS = {name: _metric(name) for name in METRICS}
_TEXT_OR_FLAG = _either([_TEXT, _FLAG], "a text, true or false")
_PROVENANCE = {name: _number() if name.endswith(NUMERIC) else _TEXT_OR_FLAG for name in PROVENANCE}
_FLAGS = {"flags": _list(_TEXT), "flag_notes": _list(_TEXT)}
_CONTROL = {
    "control": _TEXT, "rtfx": _number(0), "rtfx_min": _number(0), "rtfx_max": _number(0), "n_measured": _count(),
    "reasons": _list(_TEXT),
}  # fmt: skip
_GPU = {"name": _TEXT, "driver": _TEXT, "memory_bytes": _number(0), "power_limit_w": _number(0)}
_MACHINE = {
    **dict.fromkeys(("os", "kernel", "python", "cpu_model", "cpu_governor"), _TEXT),
    **dict.fromkeys(("n_cpus_physical", "n_cpus_logical", "n_cpus_usable"), _count()),
    "memory_bytes": _number(0), "turbo": _FLAG, "virtualised": _FLAG, "gpus": _list(_object({}, _GPU)),
}  # fmt: skip
_NAMED = _list(_object({"name": _TEXT}))
_SUITE = {
    "name": _TEXT, "description": _TEXT, "protocol": _each(core_schema.any_schema()), "datasets": _NAMED,
    "variants": _NAMED, "devices": _list(_TEXT), "scenarios": _list(_TEXT), "batch_sizes": _list(_count(1)),
    "threads": _count(1), "normalizer": _TEXT, "also_score": _list(_TEXT), "estimate_energy": _FLAG,
    "trace_hz": _number(0), "timeout_s": _number(0), "control": _FLAG, "server": _each(core_schema.any_schema()),
    "carbon": _each(core_schema.any_schema()), "meters": _each(core_schema.any_schema()),
}  # fmt: skip
_RUN = _object(
    {"run_id": _TEXT},
    {
        "schema": _count(1), **dict.fromkeys(("name", "description", "started_utc", "suite_hash"), _TEXT),
        "command": _either([_TEXT, _list(_TEXT)], "a text"), "only": _TEXT,
        "suite": _object({}, _SUITE), "protocol": _each(core_schema.any_schema()),
        "versions": _each(_or_null(_TEXT)), "meters": _each(_or_null(_TEXT)), "machine": _object({}, _MACHINE),
        "git": _object({}, {"commit": _TEXT, "dirty": _FLAG}),
        "cooldown": _object({}, {"rule": _TEXT, "start": _each(_number())}),
        "harness_overhead": _object({}, {"s_per_batch": _number(0), "s_per_window": _number(0)}),
        "control": _each(_object({}, _CONTROL)), "peaks": _each(_object({})),
    },
)  # fmt: skip
_SAMPLE = core_schema.chain_schema([_each(_number()), _object({"t_s": _number()})])
_HEADER = _object({"header": _object({"t_s": _number(), "utc_s": _number(), "period_s": _number(0)})})
_METHOD = core_schema.literal_schema(list(METHODS))
_LINEAGE = _object(
    {},
    {
        **dict.fromkeys(("name", "description", "parent", "started_from", "made_utc", "recipe_hash"), _TEXT),
        "ancestors": _list(_list(_TEXT)), "data": _each(core_schema.any_schema()), "versions": _each(_or_null(_TEXT)),
        "training_s": _number(0), "training_energy_j": _number(0), "training_energy_method": _METHOD,
        "steps": _list(_object(
            {"use": _TEXT},
            {"settings": _each(core_schema.any_schema()), "training": _list(_object(
                {}, {**dict.fromkeys(("wall_s", "audio_s", "energy_j"), _number(0)), "energy_method": _METHOD}
            ))},
        )),
    },
)  # fmt: skip
_SCHEMAS: dict[str, Schema] = {
    RUN: _RUN,
    RECORDS: _object(
        {**_KEY, "status": core_schema.literal_schema(["ok", "error", "skipped"])},
        {"reason": _TEXT, **_FLAGS, **_METRICS, **_PROVENANCE},
    ),
    HYPOTHESES: _object(
        {**_KEY, "utterance_id": _TEXT, "reference": _TEXT, "hypothesis": _TEXT},
        {"speaker": _TEXT, "audio_s": _number(0), "audio_digest": _TEXT, "latency_s": _number(0)},
    ),
    SCORES: _object(
        {**_KEY, "normalizer": _TEXT, "scorer": _TEXT},
        {"non_english_pct": _number(0), "wer_ci_unit": _TEXT, **{name: _METRICS[name] for name in ACCURACY}},
    ),
    WINDOWS: _object({
        **_KEY, "kind": _TEXT, "t_s": _number(), "utc_s": _number(),
        "segments": core_schema.list_schema(
            core_schema.list_schema(_number(), min_length=2, max_length=2, strict=True), min_length=1, strict=True
        ),
    }),
    CONTROL: _object(
        {**dict.fromkeys(("edge", "device", "control"), _TEXT), **dict.fromkeys(("session", "round"), _count())},
        {"timestamp_utc": _TEXT, "rtfx": _number(0), "energy_j_per_audio_s": _number(0),
         **dict.fromkeys(("energy_method", "energy_scope", "reason"), _TEXT)},
    ),
    POWER: _SAMPLE,
    LINEAGE: _LINEAGE,
    HEADER: _HEADER,
    KEY: _object(_KEY),
}  # fmt: skip
UNKNOWN: dict[str, Row] = {
    RECORDS: dict.fromkeys(("reason", *METRICS, *PROVENANCE)) | {"flags": [], "flag_notes": []},
    HYPOTHESES: dict.fromkeys(("speaker", "audio_s", "audio_digest", "latency_s")),
    SCORES: dict.fromkeys(ACCURACY),
    CONTROL: dict.fromkeys(("rtfx", "energy_j_per_audio_s", "energy_method", "energy_scope", "reason")),
}
"""Columns that earlier versions did not write: they are unknown."""


@lru_cache
def _validator(file: str) -> SchemaValidator:
    return SchemaValidator(_SCHEMAS[file])


def faults(file: str, content: Any) -> list[str]:
    """Say what of a row, or of ``run.json``, is missing or of another type than it must be."""
    if not isinstance(content, dict):
        return [f"a JSON object is expected, not {_kind(content)}"]
    if file not in _SCHEMAS:
        return []
    try:
        _validator(HEADER if file == POWER and "header" in content else file).validate_python(content)
    except ValidationError as error:
        return [_told(dict(problem)) for problem in error.errors(include_url=False)[:5]]
    if file == WINDOWS:
        times = [time for segment in content["segments"] for time in segment]
        return [] if times == sorted(times) else ["segments: times are expected in order"]
    return []


def _told(problem: Mapping[str, Any]) -> str:
    place = ".".join(map(str, problem["loc"]))
    if problem["type"] == "missing":
        return f"{place}: missing"
    if problem["type"] == "less_than_equal":
        return f"{place}: {problem['input']!r:.60} is more than any window has"
    what = str(problem["msg"]).removeprefix("Input should be ")
    return f"{place}: {what} is expected, not {problem['input']!r:.60}"


def _kind(value: Any) -> str:
    return {list: "a list", str: "a text", type(None): "null", bool: "true or false"}.get(type(value), "a number")


# --- reading ---------------------------------------------------------------------------------------------


def parse(content: bytes) -> Any:
    """Return what JSON holds; an object that has a key twice is none.

    Raises:
        ValueError: it is not JSON in UTF-8, has a key twice, or is nested too deep.
    """
    try:
        value = from_json(content, _once)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if _is_deeper(value, limits().max_depth):
        raise ValueError(f"nested deeper than {limits().max_depth}")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for n, (key, _) in enumerate(pairs) if any(key == other for other, _ in pairs[:n]))
        raise KeyError(twice)
    return found


def _is_deeper(value: Any, depth: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    return depth == 0 or any(
        _is_deeper(one, depth - 1) for one in (value.values() if isinstance(value, dict) else value)
    )


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading; what is no plain file is refused, for a pipe would be waited for.

    Raises:
        StoreError: it cannot be read, or is no file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise StoreError(f"{path}: cannot be read: a file is expected, and this is none")
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def read_whole(path: Path) -> bytes:
    """Return the bytes of a file that is read in one piece.

    Raises:
        StoreError: it cannot be read, or is larger than ``Limits.max_text_bytes``.
    """
    most = limits().max_text_bytes
    try:
        with open_file(path) as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > most:
        raise StoreError(f"{path}: larger than {most / 1e6:.0f} MB, which no such file is")
    return content


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object that is a whole file.

    Raises:
        StoreError: it cannot be read, or is no JSON object.
    """
    try:
        content = parse(read_whole(path))
    except KeyError as twice:
        raise StoreError(f"{path}: not JSON: the key {twice} is given twice") from twice
    except ValueError as error:
        raise StoreError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise StoreError(f"{path}: a JSON object is expected, not {_kind(content)}")
    return content


def read_checked(path: Path) -> dict[str, Any]:
    """Return the JSON object that is a whole file, of the form that a file of its name has.

    Raises:
        StoreError: it cannot be read, or is of another form.
    """
    content = read_object(path)
    found = faults(path.name, content)
    if found:
        raise StoreError(f"{path}: {'; '.join(found)}")
    return content


def numbered(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """Yield each line of a file with its number, None for one that is longer than ``Limits.max_line_bytes``.

    Raises:
        StoreError: the file cannot be read, or is no file.
    """
    most = limits().max_line_bytes
    try:
        with open_file(path) as stream:
            number = 0
            while line := stream.readline(most + 1):
                number += 1
                is_longer = len(line) > most
                while is_longer and not line.endswith(b"\n") and line:
                    line = stream.readline(most + 1)
                yield number, None if is_longer else line
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error


def judged(file: str, number: int, line: bytes | None) -> Row | Fault | None:
    """Return the row that a line of a file holds, what is wrong with it, or None where it is blank."""
    if line is None:
        return Fault(number, f"longer than {limits().max_line_bytes / 1e6:.0f} MB, which no line is")
    if not line.strip():
        return None
    try:
        row = parse(line)
    except KeyError as twice:
        return Fault(number, f"the key {twice} is given twice")
    except ValueError as error:
        is_deep = str(error).startswith("nested")
        return Fault(number, str(error) if is_deep else "torn line", not is_deep)
    found = faults(file, row)
    return Fault(number, "; ".join(found)) if found else dict(row)


def lines(path: Path) -> Iterator[tuple[int, Row | Fault]]:
    """Yield the number of each line of a file of a run that is not blank, and its row or what is wrong with it.

    Raises:
        StoreError: the file cannot be read, or is no file.
    """
    for number, line in numbered(path):
        found = judged(path.name, number, line)
        if found is not None:
            yield number, found


def told(path: Path, first: Fault, n_faults: int) -> str:
    """Say in one line what of a file is left out."""
    others = "" if n_faults == 1 else f", and {n_faults - 1} more lines of this file"
    return f"{path}:{first.line}: {first.what} skipped{others}; `greenbench validate` lists them"
