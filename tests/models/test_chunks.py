"""Chunks of frames: what is streamed is what the masked model says of the whole, and no frame sees what it may not."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from greenbench.models.frames import n_frames
from greenbench.plugins import Waveform

torch = pytest.importorskip("torch")

from greenbench.models import chunk_steps, chunks  # noqa: E402
from greenbench.models.chunk_stream import ChunkStream, ChunkTranscriber  # noqa: E402
from greenbench.models.edits.chunks import Chunks  # noqa: E402

FRAME, FIELD = 320, 1_004
"""Samples from frame to frame of the small models, and behind one frame."""

WHOLE = 1_000
"""Frames of a chunk that no utterance here fills."""

MANY = [Chunks((2,), 0, 0, True), Chunks((5,), 10, 2, True), Chunks((16,), 5, 7, True), Chunks((3,), 50, 7, True)]
"""Chunks of several sizes; the last ones see further ahead than to the end of the next one."""


def chunked(model: Any, made: Chunks) -> Any:
    """Return a copy of a model with chunks; the waveform is normalised in it where its front end does not do so."""
    group = model.config.feat_extract_norm == "group"
    other = copy.deepcopy(model)
    Chunks(made.sizes, made.left, made.ahead, level=not group).make(other)
    return other


def audio(n: int = 20_111, seed: int = 1) -> Waveform:
    """Return noise that becomes louder, with an offset."""
    noise = np.random.default_rng(seed).standard_normal(n) * np.linspace(0.01, 0.1, n) + 0.01
    return noise.astype(np.float32)


def normalised(wave: Waveform) -> Waveform:
    """Return what transformers' feature extractor makes of a waveform."""
    return (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)


def logits(model: Any, wave: Waveform, **named: Any) -> Any:
    """Return the logits of a whole utterance, of which nothing is streamed."""
    with torch.no_grad():
        return model(torch.from_numpy(wave)[None], **named).logits[0]


def streamed(model: Any, wave: Waveform) -> Any:
    """Return the logits of an utterance that is streamed."""
    stream, found = ChunkStream(chunk_steps.of(model), model.config), []
    while len(wave) >= (n := stream.n_needed):
        found.append(stream(torch.from_numpy(wave[:n])))
        wave = wave[n:]
    return torch.cat([*found, stream(torch.from_numpy(wave), last=True)])


@pytest.mark.parametrize("made", MANY)
@pytest.mark.parametrize("n", [FIELD, 12_345, 5 * FRAME + FIELD])
def test_what_is_streamed_is_what_the_masked_model_says(small: Any, made: Chunks, n: int) -> None:
    """To 1e-4, from audio as it is, where the whole was normalised before; also of a frame, and of whole chunks."""
    model, wave = chunked(small, made), audio(n)
    expected = logits(model, normalised(wave))
    assert len(expected) == n_frames(model.config, n)
    assert torch.allclose(streamed(model, wave), expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["Hubert", "UniSpeech", "UniSpeechSat"])
@pytest.mark.parametrize("norms_first", [False, True])
def test_the_other_families_stream_as_well(kind: str, norms_first: bool) -> None:
    """Each type that takes chunks, in either order of norms, with the adapters of languages where it has them."""
    import transformers

    from ..variants.tiny import SMALL

    torch.manual_seed(4)
    layer = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "adapter_attn_dim": 8}
    settings = {**SMALL, "initializer_range": 0.2, **(layer if norms_first else {})}
    plain = getattr(transformers, f"{kind}ForCTC")(getattr(transformers, f"{kind}Config")(**settings)).eval()
    model, wave = chunked(plain, MANY[1]), audio(9_000)
    assert torch.allclose(streamed(model, wave), logits(model, normalised(wave)), atol=1e-4)


def test_a_chunk_as_long_as_the_utterance_is_the_plain_model(small: Any) -> None:
    """Nothing is hidden then, and all statistics are those of the utterance; shorter chunks say something else."""
    wave = normalised(audio())
    plain = logits(small, wave)
    assert torch.allclose(logits(chunked(small, Chunks((WHOLE,), 0, 0, True)), wave), plain, atol=1e-3)
    assert not torch.allclose(logits(chunked(small, Chunks((5,), 5, 0, True)), wave), plain, atol=0.1)


@pytest.mark.parametrize("ahead", [0, 3])
def test_audio_behind_the_look_ahead_changes_nothing_before(small: Any, ahead: int) -> None:
    """Whatever is spoken later; and the last sample that may be seen is seen."""
    size, seen_chunks = 8, 3
    model, wave = chunked(small, Chunks((size,), 10, ahead, True)), audio()
    end = (seen_chunks * size + ahead - 1) * FRAME + FIELD
    later, sooner = wave.copy(), wave.copy()
    later[end:] += audio(len(wave) - end, seed=2)
    sooner[end - FRAME : end] += 0.1
    before, after, changed = (logits(model, one)[: seen_chunks * size] for one in (wave, later, sooner))
    assert torch.allclose(before, after, atol=1e-5)
    assert not torch.allclose(before[-size:], changed[-size:], atol=1e-2)
    assert torch.allclose(before[:-size], changed[:-size], atol=1e-5)


def test_attention_sees_the_left_context_and_nothing_before() -> None:
    """By hand: chunks of two frames, of which each sees one frame before its chunk."""
    sees = chunks.visible(5, 2, 1)[0, 0].int().tolist()
    assert sees == [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 1, 1]]


