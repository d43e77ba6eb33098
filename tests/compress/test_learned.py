"""Learned pruning: gates are their closed forms, the budget meets its target, what is folded is what was gated."""

import csv
import math
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench import registry
from greenbench.compress.distill import Distill
from greenbench.compress.learned import MULTIPLIERS, Budget, PruneLearned
from greenbench.compress.low_rank import LowRank
from greenbench.compress.reduce import ReduceFrames
from greenbench.compress.share import ShareLayers
from greenbench.errors import InputError
from greenbench.models import opening
from greenbench.models.attention import attentions, n_heads
from greenbench.models.feed_forward import feed_forwards
from greenbench.models.macs import count_macs
from greenbench.plugins import SAMPLE_RATE_HZ, Context, Outline, Utterance
from greenbench.plugins.events import Event, TrainingLogged
from greenbench.variants.wav2vec2 import Wav2Vec2

from ..variants.tiny import SMALL

torch = pytest.importorskip("torch")

from greenbench.compress import gates  # noqa: E402

LONG = 10 * SAMPLE_RATE_HZ
TRAINING = Distill(steps=300, losses={"kl": 1.0})


def speech(*lengths: int) -> list[Utterance]:
    """Return utterances of noise."""
    rng = np.random.default_rng(0)
    return [Utterance(str(n), 0.1 * rng.standard_normal(n).astype("float32"), "") for n in lengths]


def test_a_gate_is_open_with_its_closed_form() -> None:
    """At log alpha 0 with probability sigmoid(1.5986) = 0.8318, at ln 99 with 0.998; the mean of draws agrees."""
    log_alpha = torch.tensor([0.0, math.log(99), -1.0, 2.0], dtype=torch.float64)
    expected = gates.open_probability(log_alpha)
    assert expected[:2].tolist() == pytest.approx([0.8318, 0.998], abs=1e-4)
    generator = torch.Generator().manual_seed(0)
    draws = gates.drawn(log_alpha, torch.rand(100_000, 4, generator=generator, dtype=torch.float64))
    assert (draws > 0).double().mean(0).tolist() == pytest.approx(expected.tolist(), abs=5e-3)
    assert ((draws >= 0) & (draws <= 1)).all()


def test_gates_in_use_close_as_many_as_are_expected_to_be_closed() -> None:
    """Of ten gates of which four are expected open, the six least are 0, the others sigmoid(1.2 log alpha)."""
    log_alpha = torch.tensor([9.0, -9, 8, -8, 7, -7, 6, -6, -5, -5.5])
    values = gates.in_use(log_alpha)
    assert (values > 0).tolist() == (log_alpha > 0).tolist()
    assert values[0] == pytest.approx(1 / (1 + math.exp(-1.2 * 9)), rel=1e-6)
    halves = gates.in_use(torch.full((8,), 2 / 3 * math.log(0.1 / 1.1)))
    assert int((halves == 0).sum()) == 4, "each is open with probability one half"


def counted(model: Any) -> tuple[float | None, int]:
    """Return the multiply-accumulates of 10 s, and the parameters of a model."""
    return count_macs(model, LONG), sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("unit", ["head", "neuron", "channel"])
@pytest.mark.parametrize("groups", [3, 1])
def test_a_unit_costs_what_the_model_has_less_without_it(small: Any, unit: str, groups: int) -> None:
    """Parameters, and multiply-accumulates of 10 s, counted on the model before and after one unit of a layer goes;
    where layers share it, it is one unit, whose work all of them do."""
    ShareLayers(groups=groups)(small)
    before = counted(small)
    gates.add(small, [unit], 0.01, 0)
    values = {path: torch.ones_like(gate.log_alpha) for path, gate in gates.gates(small).items()}
    n_open, path = {path: len(of_gate) for path, of_gate in values.items()}, next(iter(values))
    macs, params = (gates.unit_work(gates.terms(small, n), n_open, path) for n in (LONG, None))
    values[path][1] = 0
    gates.fold(small, values)
    after = counted(small)
    assert before[1] - after[1] == params
    assert before[0] - after[0] == macs


