"""Writes the tables of results/README.md from the entries in results/entries: what each variant gained and lost.

Usage: python tools/results_tables.py
"""

import re
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from greenbench import lineage, store
from greenbench.report import bigfoot, compression

ROOT = Path(__file__).parents[1]
ENTRIES = ROOT / "results" / "entries"
README = ROOT / "results" / "README.md"


def markdown(lines: Sequence[Mapping[str, str | None]]) -> str:
    """Return lines of text that share their columns as a table."""
    rows = [list(lines[0]), ["---"] * len(lines[0]), *([value or "–" for value in line.values()] for line in lines)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def section(folder: Path) -> str:
    """Return what one run says: its name, where it was measured, and its tables."""
    run = store.read_run(folder)
    descents = lineage.descents([folder])
    parts = [f"### {run['name']}", f"{run['description']}. Run `{run['run_id']}`."]
    if descents:
        places = {str(d.student.shared["device_name"]) for d in descents}
        parts += [f"Measured on: {', '.join(sorted(places))}.", markdown(compression.table(descents))]
    beside = bigfoot.beside(descents)
    if beside:
        parts += ["Beside the paper:", markdown(beside)]
    return "\n\n".join(parts)


def main() -> None:
    """Rewrite the generated part."""
    with tempfile.TemporaryDirectory() as scratch:
        for entry in sorted(ENTRIES.glob("*.zip")):
            with zipfile.ZipFile(entry) as packed:
                packed.extractall(Path(scratch) / entry.stem)
        told = "\n\n".join(section(folder) for folder in store.runs(Path(scratch)))
    text = README.read_text(encoding="utf-8")
    pattern = r"(<!-- generated: tables -->\n).*?(<!-- end -->)"
    README.write_text(
        re.sub(pattern, lambda found: f"{found[1]}{told}\n{found[2]}", text, flags=re.S), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
