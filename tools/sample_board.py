"""Rebuilds the sample board: packs runs as entries in results/entries, and publishes those to results/board.

Usage: python tools/sample_board.py [--run] [RUNS ...]

Without runs the entries that are there are published anew. With --run the quick start is measured first, in several
processes a cell, which takes a quiet machine and some minutes. An entry is called after its run: delete what a new run
replaces. The picture for the README is taken where Chromium is installed.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENTRIES = ROOT / "results" / "entries"
BOARD = ROOT / "results" / "board"
PICTURE = ROOT / "docs" / "leaderboard.png"
TITLE = "greenbench sample board"
ROUNDS = ("protocol.rounds=3", "protocol.repeats=1")


def measure(folder: Path) -> Path:
    """Run the quick start so that it can be ranked: several processes a cell."""
    command = [sys.executable, "-m", "greenbench", "run", "suites/quickstart.yaml", "--out", str(folder / "run")]
    subprocess.run([*command, *(part for change in ROUNDS for part in ("--set", change))], cwd=ROOT, check=True)
    return folder / "run"


def pack(runs: list[Path]) -> None:
    """Pack every run as an entry of its name."""
    from greenbench.results import store
    from greenbench.sharing.submission import pack as pack_entry

    found = [run for folder in runs for run in store.runs(folder)]
    for run in found:
        packed = pack_entry([run], ENTRIES / f"{store.read_run(run)['run_id']}.zip")
        print(f"packed {packed.path.relative_to(ROOT)}: {packed.digest}")


def photograph() -> None:
    """Take a picture of the first page, where there is a browser."""
    browser = shutil.which("chromium")
    if browser is None:
        print("no chromium here, so no picture was taken")
        return
    with tempfile.TemporaryDirectory() as profile:
        quiet = ("--headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-sync "
                 "--disable-background-networking --window-size=1100,900")  # fmt: skip
        shot = [f"--user-data-dir={profile}", f"--screenshot={PICTURE}", (BOARD / "index.html").resolve().as_uri()]
        subprocess.run([browser, *quiet.split(), *shot], check=True, capture_output=True)


def main() -> None:
    """Pack, publish and photograph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, help="folders of runs, or parents of such folders")
    parser.add_argument("--run", action="store_true", help="measure the quick start first")
    arguments = parser.parse_args()
    from greenbench.leaderboard import publish

    with tempfile.TemporaryDirectory() as folder:
        pack([*arguments.runs, *([measure(Path(folder))] if arguments.run else [])])
    published = publish([ENTRIES], BOARD, title=TITLE)
    for refused in published.refused:
        print(f"refused: {refused.what}: {refused.reason}")
    print(f"{published.index.relative_to(ROOT)}: {published.n_ranked} ranked, {published.n_unranked} not ranked")
    photograph()


if __name__ == "__main__":
    main()
