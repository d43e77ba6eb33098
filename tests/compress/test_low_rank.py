"""Low rank: what two small layers keep of a large one, by closed forms and counts."""

import copy
from pathlib import Path
from typing import Any

import pytest

from greenbench.compress import calibration
from greenbench.compress.calibration import BUNDLED
from greenbench.compress.low_rank import LowRank
from greenbench.compress.prune import PruneFfn
from greenbench.errors import InputError
from greenbench.models.feed_forward import feed_forwards
from greenbench.models.macs import count_macs
from greenbench.plugins import Context, Outline
from greenbench.variants.wav2vec2 import Wav2Vec2

torch = pytest.importorskip("torch")

D, WIDTH, LAYERS = 32, 64, 2


@pytest.fixture
def model(tiny_model: Path) -> Any:
    """The small model."""
    return Wav2Vec2(model=str(tiny_model)).open()[0].eval()


def linears(model: Any) -> list[Any]:
    """Return the layers of the feed-forward parts."""
    return [part for layer in feed_forwards(model).values() for part in (layer.intermediate_dense, layer.output_dense)]


def weight(layer: Any) -> Any:
    """Return what a layer multiplies with, in float64."""
    return (layer.up.weight.double() @ layer.down.weight.double()).detach()


@pytest.mark.parametrize("rank", [1, 8, 20])
def test_what_is_lost_are_the_discarded_singular_values(model: Any, rank: int) -> None:
    """The squared error of each weight is the sum of its squared singular values after the rank; the bias stays."""
    small = LowRank(rank=rank)(copy.deepcopy(model))
    for before, after in zip(linears(model), linears(small), strict=True):
        whole = before.weight.detach().double()
        expected = torch.linalg.svdvals(whole)[rank:].square().sum()
        assert (whole - weight(after)).square().sum() == pytest.approx(float(expected), rel=1e-4)
        assert torch.equal(after.up.bias, before.bias)


def test_a_weight_of_a_low_rank_is_kept_exactly(model: Any) -> None:
    """Where a weight has a low rank already, nothing changes; by energy that rank is found."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in linears(model):
            n_out, n_in = layer.weight.shape
            factors = torch.randn(n_out, 3, generator=generator) @ torch.randn(3, n_in, generator=generator)
            layer.weight.copy_(factors / 30)
    noise = torch.randn(1, 8_000, generator=generator)
    with torch.no_grad():
        before = model(noise).logits
        small = LowRank(energy=1 - 1e-9, multiple_of=1)(model)
        assert {layer.rank for layer in linears(small)} == {3}
        assert torch.allclose(small(noise).logits, before, atol=2e-5)


def test_parameters_and_work_are_those_of_the_factors(model: Any) -> None:
    """A layer of m outputs and n inputs has r (m + n) weights, each of which is multiplied once a frame."""
    before = [sum(p.numel() for p in model.parameters()), count_macs(model, 16_000)]
    small = LowRank(rank=8)(model)
    less = 2 * LAYERS * (D * WIDTH - 8 * (D + WIDTH))
    assert before[0] - sum(p.numel() for p in small.parameters()) == less
    assert before[1] - count_macs(small, 16_000) == 49 * less


def test_a_layer_stays_where_factors_would_be_larger(model: Any) -> None:
    """From m n / (m + n) on, 21.3 here, two layers have more weights than one; where all stay, it is one line."""
    with pytest.raises(InputError, match="none of 4 layers becomes smaller"):
        LowRank(rank=22)(model)
    assert {layer.rank for layer in linears(LowRank(rank=21)(model))} == {21}


def test_the_head_and_what_is_not_named_stay(model: Any) -> None:
    """Only layers whose path contains a name are factorised, and never the head."""
    from greenbench.models.factored import Factored

    small = LowRank(rank=4, include=["layers.1.attention"])(model)
    assert {path for path, module in small.named_modules() if isinstance(module, Factored)} == {
        f"wav2vec2.encoder.layers.1.attention.{part}" for part in ("q_proj", "k_proj", "v_proj", "out_proj")
    }


def test_energy_is_kept_in_every_layer(model: Any) -> None:
    """The rank of each is the least multiple that keeps the share."""
    small = LowRank(energy=0.6, multiple_of=2)(copy.deepcopy(model))
    for before, after in zip(linears(model), linears(small), strict=True):
        values = torch.linalg.svdvals(before.weight.detach().double()).square()
        shares = torch.cumsum(values, 0) / values.sum()
        assert after.rank % 2 == 0
        assert shares[after.rank - 1] >= 0.6 > shares[after.rank - 3]


def test_the_axes_of_outputs_lose_the_least_of_them(model: Any, tiny_model: Path) -> None:
    """On its own calibration speech the mean squared error is the sum of the variances that are left out, and no map
    of the rank has less: that of the weight alone has as much or more."""
    extractor = Wav2Vec2(model=str(tiny_model)).open()[1]
    context, rank = Context(extractor=extractor), 3
    path = "wav2vec2.encoder.layers.0.feed_forward.intermediate_dense"
    speech = calibration.speech_for(model, context, BUNDLED, 2)
    given = []
    hook = model.get_submodule(path).register_forward_pre_hook(lambda _module, x: given.append(x[0][0].double()))
    with torch.no_grad():
        for inputs in speech:
            model(**inputs)
    hook.remove()
    x, whole = torch.cat(given), copy.deepcopy(model.get_submodule(path)).double()
    errors = {}
    for how in ("activations", "svd"):
        method = LowRank(rank=rank, include=[path], how=how, n_calibration=2)
        small = method(copy.deepcopy(model), context).get_submodule(path).double()
        with torch.no_grad():
            errors[how] = float((small(x) - whole(x)).square().sum() / len(x))
    with torch.no_grad():
        variances = torch.linalg.svdvals(whole(x) - whole(x).mean(0)).square() / len(x)
    assert errors["activations"] == pytest.approx(float(variances[rank:].sum()), rel=1e-3)
    assert errors["activations"] <= errors["svd"]
    assert (LowRank(how="activations").calibrated_on() is None, LowRank().calibrated_on()) == (False, None)


def test_neurons_cannot_go_from_factors(model: Any) -> None:
    """Rows of a factorised layer are no neurons' own any more: one line says in which order it works."""
    with pytest.raises(InputError, match="prune-ffn needs whole weights in floats: put it before") as caught:
        PruneFfn(keep=0.5)(LowRank(rank=4)(model))
    assert "\n" not in str(caught.value)


def test_integers_and_settings_that_leave_nothing_are_refused() -> None:
    """Integers have no singular values; no rank, energy or multiple is a mistake."""
    with pytest.raises(InputError, match="low-rank needs weights in floats"):
        LowRank(rank=4).follow(Outline("wav2vec2", all_integers=True))
    for settings in ({"rank": 0}, {"energy": 0.0}, {"energy": 1.1}, {"multiple_of": 0}):
        with pytest.raises(ValueError, match="rank|energy|multiple_of"):
            LowRank(**settings)
