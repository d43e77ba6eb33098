"""Sharing layers: which share, what they begin with, and what other methods do to a model of shared layers."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from greenbench import registry
from greenbench.compress import (
    Distill,
    HealLayers,
    LayerDrop,
    LowRank,
    MixedPrecision,
    ProductTwins,
    PruneFfn,
    PruneHeads,
    PruneMagnitude,
    ReduceFrames,
)
from greenbench.compress.saliency import effects
from greenbench.compress.share import ShareLayers
from greenbench.errors import InputError
from greenbench.models import opening, shared
from greenbench.models.attention import attentions, n_heads
from greenbench.models.feed_forward import feed_forwards, widths
from greenbench.models.macs import count_macs
from greenbench.plugins import Context, Method, Outline, Utterance, follow
from greenbench.plugins.events import Event, TrainingLogged
from greenbench.variants.wav2vec2 import Wav2Vec2

torch = pytest.importorskip("torch")

LENGTH = 20_000


def noise() -> Any:
    """Return an utterance of noise."""
    return torch.randn(1, LENGTH, generator=torch.Generator().manual_seed(0))


def logits(model: Any) -> Any:
    """Return the logits of noise."""
    with torch.no_grad():
        return model(noise()).logits


def apart(model: Any) -> Any:
    """Return a copy whose layers have equal weights, each its own."""
    other = copy.deepcopy(model)
    for layer in other.wav2vec2.encoder.layers:
        for name, part in shared.parts(layer).items():
            setattr(layer, name, copy.deepcopy(part))
    return other


@pytest.mark.parametrize(
    ("settings", "firsts"),
    [
        ({"groups": 3}, (0, 0, 0, 0, 4, 4, 4, 7, 7, 7)),
        ({"groups": 3, "how": "cycle"}, (0, 1, 2, 0, 1, 2, 0, 1, 2, 0)),
        ({"groups": 1}, (0,) * 10),
        ({"groups": [[5, 1], [2, 3, 9]]}, (0, 1, 2, 2, 4, 1, 6, 7, 8, 2)),
    ],
)
def test_layers_share_in_blocks_in_turns_or_as_listed(settings: dict[str, Any], firsts: tuple[int, ...]) -> None:
    """Of ten layers: neighbours, every third, all, or the groups given, where others keep their own."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    with torch.device("meta"):
        config = Wav2Vec2Config(hidden_size=32, num_hidden_layers=10, num_attention_heads=2, intermediate_size=64)
        model = Wav2Vec2ForCTC(config)
    found = shared.owners(ShareLayers(**settings)(model))
    assert found == dict.fromkeys(("attention", "layer_norm", "feed_forward", "final_layer_norm"), firsts)


@pytest.mark.parametrize("begin", ["first", "mean"])
def test_full_groups_change_nothing(small: Any, begin: str) -> None:
    """As many groups as layers leave each layer with its own weights."""
    before = logits(small)
    after = ShareLayers(groups=3, begin=begin)(small)  # type: ignore[arg-type]
    assert shared.owners(after) == {}
    assert torch.equal(logits(after), before)


def test_a_group_begins_with_its_first_layer_or_the_mean(small: Any) -> None:
    """Weights of the first, or the mean of all; norms stay each layer's own where they are to."""
    before = copy.deepcopy(small).wav2vec2.encoder.layers
    name = "feed_forward.output_dense.weight"
    mean = (before[0].get_parameter(name) + before[2].get_parameter(name)) / 2
    first = ShareLayers(groups=[[0, 2]])(copy.deepcopy(small)).wav2vec2.encoder.layers
    assert torch.equal(first[2].get_parameter(name), before[0].get_parameter(name))
    averaged = ShareLayers(groups=[[0, 2]], begin="mean", share_norms=False)(small).wav2vec2.encoder.layers
    assert averaged[2].feed_forward is averaged[0].feed_forward
    assert torch.allclose(averaged[2].get_parameter(name), mean)
    assert averaged[2].layer_norm is not averaged[0].layer_norm
    assert torch.equal(averaged[1].get_parameter(name), before[1].get_parameter(name))


