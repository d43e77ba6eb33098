"""The lineage of a student: one form, written and read alike; what cannot be read is one line with place and remedy."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from greenbench.errors import InputError
from greenbench.models import lineage
from greenbench.models.lineage import Edit, Lineage, Speech, Step, Training
from greenbench.plugins import LINEAGE
from greenbench.variants.checkpoints import CHECKPOINTS

SHIPPED = [Path(CHECKPOINTS[name][0]) for name in ("quickstart-2l", "quickstart-6l")]
WHOLE = Lineage(
    name="student",
    parent="teacher",
    ancestors=(("sha256:ab", "fp16"), ("name:first",)),
    steps=(Step("layer-drop", {"keep": 6, "seed": 42, "patience_steps": None}),
           Step("distill", {"lr": 1e-3}, (Training(9, 4.0, 2.0, 7.5, "estimated", 0.25, 6),))),
    edits=(Edit("layers", (12,), (6,)), Edit("feed_forward", (8, 8), (8, 5))),
    data=Speech({"an4/train": "1999b5d5d73b1b1a"}, 7, 30.5, 2),
    training_s=2.0,
    training_energy_j=7.5,
    training_energy_method="estimated",
    made_utc="2026-11-27T00:00:00+00:00",
    versions={"torch": "2.13.0", "nncf": None},
    recipe_hash="9c2abc2cddb2a2f7",
)  # fmt: skip


@pytest.mark.parametrize("known", [Lineage(), WHOLE, replace(WHOLE, training_energy_j=None, edits=())])
def test_what_is_written_is_read(known: Lineage, tmp_path: Path) -> None:
    """A lineage survives its file, and the file is one of the schema."""
    lineage.write(tmp_path, known)
    assert lineage.read(str(tmp_path)) == known
    jsonschema.validate(json.loads((tmp_path / LINEAGE).read_text()), lineage.json_schema())


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_files_of_earlier_versions_are_read(folder: Path) -> None:
    """What version 0.1 wrote, without version or edits, gives every value that its JSON has."""
    written: dict[str, Any] = json.loads((folder / LINEAGE).read_text())
    known = lineage.read(str(folder))
    assert "schema" not in written
    assert known.edits is None, "not recorded is not the same as unchanged"
    assert [(s.use, dict(s.settings), len(s.training)) for s in known.steps] == [
        (s["use"], s["settings"], len(s["training"])) for s in written["steps"]
    ]
    assert known.steps[1].training[0].energy_j == written["steps"][1]["training"][0]["energy_j"]
    assert (known.data.datasets, known.data.audio_s) == (written["data"]["datasets"], written["data"]["audio_s"])
    for name in ("name", "parent", "training_s", "training_energy_j", "training_energy_method", "recipe_hash"):
        assert getattr(known, name) == written[name]
    jsonschema.validate(written, lineage.json_schema())


@pytest.mark.parametrize(
    "content",
    [
        {"steps": [{"use": "layer-drop"}], "training_s": 1},
        {"steps": None, "parent": None, "training_energy_j": None},
        {"written by": "somebody", "steps": [{"use": "a", "note": "b"}]},
    ],
)
def test_what_is_not_said_is_empty(content: dict[str, Any], tmp_path: Path) -> None:
    """Partial files are read: null and missing are the same, and keys that nobody knows are passed over."""
    (tmp_path / LINEAGE).write_text(json.dumps(content))
    known = lineage.read(str(tmp_path))
    assert [step.use for step in known.steps] == [step["use"] for step in content["steps"] or ()]
    assert (known.parent, known.training_energy_j) == (None, None)


@pytest.mark.parametrize("model", [None, "nobody/of-that-name"])
def test_other_models_have_an_empty_lineage(model: str | None) -> None:
    """A model of the hub, or none, comes from nothing that is known."""
    assert lineage.read(model) == Lineage()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"schema": 2}', "written as schema 2, this version reads up to 1: upgrade greenbench"),
        ('{"steps": [{"settings": {}}]}', "steps.0.use: missing. Restore the file, or make the student again."),
        ('{"edits": [{"part": "head", "before": [1], "after": [1]}]}', "edits.0.part: 'layers' or 'feed_forward'"),
        ('{"data": {"n_utterances": 1.5}}', "data.n_utterances: "),
        ('{"steps": [{"use": "distill", "training": [{"energy_j": -1}]}]}', "steps.0.training.0.energy_j: "),
        ('{"training_s": true}', "training_s: a valid number is expected, not True"),
    ],
)
def test_a_damaged_file_is_one_line(content: str, told: str, tmp_path: Path) -> None:
    """It names the file, the place in it, and the remedy."""
    (tmp_path / LINEAGE).write_text(content)
    with pytest.raises(InputError) as caught:
        lineage.read(str(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path / LINEAGE}: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("steps", "precision"),
    [([], "fp32"), (["bf16"], "bf16"), (["fp16", "distill"], "fp16"), (["bf16", "fp32"], "fp32")],
)
def test_the_last_step_that_chooses_a_precision_decides(steps: list[str], precision: str) -> None:
    """A student that went back to 32 bits runs in these."""
    assert Lineage(steps=tuple(map(Step, steps))).precision == precision
