"""Quantisation-aware training: what is rounded while it trains is what is stored, bit for bit."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench import registry
from greenbench.compress.distill import Distill
from greenbench.compress.mixed import MixedPrecision
from greenbench.compress.probe import probe
from greenbench.compress.quantize import Int8Dynamic
from greenbench.compress.quantize_aware import FakeQuantization, QuantizeAware
from greenbench.errors import InputError
from greenbench.plugins import Context, Outline, Utterance
from greenbench.plugins.events import Event, TrainingLogged
from greenbench.variants.wav2vec2 import Wav2Vec2

torch = pytest.importorskip("torch")

from greenbench.compress.fake_quantization import MOVES, FakeQuantized, ends_of, rounded_between  # noqa: E402
from greenbench.models.packed import packed_layers  # noqa: E402

NOISE = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0)) / 10
TRAINING = Distill(steps=2, losses={"kl": 1.0})


def logits(model: Any) -> Any:
    """Return the logits of noise."""
    with torch.no_grad():
        return model.eval()(NOISE).logits


def attached(model: Any, pack: bool = True, activations: int | None = None, **settings: Any) -> FakeQuantization:
    """Attach the companion of a method to a model."""
    method = QuantizeAware(distill=TRAINING, **settings)
    companion = FakeQuantization(method.chosen_bits(model), activations, pack)
    companion.attach(model, Context())
    return companion


def test_training_computes_with_what_is_stored_afterwards(small: Any) -> None:
    """Packed or as floats, the logits are those of the fake weights bit for bit, and of mixed precision's before any
    step; a second attachment changes nothing."""
    packed = MixedPrecision(bits=[3], mean_bits=3)(copy.deepcopy(small))
    companion = attached(small, bits={"*": 3})
    faked = logits(small)
    companion.attach(small, Context())
    assert torch.equal(logits(small), faked)
    assert torch.equal(faked, logits(packed))
    other = copy.deepcopy(small)
    assert torch.equal(logits(companion.detach(small)), faked)
    assert {layer.bits for layer in packed_layers(small).values()} == {3}
    companion.pack = False
    assert torch.equal(logits(companion.detach(other)), faked)
    assert not packed_layers(other)
    assert not any(isinstance(module, FakeQuantized) for module in [*small.modules(), *other.modules()])


def test_weights_train_through_the_rounding(small: Any) -> None:
    """Each float weight gets the gradient of its rounded value, but where it is clipped; names and number stay."""
    names = [name for name, _ in small.named_parameters()]
    attached(small, bits={"*": 2})
    assert [name for name, _ in small.named_parameters()] == names
    layer = small.wav2vec2.encoder.layers[2].feed_forward.output_dense
    inputs = torch.randn(4, layer.in_features)
    layer(inputs).sum().backward()
    steps = layer.weight.detach() / layer.scales[:, None]
    inside = (steps.round() >= -2) & (steps.round() <= 1)
    assert 0 < int(inside.sum()) < inside.numel()
    expected = inputs.sum(0).expand_as(layer.weight) * inside
    assert torch.allclose(layer.weight.grad, expected, atol=1e-6)


def test_patterns_say_which_layers_get_how_many_bits(small: Any) -> None:
    """The first that fits counts; what none fits, and the head, stay as they are."""
    method = QuantizeAware(distill=TRAINING, bits={"*attention*": 4, "*.layers.[01].*": 8})
    found = method.chosen_bits(small)
    assert found["wav2vec2.encoder.layers.1.attention.q_proj"] == 4
    assert found["wav2vec2.encoder.layers.1.feed_forward.output_dense"] == 8
    assert not any("layers.2.feed_forward" in path or "lm_head" in path for path in found)
    with pytest.raises(InputError, match=r"bits: no layer matches \*nothing\*"):
        QuantizeAware(distill=TRAINING, bits={"*nothing*": 4}).chosen_bits(small)


def test_inputs_have_as_many_values_as_their_bits_say() -> None:
    """In equal steps over their range, which has a 0, within a step of what they were; the gradient is 1 within it."""
    given = (torch.randn(1_000, generator=torch.Generator().manual_seed(0)) + 0.5).requires_grad_(True)
    for bits in (2, 4, 8):
        found = rounded_between(given, ends_of(given), bits)
        step = float(given.detach().amax() - given.detach().amin()) / (2**bits - 1)
        assert len(found.unique()) <= 2**bits
        assert float((found - given).detach().abs().max()) <= step
        assert float(rounded_between(torch.tensor([0.0, 0.3]), ends_of(torch.tensor([0.3])), bits)[0]) == 0
    found.sum().backward()
    assert (given.grad.sort().values[2:] == 1).all(), "but at its two ends, where rounding can leave it"


def test_a_range_that_moves_is_the_average_of_those_before() -> None:
    """The first batch gives it, the next moves it by a hundredth; out of training it stays, and cuts what is beyond."""
    made = FakeQuantized(torch.nn.Linear(4, 4), 8, 8, moving=True)
    assert made.eval()(torch.full((1, 4), 9.0)).isfinite().all(), "before any batch a call has its own"
    assert made.ends.isnan().all()
    made.train()
    made(torch.tensor([[-1.0, 0.0, 1.0, 3.0]]))
    assert made.ends.tolist() == [-1.0, 3.0]
    made(torch.tensor([[-2.0, 0.0, 1.0, 13.0]]))
    expected = [-1.0 - MOVES * 1.0, 3.0 + MOVES * 10.0]
    assert made.ends.tolist() == pytest.approx(expected)
    made.eval()
    far, near = torch.full((1, 4), 99.0), torch.full((1, 4), expected[1])
    assert torch.allclose(made(far), made(near))
    assert made.ends.tolist() == pytest.approx(expected)


def test_eight_bits_of_inputs_are_those_of_int8(small: Any) -> None:
    """With weights and inputs of 8 bits the logits are as near to torch's int8 kernels' as those are to floats'."""
    whole = logits(small)
    companion = attached(small, pack=False, activations=8)
    faked = logits(small)
    integers = logits(Int8Dynamic(per_channel=True)(companion.detach(small)))
    assert 0 < float((faked - integers).std()) < float((whole - integers).std())


