"""A thinned front end: which channels go, what is left of norms and projection, and what a refit makes of it."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench.compress import ThinConv
from greenbench.compress.calibration import BUNDLED, speech_for
from greenbench.compress.low_rank import LowRank
from greenbench.compress.probe import probe
from greenbench.compress.reduce import ReduceFrames
from greenbench.compress.refit import front_end, kept_if_nearer
from greenbench.compress.saliency import by_gates
from greenbench.compress.stored import save
from greenbench.errors import InputError
from greenbench.models.convolutions import consumers, convolutions, keep
from greenbench.models.macs import count_macs
from greenbench.plugins import Context, Outline
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.variants.wav2vec2 import Wav2Vec2

from .test_refit import closed_form

torch = pytest.importorskip("torch")

CHANNELS = {1: [0, 2, 3, 7, 8, 9, 11, 15], 2: [1, 4, 5, 6, 10, 12, 13, 14], 3: [0, 1, 2, 3, 9, 10, 11, 12]}
"""Half of the channels of each convolution of ``small`` but the first."""

WINDOWS = ((64, 20), (8, 4), (4, 2), (4, 2))
"""Kernel and stride of its convolutions."""


def noise(n: int = 8_000, seed: int = 1) -> Any:
    """Return a waveform of noise."""
    return torch.randn(1, n, generator=torch.Generator().manual_seed(seed))


def logits(model: Any) -> Any:
    """Return the logits of noise."""
    with torch.no_grad():
        return model.eval()(noise()).logits


def load(folder: Path, *builds: Any) -> Any:
    """Load a folder with builds chained on, on the CPU."""
    variant = build_variant(VariantEntry(use="wav2vec2", model=str(folder), builds=list(builds)))
    variant.check()
    variant.prepare()
    return variant.load("cpu")


def thinned(model: Any, channels: Mapping[int, Sequence[int]] = CHANNELS) -> Any:
    """Return a copy of a model with some channels of some convolutions left."""
    model = deepcopy(model)
    for number, kept in channels.items():
        keep(model, number, kept)
    return model


def uneven(model: Any) -> Any:
    """Give the norms of a front end weights and biases of their own."""
    torch.manual_seed(1)
    with torch.no_grad():
        for layer in [*convolutions(model), model.wav2vec2.feature_projection]:
            for parameter in layer.layer_norm.parameters() if hasattr(layer, "layer_norm") else ():
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return model


@pytest.mark.parametrize("number", [0, 1, 2])
def test_with_group_norm_a_channel_that_is_gone_is_one_that_nothing_takes_in(small: Any, number: int) -> None:
    """The others compute what they did; with layer norms they are normalised anew, which changes the output."""
    whole = uneven(small)
    kept = [1, 2, 5, 11]
    unread = deepcopy(whole)
    with torch.no_grad():
        convolutions(unread)[number + 1].conv.weight[:, [c for c in range(16) if c not in kept]] = 0
    same = torch.allclose(logits(thinned(whole, {number: kept})), logits(unread), atol=1e-5)
    assert same == (whole.config.feat_extract_norm == "group")


def projected(model: Any, channels: Mapping[int, Sequence[int]], clip: Any) -> Any:
    """Return the projected features of a model of which only some channels count, from its whole weights by hand."""
    hidden = clip.numpy()
    normed_first = model.config.feat_extract_norm == "group"
    for number, (layer, (kernel, stride)) in enumerate(zip(convolutions(model), WINDOWS, strict=True)):
        kept = channels.get(number, range(16))
        taken = channels.get(number - 1, range(16 if number else 1))
        weight = layer.conv.weight.detach().numpy()[kept][:, taken]
        starts = range(0, hidden.shape[1] - kernel + 1, stride)
        hidden = np.stack([np.einsum("oik,ik->o", weight, hidden[:, s : s + kernel]) for s in starts], 1)
        if hasattr(layer, "layer_norm"):
            axis = 1 if normed_first else 0  # over time for each channel, or over channels for each frame
            hidden = normed(hidden, layer.layer_norm, kept, axis)
        hidden = torch.nn.functional.gelu(torch.from_numpy(hidden)).numpy()
    projection, kept = model.wav2vec2.feature_projection, channels.get(3, range(16))
    hidden = normed(hidden, projection.layer_norm, kept, 0)
    linear = projection.projection
    return hidden.T @ linear.weight.detach().numpy()[:, kept].T + linear.bias.detach().numpy()


def normed(hidden: Any, norm: Any, kept: Sequence[int], axis: int) -> Any:
    """Return ``(n_channels, n_frames)`` normalised over an axis, with the weights of the channels that are kept."""
    weight, bias = (parameter.detach().numpy()[list(kept)][:, None] for parameter in (norm.weight, norm.bias))
    centred = hidden - hidden.mean(axis, keepdims=True)
    return centred / np.sqrt(hidden.var(axis, keepdims=True) + norm.eps) * weight + bias


def test_norms_are_over_the_channels_that_stay(small: Any) -> None:
    """Features of a thinned front end are those that its remaining weights give by hand, with either norm."""
    whole = uneven(small.double())
    clip = noise(3_000).double()
    base = thinned(whole).wav2vec2
    with torch.no_grad():
        found = base.feature_projection(base.feature_extractor(clip).transpose(1, 2))[0][0]
    assert np.allclose(found.numpy(), projected(whole, CHANNELS, clip), atol=1e-9)


def test_parameters_and_work_fall_by_what_the_channels_had(small: Any) -> None:
    """By the formulas of convolutions, norms and projection: 8 channels go in or out where 16 did."""
    narrow = thinned(small)
    widths, layered = (16, 8, 8, 8), small.config.feat_extract_norm == "layer"

    def weights(widths: Sequence[int]) -> int:
        pairs = zip((1, *widths), widths, WINDOWS, strict=False)
        norms = sum(2 * n for n in widths) if layered else 2 * widths[0]
        return sum(n_in * n_out * kernel for n_in, n_out, (kernel, _) in pairs) + norms + (2 + 32) * widths[-1]

    def macs(widths: Sequence[int], n: int = 16_000) -> int:
        found = 0
        for n_in, n_out, (kernel, stride) in zip((1, *widths), widths, WINDOWS, strict=False):
            n = (n - kernel) // stride + 1
            found += n * n_in * n_out * kernel
        return found + n * 32 * widths[-1]

    assert list(narrow.config.conv_dim) == [16, 8, 8, 8]
    lost = sum(p.numel() for p in small.parameters()) - sum(p.numel() for p in narrow.parameters())
    assert lost == weights((16,) * 4) - weights(widths) > 0
    before, after = (count_macs(model, 16_000) for model in (small, narrow))
    assert before is not None
    assert after is not None
    assert before - after == macs((16,) * 4) - macs(widths) > 0


def loss_of(model: Any, clip: Any, tokens: Any, number: int, factors: Any) -> float:
    """Return the cross-entropy to given tokens, summed over frames, with a convolution's outputs multiplied."""
    hook = convolutions(model)[number].register_forward_hook(lambda *given: given[2] * factors)
    with torch.no_grad():
        log_p = model(clip).logits[0].log_softmax(-1)
    hook.remove()
    return -float(log_p.gather(1, tokens[:, None]).sum())


