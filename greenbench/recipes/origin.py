"""What a student's lineage says: of which teacher, by which steps, on which speech, at what cost."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timezone
from typing import Any

from greenbench import registry
from greenbench.hardware import environment
from greenbench.models import feed_forward
from greenbench.models.ancestry import Identity
from greenbench.models.lineage import ArchitecturePart, Edit, Lineage, Speech, Step, Training
from greenbench.plugins import METHODS, Calibrated, Origin
from greenbench.recipes.recipe import Recipe, hash_of, steps_of
from greenbench.suite.descent import identity
from greenbench.suite.entries import VariantEntry, build_variant, names_plugin
from greenbench.variants.outline import n_layers

Sizes = Mapping[ArchitecturePart, tuple[int, ...]]
"""Part of an architecture, as in ``Edit``, -> its sizes."""


def sizes(model: Any) -> Sizes:
    """Return the sizes of a transformers CTC model that steps may change."""
    layers = n_layers(model.config.to_dict())
    return {"layers": () if layers is None else (layers,), "feed_forward": tuple(feed_forward.widths(model))}


def edits(before: Sizes, after: Sizes) -> tuple[Edit, ...]:
    """Return what differs between the sizes of the model that the steps started from and the student's."""
    return tuple(Edit(part, sizes, after[part]) for part, sizes in before.items() if sizes != after[part])


def lineage(recipe: Recipe, reports: Sequence[Sequence[Any]], data: Speech, edited: tuple[Edit, ...]) -> Lineage:
    """Return a student's lineage, which holds no path of this machine, so that it can ship with the weights.

    Args:
        recipe: by which it was made.
        reports: for each step what its method reported of trainings, with the fields of ``Training``.
        data: the speech of the trainings.
        edited: what the steps changed of the architecture.
    """
    steps = tuple(
        Step(build.use, settings(method), tuple(map(_training, of_one)))
        for build, (_, method), of_one in zip(recipe.steps, steps_of(recipe), reports, strict=True)
    )
    labelling = [data.pseudo_labels.cost] if data.pseudo_labels else []
    trainings = [*_earlier(recipe.student), *labelling, *(training for step in steps for training in step.training)]
    energy_j, energy_method = _energy(trainings)
    return Lineage(
        name=recipe.name,
        description=recipe.description,
        parent=recipe.teacher.name,
        teachers=tuple(str(entry.name) for entry in recipe.teachers or ()),
        ancestors=_ancestors(recipe.teacher),
        started_from=recipe.student.name if recipe.student else None,
        steps=steps,
        edits=edited,
        data=data,
        training_s=sum(training.wall_s or 0.0 for training in trainings),
        training_energy_j=energy_j,
        training_energy_method=energy_method,
        made_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        versions=environment.versions(),
        recipe_hash=hash_of(recipe),
    )


def settings(method: Any) -> dict[str, Any]:
    """Return all settings of a method, in which calibration speech is its name and its digest: no path."""
    given = registry.settings(method)
    if not isinstance(method, Calibrated):
        return given
    data = method.calibrated_on()
    return {name: data and str(data) if names_plugin(value) else value for name, value in given.items()}


def _training(report: Any) -> Training:
    return Training(**{f.name: getattr(report, f.name, None) for f in fields(Training)})


def _energy(trainings: Sequence[Training]) -> tuple[float | None, Origin | None]:
    """Return the joules of all trainings with their weakest method; None where they are not known of each."""
    joules = [training.energy_j for training in trainings if training.energy_j is not None]
    methods = [training.energy_method for training in trainings if training.energy_method]
    if len(joules) < len(trainings):
        return None, None
    return sum(joules), max(methods, key=METHODS.index, default=None)


def _earlier(start: VariantEntry | None) -> list[Training]:
    """Return what the model that the steps started from had taken to train, where that was made by a recipe."""
    info = build_variant(start).info if start else None
    if info is None or info.training_s is None:
        return []
    return [
        Training(wall_s=info.training_s, energy_j=info.training_energy_j, energy_method=info.training_energy_method)
    ]


def _ancestors(teacher: VariantEntry) -> tuple[Identity, ...]:
    """Return the teacher's identity and its own teachers', by which results find it whatever it is called there."""
    variant = build_variant(teacher)
    return tuple(one for one in (identity(teacher, variant), *variant.ancestors()) if one)