def test_a_step_of_the_gradient_changes_all_layers(small: Any) -> None:
    """The gradient is the sum over the layers that share, and what is stepped is what all of them have."""
    model = ShareLayers(groups=1)(small)
    other = apart(model)
    for one in (model, other):
        one(noise()).logits.square().sum().backward()
    path = "attention.v_proj.weight"
    ours = model.wav2vec2.encoder.layers[0].get_parameter(path)
    theirs = [layer.get_parameter(path).grad for layer in other.wav2vec2.encoder.layers]
    assert torch.allclose(ours.grad, sum(theirs), rtol=1e-3, atol=1e-3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    assert sum(parameter is ours for group in optimizer.param_groups for parameter in group["params"]) == 1
    before = ours.detach().clone()
    optimizer.step()
    assert all(layer.get_parameter(path) is ours for layer in model.wav2vec2.encoder.layers)
    assert not torch.equal(ours, before)


def test_one_layer_for_all_of_large_has_the_published_size() -> None:
    """W2V2-Light's 91 % fewer parameters: large with one layer for 24, head and mask embedding left out."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    from greenbench.variants.checkpoints import ARCHITECTURES

    with torch.device("meta"):
        model = Wav2Vec2ForCTC(Wav2Vec2Config(**ARCHITECTURES["large"]))
    others = {"lm_head.weight", "lm_head.bias", "wav2vec2.masked_spec_embed"}

    def size() -> int:
        return sum(parameter.numel() for name, parameter in model.named_parameters() if name not in others)

    whole = size()
    ShareLayers(groups=1)(model)
    assert (whole, size()) == (315_427_968, 25_714_816)


@pytest.mark.parametrize("share_norms", [True, False])
def test_what_enters_a_shared_module_is_weighed_in_all_of_its_runs(small: Any, share_norms: bool) -> None:
    """The effects of a module that layers share are those of each layer one after the other."""
    model = ShareLayers(groups=[[0, 2]], share_norms=share_norms)(small)
    other = apart(model)
    ours = effects(model, [layer.output_dense for layer in feed_forwards(model).values()], {"input_values": noise()})
    theirs = effects(other, [layer.output_dense for layer in feed_forwards(other).values()], {"input_values": noise()})
    assert len(ours) == 2
    assert torch.allclose(ours[0], torch.cat([theirs[0], theirs[2]]), atol=1e-5)
    assert torch.allclose(ours[1], theirs[1], atol=1e-5)


AFTER: dict[str, Callable[[], Method]] = {
    "layer-drop": lambda: LayerDrop(list=[0, 2], refit=True, refit_steps=2, n_calibration=2),
    "prune-heads": lambda: PruneHeads(remove=1, scope="layer", n_calibration=2),
    "prune-ffn": lambda: PruneFfn(keep=0.5, score="taylor", n_calibration=2),
    "prune-ffn over the model": lambda: PruneFfn(keep=0.5, scope="model", score="gradient", n_calibration=2),
    "prune-ffn by search": lambda: PruneFfn(
        keep=0.5, search="genetic", blocks=4, population=3, generations=1, n_calibration=1
    ),
    "product-twins": lambda: ProductTwins(rank=4, aware=True, n_calibration=2),
    "low-rank": lambda: LowRank(rank=4, how="activations", n_calibration=2),
    "prune-magnitude": lambda: PruneMagnitude(sensitivity={"*": 0.5}),
    "reduce-frames": lambda: ReduceFrames(at=2),
    "mixed-precision": lambda: MixedPrecision(n_calibration=2),
}
"""Methods that may follow ``share-layers``."""


@pytest.mark.slow
@pytest.mark.parametrize("method", AFTER)
@pytest.mark.filterwarnings("ignore:Support for mismatched")
def test_what_follows_is_done_to_a_shared_layer_once(small: Any, context: Context, tmp_path: Path, method: str) -> None:
    """The layers share on, read as the method leaves them, count what a model of the same shape does, and reopen so."""
    model = ShareLayers(groups=[[0, 2]], share_norms=False)(small)
    changed = AFTER[method]()(model, context)
    assert shared.owners(changed)["attention"] in ((0, 1, 0), (0, 0))
    assert shared.owners(changed).keys() == {"attention", "feed_forward"}
    assert count_macs(changed, LENGTH) == count_macs(apart(changed), LENGTH) > 0
    opening.save(changed, tmp_path)
    again = opening.opened("mine", tmp_path, torch.float32).eval()
    assert shared.owners(again) == shared.owners(changed)
    assert torch.equal(logits(again), logits(changed))


def test_heads_and_neurons_go_once(small: Any) -> None:
    """Of two heads and 64 neurons one and 32 are left, where each of three layers would have taken its own."""
    model = PruneFfn(keep=0.5)(PruneHeads(score="l1", scope="layer")(ShareLayers(groups=1)(small)))
    assert [n_heads(attention) for attention in attentions(model).values()] == [1]
    assert widths(model) == [32] * 3


@pytest.mark.slow
def test_a_training_of_shared_layers_goes_on_bit_for_bit(
    small: Any, save_processor: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Broken off after a checkpoint, with each tensor once and no warning, it ends as without a break."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    save_processor(tmp_path, False)
    small.save_pretrained(tmp_path)
    method = Distill(steps=4, lr=1e-3, batch_s=2, losses={"kl": 1.0, "hidden": 1.0}, log_every=1, validate_every=2)
    found = []
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
        plain, extractor, tokenizer = Wav2Vec2(model=str(tmp_path)).open()
        context = Context(
            teacher=copy.deepcopy(plain),
            extractor=extractor,
            tokenizer=tokenizer,
            train=spoken(),
            folder=tmp_path / name,
        )
        if name == "broken":
            with pytest.raises(KeyboardInterrupt):
                method(ShareLayers(groups=1)(copy.deepcopy(plain)), replace(context, observe=break_off))
            (checkpoint,) = (tmp_path / name).glob("checkpoint-*/model.safetensors")
            with safe_open(checkpoint, framework="pt") as tensors:
                assert not any(".layers.1." in name for name in tensors.keys())  # noqa: SIM118
        found.append(method(ShareLayers(groups=1)(copy.deepcopy(plain)), context))
    assert "shared tensor" not in caplog.text
    assert {*shared.owners(found[1]).values()} == {(0, 0, 0)}
    ours, theirs = (model.state_dict() for model in found)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    path = "encoder.layers.0.attention.q_proj.weight"
    assert not torch.equal(found[0].wav2vec2.get_parameter(path), small.wav2vec2.get_parameter(path))


def spoken() -> list[Utterance]:
    """Return two utterances of noise."""
    rng = np.random.default_rng(0)
    return [Utterance(str(n), 0.1 * rng.standard_normal(n).astype("float32"), "") for n in (8_000, 12_000)]


def break_off(event: Event) -> None:
    """Interrupt a training after its first checkpoint."""
    if isinstance(event, TrainingLogged) and event.row["step"] == 3:
        raise KeyboardInterrupt


def test_layers_with_reducers_share_all_but_these(small: Any) -> None:
    """Frames become fewer where they did, once."""
    reduced = ReduceFrames(at=1, how="average")(small)
    macs = count_macs(reduced, LENGTH)
    model = ShareLayers(groups=1)(reduced)
    assert [hasattr(layer, "reducer") for layer in model.wav2vec2.encoder.layers] == [False, True, False]
    assert count_macs(model, LENGTH) == macs


SHARED = Outline("wav2vec2", 3, "fp32", shared=True)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (HealLayers(n_calibration=1), r"heal-layers trains one layer at a time.*: put it before share-layers"),
        (PruneFfn(keep=0.5, refit=True), r"prune-ffn: refit fits one layer at a time.*: leave refit out"),
    ],
)
def test_what_fits_layer_by_layer_is_refused_first(small: Any, context: Context, method: Any, message: str) -> None:
    """In a chain, of a folder, and of a model that is given: what would be fitted to one layer would change others."""
    with pytest.raises(InputError, match=message) as caught:
        follow(Outline("wav2vec2", 3, "fp32"), [ShareLayers(groups=2), method])
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=message):
        method.follow(SHARED)
    model = ShareLayers(groups=1)(small)
    with pytest.raises(InputError, match=message):
        method(model, Context(extractor=context.extractor, teacher=copy.deepcopy(small)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": 0}, "groups: "),
        ({"groups": []}, "groups: give lists of layers"),
        ({"groups": [[]]}, "groups: give lists of layers"),
        ({"groups": [[0, 1], [1, 2]]}, "each layer once"),
        ({"groups": [[-1, 1]]}, "groups: "),
        ({"groups": [[0, 1]], "how": "cycle"}, "leave out `how`"),
        ({"how": "spirals"}, "how"),
    ],
)
def test_settings_that_share_nothing_are_refused(settings: dict[str, Any], message: str) -> None:
    """No groups, empty ones, a layer twice, and two answers to one question."""
    with pytest.raises(InputError, match=message):
        registry.create("methods", "share-layers", settings)


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (Outline("wav2vec2", 2), "share-layers: groups: 3 are more than the 2 layers"),
        (Outline("sew-d", 3), "models of the type sew-d"),
        (Outline("wav2vec2", 3, integers="int8-dynamic"), "share-layers cannot follow int8-dynamic: put it before"),
        (Outline("wav2vec2", 3, compiled=True), "share-layers cannot follow compile: put it before"),
    ],
)
def test_what_cannot_share_is_refused_before_anything_runs(before: Outline, message: str) -> None:
    """Too few layers, a family without a list of them, integers, and what is compiled."""
    with pytest.raises(InputError, match=message):
        ShareLayers().follow(before)
    with pytest.raises(InputError, match="there is no layer 7: 3 count from 0"):
        ShareLayers(groups=[[0, 7]]).follow(Outline("wav2vec2", 3))


def test_a_mean_needs_layers_of_one_shape(small: Any) -> None:
    """Layers of several widths, or of factors, have none; the first one's weights can be shared all the same."""
    uneven = PruneFfn(keep=0.5, scope="model", multiple_of=1)(copy.deepcopy(small))
    with pytest.raises(InputError, match="begin: mean needs layers of one shape"):
        ShareLayers(groups=1, begin="mean")(uneven)
    assert len({*widths(ShareLayers(groups=1)(uneven))}) == 1
    for method in (LowRank(rank=4), MixedPrecision(bits=[3], mean_bits=3)):
        with pytest.raises(InputError, match="begin: mean` needs whole weights in floats"):
            ShareLayers(groups=1, begin="mean")(method(copy.deepcopy(small)))
