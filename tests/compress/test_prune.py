"""Pruning: the weights that go are those that its source names, and rows say honestly what is left."""

import math
from copy import deepcopy
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench.compress import calibration
from greenbench.compress.layers import LayerDrop
from greenbench.compress.neurons import scores
from greenbench.compress.probe import probe
from greenbench.compress.prune import PAPER, PruneFfn, PruneMagnitude
from greenbench.errors import InputError
from greenbench.models.feed_forward import resize
from greenbench.plugins import Context, Outline
from greenbench.suite.entries import VariantEntry, build_variant

torch = pytest.importorskip("torch")


def load(folder: Path, *builds: Any) -> Any:
    """Load a model with builds chained on, on the CPU."""
    return build_variant(VariantEntry(use="wav2vec2", model=str(folder), builds=list(builds))).load("cpu")


@pytest.fixture(scope="module")
def deep() -> Any:
    """The large model's 24 layers, narrow; their weights are drawn from a normal distribution as the large ones are."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    torch.manual_seed(3)
    config = Wav2Vec2Config(
        hidden_size=64, num_hidden_layers=24, num_attention_heads=4, intermediate_size=256, vocab_size=32,
        conv_dim=(32,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    return Wav2Vec2ForCTC(config)


def test_the_papers_setting_on_normal_weights(deep: Any) -> None:
    """A share erf(s / sqrt 2) of a normal distribution lies within s standard deviations: 8, 24 and 31 % for the
    paper's sensitivities, 23 % of the layers together, which is what the paper found on trained weights."""
    before = {name: p.detach().clone() for name, p in deep.named_parameters()}
    model = PruneMagnitude()(deep)
    layers = {n: m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv1d)}
    zeros = {name: float((layer.weight == 0).float().mean()) for name, layer in layers.items()}
    expected = {f"encoder.layers.{i}.": 0.0 if i < 3 else 0.3 if i < 17 else 0.4 for i in range(24)} | {
        "feature_extractor": 0.1
    }
    for part, sensitivity in expected.items():
        found = [share for name, share in zeros.items() if part in name]
        assert np.mean(found) == pytest.approx(math.erf(sensitivity / math.sqrt(2)), abs=0.01), part
    linear = [m.weight for m in model.wav2vec2.encoder.layers.modules() if isinstance(m, torch.nn.Linear)]
    assert sum(int((w == 0).sum()) for w in linear) / sum(w.numel() for w in linear) == pytest.approx(0.23, abs=0.005)
    assert zeros["lm_head"] == 0
    kept = {name: torch.where(p == 0, before[name], p) for name, p in model.named_parameters()}
    assert all(torch.allclose(kept[name], before[name]) for name in before if "pos_conv" not in name)


def test_a_weight_norm_keeps_the_weights_that_stay(tiny_model: Path) -> None:
    """Of the positional convolution, whose weight is computed, the small weights are zero and the others unchanged."""
    plain, pruned = (load(tiny_model, *builds).model.wav2vec2.encoder.pos_conv_embed.conv.weight
                     for builds in ([], [{"use": "prune-magnitude", "sensitivity": {"*pos_conv*": 1.0}}]))  # fmt: skip
    small = plain.abs() < plain.std(correction=0)
    assert 0.3 < small.float().mean() < 0.9
    assert torch.allclose(pruned, torch.where(small, 0.0, plain), atol=1e-6)


def test_rows_tell_parameters_from_those_that_are_not_zero(tiny_model: Path) -> None:
    """Zeros stay parameters and bytes; int8 counts its integers, so that small weights become zeros there, too."""
    plain, pruned, int8 = (load(tiny_model, *builds).footprint for builds in
                           ([], [{"use": "prune-magnitude", "sensitivity": {"*": 0.5}}], ["int8-dynamic"]))  # fmt: skip
    assert pruned.n_params == plain.n_params
    assert pruned.model_bytes == pytest.approx(plain.model_bytes, rel=1e-3)
    assert plain.n_params * 0.9 < plain.n_nonzero_params() <= plain.n_params  # biases begin as zeros
    assert pruned.n_nonzero_params() < 0.75 * plain.n_params
    assert pruned.n_nonzero_params() < int8.n_nonzero_params() < plain.n_nonzero_params()


@pytest.mark.parametrize("sensitivity", [{}, {"*": 0.0}])
def test_nothing_to_prune_is_refused(sensitivity: dict[str, float]) -> None:
    """No pattern, or one that prunes nothing, is a mistake of the settings."""
    with pytest.raises(ValueError, match="sensitivity"):
        PruneMagnitude(sensitivity)


