"""A recipe file: which teacher goes through which steps, and whether they can be taken."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from greenbench import registry
from greenbench.compress.distill import Distill
from greenbench.compress.predict_features import PredictFeatures
from greenbench.compress.steps import Steps, check_savable
from greenbench.errors import InputError, MissingError
from greenbench.hardware.devices import PATTERN
from greenbench.plugins import Compressible, Outline, Step
from greenbench.recipes.pseudo_labels import PseudoLabels
from greenbench.suite import file
from greenbench.suite.entries import (
    Builds,
    DatasetEntry,
    VariantEntry,
    build_family,
    chain,
    resolve_build,
    resolve_dataset,
    resolve_variant,
)
from greenbench.suite.plan import digest


class Recipe(BaseModel):
    """How a student is made.

    Attributes:
        name: name of the student.
        description: one line on what the student is for.
        teacher: the variant to learn from, of the wav2vec 2.0 family, without builds.
        teachers: further variants to learn from beside the first, without builds: their hidden states by the losses
            between layers, and with ``ensemble`` of ``distill`` their outputs.
        student: the variant that the steps start from; the teacher where empty. It may be an earlier student, whose
            training then counts as a part of this one's, or random weights of a smaller configuration with the
            teacher's tokens and front end.
        train: data sets to train on, for the steps that train.
        validation_share: share of their utterances that is held out to choose the checkpoint by; the reference of an
            utterance without a transcript is the teacher's text.
        pseudo_labels: let the teacher's texts take the place of the transcripts of the training speech, and leave out
            where they differ too much; see below.
        steps: methods in order: what changes the shape first, what trains after it.
        device: device to train on: ``cpu``, ``cuda:N``, ``mps``, or ``auto``.
        estimate_energy: estimate the energy of the training by codecarbon's model where no counter answers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    teacher: VariantEntry
    teachers: list[VariantEntry] | None = Field(None, min_length=1)
    student: VariantEntry | None = None
    train: list[DatasetEntry] = []
    validation_share: float = Field(0.05, ge=0, lt=1)
    pseudo_labels: PseudoLabels | None = None
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
    data, base = file.read(path), path.resolve().parent
    for assignment in overrides:
        file.override(data, assignment)
    _expand(data)
    file.check(data, str(path))
    try:
        recipe = Recipe.model_validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        raise InputError(f"{path}: {registry.first_problem(error)}") from error
    named = models(recipe)
    for role, entry in named.items():
        if entry.builds:
            raise InputError(f"{path}: {role}: name it without builds; the steps say what is done to it")
        if entry.teacher:
            raise InputError(f"{path}: {role}: `teacher` is for the variants of a suite; the recipe's own is `teacher`")
    try:
        resolved = {role: resolve_variant(entry, base)[0] for role, entry in named.items()}
        teachers = [resolved.pop(role) for role in named if role not in ("teacher", "student")] or None
        train = [one for given in recipe.train for one in resolve_dataset(given, base)]
        steps = [resolve_build(step, base) for step in recipe.steps]
        made = Recipe.model_validate(
            {**recipe.model_dump(by_alias=True), **resolved, "teachers": teachers, "train": train, "steps": steps}
        )
        check(made)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return made


def _expand(data: dict[str, Any]) -> None:
    """Bring the entries of a recipe's plain data into their long form, in place."""
    for role in ("teacher", "student"):
        if data.get(role) is not None:
            data[role] = file.entry(data[role], "variants")
    for role, group in (("train", "datasets"), ("teachers", "variants")):
        if isinstance(data.get(role), list):
            data[role] = [file.entry(given, group) for given in data[role]]


def models(recipe: Recipe) -> dict[str, VariantEntry]:
    """Return the recipe's models by their roles: ``teacher``, ``student``, ``teachers.0`` and so on."""
    further = {f"teachers.{number}": entry for number, entry in enumerate(recipe.teachers or ())}
    named = {"teacher": recipe.teacher, "student": recipe.student, **further}
    return {role: entry for role, entry in named.items() if entry is not None}


def check(recipe: Recipe) -> None:
    """Refuse a recipe of which a step cannot be taken, as far as is known without a download.

    Raises:
        InputError: one line that names the step.
        MissingError: a step needs what is not installed.
    """
    if recipe.pseudo_labels and not recipe.train:
        raise InputError("pseudo_labels: there is no speech to label: give `train`")
    known = {role: _outline(role, entry) for role, entry in models(recipe).items()}
    further = tuple(outline for role, outline in known.items() if role.startswith("teachers."))
    if further and not any(_learns_from_all(step) for _, step in steps_of(recipe)):
        raise InputError(
            "teachers: no step learns from them: give `distill` a loss between layers or `ensemble: true`, or use "
            "predict-features"
        )
    start = replace(known.get("student", known["teacher"]), teacher=known["teacher"], teachers=further)
    check_savable(steps_of(recipe), start, [] if recipe.train else ["train"])


def _learns_from_all(step: Step) -> bool:
    """Whether a step learns from more than the outputs of the first teacher."""
    if isinstance(step, PredictFeatures):
        return True
    training = step if isinstance(step, Distill) else getattr(step, "distill", None)
    return training is not None and (training.ensemble or training.needs_hidden)


def _outline(role: str, entry: VariantEntry) -> Outline:
    """Return what is known of a model; that its folder is not whole is no matter where the student is there already."""
    try:
        return family_of(role, entry).outline()
    except MissingError:
        return Outline()


def steps_of(recipe: Recipe) -> Steps:
    """Return the recipe's methods, each with its label."""
    return chain(recipe.steps)


def family_of(role: str, entry: VariantEntry) -> Compressible:
    """Return the settings of a model that can be compressed.

    Raises:
        InputError: it is none.
    """
    family = build_family(entry)
    if not isinstance(family, Compressible):
        kind = entry.use.partition("/")[0]
        raise InputError(f"{role}: a recipe cannot change models of {kind}: name a variant of wav2vec2")
    return family


def hash_of(recipe: Recipe) -> str:
    """Return what tells a recipe from another one, whatever it is called."""
    content = recipe.model_dump(mode="json", by_alias=True)
    return digest({name: value for name, value in content.items() if value is not None})