def test_scores_are_those_of_a_gate_on_each_channel_of_each_frame(small: Any) -> None:
    """By differences of the loss in float64, for convolutions before another and before the projection."""
    model, clip, step = small.double(), noise(2_000).double(), 1e-4
    found = by_gates(model, consumers(model), [{"input_values": clip}], per_frame=True)
    with torch.no_grad():
        tokens = model(clip).logits[0].argmax(-1)
    for number, n_frames, channel in ((1, 23, 3), (2, 10, 0), (3, 4, 15)):
        expected = 0.0
        for frame in range(n_frames):
            gates = [torch.ones(1, 16, n_frames).double() for _ in range(2)]
            gates[0][0, channel, frame] += step
            gates[1][0, channel, frame] -= step
            more, less = (loss_of(model, clip, tokens, number, gate) for gate in gates)
            expected += abs(more - less) / (2 * step)
        assert float(found[number][channel]) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_the_channels_that_nothing_takes_in_go_first(small: Any, context: Context) -> None:
    """Of each convolution behind those that are skipped as many stay as the share says, in order."""
    unread = {number: CHANNELS[number] for number in (1, 2)}  # the last has a norm behind it, where all count
    with torch.no_grad():
        for number, kept in unread.items():
            consumers(small)[number].weight[:, [c for c in range(16) if c not in kept]] = 0
    weights = [layer.conv.weight.detach().clone() for layer in convolutions(small)]
    narrow = ThinConv(keep=0.5, refit=False, n_calibration=1)(small, context)
    assert torch.equal(convolutions(narrow)[0].conv.weight, weights[0])
    for number, kept in unread.items():
        taken = unread.get(number - 1, list(range(16)))
        assert torch.equal(convolutions(narrow)[number].conv.weight, weights[number][kept][:, taken])
    assert convolutions(narrow)[3].conv.weight.shape == (8, 8, 4)