def test_channels_of_all_convolutions_cost_what_the_model_has_less_without_them(small: Any) -> None:
    """The work of a convolution falls with the product of its channels in and out: counted before and after as many as
    16, 7, 1 and 3 of 16 stay, with heads and neurons that all stay."""
    before = counted(small)
    gates.add(small, ["head", "neuron", "channel"], 0.01, 0)
    values = {path: torch.ones_like(gate.log_alpha) for path, gate in gates.gates(small).items()}
    n_open = {path: len(of_gate) for path, of_gate in values.items()}
    of_channels = [path for path in values if "attention" not in path and "feed_forward" not in path]
    assert len(of_channels) == 4
    fewer = n_open | dict(zip(of_channels, (16, 7, 1, 3), strict=True))
    terms = [gates.terms(small, n) for n in (LONG, None)]
    expected = [gates.work(parts, n_open) - gates.work(parts, fewer) for parts in terms]
    for path in of_channels:
        values[path][fewer[path] :] = 0
    gates.fold(small, values)
    after = counted(small)
    assert [before[0] - after[0], before[1] - after[1]] == expected
    assert list(small.config.conv_dim) == [16, 7, 1, 3]


def test_channels_that_are_folded_give_what_the_gated_ones_gave(tmp_path: Path) -> None:
    """Where no norm is over channels, logits are those with gates; transformers alone loads the folder."""
    from transformers import AutoModelForCTC, HubertConfig, HubertForCTC

    torch.manual_seed(3)
    model = HubertForCTC(HubertConfig(**SMALL | {"feat_proj_layer_norm": False, "initializer_range": 0.2}))
    gates.add(model, ["channel"], 0.01, 0)
    model.eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for gate in gates.gates(model).values():
            gate.log_alpha.copy_(2 * torch.randn(len(gate.log_alpha), generator=generator))
        audio = torch.randn(1, 16_000, generator=generator)
        expected = model(audio).logits
        values = {path: gate.values() for path, gate in gates.gates(model).items()}
        gates.fold(model, values)
        assert torch.allclose(model(audio).logits, expected, atol=1e-5)
    assert list(model.config.conv_dim) == [int((of_gate > 0).sum()) for of_gate in values.values()]
    assert max(model.config.conv_dim) < 16
    opening.save(model, tmp_path)
    with torch.no_grad():
        assert torch.equal(AutoModelForCTC.from_pretrained(tmp_path).eval()(audio).logits, model(audio).logits)


def test_the_budget_pulls_towards_its_target(small: Any) -> None:
    """With too little gone, ascent makes the multiplier negative, which closes gates; the other way round too; at the
    target it stays; the derivative by a gate is the finite difference."""
    budget = Budget(PruneLearned(keep=0.8, distill=TRAINING, ramp=0.0), count_macs(small, LONG))
    budget.attach(small, Context(train=speech(16_000)))
    multipliers, all_gates = getattr(small, MULTIPLIERS), gates.gates(small)
    for log_alpha, sign in ((4.6, -1), (-9.0, 1)):
        with torch.no_grad():
            for gate in all_gates.values():
                gate.log_alpha.fill_(log_alpha)
        small.zero_grad()
        budget.term(small, 0, 300).backward()
        assert math.copysign(1, float(multipliers.grad[0])) == sign
        assert float(multipliers.grad[1]) > 0
    with torch.no_grad():
        multipliers[0] = -1.0
        gate = next(iter(all_gates.values()))
        gate.log_alpha.fill_(0.5)
    small.zero_grad()
    budget.term(small, 0, 300).backward()
    assert (gate.log_alpha.grad > 0).all(), "descent lowers log alpha"
    values = []
    for step in (1e-2, -1e-2):
        with torch.no_grad():
            gate.log_alpha[0] += step
            values.append(float(budget.term(small, 0, 300).detach()))
            gate.log_alpha[0] -= step
    assert float(gate.log_alpha.grad[0]) == pytest.approx((values[0] - values[1]) / 2e-2, rel=2e-2)
    budget.settings = PruneLearned(keep=1 - float(budget.sparsity(small).detach()), distill=TRAINING, ramp=0.0)
    small.zero_grad()
    budget.term(small, 0, 300).backward()
    assert multipliers.grad.abs().max() < 1e-4


