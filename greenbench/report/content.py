"""What a report is made of: everything that the folders of some runs hold, each file read once."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from greenbench.analysis import error_rates, summary
from greenbench.analysis.cells import CellSummary, summaries
from greenbench.analysis.choosing import NEAR
from greenbench.analysis.error_rates import CellKey, Counted, RecountError, Texts
from greenbench.analysis.gains import CellGains, against_teachers
from greenbench.analysis.gate import DEFAULT, Gate, judged
from greenbench.errors import StoreError
from greenbench.metrics import RATES
from greenbench.results import frames, store

N_GAINS = 200
"""Compressed cells that are compared with their teachers."""

N_COUNTED = 200
"""Cells whose texts are counted for the errors by speaker and by length, and for the worst utterances."""


@dataclass(frozen=True)
class RunContent:
    """What one run's folder holds.

    Attributes:
        run: its ``run.json``.
        rows: as ``frames.load`` gives them.
        cells: its rows by cell.
        texts: of each cell's first window.
        scores: as ``frames.load_scores`` gives them.
        power: as ``frames.load_power`` gives it.
        windows: as ``frames.load_windows`` gives them.
    """

    run: Mapping[str, Any]
    rows: pd.DataFrame
    cells: Sequence[CellSummary]
    texts: Mapping[CellKey, Texts]
    scores: pd.DataFrame
    power: pd.DataFrame
    windows: pd.DataFrame


@dataclass(frozen=True)
class Unread:
    """A run that the page leaves out.

    Attributes:
        run: its folder, below the folder that is served.
        reason: why it cannot be read or shown.
    """

    run: str
    reason: str


@dataclass(frozen=True)
class Content:
    """What a page is made of.

    Attributes:
        rows: as ``frames.load`` gives them, at least one.
        cells: the summary of each cell.
        runs: the ``run.json`` of each run.
        texts: of each cell's first window.
        counted: the errors of the first ``N_COUNTED`` cells that have an error rate, or why they cannot be counted.
        scores: as ``frames.load_scores`` gives them.
        power: as ``frames.load_power`` gives it.
        windows: as ``frames.load_windows`` gives them.
        gate: what is asked of a cell's error rate before it is ranked by speed and energy.
        outside: which cells do not meet that, from ``gate.judged``.
        far: which cells are not shown to be within ``choosing.NEAR`` of their reference's WER, likewise.
        all_gains: the first ``N_GAINS`` compressed cells against their teachers.
    """

    rows: pd.DataFrame
    cells: Sequence[CellSummary]
    runs: Sequence[Mapping[str, Any]]
    texts: Mapping[CellKey, Texts]
    counted: Mapping[CellKey, Counted | RecountError]
    scores: pd.DataFrame
    power: pd.DataFrame
    windows: pd.DataFrame
    gate: Gate
    outside: Mapping[CellKey, str]
    far: Mapping[CellKey, str]
    all_gains: Sequence[CellGains]

    @cached_property
    def lines(self) -> pd.DataFrame:
        """One line a cell, as ``summary.frame`` gives them."""
        return summary.frame(self.cells, self.outside, self.gate.by_parent)

    @cached_property
    def settings(self) -> Sequence[summary.Setting]:
        """What may be compared."""
        return summary.settings(self.lines)


def read(folder: Path) -> RunContent:
    """Read one run's folder."""
    rows = store.current(store.read_rows(folder / store.RECORDS))
    cells = summaries(rows)
    keys = [error_rates.cell_of(line.shared) for line in cells]
    texts = error_rates.first_windows(folder / store.HYPOTHESES, keys)
    return RunContent(
        store.open_run(folder).description, frames.frame(rows), cells, texts,
        frames.load_scores(folder), frames.load_power(folder), frames.load_windows(folder),
    )  # fmt: skip


def load(folders: Iterable[Path], gate: Gate = DEFAULT) -> Content:
    """Read several results folders.

    Args:
        folders: runs' folders or parents of runs.
        gate: what a cell's WER must be before its speed and energy are ranked.

    Raises:
        StoreError: there is no run, or no row in any.
    """
    places = list(folders)
    named = ", ".join(map(str, places)) or "(no folder given)"
    found = store.runs(*(place.resolve() for place in places))
    if not found:
        raise StoreError(f"{named}: no runs here to report. Pass a folder that `greenbench run` wrote.")
    parts = [read(run) for run in found]
    if all(part.rows.empty for part in parts):
        raise StoreError(f"{named}: the runs here hold no rows yet. Let a run finish a cell, then report again.")
    return together(parts, gate)


def together(parts: Sequence[RunContent], gate: Gate) -> Content:
    """Return what several runs hold together, at least one of them a row."""
    texts = {cell: of_cell for each in parts for cell, of_cell in each.texts.items()}
    lines = {error_rates.cell_of(line.shared): line for each in parts for line in each.cells}
    counted: dict[CellKey, Counted | RecountError] = {}

    def count(wanted: Collection[CellKey]) -> Mapping[CellKey, Counted | RecountError]:
        counted.update(error_rates.recounted(texts, {c: lines[c].rows for c in wanted if c not in counted}))
        return counted

    outside = judged(lines.values(), gate, count)
    far = judged(lines.values(), Gate(margin=NEAR), count)
    scored = [cell for cell, line in lines.items() if line.spreads.keys() & set(RATES)]
    shown = scored[:N_COUNTED]
    count(shown)
    all_gains = against_teachers(lines.values(), count, N_GAINS)
    return Content(
        _joined([each.rows for each in parts]),
        list(lines.values()),
        [each.run for each in parts],
        texts,
        {cell: counted[cell] for cell in shown},
        _joined([each.scores for each in parts]),
        _joined([each.power for each in parts]),
        _joined([each.windows for each in parts]),
        gate,
        outside,
        far,
        all_gains,
    )


def _joined(several: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put the frames of several runs below each other."""
    return pd.concat([frame for frame in several if len(frame)] or list(several[:1]), ignore_index=True)
