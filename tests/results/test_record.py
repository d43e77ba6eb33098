"""A record and its row: every column, every time, and none that is not declared."""

import json

import pytest

from greenbench.metrics import METRICS
from greenbench.provenance import PROVENANCE
from greenbench.results.record import KEYS, Record, columns, to_row

KEY = {
    "run_id": "r", "variant": "v", "dataset": "d", "device": "cpu",
    "scenario": "offline", "batch_size": 8, "round": 0, "repeat": 1,
}  # fmt: skip


def test_a_row_holds_all_of_its_record() -> None:
    """A record with every column filled has each value under its own name in its row, through JSON as well."""
    metrics = {name: float(index) for index, name in enumerate(METRICS)}
    provenance = {name: f"from {name}" for name in PROVENANCE}
    flags, notes = ("short-window", "foreign-load"), ("1 s, the protocol asks for 2 s", "")
    record = Record(KEY, "ok", "a reason", flags, metrics, provenance, notes)
    state = {"status": "ok", "reason": "a reason", "flags": list(flags), "flag_notes": list(notes)}
    assert json.loads(json.dumps(to_row(record))) == KEY | state | metrics | provenance


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
