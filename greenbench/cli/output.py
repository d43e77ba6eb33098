"""What the command line prints: progress of a run, tables, comparisons."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greenbench.cli.console import echo, styled
from greenbench.errors import InputError
from greenbench.files.unicode import visible

if TYPE_CHECKING:
    from greenbench.analysis.findings import Comparison
    from greenbench.analysis.thresholds import Regression
    from greenbench.plugins.events import Event
    from greenbench.report.acceptance import Acceptance
    from greenbench.report.content import Content
    from greenbench.report.differences import Block
    from greenbench.sharing.hub import Upload

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Wait = Annotated[bool, typer.Option("--wait", help="Begin once nobody else measures on this machine.")]
Lock = Annotated[
    bool, typer.Option("--lock/--no-lock", help="Keep others here from measuring meanwhile; rows without do not rank.")
]
Folder = Annotated[Path, typer.Argument(help="A run's folder, or a parent of such folders.")]
GateOption = Annotated[
    str | None,
    typer.Option(
        help="WER that a variant needs to be ranked by energy, speed and size: margin:1.0pp, mlperf-99 or none.",
        show_default="margin:1.0pp",
    ),
]
PushTo = Annotated[
    str | None,
    typer.Option(
        metavar="OWNER/NAME",
        help="Publish in this repository of the Hugging Face hub, which must be there; HF_TOKEN has the token.",
        show_default="nothing is sent",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="With --push-to: list what would be published, send nothing.")]
Folders = Annotated[list[Path], typer.Argument(help="Folders of runs, or parents of such folders.")]


def print_pushed(upload: "Upload | None", message: str, is_dry_run: bool) -> None:
    """Publish files on the hub and print where they are, or print what would be published.

    Raises:
        InputError: a dry run of nothing.
    """
    from greenbench.sharing import hub

    if upload is None:
        if is_dry_run:
            raise InputError("--dry-run lists what --push-to would publish: name a repository.")
        return
    if is_dry_run:
        for line in upload.shown():
            echo(f"would publish in {upload.place}: {line}")
        return
    echo(f"published in {upload.place}: {hub.push(upload, message)}")


def print_headline(content: "Content") -> None:
    """Print the first sentences about a run, as its page has them."""
    from greenbench.report.headline import headline

    echo()
    for sentence in headline(content):
        print_text(sentence)
    echo()


def print_summary(frame: Any, as_json: bool) -> None:
    """Print the medians of a run, as a table or as JSON."""
    from greenbench.report import terminal

    if as_json:
        print_table("", terminal.figures(frame), as_json)
    else:
        title, *lines = terminal.shown(frame, _width())
        _print_lines(title, lines)
    print_misfits(frame)


def print_misfits(rows: Any) -> None:
    """Warn on standard error of each data set whose texts the normaliser is not made for."""
    from greenbench.report import sentences

    for misfit in sentences.misfits(rows):
        echo(f"warning: {misfit}", err=True)


def check_not_empty(*frames: Any) -> None:
    """Exit with 1 where results hold nothing that was measured, so that no pipeline takes a page of it for a result."""
    from greenbench.results.shortfall import anything

    if not any(map(anything, frames)):
        echo("error: nothing was measured in these results", err=True)
        raise typer.Exit(1)


def check_measured(frame: Any) -> None:
    """Exit with 1 where a run's rows fall short of what was asked for, and say in what."""
    problem = frame.attrs["shortfall"]
    if problem:
        echo(f"error: {problem}", err=True)
        raise typer.Exit(1)


def print_comparison(
    comparison: "Comparison", failures: "Sequence[Regression]", accepted: "Acceptance", as_json: bool
) -> None:
    """Print a comparison; on standard error conditions, what failed, what has no partner, and what would help."""
    from greenbench.analysis.evidence import RULE
    from greenbench.report import differences

    if as_json:
        echo(json.dumps(differences.plain(comparison, failures, accepted.plain()), indent=2, ensure_ascii=False))
    else:
        print_text(differences.title(comparison))
        _print_blocks(differences.blocks(comparison))
        echo()
        for text in (*differences.LEGEND, *differences.hints(comparison)):
            print_text(text)
    for side, unpaired in (("baseline", comparison.only_a), ("new", comparison.only_b)):
        for line in unpaired:
            echo(f"only in {side}: {differences.alone(line)}", err=True)
    for failure in failures:
        echo(f"regressed: {differences.regressed(failure)}", err=True)
    for judged in accepted.lines:
        echo(f"accept: {judged}", err=True)
    if accepted.judgements:
        echo(f"note: {RULE}", err=True)


def _print_blocks(blocks: "Sequence[Block]") -> None:
    """Print blocks of lines under one heading, each with its own, and its remarks below."""
    from greenbench.report import layout

    colours = {"better": "green", "worse": "red"}
    laid = layout.lay([block.lines for block in blocks], _width())
    _print_lines("", laid.heading)
    for block, rows in zip(blocks, laid.blocks, strict=True):
        print_text(block.heading, bold=True)
        for line, texts in zip(block.lines, rows, strict=True):
            styled("\n".join(texts), fg=colours.get(line["verdict"]))
        for remark in block.remarks:
            print_text(remark)


def print_text(text: str, **style: Any) -> None:
    """Print a text, wrapped between words where it is wider than the terminal."""
    from greenbench.report import layout

    styled("\n".join(layout.paragraph(visible(text), _width())), **style)


def print_table(title: str, rows: Iterable[Mapping[str, Any]], as_json: bool) -> None:
    """Print rows that share their columns as a table, or as JSON."""
    rows = list(rows)
    if as_json:
        echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from greenbench.report import layout

    texts = [{visible(name.replace("_", " ")): visible(_short(value)) for name, value in row.items()} for row in rows]
    _print_lines(title, layout.table(texts, _width()))


def _print_lines(title: str, lines: Iterable[str]) -> None:
    print_text(title, bold=True)
    for line in lines:
        echo(line)


def _width() -> int:
    """Return how many characters a line has; 80 where nobody says, as in a pipe."""
    return shutil.get_terminal_size((80, 24)).columns


def count(number: int, noun: str) -> str:
    """Write a number of things: ``1 cell``, ``2 cells``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def print_training(event: "Event") -> None:
    """Print a step of a recipe, what begins in it, or a row of a training's log."""
    from greenbench.plugins.events import Phase, Preparing, StepStarted, StudentFound, TrainingLogged

    match event:
        case StepStarted(number, n_steps, label):
            echo(f"[{number}/{n_steps}] {label}", err=True)
        case StudentFound(folder):
            echo(f"{folder}: already made by this recipe; nothing was changed", err=True)
        case Phase(text) | Preparing(text):
            echo(f"    {text}", err=True)
        case TrainingLogged(row):
            numbers = {name: value for name, value in row.items() if isinstance(value, float) and name != "best_wer"}
            origin = {"energy_j": f" ({row['energy_method']})"} if row.get("energy_method") else {}
            figures = ", ".join(f"{name} {value:.4g}{origin.get(name, '')}" for name, value in numbers.items())
            echo(f"    step {row['step']}: {figures}", err=True)
