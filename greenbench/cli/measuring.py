"""The command line's part about measuring: what there is, what can be measured here, and running a suite."""

import json
import shlex
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from greenbench.cli import completion
from greenbench.cli.console import echo
from greenbench.cli.output import Json, Lock, Wait, check_measured, print_headline, print_summary, print_table
from greenbench.cli.power import ClockSkew

if TYPE_CHECKING:
    from greenbench.harness.opening import Options
    from greenbench.suite.config import Suite

SuiteFile = Annotated[Path | None, typer.Argument(help="Suite file (YAML).", show_default="the bundled quick start")]
Model = Annotated[
    str | None,
    typer.Option(
        help="A registered variant, the folder of a checkpoint, or a hub id (owner/name).",
        autocompletion=completion.model,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        help="A registered data set, a manifest (JSON lines), or the folder of a LibriSpeech subset.",
        autocompletion=completion.data,
    ),
]
BuildsOption = Annotated[
    str | None,
    typer.Option(
        help="Builds to measure as well, such as int8-dynamic,bf16; + chains them.",
        autocompletion=completion.builds,
    ),
]

# What `run` and `fleet run` change of a suite.
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set",
        help="Override one value, after all other options: datasets.0.limit=5",
        autocompletion=completion.setting,
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Take the first N utterances of every data set.")]
Only = Annotated[str | None, typer.Option(help="Run only the cells whose label or variant matches GLOB.")]
Device = Annotated[
    str | None,
    typer.Option(help="cpu, cuda, cuda:N, mps or auto, instead of the suite's.", autocompletion=completion.device),
]
ProtocolName = Annotated[
    str | None,
    typer.Option(help="quick, standard or official, instead of the suite's.", autocompletion=completion.protocol),
]
EstimateEnergy = Annotated[
    bool, typer.Option("--estimate-energy", help="Estimate CPU energy where no counter answers (labelled).")
]


def run(  # noqa: PLR0913, PLR0917 (options of a command)
    suite: SuiteFile = None,
    model: Model = None,
    data: Data = None,
    builds: BuildsOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="results/<run_id>")] = None,
    overrides: Overrides = [],  # noqa: B006
    limit: Limit = None,
    only: Only = None,
    device: Device = None,
    protocol: ProtocolName = None,
    estimate_energy: EstimateEnergy = False,
    resume: Annotated[bool, typer.Option("--resume", help="Run only what is missing or failed.")] = False,
    wait: Wait = False,
    lock: Lock = True,
    power_log: Annotated[
        Path | None,
        typer.Option(help="Log that a wall meter writes during the run; it is attached at the end."),
    ] = None,
    clock_skew: ClockSkew = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print cells, problems, least time and meters; run none.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure a suite, or a model on data without one; exit code 1 if a cell failed, or lacks its device or extra."""
    from greenbench.harness import ahead
    from greenbench.suite import starter

    changes = {"limit": limit, "device": device, "protocol": protocol, "estimate_energy": estimate_energy}
    wanted = {"model": model, "data": data, "builds": builds.split(",") if builds else None}
    with ahead.all_at_once():
        loaded, made = starter.load(suite, wanted, changes, overrides)
    if dry_run:
        from greenbench.cli.planning import print_plan

        print_plan(loaded, only, out, as_json)
        return
    from greenbench.harness.opening import Options
    from greenbench.power.log import Source

    command = shlex.join(["greenbench", *sys.argv[1:]])
    log = Source(power_log, clock_skew) if power_log else None
    _measure(loaded, Options(out, resume, only, command, log, made=made, wait=wait, lock=lock), as_json)


def _measure(suite: "Suite", options: "Options", as_json: bool) -> None:
    """Run a suite and show what it came to."""
    from greenbench.cli.progress import ProgressDisplay
    from greenbench.harness import runner
    from greenbench.report.content import Content, load
    from greenbench.report.pages import write

    read: list[Content] = []

    def page(folder: Path, path: Path) -> None:
        read.append(load([folder]))
        write(read[-1], path)

    signal.signal(signal.SIGTERM, _interrupt)
    with ProgressDisplay() as progress:
        try:
            frame = runner.run(suite, replace(options, page=page), progress.observe)
        except KeyboardInterrupt:
            where = f"what was measured is in {progress.folder}. Continue with --resume."
            echo(f"\ninterrupted; {where if progress.folder else 'nothing ran'}", err=True)
            raise typer.Exit(130) from None
    if not as_json:
        print_headline(read[-1])
    print_summary(frame, as_json)
    echo(f"\npage: {progress.page}\nrows: {progress.folder}", err=as_json)
    check_measured(frame)


def init(
    out: Annotated[Path, typer.Option(help="The suite file.")] = Path("suite.yaml"),
    model: Model = None,
    data: Data = None,
    builds: BuildsOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a commented suite for a model, data and builds; without options, for the bundled ones."""
    from greenbench.errors import InputError
    from greenbench.results import store
    from greenbench.suite import starter

    draft = starter.StarterRequest(model or starter.MODEL, data or starter.DATA, builds.split(",") if builds else ())
    starter.check(draft)
    text = starter.text(draft, out.parent)
    if out.exists() and not force:
        raise InputError(f"{out}: a file is here already. Choose another --out, or replace it with --force.")
    store.write_file(out, text, "cannot write the suite", "Choose another --out.")
    shown = shlex.quote(str(out))
    echo(f"{out}: look at it, then check it with `greenbench run {shown} --dry-run` and run `greenbench run {shown}`")


def _interrupt(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def list_(
    what: Annotated[
        str | None,
        typer.Argument(
            help="variants, datasets, meters, methods, tasks, normalizers, scorers, engines or metrics.",
            autocompletion=completion.kind,
            show_default="these kinds",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List what is registered: variants, datasets, meters, methods, tasks, normalizers, scorers, engines or metrics."""
    from greenbench.cli import catalogue

    if what is None:
        print_table("kinds", [{"kind": kind} for kind in catalogue.KINDS], as_json)
        return
    print_table(what, catalogue.rows(what), as_json)


def doctor(as_json: Json = False) -> None:
    """Show what this machine can measure and what would disturb it; exit code 1 if it cannot meet `official`."""
    from greenbench.doctor.checks import findings, verdict

    found = findings()
    if as_json:
        echo(json.dumps([asdict(finding) for finding in found], indent=2, ensure_ascii=False))
    else:
        marks = {True: "ok", False: "PROBLEM", None: "note"}
        rows = [{"topic": f.topic, "": marks[f.ok], "what": f.message, "remedy": f.remedy} for f in found]
        print_table("this machine", rows, as_json=False)
        echo(f"\n{verdict(found)}")
    if any(finding.blocks_official for finding in found):
        raise typer.Exit(1)


def schema(
    what: Annotated[
        Literal["suite", "lineage"], typer.Argument(help="suite files, or a student's greenbench.json (lineage).")
    ] = "suite",
) -> None:
    """Print the JSON Schema of suite files, for editors, or of a student's greenbench.json (lineage)."""
    from greenbench.models import lineage
    from greenbench.suite.schema import json_schema

    echo(json.dumps({"suite": json_schema, "lineage": lineage.json_schema}[what](), indent=2))