def test_a_pattern_must_fit(tiny_model: Path) -> None:
    """Where no layer has such a name nothing would happen, which is one clear line."""
    with pytest.raises(InputError, match=r"no layer matches encoder"):
        load(tiny_model, {"use": "prune-magnitude", "sensitivity": {"encoder": 0.3}})
    assert PruneMagnitude().sensitivity == PAPER


def pruned(folder: Path, scope: str) -> tuple[list[Any], list[Any]]:
    """Return the feed-forward layers of the small model with a second layer of smaller weights, whole and pruned."""
    found = []
    for steps in ([], [PruneFfn(keep=0.5, scope=scope)]):
        model = load(folder).model
        with torch.no_grad():
            model.wav2vec2.encoder.layers[1].feed_forward.output_dense.weight[:, 8:] *= 0.1
        for step in steps:
            model = step(model)
        found.append([layer.feed_forward for layer in model.wav2vec2.encoder.layers])
    return found[0], found[1]


@pytest.mark.parametrize("scope", ["layer", "model"])
def test_the_neurons_with_the_smallest_weights_go(tiny_model: Path, scope: str) -> None:
    """Those with the least L1 norm of weights in, bias and weights out are gone; the others compute what they did."""
    whole, narrow = pruned(tiny_model, scope)
    for before, after in zip(whole, narrow, strict=True):
        first, second = before.intermediate_dense, before.output_dense
        into, bias, out = (tensor.detach() for tensor in (first.weight, first.bias, second.weight))
        scores = [float(into[i].abs().sum() + bias[i].abs() + out[:, i].abs().sum()) for i in range(len(bias))]
        width = len(after.intermediate_dense.bias)
        kept = sorted(sorted(range(len(scores)), key=lambda i: -scores[i])[:width])
        assert torch.equal(after.intermediate_dense.weight, into[kept])
        assert torch.equal(after.intermediate_dense.bias, bias[kept])
        assert torch.equal(after.output_dense.weight, out[:, kept])
        hidden = torch.randn(3, 32)
        with torch.no_grad():  # out is the whole layer's own weight
            out[:, sorted(set(range(len(scores))) - set(kept))] = 0
            assert torch.allclose(after(hidden), before(hidden), atol=1e-6)
    found = [layer.intermediate_dense.out_features for layer in narrow]
    if scope == "layer":
        assert found == [32, 32]
    else:
        assert found[0] > found[1]
        assert sum(found) == pytest.approx(64, abs=8)


@pytest.mark.parametrize(("settings", "widths"), [({}, [64, 8]), ({"multiple_of": 32}, [64, 32])])
def test_widths_are_multiples_and_never_none(tiny_model: Path, settings: dict[str, int], widths: list[int]) -> None:
    """A layer none of whose neurons is among the highest keeps one multiple; none becomes wider than it was."""
    model = load(tiny_model).model
    with torch.no_grad():
        for parameter in model.wav2vec2.encoder.layers[1].feed_forward.parameters():
            parameter.mul_(1e-3)
    small = PruneFfn(keep=0.5, scope="model", **settings)(model)
    assert [layer.feed_forward.intermediate_dense.out_features for layer in small.wav2vec2.encoder.layers] == widths


def test_a_neuron_less_is_two_rows_of_weights_and_a_bias_less(tiny_model: Path) -> None:
    """Parameters, bytes and work fall by exactly what the neurons had."""
    whole, half = (load(tiny_model, *builds).footprint for builds in ([], [{"use": "prune-ffn", "keep": 0.5}]))
    assert whole.n_params - half.n_params == 2 * 32 * (32 + 1 + 32)
    assert whole.model_bytes - half.model_bytes == pytest.approx(4 * (whole.n_params - half.n_params), rel=0.02)
    assert whole.macs(16_000) - half.macs(16_000) == 2 * 32 * (32 + 32) * 49


@pytest.mark.parametrize("settings", [{"keep": 0.0}, {"keep": 1.0}, {"keep": 0.5, "multiple_of": 0}])
def test_taking_everything_or_nothing_is_refused(settings: dict[str, Any]) -> None:
    """A share that leaves all or none, or a multiple of nothing, is a mistake of the settings."""
    with pytest.raises(ValueError, match="keep|multiple_of"):
        PruneFfn(**settings)


def test_neurons_go_before_their_weights_become_integers(tiny_model: Path) -> None:
    """After int8 there are no rows to take out, which is one clear line; so is a model without such layers."""
    with pytest.raises(InputError, match="prune-ffn needs whole weights in floats"):
        load(tiny_model, "int8-dynamic", {"use": "prune-ffn", "keep": 0.5})
    with pytest.raises(InputError, match="no feed-forward layers"):
        PruneFfn(keep=0.5)(torch.nn.Linear(2, 2))