def test_the_target_rises_over_the_ramp(small: Any) -> None:
    """Half of it after half of the ramp: there a model that has lost just that has no term."""
    budget = Budget(PruneLearned(keep=0.6, distill=TRAINING, ramp=0.2), count_macs(small, LONG))
    budget.attach(small, Context(train=speech(16_000)))
    budget.sparsity = lambda _: torch.tensor(0.2)  # type: ignore[method-assign]
    with torch.no_grad():
        getattr(small, MULTIPLIERS).fill_(3.0)
    terms = [float(budget.term(small, step, 300).detach()) for step in (0, 30, 60, 299)]
    assert terms[1] == pytest.approx(0, abs=1e-4)
    assert terms[0] > 0 > terms[2] == pytest.approx(terms[3])


ALL = ("head", "neuron", "channel")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("of", "keep", "units"),
    [
        ("macs", 0.7, ALL[:2]),
        ("params", 0.8, ALL[:2]),
        ("macs", 0.7, ALL),
        ("params", 0.8, ALL),
    ],
)
def test_the_expected_work_reaches_its_target(small: Any, of: str, keep: float, units: tuple[str, ...]) -> None:
    """The optimiser's groups alone bring what is expected to be left within 1 % of it, and folding keeps it there."""
    settings = PruneLearned(keep=keep, distill=TRAINING, of=of, units=units)  # type: ignore[arg-type]
    whole = settings._whole(small)
    budget = Budget(settings, whole)
    budget.attach(small, Context(train=speech(16_000)))
    optimizer = torch.optim.AdamW(budget.groups(small, 1e-3))
    rates = [group["lr"] for group in optimizer.param_groups]
    for step in range(300):
        optimizer.zero_grad()
        budget.term(small, step, 300).backward()
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = TRAINING.learning_rate(step, rate)
        optimizer.step()
    assert 1 - float(budget.sparsity(small).detach()) == pytest.approx(keep, abs=0.01)
    folded = budget.detach(small)
    assert settings._whole(folded) / whole == pytest.approx(keep, abs=0.01)
    assert not gates.gates(folded)
    assert MULTIPLIERS not in dict(folded.named_parameters())


