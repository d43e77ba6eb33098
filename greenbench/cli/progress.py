"""What a run shows while it goes on: a bar on a terminal, lines in a pipe, with the time spent and left."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greenbench.cli.output import count
from greenbench.files.unicode import visible
from greenbench.plugins.events import (
    CellStarted,
    Event,
    PageWritten,
    Phase,
    Planned,
    PowerAttached,
    Preparing,
    RowStored,
    Unavailable,
    Warned,
)

SLOWER = ", more if a pass over the data is slow"
"""What is added to the least time of cells: a window is a whole pass, however long a model takes for it."""


class ProgressDisplay:
    """Shows what happens in a run: a bar on a terminal, lines in a pipe; redrawn only when something happens."""

    def __init__(self) -> None:
        from rich import progress
        from rich.console import Console

        self.folder: Path | None = None
        self.page: Path | None = None
        self._said: set[str] = set()
        self._first_cell_s: float | None = None
        self._console = Console(stderr=True, highlight=False)
        columns = (
            progress.BarColumn(20),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.description}", markup=False),
        )
        self._bar = progress.Progress(*columns, console=self._console, auto_refresh=False, transient=True)
        self._task = self._bar.add_task("planning", total=None)
        if self._console.is_terminal:
            self._bar.start()

    def __enter__(self) -> "ProgressDisplay":
        """Show what happens until the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        if self._console.is_terminal:  # rich would print an empty line elsewhere
            self._bar.stop()

    def observe(self, event: Event) -> None:  # noqa: C901 (a case for each kind of event)
        """Show an event."""
        match event:
            case Planned():
                self._plan(event)
            case Preparing(text):
                self._prepare(event)
            case Unavailable(name, reason):
                self._said.add(reason)
                self._line(f"missing {name}: {reason}")
            case Warned(text) if text not in self._said:
                self._said.add(text)  # once, and not for each round
                self._line(f"warning: {text}")
            case CellStarted():
                self._cell(event)
            case Phase(text):
                self._describe(text)
                if not self._console.is_terminal:
                    self._line(f"    {text}")
            case RowStored(row):
                is_said = row["reason"] in self._said
                self._line("    error: missing, see above" if is_said else f"    {describe_row(row)}")
            case PowerAttached():
                self._line(str(event))
            case PageWritten(path):
                self.page = path
        if self._console.is_terminal:
            self._bar.refresh()

    def _plan(self, plan: Planned) -> None:
        self.folder = plan.folder
        self._bar.update(self._task, total=plan.n_todo)
        n_before = plan.n_cells - plan.n_todo
        least = f": at least {duration(plan.least_s)}{SLOWER}" if plan.n_todo else ""
        self._line(f"{count(plan.n_todo, 'cell')} to run{f', {n_before} done before' if n_before else ''}{least}")

    def _prepare(self, stage: Preparing) -> None:
        """Show what begins as a line, and that it goes on in the bar where there is one."""
        text = f"{stage.text}{_times(stage)}"
        self._describe(text)
        if stage.elapsed_s is None or not self._console.is_terminal:
            self._line(text)

    def _describe(self, text: str) -> None:
        self._bar.update(self._task, description=visible(text))

    def _cell(self, cell: CellStarted) -> None:
        """Name the cell that begins, and the time left as far as the cells before it show it."""
        now = time.monotonic()
        self._first_cell_s = self._first_cell_s or now
        times = _times(Preparing(cell.label, now - self._first_cell_s, cell.left_s))
        self._bar.update(self._task, completed=cell.number - 1)
        self._line(f"[{cell.number}/{cell.n_cells}] {cell.label}{times}")

    def _line(self, text: str) -> None:
        self._console.print(visible(text), markup=False, soft_wrap=True)


def _times(stage: Preparing) -> str:
    """Return what to add to a line about time; nothing where nothing is known of what is left."""
    parts = []
    if stage.elapsed_s is not None:
        parts = [f"{duration(stage.elapsed_s)} so far", *_bytes(stage)]
    elif stage.spent_s is not None and stage.left_s is not None:
        parts = [f"{duration(stage.spent_s)} spent"]
    if stage.left_s is not None and parts:
        parts.append(f"about {duration(stage.left_s)} left")
    if stage.at_most_s is not None:
        parts.append(f"at most {duration(stage.at_most_s)}")
    return f"  ({', '.join(parts)})" if parts else ""


def _bytes(stage: Preparing) -> list[str]:
    if stage.n_bytes is None:
        return []
    return [f"{stage.n_bytes / 1e6:.0f}{f' of {stage.of_bytes / 1e6:.0f}' if stage.of_bytes else ''} MB"]


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``42 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def describe_row(row: Mapping[str, Any]) -> str:
    """Say in one line what became of a cell or repeat."""
    from greenbench.metrics import METRICS
    from greenbench.results.comparability import primary
    from greenbench.results.flags import explain

    if row["status"] != "ok":
        return f"{row['status']}: {row['reason']}"
    rate = primary(row)
    errors = f"{METRICS[rate].label} " + ("none" if row[rate] is None else f"{100 * row[rate]:.2f} %")
    energy = row["energy_j_per_audio_s"]
    joules = f", {energy:.3g} J per audio second ({row['energy_method']})" if energy is not None else ""
    flags = f"  flags: {explain(row['flags'], row['flag_notes'])}" if row["flags"] else ""
    return f"repeat {row['repeat']}: {errors}, RTFx {row['rtfx']:.2f}{joules}{flags}"
