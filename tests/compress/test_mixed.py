"""Mixed precision: bits go where they do the least damage, and what is packed is what was asked for."""

import copy
import random
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from greenbench.compress.bits import allocation
from greenbench.compress.low_rank import LowRank
from greenbench.compress.mixed import MixedPrecision, damages
from greenbench.compress.precision import Bf16
from greenbench.compress.probe import log_probabilities
from greenbench.compress.prune import PruneFfn
from greenbench.compress.quantize import Int8Dynamic, chosen
from greenbench.errors import InputError
from greenbench.models import opening
from greenbench.models.macs import count_macs
from greenbench.plugins import Context, Outline

torch = pytest.importorskip("torch")

from greenbench.models.packed import packed_layers, rounded, row_scales  # noqa: E402

NOISE = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0)) / 10


def logits(model: Any) -> Any:
    """Return the logits of noise."""
    with torch.no_grad():
        return model.eval()(NOISE).logits


def uniform(bits: int, **settings: Any) -> MixedPrecision:
    """Return the method with one number of bits."""
    return MixedPrecision(bits=[bits], mean_bits=bits, **settings)


@pytest.mark.parametrize("seed", range(20))
def test_bits_do_the_least_damage_of_all_ways_to_share_as_many(seed: int) -> None:
    """On three layers of any sizes, whose damage grows as bits go, no other way does less with as many or fewer."""
    draw, widths = random.Random(seed), (2, 3, 4, 8)
    falling = [sorted((draw.random() ** 3 for _ in widths), reverse=True) for _ in range(3)]
    damage = [dict(zip(widths, of_layer, strict=True)) for of_layer in falling]
    sizes = [draw.randint(1, 9) for _ in range(3)]
    for mean_bits in (2.0, 2.5, 3.0, 4.0, 5.0, 8.0):
        found = allocation(damage, sizes, mean_bits)
        spent = sum(n * bits for n, bits in zip(sizes, found, strict=True))
        assert spent <= mean_bits * sum(sizes)
        ways = [w for w in product(widths, repeat=3) if sum(n * b for n, b in zip(sizes, w, strict=True)) <= spent]
        least = min(sum(of[bits] for of, bits in zip(damage, way, strict=True)) for way in ways)
        assert sum(of[bits] for of, bits in zip(damage, found, strict=True)) == pytest.approx(least)


def test_one_number_of_bits_needs_no_speech(small: Any) -> None:
    """All layers but the head get it, without a feature extractor; the text is that of the rounded weights."""
    other = copy.deepcopy(small)
    for layer in chosen(other, (), ("lm_head",), "test").values():
        with torch.no_grad():
            layer.weight.copy_(rounded(layer.weight, row_scales(layer.weight, 3), 3))
    method = uniform(3)
    assert (method.calibrated_on(), method.to_fetch()) == (None, None)
    made = method(small)
    assert {layer.bits for layer in packed_layers(made).values()} == {3}
    assert len(packed_layers(made)) == 1 + 6 * 3
    assert type(made.lm_head) is torch.nn.Linear
    assert torch.equal(logits(made), logits(other))
    assert MixedPrecision(bits=[2, 4, 8], mean_bits=2).calibrated_on() is None
    assert MixedPrecision().calibrated_on() is not None


def test_more_bits_are_nearer(small: Any) -> None:
    """The logits of 8 bits differ from those of floats by less than 5 % of their spread, those of 2 by more."""
    whole = logits(small)
    errors = [float((logits(uniform(bits)(copy.deepcopy(small))) - whole).std() / whole.std()) for bits in (8, 4, 2)]
    assert errors[0] < 0.05 < errors[1] < errors[2]


