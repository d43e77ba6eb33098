"""A recipe file: which teacher goes through which steps, and the folder that the student becomes."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from greenbench import extras, registry
from greenbench.compress import take
from greenbench.compress.steps import Steps, check_savable
from greenbench.compress.stored import load_as_float32
from greenbench.errors import InputError, MissingError, StoreError
from greenbench.files import lock, readback, whole
from greenbench.hardware import devices
from greenbench.hardware.devices import PATTERN
from greenbench.hardware.environment import accelerator
from greenbench.models.ancestry import Identity
from greenbench.models.lineage import FORM
from greenbench.plugins import LINEAGE, METHODS, Compressible, Context, NeedsExtra, Outline, Utterance
from greenbench.plugins.events import Observer, Phase, StudentFound, unobserved
from greenbench.recipes import speech
from greenbench.suite import file as suite_file
from greenbench.suite.entries import (
    Builds,
    DatasetEntry,
    VariantEntry,
    build_family,
    build_variant,
    chain,
    identity,
    resolve_dataset,
    resolve_variant,
)
from greenbench.suite.plan import digest

TRAINING, BEGUN = "training", "recipe.json"
"""Within a student's folder: where its trainings are kept, and there the recipe's hash while it is made."""

_STUDENT = ("config.json", "model.safetensors")


class Recipe(BaseModel):
    """How a student is made.

    Attributes:
        name: name of the student.
        description: one line on what the student is for.
        teacher: the variant to learn from, of the wav2vec 2.0 family, without builds.
        student: another variant that the steps start from, such as an earlier student, whose training then counts as a
            part of this one's, or random weights of a smaller configuration with the teacher's tokens and front end;
            the teacher itself where empty.
        train: data sets to train on, for the steps that train.
        validation_share: share of their utterances that is held out to choose by; where an utterance has no
            transcript, what the teacher reads is the reference.
        steps: methods in order: what changes the shape first, what trains after it.
        device: device to train on: ``cpu``, ``cuda:N``, ``mps``, or ``auto``.
        estimate_energy: use codecarbon's model of the training's energy where no counter answers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    teacher: VariantEntry
    student: VariantEntry | None = None
    train: list[DatasetEntry] = []
    validation_share: float = Field(0.05, ge=0, lt=1)
    steps: Builds = Field(min_length=1)
    device: str = Field("cpu", pattern=PATTERN)
    estimate_energy: bool = False


