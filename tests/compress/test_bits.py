"""Bits that are learned: gates choose by their law, the mean is kept, and the right allocation is found where known."""

import copy
import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench import registry
from greenbench.compress.bits import BitSearch
from greenbench.compress.distill import Distill
from greenbench.compress.mixed import MixedPrecision
from greenbench.compress.quantize import chosen
from greenbench.errors import InputError
from greenbench.models.frames import n_frames
from greenbench.plugins import Context, Outline, Utterance
from greenbench.plugins.events import Event, TrainingLogged
from greenbench.variants.wav2vec2 import Wav2Vec2

torch = pytest.importorskip("torch")

from greenbench.compress import bit_choice  # noqa: E402
from greenbench.compress.bit_choice import BitChoice  # noqa: E402
from greenbench.models.packed import packed_layers  # noqa: E402

NOISE = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0)) / 10
TRAINING = Distill(steps=300, losses={"kl": 1.0})


def logits(model: Any) -> Any:
    """Return the logits of noise."""
    with torch.no_grad():
        return model(NOISE).logits


def searching(model: Any, mean_bits: float = 4.0, **settings: Any) -> BitSearch:
    """Let all layers of a model but the head choose."""
    paths = [*chosen(model, (), ("lm_head",), "test")]
    search = BitSearch(**{"bits": (2, 4, 8), "tau": (1.0, 0.1), "budget": 1.0, "steps": 300, **settings},
                       paths=paths, mean_bits=mean_bits)  # fmt: skip
    speech = [Utterance("a", np.zeros(16_000, dtype="float32"), "")] if hasattr(model, "config") else []
    search.attach(model, Context(train=speech))
    return search


def layer(weight: Any) -> Any:
    """Return a Linear layer of a weight, without a bias."""
    made = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    made.weight.data = weight
    return made


def test_cold_gates_draw_one_number_of_bits_as_often_as_the_softmax_says() -> None:
    """At a temperature near zero a call has the weight in one number of bits: the Gumbel-max of the choice."""
    torch.manual_seed(0)
    made = BitChoice(layer(torch.randn(2, 4)), (2, 4, 8)).train()
    made.tau = 1e-5
    with torch.no_grad():
        made.choice.copy_(torch.tensor([0.0, 1.0, 0.5]))
        roundings = [made.rounded_to(n) for n in made.bits]
        mixtures = [made.mixture() for _ in range(3_000)]
    drawn = [i for m in mixtures for i, rounding in enumerate(roundings) if torch.allclose(m, rounding, atol=1e-6)]
    assert len(drawn) == pytest.approx(3_000, rel=0.01)
    shares = np.bincount(drawn, minlength=3) / len(drawn)
    assert shares.tolist() == pytest.approx(made.choice.softmax(0).tolist(), abs=0.03)


def test_what_is_chosen_is_what_is_stored(small: Any) -> None:
    """Out of training the most probable bits count alone: those of a model packed in them, bit for bit, before and
    after packing; a second attachment changes nothing."""
    packed = MixedPrecision(bits=[4], mean_bits=4)(copy.deepcopy(small))
    search = searching(small)
    with torch.no_grad():
        for one in bit_choice.choices(small).values():
            one.choice.copy_(torch.tensor([0.0, 0.1, 0.0]))
    search.attach(small.eval(), Context())
    assert torch.equal(logits(small), logits(packed))
    made = search.detach(small)
    assert torch.equal(logits(made), logits(packed))
    assert {one.bits for one in packed_layers(made).values()} == {4}
    assert not bit_choice.choices(made)
    assert {name for name, _ in made.named_parameters()} == {name for name, _ in packed.named_parameters()}


