"""Writes the generated parts of all documents: what the program declares, and what committed runs and files hold.

Usage: python tools/readme.py [--picture] (with --picture the quick start's page is photographed, with Chromium).

Nothing is measured: pack new runs with tools/sample_board.py first.
"""

import argparse
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, distribution
from pathlib import Path

import figures
import reference

from greenbench.files import whole

ROOT = Path(__file__).parents[1]
ASSETS = figures.ASSETS
DOCUMENTS = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "results" / "README.md",
    ASSETS / "README.md",
    ASSETS / "teacher" / "README.md",
    ASSETS / "students" / "README.md",
)
PICTURE = ROOT / "docs" / "quickstart.png"

GENERATED = re.compile(r"(<!-- generated: ([\w-]+) -->)(\n?)\n?(.*?)\n*(<!-- end -->)", re.S)
"""A generated part: a block between lines of its own, or a stretch inside a line (one that begins with it is HTML)."""


def rewritten(text: str, runs: figures.Runs) -> str:
    """Return a document with each of its generated parts made anew."""
    return GENERATED.sub(lambda found: f"{found[1]}{_apart(part(found[2], runs), found[3])}{found[5]}", text)


def _apart(content: str, line_end: str) -> str:
    """Return a block between blank lines, which Markdown needs around tables beside comments, a stretch as it is."""
    return f"\n\n{content}\n\n" if line_end and content else line_end + content


def part(name: str, runs: figures.Runs) -> str:
    """Return one generated part by its name."""
    return reference.PARTS[name]() if name in reference.PARTS else figures.PARTS[name](runs)


def parts(text: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the content of each generated part of a document."""
    return ((found[2], found[4]) for found in GENERATED.finditer(text))


def photograph(page: Path) -> None:
    """Take a picture of a page with Chromium."""
    PICTURE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        taken = Path(profile) / PICTURE.name  # Chromium writes to no other ending
        quiet = ("--headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-sync "
                 "--disable-background-networking --virtual-time-budget=8000 --window-size=1280,1500")  # fmt: skip
        shot = [f"--user-data-dir={profile}", f"--screenshot={taken}", page.resolve().as_uri()]
        subprocess.run(["chromium", *quiet.split(), *shot], check=True, capture_output=True)
        whole.write(PICTURE, taken.read_bytes())


def lacking(entry_points: Iterable[EntryPoint]) -> list[str]:
    """Return the plug-ins that pyproject.toml declares and an installation from before them lacks."""
    declared = re.findall(r'^([\w-]+) = "(greenbench[\w.]*:\w+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.M)
    return sorted(name for name, _ in set(declared) - {(one.name, one.value) for one in entry_points})


def main() -> None:
    """Rewrite every document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", action="store_true", help="photograph the quick start's page")
    arguments = parser.parse_args()
    if missing := lacking(distribution("greenbench").entry_points):
        parser.error(f"greenbench was installed before {', '.join(missing)}: install it again (pip install -e .)")
    with figures.unpacked() as runs:
        for document in DOCUMENTS:
            whole.write(document, rewritten(document.read_text(encoding="utf-8"), runs))
        if arguments.picture and runs.quickstart is not None:
            from greenbench.report.pages import write_page

            photograph(write_page(runs.quickstart, runs.quickstart / "report.html"))


if __name__ == "__main__":
    main()
