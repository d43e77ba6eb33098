"""The Moonshine family: by a stand-in with the real graphs' inputs and outputs, and by the real package where it is."""

import math
import os
import subprocess
import sys
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench import extras
from greenbench.errors import InputError, MissingError, NotFiniteError
from greenbench.models.packaged import Packaged
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.suite.named import model_entry
from greenbench.variants.moonshine import MIN_SAMPLES, N_PARAMS, SIZES, Moonshine, _vocabulary

from . import moonshine_graphs

ROOT = Path(__file__).parents[2]
END = 2


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with one that is called moonshine-voice and must not be imported."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    site = tmp_path_factory.mktemp("site")
    moonshine_graphs.write(site / "moonshine_voice" / "assets" / "tiny-en")
    (site / "moonshine_voice" / "__init__.py").write_text("raise AssertionError('imported')\n")
    about = site / "moonshine_voice-0.0.99.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: moonshine-voice\nVersion: 0.0.99\n")
    return site


@pytest.fixture
def site(written: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder, on the path of packages."""
    monkeypatch.syspath_prepend(str(written))
    return written


@pytest.fixture
def model(site: Path) -> Any:
    """The stand-in, loaded."""
    return build_variant(VariantEntry(use="moonshine/tiny.en")).load("cpu")


def speak(tokens: list[int], seconds: float = 4.0) -> np.ndarray:
    """Return audio from which the stand-in spells tokens, and then repeats the last one."""
    audio = np.zeros(int(seconds * 16_000), np.float32)
    steps = [(token - before) % moonshine_graphs.N_TOKENS for before, token in zip([1, *tokens], tokens, strict=False)]
    audio[: len(steps) * moonshine_graphs.SAMPLES_PER_FRAME : moonshine_graphs.SAMPLES_PER_FRAME] = steps
    return audio


def test_speech_is_what_its_docstring_says() -> None:
    """The sums of the frames, from the token that begins a text on, are the tokens."""
    frames = speak([3, 4, 2])[:1200:400].astype(int)
    assert [total % 8 for total in accumulate([1, *frames])][1:] == [3, 4, 2]


# --- texts -----------------------------------------------------------------------------------------------


def test_each_token_follows_those_before_it(model: Any) -> None:
    """A text ends with its end token, special tokens are no text, and letters in two tokens are put together."""
    assert model([speak([3, 4, 5, 6, 7, END, 4, 4])]) == ["ab cé"]
    assert model([speak([3, 0, 1, 4, END])]) == ["ab"]


def test_a_batch_is_transcribed_one_after_the_other(model: Any) -> None:
    """One text a waveform, in the order given, whatever its neighbours are; a few samples are no crash."""
    assert model.batching == "sequential"
    short = np.zeros(10, np.float32)
    assert model([speak([3, END]), speak([4, 4, END], 1), short]) == ["a", "bb", ""]


@pytest.mark.parametrize(("seconds", "limit"), [(1.0, 6.5), (2.0, 6.5), (2.0, 2.0)])
def test_a_text_has_no_more_tokens_than_its_seconds_allow(site: Path, seconds: float, limit: float) -> None:
    """A text that would never end does so after so many tokens a second, the last second counted in part."""
    endless = build_variant(VariantEntry(use="moonshine/tiny.en", max_tokens_per_s=limit)).load("cpu")
    assert endless([speak([4], seconds)]) == ["b" * math.ceil(seconds * limit)]


def test_logits_that_are_not_finite_are_an_error(model: Any) -> None:
    """NaN is no text, and the utterance in the batch is named."""
    with pytest.raises(NotFiniteError) as caught:
        model([speak([3, END]), np.full(16_000, np.nan, np.float32)])
    assert caught.value.positions == (1,)


def test_long_tokens_have_their_length_in_two_bytes() -> None:
    """From 128 bytes on the number is the low seven bits, marked, and then the high ones; a cut file is refused."""
    content = b"\x01a\x00" + bytes([200 % 128 + 128, 200 // 128]) + b"x" * 200 + b"\x02bc"
    assert _vocabulary("m", content) == [b"a", b"", b"x" * 200, b"bc"]
    with pytest.raises(MissingError, match=r"model m: tokenizer\.bin is cut short") as caught:
        _vocabulary("m", content[:-1])
    assert "\n" not in str(caught.value)


# --- what a row says -------------------------------------------------------------------------------------


def test_what_is_known_before_loading(site: Path) -> None:
    """Package and version, licence, limit and the digest of both graphs; the package is not imported."""
    variant = build_variant(VariantEntry(use="moonshine/tiny.en"))
    assert (variant.info.weights_package, variant.info.licence) == ("moonshine-voice 0.0.99", "MIT")
    assert variant.info.n_params == N_PARAMS["tiny.en"]
    assert variant.decoding() == "greedy, at most 6.5 tokens a second of audio"
    assert (variant.to_fetch(), variant.unsupported("cpu")) == (None, None)
    assert "not on cuda:0" in str(variant.unsupported("cuda:0"))
    variant.check()
    assert variant.identity is not None
    (identity,) = variant.identity()
    assert identity.startswith("weights:")


def test_the_size_is_of_the_graphs_that_run(model: Any, site: Path) -> None:
    """Both files count, the vocabulary does not; without integer products the model multiplies floats."""
    folder = site / "moonshine_voice" / "assets" / "tiny-en"
    n_bytes = sum((folder / name).stat().st_size for name in ("encoder_model.ort", "decoder_model_merged.ort"))
    assert (model.footprint.model_bytes, model.footprint.compute_dtype) == (n_bytes, "fp32")


def test_the_suites_threads_are_taken(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sessions get as many as the environment of a cell states."""
    import onnxruntime

    taken, session = [], onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda file, o, **k: taken.append(o.intra_op_num_threads) or session(file, o, **k),
    )
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    build_variant(VariantEntry(use="moonshine/tiny.en")).load("cpu")
    assert taken == [1, 1]