def test_a_folded_model_gives_what_the_gated_one_gives(small: Any, tmp_path: Path) -> None:
    """Gates of any values, among them a layer without heads and one without neurons; and its folder loads again."""
    gates.add(small, ["head", "neuron"], 0.01, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for number, gate in enumerate(gates.gates(small).values()):
            drawn = 3 * torch.randn(len(gate.log_alpha), generator=generator)
            gate.log_alpha.copy_(torch.full_like(drawn, -9) if number in (0, 3) else drawn)
    audio = torch.randn(1, 16_000, generator=generator)
    with torch.no_grad():
        expected = small.eval()(audio).logits
        values = {path: gate.values() for path, gate in gates.gates(small).items()}
        gates.fold(small, values)
        assert torch.allclose(small(audio).logits, expected, atol=1e-5)
    n_open = [max(1, int((of_gate > 0).sum())) for of_gate in values.values()]
    widths = [int(layer.output_dense.in_features) for layer in feed_forwards(small).values()]
    assert sorted([*map(n_heads, attentions(small).values()), *widths]) == sorted(n_open)
    assert min(n_open) == 1 < max(n_open) < 64
    opening.save(small, tmp_path)
    again = opening.opened("folded", tmp_path, torch.float32).eval()
    with torch.no_grad():
        assert torch.equal(again(audio).logits, small(audio).logits)


def test_what_cannot_be_is_refused(small: Any) -> None:
    """A build, patience, a target below what no gate multiplies, attention with positions, fewer frames, integers."""
    method = PruneLearned(keep=0.5, distill=TRAINING)
    with pytest.raises(InputError, match="prune-learned trains for long"):
        method.follow(Outline("wav2vec2"))
    with pytest.raises(InputError, match="their heads must stay"):
        method.follow(Outline("wavlm", teacher=Outline("wavlm")))
    for kind, unit in (("wavlm", "neuron"), ("wavlm", "channel"), ("sew", "head")):
        allowed = PruneLearned(keep=0.5, distill=TRAINING, units=[unit])  # type: ignore[list-item]
        assert allowed.follow(Outline(kind, teacher=Outline(kind)))
    channels = PruneLearned(keep=0.5, distill=TRAINING, units=["channel"])
    with pytest.raises(InputError, match="prune-learned: models of the type sew .* so their channels must stay"):
        channels.follow(Outline("sew", teacher=Outline("sew")))
    with pytest.raises(ValueError, match=r"distill.patience_steps: gates need all steps"):
        PruneLearned(keep=0.5, distill=Distill(steps=1, patience_steps=1))
    budget = Budget(PruneLearned(keep=0.1, distill=TRAINING, units=["neuron"]), count_macs(small, LONG))
    with pytest.raises(InputError, match=r"keep: 0.1 cannot be reached: .* of the macs is left"):
        budget.attach(deepcopy(small), Context())
    for given, message in (({"stepz": 3}, "distill.stepz"), ({"losses": {"kll": 1}}, "unknown loss 'kll'")):
        with pytest.raises(InputError, match=message):
            registry.create("methods", "prune-learned", {"keep": 0.5, "distill": {"steps": 3} | given})
    reduced = ReduceFrames()(deepcopy(small))
    with pytest.raises(InputError, match="put it before reduce-frames"):
        method(reduced, Context())
    with pytest.raises(InputError, match="whole weights in floats"):
        method(LowRank(rank=4, include=[])(small), Context())


@pytest.mark.slow
@pytest.mark.parametrize("units", [ALL[:2], ALL])
def test_a_training_prunes_to_its_target_and_goes_on_bit_for_bit(
    small: Any, save_processor: Any, tmp_path: Path, units: tuple[str, ...]
) -> None:
    """A tiny model trained for 40 steps has 70 % of its work left; broken off, it ends as without a break."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    save_processor(tmp_path, False)
    small.save_pretrained(tmp_path)
    training = Distill(steps=40, lr=1e-3, batch_s=2, losses={"kl": 1.0}, log_every=10, validate_every=20)
    method = PruneLearned(keep=0.7, distill=training, units=units)  # type: ignore[arg-type]
    found = []
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
        model, extractor, tokenizer = Wav2Vec2(model=str(tmp_path)).open()
        context = Context(
            teacher=deepcopy(model), extractor=extractor, tokenizer=tokenizer, train=speech(8_000, 12_000),
            folder=tmp_path / name,
        )  # fmt: skip
        if name == "broken":
            with pytest.raises(KeyboardInterrupt):
                method(model, replace(context, observe=break_off))
            model = Wav2Vec2(model=str(tmp_path)).open()[0]
        found.append(method(model, context))
    assert count_macs(found[0], LONG) / count_macs(small, LONG) == pytest.approx(0.7, abs=0.01)
    rows = list(csv.DictReader((tmp_path / "whole/log.csv").read_text().splitlines()))
    assert all(math.isfinite(float(row["budget"])) for row in rows)
    assert found[0].state_dict().keys() == found[1].state_dict().keys()
    assert all(torch.equal(tensor, found[1].state_dict()[name]) for name, tensor in found[0].state_dict().items())


def break_off(event: Event) -> None:
    """Interrupt a training after its first checkpoint."""
    if isinstance(event, TrainingLogged) and event.row["step"] == 30:
        raise KeyboardInterrupt
