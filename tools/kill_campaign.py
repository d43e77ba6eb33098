"""Kill commands at random moments of their work on the disk, and check what is left: `python tools/kill_campaign.py`.

Each trial starts from the same old output. A command is killed with SIGKILL, in turn at a step on the disk (an open, a
rename, an exchange, ...) that is drawn from those that it takes when it is left alone, or a few milliseconds after it,
and at a moment drawn from the time that it then takes. What is left must be the old output or the new one, no row that
was shown may be lost, and the same command must succeed.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml

from greenbench.files import whole
from greenbench.models import lineage
from greenbench.results import store

DOCS = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "robustness.md"
BEGIN, END = "<!-- begin: kill campaign -->", "<!-- end: kill campaign -->"

KILLS = {"report": 18, "export": 16, "submit": 16, "merge": 16, "leaderboard": 12, "run": 10, "compress": 12}
STEPS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "greenbench.exchange"}
DELAYS_S = (0.0, 0.0003, 0.002)
N_TRIES = 8
"""How often a kill is tried that comes too late, as the command was quicker this time; each one a third earlier."""

LOADED = ("greenbench.cli", "greenbench.leaderboard", "greenbench.report.pages", "greenbench.sharing.submission",
          "greenbench.export.tables", "pandas", "jinja2", "scipy.stats")  # fmt: skip

_DATES = re.compile(rb"\d{4}-\d\d-\d\d(T[\d:+.Z]+)?|[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f-]{22}")
"""What may differ from one publication to the next: when it was made."""


@dataclass
class Tally:
    """What came of the kills of one command."""

    kills: int = 0
    old: int = 0
    new: int = 0
    begun: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Kill:
    """When a command is killed: ``after_s`` after its step on the disk, or after its start where that is 0."""

    step: int
    after_s: float


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code, steps on the disk, rows or training steps that it showed, and seconds."""

    code: int
    n_steps: int
    n_shown: int
    seconds: float


@dataclass(frozen=True)
class Trial:
    """A command, where it writes, and how what is there is judged."""

    arguments: tuple[str, ...]
    place: Path
    old: Callable[[], None]
    state: Callable[[], Any]


def main() -> None:
    """Run the campaign, print its table, and exit with 1 where anything was not whole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, help="of each command, instead of the usual number")
    parser.add_argument("--only", default=",".join(KILLS), help="commands, separated by commas")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--machine", help="write the table into docs/explanation/robustness.md, under this name of the machine"
    )
    asked = parser.parse_args()
    names = asked.only.split(",")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {"GREENBENCH_CACHE": f"{scratch}/cache", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        trials = prepare(Path(scratch), names)
        dice = random.Random(asked.seed)
        found = {name: campaign(name, trials[name], asked.kills or KILLS[name], dice) for name in names}
    text = table(found)
    print(text)
    if asked.machine:
        before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
        whole.write(
            DOCS, f"{before}{BEGIN}\nOn {asked.machine}, seed {asked.seed}:\n\n{text}\n{END}{rest.partition(END)[2]}"
        )
    raise SystemExit(any(tally.faults for tally in found.values()))


def table(found: Mapping[str, Tally]) -> str:
    """Return the table in Markdown."""
    lines = [
        "| command | kills | old output | new output | part of a run or training | faults |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    rows = [*found.items()]
    rows += [("all", Tally(*(sum(getattr(t, n) for t in found.values()) for n in ("kills", "old", "new", "begun")),
                           [fault for t in found.values() for fault in t.faults]))]  # fmt: skip
    lines += [f"| {name} | {t.kills} | {t.old} | {t.new} | {t.begun} | {len(t.faults)} |" for name, t in rows]
    return "\n".join(lines)


# --- one command -----------------------------------------------------------------------------------------


def campaign(name: str, trial: Trial, n_kills: int, dice: random.Random) -> Tally:
    """Kill one command again and again."""
    trial.old()
    old = trial.state()
    command(trial, None)  # the first one reads every file from the disk
    trial.old()
    alone = command(trial, None)
    new, tally = trial.state(), Tally()
    if alone.code or old == new or not alone.n_steps:
        raise SystemExit(f"{name}: cannot be judged: exit code {alone.code}, {alone.n_steps} steps on the disk")
    for number, kill in enumerate(kills(alone, n_kills, dice)):
        ended = killed(trial, kill)
        left, what = trial.state(), f"{name}, kill {number} at {kill} of {alone}"
        tally.kills += ended.code == -signal.SIGKILL
        if left in (old, new):
            tally.old, tally.new = tally.old + (left == old), tally.new + (left == new)
        elif isinstance(left, Progress) and left.n_shown >= ended.n_shown:
            tally.begun += 1
        else:
            tally.faults.append(f"{what}: neither old nor new: {str(left)[:200]}")
        if command(trial, None).code or trial.state() != new:
            tally.faults.append(f"{what}: the command repeated does not end in the new output")
        print(f"{what}: {ended.code}, {describe(left, old, new)}", *tally.faults[-1:], file=sys.stderr, flush=True)
    return tally


def describe(left: Any, old: Any, new: Any) -> str:
    """Name a state in the log."""
    return "old" if left == old else "new" if left == new else str(left)[:60]


def kills(alone: Ended, n_kills: int, dice: random.Random) -> Iterator[Kill]:
    """Yield kills that are spread over a command's steps on the disk and, every second one, over its time."""
    for number in range(n_kills):
        part = (number + dice.random()) / n_kills
        if number % 2:
            yield Kill(0, part * alone.seconds)
        else:
            yield Kill(1 + int(part * alone.n_steps), dice.choice(DELAYS_S))


