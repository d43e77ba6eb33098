"""The command line's part about results of several machines, and about publishing them."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greenbench.cli.output import Folders, count
from greenbench.errors import InputError

if TYPE_CHECKING:
    from greenbench.merge import Refused

KeepPrivate = Annotated[
    bool, typer.Option("--keep-private", help="Keep host and user names, addresses and paths, which are left out.")
]

WORKFLOW = "leaderboard.yml"


def merge(
    results: Folders,
    out: Annotated[Path, typer.Option(help="A new folder, which then holds a folder a run.")],
    keep_private: KeepPrivate = False,
) -> None:
    """Bring runs of many machines together: each once, checked, and without what names a machine or a person."""
    from greenbench.merge import merge as bring_together

    merged = bring_together(results, out, keep_private)
    _tell_refused(merged.refused)
    n_platforms = len({taken.platform for taken in merged.runs.values()})
    told = [count(len(merged.runs), "run"), f"on {count(n_platforms, 'platform')}"]
    told += [f"{count(len(merged.duplicates), 'duplicate')} dropped"] if merged.duplicates else []
    typer.echo(f"{out}: {', '.join(told)}, {len(merged.refused)} refused")
    if not merged.runs:
        raise typer.Exit(1)


def submit(
    results: Folders,
    out: Annotated[Path, typer.Option(help="The file, such as entry.zip.")],
    keep_private: KeepPrivate = False,
) -> None:
    """Pack runs for a leaderboard, if it would take them: whole, checked, with the hash of every file."""
    from greenbench.submission import pack

    packed = pack(results, out, keep_private)
    typer.echo(f"{packed.path}: {', '.join(packed.run_ids)}\nsha256 of its files: {packed.digest}")


def leaderboard(  # noqa: PLR0913, PLR0917 (options of a command)
    results: Annotated[
        list[Path] | None, typer.Argument(help="Folders of runs or entries, parents of such folders, or entries.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The site's folder.")] = Path("site"),
    gate: Annotated[
        str, typer.Option(help="WER that ranks by energy, speed and size ask for: margin:1.0pp, mlperf-99 or none.")
    ] = "margin:1.0pp",
    reference: Annotated[
        str | None, typer.Option(help="Hold every WER against this variant's. [default: each one's teacher]")
    ] = None,
    title: Annotated[str, typer.Option(help="Of the site.")] = "Speech recognition leaderboard",
    previous: Annotated[
        Path | None, typer.Option(help="Previous publication, for the feed of changes. [default: what is in --out]")
    ] = None,
    check: Annotated[
        list[Path], typer.Option(help="Only judge this entry: score its texts again, exit 1 if refused; repeatable.")
    ] = [],  # noqa: B006
    workflow: Annotated[
        bool, typer.Option("--workflow", help="Only print a GitHub workflow that publishes entries/*.zip.")
    ] = False,
) -> None:
    """Write a static site that ranks what may be ranked, and lists the rest apart with the reason."""
    if workflow:
        from importlib.resources import files

        typer.echo(files("greenbench.assets").joinpath(WORKFLOW).read_text(encoding="utf-8"), nl=False)
        return
    if check:
        _check(check)
        return
    if not results:
        raise InputError("leaderboard: name folders of runs, or packed entries.")
    from greenbench import gate as gates
    from greenbench.leaderboard import publish

    published = publish(results, out, gates.parse(gate, reference), title, previous)
    _tell_refused(published.refused)
    for change in published.changes:
        typer.echo(f"new: {change}")
    told = f"{count(published.n_boards, 'board')}, {published.n_ranked} ranked, {published.n_apart} apart"
    typer.echo(f"{published.index}: {told}, {len(published.refused)} refused")
    if not published.n_boards:
        typer.echo("error: nothing was measured in these results", err=True)
        raise typer.Exit(1)


def _check(entries: Iterable[Path]) -> None:
    """Judge packed entries; exit with 1 where one is refused."""
    from greenbench.submission import check

    n_problems = 0
    for entry in entries:
        with tempfile.TemporaryDirectory() as folder:
            found = check(entry, Path(folder) / "runs")
        for problem in found:
            typer.echo(f"refused: {problem.where}: {problem.what}. {problem.fix}")
        typer.echo(f"{entry}: {'refused' if found else 'ok'}")
        n_problems += len(found)
    if n_problems:
        raise typer.Exit(1)


def _tell_refused(refused: "Iterable[Refused]") -> None:
    for one in refused:
        typer.echo(f"refused: {one.what}: {one.reason}", err=True)
