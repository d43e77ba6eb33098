"""The command line: the only place that prints, and the only one that exits."""

import os
import sys
import warnings
from io import TextIOWrapper
from typing import Annotated

import typer

from greenbench.cli import fleet, power
from greenbench.cli.compressing import cache, compress
from greenbench.cli.console import echo
from greenbench.cli.measuring import doctor, init, list_, run, schema
from greenbench.cli.publishing import leaderboard, merge, submit
from greenbench.cli.results import compare, dashboard, export, lineage, report, rescore, validate
from greenbench.errors import GreenbenchError, UnsavedError
from greenbench.files.unicode import for_terminal

app = typer.Typer(
    name="greenbench",
    help="Measure, and compress, speech recognisers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(power.app, name="power")
app.add_typer(fleet.app, name="fleet")
app.add_typer(leaderboard, name="leaderboard")


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        from greenbench.version import __version__

        echo(f"greenbench {__version__}")
        raise typer.Exit


for command in (
    init, run, list_, doctor, report, dashboard, rescore, validate, export, compress, cache, compare, lineage, schema,
    merge, submit,
):  # fmt: skip
    app.command(command.__name__.rstrip("_"))(command)


def main() -> None:
    """Run the command line; every error a user can meet is one line and an exit code."""
    _read_names_in_utf8()
    _print_anything()
    try:
        app(standalone_mode=True)
    except GreenbenchError as error:
        for line in str(error).splitlines():
            echo(f"error: {line}", err=True)
        if isinstance(error, UnsavedError):
            echo(f"what could not be written:\n{error.unsaved}", err=True, nl=False)
        raise SystemExit(error.exit_code) from None


def _read_names_in_utf8() -> None:
    """Start again in Python's UTF-8 mode where the locale has another encoding: suites name files in UTF-8."""
    is_told = os.environ.get("PYTHONUTF8") == "1"  # and an option of Python's forbids it: once is enough
    if os.name == "posix" and sys.getfilesystemencoding() != "utf-8" and not is_told:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONUTF8": "1"})  # noqa: S606


def _print_anything() -> None:
    """Write as an escape what the output's encoding has not, and a warning as one line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    usual = warnings.formatwarning

    def formatted(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        text = f"warning: {message}\n" if category is UserWarning else usual(message, category, filename, lineno, line)
        return for_terminal(text)

    warnings.formatwarning = formatted
