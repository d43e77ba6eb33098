"""Cells as experiment trackers know them: a run a cell, with params, tags, and a step of metrics a window."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from greenbench.analysis import summary
from greenbench.export import Results, plain
from greenbench.metrics import ENERGY_UNITS, METRICS
from greenbench.provenance import PROVENANCE
from greenbench.results.record import CELL

_TAGGED = ("suite_hash", "schema")
_SETTINGS = (*CELL[1:], *(name for name, column in PROVENANCE.items() if not column.varies and name not in _TAGGED))


@dataclass(frozen=True)
class TrackedRow:
    """One measured window as a tracker knows it.

    Attributes:
        params: how it was measured: the cell, and the provenance in which the rows of a cell agree; what is unknown is
            left out.
        metrics: the figures that are known, in the units of METRICS; one that derives from estimated joules has
            ``_estimated`` behind its name, so that it never shares a chart with a measured one.
        tags: run, flags and versions.
        time_s: when the row was written, in seconds of the epoch; 0 where that is unknown.
    """

    params: dict[str, Any]
    metrics: dict[str, float]
    tags: dict[str, str]
    time_s: float


@dataclass(frozen=True)
class TrackedCell:
    """One cell as a tracker's run.

    Attributes:
        project: the suite's name.
        name: of the tracker's run: run id and cell.
        rows: its windows, one a step.
    """

    project: str
    name: str
    rows: tuple[TrackedRow, ...]

    @property
    def key(self) -> str:
        """What identifies it in a store, of characters that every tracker takes."""
        return sha256(f"{self.project}\n{self.name}".encode()).hexdigest()[:16]


def cells(results: Results) -> Iterator[TrackedCell]:
    """Yield the cells of all runs that were measured, in the order of the rows; failed rows are no figures."""
    ok = results.rows[results.rows["status"] == "ok"]
    for _, group in ok.groupby(list(CELL), sort=False, dropna=False):
        rows = [plain(row) for row in group.to_dict("records")]
        run = results.runs[rows[0]["run_id"]]
        name = " | ".join(str(rows[0][column]) for column in CELL)
        yield TrackedCell(str(run.get("name") or rows[0]["run_id"]), name, tuple(tracked(row, run) for row in rows))


def tracked(row: Mapping[str, Any], run: Mapping[str, Any]) -> TrackedRow:
    """Return a row's params, metrics and tags: the one mapping for all trackers.

    Args:
        row: with None for what is missing.
        run: its ``run.json``.
    """
    is_guess = summary.is_estimated(row)
    known = {name: float(row[name]) for name in METRICS if row[name] is not None}
    tags = {
        "run_id": row["run_id"],
        "flags": " ".join(row["flags"]) or "none",
        "greenbench": (run.get("versions") or {}).get("greenbench"),
        **{name: row[name] for name in _TAGGED},
    }
    return TrackedRow(
        params={name: row[name] for name in _SETTINGS if row[name] is not None},
        metrics={
            f"{name}_estimated" if is_guess and METRICS[name].unit in ENERGY_UNITS else name: value
            for name, value in known.items()
        },
        tags={name: str(value) for name, value in tags.items() if value is not None},
        time_s=datetime.fromisoformat(row["timestamp_utc"]).timestamp() if row["timestamp_utc"] else 0.0,
    )
