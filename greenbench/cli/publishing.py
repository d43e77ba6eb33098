"""The command line's part about results of several machines, and about publishing them."""

import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from greenbench.cli.console import echo
from greenbench.cli.output import DryRun, Folders, GateOption, Json, PushTo, count, print_pushed
from greenbench.errors import InputError

if TYPE_CHECKING:
    from greenbench.files.limits import Limits
    from greenbench.sharing.merge import Refused
    from greenbench.sharing.submission import Preview
    from greenbench.validate.verification import VerifiedCell

KeepPrivate = Annotated[
    bool,
    typer.Option("--keep-private", help="Keep host and user names, addresses and paths; by default they are left out."),
]

WORKFLOW = "leaderboard.yml"

N_SHOWN = 20
"""Names, paths and addresses that are shown before they are taken out."""


def merge(
    results: Folders,
    out: Annotated[Path, typer.Option(help="A new folder; each run becomes a folder in it.")],
    keep_private: KeepPrivate = False,
) -> None:
    """Merge runs of several machines into one folder: each once, checked, and without names of machines or persons."""
    from greenbench.sharing import merge

    merged = merge.merge(results, out, keep_private)
    _tell_refused(merged.refused)
    n_platforms = len({taken.platform for taken in merged.runs.values()})
    parts = [count(len(merged.runs), "run"), f"on {count(n_platforms, 'platform')}"]
    parts += [f"{count(len(merged.duplicates), 'duplicate')} dropped"] if merged.duplicates else []
    echo(f"{out}: {', '.join(parts)}, {len(merged.refused)} refused")
    if not merged.runs:
        raise typer.Exit(1)


def submit(
    results: Folders,
    out: Annotated[Path, typer.Option(help="The file, such as entry.zip.")],
    keep_private: KeepPrivate = False,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Pack without asking whether the descriptions may be published; scripts need it."),
    ] = False,
    push_to: PushTo = None,
    dry_run: DryRun = False,
) -> None:
    """Check runs as a leaderboard does, and pack them into an entry with the hash of every file."""
    from greenbench.sharing.hub import Upload
    from greenbench.sharing.submission import pack, preview

    _agree(preview(results, keep_private), keep_private, yes)
    packed = pack(results, out, keep_private)
    echo(f"{packed.path}: {', '.join(packed.run_ids)}\nsha256 of its files: {packed.digest}")
    upload = Upload(push_to, "dataset", {f"entries/{packed.path.name}": packed.path}) if push_to else None
    print_pushed(upload, f"Entry {packed.path.name}", dry_run)


def _agree(preview: "Preview", keep_private: bool, is_agreed: bool) -> None:
    """Show what will be published of what people wrote and what is taken out of it, and ask whether that is meant.

    Raises:
        InputError: there is nobody to ask.
    """
    if not preview.descriptions and not preview.identifiers:
        return
    for run, description in preview.descriptions.items():
        echo(f"{run}: published description: {json.dumps(description, ensure_ascii=False)}", err=True)
    for found in preview.identifiers[:N_SHOWN]:
        text = f"{found.text[:6]}..." if found.kind == "token" else found.text[:80]
        fate = "kept" if keep_private else "taken out"
        echo(f"{fate}: {found.kind} {json.dumps(text, ensure_ascii=False)} ({found.where})", err=True)
    if len(preview.identifiers) > N_SHOWN:
        echo(f"and {len(preview.identifiers) - N_SHOWN} more", err=True)
    if is_agreed:
        return
    if not is_at_terminal():
        raise InputError("submit: nothing was packed. Check what is published (above), then pass --yes.")
    typer.confirm("Pack this for publication?", abort=True, err=True)


def is_at_terminal() -> bool:
    """Say whether somebody sits at a terminal."""
    return sys.stdin.isatty()


class _Publishes(TyperGroup):
    """A group whose first word is ``publish`` where it names no command: `greenbench leaderboard RESULTS`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``publish`` before what names no command and asks for no help."""
        if not args or (args[0] not in (*self.commands, "-h", "--help")):
            args = ["publish", *args]
        return super().parse_args(ctx, args)


leaderboard = typer.Typer(
    cls=_Publishes,
    help="Write a static site that ranks entries (publish, which may be left out), or measure an entry again (verify).",
)


