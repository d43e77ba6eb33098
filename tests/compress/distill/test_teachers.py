"""Several teachers: their hidden states are learned side by side, and their outputs as one distribution."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from greenbench.compress.distill import Distill
from greenbench.errors import InputError
from greenbench.models import lineage
from greenbench.plugins import Context, Outline, Utterance
from greenbench.recipes import recipe
from greenbench.recipes.student import make_student
from greenbench.variants.wav2vec2 import Wav2Vec2

torch = pytest.importorskip("torch")

from greenbench.compress.distill.hints import HINTS, PredictionHeads, add_hints, drop_hints  # noqa: E402
from greenbench.compress.distill.losses import LOSSES, Outputs, Target, ensembled  # noqa: E402
from greenbench.compress.distill.teacher import Teacher, collate  # noqa: E402


def target(seed: int, temperature: float = 2.0) -> Target:
    """Return what a teacher says of two utterances of six frames."""
    logits = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(seed))
    return Target(Outputs(logits), torch.ones(2, 6, dtype=torch.bool), [], 0, temperature)


def test_an_ensemble_of_one_is_kl() -> None:
    """At any temperature, for each loss on outputs."""
    ours = Outputs(target(9).teacher.logits)
    for name in ("kl", "kl_near_labels", "one_best"):
        expected = LOSSES[name](ours, target(1)).tolist()
        assert LOSSES[name](ours, ensembled([target(1)])).tolist() == pytest.approx(expected, rel=1e-5)


def test_an_ensemble_is_the_mean_of_distributions() -> None:
    """Frame by frame at the temperature, by hand: the student is compared with the arithmetic mean of two softmaxes."""
    both, ours = [target(1), target(2)], target(9).teacher.logits
    mean = sum((one.teacher.logits / 2).softmax(-1) for one in both) / 2
    by_hand = (mean * (mean.log() - (ours / 2).log_softmax(-1))).sum((1, 2)) * 4 / 2
    assert LOSSES["kl"](Outputs(ours), ensembled(both)).tolist() == pytest.approx(by_hand.tolist(), rel=1e-5)
    same = LOSSES["kl"](Outputs(ours), ensembled([target(1)] * 3)).tolist()
    assert same == pytest.approx(LOSSES["kl"](Outputs(ours), target(1)).tolist(), rel=1e-5)


def test_further_teachers_count_for_hidden_states_alone() -> None:
    """Each by its weight, the first one's other losses as they are; without weights all count alike."""
    settings = Distill(steps=1, losses={"kl": 1.0, "hidden": 2.0, "gram": 1.0}, teacher_weights=[0.5, 3.0])
    assert settings.coefficients(0) == {"kl": 1.0, "hidden": 1.0, "gram": 0.5}
    assert settings.coefficients(1) == {"hidden": 6.0, "gram": 3.0}
    plain = replace(settings, teacher_weights=())
    assert (plain.coefficients(0), plain.coefficients(1)) == (settings.losses, {"hidden": 2.0, "gram": 1.0})
    with pytest.raises(ValueError, match="teacher_weights: are of the losses between layers"):
        Distill(steps=1, teacher_weights=[1.0])


def opened(folder: Path, shift: float = 1.0) -> tuple[Any, Any, Any]:
    """Return a model that says something else by its bias, its extractor and its tokeniser."""
    model, extractor, tokenizer = Wav2Vec2(model=str(folder)).open()
    with torch.no_grad():
        model.lm_head.bias += torch.linspace(-shift, shift, len(model.lm_head.bias))
    return model, extractor, tokenizer


def setting(folder: Path, place: Path, n_further: int = 0) -> tuple[Any, Context]:
    """Return a student and what its training needs: three utterances, and so many further teachers like the first."""
    place.mkdir()
    rng = np.random.default_rng(0)
    speech = [Utterance(str(n), 0.1 * rng.standard_normal(n).astype("float32"), "") for n in (16_000, 20_800, 25_600)]
    student = Wav2Vec2(model=str(folder)).open()[0]
    with torch.no_grad():
        for weights in student.base_model.encoder.layers.parameters():
            weights.data += 0.05 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(1))
    teacher, extractor, tokenizer = opened(folder)
    further = [opened(folder) for _ in range(n_further)]
    context = Context(
        teacher=teacher, teachers=further, extractor=extractor, tokenizer=tokenizer, train=speech, folder=place
    )
    return student, context


