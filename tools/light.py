"""Show what the base weighs and does: a wheel in a fresh environment, its size by package, its commands on an entry.

Run as ``python tools/light.py [--keep FOLDER]``; it needs pip's usual index. What counts is every file that pip unpacks
from the wheels of greenbench and its dependencies. pip itself does not, nor the bytecode that Python can make of them
at any time; its size is printed too. greenbench's own speech and models, for the quick start, are a line of their own.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import venv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from greenbench.files import whole

ROOT = Path(__file__).parents[1]

GOAL_MB, LIMIT_MB = 150.0, 155.0
"""What the base should take, and what it may take at most, for numpy and pandas grow from release to release."""

ABSENT = (
    "torch",
    "transformers",
    "codecarbon",
    "onnxruntime",
    "openvino",
    "faster_whisper",
    "accelerate",
    "plotly",
    "pooch",
)

SIZES = """
import collections, importlib.metadata, json, pathlib
found = {}
for package in importlib.metadata.distributions():
    sizes = collections.Counter()
    for file in package.files or ():
        path = pathlib.Path(package.locate_file(file))
        if path.is_file():
            kind = "bytecode" if path.suffix == ".pyc" else "bundled" if "assets/quickstart/" in str(file) else "files"
            sizes[kind] += path.stat().st_size
    found[package.metadata["Name"]] = sizes
print(json.dumps(found))
"""


def main() -> None:
    """Build, install, weigh and run; exit code 1 where the base is too heavy, or a command fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="where the environment stays; else it is removed")
    with tempfile.TemporaryDirectory() as scratch:
        folder = parser.parse_args().keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        python = install(folder)
        n_mb = weigh(python)
        absent(python)
        run_all(python, folder / "work")
    print(f"the base takes {n_mb:.1f} MB; the goal is {GOAL_MB:.0f}")
    raise SystemExit(n_mb > LIMIT_MB)


def install(folder: Path) -> Path:
    """Build the wheel, install it into a fresh environment without any extra, and return its Python."""
    call([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder / "dist", ROOT])
    venv.create(folder / "env", with_pip=True, clear=True)
    python = folder / "env" / "bin" / "python"
    (wheel,) = (folder / "dist").glob("greenbench-*.whl")
    call([python, "-m", "pip", "install", "-q", wheel])
    return python


def weigh(python: Path) -> float:
    """Print the size of each package in MB (1e6 bytes), and return that of what counts."""
    sizes: Mapping[str, Counter[str]] = json.loads(call([python, "-c", SIZES]))
    counted = {name: kinds for name, kinds in sizes.items() if name not in ("pip", "setuptools")}
    print("    MB  package")
    for name, kinds in sorted(counted.items(), key=lambda item: -item[1].get("files", 0)):
        print(f"{kinds.get('files', 0) / 1e6:6.1f}  {name}")
    totals = {kind: sum(kinds.get(kind, 0) for kinds in counted.values()) / 1e6
              for kind in ("files", "bundled", "bytecode")}  # fmt: skip
    print(f"{totals['files']:6.1f}  the base, without")
    print(f"{totals['bundled']:6.1f}  speech and models of the quick start, and")
    print(f"{totals['bytecode']:6.1f}  bytecode made by pip")
    return totals["files"]


def absent(python: Path) -> None:
    """Check that nothing heavy came along."""
    code = f"import importlib.util as u; print([name for name in {ABSENT} if u.find_spec(name)])"
    found = call([python, "-c", code]).strip()
    if found != "[]":
        raise SystemExit(f"the base has brought {found}")
    print(f"absent: {', '.join(ABSENT)}")


def run_all(python: Path, folder: Path) -> None:
    """Run each command of the base on a committed entry."""
    folder.mkdir(exist_ok=True)
    (entry,) = (ROOT / "results" / "entries").glob("quickstart*.zip")
    call([sys.executable, "-m", "zipfile", "-e", entry, folder / "runs"])
    (run,) = (folder / "runs").glob("quickstart*")
    suite = {"name": "null", "datasets": ["quickstart"], "variants": ["null/instant"]}
    whole.write(folder / "suite.yaml", json.dumps(suite))
    teacher, build = f"{run}:wav2vec2/quickstart", f"{run}:wav2vec2/quickstart+bf16"
    for line in (
        ["run", "suite.yaml", "--dry-run"], ["list", "variants"], ["list", "methods"], ["compare", teacher, build],
        ["report", run, "--out", "page.html"], ["lineage", run], ["validate", run],
        ["rescore", run, "--normalizer", "librispeech"], ["merge", run, "--out", "merged"],
        ["submit", run, "--out", "entry.zip", "--yes"], ["leaderboard", entry, "--out", "board"],
        ["export", run, "--format", "csv", "--out", "rows.csv"],
    ):  # fmt: skip
        call([python, "-m", "greenbench", *line], folder)
        print(f"ok: greenbench {line[0]} {line[1] if line[0] in ('list', 'run') else ''}".rstrip())
    dashboard(python, run, folder)
    refused(python, folder)


def dashboard(python: Path, run: Path, folder: Path) -> None:
    """Ask the live page for itself."""
    command = [str(part) for part in (python, "-m", "greenbench", "dashboard", run, "--port", "0")]
    served = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, encoding="utf-8", env=environment())
    late = threading.Timer(300, served.kill)
    late.start()
    try:
        assert served.stdout is not None
        url = served.stdout.readline().split(": ", 1)[1].split()[0]
        with urllib.request.urlopen(url) as answer:  # noqa: S310  our own server
            assert b"greenbench" in answer.read()
    finally:
        late.cancel()
        served.terminate()
        served.wait()
    print("ok: greenbench dashboard")


def refused(python: Path, folder: Path) -> None:
    """Ask for a measurement that needs torch: one line, and nothing is written."""
    done = subprocess.run([python, "-m", "greenbench", "run"], cwd=folder, capture_output=True, encoding="utf-8",
                          env=environment(), check=False)  # fmt: skip
    if done.returncode != 1 or done.stderr.count("\n") != 1 or "greenbench[torch]" not in done.stderr:
        raise SystemExit(f"greenbench run: exit code {done.returncode}, and it said: {done.stderr}")
    print(f"ok: greenbench run is refused: {done.stderr.strip()}")


def environment() -> dict[str, str]:
    """Return the variables of what is run: its output comes at once, and nothing outside its environment is found."""
    return {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": ""}


def call(command: Sequence[str | Path], folder: Path = ROOT) -> str:
    """Run a command and return what it printed; its failure ends this script with what it said."""
    start = time.monotonic()
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, encoding="utf-8", env=environment(),
                          check=False)  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{command} failed after {time.monotonic() - start:.0f} s:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
