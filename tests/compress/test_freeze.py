"""Group norm with fixed statistics: the closed form of its fold, what batches gain by it, and what it refuses."""

from copy import deepcopy
from typing import Any

import pytest

from greenbench.compress import ChunkAttention, FreezeNorm, ReduceFrames, ThinConv
from greenbench.compress.calibration import BUNDLED, speech_for
from greenbench.errors import InputError
from greenbench.models.convolutions import convolutions, is_folded
from greenbench.models.macs import count_macs
from greenbench.plugins import Context, Outline

torch = pytest.importorskip("torch")


@pytest.fixture
def grouped(small: Any) -> Any:
    """A small model whose front end has group norm, with weights and biases of its own."""
    if small.config.feat_extract_norm != "group":
        pytest.skip("it has layer norms")
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in convolutions(small)[0].layer_norm.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return small


def logits(model: Any, waveform: Any) -> Any:
    """Return the logits of a waveform, ``(1, n_samples)``."""
    with torch.no_grad():
        return model(waveform).logits


def features(model: Any, waveforms: Any) -> Any:
    """Return what a front end makes of waveforms, ``(n, n_samples)``."""
    with torch.no_grad():
        return model.wav2vec2.feature_extractor(waveforms)


def test_on_the_calibration_speech_itself_nothing_changes(grouped: Any, context: Context) -> None:
    """With the statistics of one utterance its logits stay; those of another one, with its own, do not."""
    (own,) = (inputs["input_values"] for inputs in speech_for(grouped, context, BUNDLED, 1))
    frozen = FreezeNorm(n_calibration=1)(deepcopy(grouped), context)
    assert torch.allclose(logits(frozen, own), logits(grouped, own), atol=1e-4)
    other = torch.randn(1, 8_000, generator=torch.Generator().manual_seed(2))
    assert not torch.allclose(logits(frozen, other), logits(grouped, other), atol=1e-2)


@pytest.mark.parametrize("lower", [False, True])
def test_statistics_are_over_all_frames_of_the_speech(grouped: Any, context: Context, lower: bool) -> None:
    """By the sums that define them, also where the front end hears a lower sampling rate."""
    model = ReduceFrames(how="signal")(grouped) if lower else grouped
    layer, extractor = deepcopy(convolutions(model)[0]), model.wav2vec2.feature_extractor
    speech = [inputs["input_values"] for inputs in speech_for(model, context, BUNDLED, 3)]
    heard = [extractor.resampler(clip) if lower else clip for clip in speech]
    with torch.no_grad():
        frames = torch.cat([layer.conv(clip[:, None])[0] for clip in heard], 1).double()
    mean, variance = frames.mean(1), frames.var(1, correction=0)
    normed = (frames - mean[:, None]) / (variance + 1e-5).sqrt()[:, None]
    expected = normed * layer.layer_norm.weight[:, None] + layer.layer_norm.bias[:, None]
    frozen = convolutions(FreezeNorm(n_calibration=3)(model, context))[0]
    with torch.no_grad():
        found = torch.cat([frozen.layer_norm(frozen.conv(clip[:, None]))[0] for clip in heard], 1)
    assert torch.allclose(found.double(), expected, atol=1e-4)


def test_padding_no_longer_reaches_the_features(grouped: Any, context: Context) -> None:
    """Those of an utterance in a batch are those of it alone, which group norm does not give."""
    clip = torch.randn(1, 8_000, generator=torch.Generator().manual_seed(2))
    padded = torch.nn.functional.pad(clip, (0, 4_000))
    frozen = FreezeNorm(n_calibration=1)(deepcopy(grouped), context)
    for model, same in ((grouped, False), (frozen, True)):
        alone = features(model, clip)
        assert torch.allclose(features(model, padded)[..., : alone.shape[-1]], alone, atol=1e-5) == same


def test_a_weight_a_channel_goes_and_the_work_stays(grouped: Any, context: Context) -> None:
    """Weight and bias of the norm become a bias of the convolution."""
    frozen = FreezeNorm(n_calibration=1)(deepcopy(grouped), context)
    assert is_folded(frozen)
    assert not is_folded(grouped)
    lost = sum(p.numel() for p in grouped.parameters()) - sum(p.numel() for p in frozen.parameters())
    assert lost == grouped.config.conv_dim[0]
    assert count_macs(frozen, 16_000) == count_macs(grouped, 16_000)


def test_channels_go_before_and_after(grouped: Any, context: Context) -> None:
    """The first convolution may be thinned in either order, and has a bias for each channel that is left."""
    thin, freeze = ThinConv(channels=[8, 16, 16, 16], n_calibration=1), FreezeNorm(n_calibration=1)
    for first, second in ((thin, freeze), (freeze, thin)):
        model = second(first(deepcopy(grouped), context), context)
        assert is_folded(model)
        assert convolutions(model)[0].conv.weight.shape[0] == 8 == len(convolutions(model)[0].conv.bias)


def test_a_model_that_streams_normalises_its_waveform_instead(grouped: Any, context: Context) -> None:
    """Without a norm that runs, the level of the waveform would be that of the whole utterance."""
    from ..models.test_chunks import audio, normalised, streamed
    from ..models.test_chunks import logits as whole

    frozen = FreezeNorm(n_calibration=1)(grouped, context)
    model = ChunkAttention(chunk_s=0.1, left_s=0.2, look_ahead_s=0.1)(frozen, context)
    assert model.base_model.encoder.pos_conv_embed.chunks.level
    assert torch.allclose(streamed(model, audio()), whole(model, normalised(audio())), atol=1e-4)


@pytest.mark.parametrize(
    ("before", "says"),
    [
        (Outline("wav2vec2", group_norm=False), "freeze-norm: the front end of the model has no group norm to freeze"),
        (Outline("data2vec-audio"), "freeze-norm: the front end of the model has no group norm to freeze"),
        (Outline("parakeet_ctc"), "freeze-norm: the front end of the model has no group norm to freeze"),
        (Outline("wav2vec2", chunked=True), "freeze-norm cannot follow chunk-attention, whose statistics run"),
        (Outline("wav2vec2", compiled=True), "freeze-norm cannot follow compile: put it before"),
    ],
)
def test_what_cannot_be_is_one_line(before: Outline, says: str) -> None:
    """It is refused before anything is loaded."""
    with pytest.raises(InputError, match=says) as caught:
        FreezeNorm().follow(before)
    assert "\n" not in str(caught.value)


def test_a_norm_that_is_frozen_is_not_frozen_again(small: Any, context: Context) -> None:
    """Nor are layer norms."""
    grouped = small.config.feat_extract_norm == "group"
    model = FreezeNorm(n_calibration=1)(small, context) if grouped else small
    with pytest.raises(InputError, match="no group norm to freeze"):
        FreezeNorm(n_calibration=1)(model, context)
    assert FreezeNorm().follow(Outline("wav2vec2", group_norm=True)).group_norm is False
