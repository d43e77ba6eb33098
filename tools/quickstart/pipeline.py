"""Make the quick start anew, stage by stage: corpus, train, average, evaluate, plot, ship.

A stage that is done is not done again; one that was interrupted goes on where it was when the same command is given
again. What each stage said is in `logs/`, its seconds in `done/`. To do one again, remove its file in `done/`.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from greenbench.files import whole

HERE = Path(__file__).resolve().parent
ASSETS = HERE.parents[1] / "greenbench" / "assets" / "quickstart"
BEGUN = HERE / "begun"
"""The teacher after the stages so far, and their log: its training goes on from there."""

STAGE = "11-voices"
"""The next stage of its training."""

TRAINING = (
    "--max-s 8 --batch-s 30 --lr 6e-4 --warmup 100 --decay 0.8 --codes 0.22 --robots 0.12 --warp 0.1 --strength 0.7 "
    "--spec-augment 0.03 --seed 11"
)
"""How that stage is trained."""

Command = list[str]


@dataclass(frozen=True)
class Size:
    """How much is made.

    Attributes:
        parts: sentences, compound sentences and codes of each part; of the evaluation set, of each voice.
        corpus_minutes: how long Kokoro may read training speech.
        train_minutes: how long the teacher is trained.
        keep_every: steps between two validations.
    """

    parts: dict[str, tuple[int, int, int]]
    corpus_minutes: float
    train_minutes: float
    keep_every: int


FULL = Size(
    parts={
        "evaluation": (8, 2, 2),
        "unlabelled": (360, 120, 120),
        "valid-kokoro": (90, 30, 40),
        "valid-unseen-kokoro": (60, 20, 30),
        "train-robots": (3000, 800, 1200),
        "train-kokoro": (6500, 1800, 2700),
    },
    corpus_minutes=45,
    train_minutes=60,
    keep_every=500,
)
SMALL = Size(
    parts={
        "evaluation": (1, 0, 0),
        "unlabelled": (4, 1, 1),
        "valid-kokoro": (4, 1, 1),
        "valid-unseen-kokoro": (3, 1, 1),
        "train-robots": (120, 20, 40),
        "train-kokoro": (40, 5, 10),
    },
    corpus_minutes=1,
    train_minutes=0.5,
    keep_every=10,
)


def stages(size: Size, made: Path, assets: Path, an4: Path | None) -> dict[str, list[Command]]:
    """Return the commands of every stage, in order.

    Args:
        size: how much is made.
        made: folder of everything that is made.
        assets: where it ships in the end.
        an4: folder of AN4, where there is one.
    """
    human = ["--an4", str(an4)] if an4 else []
    staged, teacher, scratch = made / "assets", str(made / "assets" / "teacher"), ["--scratch", str(made)]
    evaluation = ["--evaluation", str(staged / "evaluation" / "manifest.jsonl")]
    more = {"train-kokoro": ["--minutes", str(size.corpus_minutes)], "train-robots": ["--seed", "1"]}
    corpus = [
        [
            *("make_corpus.py", part, *scratch, "--assets", str(staged), *more.get(part, [])),
            *("--sentences", str(sentences), "--compounds", str(compounds), "--codes", str(codes)),
        ]
        for part, (sentences, compounds, codes) in size.parts.items()
    ]
    before, after = made / "before", made / STAGE
    train = ["train_teacher.py", str(after), "--init", str(before), *scratch, *human]
    train += ["--minutes", str(size.train_minutes), "--keep-every", str(size.keep_every), *TRAINING.split()]
    train += ["--human", "0.15"] if an4 else []
    average = ["average_teachers.py", str(before), str(after / "model"), teacher, "--share", "0.6", "0.8", "1"]
    logs = [str(before / "training.csv"), str(after / "log.csv")]
    return {
        "corpus": corpus,
        "train": [train],
        "average": [[*average, *scratch, *human]],
        "evaluate": [["evaluate_teacher.py", "--teacher", teacher, *evaluation, *human]],
        "plot": [["plot_log.py", "--log", f"{teacher}/training.csv", "--join", *logs]],
        "ship": [["ship_teacher.py", str(staged), "--assets", str(assets)]],
    }


def run(name: str, commands: Sequence[Command], made: Path) -> None:
    """Run a stage unless it is done, and say how long it took."""
    done, log = made / "done" / name, made / "logs" / f"{name}.log"
    if done.exists():
        print(f"{name}: done before, in {done.read_text(encoding='utf-8').strip()}", flush=True)
        return
    done.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    started_s = time.monotonic()
    print(f"{time.strftime('%H:%M:%S')} {name}: see {log}", flush=True)
    with log.open("a", encoding="utf-8") as said:
        for script, *words in commands:
            said.write(f"$ python {script} {' '.join(words)}\n")
            said.flush()
            ended = subprocess.run([sys.executable, HERE / script, *words], stdout=said, stderr=said, check=False)
            if ended.returncode != 0:
                raise SystemExit(f"{name}: {script} ended with {ended.returncode}: the end of {log} says why")
    whole.write(done, f"{time.monotonic() - started_s:.0f} s\n")


def main() -> None:
    """Run the stages."""
    names = list(stages(SMALL, Path(), Path(), None))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", choices=[*names, []], help="in this order; all where none is named")
    parser.add_argument("--small", action="store_true", help="a few sentences through every stage; ships nowhere")
    parser.add_argument("--made", type=Path, help="folder of everything that is made")
    parser.add_argument("--an4", type=Path, help="folder of AN4 with train.jsonl and test.jsonl")
    args = parser.parse_args()
    made = (args.made or HERE / "build" / ("small" if args.small else "quickstart")).resolve()
    plan = stages(
        SMALL if args.small else FULL, made, made / "shipped" if args.small else ASSETS, args.an4 and args.an4.resolve()
    )
    if not (made / "before").exists():
        with whole.folder(made / "before") as aside:
            shutil.copytree(BEGUN, aside, dirs_exist_ok=True)
    for name in args.stages or names:
        run(name, plan[name], made)


if __name__ == "__main__":
    main()
