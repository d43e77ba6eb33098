"""The command line: the only place that prints, and the only one that exits."""

from typing import Annotated

import typer

from greenbench.cli.compressing import cache, compress
from greenbench.cli.measuring import doctor, list_, run, schema
from greenbench.cli.power import app as power_app
from greenbench.cli.publishing import leaderboard, merge, submit
from greenbench.cli.results import compare, dashboard, export, lineage, report, rescore, validate
from greenbench.errors import GreenbenchError

app = typer.Typer(
    name="greenbench",
    help="Measure, and shrink, the footprint of speech recognisers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(power_app, name="power")


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        from greenbench import __version__

        typer.echo(f"greenbench {__version__}")
        raise typer.Exit


for command in (
    run, list_, doctor, report, dashboard, rescore, validate, export, compress, cache, compare, lineage, schema,
    merge, submit, leaderboard,
):  # fmt: skip
    app.command(command.__name__.rstrip("_"))(command)


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
