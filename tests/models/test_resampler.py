"""A front end that hears a lower sampling rate: what it hears, that all frames come back, and what it costs."""

from collections.abc import Callable
from copy import deepcopy
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench.compress.reduce import ReduceFrames
from greenbench.models.frames import n_frames
from greenbench.models.macs import count_macs, macs_of_work, work
from greenbench.models.reducer import factors
from greenbench.models.resampler import Expander, low_pass

torch = pytest.importorskip("torch")

FIELD, STRIDE = 924, 320
"""Of the small models' front end in samples: kernels 64, 8, 4, 4 with strides 20, 4, 2, 2."""


def noise(n: int, seed: int = 1) -> Any:
    """Return a waveform of noise."""
    return torch.randn(1, n, generator=torch.Generator().manual_seed(seed))


def make(masked: bool = False) -> Any:
    """Return a small random model; a masked one has layer norms in its front end and in front of its layers."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    from ..variants.tiny import SMALL

    torch.manual_seed(5)
    norm = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True} if masked else {}
    return Wav2Vec2ForCTC(Wav2Vec2Config(**{**SMALL, **norm, "num_hidden_layers": 2})).eval()


def lower(model: Any, factor: int = 2, up: str = "linear") -> Any:
    """Return a copy of a model whose front end hears a lower rate, and whose map up is not as it begins."""
    model = ReduceFrames(factor=factor, how="signal", up=up)(deepcopy(model))  # type: ignore[arg-type]
    torch.manual_seed(2)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, Expander):
                for parameter in module.parameters():
                    parameter.normal_(std=0.2)
    return model


def logits(model: Any, waveform: Any, **more: Any) -> Any:
    """Return the logits of a waveform."""
    with torch.no_grad():
        return model(waveform, **more).logits


def resampled(waveform: Any, factor: int) -> Any:
    """Return every ``factor``-th sample of a low-passed waveform by the sum that defines it, in float64."""
    whole = -(-((len(waveform) - FIELD) // STRIDE + 1) // factor)
    lead, t = (factor - 1) * (FIELD - 1 - STRIDE) // 2, np.arange(len(waveform))

    def at(k: int) -> float:
        x = (factor * k - lead - t) * 0.99 / factor
        window = np.where(np.abs(x) < 6, np.cos(np.pi * x / 12) ** 2, 0)
        return float((waveform * np.sinc(x) * window * 0.99 / factor).sum())

    return np.array([at(k) for k in range((whole - 1) * STRIDE + FIELD)])


@pytest.mark.parametrize("factor", [2, 3])
def test_it_is_the_plain_model_on_the_resampled_waveform(factor: int) -> None:
    """With copies, each frame of that output stands for as many frames, and the last for what is left."""
    plain, waveform = make(), noise(8_640)
    low = torch.from_numpy(resampled(waveform[0].double().numpy(), factor)).float()[None]
    expected = logits(plain, low).repeat_interleave(factor, dim=1)[:, : n_frames(plain.config, 8_640)]
    assert torch.allclose(logits(lower(plain, factor, "repeat"), waveform), expected, atol=1e-4)


@pytest.mark.parametrize("factor", [2, 3])
def test_tones_below_half_of_the_new_rate_pass_and_others_do_not(factor: int) -> None:
    """A tone of half of that keeps its height within a hundredth; one of one and a half times it is gone."""
    kernel = low_pass(factor).double()
    t = torch.arange(-(len(kernel) // 2), len(kernel) // 2 + 1)
    passed, stopped = (float((kernel * torch.cos(torch.pi * share / factor * t)).sum()) for share in (0.5, 1.5))
    assert abs(passed - 1) < 0.01
    assert abs(stopped) < 0.01


@pytest.mark.parametrize("factor", [2, 3])
def test_a_frame_is_in_the_middle_of_those_that_it_stands_for(factor: int) -> None:
    """A click in the middle of these is in the middle of its own receptive field, within half a sample."""
    model = lower(make(), factor)
    frame, n = 4, 16_000
    first = frame * factor
    middle = (2 * first + factor - 1) / 2 * STRIDE + (FIELD - 1) / 2
    click = torch.zeros(1, n)
    click[0, round(middle)] = 1
    heard = model.base_model.feature_extractor.resampler(click)[0]
    centre = float((heard.abs() * torch.arange(len(heard))).sum() / heard.abs().sum())
    assert centre == pytest.approx(frame * STRIDE + (FIELD - 1) / 2, abs=0.6)


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("masked", [False, True])
def test_logits_keep_the_rate_of_the_convolutions(factor: int, masked: bool) -> None:
    """For each remainder, and the shortest audio of one frame; there are as many hidden states as before."""
    model = lower(make(masked), factor)
    for n in (FIELD, 1_000, 8_000, 8_320, 8_640, 8_960):
        with torch.no_grad():
            found = model(noise(n), output_hidden_states=True)
        assert found.logits.shape[1] == n_frames(model.config, n)
        assert len(found.hidden_states) == 3


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_padding_never_leaks(attention: str) -> None:
    """In a batch with masks each utterance reads as it does alone, wherever its last frames fall."""
    model = lower(make(masked=True))
    model.set_attn_implementation(attention)
    clips = [noise(n, seed)[0] for seed, n in enumerate((8_000, 7_640, 5_001, 6_300))]
    batch = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
    mask = torch.tensor([[1] * len(clip) + [0] * (8_000 - len(clip)) for clip in clips])
    together = logits(model, batch, attention_mask=mask)
    for clip, row in zip(clips, together, strict=True):
        alone = logits(model, clip[None], attention_mask=torch.ones(1, len(clip), dtype=torch.long))[0]
        assert torch.allclose(row[: len(alone)], alone, atol=1e-5)


def test_parameters_are_those_of_the_map_up() -> None:
    """d d f weights and f d biases, or none; the low pass is fixed, and no parameter."""
    plain = sum(p.numel() for p in make().parameters())
    for settings, more in (({"factor": 3}, 32 * 32 * 3 + 3 * 32), ({"up": "repeat"}, 0)):
        reduced = ReduceFrames(how="signal", **settings)(make())  # type: ignore[arg-type]
        assert sum(p.numel() for p in reduced.parameters()) - plain == more


def test_work_is_that_of_the_resampled_waveform() -> None:
    """Front end and layers do what they do for so many samples; the low pass, and the head's frames, are added."""
    plain = make()
    small, n = lower(plain, 2, "repeat"), 8_640
    whole = n_frames(plain.config, n)
    assert whole % 2 == 1, "so that rounding is seen"
    half = ceil(whole / 2)
    n_low = (half - 1) * STRIDE + FIELD
    of_head, of_kernel = 32 * 32, 2 * ceil(6 * 2 / 0.99) + 1
    expected = count_macs(plain, n_low)
    assert expected is not None
    assert count_macs(small, n) == expected + (whole - half) * of_head + n_low * of_kernel
    twice = ReduceFrames(factor=3, at=1)(lower(plain))
    assert factors(twice) == [2, 6]
    coefficients = work(twice)
    assert coefficients is not None
    for length in (8_000, 16_001, 47_777):
        counted = macs_of_work(twice.config, coefficients, length, factors(twice))
        assert counted == pytest.approx(count_macs(twice, length), rel=1e-6)


