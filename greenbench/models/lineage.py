"""Lineage: where a student comes from, and the one reader, writer and schema of the file that says so.

The file, ``greenbench.json`` in the student's folder, ships with the weights: it holds no path of the machine it was
made on.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from greenbench.errors import InputError, StoreError
from greenbench.files import readback, whole
from greenbench.files.forms import MOST, faults
from greenbench.plugins import LINEAGE, Origin
from greenbench.plugins.precisions import Floats, floats

SCHEMA = 1
"""Version of the file's form; a file without one is of the first."""

ArchitecturePart = Literal["layers", "feed_forward"]
"""The part of an architecture that an ``Edit`` changes."""

_Amount = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0, le=2**53)]  # up to where JSON readers agree


@dataclass(frozen=True)
class Training:
    """What one training cost, and its best validation.

    Attributes:
        step: optimiser steps taken.
        audio_s: seconds of speech trained on, repetitions included.
        wall_s: seconds of training and validation.
        energy_j: gross joules; None where no meter answered.
        energy_method: how they came about.
        best_wer: lowest WER on the speech held out, a fraction; None where none was.
        best_step: step at which that was.
    """

    step: _Count | None = None
    audio_s: _Amount | None = None
    wall_s: _Amount | None = None
    energy_j: _Amount | None = None
    energy_method: Origin | None = None
    best_wer: _Amount | None = None
    best_step: _Count | None = None


@dataclass(frozen=True)
class Step:
    """One method that was applied.

    Attributes:
        use: its registered name.
        settings: all of its settings, defaults and seeds included.
        training: what each of its trainings cost.
    """

    use: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    training: tuple[Training, ...] = ()


@dataclass(frozen=True)
class PseudoLabelling:
    """Texts of the teacher that were trained on as transcripts.

    Attributes:
        settings: by which they were filtered.
        n_kept: utterances that were trained on.
        dropped: those that were not, by reason: ``wer``, ``confidence``, ``silent``, ``no_reference``, ``too_long``.
        wer_histogram: utterances by the teacher's WER against their transcripts: in tenths from 0, the last count for 1
            and above. Those without a transcript are in none.
        cost: seconds and joules of the teacher's pass.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    n_kept: _Count | None = None
    dropped: Mapping[str, _Count] = field(default_factory=dict)
    wer_histogram: tuple[_Count, ...] = ()
    cost: Training = Training()


@dataclass(frozen=True)
class Speech:
    """The speech of the trainings.

    Attributes:
        datasets: name of a data set -> digest of its audio and references.
        n_utterances: trained on.
        audio_s: seconds of these.
        n_validation: utterances held out to choose by.
        pseudo_labels: how the teacher's texts became the transcripts; None where they did not.
    """

    datasets: Mapping[str, str] = field(default_factory=dict)
    n_utterances: _Count | None = None
    audio_s: _Amount | None = None
    n_validation: _Count | None = None
    pseudo_labels: PseudoLabelling | None = None


@dataclass(frozen=True)
class Edit:
    """One change of the architecture that the steps made.

    Attributes:
        part: ``layers``, or ``feed_forward``.
        before: of the model that the steps started from: the number of its transformer layers, or the neurons of each
            feed-forward layer in order.
        after: of the student.
    """

    part: ArchitecturePart
    before: tuple[_Count, ...]
    after: tuple[_Count, ...]


@dataclass(frozen=True)
class Lineage:
    """Where a student comes from; every field is empty for a model that no recipe made.

    Attributes:
        name: of the student.
        description: what it is for.
        parent: name of its teacher.
        teachers: names of further models that the trainings learned from.
        ancestors: identities of the teacher and of the teacher's own teachers, the nearest first.
        started_from: name of the model that the steps started from, where that was not the teacher.
        steps: methods in order.
        edits: what they changed of the architecture; None where that was not recorded.
        data: speech of the trainings.
        training_s: seconds of all trainings, those of the model that the steps started from included.
        training_energy_j: gross joules of these; None where they are not known of each.
        training_energy_method: how these came about, by the weakest of them.
        made_utc: when the student was finished, ISO 8601.
        versions: package -> its version.
        recipe_hash: digest of the recipe.
        schema: version of the file's form.
    """

    name: str | None = None
    description: str | None = None
    parent: str | None = None
    teachers: tuple[str, ...] = ()
    ancestors: tuple[tuple[str, ...], ...] = ()
    started_from: str | None = None
    steps: tuple[Step, ...] = ()
    edits: tuple[Edit, ...] | None = None
    data: Speech = Speech()
    training_s: _Amount | None = None
    training_energy_j: _Amount | None = None
    training_energy_method: Origin | None = None
    made_utc: str | None = None
    versions: Mapping[str, str | None] = field(default_factory=dict)
    recipe_hash: str | None = None
    schema: Annotated[int, Field(ge=1)] = SCHEMA

    @property
    def precision(self) -> Floats:
        """The precision that the steps left the weights in: that of the last method with a precision's name."""
        return next((chosen for step in reversed(self.steps) if (chosen := floats(step.use))), "fp32")


@lru_cache
def _adapter() -> TypeAdapter[Lineage]:
    return TypeAdapter(Lineage)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_adapter().json_schema()}


def read(model: str | None) -> Lineage:
    """Return what a model's folder says about where it comes from; an empty lineage for any other model.

    Args:
        model: a folder, or the model's id on a hub.

    Raises:
        InputError: the file is damaged, or of a later version; one line with the place in it and the remedy.
    """
    path = Path(model or "") / LINEAGE
    return Lineage() if model is None or not os.path.lexists(path) else read_file(path)


def read_file(path: Path) -> Lineage:
    """Return the lineage that a file holds.

    Raises:
        InputError: as ``read`` does.
    """
    try:
        content = readback.read_object(path)
    except StoreError as error:
        raise InputError(f"{error}. {_REMEDY}") from error
    given = {name: value for name, value in content.items() if value is not None}
    if isinstance(version := given.get("schema"), int) and version > SCHEMA:
        raise InputError(f"{path}: written as schema {version}, this version reads up to {SCHEMA}: upgrade greenbench")
    try:
        return _adapter().validate_json(json.dumps(given), strict=True)
    except ValidationError as error:
        raise InputError(f"{path}: {'; '.join(faults(error))}. {_REMEDY}") from error


_REMEDY = "Restore the file, or make the student again."


def write(folder: Path, lineage: Lineage) -> None:
    """Write a student's lineage into its folder, which is not yet in its place (``files.whole.folder``).

    Raises:
        OSError: it cannot be written.
    """
    text = json.dumps(asdict(lineage), indent=2, ensure_ascii=False)
    whole.write(folder / LINEAGE, text + "\n")