@leaderboard.command()
def publish(  # noqa: PLR0913, PLR0917 (options of a command)
    results: Annotated[
        list[Path] | None, typer.Argument(help="Folders of runs or entries, parents of such folders, or entries.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The site's folder.")] = Path("site"),
    gate: GateOption = None,
    reference: Annotated[
        str | None,
        typer.Option(help="Compare every WER with this variant's.", show_default="its base model or teacher"),
    ] = None,
    title: Annotated[str, typer.Option(help="Title of the site.")] = "Speech recognition leaderboard",
    previous: Annotated[
        Path | None,
        typer.Option(
            help="Previous site (folder or leaderboard.json), for the feed of changes.", show_default="what is in --out"
        ),
    ] = None,
    check: Annotated[
        list[Path],
        typer.Option(help="Only check this entry: score its texts again, exit code 1 if refused; repeatable."),
    ] = [],  # noqa: B006
    workflow: Annotated[
        bool, typer.Option("--workflow", help="Only print a GitHub workflow that publishes entries/*.zip.")
    ] = False,
    max_entry_mb: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="Refuse entries that unpack to more megabytes, before anything is read.", show_default="268"
        ),
    ] = None,
    max_entry_lines: Annotated[
        int | None, typer.Option(min=1, help="Refuse entries that have a file with more lines.", show_default="1000000")
    ] = None,
    push_to: PushTo = None,
    dry_run: DryRun = False,
) -> None:
    """Write a static site that ranks entries, and lists those that cannot be ranked with the reason."""
    if workflow:
        from importlib.resources import files

        echo(files("greenbench.assets").joinpath(WORKFLOW).read_text(encoding="utf-8"), nl=False)
        return
    from dataclasses import replace

    from greenbench.files.limits import limits

    asked = {"max_bytes": max_entry_mb and int(1e6 * max_entry_mb), "max_lines": max_entry_lines}
    allowed = replace(limits(), **{name: value for name, value in asked.items() if value})
    if check:
        _check(check, allowed)
        return
    if not results:
        raise InputError("leaderboard: name folders of runs, or packed entries.")
    from greenbench import leaderboard
    from greenbench.analysis.gate import parse
    from greenbench.sharing.hub import Upload

    published = leaderboard.publish(results, out, parse(gate, reference), title, previous, allowed)
    _tell_refused(published.refused)
    for change in published.changes:
        echo(f"new: {change}")
    summary = f"{count(published.n_boards, 'board')}, {published.n_ranked} ranked, {published.n_unranked} not ranked"
    echo(f"{published.index}: {summary}, {len(published.refused)} refused")
    if not published.n_boards:
        echo("error: nothing was measured in these results", err=True)
        raise typer.Exit(1)
    print_pushed(Upload(push_to, "space", published.files) if push_to else None, title, dry_run)


@leaderboard.command()
def verify(  # noqa: PLR0913, PLR0917 (options of a command)
    entry: Annotated[Path, typer.Argument(help="A packed entry.")],
    by: Annotated[str, typer.Option(help="Your name, as boards will show it.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="File for the record of what was found.", show_default="verified/ENTRY.json next to the entry"
        ),
    ] = None,
    only: Annotated[
        str | None, typer.Option(help="Measure only the cells whose label or variant matches GLOB.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Measure the first N utterances; speed and energy are then not compared.")
    ] = None,
    files: Annotated[
        Path | None,
        typer.Option(help="Folder of models and data; the entry has only the end of their paths."),
    ] = None,
    run: Annotated[str | None, typer.Option("--run", help="The run to measure, where the entry holds several.")] = None,
    as_json: Json = False,
) -> None:
    """Measure an entry again; exit code 3 if it is not reproduced, 1 if only a part could be measured."""
    from greenbench.cli.progress import ProgressDisplay
    from greenbench.results.store import write_file
    from greenbench.sharing import verify
    from greenbench.validate import verification

    with ProgressDisplay() as progress:
        found = verify.verify(entry, verify.Request(by, only, limit, files, run), progress.observe)
    record = out or entry.parent / "verified" / f"{entry.stem}.json"
    write_file(record, verification.as_json(found))
    if as_json:
        echo(verification.as_json(found), nl=False)
    for cell in found.cells if not as_json else ():
        _tell_verified(cell, found.same_platform)
    echo(f"{record}: {found.verdict}", err=as_json)
    if found.verdict != verification.REPRODUCED:
        raise typer.Exit(3)
    if any(cell.reason for cell in found.cells):
        raise typer.Exit(1)


def _tell_verified(cell: "VerifiedCell", same_platform: bool) -> None:
    """Print what came of a cell: its verdict, how many texts are equal, the ratios, and what contradicts the entry."""
    from greenbench.validate.verification import contradictions, verdict

    parts = [f"{cell.n_equal} of {cell.n_texts} texts equal"] if cell.n_texts else []
    ratios = (("RTFx", cell.rtfx_ratio), ("J per audio s", cell.energy_ratio))
    parts += [f"entry / here: {name} {ratio:.2f}" for name, ratio in ratios if ratio is not None]
    parts += [*cell.notes, *([cell.reason] if cell.reason else [])]
    label = "-".join(map(str, cell.key))
    echo(f"{label}: {verdict(cell, same_platform)} ({'; '.join(parts)})")
    for what in contradictions(cell, same_platform):
        echo(f"  {what}")


def _check(entries: Iterable[Path], limits: "Limits") -> None:
    """Judge packed entries; exit with 1 where one is refused."""
    from greenbench.sharing.submission import check

    n_problems = 0
    for entry in entries:
        with tempfile.TemporaryDirectory() as folder:
            found = check(entry, Path(folder) / "runs", limits)
        for problem in found:
            echo(f"refused: {problem.where}: {problem.what}. {problem.fix}")
        echo(f"{entry}: {'refused' if found else 'ok'}")
        n_problems += len(found)
    if n_problems:
        raise typer.Exit(1)


def _tell_refused(refused: "Iterable[Refused]") -> None:
    for one in refused:
        echo(f"refused: {one.what}: {one.reason}", err=True)
