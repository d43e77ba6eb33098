"""Writes the generated parts of the README: command-line help, the table of metrics, and a real quick-start run.

Usage: python tools/readme.py [--run] (with --run the quick start is measured anew and its picture taken).
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "quickstart.png"


def metrics_table() -> str:
    """Return the table of METRICS in Markdown."""
    from greenbench.metrics import METRICS

    rows = [f"| `{name}` | {m.unit} | {m.better} | {m.about} |" for name, m in METRICS.items()]
    return "\n".join(["| metric | unit | better | what |", "|---|---|---|---|", *rows])


def flags_table() -> str:
    """Return the table of FLAGS in Markdown."""
    from greenbench.validity import FLAGS

    return "\n".join(["| flag | what it means |", "|---|---|", *(f"| `{n}` | {text} |" for n, text in FLAGS.items())])


def commands() -> dict[str, Any]:
    """Return the program's commands by name, those of groups as ``group command``."""
    import typer.main

    from greenbench.cli import app

    found: dict[str, Any] = {}
    for name, command in typer.main.get_command(app).commands.items():
        inner = getattr(command, "commands", None)
        found |= {f"{name} {part}": c for part, c in inner.items()} if inner else {name: command}
    return found


def command_help() -> str:
    """Return the commands and options with their help, as the program declares them."""
    lines = ["| command and options | what |", "|---|---|"]
    for name, command in commands().items():
        arguments = [p.name.upper() for p in command.params if p.param_type_name == "argument"]
        lines.append(f"| **`{' '.join(['greenbench', name, *arguments])}`** | {command.help} |")
        options = [p for p in command.params if p.param_type_name == "option"]
        lines += [f"| `{' '.join(p.opts)}` | {p.help} |" for p in options]
    return "\n".join(lines)


def replace(text: str, part: str, content: str) -> str:
    """Put content between the markers of a generated part."""
    pattern = rf"(<!-- generated: {part} -->\n).*?(<!-- end -->)"
    return re.sub(pattern, lambda found: f"{found[1]}{content}\n{found[2]}", text, flags=re.S)


def quickstart_run() -> str:
    """Run the quick start, take the page's picture, and return the terminal's table."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "greenbench", "run", "suites/quickstart.yaml", "--out", f"{folder}/run"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        photograph(Path(folder) / "run" / "report.html")
    table = done.stdout.split("\npage:")[0].rstrip()
    lines = "\n".join(line.rstrip() for line in table.splitlines())
    return f"```\n{lines}\n```\n\n![The page of the quick start]({PICTURE.relative_to(ROOT)})"


def photograph(page: Path) -> None:
    """Take a picture of a page with Chromium."""
    PICTURE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        quiet = ("--headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-sync "
                 "--disable-background-networking --virtual-time-budget=8000 --window-size=1280,1500")  # fmt: skip
        shot = [f"--user-data-dir={profile}", f"--screenshot={PICTURE}", page.resolve().as_uri()]
        subprocess.run(["chromium", *quiet.split(), *shot], check=True, capture_output=True)


def main() -> None:
    """Rewrite the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", action="store_true", help="measure the quick start anew")
    arguments = parser.parse_args()
    text = README.read_text()
    text = replace(text, "help", command_help())
    text = replace(text, "metrics", metrics_table())
    text = replace(text, "flags", flags_table())
    if arguments.run:
        text = replace(text, "quickstart", quickstart_run())
    README.write_text(text)


if __name__ == "__main__":
    main()
