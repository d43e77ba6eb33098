"""How far a training has come, and the checkpoint to go on from: it appears whole, and goes once the next is there."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from greenbench.compress.distill.companion import Companion
from greenbench.compress.distill.settings import TrainingSettings
from greenbench.compress.distill.teacher import Teacher
from greenbench.compress.distill.trunk import Trunk
from greenbench.errors import StoreError, words
from greenbench.files import readback, whole
from greenbench.files.forms import count, form, number, one_of, or_null, record
from greenbench.models import shared
from greenbench.models.hooks import attached
from greenbench.plugins import METHODS, Context, Meter

BEST, STATE = "best.pt", "state.json"
"""Within a checkpoint: the weights where they read best so far, and how far the training has come."""

CHECKPOINT = "checkpoint-{:08d}"
"""Folder of a checkpoint by its step: it gets this name once it is complete, and the one before goes after that."""

_UNFINISHED = "checkpoint.tmp"

_BEGIN = "Delete the folder {}, and the training begins anew."

_PROGRESS = form(record({
    "step": count(), "best_step": count(), "audio_s": number(0), "wall_s": number(0), "energy_j": or_null(number(0)),
    "energy_method": or_null(one_of(METHODS)), "best_wer": or_null(number(0)),
}))  # fmt: skip


@dataclass
class TrainingState:
    """How far a training has come; kept with each checkpoint.

    Attributes:
        step: optimiser steps taken.
        audio_s: seconds of speech trained on, padding left out.
        wall_s: of training and validation.
        energy_j: gross joules of it; None where no meter answers.
        energy_method: ``counter``, ``sampled`` or ``estimated``.
        best_wer: lowest WER on the validation speech.
        best_step: where that was.
    """

    step: int = 0
    audio_s: float = 0.0
    wall_s: float = 0.0
    energy_j: float | None = 0.0
    energy_method: str | None = None
    best_wer: float | None = None
    best_step: int = 0


@dataclass
class TrainingRun:
    """One training under way.

    Attributes:
        teachers: models to learn from, the first one first.
        rates: highest learning rate of each parameter group of the optimiser.
        trunk: what a frozen trunk gives; None where the student runs.
    """

    settings: TrainingSettings
    context: Context
    accelerator: Any
    student: Any
    optimizer: Any
    teachers: Sequence[Teacher]
    meters: Sequence[Meter]
    companions: Sequence[Companion]
    rates: Sequence[float]
    progress: TrainingState = field(default_factory=TrainingState)
    trunk: Trunk | None = None

    @property
    def folder(self) -> Path:
        """Where checkpoints and the log are."""
        assert self.context.folder is not None
        return self.context.folder


def progress(checkpoint: Path) -> TrainingState:
    """Return how far a training had come at a checkpoint.

    Raises:
        StoreError: its ``STATE`` is damaged.
    """
    try:
        content = readback.read_object(checkpoint / STATE, _PROGRESS)
    except StoreError as error:
        raise StoreError(f"{error}. {_BEGIN.format(checkpoint)}") from error
    return TrainingState(**{of.name: content[of.name] for of in fields(TrainingState)})


def loaded(path: Path, load: Callable[[], Any]) -> None:
    """Load weights or the state of an optimiser.

    Raises:
        StoreError: they are damaged, or of another model.
    """
    try:
        load()
    except Exception as error:  # of torch, pickle, zip archives or safetensors
        folder = path if path.is_dir() else path.parent
        cause = f"{type(error).__name__}: {words(error)[:200]}"
        raise StoreError(f"{path}: the checkpoint cannot be read ({cause}). {_BEGIN.format(folder)}") from error


def keep(run: TrainingRun, wer: float | None) -> None:
    """Keep the state to resume from, and the weights where they read best so far, before the last ones go."""
    main, before, now = run.accelerator.is_main_process, kept(run.folder), CHECKPOINT.format(run.progress.step)
    aside, model = run.folder / _UNFINISHED, run.accelerator.unwrap_model(run.student)
    if main:
        shutil.rmtree(aside, ignore_errors=True)
    run.accelerator.wait_for_everyone()
    with attached([run.accelerator.register_save_state_pre_hook(_each_once)]):
        run.accelerator.save_state(str(aside), safe_serialization=True)
    if wer is not None and (run.progress.best_wer is None or wer < run.progress.best_wer):
        run.progress.best_wer, run.progress.best_step = wer, run.progress.step
        run.accelerator.save(model.state_dict(), aside / BEST)
    elif main and before and (before / BEST).exists():
        whole.link(before / BEST, aside / BEST)
    run.accelerator.wait_for_everyone()
    if main:
        (aside / STATE).write_text(json.dumps(asdict(run.progress)), encoding="utf-8")
        whole.rename(aside, run.folder / now)
        for old in _checkpoints(run.folder):
            if old.name != now:
                shutil.rmtree(old, ignore_errors=True)
    run.accelerator.wait_for_everyone()


def _each_once(models: Sequence[Any], states: Sequence[dict[str, Any]], _folder: str) -> None:
    """Leave each tensor of models under one name, without the warning of accelerate, which would do so itself."""
    for model, state in zip(models, states, strict=True):
        shared.forget_again(model, state)


def kept(folder: Path) -> Path | None:
    """Return the last checkpoint in the folder of a training; None where there is none."""
    return max(_checkpoints(folder), key=lambda path: path.name, default=None)


def _checkpoints(folder: Path) -> list[Path]:
    return [path for path in folder.glob(f"checkpoint-{'[0-9]' * 8}") if (path / STATE).exists()]
