"""Folders that hold no CTC model, or not the whole of one: which file, and what to do, before anything is loaded."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from greenbench.errors import GreenbenchError, InputError, MissingError
from greenbench.models import folders, hub
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.suite.file import entry

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A whole small model, to be spoilt."""
    return Path(shutil.copytree(tiny_model, tmp_path / "mine"))


def spoil_pointer(folder: Path) -> None:
    """Leave what git leaves where git-lfs is not installed."""
    (folder / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 377607901\n")


def spoil_cut(folder: Path) -> None:
    """Break off in the middle of the weights, as a download does."""
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])


def spoil_header(folder: Path) -> None:
    """Break off within the header."""
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:20])


def spoil_pickle(folder: Path) -> None:
    """Break off a file of torch's own format, which is a ZIP archive."""
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(b"PK\x03\x04" + bytes(500))


def spoil_shard(folder: Path) -> None:
    """Leave out one of several files of weights."""
    index = {"weight_map": {"a": WEIGHTS, "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def spoil_weights(folder: Path) -> None:
    """Leave the weights out."""
    (folder / WEIGHTS).unlink()


def spoil_head(folder: Path) -> None:
    """Leave what pre-training leaves."""
    from safetensors.torch import load_file, save_file

    tensors = {name: tensor for name, tensor in load_file(folder / WEIGHTS).items() if not name.startswith("lm_head")}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def spoil_tokeniser(folder: Path) -> None:
    """Leave what a Trainer leaves that was not given the tokeniser."""
    for path in folder.iterdir():
        if path.name not in ("config.json", WEIGHTS, "preprocessor_config.json", "processor_config.json"):
            path.unlink()


def spoil_extractor(folder: Path) -> None:
    """Leave what a Trainer leaves that was given the tokeniser only."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        (folder / name).unlink(missing_ok=True)


def spoil_level(folder: Path) -> None:
    """Have all of it one level down, as a Trainer's checkpoints are."""
    below = folder / "checkpoint-500"
    below.mkdir()
    for path in [path for path in folder.iterdir() if path.is_file()]:
        path.rename(below / path.name)


def spoil_config(folder: Path) -> None:
    """Break off in the configuration."""
    (folder / "config.json").write_text('{"model_type": "wav2')


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_pointer, "model.safetensors is a git-lfs pointer, not the file: run `git lfs pull`"),
        (spoil_cut, "model.safetensors is cut short or damaged: make or fetch it again"),
        (spoil_header, "model.safetensors is cut short or damaged"),
        (spoil_pickle, "pytorch_model.bin is cut short or damaged"),
        (
            spoil_shard,
            r"model-00002-of-00002.safetensors is missing, which model.safetensors.index.json names \(1 are\)",
        ),
        (spoil_weights, r"model\*.safetensors or pytorch_model\*.bin is missing"),
        (spoil_head, "no weights for a head, so it is not fine-tuned for CTC: name a fine-tuned one"),
        (spoil_tokeniser, r"vocab.json is missing: it has no tokeniser.*AutoTokenizer.from_pretrained\('BASE'\)"),
        (spoil_extractor, r"preprocessor_config.json is missing: it has no feature extractor.*AutoFeatureExtractor"),
        (spoil_level, "config.json is missing: give .*checkpoint-500, which has one"),
        (spoil_config, "config.json is not valid JSON"),
    ],
)
def test_what_is_not_whole_names_the_file_and_the_remedy(folder: Path, spoil: Any, words: str) -> None:
    """Seen when a run is planned, before anything is loaded, in one line that names the model."""
    folders.check("mine", folder)
    spoil(folder)
    with pytest.raises(MissingError, match=words) as caught:
        build_variant(VariantEntry(use="wav2vec2", model=str(folder))).check()
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("within", [None, "feature_extractor"])
def test_speech_of_another_rate_is_known_from_the_files(folder: Path, within: str | None) -> None:
    """A telephone model's feature extractor says 8000 Hz, in a file of its own or in that of the processor."""
    (folder / "preprocessor_config.json").unlink(missing_ok=True)
    settings = {"sampling_rate": 8000}
    name = "processor_config.json" if within else "preprocessor_config.json"
    (folder / name).write_text(json.dumps({within: settings} if within else settings))
    with pytest.raises(InputError, match=r"takes speech of 8000 Hz; only models of 16000 Hz can be measured"):
        build_variant(VariantEntry(use="wav2vec2", model=str(folder))).check()


def test_an_index_of_weights_that_are_not_loaded_is_not_looked_at(folder: Path) -> None:
    """A repository with both kinds brings both indices, and the shards of one alone."""
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": "pytorch_model-1.bin"}}))
    folders.check("mine", folder)


def test_files_that_are_not_loaded_may_be_anything(folder: Path) -> None:
    """Adapters of other languages, weights of other libraries and a Trainer's settings are not looked at."""
    for name in ("adapter.fra.safetensors", "tf_model.h5", "training_args.bin"):
        (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    folders.check("mine", folder)
    spoil_weights(folder)
    with pytest.raises(MissingError, match=r"model\*.safetensors or pytorch_model\*.bin is missing"):
        folders.check("mine", folder)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"config.json": '{"model_type": "whisper"}'}, "is of the type 'whisper': give `use: whisper`"),
        ({"config.json": '{"model_type": "moonshine"}'}, "is of the type 'moonshine': give `use: whisper`"),
        (
            {"config.json": '{"alignment_heads": []}', "model.bin": "x"},
            "a Whisper model of CTranslate2: give `use: faster-whisper`",
        ),
        ({"model.bin": "x"}, "a Whisper model of CTranslate2: give `use: faster-whisper`"),
        ({"config.json": '{"model_type": "bert"}'}, "type 'bert'. greenbench measures CTC models of the types"),
        ({"config.json": "{}"}, "is of the type None"),
    ],
)
def test_a_model_of_another_kind_says_what_it_is(tmp_path: Path, files: dict[str, str], words: str) -> None:
    """A Whisper model is sent to its own family, and any other type is named beside those that are measured."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        build_variant(VariantEntry(use="wav2vec2", model=str(tmp_path))).check()
    assert len(str(caught.value)) < 600


def test_random_weights_of_another_kind_are_refused_too(tmp_path: Path) -> None:
    """A configuration alone is looked at in the same way."""
    (tmp_path / "config.json").write_text('{"model_type": "whisper"}')
    with pytest.raises(InputError, match="use: whisper"):
        build_variant(VariantEntry(use="wav2vec2", config=str(tmp_path), weights="random")).check()


def test_a_missing_folder_beside_others_is_called_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_hub: None, never_waits: None
) -> None:
    """``models/nope`` could be a hub id, but the folder ``models`` is here: the nearest of what is in it is named."""
    (tmp_path / "models" / "nopes").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingError, match=r"model models/nope: no such folder \(did you mean models/nopes\?\)"):
        hub.fetch("models/nope")
    with pytest.raises(MissingError, match=r"model \./models/nope: no such folder \(did you mean models/nopes\?\)"):
        build_variant(VariantEntry(**entry("file:models/nope", "variants"))).check()  # which is no hub id
    with pytest.raises(GreenbenchError, match="model other/nope: not in the local hub cache"):
        hub.fetch("other/nope")
