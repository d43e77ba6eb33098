"""Healing layer by layer: each edited layer gets nearer to its teacher's, and nothing else moves."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from greenbench.compress import HealLayers, LayerDrop, PruneFfn, ReduceFrames, compress
from greenbench.compress.calibration import BUNDLED, speech_for
from greenbench.errors import InputError
from greenbench.models import lineage
from greenbench.plugins import Context, Outline
from greenbench.recipes import recipe
from greenbench.recipes.student import make_student
from greenbench.suite.entries import VariantEntry, build_variant

torch = pytest.importorskip("torch")

QUICK = {"n_calibration": 2, "steps": 20}


def errors(model: Any, teacher: Any, speech: Any) -> list[float]:
    """Return the mean squared error of the first two layers, each on the hidden states that enter the teacher's."""
    totals = [0.0, 0.0]
    for inputs in speech:
        with torch.no_grad():
            states = teacher(**inputs, output_hidden_states=True).hidden_states
            for index in range(2):
                given = model.wav2vec2.encoder.layers[index](states[index])
                given = given[0] if isinstance(given, tuple) else given
                totals[index] += float((given - states[index + 1]).square().mean())
    return totals


def halved(model: Any, *layers: int) -> Any:
    """Return a copy in which some layers' feed-forward weights are half as large."""
    edited = deepcopy(model)
    with torch.no_grad():
        for index in layers:
            edited.wav2vec2.encoder.layers[index].feed_forward.intermediate_dense.weight.mul_(0.5)
    return edited


@pytest.mark.parametrize("through", ["teacher", "student"])
def test_an_edited_layer_gets_nearer_and_a_whole_one_stays(small: Any, context: Context, through: str) -> None:
    """Layer 0 is whole and keeps every bit; layer 1 gets nearer to its teacher's, which is left alone."""
    whole, edited = deepcopy(small.state_dict()), halved(small, 1)
    speech = speech_for(small, context, BUNDLED, 2)
    before = errors(edited, small, speech)
    healed = HealLayers(through=through, **QUICK)(edited, replace(context, teacher=small))
    after = errors(healed, small, speech)
    assert before[0] == pytest.approx(0, abs=1e-10)
    assert after[1] < 0.8 * before[1]
    for name, parameter in healed.state_dict().items():
        if ".layers.0." in name or ".layers." not in name:
            assert torch.equal(parameter, whole[name]), name
    assert all(torch.equal(parameter, whole[name]) for name, parameter in small.state_dict().items())


def test_after_a_cut_each_layer_is_compared_with_the_one_that_it_was(small: Any, context: Context) -> None:
    """Layers 1 and 2 of three, taken out in two cuts, are whole: nothing is trained, which the report says."""
    reports: list[Any] = []
    cut = LayerDrop(keep=2, select="last_k")(deepcopy(small))
    cut = LayerDrop(list=[1])(cut)
    whole = deepcopy(cut.state_dict())
    healed = HealLayers(**QUICK)(cut, replace(context, teacher=small, report=reports.append))
    assert all(torch.equal(parameter, whole[name]) for name, parameter in healed.state_dict().items())
    assert [report.step for report in reports] == [0]


def test_in_a_chain_the_teacher_is_the_model_before(small: Any, context: Context) -> None:
    """Methods in order, of which the first edits: the copy that is healed towards was taken before it."""
    plain = compress(deepcopy(small), [_Half()], context)
    healed = compress(deepcopy(small), [_Half(), HealLayers(**QUICK)], context)
    speech = speech_for(small, context, BUNDLED, 2)
    assert errors(healed, small, speech)[1] < errors(plain, small, speech)[1]


class _Half:
    def unsupported(self, device: str) -> str | None:
        return None

    def __call__(self, model: Any, context: Context) -> Any:
        return halved(model, 1)


def test_what_cannot_be_healed_is_one_line(small: Any, context: Context) -> None:
    """No teacher; layers of which it is not known which they are; hidden states of another width; no floats."""
    with pytest.raises(InputError, match="a teacher is needed"):
        HealLayers(**QUICK)(small, context)
    short = LayerDrop(keep=1)(deepcopy(small))
    del short.wav2vec2.encoder.layers[0].place
    with pytest.raises(InputError, match=r"has 1 layers, its teacher 3, and which ones is not known"):
        HealLayers(**QUICK)(short, replace(context, teacher=small))
    wide = deepcopy(small)
    wide.config.hidden_size = 64
    with pytest.raises(InputError, match="hidden states have 32 values, its teacher's 64"):
        HealLayers(**QUICK)(small, replace(context, teacher=wide))
    for outline, message in (
        (Outline(integers="int8-dynamic"), "cannot follow int8-dynamic"),
        (Outline(compiled=True), "cannot follow compile"),
        (Outline(floats="fp16"), "cannot train in fp16"),
        (Outline("sew-d"), "sew-d"),
    ):
        with pytest.raises(InputError, match=message):
            HealLayers().follow(outline)


