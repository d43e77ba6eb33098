"""What a run tells while it goes on: a bar on a terminal, lines in a pipe, with the time spent and left."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greenbench.cli.output import count
from greenbench.cli.power import describe_attached
from greenbench.unicode import visible


class Progress:
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

    def close(self) -> None:
        """Take the bar away."""
        if self._console.is_terminal:  # rich would print an empty line elsewhere
            self._bar.stop()

    def observe(self, kind: str, content: Mapping[str, Any]) -> None:
        """Take note of an event (see ``process.Observer``)."""
        show = {
            "plan": self._plan,
            "stage": self._stage,
            "missing": self._missing,
            "warning": self._warning,
            "cell": self._cell,
            "phase": self._phase,
            "row": self._row,
            "power": lambda power: self._line(describe_attached(power)),
            "page": self._written,
        }.get(kind)
        if show is not None:
            show(content)
        if self._console.is_terminal:
            self._bar.refresh()

    def _plan(self, content: Mapping[str, Any]) -> None:
        self.folder = content["folder"]
        self._bar.update(self._task, total=content["n_todo"])
        skipped = content["n_cells"] - content["n_todo"]
        self._line(f"{count(content['n_todo'], 'cell')} to run" + (f", {skipped} done before" if skipped else ""))

    def _written(self, content: Mapping[str, Any]) -> None:
        self.page = content["path"]

    def _missing(self, content: Mapping[str, Any]) -> None:
        self._said.add(content["reason"])
        self._line(f"missing {content['name']}: {content['reason']}")

    def _warning(self, content: Mapping[str, Any]) -> None:
        if content["text"] not in self._said:
            self._said.add(content["text"])  # once, and not for each round
            self._line(f"warning: {content['text']}")

    def _stage(self, content: Mapping[str, Any]) -> None:
        self._phase(content)
        self._line(f"{content['text']}{_times(content.get('spent_s'), content.get('left_s'))}")

    def _phase(self, content: Mapping[str, Any]) -> None:
        self._bar.update(self._task, description=visible(content["text"]))

    def _row(self, content: Mapping[str, Any]) -> None:
        known = content["reason"] in self._said
        self._line("    error: missing, see above" if known else f"    {describe_row(content)}")

    def _cell(self, content: Mapping[str, Any]) -> None:
        """Name the cell that begins, and tell the time, as far as the cells before it show how long one takes."""
        now = time.monotonic()
        self._first_cell_s = self._first_cell_s or now
        n_done, spent_s = content["number"] - 1, now - self._first_cell_s
        left_s = spent_s / n_done * (content["n_cells"] - n_done) if n_done else None
        self._bar.update(self._task, completed=n_done)
        self._line(f"[{content['number']}/{content['n_cells']}] {content['label']}{_times(spent_s, left_s)}")

    def _line(self, text: str) -> None:
        self._console.print(visible(text), markup=False, soft_wrap=True)


def _times(spent_s: float | None, left_s: float | None) -> str:
    """Return what to add to a line about time; nothing where nothing is known of what is left."""
    return "" if spent_s is None or left_s is None else f"  ({duration(spent_s)} spent, about {duration(left_s)} left)"


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``42 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def describe_row(row: Mapping[str, Any]) -> str:
    """Say in one line what became of a cell or repeat."""
    from greenbench.validity import explain

    if row["status"] != "ok":
        return f"{row['status']}: {row['reason']}"
    wer = "WER none" if row["wer"] is None else f"WER {100 * row['wer']:.2f} %"
    energy = row["energy_j_per_audio_s"]
    joules = f", {energy:.3g} J per audio second ({row['energy_method']})" if energy is not None else ""
    flags = f"  flags: {explain(row['flags'], row['flag_notes'])}" if row["flags"] else ""
    return f"repeat {row['repeat']}: {wer}, RTFx {row['rtfx']:.2f}{joules}{flags}"
