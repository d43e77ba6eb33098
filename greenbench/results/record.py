"""Record: one tidy row, the same columns for every cell and repeat, whatever became of it."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from greenbench.errors import StoreError
from greenbench.metrics import METRICS
from greenbench.provenance import PROVENANCE

SCHEMA = 1
"""Version of the row. 1: first published form."""

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Version -> what makes of its row one of the next; columns that are new and unknown for old rows need nothing."""

Status = Literal["ok", "error", "skipped"]
STATUSES: tuple[Status, ...] = get_args(Status)

KEYS = ("run_id", "variant", "dataset", "device", "scenario", "batch_size", "round", "repeat")
"""The columns that identify a row."""

CELL = KEYS[:-2]
"""The columns that identify a cell of a run, whose rounds and repeats are summed up in one line."""

MEASURED = ("wall_s", "audio_s", "n_passes", "rtfx", "n_utterances")
"""The metrics that every measured row has, above zero."""

Key = tuple[Any, ...]
"""The values of ``KEYS``."""


@dataclass(frozen=True)
class Record:
    """One cell and repeat.

    Attributes:
        key: the ``KEYS`` columns; ``repeat`` is None where no window was measured.
        status: ``ok``, ``error`` (it died) or ``skipped`` (it cannot run here).
        reason: why it is not ``ok``.
        flags: what makes the row unfit to rank, names from ``results.flags``.
        metrics: values by name from METRICS; what is absent is None.
        provenance: values by name from ``PROVENANCE``.
        flag_notes: the figures behind each of the flags, in their order; empty where there is nothing to add.
    """

    key: Mapping[str, Any]
    status: Status
    reason: str | None = None
    flags: tuple[str, ...] = ()
    metrics: Mapping[str, float | int | None] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    flag_notes: tuple[str, ...] = ()


def columns() -> list[str]:
    """Return the columns of a row, in order."""
    return [*KEYS, "status", "reason", "flags", "flag_notes", *METRICS, *PROVENANCE]


def to_row(record: Record) -> dict[str, Any]:
    """Flatten a record into one row with every column present.

    Raises:
        ValueError: the record has a key, metric or provenance name that no table declares.
    """
    for given, declared in (
        (record.key, KEYS),
        (record.metrics, METRICS),
        (record.provenance, PROVENANCE),
    ):
        unknown = set(given) - set(declared)
        if unknown:
            raise ValueError(f"undeclared columns: {', '.join(sorted(unknown))}")
    row: dict[str, Any] = dict.fromkeys(columns())
    row.update(record.key)
    row.update(status=record.status, reason=record.reason, flags=list(record.flags), flag_notes=list(record.flag_notes))
    row.update(record.metrics)
    row.update(record.provenance)
    return row


def migrate(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as this version writes it: brought up to ``SCHEMA``, and null in columns that it did not know.

    Raises:
        StoreError: a newer version wrote it.
    """
    schema = row.get("schema") or SCHEMA
    if not isinstance(schema, int) or schema > SCHEMA:
        raise StoreError(f"written as schema {schema!r}, this version reads up to {SCHEMA}: upgrade greenbench")
    current = dict(row)
    for version in range(schema, SCHEMA):
        current = MIGRATIONS[version](current) | {"schema": version + 1}
    return {**dict.fromkeys(columns()), **current}


def wrong_status(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield what does not go with a row's status: a measured one has numbers and no reason, others the reverse."""
    if row["status"] == "ok":
        absent = [name for name in (*MEASURED, "repeat") if row.get(name) is None]
        if absent:
            yield f"status is ok, and {', '.join(absent)} is null"
        if row.get("reason"):
            yield f"status is ok, and there is a reason: {row['reason']}"
    else:
        if not row.get("reason"):
            yield f"status is {row['status']} without a reason"
        numbers = [name for name in METRICS if row.get(name) is not None]
        if numbers or row["flags"]:
            yield f"status is {row['status']}, and there are figures or flags: {', '.join([*numbers, *row['flags']])}"


def key_of(row: Mapping[str, Any]) -> Key:
    """Return the key of a row."""
    return tuple(row.get(name) for name in KEYS)


# --- a run's id ------------------------------------------------------------------------------------------

RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})
"""Names that Windows keeps for devices, whatever follows a dot."""

MAX_ID = 128

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def refused_id(run_id: str) -> str | None:
    """Say why a run's id cannot name its folder, among other runs' folders and files, or return None."""
    if not _ID.fullmatch(run_id):
        return "it is letters, digits, '.', '_' and '-', and begins with a letter or digit"
    if len(run_id) > MAX_ID:
        return f"it is at most {MAX_ID} characters long"
    if run_id.endswith(".") or run_id.lower().endswith((".json", ".jsonl", ".html", ".zip", ".csv", ".md", ".xml")):
        return "it ends like a file's name"
    return "the system keeps this name for itself" if run_id.lower().partition(".")[0] in RESERVED else None
