"""Heads that go: which they are, and what goes with them."""

import copy
from pathlib import Path
from typing import Any

import pytest

from greenbench.compress.heads import PruneHeads, by_speech, keep
from greenbench.errors import InputError
from greenbench.models.attention import attentions, n_heads
from greenbench.plugins import Context, Outline
from greenbench.variants.wav2vec2 import Wav2Vec2

torch = pytest.importorskip("torch")

D, HEADS, SIZE, LAYERS = 32, 4, 8, 3


@pytest.fixture
def model() -> Any:
    """A small random model of three layers with four heads each, with biases."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    from ..variants.tiny import SMALL

    torch.manual_seed(5)
    shape = {"num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    found = Wav2Vec2ForCTC(Wav2Vec2Config(**{**SMALL, **shape})).eval()
    with torch.no_grad():
        for attention in attentions(found).values():
            for parameter in attention.parameters():
                parameter.normal_(std=0.3)
    return found


def noise(n: int = 8_000, seed: int = 1) -> Any:
    """Return a waveform of noise."""
    return torch.randn(1, n, generator=torch.Generator().manual_seed(seed))


def gated(model: Any, layer: int, heads: list[int], gate: float) -> Any:
    """Return a copy in which what some heads of a layer give is multiplied by a number."""
    found = copy.deepcopy(model)
    attention = list(attentions(found).values())[layer]
    with torch.no_grad():
        for head in heads:
            attention.out_proj.weight[:, head * SIZE : (head + 1) * SIZE] *= gate
    return found


def test_a_head_that_is_gone_is_one_whose_context_is_zero(model: Any) -> None:
    """The others compute what they did; parameters fall by its rows, columns and biases."""
    with torch.no_grad():
        expected = gated(model, 1, [0, 2], 0.0)(noise()).logits
        n_params = sum(p.numel() for p in model.parameters())
        keep(list(attentions(model).values())[1], [1, 3])
        assert torch.allclose(model(noise()).logits, expected, atol=1e-6)
    assert n_params - sum(p.numel() for p in model.parameters()) == 2 * SIZE * (4 * D + 3)


@pytest.mark.parametrize("scope", ["layer", "model"])
def test_the_heads_with_the_smallest_weights_go(model: Any, scope: str) -> None:
    """By their absolute weights one goes of each layer, or as many of all layers together, the best of each kept."""
    quiet = {(0, 1), (0, 2), (1, 3)} if scope == "model" else {(0, 1), (1, 3), (2, 0)}
    values = [attention.v_proj.weight.detach().clone() for attention in attentions(model).values()]
    with torch.no_grad():
        for layer, head in quiet:
            attention = list(attentions(model).values())[layer]
            for part in (attention.q_proj, attention.k_proj, attention.v_proj):
                part.weight[head * SIZE : (head + 1) * SIZE] *= 0.1
    small = PruneHeads(score="l1", scope=scope, normalize=False)(model)
    for layer, attention in enumerate(attentions(small).values()):
        left = [head for head in range(HEADS) if (layer, head) not in quiet]
        rows = torch.cat([values[layer][head * SIZE : (head + 1) * SIZE] for head in left])
        assert torch.equal(attention.v_proj.weight, rows)
        assert n_heads(attention) == attention.num_heads == len(left)


def test_the_best_head_of_each_layer_stays(model: Any) -> None:
    """A layer all of whose heads are the weakest of the model keeps one; more than that cannot go."""
    with torch.no_grad():
        for part in ("q_proj", "k_proj", "v_proj"):
            getattr(next(iter(attentions(model).values())), part).weight.mul_(1e-3)
    small = PruneHeads(remove=1, score="l1", normalize=False)(copy.deepcopy(model))
    assert [n_heads(attention) for attention in attentions(small).values()] == [1, 4, 4]
    fewest = PruneHeads(remove=3, score="l1")(copy.deepcopy(model))
    assert [n_heads(attention) for attention in attentions(fewest).values()] == [1, 1, 1]
    for scope in ("layer", "model"):
        with pytest.raises(InputError, match="remove: 4 a layer of 4 would leave a layer without heads"):
            PruneHeads(remove=4, score="l1", scope=scope)(model)


def test_the_gradient_of_a_head_is_its_effect_on_the_loss(model: Any) -> None:
    """For a single frame the score is how fast the loss changes with what the head gives: by finite difference."""
    model = model.double()
    clip = noise(1_000).double()
    with torch.no_grad():
        logits = model(clip).logits[0]
    assert len(logits) == 1, "one frame, so that nothing is summed"
    best = logits.argmax(-1)

    def loss(layer: int, head: int, gate: float) -> float:
        with torch.no_grad():
            found = gated(model, layer, [head], gate)(clip).logits[0]
            return float(torch.nn.functional.cross_entropy(found, best, reduction="sum"))

    scores = by_speech(model, list(attentions(model).values()), [{"input_values": clip}], "gradient")
    for layer, head in ((0, 0), (1, 3), (2, 2)):
        slope = (loss(layer, head, 1 + 1e-5) - loss(layer, head, 1 - 1e-5)) / 2e-5
        assert float(scores[layer][head]) == pytest.approx(abs(slope), rel=1e-3)


def test_the_score_by_elements_is_no_smaller(model: Any) -> None:
    """The sum of absolute products is at least the absolute value of their sum; it is a mean over utterances."""
    layers = list(attentions(model).values())
    clips = [{"input_values": noise(4_000, seed)} for seed in (1, 2)]
    by_head, by_element = (by_speech(model, layers, clips, score) for score in ("gradient", "taylor"))
    assert all((b >= a).all() for a, b in zip(by_head, by_element, strict=True))
    alone = [by_speech(model, layers, [clip], "taylor") for clip in clips]
    for layer in range(LAYERS):
        assert torch.allclose(by_element[layer], (alone[0][layer] + alone[1][layer]) / 2)
    assert not any(module._forward_pre_hooks for module in model.modules()), "no hook is left"


def test_by_speech_a_head_that_adds_nothing_goes_first(tiny_model: Path) -> None:
    """A head whose output has no effect goes, whatever its weights are; the speech is named in what is measured."""
    model, extractor, _ = Wav2Vec2(model=str(tiny_model)).open()
    with torch.no_grad():
        for attention in attentions(model.eval()).values():
            attention.out_proj.weight[:, :16] = 0
    values = [attention.v_proj.weight[16:].detach().clone() for attention in attentions(model).values()]
    method = PruneHeads(score="taylor", n_calibration=2)
    small = method(model, Context(extractor=extractor))
    assert all(torch.equal(a.v_proj.weight, v) for a, v in zip(attentions(small).values(), values, strict=True))
    known = method.calibrated_on()
    assert known is not None
    assert known.name == "quickstart/unlabelled"
    assert PruneHeads(score="l1").calibrated_on() is None


def test_other_attention_integers_and_nothing_to_take_are_refused() -> None:
    """One line each, before anything is loaded."""
    with pytest.raises(InputError, match="prune-heads: models of the type wavlm"):
        PruneHeads().follow(Outline("wavlm"))
    with pytest.raises(InputError, match="prune-heads needs weights in floats"):
        PruneHeads().follow(Outline("wav2vec2", all_integers=True))
    for settings in ({"remove": 0}, {"n_calibration": 0}):
        with pytest.raises(ValueError, match="remove|n_calibration"):
            PruneHeads(**settings)
