"""The Whisper family: tiny random models against transformers called directly, and the real tiny.en."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench.errors import InputError, MissingError, NotFiniteError
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.suite.named import model_entry
from greenbench.variants.whisper import ARCHITECTURES, CHECKPOINTS, Whisper

from . import whisper_folders

_RNG = np.random.default_rng(3)
SHORT = [_RNG.standard_normal(n).astype("float32") / 4 for n in (16000, 9000, 12345)]
LONG = [_RNG.standard_normal(n).astype("float32") / 4 for n in (40000, 25000)]
"""Longer than the tiny model's window of a second."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Whisper of two languages."""
    return whisper_folders.whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def tiny_moonshine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Moonshine."""
    return whisper_folders.moonshine(tmp_path_factory.mktemp("moonshine"))


@pytest.fixture
def copied(tiny: Path, tmp_path: Path) -> Path:
    """The tiny Whisper, to be spoilt."""
    for path in tiny.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.fixture(scope="module")
def plain() -> Callable[..., list[str]]:
    """Returns what transformers alone reads, each waveform alone."""

    def read(folder: Path, waveforms: list[np.ndarray], long: bool = False, **options: Any) -> list[str]:
        import torch
        from transformers import AutoFeatureExtractor, AutoModelForSpeechSeq2Seq, AutoTokenizer

        kinds = (AutoModelForSpeechSeq2Seq, AutoFeatureExtractor, AutoTokenizer)
        model, extractor, tokenizer = (kind.from_pretrained(folder) for kind in kinds)
        how = {"truncation": False, "padding": "longest", "return_attention_mask": True} if long else {}
        texts = []
        for waveform in waveforms:
            inputs = extractor(waveform, sampling_rate=16000, return_tensors="pt", **how)
            with torch.inference_mode():
                tokens = model.eval().generate(**inputs, **options, **({"return_timestamps": True} if long else {}))
            texts += tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return texts

    return read


def loaded(folder: Path, **settings: Any) -> Any:
    return build_variant(VariantEntry(use="whisper", model=str(folder), **settings)).load("cpu")


# --- texts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "de", None])
def test_each_utterance_reads_as_in_transformers(tiny: Path, plain: Any, language: str | None) -> None:
    """The language is handed on, or guessed by the model; a batch reads what each of its utterances alone does."""
    said = {"language": language, "task": "transcribe"} if language else {}
    expected = plain(tiny, SHORT, **said)
    model = loaded(tiny, language=language)
    assert model(SHORT) == expected == [model([waveform])[0] for waveform in SHORT]
    assert all(expected), "random weights answer something, so that this comparison can fail"
    assert len(set(expected)) > 1, "and not the same to everything"


def test_languages_differ(tiny: Path) -> None:
    """A token for the language stands before the text, so that random weights answer something else."""
    assert loaded(tiny, language="de")(SHORT) != loaded(tiny)(SHORT)


def test_long_utterances_are_read_by_time_stamps(tiny: Path, plain: Any) -> None:
    """They read as transformers' sequential algorithm does, alone or among others, in the order given."""
    expected = plain(tiny, LONG, long=True, language="en", task="transcribe")
    model = loaded(tiny)
    assert model([LONG[0], SHORT[0], LONG[1], SHORT[1]]) == [
        expected[0],
        model(SHORT[:1])[0],
        expected[1],
        *model(SHORT[1:2]),
    ]
    assert all(expected)


def test_long_utterances_need_time_stamps(copied: Path) -> None:
    """Without them the model cannot say where to go on: a line says so; short utterances are read."""
    said = json.loads((copied / "generation_config.json").read_text())
    del said["no_timestamps_token_id"]
    (copied / "generation_config.json").write_text(json.dumps(said))
    model = loaded(copied)
    assert len(model(SHORT)) == len(SHORT)
    with pytest.raises(InputError, match="longer than the model's window") as caught:
        model(LONG)
    assert "\n" not in str(caught.value)


def test_moonshine_is_read_too(tiny_moonshine: Path, plain: Any) -> None:
    """Waveforms go in, of whatever length: less than a frame is padded with silence."""
    model = loaded(tiny_moonshine)
    alone = [model([waveform])[0] for waveform in SHORT]
    assert alone == plain(tiny_moonshine, SHORT)
    assert len(set(alone)) > 1
    assert len(model([*SHORT, *LONG, SHORT[0][:10]])) == 6
    assert model.batching == "padded"


def test_a_text_has_no_more_tokens_than_are_allowed(tiny: Path) -> None:
    """Letters are tokens of the tiny model."""
    assert {len(text) for text in loaded(tiny, max_new_tokens=3)(SHORT)} <= {0, 1, 2, 3}


