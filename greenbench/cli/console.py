"""What reaches the terminal: text whose control characters are escapes, whoever wrote it."""

import os
from typing import Any

import typer

from greenbench.files.unicode import for_terminal


def echo(text: Any = "", err: bool = False, nl: bool = True) -> None:
    """Print a text, on standard error if asked; JSON stays the same JSON."""
    typer.echo(for_terminal(str(text)), err=err, nl=nl)


def styled(text: str, **style: Any) -> None:
    """Print a text in bold or a colour, where the terminal has them and NO_COLOR (no-color.org) does not forbid it."""
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    typer.echo(for_terminal(text) if is_plain or not any(style.values()) else typer.style(for_terminal(text), **style))
