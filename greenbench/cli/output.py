"""What the command line prints: progress of a run, tables, comparisons."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greenbench.cli.console import echo, styled
from greenbench.unicode import visible

if TYPE_CHECKING:
    from rich.console import Console

    from greenbench.compare import Comparison
    from greenbench.thresholds import Regression

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Folder = Annotated[Path, typer.Argument(help="A run's folder, or a parent of such folders.")]
Folders = Annotated[list[Path], typer.Argument(help="Folders of runs, or parents of such folders.")]


def print_summary(frame: Any, as_json: bool) -> None:
    """Print the medians of a run, as a table or as JSON."""
    from greenbench.report import terminal

    print_table(terminal.title(frame), terminal.figures(frame) if as_json else terminal.table(frame), as_json)
    print_misfits(frame)


def print_misfits(rows: Any) -> None:
    """Warn on standard error of each data set whose texts the normaliser is not made for."""
    from greenbench.report import sentences

    for misfit in sentences.misfits(rows):
        echo(f"warning: {misfit}", err=True)


def check_not_empty(*frames: Any) -> None:
    """Exit with 1 where results hold nothing that was measured, so that no pipeline takes a page of it for a result."""
    from greenbench.outcome import anything

    if not any(map(anything, frames)):
        echo("error: nothing was measured in these results", err=True)
        raise typer.Exit(1)


def check_measured(frame: Any) -> None:
    """Exit with 1 where rows fall short of what was asked for, and say in what."""
    from greenbench.outcome import shortfall

    problem = shortfall(frame)
    if problem:
        echo(f"error: {problem}", err=True)
        raise typer.Exit(1)


def print_comparison(comparison: "Comparison", failures: "Sequence[Regression]", as_json: bool) -> None:
    """Print a comparison; on standard error what failed, what has no partner, and what would help."""
    from greenbench.report import differences

    if as_json:
        echo(json.dumps(differences.plain(comparison, failures), indent=2, ensure_ascii=False))
    else:
        echo(differences.title(comparison))
        _print_blocks(differences.blocks(comparison), differences.COLUMNS)
        echo("\n".join(["", differences.LEGEND, *differences.hints(comparison)]))
    for side, unpaired in (("baseline", comparison.only_a), ("new", comparison.only_b)):
        for line in unpaired:
            echo(f"only in {side}: {differences.alone(line)}", err=True)
    for failure in failures:
        echo(f"regressed: {differences.regressed(failure)}", err=True)


def _print_blocks(blocks: "Sequence[tuple[str, Sequence[Mapping[str, str]]]]", columns: Sequence[str]) -> None:
    """Print blocks of lines under common headings; a line without columns is printed as it is."""
    full = [line for _, lines in blocks for line in lines if len(line) > 1]
    widths = {name: max(len(name), *(len(line[name]) for line in full)) for name in columns} if full else {}
    if full:
        echo(f"\n  {'  '.join(name.ljust(width) for name, width in widths.items()).rstrip()}")
    colours = {"better": "green", "worse": "red"}
    for heading, lines in blocks:
        styled(heading, bold=True)
        for line in lines:
            texts = [line[name].ljust(width) for name, width in widths.items()] if len(line) > 1 else [*line.values()]
            styled(f"  {'  '.join(texts).rstrip()}", fg=colours.get(line.get("verdict", "")))


def print_table(title: str, rows: Iterable[Mapping[str, Any]], as_json: bool) -> None:
    """Print rows that share their columns as a table, or as JSON."""
    rows = list(rows)
    if as_json:
        echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(visible(title)), title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in rows[0] if rows else ():
        table.add_column(Text(visible(name.replace("_", " "))), overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if value is None else visible(_short(value))) for value in row.values()))
    _console(rows).print(table)


def _console(rows: Sequence[Mapping[str, Any]]) -> "Console":
    """Return a console that is wide enough where nobody looks at it live."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else max(100, *(40 * len(row) for row in rows[:1]), 0))


def count(number: int, noun: str) -> str:
    """Write a number of things: ``1 cell``, ``2 cells``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def tell_training(kind: str, content: Mapping[str, Any]) -> None:
    """Print a step of a recipe, what begins in it, or a row of a training's log."""
    if kind == "step":
        echo(f"[{content['number']}/{content['n_steps']}] {content['label']}", err=True)
        return
    if kind in ("phase", "made"):
        made = f"{content.get('folder')}: already made by this recipe; nothing was changed"
        echo(made if kind == "made" else f"    {content['text']}", err=True)
        return
    told = {name: value for name, value in content.items() if isinstance(value, float) and name != "best_wer"}
    figures = ", ".join(f"{name} {value:.4g}" for name, value in told.items())
    echo(f"    step {content['step']}: {figures}", err=True)
