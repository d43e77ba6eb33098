"""The log of a training: a row of CSV for every so many steps."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from greenbench.compress.distill.progress import TrainingRun
from greenbench.files import whole
from greenbench.plugins.events import TrainingLogged

LOG = "log.csv"


def append(run: TrainingRun, losses: Sequence[Mapping[str, float]], wer: float | None) -> None:
    """Append a row to the log, and tell whoever watches."""
    if not run.accelerator.is_main_process:
        return
    means = {name: sum(loss[name] for loss in losses) / len(losses) for name in losses[0]}
    row = {**asdict(run.progress), "lr": run.settings.learning_rate(run.progress.step - 1), **means, "wer": wer}
    path = run.folder / LOG
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(row))
        if is_new:
            writer.writeheader()
        writer.writerow(row)
    run.context.observe(TrainingLogged(row))


def trim(path: Path, step: int) -> None:
    """Take the rows after a step out of a log: those steps are taken again."""
    if not path.exists():
        return
    head, *rows = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) or [""]
    first = [row.partition(",")[0] for row in rows]
    stay = [row for row, at in zip(rows, first, strict=True) if at.isdigit() and int(at) <= step and row.endswith("\n")]
    if stay:
        whole.write(path, "".join([head, *stay]))
    else:
        path.unlink()
