"""The command line: with ``cli_output`` the only place that prints, and the only one that exits."""

import json
import shlex
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greenbench.cli_output import (
    Progress,
    count,
    print_comparison,
    print_plan,
    print_summary,
    print_table,
    tell_training,
)
from greenbench.cli_power import ClockSkew
from greenbench.cli_power import app as power_app
from greenbench.cli_publish import leaderboard, merge, submit
from greenbench.errors import GreenbenchError

if TYPE_CHECKING:
    pass

app = typer.Typer(
    name="greenbench",
    help="Measure, and shrink, the footprint of speech recognisers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(power_app, name="power")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
SuiteFile = Annotated[Path | None, typer.Argument(help="Suite file (YAML). [default: the bundled quick start]")]


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        from greenbench import __version__

        typer.echo(f"greenbench {__version__}")
        raise typer.Exit


@app.command()
def run(  # noqa: PLR0913, PLR0917 (options of a command)
    suite: SuiteFile = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run. [default: results/<run_id>]")] = None,
    overrides: Annotated[
        list[str], typer.Option("--set", help="Override one value, after all other options: datasets.0.limit=5")
    ] = [],  # noqa: B006
    limit: Annotated[int | None, typer.Option(min=1, help="Take the first N utterances of every data set.")] = None,
    only: Annotated[str | None, typer.Option(help="Run only the cells whose label or variant matches GLOB.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:N, mps or auto, instead of the suite's.")] = None,
    protocol: Annotated[str | None, typer.Option(help="quick, standard or official, instead of the suite's.")] = None,
    estimate_energy: Annotated[
        bool, typer.Option("--estimate-energy", help="Estimate CPU energy where no counter answers (labelled).")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Run only what is missing or failed.")] = False,
    power_log: Annotated[
        Path | None,
        typer.Option(help="Log that a wall meter writes meanwhile, attached at the end (see power attach)."),
    ] = None,
    clock_skew: ClockSkew = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the planned cells and meters; run none.")] = False,
    as_json: Json = False,
) -> None:
    """Run a suite: measure every cell, write results and page, print the summary."""
    from greenbench.assets import quickstart_suite
    from greenbench.suite import load

    changes = {"limit": limit, "device": device, "protocol": protocol, "estimate_energy": estimate_energy}
    loaded = load(suite or quickstart_suite(), overrides, changes)
    if dry_run:
        print_plan(loaded, only, out, as_json)
        return
    from greenbench.powerlog import Source
    from greenbench.runner import Options
    from greenbench.runner import run as run_suite

    signal.signal(signal.SIGTERM, _interrupt)
    command = shlex.join(["greenbench", *sys.argv[1:]])
    log = Source(power_log, clock_skew) if power_log else None
    progress = Progress()
    try:
        frame = run_suite(loaded, Options(out, resume, only, command, log), progress.observe)
    except KeyboardInterrupt:
        kept = (
            f"what was measured is in {progress.folder}. Continue with --resume." if progress.folder else "nothing ran"
        )
        typer.echo(f"\ninterrupted; {kept}", err=True)
        raise typer.Exit(130) from None
    finally:
        progress.close()
    print_summary(frame, as_json)
    typer.echo(f"\npage: {progress.page}\nrows: {progress.folder}", err=as_json)
    if (frame["status"] == "error").any():
        raise typer.Exit(1)


def _interrupt(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="variants, datasets, meters, methods, normalizers, scorers or metrics.")],
    as_json: Json = False,
) -> None:
    """List what is registered."""
    from greenbench import catalogue

    print_table(what, catalogue.rows(what), as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what can be measured here and what would spoil it, with remedies; exit code 1 if official cannot hold."""
    from dataclasses import asdict

    from greenbench.doctor import findings, verdict

    found = findings()
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in found], indent=2, ensure_ascii=False))
    else:
        marks = {True: "ok", False: "PROBLEM", None: "note"}
        told = [{"topic": f.topic, "": marks[f.ok], "what": f.message, "remedy": f.remedy} for f in found]
        print_table("this machine", told, as_json=False)
        typer.echo(f"\n{verdict(found)}")
    if any(finding.blocks_official for finding in found):
        raise typer.Exit(1)


@app.command()
def report(
    results: Annotated[list[Path], typer.Argument(help="Folders of runs, or parents of such folders.")],
    out: Annotated[Path | None, typer.Option(help="The page. [default: report.html in the first folder]")] = None,
    gate: Annotated[
        str, typer.Option(help="WER that speed and energy ranks ask for: margin:1.0pp, mlperf-99 or none.")
    ] = "margin:1.0pp",
    reference: Annotated[
        str | None, typer.Option(help="Hold every WER against this variant's. [default: each one's teacher]")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Folder for the charts as SVG and PNG (needs Chromium or Chrome).")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="File for the results as a table: .tex or .md.")] = None,
) -> None:
    """Write the page of one or several runs, and what a paper needs of it."""
    from greenbench import gate as gates
    from greenbench.report import content, frames, pages, snapshots, tables
    from greenbench.store import REPORT

    asked = gates.parse(gate, reference)
    if figures is not None:
        snapshots.browser()  # that there is none is told before anything is written
    found = content.load(results, asked)
    written = [pages.write(found, out or results[0] / REPORT)]
    if table is not None:
        written.append(tables.write(frames.summary(found.rows, found.outside), table))
    if figures is not None:
        written += snapshots.write(written[0], figures)
    for path in written:
        typer.echo(path)


@app.command()
def dashboard(
    results: Annotated[Path, typer.Argument(help="Folder of runs; it may still be empty.")] = Path("results"),
    host: Annotated[str, typer.Option(help="Address to serve at; another than this machine's own is open to all.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to serve at; 0: any that is free.")] = 8050,
    gate: Annotated[
        str, typer.Option(help="WER that speed and energy ranks ask for: margin:1.0pp, mlperf-99 or none.")
    ] = "margin:1.0pp",
) -> None:
    """Serve the page of all runs below a folder, filling in while they run, until Ctrl-C."""
    from greenbench import gate as gates
    from greenbench.report import dashboard as served

    with served.Server(results, (host, port), gates.parse(gate)) as server:
        typer.echo(f"dashboard of {results}: {server.url} (Ctrl-C ends it)")
        if not served.is_loopback(host):
            typer.echo("note: whoever reaches this address can read these results", err=True)
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            typer.echo("ended", err=True)


@app.command()
def rescore(
    results: Annotated[Path, typer.Argument(help="A run's folder, or a parent of such folders.")],
    normalizer: Annotated[
        list[str], typer.Option(help="NORMALIZER, or NORMALIZER+SCORER such as whisper-english+compound; repeatable.")
    ],
    as_json: Json = False,
) -> None:
    """Score measured texts under another normaliser or scorer, without a model, into scores.jsonl."""
    from greenbench import rescore as scoring
    from greenbench import store
    from greenbench.report import scores

    scoring.rescore(results, normalizer)
    rows, found = store.load(results), store.load_scores(results)
    if as_json:
        typer.echo(scores.figures(rows, found).to_json(orient="records", indent=2))
    else:
        print_table("WER % [95 % interval]", scores.table(rows, found), as_json)


@app.command()
def validate(
    results: Annotated[Path, typer.Argument(help="A run's folder, or a parent of such folders.")],
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for warnings too.")] = False,
    as_json: Json = False,
) -> None:
    """Check that results agree with themselves: rows, texts, sums, windows, flags; exit 1 for errors."""
    from dataclasses import asdict

    from greenbench.validate import problems

    found = sorted(problems(results), key=lambda problem: problem.severity)  # errors come first
    if as_json:
        typer.echo(json.dumps([asdict(problem) for problem in found], indent=2, ensure_ascii=False))
    for problem in found if not as_json else ():
        typer.echo(f"{problem.severity}: {problem.where}: {problem.what}. {problem.fix}")
    n_errors = sum(problem.severity == "error" for problem in found)
    typer.echo(f"{count(n_errors, 'error')}, {count(len(found) - n_errors, 'warning')}", err=as_json)
    if n_errors or (strict and found):
        raise typer.Exit(1)


@app.command()
def export(
    results: Annotated[Path, typer.Argument(help="A run's folder, or a parent of such folders.")],
    form: Annotated[
        str,
        typer.Option(
            "--format", help="csv, parquet, pytest-benchmark, github-benchmark, codecarbon, boamps or model-index."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The file; a format that needs several puts a word before the suffix.")],
) -> None:
    """Write results in another tool's format."""
    from greenbench.export import write

    for path in write(results, form, out):
        typer.echo(path)


@app.command()
def compress(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (YAML).")],
    out: Annotated[Path | None, typer.Option(help="The student's folder. [default: models/<name>]")] = None,
    overrides: Annotated[
        list[str], typer.Option("--set", help="Override one value: name=student-4l, steps.0.keep=4")
    ] = [],  # noqa: B006
) -> None:
    """Make a student by a recipe; the same command goes on with a training that was broken off."""
    from greenbench.compress import recipe as recipes

    loaded = recipes.load(recipe, overrides)
    folder = recipes.run(loaded, out or Path("models") / loaded.name, tell_training)
    if not recipes.leads():
        return
    typer.echo(f"student: {folder}\nmeasure it as a variant: {{use: wav2vec2, model: {folder}}}, or file:{folder}")


@app.command()
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove everything that is kept.")] = False,
    as_json: Json = False,
) -> None:
    """List what is kept (exported models, peaks), the least recently used first (GREENBENCH_CACHE_GIB limits it)."""
    from greenbench import cache as kept

    if clear:
        typer.echo(f"freed {kept.clear() / 1e6:.1f} MB in {kept.folder()}")
        return
    rows = [{"build": a.about.get("build"), "settings": a.about.get("settings"), "size_mb": round(a.n_bytes / 1e6, 1),
             "used": f"{datetime.fromtimestamp(a.used_s):%Y-%m-%d %H:%M}", "path": str(a.path)}
            for a in kept.artefacts()]  # fmt: skip
    if not rows and not as_json:
        typer.echo(f"nothing is kept in {kept.folder()}")
        return
    print_table(f"kept in {kept.folder()}", rows, as_json)


