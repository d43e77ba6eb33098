"""Streaming by chunks: what it comes to in frames, what it refuses, and that a student of its shape learns."""

import json
from pathlib import Path
from typing import Any

import pytest

from greenbench import registry
from greenbench.compress import ChunkAttention, EarlyExit, LayerDrop, ReduceFrames
from greenbench.compress.compile import Compile
from greenbench.compress.openvino import OpenVino
from greenbench.errors import InputError
from greenbench.models.edits.chunks import Chunks
from greenbench.models.macs import count_macs
from greenbench.plugins import Context, Outline
from greenbench.suite.entries import VariantEntry, build_variant

torch = pytest.importorskip("torch")

from greenbench.models import chunks  # noqa: E402


def test_seconds_become_frames(small: Any) -> None:
    """Of 20 ms; and the waveform is normalised in the model where its front end has no group norm."""
    model = ChunkAttention(chunk_s=[0.64, 0.32], left_s=1.28, look_ahead_s=0.1)(small)
    level = small.config.feat_extract_norm == "layer"
    assert chunks.of(model) == Chunks(sizes=(32, 16), left=64, ahead=5, level=level)


def test_what_no_extractor_normalises_stays_as_it_is(small: Any) -> None:
    """A model that reads samples as they are does so with chunks."""
    from transformers import Wav2Vec2FeatureExtractor

    model = ChunkAttention(look_ahead_s=0)(small, Context(extractor=Wav2Vec2FeatureExtractor(do_normalize=False)))
    assert chunks.of(model).level is False


def test_it_adds_no_parameters_and_no_work(small: Any) -> None:
    """Chunks hide and normalise; but the plain positional convolution computes a frame more, which it throws away."""
    n_params, macs = sum(p.numel() for p in small.parameters()), count_macs(small, 20_111)
    model = ChunkAttention(chunk_s=0.2, look_ahead_s=0)(small)
    assert sum(p.numel() for p in model.parameters()) == n_params
    assert count_macs(model, 20_111) == macs - 16 * 32 * 32 // 2, "60 frames are 6 chunks of 10"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"chunk_s": 0.005, "look_ahead_s": 0}, "chunk_s: 0.005 is less than half a frame of 0.02 s"),
        ({"look_ahead_s": 0.2}, "look_ahead_s: the positional convolution sees 0.14 s ahead: give no more"),
    ],
)
def test_seconds_that_cannot_be_are_one_line(small: Any, settings: dict[str, float], says: str) -> None:
    """They are known once the model is, and it is left as it was."""
    with pytest.raises(InputError, match=f"chunk-attention: {says}") as caught:
        ChunkAttention(**settings)(small)
    assert "\n" not in str(caught.value)
    assert chunks.of(small) is None


@pytest.mark.parametrize("settings", [{"chunk_s": 0}, {"chunk_s": []}, {"left_s": -1}, {"look_ahead_s": -1}])
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    """A suite names the setting."""
    with pytest.raises(InputError, match=next(iter(settings))):
        registry.create("methods", "chunk-attention", settings)


@pytest.mark.parametrize(
    ("step", "before", "says"),
    [
        (ChunkAttention(), Outline("wavlm"), "chunk-attention: models of the type wavlm have another encoder; use one"),
        (ChunkAttention(), Outline("wav2vec2", adapter=True), "chunk-attention: the model has an adapter"),
        (ChunkAttention(), Outline("wav2vec2", exits=True), "chunk-attention cannot follow early-exit"),
        (ChunkAttention(), Outline("wav2vec2", integers="int8-dynamic"), "chunk-attention cannot follow int8-dynamic"),
        (EarlyExit(), Outline("wav2vec2", chunked=True), "early-exit cannot follow chunk-attention"),
        (ReduceFrames(), Outline("wav2vec2", chunked=True), "reduce-frames cannot follow chunk-attention"),
        (Compile(), Outline("wav2vec2", chunked=True), "compile cannot follow chunk-attention"),
        (OpenVino(), Outline("wav2vec2", chunked=True), "openvino cannot follow chunk-attention"),
    ],
)
def test_what_cannot_be_chained_is_one_line(step: Any, before: Outline, says: str) -> None:
    """It is refused before anything is loaded."""
    with pytest.raises(InputError, match=says) as caught:
        step.follow(before)
    assert "\n" not in str(caught.value)