def killed(trial: Trial, kill: Kill) -> Ended:
    """Run a command from the old output until it is killed; one that ended before is run again, and killed earlier."""
    for number in range(N_TRIES):
        trial.old()
        at = kill if kill.step else replace(kill, after_s=kill.after_s * (2 / 3) ** number)
        ended = command(trial, at)
        if ended.code == -signal.SIGKILL:
            break
    return ended


def command(trial: Trial, kill: Kill | None) -> Ended:
    """Run a command in a fork, to its end or its kill."""
    with tempfile.TemporaryDirectory() as folder:
        log, count = Path(folder, "log"), Path(folder, "count")
        log.touch()
        start = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _child(trial, kill, log, count)
        code = _wait(pid, kill)
        seconds, text = time.monotonic() - start, log.read_text(encoding="utf-8", errors="replace")
        if code > 0:
            print(text[-3000:], file=sys.stderr)
        n_steps = len(count.read_bytes()) if count.exists() else 0
        return Ended(code, n_steps, len(re.findall(r"^\s+(?:repeat|step) \d", text, re.M)), seconds)


def _wait(pid: int, kill: Kill | None) -> int:
    """Return the exit code of a fork, which is killed from here where it is a matter of time."""
    timer = threading.Timer(kill.after_s, os.kill, (pid, signal.SIGKILL)) if kill and not kill.step else None
    if timer:
        timer.start()
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # its id stays taken until the timer is off
    if timer:
        timer.cancel()
        timer.join()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _child(trial: Trial, kill: Kill | None, log: Path, count: Path) -> None:
    """Count each step on the disk that has to do with the output, and die at the one that was drawn, if any."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    steps = os.open(count, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in STEPS and trial.place.name in str(arguments[0]) + str(arguments[1:2]):
            seen += 1
            os.write(steps, b".")
            if kill and seen == kill.step:
                end = lambda: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
                threading.Timer(kill.after_s, end).start() if kill.after_s else end()

    sys.addaudithook(hook)
    sys.argv = ["greenbench", *trial.arguments]
    code = 1
    try:
        from greenbench.cli import main as greenbench

        greenbench()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException:
        traceback.print_exc()  # what a fork would keep to itself
    finally:
        if kill and kill.after_s and seen >= kill.step > 0:
            time.sleep(1)  # the timer has not fired yet
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


# --- what is killed --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    """What is neither old nor new and yet whole: a run under way with its rows, a training with its checkpoint.

    Attributes:
        n_shown: rows, or steps of a training, that may have been shown.
    """

    n_shown: int


def prepare(home: Path, names: list[str]) -> dict[str, Trial]:
    """Make speech, two runs and their outputs, and return what is to be killed."""
    for module in LOADED + (("torch", "transformers", "accelerate") if "compress" in names else ()):
        import_module(module)  # once, and not in each fork
    suite = _suite(home)
    first, second = home / "results" / "first", home / "results" / "second"
    with _peaks_at_hand():
        for out in (first, second):
            _done("run", str(suite), "--out", str(out))
    both = (str(first), str(second))
    made = {
        "report": _outputs(home / "page.html", lambda out: ("report", *both, "--out", out), ("report", str(first))),
        "export": _outputs(home / "rows.csv",
                           lambda out: ("export", str(home / "results"), "--format", "csv", "--out", out),
                           ("export", str(first), "--format", "csv")),
        "submit": _outputs(home / "entry.zip", lambda out: ("submit", *both, "--yes", "--out", out),
                           ("submit", str(first), "--yes")),
        "leaderboard": _outputs(home / "the-site", lambda out: ("leaderboard", *both, "--out", out),
                                ("leaderboard", str(first))),
        "merge": Trial(("merge", *both, "--out", str(home / "merged")), home / "merged",
                       lambda: shutil.rmtree(home / "merged", ignore_errors=True), lambda: tree(home / "merged")),
        "run": Trial(("run", str(suite), "--out", str(home / "third"), "--resume"), home / "third",
                     lambda: shutil.rmtree(home / "third", ignore_errors=True), lambda: _run_state(home / "third")),
    }  # fmt: skip
    if "compress" in names:
        out = home / "student"
        order = ("compress", str(_recipe(home)), "--out", str(out))
        made["compress"] = Trial(
            order, out, lambda: shutil.rmtree(out, ignore_errors=True), lambda: _student_state(out)
        )
    return made


def _outputs(place: Path, arguments: Callable[[str], tuple[str, ...]], before: tuple[str, ...]) -> Trial:
    """Return a command whose old output is that of another one."""
    kept = place.with_name(f"old-{place.name}") if place.suffix else place.with_name(f"old-{place.name}-kept")

    def old() -> None:
        if not kept.exists():
            _done(*before, "--out", str(kept))
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
        shutil.copytree(kept, place) if kept.is_dir() else whole.write(place, kept.read_bytes())

    return Trial(arguments(str(place)), place, old, lambda: tree(place))


def tree(place: Path) -> dict[str, bytes]:
    """Return the content of a file, or of every file of a folder, without dates."""
    files = (
        [path for path in place.rglob("*") if path.is_file()] if place.is_dir() else [place] if place.exists() else []
    )
    return {str(path.relative_to(place)): _DATES.sub(b"", path.read_bytes()) for path in sorted(files)}


def _run_state(out: Path) -> Any:
    """Return "none", the keys of a run that is complete, or how many whole rows it has so far."""
    if not (out / "run.json").exists():
        return "none"
    json.loads((out / "run.json").read_bytes())
    lines = (out / "records.jsonl").read_bytes().splitlines() if (out / "records.jsonl").exists() else []
    rows = [json.loads(line) for line in lines if line.endswith(b"}")]
    # A cell of which not all repeats were measured is measured again from its first: every reader takes the last row.
    rows = store.current(rows)
    keys = sorted(str((row["variant"], row["batch_size"], row["round"], row["repeat"])) for row in rows)
    page = out / "report.html"
    is_done = len(keys) == N_ROWS and page.exists() and page.read_bytes().rstrip().endswith(b"</html>")
    return keys if is_done else Progress(len(keys))


def _student_state(out: Path) -> Any:
    """Return "none", the weights of a student that is complete, or how many steps of its training may be shown."""
    if not out.exists() or not any(path for path in out.rglob("*") if path.is_file() and path.name != ".lock"):
        return "none"
    known = {path.name for path in out.iterdir()} - {"training"}
    if not known:
        steps = [int(path.parent.name.rpartition("-")[2]) for path in out.glob("training/*/checkpoint-*/state.json")]
        return Progress(max(steps, default=0) + 1)  # a step is shown before its checkpoint is complete
    steps = lineage.read(str(out)).steps
    complete = {"config.json", "model.safetensors", "greenbench.json", "preprocessor_config.json"} <= known
    return (out / "model.safetensors").read_bytes() if complete and steps else f"half: {sorted(known)}"


N_ROWS = 2


def _done(*arguments: str) -> None:
    """Run a command whose success is a condition."""
    trial = Trial(arguments, Path("no such place"), lambda: None, lambda: None)
    if command(trial, None).code:
        raise SystemExit(f"greenbench {' '.join(arguments)}: failed")


@contextmanager
def _peaks_at_hand() -> Iterator[None]:
    """Put peaks into the campaign's own cache: to measure them takes long and is not what is killed."""
    from greenbench import cache
    from greenbench.hardware import environment
    from greenbench.harness import kept_peaks

    run = {"machine": environment.machine(), "versions": environment.versions()}
    content = {"macs_per_s": {"fp32": 1e12}, "bytes_per_s": 1e11, "foreign_pct": 0.0}
    for threads in {1, 2, environment.usable_cpus()}:
        text = json.dumps(content | {"threads": threads})
        cache.artefact(kept_peaks.about(run, "cpu", threads), lambda aside, text=text: _put(aside, text))
    yield


