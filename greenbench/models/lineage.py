"""Lineage: what a student's folder says about where it comes from."""

import os
from pathlib import Path
from typing import Any

from greenbench.errors import InputError, StoreError
from greenbench.files import readback
from greenbench.files.forms import ANY, TEXT, Form, each, form, number, one_of, or_null, record, several
from greenbench.plugins import LINEAGE, METHODS

_SETTINGS = each(ANY)
_METHOD = one_of(METHODS)
_TRAINING = {**dict.fromkeys(("wall_s", "audio_s", "energy_j"), number(0)), "energy_method": _METHOD}
FORM: Form = form(record(
    {},
    {
        **dict.fromkeys(("name", "description", "parent", "started_from", "made_utc", "recipe_hash"), TEXT),
        "ancestors": several(several(TEXT)), "data": _SETTINGS, "versions": each(or_null(TEXT)),
        "training_s": number(0), "training_energy_j": number(0), "training_energy_method": _METHOD,
        "steps": several(record(
            {"use": TEXT}, {"settings": _SETTINGS, "training": several(record({}, _TRAINING))}
        )),
    },
))  # fmt: skip
"""What the file ``LINEAGE`` of a student's folder holds."""


def read(model: str | None) -> dict[str, Any]:
    """Return what a student's folder says about where it comes from; empty for any other model.

    Raises:
        InputError: the file is of another form.
    """
    path = Path(model or "") / LINEAGE
    if model is None or not os.path.lexists(path):
        return {}
    try:
        return {name: value for name, value in readback.read_object(path, FORM).items() if value is not None}
    except StoreError as error:
        raise InputError(f"{error}. Restore the file, or make the student again.") from error