@pytest.mark.parametrize(
    ("settings", "widths"),
    [({"keep": 0.5}, [16, 8, 8, 8]), ({"keep": 0.7, "skip": 2, "multiple_of": 1}, [16, 16, 11, 11]),
     ({"keep": 0.1, "skip": 0}, [8, 8, 8, 8]), ({"keep": 0.9}, [16, 16, 16, 16])],
)  # fmt: skip
def test_channels_are_multiples_and_never_none(
    small: Any, context: Context, settings: dict[str, Any], widths: list[int]
) -> None:
    """Rounded to multiples of 8 unless said otherwise; the first convolutions keep theirs."""
    whole = logits(small)
    narrow = ThinConv(**settings, refit=False, n_calibration=1)(small, context)
    assert [layer.conv.out_channels for layer in convolutions(narrow)] == widths == list(narrow.config.conv_dim)
    assert logits(narrow).shape == whole.shape


def test_channels_stay_as_they_are_named(small: Any, context: Context) -> None:
    """The highest scores of each convolution that has more; one that keeps all keeps its weights bit for bit."""
    named, by_share = (
        ThinConv(**settings, n_calibration=1)(deepcopy(small), context)
        for settings in ({"channels": [16, 8, 8, 8]}, {"keep": 0.5})
    )
    assert all(torch.equal(tensor, by_share.state_dict()[name]) for name, tensor in named.state_dict().items())
    uneven_widths = ThinConv(channels=[5, 16, 3, 16], n_calibration=1)(deepcopy(small), context)
    assert list(uneven_widths.config.conv_dim) == [5, 16, 3, 16]
    assert [layer.conv.out_channels for layer in convolutions(uneven_widths)] == [5, 16, 3, 16]
    assert logits(uneven_widths).shape == logits(small).shape


@pytest.mark.parametrize("channels", [[16, 16, 8, 16], [8, 16, 16, 16]])
def test_only_what_takes_in_a_thinned_convolution_is_fitted(small: Any, context: Context, channels: list[int]) -> None:
    """The convolution behind is; all others, the feature projection among them, are as they were."""
    thin = next(number for number, n in enumerate(channels) if n < 16)
    narrow = ThinConv(channels=channels, n_calibration=1)(deepcopy(small), context)
    for number, (before, after) in enumerate(zip(convolutions(small), convolutions(narrow), strict=True)):
        assert torch.equal(before.conv.weight, after.conv.weight) == (number not in (thin, thin + 1))
    projections = [model.wav2vec2.feature_projection.projection.weight for model in (small, narrow)]
    assert torch.equal(*projections)


def windows(model: Any, number: int, speech: Any) -> tuple[Any, Any]:
    """Return what goes into the weights behind a convolution, a window a row, and what comes out, in float64."""
    part = consumers(model)[number]
    rows: list[tuple[Any, Any]] = []

    def keep_rows(module: Any, given: Any, out: Any) -> None:
        x, y = given[0][0].double().numpy(), out[0].double().numpy()
        if hasattr(part, "projection"):
            rows.append((x, y))
            return
        kernel, stride = WINDOWS[number + 1]
        starts = range(0, x.shape[1] - kernel + 1, stride)
        rows.append((np.stack([x[:, s : s + kernel].reshape(-1) for s in starts]), y.T))

    hook = getattr(part, "projection", part).register_forward_hook(keep_rows)
    with torch.no_grad():
        for inputs in speech:
            model(**inputs)
    hook.remove()
    return tuple(np.vstack([row[side] for row in rows]) for side in (0, 1))