def test_what_cannot_be_is_refused(small: Any) -> None:
    """A build, numbers of bits that cannot be, integers, layers that are packed already, settings of no training."""
    method = QuantizeAware(distill=TRAINING)
    with pytest.raises(InputError, match="quantize-aware trains for long"):
        method.follow(Outline("wav2vec2"))
    with pytest.raises(InputError, match="cannot follow int8-dynamic"):
        method.follow(Outline("wav2vec2", integers="int8-dynamic", teacher=Outline("wav2vec2")))
    for bits in ({}, {"*": 1}, {"*": 9}):
        with pytest.raises(ValueError, match="bits: give patterns with numbers from 2 to 8"):
            QuantizeAware(distill=TRAINING, bits=bits)
    with pytest.raises(ValueError, match="observer: is of inputs, which `activations: null` leaves"):
        QuantizeAware(distill=TRAINING, activations=None, observer="ema")
    with pytest.raises(InputError, match=r"distill.stepz"):
        registry.create("methods", "quantize-aware", {"distill": {"steps": 3, "stepz": 3}})
    with pytest.raises(InputError, match="19 are stored in few bits already"):
        method.chosen_bits(MixedPrecision(bits=[4], mean_bits=4)(small))


@pytest.mark.slow
def test_a_training_lowers_the_loss_and_goes_on_bit_for_bit(small: Any, save_processor: Any, tmp_path: Path) -> None:
    """A tiny model in 3 bits comes nearer to its teacher in 20 steps; broken off, it ends as without a break."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    save_processor(tmp_path, False)
    small.save_pretrained(tmp_path)
    training = Distill(steps=20, lr=1e-3, batch_s=2, losses={"kl": 1.0}, log_every=5, validate_every=10)
    method, found = QuantizeAware(distill=training, bits={"*": 3}), []
    rng = np.random.default_rng(0)
    speech = [Utterance(str(n), 0.1 * rng.standard_normal(n).astype("float32"), "") for n in (8_000, 12_000)]
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
        model, extractor, tokenizer = Wav2Vec2(model=str(tmp_path)).open()
        context = Context(
            teacher=copy.deepcopy(model), extractor=extractor, tokenizer=tokenizer, train=speech,
            folder=tmp_path / name,
        )  # fmt: skip
        if name == "broken":
            with pytest.raises(KeyboardInterrupt):
                method(model, replace(context, observe=break_off))
            model = Wav2Vec2(model=str(tmp_path)).open()[0]
        found.append(method(model, context))
    assert all(torch.equal(tensor, found[1].state_dict()[name]) for name, tensor in found[0].state_dict().items())
    heard = [{"input_values": torch.from_numpy(utterance.audio)[None]} for utterance in speech]
    untrained = MixedPrecision(bits=[3], mean_bits=3)(copy.deepcopy(small))
    assert probe(found[0], small, heard) < probe(untrained, small, heard)


def break_off(event: Event) -> None:
    """Interrupt a training after its first checkpoint."""
    if isinstance(event, TrainingLogged) and event.row["step"] == 15:
        raise KeyboardInterrupt
