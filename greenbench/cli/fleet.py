"""The command line's part about many machines: ``greenbench fleet``."""

import json
import os
import platform
import signal
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greenbench.cli import completion
from greenbench.cli.console import echo
from greenbench.cli.measuring import Device, EstimateEnergy, Limit, Only, Overrides, ProtocolName
from greenbench.cli.output import Json, print_summary, print_table
from greenbench.errors import InputError

if TYPE_CHECKING:
    from greenbench.fleets.conductor import News
    from greenbench.fleets.roster import NodeEntry, Roster

app = typer.Typer(help="Measure a suite on many machines, and bring the results together.", no_args_is_help=True)

EngineOption = Annotated[
    str,
    typer.Option(help="What reaches the machines: local, ray://HOST:6379 or slurm.", autocompletion=completion.engine),
]
Settings = Annotated[list[str], typer.Option("--setting", help="A setting of the engine: partition=gpu; repeatable.")]
On = Annotated[
    list[str], typer.Option(help="Only nodes with this label: tier=edge, gpu=*; repeatable, and all must hold.")
]
FleetFolder = Annotated[Path, typer.Argument(help="Folder of a fleet.")]


@app.command()
def run(  # noqa: PLR0913, PLR0917 (options of a command)
    suite: Annotated[Path, typer.Argument(help="Suite file (YAML); its paths must be there on every node.")],
    engine: EngineOption,
    settings: Settings = [],  # noqa: B006
    on: On = [],  # noqa: B006
    out: Annotated[Path | None, typer.Option(help="Folder of the fleet.", show_default="results/<fleet_id>")] = None,
    overrides: Overrides = [],  # noqa: B006
    limit: Limit = None,
    only: Only = None,
    device: Device = None,
    protocol: ProtocolName = None,
    estimate_energy: EstimateEnergy = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the fleet in --out: measure only what is missing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure a suite on every node that matches, and merge the runs; exit code 1 if a node is not `ok` at the end."""
    from greenbench.fleets import conductor, engines
    from greenbench.fleets.suites import portable

    changes = {"limit": limit, "device": device, "protocol": protocol, "estimate_energy": estimate_energy}
    shipped, reached = portable(suite, overrides, changes), engines.create(engine, engines.parsed(settings))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        fleet = conductor.run(shipped, reached, conductor.FleetOptions(out, tuple(on), only, resume), _show)
    except KeyboardInterrupt:
        echo("\ninterrupted; what was measured is kept. Continue with --resume and the same --out.", err=True)
        raise typer.Exit(130) from None
    frame = conductor.table(fleet)
    if len(frame) or as_json:
        print_summary(frame, as_json)
    if not as_json:
        echo()
        print_table("nodes", map(_shown, fleet.nodes.values()), as_json)
    echo(f"\nfleet: {fleet.folder}", err=as_json)
    if frame.attrs["shortfall"]:
        echo(f"error: {frame.attrs['shortfall']}", err=True)
        raise typer.Exit(1)


def _show(news: "News") -> None:
    """Print what a node says as one line."""
    from greenbench.cli.progress import describe_row
    from greenbench.fleets.conductor import NodeMeasured, NodeSaid

    match news:
        case NodeSaid(node=node, text=text):
            echo(f"{node}: {text}", err=True)
        case NodeMeasured(node=node, row=row):
            echo(f"{node}:     {describe_row(row)}", err=True)
        case _:
            why = f": {news.entry.reason}" if news.entry.reason else ""
            echo(f"{news.entry.name}: {news.entry.status}{why}", err=True)


def _shown(entry: "NodeEntry") -> dict[str, Any]:
    """Return what a table says of a node."""
    share = entry.engine_cpu_s / entry.run_s if entry.run_s and entry.engine_cpu_s is not None else None
    return {
        "node": entry.name,
        "status": entry.status if entry.status != "measuring" else f"measuring ({entry.stage})",
        "platform": entry.platform_name,
        "attempts": entry.attempts,
        "queued": _time(entry.seconds.get("queued")),
        "run": _time(entry.run_s),
        "engine": None if share is None else f"{share:.1%} of a CPU",
        "why": "; ".join([*([entry.reason] if entry.reason else []), *entry.problems]) or None,
    }


def _time(seconds: float | None) -> str | None:
    from greenbench.cli.progress import duration

    return None if seconds is None else duration(seconds)


@app.command()
def nodes(engine: EngineOption, settings: Settings = [], on: On = [], as_json: Json = False) -> None:  # noqa: B006
    """Show the nodes, their labels and platforms, and what each can measure; exit code 1 if one does not answer."""
    from greenbench.fleets import engines
    from greenbench.fleets.selection import select
    from greenbench.fleets.survey import survey

    reached = engines.create(engine, engines.parsed(settings))
    found = survey(reached, select(reached.nodes(), on))
    rows: list[dict[str, Any]] = [
        {
            "node": one.node.name,
            "labels": " ".join(f"{label}={value}" for label, value in one.node.labels.items()),
            "platform": one.hello.platform_name if one.hello else None,
            "greenbench": one.hello.version if one.hello else None,
            "energy": one.energy,
            "official": one.reason or (f"no: {', '.join(one.against_official)}" if one.against_official else "yes"),
        }
        for one in found
    ]
    if as_json:
        findings = [[finding.model_dump(exclude={"kind"}) for finding in one.findings] for one in found]
        rows = [{**row, "findings": of_one} for row, of_one in zip(rows, findings, strict=True)]
    print_table("nodes", rows, as_json)
    if any(one.reason for one in found):
        raise typer.Exit(1)


@app.command()
def status(folder: FleetFolder, as_json: Json = False) -> None:
    """Show what became of each node, and how many rows have arrived from it; exit code 1 if one is not `ok`."""
    from greenbench.files import lock
    from greenbench.fleets import roster

    fleet = roster.read(folder)
    if as_json:
        echo(json.dumps([asdict(entry) for entry in fleet.nodes.values()], indent=2, ensure_ascii=False))
    else:
        rows = [{**_shown(entry), "rows": n} for entry, n in _counted(fleet)]
        print_table(str(fleet.about["id"]), rows, as_json)
    is_open = any(entry.status in ("queued", "measuring") for entry in fleet.nodes.values())
    if conducting := lock.writer(folder):
        echo(conducting, err=True)
    elif is_open:
        echo("nobody conducts it: continue with `greenbench fleet run --resume` and the same --out", err=True)
    if any(entry.status != "ok" for entry in fleet.nodes.values()):
        raise typer.Exit(1)


def _counted(fleet: "Roster") -> "Iterator[tuple[NodeEntry, int]]":
    """Yield each node with the rows that have arrived in its last attempt."""
    from greenbench.results import store

    for name, entry in fleet.nodes.items():
        copies = fleet.copies(name)
        yield entry, sum(1 for _ in store.read_rows(copies[-1] / store.RECORDS)) if copies else 0


@app.command()
def stop(folder: FleetFolder) -> None:
    """Stop the fleet that is conducted in a folder, as Ctrl-C in its terminal does; what was measured is kept."""
    from greenbench.files import lock
    from greenbench.fleets import roster

    fleet = roster.read(folder)
    pid = lock.writer_here(folder)
    if pid is None:
        raise InputError(
            f"{folder}: no process of {platform.node()} conducts {fleet.about['id']}. Stop it on the machine where it "
            f"was started; jobs of Slurm that are left end with `scancel --name {fleet.about['id']}`."
        )
    os.kill(pid, signal.SIGINT)
    echo(f"{folder}: process {pid} was asked to stop; `greenbench fleet status {folder}` shows when it has")
