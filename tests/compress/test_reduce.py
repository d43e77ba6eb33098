"""Fewer frames inside an encoder: shapes, counts, and what padding must not do."""

import copy
from pathlib import Path
from typing import Any

import pytest

from greenbench.compress import LayerDrop
from greenbench.compress.reduce import ReduceFrames
from greenbench.errors import InputError
from greenbench.models.frames import n_frames
from greenbench.models.macs import count_macs, macs_of_work, work
from greenbench.models.reducer import Reducer, factors
from greenbench.plugins import Outline

torch = pytest.importorskip("torch")

D, LAYERS = 32, 3


def make(masked: bool = False) -> Any:
    """Return a small random model; a masked one has layer norms in its front end and in front of its layers."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    from ..variants.tiny import SMALL

    torch.manual_seed(5)
    norm = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True} if masked else {}
    return Wav2Vec2ForCTC(Wav2Vec2Config(**{**SMALL, **norm, "num_hidden_layers": LAYERS})).eval()


def noise(n: int, seed: int = 1) -> Any:
    """Return a waveform of noise."""
    return torch.randn(1, n, generator=torch.Generator().manual_seed(seed))


def trained(model: Any) -> Any:
    """Return a model whose reducers are not as they begin."""
    torch.manual_seed(2)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, Reducer):
                for parameter in module.parameters():
                    parameter.normal_(std=0.2)
    return model


@pytest.mark.parametrize("factor", [2, 3])
def test_frames_come_back_whatever_their_number(factor: int) -> None:
    """For each remainder there are as many frames as went in, and a factor-th of them, rounded up, inside."""
    reducer = Reducer(4, factor, "conv", "linear", skip=True)
    for n in range(1, 3 * factor + 1):
        inside = reducer.reduce(torch.randn(2, n, 4), torch.ones(1, 1, n))
        assert inside.shape == (2, -(-n // factor), 4)
        assert reducer.expand(inside).shape == (2, n, 4)


@pytest.mark.parametrize(("how", "up"), [("conv", "linear"), ("average", "repeat")])
def test_what_is_constant_over_the_frames_passes_unchanged(how: str, up: str) -> None:
    """It begins as the mean and its repetition, also for the last frames, which are fewer."""
    reducer = Reducer(4, 2, how, up, skip=True)
    frames = torch.randn(2, 3, 4).repeat_interleave(2, dim=1)[:, :5]
    inside = reducer.reduce(frames, torch.ones(1, 1, 5))
    assert torch.allclose(reducer.expand(inside), frames, atol=1e-6)


def test_the_mean_is_over_the_frames_that_are_there() -> None:
    """What a mask leaves out counts neither in the sum nor in the number."""
    reducer = Reducer(1, 2, "average", "repeat", skip=False)
    frames = torch.tensor([[[1.0], [3.0], [5.0], [100.0]]])
    valid = torch.tensor([[[1.0, 1.0, 1.0, 0.0]]])
    assert reducer.reduce(frames, valid).flatten().tolist() == pytest.approx([2.0, 5.0])


@pytest.mark.parametrize("at", [0, 1, 2])
def test_logits_keep_the_rate_of_the_convolutions(at: int) -> None:
    """Lengths, labels and exports stay as they are: there are as many frames as the configuration says."""
    model = trained(ReduceFrames(factor=3, at=at)(make()))
    for n in (1_000, 8_000, 8_320, 8_640):
        with torch.no_grad():
            found = model(noise(n), output_hidden_states=True)
        assert found.logits.shape[1] == n_frames(model.config, n)
        assert len(found.hidden_states) == LAYERS + 1


@pytest.mark.parametrize("how", ["conv", "average"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_padding_never_leaks(how: str, attention: str) -> None:
    """In a batch with masks each utterance reads as it does alone, wherever its last frames fall."""
    model = trained(ReduceFrames(factor=2, at=1, how=how)(make(masked=True)))
    model.set_attn_implementation(attention)
    clips = [noise(n, seed)[0] for seed, n in enumerate((8_000, 7_640, 5_001, 6_300))]
    batch = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
    mask = torch.tensor([[1] * len(clip) + [0] * (8_000 - len(clip)) for clip in clips])
    with torch.no_grad():
        together = model(batch, attention_mask=mask).logits
        for clip, row in zip(clips, together, strict=True):
            alone = model(clip[None], attention_mask=torch.ones(1, len(clip), dtype=torch.long)).logits[0]
            assert torch.allclose(row[: len(alone)], alone, atol=1e-5)


def test_parameters_are_those_of_both_maps() -> None:
    """A convolution of d d f weights and d biases, as many weights back with f d biases, and a weight a feature."""
    before = sum(p.numel() for p in make().parameters())
    for settings, more in (
        ({"factor": 2}, (D * D * 2 + D) + (D * D * 2 + 2 * D) + D),
        ({"factor": 3, "skip": False}, (D * D * 3 + D) + (D * D * 3 + 3 * D)),
        ({"how": "average", "up": "repeat", "skip": False}, 0),
    ):
        assert sum(p.numel() for p in ReduceFrames(**settings)(make()).parameters()) - before == more


def test_work_of_any_length_has_terms_of_the_fewer_frames() -> None:
    """By hand for the mean: layers from ``at`` on work on ceil(T / f) frames; and ``work`` gives the counts back."""
    plain, small = make(), ReduceFrames(factor=2, at=1, how="average", up="repeat", skip=False)(make())
    n = 8_640
    whole = n_frames(plain.config, n)
    half = -(-whole // 2)
    assert whole % 2 == 1, "so that rounding is seen"

    def of_a_layer(frames: int) -> int:
        return frames * (4 * D * D + 2 * D * 64) + 2 * frames**2 * D

    assert count_macs(plain, n) - count_macs(small, n) == 2 * (of_a_layer(whole) - of_a_layer(half))
    twice = ReduceFrames(factor=3, at=2)(ReduceFrames(factor=2, at=1)(make()))
    assert factors(twice) == [2, 6]
    coefficients = work(twice)
    assert coefficients is not None
    for length in (8_000, 16_001, 47_777):
        expected = count_macs(twice, length)
        assert macs_of_work(twice.config, coefficients, length, factors(twice)) == pytest.approx(expected, rel=1e-6)


def test_two_places_and_a_layer_that_goes() -> None:
    """Reductions multiply; a layer that is dropped takes its reduction with it, and the others go on."""
    model = trained(ReduceFrames(factor=2, at=2)(ReduceFrames(factor=2, at=1)(make(masked=True))))
    mask = torch.ones(1, 8_000, dtype=torch.long)
    with torch.no_grad():
        assert model(noise(8_000), attention_mask=mask).logits.shape[1] == n_frames(model.config, 8_000)
        shorter = LayerDrop(keep=2, select="first_k")(copy.deepcopy(model))
        assert factors(shorter) == [2]
        assert shorter(noise(8_000), attention_mask=mask).logits.shape[1] == n_frames(model.config, 8_000)


def test_a_reducer_trains() -> None:
    """From where it begins, gradients reach the map down, the map up and the frames beside them."""
    model = ReduceFrames(factor=2, at=1)(make())
    model(noise(4_000)).logits.square().sum().backward()
    for name in ("down.weight", "up.weight", "gate"):
        gradient = dict(model.wav2vec2.encoder.layers[1].reducer.named_parameters())[name].grad
        assert float(gradient.abs().sum()) > 0


def test_models_and_places_that_cannot_be_are_one_line(tiny_model: Path) -> None:
    """Models that squeeze frames themselves or share positions, a layer that is not there, and a place twice."""
    for kind, says in (("sew", "already combine frames"), ("wavlm", "bias of positions"), ("sew-d", "positions")):
        with pytest.raises(InputError, match=f"reduce-frames: models of the type {kind} .*{says}"):
            ReduceFrames().follow(Outline(kind))
    with pytest.raises(InputError, match="at: there is no layer 2 of 2"):
        ReduceFrames(at=2).follow(Outline("wav2vec2", 2))
    with pytest.raises(InputError, match="before layer 1 already"):
        ReduceFrames(at=1)(ReduceFrames(at=1)(make()))
    for kind, says in (("sew", "already combine frames"), ("sew-d", "already combine"), ("parakeet_ctc", "no signal")):
        with pytest.raises(InputError, match=f"reduce-frames: models of the type {kind} .*{says}"):
            ReduceFrames(how="signal").follow(Outline(kind))
    ReduceFrames(how="signal").follow(Outline("wavlm"))
    with pytest.raises(InputError, match="reduce-frames: how: the model has an adapter, which needs all frames"):
        ReduceFrames(how="signal").follow(Outline("wav2vec2", adapter=True))
    with pytest.raises(InputError, match="reduce-frames: how: the signal is resampled already: give one `factor`"):
        ReduceFrames(how="signal")(ReduceFrames(how="signal")(make()))
    for settings in ({"factor": 1}, {"at": -1}, {"how": "signal", "at": 1}, {"how": "signal", "skip": True}):
        with pytest.raises(ValueError, match="factor|at"):
            ReduceFrames(**settings)


@pytest.mark.parametrize("settings", [{"at": 1}, {"how": "signal"}])
def test_hidden_losses_need_all_frames_of_the_teacher(tmp_path: Path, settings: dict[str, Any]) -> None:
    """A teacher with fewer frames inside cannot be compared with layer by layer: one line says so."""
    from greenbench.compress import Distill
    from greenbench.plugins import Context, Utterance

    speech = [Utterance("a", noise(8_000)[0].numpy(), "", "s")]
    context = Context(teacher=ReduceFrames(**settings)(make()), train=speech, folder=tmp_path)
    with pytest.raises(InputError, match="inside of the teacher reduce-frames left fewer") as caught:
        Distill(steps=1, losses={"hidden": 1.0})(ReduceFrames(at=1)(make()), context)
    assert "\n" not in str(caught.value)
