"""A record and its row: every column, every time, and none that is not declared."""

import json

import pytest

from greenbench.metrics import METRICS
from greenbench.provenance import PROVENANCE
from greenbench.results.record import KEYS, Record, columns, from_row, to_row

KEY = {
    "run_id": "r", "variant": "v", "dataset": "d", "device": "cpu",
    "scenario": "offline", "batch_size": 8, "round": 0, "repeat": 1,
}  # fmt: skip


def test_a_record_survives_its_row() -> None:
    """A record with every column filled comes back equal from its row, through JSON as well."""
    metrics = {name: float(index) for index, name in enumerate(METRICS)}
    provenance = {name: f"from {name}" for name in PROVENANCE}
    flags, notes = ("short-window", "foreign-load"), ("1 s, the protocol asks for 2 s", "")
    record = Record(KEY, "ok", "a reason", flags, metrics, provenance, notes)
    assert from_row(json.loads(json.dumps(to_row(record)))) == record


@pytest.mark.parametrize("status", ["ok", "error", "skipped"])
def test_every_row_has_every_column(status) -> None:
    """A row has all columns in order whatever became of the cell; what is absent is None, never 0."""
    row = to_row(Record(KEY, status))
    assert list(row) == columns()
    assert {row[name] for name in (*METRICS, *PROVENANCE)} == {None}
    assert row["flags"] == row["flag_notes"] == []


def test_columns_are_unique() -> None:
    """No two tables declare the same column."""
    assert len(set(columns())) == len(columns()) == len(KEYS) + 4 + len(METRICS) + len(PROVENANCE)


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"key": {**KEY, "bacth_size": 8}}, "bacth_size"),
        ({"metrics": {"wre": 0.1, "wer": 0.1}}, "wre"),
        ({"provenance": {"gpu_name": "x"}}, "gpu_name"),
    ],
)
def test_an_undeclared_column_is_refused(changed: dict, name: str) -> None:
    """A name that no table declares is an error that repeats it, and only it."""
    with pytest.raises(ValueError, match=f"^undeclared columns: {name}$"):
        to_row(Record(**{"key": KEY, "status": "ok", **changed}))


def test_a_row_of_another_version_loads() -> None:
    """Columns that this version does not know are left out, and those it misses are None."""
    record = from_row({**KEY, "status": "ok", "new_column": 1, "wer": 0.5})
    assert record.metrics["wer"] == 0.5
    assert record.metrics["cer"] is None
    assert record.flags == ()
    assert "new_column" not in to_row(record)
