"""Rows of one cell, for the tests of results."""

from greenbench.results.record import Record, to_row


def row(repeat: int | None = 0, status: str = "ok", **metrics) -> dict:
    """A row of one cell."""
    key = {"run_id": "r", "variant": "v", "dataset": "d", "device": "cpu", "scenario": "offline",
           "batch_size": 8, "round": 0, "repeat": repeat}  # fmt: skip
    return to_row(Record(key, status, None if status == "ok" else "boom", metrics=metrics))
