"""Writes the generated parts of all documents: what the program declares, and what committed runs and files hold.

Usage: python tools/readme.py [--picture] (with --picture the quick start's page is photographed, with Chromium).

Nothing is measured: pack new runs with tools/sample_board.py first.
"""

import argparse
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import figures

from greenbench import whole

ROOT = Path(__file__).parents[1]
ASSETS = figures.ASSETS
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "results" / "README.md",
    ASSETS / "README.md",
    ASSETS / "teacher" / "README.md",
    ASSETS / "students" / "README.md",
)
PICTURE = ROOT / "docs" / "quickstart.png"

GENERATED = re.compile(r"(<!-- generated: ([\w-]+) -->)(\n?)(.*?)\n?(<!-- end -->)", re.S)
"""A generated part: a block between lines of its own, or a stretch inside a line (one that begins with it is HTML)."""


def metrics_table() -> str:
    """Return the table of METRICS in Markdown."""
    from greenbench.metrics import METRICS

    rows = [f"| `{name}` | {m.unit} | {m.better} | {m.about} |" for name, m in METRICS.items()]
    return "\n".join(["| metric | unit | better | what |", "|---|---|---|---|", *rows])


def flags_table() -> str:
    """Return the table of FLAGS in Markdown."""
    from greenbench.validity import FLAGS

    return "\n".join(["| flag | what it means |", "|---|---|", *(f"| `{n}` | {text} |" for n, text in FLAGS.items())])


DEFAULT = "publish"
"""The command of a group that may be left out."""


def commands() -> dict[str, Any]:
    """Return the program's commands by name, those of groups as ``group command``."""
    import typer.main

    from greenbench.cli import app

    found: dict[str, Any] = {}
    for name, command in typer.main.get_command(app).commands.items():
        inner = getattr(command, "commands", None) or {"": command}
        found |= {f"{name} {part}".strip() if part != DEFAULT else name: c for part, c in inner.items()}
    return found


def command_help() -> str:
    """Return the commands and options with their help, as the program declares them."""
    lines = ["| command and options | what |", "|---|---|"]
    for name, command in commands().items():
        arguments = [p.name.upper() for p in command.params if p.param_type_name == "argument"]
        lines.append(f"| **`{' '.join(['greenbench', name, *arguments])}`** | {command.help} |")
        options = [p for p in command.params if p.param_type_name == "option"]
        lines += [f"| `{' '.join(p.opts)}` | {p.help}{default(p)} |" for p in options]
    return "\n".join(lines)


def default(option: Any) -> str:
    """Return what an option's help adds about a default that is not a value."""
    return f" [default: {option.show_default}]" if isinstance(option.show_default, str) else ""


DECLARED: Mapping[str, Callable[[], str]] = {"help": command_help, "metrics": metrics_table, "flags": flags_table}
"""Parts that the program itself declares."""


def rewritten(text: str, runs: figures.Runs) -> str:
    """Return a document with each of its generated parts made anew."""
    return GENERATED.sub(lambda found: f"{found[1]}{found[3]}{part(found[2], runs)}{found[3]}{found[5]}", text)


def part(name: str, runs: figures.Runs) -> str:
    """Return one generated part by its name."""
    return DECLARED[name]() if name in DECLARED else figures.PARTS[name](runs)


def parts(text: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the content of each generated part of a document."""
    return ((found[2], found[4]) for found in GENERATED.finditer(text))


def photograph(page: Path) -> None:
    """Take a picture of a page with Chromium."""
    PICTURE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as profile, whole.file(PICTURE) as aside:
        quiet = ("--headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-sync "
                 "--disable-background-networking --virtual-time-budget=8000 --window-size=1280,1500")  # fmt: skip
        shot = [f"--user-data-dir={profile}", f"--screenshot={aside}", page.resolve().as_uri()]
        subprocess.run(["chromium", *quiet.split(), *shot], check=True, capture_output=True)


def main() -> None:
    """Rewrite every document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", action="store_true", help="photograph the quick start's page")
    arguments = parser.parse_args()
    with figures.unpacked() as runs:
        for document in DOCUMENTS:
            whole.write(document, rewritten(document.read_text(encoding="utf-8"), runs))
        if arguments.picture:
            from greenbench.report.pages import write_page

            photograph(write_page(runs.folders["quickstart"], runs.folders["quickstart"] / "report.html"))


if __name__ == "__main__":
    main()