def _put(aside: Path, text: str) -> None:
    (aside / "peaks.json").write_text(text, encoding="utf-8")


def _suite(home: Path) -> Path:
    """Write eight tones, their manifest, and a suite of the null family that takes a moment."""
    lines = []
    for number in range(8):
        tone = 0.1 * np.sin(2 * np.pi * (200 + 50 * number) * np.arange(16_000 + 1600 * number) / 16_000)
        soundfile.write(home / f"{number}.wav", tone.astype("float32"), 16_000)
        lines.append(
            json.dumps({"audio_filepath": f"{number}.wav", "text": f"TONE NUMBER {number}", "id": str(number)})
        )
    whole.write(home / "tones.jsonl", "\n".join(lines))
    content = {
        "name": "killed", "protocol": {"use": "quick", "repeats": 2, "window_s": 0.1, "idle_s": 0, "resamples": 100},
        "datasets": [{"use": "manifest", "path": "tones.jsonl"}], "variants": ["null/rtfx-100"], "control": False,
    }  # fmt: skip
    whole.write(home / "suite.yaml", yaml.safe_dump(content))
    return home / "suite.yaml"


def _recipe(home: Path) -> Path:
    """Write a recipe of a teacher with random weights, two layers deep, whose student trains for four steps."""
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
             "vocab_size": 32, "conv_dim": [32] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2,
             "model_type": "wav2vec2", "architectures": ["Wav2Vec2ForCTC"]}  # fmt: skip
    (home / "small").mkdir()
    whole.write(home / "small" / "config.json", json.dumps(small))
    distill = {"use": "distill", "steps": 4, "batch_s": 4, "log_every": 1, "validate_every": 1, "lr": 1e-3}
    content = {
        "name": "student", "teacher": {"use": "wav2vec2", "config": "small", "weights": "random", "name": "small"},
        "train": [{"use": "manifest", "path": "tones.jsonl"}], "validation_share": 0,
        "steps": [{"use": "layer-drop", "keep": 1}, distill],
    }  # fmt: skip
    whole.write(home / "recipe.yaml", yaml.safe_dump(content))
    return home / "recipe.yaml"


if __name__ == "__main__":
    main()