def load(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, check every name and setting in it, and resolve it as a suite is resolved.

    Args:
        source: the file.
        overrides: single values, as ``steps.0.keep=4``.

    Raises:
        InputError: what is wrong, where, and the nearest valid name; or a step cannot be taken, as far as that is known
            without a download.
        MissingError: a step needs what is not installed.
    """
    path = Path(source)
    data, base = suite_file.read(path), path.resolve().parent
    for assignment in overrides:
        suite_file.override(data, assignment)
    for role in ("teacher", "student"):
        if data.get(role) is not None:
            data[role] = suite_file.entry(data[role], "variants")
    if isinstance(data.get("train"), list):
        data["train"] = [suite_file.entry(given, "datasets") for given in data["train"]]
    suite_file.check(data, str(path))
    try:
        recipe = Recipe.model_validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        raise InputError(f"{path}: {registry.first_problem(error)}") from error
    models = _models(recipe)
    for role, entry in models.items():
        if entry.builds:
            raise InputError(f"{path}: {role}: name it without builds; what is done to it are the steps")
        if entry.teacher:
            raise InputError(f"{path}: {role}: `teacher` is for the variants of a suite; the recipe's own is `teacher`")
    try:
        resolved = {role: resolve_variant(entry, base)[0] for role, entry in models.items()}
        train = [one for given in recipe.train for one in resolve_dataset(given, base)]
        made = Recipe.model_validate({**recipe.model_dump(), **resolved, "train": train})
        check(made)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return made


def _models(recipe: Recipe) -> dict[str, VariantEntry]:
    """Return the recipe's models by their roles."""
    named = {"teacher": recipe.teacher, "student": recipe.student}
    return {role: entry for role, entry in named.items() if entry is not None}


def check(recipe: Recipe) -> None:
    """Refuse a recipe of which a step cannot be taken, as far as is known without a download.

    Raises:
        InputError: one line that names the step.
        MissingError: a step needs what is not installed.
    """
    known = {role: _outline(role, entry) for role, entry in _models(recipe).items()}
    start = replace(known.get("student", known["teacher"]), teacher=known["teacher"])
    check_savable(_steps(recipe), start, [] if recipe.train else ["train"])


def _outline(role: str, entry: VariantEntry) -> Outline:
    """Return what is known of a model; that its folder is not whole is no matter where the student is there already."""
    try:
        return _family(role, entry).outline()
    except MissingError:
        return Outline()


def _steps(recipe: Recipe) -> Steps:
    return chain(recipe.steps)


def _family(role: str, entry: VariantEntry) -> Compressible:
    """Return the settings of a model that can be compressed."""
    family = build_family(entry)
    if not isinstance(family, Compressible):
        kind = entry.use.partition("/")[0]
        raise InputError(f"{role}: a recipe cannot change models of {kind}: name one of wav2vec2")
    return family


def run(recipe: Recipe, out: Path, observe: Observer = unobserved) -> Path:
    """Make the student; a training that was broken off goes on from its last checkpoint, a finished student stays.

    Args:
        recipe: from ``load``.
        out: the student's folder, which becomes one in a single step at the end. Until then checkpoints and logs of its
            trainings are in ``out/training``, and beside them which recipe they are of.
        observe: receives ``StudentFound`` where the student is there already, else ``StepStarted`` before each step,
            ``Phase`` for what takes long or goes on, and ``TrainingLogged`` for each row of a log.

    Returns:
        ``out``: a folder that transformers loads (``config.json``, ``model.safetensors``, tokeniser, feature
        extractor), and ``greenbench.json`` with its lineage.

    Raises:
        InputError: the folder holds something else, such as a student of another recipe; or a step cannot be taken.
        BusyError: another process makes it.
        MissingError: device, teacher, speech or a package is not here.
    """
    if _is_made(recipe, out):
        observe(StudentFound(out))
        return out
    extras.need(*_extras(recipe))
    device = accelerator() if recipe.device == "auto" else recipe.device
    if reason := devices.unusable(device):
        raise MissingError(f"device {device}: {reason}. Give another `device`, or auto.")
    for role, entry in _models(recipe).items():
        build_variant(entry).check()
        _fetch(role, entry, observe)
    check(recipe)  # what has been fetched is known now
    with lock.writing(out / TRAINING) if leads() else nullcontext():
        _make(recipe, out, device, observe)
    return out


def _extras(recipe: Recipe) -> list[str]:
    """Return the extras without which the student cannot be made."""
    of_steps = [step.extra for _, step in _steps(recipe) if isinstance(step, NeedsExtra)]
    return ["torch", *of_steps, *(["codecarbon"] if recipe.estimate_energy else [])]


def _make(recipe: Recipe, out: Path, device: str, observe: Observer) -> None:
    (out / TRAINING).mkdir(parents=True, exist_ok=True)
    if leads():
        whole.write(out / TRAINING / BEGUN, json.dumps({"recipe_hash": _hash(recipe)}) + "\n")
    teacher, extractor, tokenizer = _family("teacher", recipe.teacher).open()
    model = _family("student", recipe.student).open()[0] if recipe.student else deepcopy(teacher)
    train, held_out, data = speech.split(recipe.train, recipe.validation_share)
    context = Context(
        teacher=teacher,
        extractor=extractor,
        tokenizer=tokenizer,
        train=train,
        device=device,
        estimate_energy=recipe.estimate_energy,
        observe=observe if leads() else unobserved,
    )
    context = replace(context, validation=_with_references(held_out, context), folder=out / TRAINING)
    model, reports = take(model, _steps(recipe), context)
    if leads():
        lineage = json.dumps(_lineage(recipe, reports, data), indent=2, ensure_ascii=False)
        with whole.folder(out, keep=True) as aside:
            for part in (model, extractor, tokenizer):
                part.save_pretrained(aside)
            load_as_float32(aside)
            (aside / LINEAGE).write_text(lineage + "\n", encoding="utf-8")


def _fetch(role: str, entry: VariantEntry, observe: Observer) -> None:
    """Fetch a model that is not here, and say so."""
    if leads() and (what := build_variant(entry).to_fetch()):
        observe(Phase(f"fetching the {role}: {what}"))
    _family(role, entry).prepare()


def _hash(recipe: Recipe) -> str:
    """Return what tells a recipe from another one, whatever it is called."""
    return digest({name: value for name, value in recipe.model_dump(mode="json").items() if value is not None})


def progress(out: Path) -> str:
    """Say what a recipe that was interrupted has kept, and how it goes on."""
    from greenbench.compress.distill.progress import kept

    found = [(path.name, last) for path in sorted(out.glob(f"{TRAINING}/*/")) if (last := kept(path))]
    if not found:
        return "no checkpoint was reached yet; the same command begins anew"
    name, last = found[-1]
    return (
        f"kept: {name} up to step {int(last.name.rpartition('-')[2])}, in {last}. The same command goes on from there"
    )


def leads() -> bool:
    """Whether this is the process that writes and speaks, of several that ``accelerate launch`` started."""
    return os.environ.get("RANK", "0") == "0"


def _is_made(recipe: Recipe, out: Path) -> bool:
    """Whether the folder holds the student of this recipe; False where it was begun, or nothing is there.

    Raises:
        InputError: it holds something else.
    """
    if not out.exists():
        return False
    if not out.is_dir():
        raise InputError(f"--out {out}: is a file. Choose a folder.")
    begun = False
    for file in (out / LINEAGE, out / TRAINING / BEGUN):
        try:
            if not file.exists():
                continue
            known = readback.read_object(file, FORM if file.name == LINEAGE else None)["recipe_hash"]
        except (StoreError, KeyError) as error:
            raise InputError(
                f"--out {out}: {file.name} is something else than a recipe wrote. Choose another."
            ) from error
        if known != _hash(recipe):
            raise InputError(
                f"--out {out}: another recipe, or another state of this one, began here. Choose another folder."
            )
        if file.name == LINEAGE and all((out / name).exists() for name in _STUDENT):
            return True
        begun = True
    if not begun and any(path.name != TRAINING for path in out.iterdir()):
        raise InputError(f"--out {out}: there is something else in this folder. Choose another.")
    return False


def _with_references(spoken: Sequence[Utterance], context: Context) -> list[Utterance]:
    """Let the teacher transcribe what has no transcript."""
    from greenbench.models.ctc import CtcTranscriber

    teacher = CtcTranscriber(context.teacher.eval(), context.extractor, context.tokenizer, "cpu")
    return [u if u.reference else replace(u, reference=teacher([u.audio])[0]) for u in spoken]


def _lineage(recipe: Recipe, reports: Sequence[Sequence[Any]], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the student's folder says about where it comes from: no path of this machine, so that it can ship."""
    from greenbench.hardware import environment

    taken: list[dict[str, Any]] = [
        {"use": step.use, "settings": registry.settings(method), "training": [asdict(progress) for progress in told]}
        for step, (_, method), told in zip(recipe.steps, _steps(recipe), reports, strict=True)
    ]
    trainings = [*_earlier(recipe.student), *(training for step in taken for training in step["training"])]
    joules = [training["energy_j"] for training in trainings]
    origins = [training["energy_method"] for training in trainings if training["energy_method"]]
    return {
        "name": recipe.name,
        "description": recipe.description,
        "parent": recipe.teacher.name,
        "ancestors": _ancestors(recipe.teacher),
        **({"started_from": recipe.student.name} if recipe.student else {}),
        "steps": taken,
        "data": dict(data),
        "training_s": sum(training["wall_s"] for training in trainings),
        "training_energy_j": None if None in joules else sum(joules),
        "training_energy_method": None if None in joules else max(origins, key=METHODS.index, default=None),
        "made_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": environment.versions(),
        "recipe_hash": _hash(recipe),
    }


def _ancestors(teacher: VariantEntry) -> list[Identity]:
    """Return the teacher's identity and its own teachers', by which results find it whatever it is called there."""
    variant = build_variant(teacher)
    return [one for one in (identity(teacher, variant), *variant.ancestors()) if one]


def _earlier(start: VariantEntry | None) -> list[dict[str, Any]]:
    """Return what the model that the steps started from had taken to train, where that was made by a recipe."""
    info = build_variant(start).info if start else None
    if info is None or info.training_s is None:
        return []
    took = {"wall_s": info.training_s, "energy_j": info.training_energy_j}
    return [{**took, "energy_method": info.training_energy_method}]
