"""Record: one tidy row, the same columns for every cell and repeat, whatever became of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from greenbench.errors import StoreError
from greenbench.metrics import METRICS

SCHEMA = 1
"""Version of the row. 1: first published form."""

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Version -> what makes of its row one of the next; columns that are new and unknown for old rows need nothing."""

Status = Literal["ok", "error", "skipped"]

KEYS = ("run_id", "variant", "dataset", "device", "scenario", "batch_size", "round", "repeat")
"""The columns that identify a row."""

CELL = KEYS[:-2]
"""The columns that identify a cell of a run, whose rounds and repeats are summed up in one line."""

PROVENANCE = (
    "suite", "suite_hash", "schema", "protocol", "order_index", "timestamp_utc",
    "parent", "identity", "ancestors", "ancestors_from", "steps", "decoding", "licence", "synthetic",
    "training_s", "training_energy_j", "training_energy_method",
    "device_name", "threads", "batching", "engine_batching", "compute_dtype", "mfu_note", "timed_region",
    "arrivals", "server_probes",
    "normalizer", "scorer", "non_english_pct", "data_hash", "audio_doubts", "wer_ci_unit",
    "energy_scope", "energy_method", "energy_unread",
    "energy_system_method", "energy_system_source", "energy_system_note",
    "energy_cpu_method", "energy_cpu_source", "energy_cpu_note",
    "energy_dram_method", "energy_dram_source", "energy_dram_note",
    "energy_gpu_method", "energy_gpu_source", "energy_gpu_note", "energy_gpu_scope",
    "peak_rss_source", "peak_gpu_source",
    "carbon_g_per_kwh", "carbon_source", "carbon_year", "carbon_pue",
    "control", "control_rtfx", "control_drift_pct", "control_energy_j_per_audio_s", "control_energy_method",
    "control_note",
    "skipped_for", "n_windows", "cooldown_s", "cooldown_excess_c", "warmup_batches", "warmup_s", "warmup_cv_pct",
    "cell_s",
)  # fmt: skip
"""The columns that say where the numbers come from."""


@dataclass(frozen=True)
class Record:
    """One cell and repeat.

    Attributes:
        key: the ``KEYS`` columns; ``repeat`` is None where no window was measured.
        status: ``ok``, ``error`` (it died) or ``skipped`` (it cannot run here).
        reason: why it is not ``ok``.
        flags: what makes the row unfit to rank, names from ``validity``.
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


def from_row(row: Mapping[str, Any]) -> Record:
    """Rebuild a record from its row; columns that this version does not know are left out."""
    return Record(
        key={name: row.get(name) for name in KEYS},
        status=row["status"],
        reason=row.get("reason"),
        flags=tuple(row.get("flags") or ()),
        flag_notes=tuple(row.get("flag_notes") or ()),
        metrics={name: row.get(name) for name in METRICS},
        provenance={name: row.get(name) for name in PROVENANCE},
    )


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
