"""The sherpa-onnx family: the real package with a tiny CTC model that reads tones, and folders by their files alone."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench import extras
from greenbench.errors import InputError, MissingError
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.variants.sherpa_onnx import OPENINGS

RATE = 16_000
LETTERS = {"a": 400.0, "b": 1000.0, "▁c": 2500.0}
"""Token -> the tone that is it, in Hz; "▁" begins a word, as in vocabularies of SentencePiece."""

N_BANDS = 80


@pytest.fixture
def package() -> Any:
    """The real package."""
    return pytest.importorskip("sherpa_onnx", reason="sherpa-onnx is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model in the form of NeMo's CTC models: a token for the band that is loudest, blank in silence."""
    _write(tmp_path / "model.onnx")
    names = [*LETTERS, "<blk>"]
    (tmp_path / "tokens.txt").write_text("".join(f"{name} {number}\n" for number, name in enumerate(names)))
    return tmp_path


def _write(file: Path) -> None:
    """Write the graph: log energies of bands, shape ``(n, 80, n_frames)``, in; scores ``(n, n_frames, 4)`` out."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    from onnx import TensorProto, helper, numpy_helper

    weights = np.zeros((N_BANDS, len(LETTERS) + 1), np.float32)
    for column, hz in enumerate(LETTERS.values()):
        weights[_band(hz), column] = 1
    bias = np.array([0.0] * len(LETTERS) + [-5.0], np.float32)  # silence has -23
    nodes = [
        helper.make_node("Transpose", ["audio_signal"], ["frames"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["frames", "weights"], ["products"]),
        helper.make_node("Add", ["products", "bias"], ["logprobs"]),
    ]
    inputs = [
        helper.make_tensor_value_info("audio_signal", TensorProto.FLOAT, ["n", N_BANDS, "t"]),
        helper.make_tensor_value_info("length", TensorProto.INT64, ["n"]),
    ]
    outputs = [helper.make_tensor_value_info("logprobs", TensorProto.FLOAT, ["n", "t", len(LETTERS) + 1])]
    constants = [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")]
    graph = helper.make_graph(nodes, "tones", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    said = {"vocab_size": len(LETTERS), "subsampling_factor": 1, "normalize_type": "", "model_type": "EncDecCTCModel"}
    helper.set_model_props(model, {key: str(value) for key, value in said.items()})
    onnx.save(model, file)


def _band(hz: float) -> int:
    """Return the band of a frequency: 80 up to half the rate, evenly in Slaney's mels, as librosa has them."""
    mels = [3 * f / 200 if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4) for f in (hz, RATE / 2)]
    return round(float(mels[0] / mels[1] * (N_BANDS + 1))) - 1


def speak(text: str) -> np.ndarray:
    """Return tones of 0.15 s with silence between them; ``c`` begins a word."""
    silence = np.zeros(int(0.1 * RATE), np.float32)
    times = np.arange(int(0.15 * RATE)) / RATE
    tones = {token.strip("▁"): np.sin(2 * np.pi * hz * times).astype(np.float32) for token, hz in LETTERS.items()}
    return np.concatenate([silence, *(part for letter in text for part in (tones[letter], silence))])


def variant(folder: Path, **settings: Any) -> Any:
    return build_variant(VariantEntry(use="sherpa-onnx", model=str(folder), kind="nemo-ctc", **settings))


def test_the_package_reads_what_was_said(package: Any, folder: Path) -> None:
    """A batch gives a text each, in the order given; a few samples and silence are no crash and no text."""
    found = variant(folder)
    found.check()
    assert (found.unsupported("cpu"), found.decoding(), found.to_fetch()) == (None, "greedy", None)
    model = found.load("cpu")
    assert model([speak("abba"), speak("bc"), speak("a")]) == ["abba", "b c", "a"]
    assert model([np.zeros(3, np.float32), np.zeros(RATE, np.float32)]) == ["", ""]
    assert model.batching == "padded"
    assert model.footprint.model_bytes == (folder / "model.onnx").stat().st_size
    assert model.footprint.compute_dtype == "fp32"


def test_every_kind_is_one_of_the_package(package: Any) -> None:
    """Its class has the method, which has the parameters."""
    for form in OPENINGS.values():
        taken = inspect.signature(getattr(package.OfflineRecognizer, form.method)).parameters
        asked = {*form.files, *form.options, "tokens", "num_threads", *(["language"] if form.takes_language else [])}
        assert asked <= set(taken), form.method


# --- without the package ---------------------------------------------------------------------------------


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).write_text(name)
    return folder


def test_files_are_found_by_their_names(tmp_path: Path) -> None:
    """Floats, or integers where they are asked for and there; the identity is that of the files that are taken."""
    folder = made(tmp_path, "encoder-epoch-9.onnx", "encoder-epoch-9.int8.onnx", "decoder-epoch-9.onnx",
                  "joiner-epoch-9.onnx", "joiner-epoch-9.int8.onnx", "tokens.txt")  # fmt: skip
    entries = [
        VariantEntry(use="sherpa-onnx", model=str(folder), kind="transducer", int8=int8) for int8 in (False, True)
    ]
    floats, integers = map(build_variant, entries)
    floats.check()
    integers.check()
    assert floats.identity() != integers.identity()
    before = floats.identity()
    (folder / "encoder-epoch-9.int8.onnx").write_text("other")
    assert floats.identity() == before
    (folder / "decoder-epoch-9.onnx").write_text("other")
    assert floats.identity() != before


@pytest.mark.parametrize(
    ("names", "settings", "problem"),
    [
        (["model.onnx"], {}, r"\*tokens\.txt is missing"),
        (["tokens.txt"], {}, r"model\*\.onnx is missing: not whole, or no nemo-ctc"),
        (["tokens.txt", "model.int8.onnx"], {}, "is there in int8 only: set `int8: true`"),
        (["tokens.txt", "model.onnx"], {"int8": True}, "no file has int8 in its name"),
        (["tokens.txt", "model-1.onnx", "model-2.onnx"], {}, r"may be each of model-1\.onnx, model-2\.onnx"),
    ],
)
def test_a_folder_that_is_not_whole_is_one_line(
    tmp_path: Path, names: list[str], settings: dict[str, Any], problem: str
) -> None:
    """Which file it is, and what to do, before anything is loaded."""
    with pytest.raises(MissingError, match=problem) as caught:
        variant(made(tmp_path, *names), **settings).check()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [({"kind": "rnn"}, "kind"), ({"kind": "nemo-ctc", "language": "de"}, "models of the kind nemo-ctc take none")],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, settings: dict[str, Any], problem: str) -> None:
    """A kind that there is not, and a language for a model that takes none."""
    with pytest.raises(InputError, match=problem):
        build_variant(VariantEntry(use="sherpa-onnx", model=str(tmp_path), **settings))


def test_a_package_that_is_missing_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    real = extras.is_installed
    monkeypatch.setattr(extras, "is_installed", lambda module: module != "sherpa_onnx" and real(module))
    found = variant(tmp_path)
    reason = "sherpa-onnx not installed: pip install 'greenbench[sherpa-onnx]'"
    assert found.unsupported("cpu") == reason
    with pytest.raises(MissingError, match="not installed"):
        found.load("cpu")