@pytest.mark.parametrize("before", [[], [ReduceFrames(how="signal")]], ids=["plain", "resampled"])
def test_convolution_after_convolution_is_fitted_to_what_it_gave(small: Any, context: Context, before: Any) -> None:
    """Each is the closed form on the windows that it sees once those before are refitted; the rest is as it was."""
    for method in before:
        small = method(small)
    whole, speech = uneven(small), speech_for(small, context, BUNDLED, 1)
    edited = thinned(whole)
    fitted = deepcopy(edited)
    front_end(fitted, whole, CHANNELS, speech)
    for number in CHANNELS:
        before, after = (getattr(p, "projection", p) for p in (consumers(m)[number] for m in (edited, fitted)))
        z, _ = windows(fitted, number, speech)
        y = windows(whole, number, speech)[1][:, CHANNELS.get(number + 1, range(32))]
        weight = before.weight.detach().flatten(1).double().numpy()
        bias = None if before.bias is None else before.bias.detach().double().numpy()
        expected = closed_form(z, y, weight, bias, 0.01)
        n_in = weight.shape[1]
        assert np.allclose(after.weight.detach().flatten(1), expected[:n_in].T, atol=1e-3)
        assert not np.allclose(after.weight.detach().flatten(1), weight, atol=1e-3)
        assert bias is None or np.allclose(after.bias.detach(), expected[n_in], atol=1e-3)
    changed = ("conv_layers.2.conv", "conv_layers.3.conv", "feature_projection.projection")
    for name, parameter in fitted.named_parameters():
        assert any(part in name for part in changed) or torch.equal(parameter, edited.get_parameter(name)), name


def test_without_an_edit_a_refit_of_the_front_end_changes_nothing(small: Any, context: Context) -> None:
    """No parameter moves by more than 1e-5."""
    whole = deepcopy(small)
    front_end(small, whole, {number: range(16) for number in range(4)}, speech_for(small, context, BUNDLED, 1))
    for name, parameter in small.named_parameters():
        assert torch.allclose(parameter, whole.get_parameter(name), atol=1e-5), name


def test_a_refit_is_kept_only_if_the_model_is_then_nearer(small: Any, context: Context) -> None:
    """One that leads away leaves the edited model as it was, bit for bit; one that leads back is kept."""
    whole, speech = deepcopy(small), speech_for(small, context, BUNDLED, 1)

    def move(by: float) -> Any:
        def fit() -> None:
            small.lm_head.weight.data.add_(by)
            small.lm_head.weight.data[0].mul_(1 + by)

        return fit

    move(0.5)()
    edited = deepcopy(small.state_dict())
    kept_if_nearer(move(1.0), small, whole, speech)
    assert all(torch.equal(tensor, edited[name]) for name, tensor in small.state_dict().items())
    kept_if_nearer(lambda: small.load_state_dict(whole.state_dict()), small, whole, speech)
    assert probe(small, whole, speech) == 0


def test_the_method_keeps_the_nearer_of_both(small: Any, context: Context) -> None:
    """By the divergence on its own speech, a refit is never worse than none."""
    speech = speech_for(small, context, BUNDLED, 2)
    plain, fitted = (ThinConv(0.5, refit=refit, n_calibration=2)(deepcopy(small), context) for refit in (False, True))
    assert probe(fitted, small, speech) <= probe(plain, small, speech)


THIN = {"use": "thin-conv", "keep": 0.5, "n_calibration": 1}


def test_a_saved_model_is_the_same_here_and_in_transformers(tiny_model: Path, tmp_path: Path) -> None:
    """Its configuration says all of it: logits are equal bit for bit, wherever the folder is opened."""
    from transformers import AutoModelForCTC

    model, extractor, tokenizer = Wav2Vec2(model=str(tiny_model)).open()
    model = ThinConv(0.5, n_calibration=1)(model.eval(), Context(extractor=extractor))
    folder = save(model, extractor, tokenizer, tmp_path / "student")
    again, elsewhere = load(folder), AutoModelForCTC.from_pretrained(folder)
    assert torch.equal(logits(again.model), logits(model))
    assert torch.equal(logits(elsewhere), logits(model))
    assert not torch.equal(logits(model), logits(load(tiny_model).model))
    built = load(tiny_model, THIN)
    assert (built.footprint.n_params, built.footprint.macs(20_000)) == (
        again.footprint.n_params, again.footprint.macs(20_000)
    )  # fmt: skip
    assert built.footprint.n_params < load(tiny_model).footprint.n_params


