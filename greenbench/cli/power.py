"""The command line's part about power meters outside the machine: ``greenbench power``."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from greenbench.cli.console import echo
from greenbench.errors import InputError, StoreError

app = typer.Typer(
    help="Record a wall meter, battery or input rail, and attach what it logged to results.", no_args_is_help=True
)

ClockSkew = Annotated[
    float | None,
    typer.Option(help="Seconds by which the meter's clock is ahead of this machine's.", show_default="looked for"),
]
Series = Annotated[str | None, typer.Option(help="Which meter of several, by its entity_id, sensor or the like.")]


@app.command()
def attach(  # noqa: PLR0913, PLR0917 (options of a command)
    results: Annotated[Path, typer.Argument(help="Folder of a run, or a parent of runs.")],
    log: Annotated[
        Path, typer.Option(help="CSV or JSON lines with a time (ISO 8601 with zone, or epoch s) and watts.")
    ],
    clock_skew: ClockSkew = None,
    max_gap: Annotated[
        float,
        typer.Option(min=0, help="Longest gap between samples, in seconds; a window with a longer one has no joules."),
    ] = 5.0,
    time_column: Annotated[
        str | None, typer.Option(help="Column of the time.", show_default="timestamp, time or t")
    ] = None,
    power_column: Annotated[
        str | None, typer.Option(help="Column of the watts.", show_default="watts, power_w, power or w")
    ] = None,
    series: Series = None,
) -> None:
    """Write a power log's energy into the rows of runs; exit code 1 if the log does not cover every window."""
    from greenbench.files import lock
    from greenbench.power.log import Source, read
    from greenbench.report.pages import write_page
    from greenbench.results import attach, store

    recorded = read(Source(log, clock_skew, max_gap, time_column, power_column, series))
    folders = store.runs(results)
    if not folders:
        raise InputError(f"{results}: no runs here to attach a power log to.")
    is_whole = True
    for folder in folders:
        try:
            with lock.writing(folder):
                found = attach.attach(folder, recorded)
        except StoreError as error:
            echo(f"error: {error}", err=True)
            is_whole = False
            continue
        echo(f"{folder}: {found}")
        is_whole = is_whole and found.is_whole
        write_page(folder, folder / store.REPORT)
    if not is_whole:
        raise typer.Exit(1)


@app.command()
def record(  # noqa: PLR0913, PLR0917 (options of a command)
    out: Annotated[Path, typer.Option(help="The log, JSON lines; an existing one is continued.")],
    source: Annotated[str | None, typer.Option(help="hwmon, battery or ipmi.")] = None,
    url: Annotated[str | None, typer.Option(help="A smart plug: http://plug/rpc/Switch.GetStatus?id=0")] = None,
    json_path: Annotated[
        str, typer.Option(help="Place of the watts in the plug's answer: apower, StatusSNS.ENERGY.Power")
    ] = "apower",
    rail: Annotated[str | None, typer.Option(help="hwmon: the label of the board's input rail.")] = None,
    root: Annotated[Path | None, typer.Option(help="hwmon or battery: the folder of the sensors.")] = None,
    period: Annotated[float, typer.Option(min=0.05, help="Seconds between samples.")] = 1.0,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many samples.", show_default="at Ctrl-C")
    ] = None,
) -> None:
    """Record a power source until Ctrl-C, as a log that `power attach` and `run --power-log` read."""
    from greenbench.power import recorder

    if (source is None) == (url is None):
        raise InputError("power record: give either --source hwmon|battery|ipmi or --url with a smart plug's address")
    options = {name: str(value) for name, value in (("rail", rail), ("root", root)) if value}
    ask = recorder.plug(url, json_path) if url else recorder.machine(str(source), options)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    echo(f"recording to {out}; Ctrl-C ends it", err=True)
    try:
        n_written = recorder.record(ask, out, period, lambda why: echo(f"no sample: {why}", err=True), samples)
    except KeyboardInterrupt:
        echo("stopped", err=True)
        return
    if samples is not None and n_written < samples:
        echo(f"error: {out}: {n_written} of {samples} samples: the source did not answer in time", err=True)
        raise typer.Exit(1)
