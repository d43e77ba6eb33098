"""Chunks in an engine: its two graphs say chunk by chunk what the masked model in torch says of the whole."""

from pathlib import Path
from typing import Any

import pytest

from greenbench.compress.onnx import Onnx, OnnxInt8
from greenbench.errors import StoreError
from greenbench.models.edits.chunks import Chunks
from greenbench.suite.entries import VariantEntry, build_variant

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from greenbench.models import chunk_graphs  # noqa: E402
from greenbench.models.chunk_steps import ChunkSteps  # noqa: E402
from greenbench.models.chunk_stream import ChunkStream  # noqa: E402

from .test_chunks import FIELD, MANY, audio, chunked, logits, normalised  # noqa: E402


def exported(model: Any, folder: Path, build: Any) -> ChunkSteps:
    """Export a model with chunks and open what was written."""
    build.export(model, None, folder)
    chunk_graphs.write(model, folder)
    steps = build.open(folder)
    assert isinstance(steps, ChunkSteps)
    return steps


def streamed(steps: ChunkSteps, config: Any, wave: Any) -> Any:
    """Return the logits of an utterance that is streamed."""
    stream, found = ChunkStream(steps, config), []
    while len(wave) >= (n := stream.n_needed):
        found.append(stream(torch.from_numpy(wave[:n])))
        wave = wave[n:]
    return torch.cat([*found, stream(torch.from_numpy(wave), last=True)])


@pytest.mark.parametrize("made", [MANY[0], MANY[1], MANY[3], Chunks((4,), 0, 7, True)])
def test_graphs_stream_what_the_masked_model_says(small: Any, made: Chunks, tmp_path: Path) -> None:
    """To 1e-4 for utterances of a frame, of a part of a chunk at the end, and of many chunks; in either order."""
    model = chunked(small, made)
    steps = exported(model, tmp_path, Onnx())
    for n in (20_111, FIELD, 12_345):
        wave = audio(n)
        assert torch.allclose(streamed(steps, model.config, wave), logits(model, normalised(wave)), atol=1e-4)


def test_integers_stream_nearly_the_same(small: Any, tmp_path: Path) -> None:
    """Logits of int8 differ, by less than they differ from frame to frame."""
    model, wave = chunked(small, MANY[1]), audio()
    steps, expected = exported(model, tmp_path, OnnxInt8()), logits(model, normalised(wave))
    found = streamed(steps, model.config, wave)
    assert not torch.equal(found, expected)
    assert (found - expected).abs().mean() < 0.2 * expected.std()


@pytest.mark.parametrize("build", ["onnx", "onnx-int8"])
def test_as_a_build_it_streams_and_reads_whole_utterances(tiny_model: Path, build: str) -> None:
    """Pieces of any size give the text of the whole, which is that of torch; a batch is read one by one."""
    chain: list[Any] = [{"use": "chunk-attention", "chunk_s": 0.1, "look_ahead_s": 0.04}]
    plain, other = (
        build_variant(VariantEntry(use="wav2vec2", model=str(tiny_model), builds=builds))
        for builds in (chain, [*chain, build])
    )
    other.check()
    other.prepare()
    model, waves = other.load("cpu"), [audio(), audio(9_000, seed=3)]
    texts = model(waves)
    assert model.batching == "sequential"
    if build == "onnx":
        assert texts == [text for wave in waves for text in plain.load("cpu")([wave])]
    for n in (777, 20_111):
        session, wave = model.open(), waves[0]
        for begin in range(0, len(wave), n):
            session.feed(wave[begin : begin + n])
        assert session.finish() == texts[0] != ""
        assert session.n_computed == len(wave)
    assert model.footprint.n_params == plain.load("cpu").footprint.n_params


def test_what_is_damaged_is_one_line(small: Any, tmp_path: Path) -> None:
    """Of a file with other content, and of a graph that is missing."""
    exported(chunked(small, MANY[1]), tmp_path, Onnx())
    (tmp_path / "model-1.onnx").unlink()
    with pytest.raises(StoreError, match=r"model-1\.onnx: missing: chunks\.json says that there are 2 graphs"):
        Onnx().open(tmp_path)
    (tmp_path / "chunks.json").write_text('{"geometry": {"size": 0}}')
    with pytest.raises(StoreError, match=r"chunks\.json.*geometry\.size") as caught:
        Onnx().open(tmp_path)
    assert "\n" not in str(caught.value)