def test_too_many_bits_cost_as_much_as_they_are_too_many(small: Any) -> None:
    """At first 14 / 3 bits are expected of 2, 4 and 8: with 4 wanted, two thirds for each frame; descent then raises
    the choice of 2 bits and lowers that of 8. With 5 wanted nothing, and nothing once the bits are settled."""
    search, frames = searching(small, budget=3.0), n_frames(small.config, 16_000)
    term = search.term(small, 0, 300)
    assert float(term.detach()) == pytest.approx(3.0 * frames * 2 / 3, rel=1e-5)
    term.backward()
    for one in bit_choice.choices(small).values():
        assert one.choice.grad[0] < 0 < one.choice.grad[2]
    search.mean_bits = 5.0
    assert float(search.term(small, 0, 300).detach()) == 0
    search.mean_bits = 4.0
    after = search.term(small, 300, 400)
    assert float(after.detach()) == 0
    assert after.requires_grad, "several processes wait for a gradient of each parameter"


def test_the_temperature_falls_by_one_factor_a_step(small: Any) -> None:
    """From the first to the last over the search."""
    search = searching(small, steps=3)
    found = []
    for step in range(3):
        search.begin(small, step, 3)
        found.append({one.tau for one in bit_choice.choices(small).values()})
    assert [max(taus) for taus in found] == pytest.approx([1.0, math.sqrt(0.1), 0.1])
    assert all(len(taus) == 1 for taus in found)


@pytest.mark.parametrize("exact", [0, 1])
def test_the_right_allocation_is_found_where_it_is_known(exact: int) -> None:
    """Of two layers one has weights that 2 bits hold exactly, the other needs 8; with 5 in the mean there is one way
    to lose nothing. The search finds it, whichever of the two it is."""
    torch.manual_seed(1)
    weights = [torch.randn(16, 16), torch.randn(16, 16)]
    weights[exact] = torch.randint(-2, 2, (16, 16)) * 0.5
    weights[exact][:, 0] = -1.0  # of each row, so that one scale is exact
    model = torch.nn.Sequential(layer(weights[0]), layer(weights[1]))
    whole, inputs = copy.deepcopy(model), torch.randn(32, 16)
    wanted = [of(inputs).detach() for of in whole]
    search = searching(model, mean_bits=5.0, bits=(2, 8), steps=200)
    search._frames = 1.0
    optimizer = torch.optim.AdamW(search.groups(model, 1e-3))
    for step in range(200):
        search.begin(model.train(), step, 200)
        optimizer.zero_grad()
        errors = [(of(inputs) - aim).square().mean() for of, aim in zip(model, wanted, strict=True)]
        (10 * sum(errors) + search.term(model, step, 200)).backward()
        optimizer.step()
    layers = [*bit_choice.choices(model).values()]
    assert float(bit_choice.expected_bits(layers).detach()) == pytest.approx(5.0, abs=0.2)
    search.detach(model)
    assert [of.bits for of in packed_layers(model).values()] == ([2, 8] if exact == 0 else [8, 2])


def test_the_mean_holds_whatever_was_chosen(small: Any) -> None:
    """Where all layers would have 8 bits, those go first that were nearest to fewer; at most 4 are left in the mean."""
    search = searching(small)
    with torch.no_grad():
        for number, one in enumerate(bit_choice.choices(small).values()):
            one.choice.copy_(torch.tensor([0.0, 0.0, 1.0 + number]))
    layers = [*packed_layers(search.detach(small)).values()]
    assert sum(of.bits * of.numel() for of in layers) <= 4 * sum(of.numel() for of in layers)
    assert layers[-1].bits == 8 > layers[0].bits


def test_settled_bits_stay_while_weights_train_on(small: Any) -> None:
    """After the search nothing is drawn, and a choice that moves on changes nothing; weights have gradients."""
    search = searching(small.eval(), steps=2)  # what is random else stays off: the new layers alone train
    assert all(of.training for of in bit_choice.choices(small).values())
    assert not torch.equal(logits(small), logits(small)), "gates are drawn"
    search.begin(small, 2, 4)
    settled = [of.n_bits() for of in bit_choice.choices(small).values()]
    before = logits(small)
    with torch.no_grad():
        for of in bit_choice.choices(small).values():
            of.choice.copy_(of.choice.flip(0) + torch.arange(3.0))
    search.begin(small, 3, 4)
    assert [of.n_bits() for of in bit_choice.choices(small).values()] == settled
    assert torch.equal(logits(small), before)
    small(NOISE).logits.square().sum().backward()
    assert all(float(of.weight.grad.abs().sum()) > 0 for of in bit_choice.choices(small).values())