@app.command()
def compare(
    baseline: Annotated[str, typer.Argument(help="A run's folder or records.jsonl, latest, latest~1, or RUN:VARIANT.")],
    new: Annotated[str, typer.Argument(help="The same; a VARIANT may be a glob.")],
    metrics: Annotated[
        list[str], typer.Option("--metric", help="Compare this metric instead of the usual ones; repeatable.")
    ] = [],  # noqa: B006
    across: Annotated[
        list[str], typer.Option(help="What the comparison is about, so it may differ: device_name, threads, ...")
    ] = [],  # noqa: B006
    fail_on: Annotated[
        list[str], typer.Option(help="Exit 3 where this gets worse beyond noise: 'rtfx:-5%', 'wer:+0.2pp'; repeatable.")
    ] = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Say of each cell what got better or worse, and what is within noise."""
    from greenbench import compare as comparing
    from greenbench import thresholds
    from greenbench.selection import select

    limits = [thresholds.parse(text) for text in fail_on]
    comparing.check_metrics(metrics, "--metric")
    comparing.check_across(across)
    wanted = dict.fromkeys([*(metrics or comparing.DEFAULT_METRICS), *(limit.metric for limit in limits)])
    comparison = comparing.compare(select(baseline), select(new), list(wanted), across)
    failures = thresholds.regressions(comparison, limits)
    print_comparison(comparison, failures, as_json)
    if failures:
        raise typer.Exit(3)
    comparing.check_comparable(comparison)
    thresholds.check_decided(comparison, limits)
    for limit in limits:
        n_blind, n_pairs = thresholds.n_blind(comparison, limit)
        if n_blind:
            typer.echo(
                f"note: {n_blind} of {count(n_pairs, 'pair')} could not have shown {limit.text} reliably", err=True
            )


@app.command()
def lineage(
    results: Annotated[list[Path], typer.Argument(help="Folders of runs, or parents of such folders.")],
    as_json: Json = False,
) -> None:
    """Say what every compressed variant gained and lost against its teacher, and when its training pays back."""
    from greenbench import lineage as lines
    from greenbench.report import bigfoot, compression
    from greenbench.store import runs

    if as_json:
        typer.echo(lines.table(*results).to_json(orient="records", indent=2))
        return
    descents = lines.descents(runs(*results))
    if not descents:
        typer.echo("no variant here has its teacher beside it: put both into one suite")
        return
    print_table("against the teacher", compression.table(descents), as_json)
    for line in (compression.LEGEND, *compression.notes(descents)):
        typer.echo(line)
    beside = bigfoot.beside(descents)
    if beside:
        print_table('beside "Shrinking Bigfoot" (2021)', beside, as_json)


@app.command()
def schema() -> None:
    """Print the JSON Schema of suite files, for editors."""
    from greenbench.schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


for publishing in (merge, submit, leaderboard):
    app.command()(publishing)


def main() -> None:
    """Run the command line; every error a user can meet is one line and an exit code."""
    from greenbench.store import UnsavedError

    try:
        app(standalone_mode=True)
    except GreenbenchError as error:
        for line in str(error).splitlines():
            typer.echo(f"error: {line}", err=True)
        if isinstance(error, UnsavedError):
            typer.echo(f"what could not be written:\n{error.unsaved}", err=True, nl=False)
        raise SystemExit(error.exit_code) from None