def test_models_in_memory_are_refused_as_well(small: Any) -> None:
    """Frames that are fewer inside, in either order."""
    from copy import deepcopy

    with pytest.raises(InputError, match="chunk-attention cannot follow reduce-frames"):
        ChunkAttention()(ReduceFrames(at=1)(deepcopy(small)))
    with pytest.raises(InputError, match="reduce-frames cannot follow chunk-attention"):
        ReduceFrames(at=1)(ChunkAttention(look_ahead_s=0)(small))


def test_other_chunks_can_be_given_to_a_model_that_has_some(small: Any) -> None:
    """It then says what the model says that was given only those, in whole and in pieces."""
    from copy import deepcopy

    from ..models.test_chunks import audio, logits, normalised, streamed

    first, other = (
        {"chunk_s": 0.1, "left_s": 0.2, "look_ahead_s": 0.1},
        {"chunk_s": 0.2, "left_s": 0.1, "look_ahead_s": 0.04},
    )
    once = ChunkAttention(**other)(deepcopy(small))
    twice = ChunkAttention(**other)(ChunkAttention(**first)(small))
    assert chunks.of(twice) == chunks.of(once) != chunks.of(ChunkAttention(**first)(deepcopy(small)))
    wave = normalised(audio())
    assert torch.equal(logits(twice, wave), logits(once, wave))
    assert torch.allclose(streamed(twice, audio()), logits(once, wave), atol=1e-4)


def test_layers_that_go_leave_a_model_that_streams(small: Any) -> None:
    """The others know their chunks."""
    from ..models.test_chunks import audio, logits, normalised, streamed

    model = LayerDrop(keep=2, select="first_k")(ChunkAttention(chunk_s=0.1, left_s=0.2, look_ahead_s=0.1)(small))
    assert torch.allclose(streamed(model, audio()), logits(model, normalised(audio())), atol=1e-4)


@pytest.mark.parametrize("builds", [["int8-dynamic"], ["bf16"], [{"use": "low-rank", "rank": 8}]])
def test_precisions_chain_on_and_stream(tiny_model: Path, builds: list[Any]) -> None:
    """What is loaded streams by itself, and says of pieces what it says of chunks."""
    from ..models.test_chunks import audio

    chain = [{"use": "chunk-attention", "chunk_s": 0.1, "look_ahead_s": 0.04}, *builds]
    variant = build_variant(VariantEntry(use="wav2vec2", model=str(tiny_model), builds=chain))
    variant.check()
    model, texts = variant.load("cpu"), []
    for n in (20_111, 777):
        session, wave = model.open(), audio()
        for begin in range(0, len(wave), n):
            session.feed(wave[begin : begin + n])
        texts.append(session.finish())
        assert session.n_computed == len(wave)
    assert texts[0] == texts[1] != ""


@pytest.mark.slow
def test_a_student_with_chunks_learns_and_reopens_with_them(tmp_path: Path, tiny_model: Path) -> None:
    """From a recipe with two sizes to a folder that streams, and says what it was made by."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    import numpy as np

    from greenbench.recipes.recipe import Recipe
    from greenbench.recipes.student import make_student

    recipe = Recipe.model_validate(
        {
            "name": "streams", "teacher": {"use": "wav2vec2", "model": str(tiny_model)},
            "train": [{"use": "quickstart", "part": "unlabelled", "limit": 8}], "validation_share": 0.25,
            "steps": [
                {"use": "chunk-attention", "chunk_s": [0.16, 0.32, 60], "look_ahead_s": 0.1},
                {"use": "distill", "steps": 2, "batch_s": 8, "validate_every": 1, "losses": {"kl": 1, "hidden_cos": 1}},
            ],
        }
    )  # fmt: skip
    folder = make_student(recipe, tmp_path / "student")
    (edit,) = json.loads((folder / "config.json").read_text())["greenbench"]["edits"]
    assert (edit["edit"], edit["sizes"]) == ("chunks", [8, 16, 3_000])
    model = build_variant(VariantEntry(use="wav2vec2", model=str(folder))).load("cpu")
    session = model.open()
    session.feed(np.zeros(16_000, np.float32))
    assert isinstance(session.finish(), str)
