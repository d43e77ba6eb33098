"""What a run gave, for code that asks for single figures: a test that gates them, or a script."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenbench.errors import InputError, MissingError, did_you_mean
from greenbench.metrics import METRICS

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Outcome:
    """The rows of a run and the figures in them.

    Attributes:
        rows: one a cell and repeat, as ``greenbench.load`` gives them.
        folder: of the run, with its page, texts and ``run.json``.
    """

    rows: "pd.DataFrame"
    folder: Path

    @cached_property
    def cells(self) -> "pd.DataFrame":
        """One line a cell: medians over its repeats, as ``greenbench.analysis.summary.summary`` gives them."""
        from greenbench.analysis.summary import summary

        return summary(self.rows)

    def cell(self, **key: Any) -> dict[str, Any]:
        """Return the line of the one cell that fits.

        Args:
            key: ``variant``, ``dataset``, ``device``, ``scenario``, ``batch_size``: as many as it takes.

        Raises:
            InputError: no cell fits, or several do; the message says which there are.
        """
        from greenbench.results.record import CELL

        for name in key:
            if name not in CELL:
                raise InputError(f"{name}: a cell has no such key. {did_you_mean(name, CELL)}")
        lines = [line for line in self.cells.to_dict("records") if all(line[k] == v for k, v in key.items())]
        if len(lines) != 1:
            shown = "\n".join(str({name: line[name] for name in CELL[1:]}) for line in self.cells.to_dict("records"))
            found = "no cell fits" if not lines else f"{len(lines)} cells fit"
            raise InputError(f"{found} {key or 'without a key'}. The cells of this run:\n{shown}")
        return {str(name): value for name, value in lines[0].items()}

    def metric(self, name: str, **key: Any) -> float:
        """Return a metric's median over the repeats of one cell.

        Args:
            name: from METRICS, e.g. ``wer`` or ``energy_j_per_audio_s``.
            key: which cell, see ``cell``.

        Raises:
            InputError: no such metric or cell.
            MissingError: the cell failed, or nobody measured this; it is never 0 instead.
        """
        if name not in METRICS:
            raise InputError(f"{name}: no such metric. {did_you_mean(name, METRICS)}")
        line = self.cell(**key)
        who = f"{line['variant']} on {line['dataset']}"
        if line["n_failed"]:
            raise MissingError(f"{who}: {line['n_failed']} of its rows failed: {line['reason']}")
        if math.isnan(line[name]):
            raise MissingError(f"{who}: {name} was not measured; see the meters in {self.folder / 'run.json'}")
        return float(line[name])
