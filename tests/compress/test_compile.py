"""The build that compiles a model."""

import _ctypes
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench.compress.compile import Compile, remove_cut_libraries
from greenbench.suite.entries import VariantEntry, build_variant

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and transformers warn each other while tracing


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Forget what earlier tests compiled."""
    import torch

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def smallest_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with as little to compile as can be: two convolutions and one layer."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    folder = tmp_path_factory.mktemp("smallest")
    shutil.copytree(tiny_model, folder, dirs_exist_ok=True)
    torch.manual_seed(3)
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=16, vocab_size=32,
        conv_dim=(8, 8), conv_kernel=(40, 16), conv_stride=(20, 16), num_feat_extract_layers=2,
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=1,
    )  # fmt: skip
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    return folder


def load(folder: Path, *builds: str) -> Any:
    """Load a model with builds chained on, on the CPU."""
    return build_variant(VariantEntry(use="wav2vec2", model=str(folder), builds=list(builds))).load("cpu")


def waveforms(n_utterances: int, n_samples: int) -> list[np.ndarray]:
    """Return noise, each waveform a little shorter than the one before."""
    rng = np.random.default_rng(n_samples)
    return [rng.standard_normal(n_samples - 37 * i).astype("float32") / 10 for i in range(n_utterances)]


def test_a_library_that_was_cut_off_is_compiled_anew(tmp_path: Path) -> None:
    """A process that is ended while it compiles leaves half a file in torch's cache, at which all later runs failed."""
    whole = Path(_ctypes.__file__).read_bytes()
    (tmp_path / "ab").mkdir()
    files = {"whole": whole, "cut": whole[:-1], "half": whole[: len(whole) // 2], "short": whole[:9], "empty": b""}
    for name, content in {**files, "still written": whole[:-1]}.items():
        path = tmp_path / "ab" / f"{name}.so"
        path.write_bytes(content)
        if name in files:
            os.utime(path, (1e9, 1e9))
    remove_cut_libraries(tmp_path)
    assert sorted(path.stem for path in tmp_path.glob("*/*.so")) == ["still written", "whole"]


def test_the_cache_is_looked_through_before_a_model_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the one that torch's compiler takes."""
    import torch

    cut = tmp_path / "ab" / "cut.so"
    cut.parent.mkdir()
    cut.touch()
    os.utime(cut, (1e9, 1e9))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    Compile()(torch.nn.Linear(2, 2))
    assert not cut.exists()


@pytest.mark.skipif(Compile().unsupported("cpu") is not None, reason="there is no C++ compiler")
@pytest.mark.slow
def test_compiled_texts_equal_eager_ones(smallest_model: Path) -> None:
    """The generated code reads as the model does, for two lengths and batch sizes, and keeps parameters and work."""
    plain, model = load(smallest_model), load(smallest_model, "compile")
    for batch in (waveforms(4, 16000), waveforms(3, 20000)):
        texts = model(batch)
        assert any(texts)
        assert texts == plain(batch)
    assert model.footprint.n_params == plain.footprint.n_params
    assert model.footprint.model_bytes == pytest.approx(plain.footprint.model_bytes, rel=0.05)
    assert model.footprint.macs(16000) == plain.footprint.macs(16000)


@pytest.mark.slow
def test_a_new_length_is_no_new_compilation(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the lengths and sizes, batches share one graph and single utterances one more, without breaks;
    one graph a length would make every latency a compilation."""
    import torch

    counters = torch._dynamo.utils.counters
    # the graphs are captured by the same front end whatever the back end; "eager" generates no code
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    model = load(tiny_model, "compile")
    for n_utterances, n_samples in ((4, 16000), (4, 20000), (2, 9000), (8, 8000), (3, 17777), (5, 31000)):
        model(waveforms(n_utterances, n_samples))
    assert counters["stats"]["unique_graphs"] == 1
    # Under 20480 values torch runs a lone convolution in another kernel, which is another graph: with the 512
    # channels of published models for the shortest clips only, with the 32 of this one below 7 s.
    for n_samples in (120_000, 150_000, 130_001, 140_123, 160_000, 125_555):
        model(waveforms(1, n_samples))
    assert counters["stats"]["unique_graphs"] == 2
    assert not counters["graph_break"]


def test_the_cpu_needs_a_compiler_and_a_gpu_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a C++ compiler the CPU is refused with the remedy; CXX names one too; a GPU brings its own."""
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr("greenbench.compress.compile.shutil.which", lambda name: None)
    assert "install g++" in str(Compile().unsupported("cpu"))
    assert Compile().unsupported("cuda:0") is None
    monkeypatch.setattr(shutil, "which", lambda name: "/opt/cc" if name == "my-c++" else None)
    monkeypatch.setenv("CXX", "my-c++")
    assert Compile().unsupported("cpu") is None