TRAINING = Distill(steps=3, lr=1e-3, batch_s=2, log_every=1, losses={"kl": 1.0, "hidden": 1.0})


@pytest.mark.slow
def test_two_equal_teachers_are_one_of_twice_the_weight(tiny_model: Path, tmp_path: Path) -> None:
    """The student is the same to rounding, with the second teacher, a coefficient of 2, or a weight of 2."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    asked = {
        "two": (TRAINING, 1),
        "doubled": (replace(TRAINING, losses={"kl": 1.0, "hidden": 2.0}), 0),
        "weighted": (replace(TRAINING, teacher_weights=[2.0]), 0),
        "once": (TRAINING, 0),
    }
    found = {}
    for name, (settings, n_further) in asked.items():
        student, context = setting(tiny_model, tmp_path / name, n_further)
        found[name] = settings(student, context).state_dict()
    for name in ("doubled", "weighted"):
        assert all(torch.allclose(weights, found[name][key], atol=1e-6) for key, weights in found["two"].items()), name
    assert not all(torch.allclose(weights, found["once"][key], atol=1e-6) for key, weights in found["two"].items())
    header = (tmp_path / "two" / "log.csv").read_text().partition("\n")[0].split(",")
    assert {"kl", "hidden", "hidden_2"} <= set(header)
    assert "kl_2" not in header


@pytest.mark.slow
def test_an_ensemble_of_equal_teachers_trains_as_one(tiny_model: Path, tmp_path: Path) -> None:
    """Kept or run in each step, the mean of two equal distributions is each of them."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    found = []
    for n_further, kept in ((0, True), (1, True), (1, False)):
        student, context = setting(tiny_model, tmp_path / f"{n_further}-{kept}", n_further)
        settings = replace(TRAINING, losses={"kl": 1.0}, ensemble=True, cache_teacher=kept, batch_s=1)
        found.append(settings(student, context).state_dict())
    for other in found[1:]:
        assert all(torch.allclose(weights, other[key], atol=1e-5) for key, weights in found[0].items())


def of_width(width: int) -> Any:
    """Return what stands for a model of a width and four layers."""
    model = torch.nn.Module()
    model.config = type("Config", (), {"hidden_size": width, "num_hidden_layers": 4})
    return model


def test_each_teacher_has_projections_of_its_own() -> None:
    """None for one of the student's width, one a layer for another; heads for both; and none is left afterwards."""
    student = of_width(8)
    add_hints(student, [of_width(8), of_width(12), of_width(6)], {2: 4}, None)
    shapes = {name: tuple(weight.shape) for name, weight in student.named_parameters() if name.endswith("weight")}
    assert shapes == {f"{HINTS}_2.2.weight": (12, 8), f"{HINTS}_3.2.weight": (6, 8)}
    drop_hints(student)
    add_hints(student, [of_width(8), of_width(12)], {}, PredictionHeads([4]))
    assert [name for name, _ in student.named_children()] == [HINTS, f"{HINTS}_2"]
    drop_hints(student)
    assert not list(student.parameters())


def test_a_teacher_with_another_feature_extractor_hears_by_its_own(tiny_model: Path) -> None:
    """Of a batch that was made for another model it says what it says of its own batch."""
    model, extractor, tokenizer = opened(tiny_model)
    louder = type(extractor)(**{**extractor.to_dict(), "do_normalize": not extractor.do_normalize})
    rng = np.random.default_rng(0)
    speech = [Utterance("a", 0.01 * rng.standard_normal(16_000).astype("float32"), "")]
    contexts = [Context(extractor=one, tokenizer=tokenizer) for one in (extractor, louder)]
    batch, own = (collate(speech, model, context) for context in contexts)
    expected = Teacher(model, contexts[1])(own).logits
    assert torch.equal(Teacher(model, contexts[1], own_inputs=True)(batch).logits, expected)
    assert not torch.allclose(Teacher(model, contexts[0])(batch).logits, expected, atol=1e-6)