@pytest.mark.parametrize("fitted", [HealLayers(**QUICK), PruneFfn(keep=0.5, refit=True, n_calibration=2)])
def test_layers_on_fewer_frames_are_not_fitted_alone(small: Any, context: Context, fitted: Any) -> None:
    """A layer by itself would reduce its frames a second time, and never get them back: the order is refused."""
    reduced = ReduceFrames(at=1)(deepcopy(small))
    with pytest.raises(InputError, match="after reduce-frames: put reduce-frames after the method that fits them"):
        fitted(reduced, replace(context, teacher=small))


NOISE = np.random.default_rng(0).standard_normal(20_000).astype("float32")

CUT_AND_HEALED = [
    {"use": "layer-drop", "list": [1], "refit": True, "refit_steps": 3, "n_calibration": 2},
    {"use": "prune-ffn", "keep": 0.5, "score": "taylor", "refit": True, "n_calibration": 2},
    {"use": "heal-layers", "steps": 3, "n_calibration": 2},
]


def test_as_builds_they_name_the_speech_that_they_took(tiny_model: Path) -> None:
    """A chain of three says once what all of them took, and is measured as any other."""
    variant = build_variant(VariantEntry(use="wav2vec2", model=str(tiny_model), builds=CUT_AND_HEALED))
    (speech,) = variant.calibration()
    assert speech == HealLayers(n_calibration=2).calibrated_on()
    assert len(variant.load("cpu")([np.zeros(16_000, dtype=np.float32)])) == 1


@pytest.mark.slow
def test_a_recipe_heals_and_says_what_it_cost(tiny_model: Path, tmp_path: Path) -> None:
    """Its lineage has the steps with the speech's digest, and counts the training; the student loads as it was made."""
    entry = {"use": "wav2vec2", "model": str(tiny_model), "name": "whole"}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"name": "s", "teacher": entry, "steps": CUT_AND_HEALED}))
    folder = make_student(recipe.load(tmp_path / "recipe.yaml"), tmp_path / "student")
    made = lineage.read(str(folder))
    assert made.steps[2].settings["calibration"] == str(HealLayers(n_calibration=2).calibrated_on())
    assert [training.step for training in made.steps[2].training] == [3]
    assert made.training_s == made.steps[2].training[0].wall_s > 0
    built = build_variant(VariantEntry(use="wav2vec2", model=str(tiny_model), builds=CUT_AND_HEALED)).load("cpu").model
    loaded = build_variant(VariantEntry(use="wav2vec2", model=str(folder))).load("cpu").model
    for name, parameter in built.state_dict().items():
        assert torch.allclose(parameter, loaded.state_dict()[name], atol=1e-6), name


@pytest.fixture(scope="module")
def healed_reads(tiny_model: Path) -> str:
    """What torch reads in the cut and healed model."""
    variant = build_variant(VariantEntry(use="wav2vec2", model=str(tiny_model), builds=CUT_AND_HEALED))
    (text,) = variant.load("cpu")([NOISE])
    return text


@pytest.mark.slow
@pytest.mark.parametrize("build", ["int8-dynamic", "bf16", "onnx", "onnx-int8", "openvino", "openvino-int8"])
@pytest.mark.usefixtures("exports_here")
def test_other_builds_chain_on(
    tiny_model: Path, healed_reads: str, build: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engines in float32 read what torch reads in the cut and healed model; the others run it."""
    monkeypatch.setenv("GREENBENCH_CACHE", str(tmp_path))
    chain = [*CUT_AND_HEALED, {"use": build, "n_calibration": 2} if build == "openvino-int8" else build]
    variant = build_variant(VariantEntry(use="wav2vec2", model=str(tiny_model), builds=chain))
    if reason := variant.unsupported("cpu"):
        pytest.skip(reason)
    variant.check()
    variant.prepare()
    (text,) = variant.load("cpu")([NOISE])
    if build in ("onnx", "openvino"):
        assert text == healed_reads