def loss_of(model: Any, inputs: Any, tokens: Any, layer: int, factors: Any) -> float:
    """Return the cross-entropy to given tokens, summed over frames, with a layer's neurons multiplied by factors."""
    part = model.wav2vec2.encoder.layers[layer].feed_forward.output_dense
    hook = part.register_forward_pre_hook(lambda _, given: (given[0] * factors,))
    with torch.no_grad():
        log_p = model(**inputs).logits[0].log_softmax(-1)
    hook.remove()
    return -float(log_p.gather(1, tokens[:, None]).sum())


@pytest.mark.parametrize("score", ["gradient", "taylor"])
def test_gradients_are_those_of_a_gate_on_each_neuron(small: Any, score: str) -> None:
    """By differences of the loss in float64: of a gate for a whole utterance, its size; of one a frame, their sum."""
    model = small.double()
    speech = [{"input_values": torch.from_numpy(np.random.default_rng(n).standard_normal((1, 2000)))} for n in (0, 1)]
    found = scores(model, score, speech)
    step = 1e-4
    for layer, neuron in ((0, 3), (1, 40), (2, 0)):
        expected = 0.0
        for inputs in speech:
            with torch.no_grad():
                tokens = model(**inputs).logits[0].argmax(-1)
            frames = [slice(None)] if score == "gradient" else range(len(tokens))
            for frame in frames:
                gates = [torch.ones(len(tokens), 64).double() for _ in range(2)]
                gates[0][frame, neuron] += step
                gates[1][frame, neuron] -= step
                more, less = (loss_of(model, inputs, tokens, layer, gate) for gate in gates)
                expected += abs(more - less) / (2 * step)
        assert float(found[layer][neuron]) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_the_search_finds_what_trying_everything_finds(small: Any, context: Context) -> None:
    """Two of four blocks of two layers: 36 ways, each tried by taking the neurons out and probing the model."""
    model = LayerDrop(keep=2, select="first_k")(small)
    speech = calibration.speech_for(model, context, calibration.BUNDLED, 1)

    def damage(kept: Any) -> float:
        edited = deepcopy(model)
        for layer, blocks in zip(edited.wav2vec2.encoder.layers, kept, strict=True):
            rows = [16 * block + i for block in blocks for i in range(16)]
            first, second = layer.feed_forward.intermediate_dense, layer.feed_forward.output_dense
            resize(layer.feed_forward, first.weight[rows], first.bias[rows], second.weight[:, rows])
        return probe(edited, model, speech)

    ways = [*combinations(range(4), 2)]
    tried = [damage(kept) for kept in product(ways, ways)]
    method = PruneFfn(keep=0.5, search="genetic", blocks=4, population=12, generations=8, n_calibration=1)
    found = probe(method(deepcopy(model), context), model, speech)
    assert found == pytest.approx(min(tried), rel=1e-3)
    assert max(tried) > 1.5 * min(tried), "so that this can fail"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"search": "genetic", "scope": "model"}, "leave out `scope: model`"),
        ({"search": "genetic", "blocks": 2, "keep": 0.9}, "leaves all or none of 2 `blocks`"),
    ],
)
def test_a_search_that_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    """One over layers of several widths, or one that has nothing to choose."""
    with pytest.raises(ValueError, match=message):
        PruneFfn(**{"keep": 0.5} | settings)


def test_widths_that_are_no_multiple_of_the_blocks_are_refused(tiny_model: Path) -> None:
    """64 neurons are not 24 blocks, which is one clear line."""
    with pytest.raises(InputError, match="prune-ffn: blocks: 64 neurons of a layer are not a multiple of 24"):
        load(tiny_model, {"use": "prune-ffn", "keep": 0.5, "search": "genetic", "blocks": 24, "n_calibration": 1})


def test_speech_is_named_where_it_is_used() -> None:
    """The L1 norm needs none; scores by gradients, refit and search take the bundled speech, and floats throughout."""
    assert PruneFfn(keep=0.5).calibrated_on() is None
    for settings in ({"score": "taylor"}, {"refit": True}, {"search": "genetic"}):
        method = PruneFfn(keep=0.5, **settings)
        named = method.calibrated_on()
        assert named is not None
        assert named.name == "quickstart/unlabelled"
        with pytest.raises(InputError, match="by speech cannot follow int8-weight-only: put it before"):
            method.follow(Outline(integers="int8-weight-only"))