def test_it_stands_before_and_after_a_reduction_within_the_layers() -> None:
    """In both orders the model is the same, and has all frames."""
    plain, inside, before = make(True), ReduceFrames(factor=2, at=1), ReduceFrames(factor=2, how="signal")
    mask = torch.ones(1, 8_640, dtype=torch.long)
    one, other = (
        logits(second(first(deepcopy(plain))), noise(8_640), attention_mask=mask)
        for first, second in ((inside, before), (before, inside))
    )
    assert torch.equal(one, other)
    assert one.shape[1] == n_frames(plain.config, 8_640)


def test_it_trains() -> None:
    """In training mode gradients reach the front end and the map up; the low pass has none."""
    model = ReduceFrames(how="signal")(make()).train()
    model(noise(8_000)).logits.square().sum().backward()
    assert float(model.base_model.expander.up.weight.grad.abs().sum()) > 0
    assert float(model.base_model.feature_extractor.conv_layers[0].conv.weight.grad.abs().sum()) > 0
    assert not model.base_model.feature_extractor.resampler.kernel.requires_grad


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("Hubert", {}), ("WavLM", {}), ("Data2VecAudio", {"conv_pos_kernel_size": 3, "num_conv_pos_embeddings": 2}),
     ("Wav2Vec2Conformer", {"max_source_positions": 500, "conv_depthwise_kernel_size": 15})],
)  # fmt: skip
def test_every_encoder_behind_convolutions_can_follow(
    save_model: Callable[..., Path], kind: str, settings: dict[str, Any]
) -> None:
    """Nothing of the layers is changed, so that relative positions stay as they are."""
    from transformers import AutoModelForCTC

    plain = AutoModelForCTC.from_pretrained(save_model(kind, **settings)).eval()
    reduced = ReduceFrames(how="signal")(deepcopy(plain))
    found = logits(reduced, noise(8_640))
    assert found.shape == logits(plain, noise(8_640)).shape
    assert torch.allclose(found[:, ::2][:, :-1], found[:, 1::2], atol=1e-6), "the map up begins with copies"