def test_weights_and_layers_are_checked_for_every_teacher() -> None:
    """Before anything is loaded: as many weights as teachers, and a pair of layers that each of them has."""
    settings = Distill(steps=1, losses={"hidden": 1}, teacher_weights=[1.0])
    before = Outline("wav2vec2", 2, teacher=Outline("wav2vec2", 12), teachers=(Outline("wav2vec2", 6),))
    with pytest.raises(InputError, match="distill: teacher_weights: 1 weights for 2 teachers: give one each"):
        settings.follow(before)
    with pytest.raises(InputError, match="hidden_layers: 1: 8: the student has 2 layers, its teacher 6"):
        replace(settings, teacher_weights=(), hidden_layers={1: 8}).follow(before)
    assert replace(settings, teacher_weights=[1, 2]).follow(before) == before


def test_a_teacher_that_cannot_be_held_against_the_student_is_one_line(tiny_model: Path, tmp_path: Path) -> None:
    """Other frames are refused; other tokens only where distributions are averaged."""
    student, context = setting(tiny_model, tmp_path / "run", 1)
    model, extractor, tokenizer = context.teachers[0]
    model.config.conv_stride = (*model.config.conv_stride[:-1], 1)
    with pytest.raises(InputError, match="distill: the student has 499 frames of 400 samples in ten seconds, its"):
        TRAINING(student, context)
    model.config.conv_stride = context.teacher.config.conv_stride
    more = type("More", (), {"get_vocab": lambda _self: tokenizer.get_vocab() | {"new": 99}})()
    other = replace(context, teachers=[(model, extractor, more)])
    with pytest.raises(InputError, match=r"distill: ensemble: teachers.0 has other tokens than the first"):
        replace(TRAINING, ensemble=True)(student, other)


def written(folder: Path, teacher: Path, manifest: Path, **change: Any) -> Path:
    """Write a recipe with a second teacher."""
    one = {"use": "wav2vec2", "model": str(teacher)}
    content = {
        "name": "student",
        "teacher": one | {"name": "first"},
        "teachers": [one | {"name": "second"}],
        "train": [{"use": "manifest", "path": str(manifest)}],
        "validation_share": 0.25,
        "steps": [
            {"use": "layer-drop", "keep": 1},
            {"use": "distill", "steps": 2, "batch_s": 4, "losses": {"kl": 1, "hidden": 1}, "validate_every": 1},
        ],
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content | change))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": [{"use": "distill", "steps": 1}]}, "teachers: no step learns from them: give `distill` a loss"),
        ({"teachers": []}, "teachers: at least 1 is expected"),
        ({"teachers": ["wav2vec2/quickstart+bf16"]}, "teachers.0: name it without builds"),
        ({"teachers": ["wav2vec2/quikstart"]}, "Did you mean"),
        ({"teachers": ["null/instant"]}, "teachers.0: a recipe cannot change models of null"),
        (
            {"steps": [{"use": "distill", "steps": 1, "losses": {"hidden": 1}, "teacher_weights": [1]}]},
            "steps.0: distill: teacher_weights: 1 weights for 2 teachers",
        ),
    ],
)
def test_a_mistake_in_teachers_is_one_line(
    tiny_model: Path, manifest: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    """As for the first teacher: the key, what is wrong, and what to do."""
    with pytest.raises(InputError, match=message) as caught:
        recipe.load(written(tmp_path, tiny_model, manifest, **change))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_recipe_with_two_teachers_makes_a_student(tiny_model: Path, manifest: Path, tmp_path: Path) -> None:
    """Its lineage names both, the first as its parent, and nothing of the second is in its weights."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    made = recipe.load(written(tmp_path, tiny_model, manifest))
    known = lineage.read(str(make_student(made, tmp_path / "student")))
    assert (known.parent, known.teachers) == ("first", ("second",))
    assert math.isfinite(known.steps[1].training[0].wall_s or math.nan)
    alone = written(tmp_path, tiny_model, manifest, teachers=None)
    assert lineage.read(str(make_student(recipe.load(alone), tmp_path / "alone"))).teachers == ()