def test_what_cannot_be_is_refused() -> None:
    """A build, a search without a training, a training without a search, patience, a part that trains, a bad key."""
    method = MixedPrecision(search="gumbel", distill=TRAINING)
    assert (method.calibrated_on(), method.extra, MixedPrecision().extra) == (None, "distill", "torch")
    with pytest.raises(InputError, match="mixed-precision: search: gumbel trains for long"):
        method.follow(Outline("wav2vec2"))
    assert method.follow(Outline("wav2vec2", teacher=Outline("wav2vec2")))
    with pytest.raises(ValueError, match="search: gumbel learns the bits in a training: give `distill`"):
        MixedPrecision(search="gumbel")
    for settings in ({"distill": TRAINING}, {"steps_after": 1}):
        with pytest.raises(ValueError, match="are for `search: gumbel`; sensitivity trains nothing"):
            MixedPrecision(**settings)
    for key, value in (("patience_steps", 3), ("train_only", ["lm_head"])):
        with pytest.raises(ValueError, match=f"distill.{key}: bits are chosen over all steps"):
            MixedPrecision(search="gumbel", distill=replace(TRAINING, **{key: value}))
    for given, message in (({"distill": {"steps": 3, "stepz": 3}}, "distill.stepz"), ({"tau": [1.0]}, "tau")):
        with pytest.raises(InputError, match=message):
            registry.create("methods", "mixed-precision", {"search": "gumbel", "distill": {"steps": 3}} | given)


@pytest.mark.slow
def test_a_search_in_a_training_keeps_the_mean_and_goes_on_bit_for_bit(
    small: Any, save_processor: Any, tmp_path: Path
) -> None:
    """A tiny model has at most 4 bits a weight after 20 steps and 10 more; broken off within either, it ends as without
    a break, and the log has the term, which is nothing in the last steps."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    save_processor(tmp_path, False)
    small.save_pretrained(tmp_path)
    training = Distill(steps=20, lr=1e-3, batch_s=2, losses={"kl": 1.0}, log_every=5, validate_every=5)
    method, found = MixedPrecision(search="gumbel", distill=training, steps_after=10), []
    rng = np.random.default_rng(0)
    speech = [Utterance(str(n), 0.1 * rng.standard_normal(n).astype("float32"), "") for n in (8_000, 12_000)]
    for stop in (None, 10, 25):
        folder = tmp_path / str(stop)
        folder.mkdir()
        model, extractor, tokenizer = Wav2Vec2(model=str(tmp_path)).open()
        context = Context(
            teacher=copy.deepcopy(model), extractor=extractor, tokenizer=tokenizer, train=speech, folder=folder
        )
        if stop is not None:
            with pytest.raises(KeyboardInterrupt):
                method(model, replace(context, observe=break_off_at(stop)))
            model = Wav2Vec2(model=str(tmp_path)).open()[0]
        found.append(method(model, context))
    for other in found[1:]:
        assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in found[0].state_dict().items())
    layers = packed_layers(found[0]).values()
    assert sum(of.bits * of.numel() for of in layers) <= 4 * sum(of.numel() for of in layers)
    terms = [float(row["bit_budget"]) for row in csv.DictReader((tmp_path / "None/log.csv").read_text().splitlines())]
    assert terms[0] > 0 == terms[-1]


def break_off_at(step: int) -> Any:
    """Return what interrupts a training when a step is logged."""

    def observe(event: Event) -> None:
        if isinstance(event, TrainingLogged) and event.row["step"] == step:
            raise KeyboardInterrupt

    return observe