def test_a_change_inside_of_the_left_context_reaches_a_chunk_and_one_before_it_does_not(small: Any) -> None:
    """Through one layer, and without statistics over what came before, which see all of it."""
    small.base_model.encoder.layers = small.base_model.encoder.layers[:1]
    made, kernel = Chunks((8,), 12, 0, True), 8
    model = chunked(small, made)
    hidden = torch.randn(1, 64, 32, generator=torch.Generator().manual_seed(1))
    encoder = model.base_model.encoder

    def last_chunk(changed: int | None) -> Any:
        other = hidden.clone()
        if changed is not None:
            other[:, changed] += 1.0
        with torch.no_grad():
            return encoder(other).last_hidden_state[:, -8:]

    begin = 56 - made.left
    assert torch.equal(last_chunk(None), last_chunk(begin - kernel - 1))
    assert not torch.allclose(last_chunk(None), last_chunk(begin), atol=1e-3)


def transcriber(small: Any) -> ChunkTranscriber:
    """Return a model whose text has a number for each token."""
    from transformers import Wav2Vec2FeatureExtractor

    class Letters:
        def batch_decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
            return ["".join(f"{token:02d} " for token in row) for row in rows]

    masked = small.config.feat_extract_norm == "layer"
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=masked)
    return ChunkTranscriber(chunked(small, Chunks((5,), 10, 2, True)), extractor, Letters(), "cpu")


@pytest.mark.parametrize("pieces", [[1], [7_000, 0, 13], [100_000]])
def test_pieces_of_any_size_give_the_same_text_and_are_computed_once(small: Any, pieces: Sequence[int]) -> None:
    """However it is fed, a session says what the model says of the whole; and a text only grows."""
    model, wave = transcriber(small), audio(12_345)
    session, shown, at = model.open(), [], 0
    while at < len(wave):
        for n in pieces:
            shown.append(session.feed(wave[at : at + n]))
            at += n
    final = session.finish()
    assert [final] == model([wave])
    texts = [partial for partial in shown if partial is not None]
    assert all(final.startswith(partial.text) for partial in texts)
    assert len({partial.text for partial in texts}) == len(texts)
    assert session.n_computed == len(wave)


def test_sessions_at_once_know_nothing_of_each_other(small: Any) -> None:
    """Fed in turns, each says what the model says of its own utterance."""
    model, waves = transcriber(small), [audio(12_345), audio(9_000) / 2]
    sessions = [model.open() for _ in waves]
    for at in range(0, 12_345, 3_000):
        for session, wave in zip(sessions, waves, strict=True):
            session.feed(wave[at : at + 3_000])
    assert [session.finish() for session in sessions] == model(waves[:1]) + model(waves[1:])


def test_audio_shorter_than_a_frame_has_one(small: Any) -> None:
    """It is padded as that of whole utterances is; and what is silent has no values that are not numbers."""
    model = chunked(small, Chunks((5,), 10, 2, True))
    for wave in (np.zeros(FIELD, np.float32), np.zeros(20_000, np.float32)):
        assert torch.isfinite(streamed(model, wave)).all()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_padding_never_leaks(attention: str) -> None:
    """In a batch with masks each utterance reads as it does alone, wherever its last chunk ends."""
    from ..compress.test_reduce import make

    model = chunked(make(masked=True), Chunks((6,), 4, 3, True))
    model.set_attn_implementation(attention)
    clips = [torch.from_numpy(normalised(audio(n, n))) for n in (16_000, 7_640, 5_001, 1_100)]
    batch = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
    mask = torch.tensor([[1] * len(clip) + [0] * (len(batch[0]) - len(clip)) for clip in clips])
    with torch.no_grad():
        together = model(batch, attention_mask=mask).logits
    for clip, row in zip(clips, together, strict=True):
        alone = logits(model, clip.numpy(), attention_mask=torch.ones(1, len(clip), dtype=torch.long))
        assert torch.allclose(row[: len(alone)], alone, atol=1e-4)


def test_a_training_draws_the_size_of_chunks_and_a_run_has_the_first(small: Any) -> None:
    """Of two sizes both are drawn; in ``eval`` it is always the first."""
    model = chunked(small, Chunks((4, WHOLE), 8, 2, True))
    encoder, drawn = model.base_model.encoder, set()
    for _ in range(12):
        model.train()
        logits(model, audio(4_300))
        drawn.add((encoder.pos_conv_embed.size, encoder.layers[-1].chunk))
        model.eval()
        logits(model, audio(4_300))
        assert encoder.pos_conv_embed.size == 4
    assert drawn == {(4, (4, 8)), (WHOLE, (WHOLE, 8))}


def test_running_statistics_are_those_of_all_frames_up_to_the_end_of_the_block() -> None:
    """By NumPy, block by block; and what is padding counts in none of them."""
    frames = torch.randn(2, 3, 11, generator=torch.Generator().manual_seed(1)) + 5
    valid = torch.ones(2, 1, 11)
    valid[1, :, 6:] = 0
    found = chunks.running(frames, (4, 3), valid).numpy()
    for row, ends in enumerate([(4, 7, 10, 11), (4, 6, 6, 6)]):
        for begin, until, end in zip((0, 4, 7, 10), (4, 7, 10, 11), ends, strict=True):
            seen = frames[row, :, :end].numpy().astype(float)
            mean, deviation = seen.mean(1, keepdims=True), seen.std(1, keepdims=True)
            expected = (frames[row, :, begin:until].numpy() - mean) / deviation
            assert found[row, :, begin:until] == pytest.approx(expected, abs=1e-4)