@pytest.mark.parametrize("kind", ["tiny", "tiny_moonshine"])
def test_logits_that_are_not_finite_are_an_error(kind: str, request: pytest.FixtureRequest) -> None:
    """NaN is no text; the utterances of the batch that had it are named."""
    with pytest.raises(NotFiniteError) as caught:
        loaded(request.getfixturevalue(kind))([SHORT[0], np.full(16000, np.nan, np.float32), SHORT[1]])
    assert caught.value.positions == (1,)


# --- builds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "builds", "dtype", "precision"),
    [("tiny", [], "fp32", "fp32"), ("tiny", ["bf16"], "bf16", "bf16"), ("tiny", ["fp16"], "fp16", "fp16"),
     ("tiny", ["int8-dynamic"], "fp32+int8", "int8"), ("tiny_moonshine", ["bf16"], "bf16", "bf16"),
     ("tiny_moonshine", ["fp32", "int8-dynamic"], "fp32+int8", "int8")],
)  # fmt: skip
def test_builds_run_and_say_what_they_compute_in(
    kind: str, builds: list[str], dtype: str, precision: str, request: pytest.FixtureRequest
) -> None:
    """Each gives texts for a batch, long utterances too; the precision is known before loading."""
    entry = VariantEntry(use="whisper", model=str(request.getfixturevalue(kind)), builds=builds)
    variant = build_variant(entry)
    model = variant.load("cpu")
    assert len(model([*SHORT, LONG[1]])) == 4
    assert (model.footprint.compute_dtype, variant.precision(), variant.steps) == (dtype, precision, tuple(builds))
    assert model.footprint.macs(16000) is None
    assert model.footprint.n_params


def test_other_builds_are_refused_by_name(tiny: Path) -> None:
    """What takes CTC models apart, or another engine runs, is no build here; nor is a chain that cannot be."""
    for build in ("onnx", {"use": "layer-drop", "keep": 1}):
        with pytest.raises(InputError, match=r"is not for `use: whisper`, which takes fp32, fp16, bf16, int8-dynamic"):
            build_variant(VariantEntry(use="whisper", model=str(tiny), builds=[build]))
    with pytest.raises(InputError, match="int8-dynamic needs a model in float32"):
        build_variant(VariantEntry(use="whisper", model=str(tiny), builds=["fp16", "int8-dynamic"]))


def test_a_build_is_one_of_its_model(tiny: Path) -> None:
    """Identity, parent and steps are those by which rows of builds are compared."""
    whole, build = (
        build_variant(VariantEntry(use="whisper", model=str(tiny), builds=builds)) for builds in ([], ["bf16"])
    )
    assert whole.identity is not None
    assert build.identity is not None
    assert whole.identity() == build.identity()
    assert (whole.parent, build.parent) == (None, whole.name)


# --- what is known beforehand ----------------------------------------------------------------------------


def test_languages_are_checked_before_anything_is_loaded(tiny: Path, tiny_moonshine: Path, tmp_path: Path) -> None:
    """Unknown ones, and one for a model without a choice, are an error; the row says which was used."""
    english = whisper_folders.whisper(tmp_path, is_multilingual=False)
    for folder, words in ((tiny, "'xx' is none that it knows"), (english, "no choice of languages"),
                          (tiny_moonshine, "no choice of languages")):  # fmt: skip
        with pytest.raises(InputError, match=words) as caught:
            build_variant(VariantEntry(use="whisper", model=str(folder), language="xx")).check()
        assert "\n" not in str(caught.value)
    said = {
        (folder, language): build_variant(VariantEntry(use="whisper", model=str(folder), language=language)).decoding()
        for folder in (tiny, english) for language in ("en", None)
    }  # fmt: skip
    assert list(said.values()) == ["greedy, language en", "greedy, language guessed", "greedy", "greedy"]
    limited = build_variant(VariantEntry(use="whisper", model=str(tiny), max_new_tokens=9))
    assert limited.decoding() == "greedy, language en, at most 9 tokens"


def test_a_folder_is_sent_to_its_family(tiny: Path, tiny_moonshine: Path, tiny_model: Path) -> None:
    """The command line sees the family by the configuration, and either family names the other."""
    for folder, use in ((tiny, "whisper"), (tiny_moonshine, "whisper"), (tiny_model, "wav2vec2")):
        assert model_entry(str(folder), None)["use"] == use
    for other, folder, use in (("wav2vec2", tiny, "whisper"), ("whisper", tiny_model, "wav2vec2")):
        with pytest.raises(InputError, match=f"give `use: {use}`"):
            build_variant(VariantEntry(use=other, model=str(folder))).check()


@pytest.mark.parametrize("lost", ["model.safetensors", "preprocessor_config.json", "tokenizer.json"])
def test_a_folder_that_is_not_whole_is_one_line(copied: Path, lost: str) -> None:
    """The file is named, and what writes it."""
    build_variant(VariantEntry(use="whisper", model=str(copied))).check()
    (copied / lost).unlink()
    with pytest.raises(MissingError, match="does not load as a sequence-to-sequence model") as caught:
        build_variant(VariantEntry(use="whisper", model=str(copied))).check()
    assert "\n" not in str(caught.value)