def test_a_folder_is_taken_too(tmp_path: Path, written: Path, site: Path) -> None:
    """Its licence and its package are not known; the command line sees the family by the files."""
    folder = moonshine_graphs.write(tmp_path / "mine")
    variant = build_variant(VariantEntry(use="moonshine", model=str(folder)))
    assert (variant.info.licence, variant.info.weights_package, variant.info.n_params) == (None, None, None)
    assert variant.load("cpu")([speak([3, END])]) == ["a"]
    assert model_entry(str(folder), None) == {"use": "moonshine", "model": str(folder), "name": "mine"}


# --- what cannot be --------------------------------------------------------------------------------------


def test_a_package_that_is_missing_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without moonshine-voice the variant is unsupported, says no package, and loading it fails with the command."""
    real = extras.is_installed
    monkeypatch.setattr(extras, "is_installed", lambda module: module != "moonshine_voice" and real(module))
    variant = build_variant(VariantEntry(use="moonshine/tiny.en"))
    reason = "moonshine-voice not installed: pip install 'greenbench[moonshine]'"
    assert (variant.unsupported("cpu"), variant.info.weights_package) == (reason, None)
    assert variant.identity is not None
    assert variant.identity() == ()
    with pytest.raises(MissingError) as caught:
        variant.load("cpu")
    assert str(caught.value) == reason


@pytest.mark.parametrize("lost", ["encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin"])
def test_a_folder_that_is_not_whole_is_one_line(tmp_path: Path, site: Path, lost: str) -> None:
    """The file that is missing or empty is named before anything runs."""
    for name in ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin"):
        (tmp_path / name).write_text("x")
    Moonshine(str(tmp_path))("m", []).check()
    (tmp_path / lost).write_text("")
    with pytest.raises(
        MissingError, match=rf"{lost} missing or empty: not a complete Moonshine model\. Install it again"
    ) as caught:
        Moonshine(str(tmp_path))("m", []).check()
    assert "\n" not in str(caught.value)


def test_what_is_no_model_is_one_line(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is not there, and a package of another version that lacks the model."""
    with pytest.raises(MissingError, match=r"model base\.en: no such folder, and not one of tiny\.en"):
        Moonshine("base.en")("m", []).check()
    monkeypatch.setitem(SIZES, "tiny.en", Packaged("moonshine-voice", "moonshine_voice", "elsewhere"))
    with pytest.raises(MissingError, match=r"model tiny\.en: not in moonshine-voice 0\.0\.99\. Install it again"):
        Moonshine("tiny.en")("m", []).check()