def test_each_layer_is_tried_alone_and_left_as_it_was(small: Any, context: Context) -> None:
    """The damage of a layer is the KL divergence of a model with that layer rounded; the model stays."""
    from torch.nn.functional import kl_div

    before = copy.deepcopy(small.state_dict())
    layers = list(chosen(small, (), ("lm_head",), "test").values())[-2:]
    speech = [{"input_values": NOISE}]
    found = damages(small, layers, (2, 8), speech)
    assert all(torch.equal(tensor, before[name]) for name, tensor in small.state_dict().items())
    theirs = log_probabilities(small, speech)[0]
    with torch.no_grad():
        layers[1].weight.copy_(rounded(layers[1].weight, row_scales(layers[1].weight, 2), 2))
    ours = log_probabilities(small, speech)[0]
    expected = kl_div(ours, theirs, reduction="sum", log_target=True) / len(theirs)
    assert found[1][2] == pytest.approx(float(expected), rel=1e-5)
    assert found[1][2] > found[1][8]


def test_the_mean_holds_and_layers_differ(small: Any, context: Context) -> None:
    """By speech some layers have 2 bits, others more; of all weights there are at most as many as asked for."""
    made = MixedPrecision(mean_bits=4, n_calibration=1)(small, context)
    layers = packed_layers(made).values()
    assert {2} < {layer.bits for layer in layers} <= {2, 4, 8}
    assert sum(layer.bits * layer.numel() for layer in layers) <= 4 * sum(layer.numel() for layer in layers)


def test_the_work_is_that_of_floats(small: Any) -> None:
    """Multiply-accumulates are counted as before, from shapes."""
    before = count_macs(small, 16_000)
    assert count_macs(uniform(3)(small), 16_000) == before > 0


def test_layers_of_a_low_rank_are_packed_too_and_come_back(small: Any, tmp_path: Path) -> None:
    """Both of the small layers, in a folder with both edits, then in bfloat16 as in floats."""
    made = uniform(4)(LowRank(rank=6)(small))
    opening.save(made, tmp_path)
    again = opening.opened("student", tmp_path, torch.float32)
    assert torch.equal(logits(again), logits(made))
    path = "wav2vec2.encoder.layers.0.feed_forward.output_dense.up"
    assert packed_layers(again)[path].bits == 4
    with torch.no_grad():
        half = Bf16()(again)(NOISE.bfloat16()).logits
    assert float((half - logits(made)).abs().mean()) < 0.1 * float(logits(made).std())


def test_int8_leaves_packed_layers_as_they_are(small: Any) -> None:
    """It takes those that are left, and where none is it says that the others are packed."""
    made = Int8Dynamic()(uniform(3, exclude=["attention", "lm_head"])(copy.deepcopy(small)))
    kinds = {name.rpartition(".")[2]: type(module).__module__ for name, module in made.named_modules()}
    assert "quantized" in kinds["q_proj"]
    assert "packed" in kinds["output_dense"]
    with pytest.raises(InputError, match="none of 1 Linear layers to quantise; 19 are stored in few bits") as caught:
        Int8Dynamic()(uniform(3)(small))
    assert "\n" not in str(caught.value)


def test_what_cannot_be_is_refused(small: Any) -> None:
    """Other numbers of bits, a mean below the fewest, integers before it, a second time, neurons after it."""
    for settings, message in (
        ({"bits": [1]}, "bits: give"), ({"bits": [9]}, "bits: give"), ({"bits": []}, "bits: give"),
        ({"mean_bits": 1.5}, "mean_bits: give at least 2"), ({"n_calibration": 0}, "n_calibration"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            MixedPrecision(**settings)
    with pytest.raises(InputError, match="mixed-precision cannot follow int8-dynamic: put it before"):
        MixedPrecision().follow(Outline("wav2vec2", integers="int8-dynamic"))
    with pytest.raises(InputError, match="by the model's feature extractor"):
        MixedPrecision()(small)
    made = uniform(4)(small)
    with pytest.raises(InputError, match="none of 1 Linear layers"):
        uniform(3)(made)
    with pytest.raises(InputError, match="whole weights in floats"):
        PruneFfn(keep=0.5)(made)