def test_weights_that_are_missing_are_not_random(copied: Path) -> None:
    """transformers would fill them with random numbers."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(copied / "model.safetensors")
    del tensors["model.decoder.layers.1.fc1.weight"]
    save_file(tensors, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MissingError, match=r"no weights for model\.decoder\.layers\.1\.fc1\.weight \(1 missing\)"):
        loaded(copied)


# --- random weights --------------------------------------------------------------------------------------


def test_random_weights_write_a_fixed_number_of_tokens(tiny: Path, tiny_moonshine: Path) -> None:
    """So that every build decodes as much; a text has the numbers of the tokens, and the row says synthetic."""
    for folder in (tiny, tiny_moonshine):
        entry = VariantEntry(use="whisper", config=str(folder), weights="random", max_new_tokens=5)
        variant = build_variant(entry)
        variant.check()
        texts = variant.load("cpu")(SHORT[:2])
        n_tokens = {len(text.split()) for text in texts}
        assert len(n_tokens) == 1
        assert n_tokens <= {5, 6}, "a family's generate may give the token that begins a text, too"
        assert variant.info.synthetic
        assert variant.decoding() == "greedy, 5 tokens for each text"
        other = build_variant(entry.model_copy(update={"seed": 1}))
        assert other.identity() != variant.identity() == build_variant(entry).identity()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"config": "tiny"}, "give `model`"),
        ({"config": "tiny", "weights": "random"}, "needs `max_new_tokens`"),
        ({"model": "x", "weights": "random", "max_new_tokens": 1}, "takes `config` and no `model`"),
        ({"model": "x", "max_new_tokens": 0}, "at least 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], problem: str) -> None:
    """Before anything is looked for."""
    with pytest.raises(ValueError, match=problem):
        Whisper(**settings)


@pytest.mark.parametrize(
    ("name", "published_m"),
    [("tiny", 39), ("base", 74), ("small", 244), ("medium", 769), ("large-v2", 1550), ("large-v3", 1550),
     ("large-v3-turbo", 809), ("distil-large-v3", 756)],
)  # fmt: skip
def test_architectures_have_the_published_size(name: str, published_m: int) -> None:
    """In millions of parameters: table 1 of the paper, and the model cards of the later ones."""
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    with torch.device("meta"):
        model = WhisperForConditionalGeneration(WhisperConfig(**ARCHITECTURES[name]))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(published_m, rel=0.035)


def test_presets_are_hub_ids() -> None:
    """A name of a preset is the model of one repository."""
    assert all(model.count("/") == 1 for model in CHECKPOINTS.values())
    assert len(set(CHECKPOINTS.values())) == len(CHECKPOINTS)
    assert build_variant(VariantEntry(use="whisper/tiny.en")).name == "whisper/tiny.en"


# --- the real one ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_real_tiny_en_reads_what_ctranslate2_reads(whisper_folder: Path, tmp_path: Path) -> None:
    """In float32, measured as a row: of the same weights and features another engine makes the same texts."""
    import ctranslate2
    from transformers import AutoFeatureExtractor, AutoTokenizer

    from greenbench.harness.runner import Options, run
    from greenbench.results import frames
    from greenbench.suite.entries import DatasetEntry, corpus_of

    folder = whisper_folders.tiny_en(whisper_folder, tmp_path / "tiny.en")
    data = {"use": "quickstart", "voices": "unseen", "limit": 3}
    suite = {
        "name": "whisper", "datasets": [data],
        "protocol": {"use": "quick", "repeats": 1, "window_s": 0, "idle_s": 0, "warmup_batches": 1},
        "variants": [{"use": "whisper", "model": str(folder), "name": "tiny"}, "tiny+int8-dynamic"],
    }  # fmt: skip
    rows = run(suite, Options(out=tmp_path / "run"))
    assert list(rows["status"]) == ["ok", "ok"]
    assert list(rows["decoding"]) == ["greedy", "greedy"]
    texts = frames.load_hypotheses(tmp_path / "run")
    found = texts[texts["variant"] == "tiny"].set_index("utterance_id")["hypothesis"]
    extractor, tokenizer = AutoFeatureExtractor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    peer = ctranslate2.models.Whisper(str(whisper_folder), compute_type="float32")
    for utterance in next(corpus_of(DatasetEntry(**data)).chunks()):
        features = extractor(utterance.audio, sampling_rate=16000, return_tensors="np").input_features
        prompt = [whisper_folders.TINY_START, whisper_folders.TINY_NO_STAMPS]
        (said,) = peer.generate(ctranslate2.StorageView.from_array(features), [prompt], beam_size=1)
        assert found[utterance.id] == tokenizer.decode(said.sequences_ids[0], skip_special_tokens=True).strip()