@pytest.mark.parametrize("limit", [0.0, -1.0, math.inf, math.nan])
def test_a_limit_that_gives_no_text_is_an_input_error(limit: float) -> None:
    """It is refused before anything runs."""
    with pytest.raises(InputError, match="max_tokens_per_s is above 0"):
        build_variant(VariantEntry(use="moonshine/tiny.en", max_tokens_per_s=limit))


@pytest.mark.speech
def test_the_peers_need_nothing_more_where_their_packages_are(
    site: Path, whisper_folder: Path, speech: Path, tmp_path: Path
) -> None:
    """With packages and speech the suite is whole without a network."""
    root = f"datasets.0.root={speech / 'LibriSpeech'}"
    done = subprocess.run(
        [sys.executable, "-m", "greenbench", "run", str(ROOT / "suites/peers.yaml"), "--set", root, "--dry-run"],
        env={**os.environ, "PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "missing " not in done.stderr
    assert all(name in done.stdout for name in ("wav2vec2/quickstart", "moonshine/tiny.en", "whisper-tiny.en-int8"))


# --- the real package ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> Any:
    """The real tiny.en, loaded."""
    if SIZES["tiny.en"].folder is None or extras.missing(["moonshine"]):
        pytest.skip("moonshine-voice is not installed (117 MB: pip install --no-deps moonshine-voice==0.0.73)")
    return build_variant(VariantEntry(use="moonshine/tiny.en")).load("cpu")


@pytest.mark.speech
def test_real_texts_equal_the_graphs_own(real: Any, speech: Path) -> None:
    """The four shortest utterances of test-other read as by a plain loop over the package's graphs."""
    import soundfile

    files = sorted(
        (speech / "LibriSpeech" / "test-other").rglob("*.flac"), key=lambda file: soundfile.info(file).frames
    )
    waveforms = [soundfile.read(file, dtype="float32")[0] for file in files[:4]]
    expected = [_direct(SIZES["tiny.en"].folder, waveform) for waveform in waveforms]
    assert all(expected)
    assert real(waveforms) == expected


def _direct(folder: Path | None, waveform: np.ndarray) -> str:
    """Transcribe with sessions of its own, every key and value passed on by position."""
    import onnxruntime

    assert folder is not None
    encoder, decoder = (
        onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"])
        for name in ("encoder_model.ort", "decoder_model_merged.ort")
    )
    mask = np.ones((1, len(waveform)), np.int64)
    frames = encoder.run(None, {"input_values": waveform[None], "attention_mask": mask})[0]
    names = [port.name for port in decoder.get_inputs() if port.name.startswith("past")]
    past, tokens = {name: np.zeros((1, 8, 0, 36), np.float32) for name in names}, [1]
    for step in range(math.ceil(len(waveform) / 16_000 * 6.5)):
        inputs = {"input_ids": np.array([[tokens[-1]]]), "use_cache_branch": np.array([step > 0])}
        encoded = {"encoder_hidden_states": frames, "encoder_attention_mask": mask}
        logits, *present = decoder.run(None, {**inputs, **encoded, **past})
        past |= {n: p for n, p in zip(names, present, strict=True) if step == 0 or "decoder" in n}
        tokens.append(int(logits[0, -1].argmax()))
        if tokens[-1] == END:
            break
    pieces = _vocabulary("tiny.en", (folder / "tokenizer.bin").read_bytes())
    return b"".join(pieces[token] for token in tokens if token > 2).decode().replace("\u2581", " ").strip()


def test_the_real_size(real: Any) -> None:
    """The published architecture has as many parameters; weights are integers, and one frame takes so many samples."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    with torch.device("meta"):
        published = transformers.MoonshineForConditionalGeneration(transformers.MoonshineConfig())
    assert sum(parameter.numel() for parameter in published.parameters()) == N_PARAMS["tiny.en"]
    assert real.footprint.compute_dtype == "fp32+int8"
    assert len(real.vocabulary) == 32_768
    audio = np.zeros((1, MIN_SAMPLES), np.float32)
    (frames,) = real.encoder.run(None, {"input_values": audio, "attention_mask": np.ones(audio.shape, np.int64)})
    assert frames.shape[1] == 1