OTHERS: Sequence[Any] = (
    {"use": "layer-drop", "keep": 1},
    {"use": "product-twins", "rank": 6},
    {"use": "prune-heads", "n_calibration": 1},
    {"use": "prune-ffn", "keep": 0.5, "score": "taylor", "refit": True, "n_calibration": 1},
    {"use": "low-rank", "rank": 6},
    {"use": "reduce-frames", "at": 1},
    {"use": "heal-layers", "steps": 1, "n_calibration": 1},
    THIN | {"keep": 0.9, "multiple_of": 1},
)


@pytest.mark.slow
@pytest.mark.parametrize("other", OTHERS, ids=[other["use"] for other in OTHERS])
def test_it_stands_before_and_after_every_other_change_of_shape(tiny_model: Path, other: Any) -> None:
    """In both orders the model answers and has the channels and the parts that each of them leaves."""
    counts = {name: load(tiny_model, *builds).footprint.n_params for name, builds in (("other", [other]), ("none", []))}
    for chain in ([THIN, other], [other, THIN]):
        built = load(tiny_model, *chain)
        assert len(built([noise()[0].numpy()])) == 1
        assert built.model.config.conv_dim[0] == 32
        assert max(built.model.config.conv_dim[1:]) <= 16
        assert built.footprint.n_params < min(counts.values())


@pytest.mark.slow
@pytest.mark.parametrize("build", ["int8-dynamic", "bf16", "onnx", "onnx-int8", "openvino", "openvino-int8"])
def test_other_builds_chain_on(tiny_model: Path, build: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines in float32 read what torch reads and count its work; the others run it."""
    monkeypatch.setenv("GREENBENCH_CACHE", str(tmp_path))
    last = {"use": build, "n_calibration": 2} if build == "openvino-int8" else build
    variant = build_variant(VariantEntry(use="wav2vec2", model=str(tiny_model), builds=[THIN, last]))
    if reason := variant.unsupported("cpu"):
        pytest.skip(reason)
    built, plain, clips = load(tiny_model, THIN, last), load(tiny_model, THIN), [noise()[0].numpy()]
    assert built.footprint.macs(20_000) == pytest.approx(plain.footprint.macs(20_000), rel=1e-6)
    assert build not in ("onnx", "openvino") or built(clips) == plain(clips)
    assert len(built(clips)) == 1


def test_other_front_ends_integers_and_factors_are_refused(tiny_model: Path, context: Context) -> None:
    """One line each: spectra, a projection that depends on the width, what has no gradients or no channels."""
    for kind in ("parakeet_ctc", "wav2vec2-bert", "sew", "sew-d"):
        with pytest.raises(InputError, match=f"thin-conv: models of the type {kind} .* so their channels must stay"):
            ThinConv(0.5).follow(Outline(kind))
    with pytest.raises(InputError, match="thin-conv cannot follow int8-dynamic: put it before"):
        ThinConv(0.5).follow(Outline(integers="int8-dynamic"))
    with pytest.raises(InputError, match="thin-conv cannot follow compile: put it before"):
        ThinConv(0.5).follow(Outline(compiled=True))
    model = load(tiny_model).model
    with pytest.raises(InputError, match="skip: 7 leaves none of 7 convolutions to thin"):
        ThinConv(0.5, skip=7)(model, context)
    for channels, says in (
        ([16] * 6, "channels: 6 numbers for 7 convolutions: give one for each"),
        ([32] * 6 + [33], "channels: convolution 6, counted from 0, cannot keep 33 of 32 channels"),
        ([0] + [32] * 6, "channels: convolution 0, counted from 0, cannot keep 0 of 32 channels"),
        ([32] * 7, r"channels: the model has \[32, 32, 32, 32, 32, 32, 32\] already: give fewer"),
    ):
        with pytest.raises(InputError, match=f"^thin-conv: {says}$"):
            ThinConv(channels=channels)(model, context)
    with pytest.raises(InputError, match="thin-conv needs whole weights in floats"):
        ThinConv(0.5)(LowRank(rank=4, include=[])(model), context)
    known = ThinConv(0.5).calibrated_on()
    assert known is not None
    assert known.name == "quickstart/unlabelled"
