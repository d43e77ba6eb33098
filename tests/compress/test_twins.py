"""Product twins: the mathematics of smaller heads, by closed forms and counts."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenbench.compress.spectrum import balanced
from greenbench.compress.twins import ProductTwins
from greenbench.errors import InputError
from greenbench.models.attention import attentions
from greenbench.models.macs import count_macs
from greenbench.plugins import Outline

torch = pytest.importorskip("torch")

D, HEADS, SIZE, LAYERS = 32, 2, 16, 2


@pytest.fixture(params=[False, True], ids=["post-norm", "pre-norm"])
def model(request: pytest.FixtureRequest) -> Any:
    """A small random model of either kind of layers, whose biases are not zero."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    from ..variants.tiny import SMALL

    torch.manual_seed(5)
    norm = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"} if request.param else {}
    found = Wav2Vec2ForCTC(Wav2Vec2Config(**{**SMALL, **norm, "num_hidden_layers": LAYERS})).eval()
    with torch.no_grad():
        for attention in attentions(found).values():
            for parameter in attention.parameters():
                parameter.normal_(std=0.3)
    return found


def logits(model: Any, n: int = 16_000) -> Any:
    """Return the logits of noise in float64."""
    noise = torch.randn(1, n, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        return copy.deepcopy(model).double()(noise).logits


def scores(attention: Any, head: int) -> Any:
    """Return M of a head: the score of two inputs that end in a one is x' M y'."""
    rows = slice(head * attention.head_dim, (head + 1) * attention.head_dim)
    q, k = (torch.cat([p.weight[rows], p.bias[rows, None]], 1).double() for p in (attention.q_proj, attention.k_proj))
    return (q.T @ k).detach()


def outputs(attention: Any, head: int) -> Any:
    """Return N of a head: what the output adds for an input."""
    rows = slice(head * attention.head_dim, (head + 1) * attention.head_dim)
    return (attention.out_proj.weight[:, rows].double() @ attention.v_proj.weight[rows].double()).detach()


def test_full_rank_changes_nothing(model: Any) -> None:
    """At the rank of a head the products are what they were, so the model reads alike."""
    before = logits(model)
    twins = ProductTwins(rank=SIZE)(copy.deepcopy(model))
    assert (logits(twins) - before).abs().max() <= 2e-5
    assert not torch.allclose(twins.wav2vec2.encoder.layers[0].attention.q_proj.weight,
                              model.wav2vec2.encoder.layers[0].attention.q_proj.weight)  # fmt: skip


@pytest.mark.parametrize("rank", [1, 5, 8])
def test_what_is_lost_are_the_discarded_singular_values(model: Any, rank: int) -> None:
    """The squared error of each product is the sum of its squared singular values after the rank: the least one."""
    twins = ProductTwins(rank=rank)(copy.deepcopy(model))
    for before, after in zip(attentions(model).values(), attentions(twins).values(), strict=True):
        for head in range(HEADS):
            for product in (scores, outputs):
                whole = product(before, head)
                lost = (whole - product(after, head)).square().sum()
                assert lost == pytest.approx(float(torch.linalg.svdvals(whole)[rank:].square().sum()), rel=1e-4)


def test_a_product_of_rank_one_is_kept_exactly(model: Any) -> None:
    """Where queries, keys and values of a head vary along one direction alone, one row of each says all."""
    with torch.no_grad():
        for attention in attentions(model).values():
            for part in (attention.q_proj, attention.k_proj, attention.v_proj):
                for rows in (slice(0, SIZE), slice(SIZE, 2 * SIZE)):
                    part.weight[rows] = torch.randn(SIZE, 1) * part.weight[rows][:1]
                    part.bias[rows] = 0 if part is not attention.v_proj else part.bias[rows]
    before = logits(model)
    assert torch.allclose(logits(ProductTwins(rank=1)(model)), before, atol=2e-5)


@pytest.mark.parametrize("rank", [4, 12])
def test_parameters_and_work_fall_by_the_formula(model: Any, rank: int) -> None:
    """A row less of a head is four of d weights and three biases; each frame and each pair of frames do less, too."""
    n_frames = 48  # of 16,000 samples: 797, 198, 98 and 48 outputs of the convolutions
    before = [sum(p.numel() for p in model.parameters()), count_macs(model, 16_000)]
    twins = ProductTwins(rank=rank)(model)
    less = HEADS * (SIZE - rank)
    assert before[0] - sum(p.numel() for p in twins.parameters()) == LAYERS * less * (4 * D + 3)
    assert before[1] - count_macs(twins, 16_000) == LAYERS * less * (4 * n_frames * D + 2 * n_frames**2)


def test_the_published_shape_loses_what_the_formula_says() -> None:
    """Twelve layers of width 192 with four heads of 48 at rank 32 have 592,128 parameters less."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    from ..variants.tiny import SMALL

    torch.manual_seed(0)
    shape = {"hidden_size": 192, "num_attention_heads": 4, "num_hidden_layers": 12, "intermediate_size": 8}
    model = Wav2Vec2ForCTC(Wav2Vec2Config(**{**SMALL, **shape}))
    before = sum(p.numel() for p in model.parameters())
    assert before - sum(p.numel() for p in ProductTwins(rank=32)(model).parameters()) == 592_128


def test_the_rank_of_a_layer_keeps_the_energy_of_every_product(model: Any) -> None:
    """It is the least multiple that keeps the share in both products of each head; one less would not, somewhere."""
    twins = ProductTwins(energy=0.9, multiple_of=2)(copy.deepcopy(model))
    for before, after in zip(attentions(model).values(), attentions(twins).values(), strict=True):
        values = [torch.linalg.svdvals(p(before, head)).square() for head in range(HEADS) for p in (scores, outputs)]
        shares = [torch.cumsum(v, 0) / v.sum() for v in values]
        rank = after.head_dim
        assert rank % 2 == 0
        assert all(share[rank - 1] >= 0.9 for share in shares)
        assert any(share[rank - 3] < 0.9 for share in shares)
    assert all(a.head_dim == SIZE for a in attentions(ProductTwins(energy=1.0)(model)).values())


def test_factors_are_balanced() -> None:
    """Both factors have the same norms, so that neither is stored in a worse range."""
    torch.manual_seed(0)
    left, right = balanced(torch.randn(9, 4).double(), torch.randn(7, 4).double(), 3)
    assert torch.allclose(left.square().sum(0), right.square().sum(0))
    assert (left.shape, right.shape) == ((9, 3), (7, 3))


def test_what_scales_scores_stays(model: Any) -> None:
    """It belongs to the trained weights, not to the size that a head has now."""
    scales = {a.scaling for a in attentions(ProductTwins(rank=4)(model)).values()}
    assert scales == {SIZE**-0.5}


@pytest.mark.parametrize(
    ("kind", "says"),
    [("wavlm", "add a bias of positions to the scores"), ("sew-d", "positions within the scores"),
     ("wav2vec2-conformer", "positions"), ("wav2vec2-bert", "positions"), ("parakeet_ctc", "positions")],
)  # fmt: skip
def test_other_attention_is_refused_by_name(kind: str, says: str) -> None:
    """The product is not all that acts there: one line before anything is loaded."""
    with pytest.raises(InputError, match=f"product-twins: models of the type {kind} .*{says}") as caught:
        ProductTwins(rank=4).follow(Outline(kind))
    assert "\n" not in str(caught.value)


def test_a_loaded_wavlm_is_refused_too(save_model: Callable[..., Path]) -> None:
    """From Python, where nobody asked before."""
    from transformers import AutoModelForCTC

    with pytest.raises(InputError, match="models of the type wavlm"):
        ProductTwins(rank=4)(AutoModelForCTC.from_pretrained(save_model("WavLM")))


@pytest.mark.parametrize("kind", ["Hubert", "Data2VecAudio", "UniSpeech", "UniSpeechSat", "SEW"])
def test_relatives_with_the_same_attention_are_factorised(save_model: Callable[..., Path], kind: str) -> None:
    """HuBERT, data2vec, UniSpeech and SEW read alike at full rank, and run at a lower one."""
    from transformers import AutoModelForCTC

    model = AutoModelForCTC.from_pretrained(save_model(kind)).eval()
    before = logits(model)
    assert torch.allclose(logits(ProductTwins(rank=SIZE)(copy.deepcopy(model))), before, atol=2e-5)
    assert logits(ProductTwins(rank=4)(model)).shape == before.shape


@pytest.mark.parametrize("settings", [{"rank": 0}, {"energy": 0.0}, {"energy": 1.1}, {"multiple_of": 0}])
def test_settings_that_leave_nothing_are_refused(settings: dict[str, Any]) -> None:
    """No rank, no energy or a multiple of nothing is a mistake."""
    with pytest.raises(ValueError, match="rank|energy|multiple_of"):
        ProductTwins(**settings)


def test_a_rank_above_a_head_and_integers_are_one_line(model: Any) -> None:
    """More than a head has cannot be kept; integers have no products to take apart."""
    with pytest.raises(InputError, match="rank: 17 is more than the 16 of a head"):
        ProductTwins(rank=17)(model)
    with pytest.raises(InputError, match="product-twins needs weights in floats"):
        ProductTwins(rank=4).follow(Outline("wav2vec2", all_integers=True))


def test_aware_of_speech_the_error_of_scores_on_it_is_the_least(model: Any, tiny_model: Path) -> None:
    """Over all pairs of its frames it is the sum of the discarded squared singular values of C^1/2 M C^1/2: no product
    of the rank has less, and that of the weights alone has more. At full rank nothing changes."""
    from greenbench.compress import calibration
    from greenbench.compress.calibration import BUNDLED
    from greenbench.plugins import Context
    from greenbench.variants.wav2vec2 import Wav2Vec2

    context, rank = Context(extractor=Wav2Vec2(model=str(tiny_model)).open()[1]), 5
    before = next(iter(attentions(model).values()))
    inputs: list[Any] = []
    hook = before.q_proj.register_forward_pre_hook(lambda _module, given: inputs.append(given[0][0].double()))
    with torch.no_grad():
        for one in calibration.speech_for(model, context, BUNDLED, 2):
            model(**one)
    hook.remove()
    x = torch.nn.functional.pad(torch.cat(inputs), (0, 1), value=1.0)
    values, vectors = torch.linalg.eigh(x.T @ x / len(x))
    root = vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.T
    errors = {}
    for aware in (True, False):
        twins = ProductTwins(rank=rank, aware=aware, n_calibration=2)(copy.deepcopy(model), context)
        after = next(iter(attentions(twins).values()))
        lost = [x @ (scores(before, head) - scores(after, head)) @ x.T for head in range(HEADS)]
        errors[aware] = [float(of_head.square().mean()) for of_head in lost]
    for head in range(HEADS):
        discarded = torch.linalg.svdvals(root @ scores(before, head) @ root)[rank:].square().sum()
        assert errors[True][head] == pytest.approx(float(discarded), rel=1e-3)
        assert errors[True][head] < errors[False][head]
    whole = logits(model)
    same = ProductTwins(rank=SIZE, aware=True, n_calibration=2)(model, context)
    assert (logits(same) - whole).abs().max() <= 2e-5
    assert (ProductTwins(aware=True).calibrated_on() is None, ProductTwins().calibrated_on()) == (False, None)
