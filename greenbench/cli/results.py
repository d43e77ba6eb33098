"""The command line's part about what was measured: pages, checks, comparisons, other tools' formats."""

import json
from pathlib import Path
from typing import Annotated

import typer

from greenbench.cli import completion
from greenbench.cli.console import echo
from greenbench.cli.output import (
    DryRun,
    Folder,
    Folders,
    GateOption,
    Json,
    PushTo,
    check_not_empty,
    count,
    print_comparison,
    print_misfits,
    print_pushed,
    print_table,
    print_text,
)
from greenbench.errors import InputError


def report(
    results: Folders,
    out: Annotated[Path | None, typer.Option(help="The page.", show_default="report.html in the first folder")] = None,
    gate: GateOption = None,
    reference: Annotated[
        str | None,
        typer.Option(help="Compare every WER with this variant's.", show_default="its base model or teacher"),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Folder for the charts as SVG and PNG (needs Chromium or Chrome).")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="File for the results as a table: .tex or .md.")] = None,
) -> None:
    """Write the page of one or several runs, and a paper's charts and table; exit code 1 if nothing was measured."""
    from greenbench.analysis.gate import parse
    from greenbench.report import content, pages, snapshots, tables
    from greenbench.results.store import REPORT

    asked = parse(gate, reference)
    if figures is not None:
        snapshots.browser()  # its absence is reported before anything is written
    found = content.load(results, asked)
    written = [pages.write(found, out or results[0] / REPORT)]
    if table is not None:
        written.append(tables.write(found.lines, table))
    if figures is not None:
        written += snapshots.write(written[0], figures)
    for path in written:
        echo(path)
    check_not_empty(found.rows)


def dashboard(
    results: Annotated[Path, typer.Argument(help="Folder of runs; it may still be empty.")] = Path("results"),
    host: Annotated[
        str, typer.Option(help="Address to serve at; any other than 127.0.0.1 is open to everyone who can reach it.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to serve at; 0: any that is free.")] = 8050,
    gate: GateOption = None,
) -> None:
    """Serve the page of all runs below a folder, with new rows as they are measured, until Ctrl-C."""
    from greenbench.analysis.gate import parse
    from greenbench.report import dashboard

    if not results.exists() and results != Path("results"):
        raise InputError(f"{results}: no such folder. Name the folder of the runs, or create it for runs to come.")
    with dashboard.Dashboard(results, (host, port), parse(gate)) as server:
        echo(f"dashboard of {results}: {server.url} (Ctrl-C ends it)")
        if not dashboard.is_loopback(host):
            echo("note: anyone who can reach this address can read these results", err=True)
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            echo("ended", err=True)


def rescore(
    results: Folder,
    normalizer: Annotated[
        list[str] | None,
        typer.Option(
            help="NORMALIZER, or NORMALIZER+SCORER such as whisper-english+compound; repeatable.",
            autocompletion=completion.scoring,
        ),
    ] = None,
    amend: Annotated[
        bool,
        typer.Option(
            "--amend", help="Score rows of an earlier version again, by the present versions of what they name."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Score the stored texts again, without the model: by other rules, or by the present version of the rows' own."""
    from greenbench.metrics import METRICS
    from greenbench.report import data, scores
    from greenbench.results import frames, rescore

    if amend == bool(normalizer):
        raise InputError("rescore: name a --normalizer, or give --amend, and not both")
    if amend:
        echo(f"{rescore.amend(results)} rows were scored again")
        return
    rescore.rescore(results, normalizer or [])
    rows, found = frames.load(results), frames.load_scores(results)
    if as_json:
        echo(scores.figures(rows, found).to_json(orient="records", indent=2))
    else:
        print_table(f"{METRICS[data.primary(rows)].label} % [95 % interval]", scores.table(rows, found), as_json)
    asked = {name.partition("+")[0] for name in normalizer or ()}
    print_misfits(found[found["normalizer"].str.partition("@")[0].isin(asked)])


def validate(
    results: Folder,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for warnings too.")] = False,
    as_json: Json = False,
) -> None:
    """Check results for contradictions: rows, texts, sums, windows, flags; exit code 1 for errors."""
    from dataclasses import asdict

    from greenbench.validate import problems

    found = sorted(problems(results), key=lambda problem: problem.severity)  # errors come first
    if as_json:
        echo(json.dumps([asdict(problem) for problem in found], indent=2, ensure_ascii=False))
    for problem in found if not as_json else ():
        echo(f"{problem.severity}: {problem.where}: {problem.what}. {problem.fix}")
    n_errors = sum(problem.severity == "error" for problem in found)
    echo(f"{count(n_errors, 'error')}, {count(len(found) - n_errors, 'warning')}", err=as_json)
    if n_errors or (strict and found):
        raise typer.Exit(1)


def export(
    results: Folder,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="csv, parquet, pytest-benchmark, github-benchmark, codecarbon, boamps, model-index, eval-results, "
            "mlflow, trackio or tensorboard.",
            autocompletion=completion.export_format,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="The file, or a tracker's store; a format of several files adds a word (bench.smaller.json)."
        ),
    ],
    variant: Annotated[str | None, typer.Option(help="Only the variants that match GLOB.")] = None,
    push_to: PushTo = None,
    dry_run: DryRun = False,
) -> None:
    """Write results in another tool's format; model-index and eval-results can be put into a model's repository."""
    from greenbench.export import write
    from greenbench.sharing import hub

    if push_to:
        hub.check_export(form, push_to)
    paths = write(results, form, out, variant)
    for path in paths:
        echo(path)
    print_pushed(hub.of_export(form, paths, push_to) if push_to else None, f"Results as {form}", dry_run)


def compare(  # noqa: PLR0913, PLR0917 (options of a command)
    baseline: Annotated[
        str,
        typer.Argument(
            help="A run's folder or records.jsonl, latest, latest~1, or RUN:VARIANT.",
            autocompletion=completion.run_folder,
        ),
    ],
    new: Annotated[
        str, typer.Argument(help="The same; a VARIANT may be a glob.", autocompletion=completion.run_folder)
    ],
    metrics: Annotated[
        list[str],
        typer.Option(
            "--metric",
            help="Compare this metric instead of the usual ones; repeatable.",
            autocompletion=completion.metric,
        ),
    ] = [],  # noqa: B006
    across: Annotated[
        list[str], typer.Option(help="A condition that differs on purpose, such as device_name or threads; repeatable.")
    ] = [],  # noqa: B006
    fail_on: Annotated[
        list[str], typer.Option(help="Exit 3 where this gets worse beyond noise: 'rtfx:-5%', 'wer:+0.2pp'; repeatable.")
    ] = [],  # noqa: B006
    accept: Annotated[
        list[str],
        typer.Option(
            help="Exit 1 unless the 95 % intervals show this of every pair: 'wer<=+1pp' or 'rtfx>=2x' against the "
            "baseline, 'wer<=5%' of the new one; repeatable."
        ),
    ] = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Compare two runs or variants, cell by cell: what is better, what is worse, what is within noise."""
    from greenbench.analysis import acceptance, compare, thresholds
    from greenbench.analysis.selection import select
    from greenbench.report.acceptance import Acceptance

    limits = [thresholds.parse(text) for text in fail_on]
    conditions = [acceptance.parse(text) for text in accept]
    compare.check_metrics(metrics, "--metric")
    compare.check_across(across)
    a, b = select(baseline), select(new)
    bounded = [*(limit.metric for limit in limits), *(condition.metric for condition in conditions)]
    wanted = dict.fromkeys([*(metrics or compare.usual_metrics(a, b)), *bounded])
    comparison = compare.compare(a, b, list(wanted), across)
    failures = thresholds.regressions(comparison, limits)
    accepted = Acceptance(tuple(acceptance.judge(comparison, conditions)))
    print_comparison(comparison, failures, accepted, as_json)
    if failures:
        raise typer.Exit(3)
    compare.check_comparable(comparison)
    compare.check_delivered(comparison, metrics)
    thresholds.check_decided(comparison, limits)
    for limit in limits:
        n_blind, n_pairs = thresholds.n_blind(comparison, limit)
        if n_blind:
            echo(f"note: {n_blind} of {count(n_pairs, 'pair')} could not have shown {limit.text} reliably", err=True)
    if conditions and not accepted:
        raise typer.Exit(1)


def lineage(
    results: Folders,
    as_json: Json = False,
) -> None:
    """Show what each compressed variant gained and lost against its base model or teacher, and its pay-back point."""
    from greenbench.analysis import gains
    from greenbench.report import bigfoot, compression
    from greenbench.results.frames import load
    from greenbench.results.store import runs

    if as_json:
        echo(gains.table(*results).to_json(orient="records", indent=2))
        return
    all_gains = gains.all_gains(runs(*results))
    if not all_gains:
        echo("no variant here was measured together with its base model or teacher: put both into one suite, and "
             "`teacher: NAME` into the entry of a student that was made elsewhere")  # fmt: skip
        check_not_empty(*map(load, results))
        return
    print_table(*compression.shown(all_gains), as_json)
    for line in (compression.LEGEND, *compression.notes(all_gains)):
        print_text(line)
    in_paper = bigfoot.shown(all_gains)
    if in_paper:
        print_table('compared with "Shrinking Bigfoot" (2021)', in_paper, as_json)
