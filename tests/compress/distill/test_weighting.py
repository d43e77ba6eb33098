"""Settings of a training beside its losses: weights by the teacher's loss, scaled gradients, and the rates of steps."""

import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench import registry
from greenbench.compress.distill import Distill
from greenbench.compress.distill.weighting import AdaKd, Weighting, adakd, teacher_loss
from greenbench.errors import InputError
from greenbench.plugins import Context, Utterance
from greenbench.variants.wav2vec2 import Wav2Vec2

torch = pytest.importorskip("torch")

from greenbench.compress.distill.gradients import GradientScale  # noqa: E402
from greenbench.compress.distill.losses import Outputs, Target  # noqa: E402


def test_adakd_is_its_closed_form() -> None:
    """1/e at t, e^(-1/2) at t - ln 4 / k, 0 for what cannot be read; easier always weighs more."""
    k, t = 1.5, 2.0
    found = adakd(torch.tensor([t, t - math.log(4) / k, math.inf], dtype=torch.float64), k, t)
    assert found.tolist() == pytest.approx([math.exp(-1), math.exp(-0.5), 0.0], rel=1e-12)
    falling = adakd(torch.linspace(0, 8, 50).double(), k, t)
    assert (falling[1:] < falling[:-1]).all()
    assert adakd(torch.tensor([0.0, 7.0]).double(), 0, t).tolist() == pytest.approx([math.exp(-1)] * 2, rel=1e-12)


def spoken(*names: str) -> Target:
    """Return a teacher's outputs for an utterance of each name: ``sure``, ``unsure`` or ``silent``, of 2 labels."""
    rows = {
        "sure": [[0.0, 50, 0], [50, 0, 0], [0, 0, 50], [50, 0, 0]],
        "unsure": [[-50.0, 0, 0], [50, 0, 0], [-50, 0, 0], [50, 0, 0]],
        "silent": [[50.0, 0, 0]] * 4,
    }
    logits = torch.tensor([rows[name] for name in names])
    mask = torch.ones(logits.shape[:2], dtype=torch.bool)
    return Target(Outputs(logits), mask, [torch.tensor([1, 2])] * len(names), 0, 1.0)


def test_a_teachers_loss_is_per_label_or_the_entropy_of_what_is_spoken() -> None:
    """A teacher of two equal letters in two of four frames: ln 4 over two labels by transcript, ln 2 by entropy."""
    target = spoken("sure", "unsure", "silent")
    assert teacher_loss(target, False).tolist() == pytest.approx([0, math.log(2), 0], abs=1e-5)
    by_transcript = teacher_loss(target, True).tolist()
    assert by_transcript[:2] == pytest.approx([0, math.log(2)], abs=1e-5)
    too_long = replace(target, labels=[torch.tensor([1, 1, 1])] * 3)
    assert teacher_loss(too_long, True).tolist() == [math.inf] * 3, "a transcript without a path is not an easy one"


def test_the_running_mean_is_over_all_that_was_seen() -> None:
    """Two batches of entropies 0 and ln 2, then ln 2: the second is weighed about 2/3 ln 2; a number stays as it is."""
    student, context = torch.nn.Linear(1, 1), Context(train=[Utterance("a", np.zeros(1, np.float32), "")])
    weighting = Weighting(AdaKd("adakd", k=2.0))
    weighting.attach(student, context)
    weighting.weights(student, spoken("sure", "unsure"))
    found = weighting.weights(student, spoken("unsure"))
    assert found.tolist() == pytest.approx([math.exp(-math.exp(math.log(2) / 3))], rel=1e-4)
    assert not dict(weighting.detach(student).named_buffers())
    fixed = Weighting(AdaKd("adakd", k=2.0, t=math.log(2)))
    fixed.attach(student, context)
    assert fixed.weights(student, spoken("unsure")).tolist() == pytest.approx([math.exp(-1)], rel=1e-4)


def test_gradients_are_scaled_by_the_first_that_fits() -> None:
    """A tenth for one part of a model, whole for the rest; afterwards whole for all."""
    model = torch.nn.ModuleDict({"front": torch.nn.Linear(3, 2), "head": torch.nn.Linear(2, 1)})
    scale = GradientScale({"front.bias": 0.5, "front": 0.1})

    def gradients() -> dict[str, Any]:
        model.zero_grad()
        model["head"](model["front"](torch.ones(1, 3))).sum().backward()
        return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    whole = gradients()
    scale.attach(model, Context())
    factors = {"front.weight": 0.1, "front.bias": 0.5, "head.weight": 1, "head.bias": 1}
    assert all(torch.equal(gradient, whole[name] * factors[name]) for name, gradient in gradients().items())
    scale.detach(model)
    assert all(torch.equal(gradient, whole[name]) for name, gradient in gradients().items())
    with pytest.raises(InputError, match="gradient_scale: no parameter's path contains 'fornt'"):
        GradientScale({"fornt": 0.1}).attach(model, Context())


def test_tri_stage_rises_stays_and_falls() -> None:
    """From a hundredth to the highest rate at a tenth of the steps, level until 0.6, down to a twentieth at the end."""
    settings = Distill(steps=1000, lr=1e-3, warmup=0.1, schedule="tri_stage")
    rates = [settings.learning_rate(step) / 1e-3 for step in (0, 50, 100, 599, 600, 800, 1000)]
    assert rates == pytest.approx([0.01, 0.505, 1, 1, 1, math.sqrt(0.05), 0.05])
    with pytest.raises(ValueError, match="warmup: with `schedule: tri_stage` give less than 0.6"):
        Distill(steps=1, warmup=0.6, schedule="tri_stage")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"use": "adakd", "kk": 1}, "weighting.kk"),
        ({"use": "adakt"}, "weighting.use"),
        ({"use": "adakd", "t": "median"}, "weighting.t"),
        ({"use": "adakd", "k": -1}, "weighting.k"),
    ],
)
def test_a_weighting_that_is_none_is_refused_by_its_key(given: dict[str, Any], message: str) -> None:
    """Unknown names, keys and values of the nested settings are named."""
    with pytest.raises(InputError, match=message):
        registry.create("methods", "distill", {"steps": 1, "weighting": given})


@pytest.mark.slow
def test_a_training_with_weights_logs_their_mean(tiny_model: Path, tmp_path: Path) -> None:
    """k = 0 gives every utterance 1/e: distillation counts so much, and the student leaves no trace of it."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    rng = np.random.default_rng(0)
    speech = [Utterance(str(n), 0.1 * rng.standard_normal(n).astype("float32"), "A B") for n in (16_000, 20_800)]
    teacher = Wav2Vec2(model=str(tiny_model)).open()[0]
    model, extractor, tokenizer = Wav2Vec2(model=str(tiny_model)).open()
    names = set(model.state_dict())
    context = Context(teacher=teacher, extractor=extractor, tokenizer=tokenizer, train=speech, folder=tmp_path)
    losses, weighting = {"kl": 1, "ctc": 0.1}, {"use": "adakd", "k": 0}
    given = {"steps": 2, "log_every": 1, "losses": losses, "weighting": weighting, "schedule": "tri_stage"}
    settings = registry.create("methods", "distill", given | {"gradient_scale": {"feature_extractor": 0.1}})
    student = settings(model, context)
    assert set(student.state_dict()) == names
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [float(row["adakd_weight"]) for row in rows] == pytest.approx([math.exp(-1)] * 2, rel=1e-6)
