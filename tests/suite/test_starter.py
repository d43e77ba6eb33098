"""Suites that are made of a model, data and builds: by `init`, by `run --model`, and from Python."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import soundfile
import yaml

import greenbench
from greenbench.assets import QUICKSTART
from greenbench.errors import InputError, MissingError
from greenbench.suite import config, starter
from greenbench.suite.plan import content_hash
from greenbench.suite.schema import json_schema
from greenbench.suite.starter import StarterRequest

STUDENT = QUICKSTART / "students" / "quickstart-2l"


def librispeech(root: Path) -> Path:
    """Make a subset of LibriSpeech with one utterance."""
    chapter = root / "dev-clean" / "84" / "121123"
    chapter.mkdir(parents=True)
    soundfile.write(chapter / "84-121123-0000.flac", np.zeros(16_000), 16_000)
    (chapter / "84-121123.trans.txt").write_text("84-121123-0000 GO DO YOU HEAR\n")
    return root / "dev-clean"


MODELS: dict[str, Callable[[Path, Path], tuple[str, dict]]] = {
    "a registered variant": lambda _here, _tiny: ("wav2vec2/quickstart", {"use": "wav2vec2/quickstart"}),
    "a folder": lambda _here, tiny: (str(tiny), {"use": "wav2vec2", "model": str(tiny), "name": tiny.name}),
    "a hub id": lambda _here, _tiny: (
        "someone/wav2vec2-mine",
        {"use": "wav2vec2", "model": "someone/wav2vec2-mine", "name": "wav2vec2-mine"},
    ),
    "an odd folder": lambda here, tiny: (
        str(shutil.copytree(tiny, here / "my: model, no. 1 {ö}")),
        {"use": "wav2vec2", "model": str(here / "my: model, no. 1 {ö}"), "name": "my-model-no.-1"},
    ),
}

DATA: dict[str, Callable[[Path, Path], tuple[str, dict]]] = {
    "a registered data set": lambda _here, _manifest: ("quickstart", {"use": "quickstart"}),
    "a manifest": lambda _here, manifest: (str(manifest), {"use": "manifest", "path": str(manifest)}),
    "a folder of LibriSpeech": lambda here, _manifest: (
        str(librispeech(here)),
        {"use": "librispeech", "root": str(here), "subset": "dev-clean"},
    ),
    "a subset by name": lambda _here, _manifest: (
        "librispeech/test-other",
        {"use": "librispeech", "root": str(Path("data/LibriSpeech").absolute()), "subset": "test-other"},
    ),
}


@pytest.fixture(scope="module")
def fits() -> Callable[[object], None]:
    """Hold a suite against the schema, which is built and checked once."""
    schema = json_schema()
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema).validate


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("data", DATA)
def test_what_is_made_is_a_suite(
    model: str, data: str, fits: Callable[[object], None], tiny_model: Path, manifest: Path, tmp_path: Path
) -> None:
    """Each kind of model with each kind of data gives a suite that loads, holds what was named, and fits the schema."""
    named, variant = MODELS[model](tmp_path, tiny_model)
    speech, dataset = DATA[data](tmp_path, manifest)
    text = starter.text(StarterRequest(named, speech, ["int8-dynamic", "fp32+int8-dynamic"]))
    plain = yaml.safe_load(text)
    fits(plain)
    first, *rest = plain["variants"]
    assert first == (variant if len(variant) > 1 else variant["use"])
    name = variant.get("name", variant["use"])
    assert rest == [f"{name}+int8-dynamic", f"{name}+fp32+int8-dynamic"]
    assert plain["datasets"] == [dataset]
    loaded = config.load(starter.parsed(text))
    assert [entry.name for entry in loaded.variants] == [name, *rest]
    assert all(len(line) <= 120 for line in text.splitlines() if str(tmp_path.parent) not in line)


def test_each_key_of_the_draft_reaches_the_suite() -> None:
    """The options of `run` stand in the suite that is kept, so that it says alone what was measured."""
    text = starter.text(StarterRequest(limit=3, device="auto", protocol="standard", estimate_energy=True))
    loaded = config.load(starter.parsed(text))
    assert loaded.datasets[0].limit == 3
    assert (loaded.devices, loaded.protocol.use, loaded.estimate_energy) == (["auto"], "standard", True)


def test_paths_lead_from_the_file(manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite in another folder than the data finds it, wherever it is run from, and names no place of the machine."""
    data = tmp_path / "speech" / "m.jsonl"
    data.parent.mkdir()
    shutil.copy(manifest, data)
    monkeypatch.chdir(tmp_path)
    text = starter.text(StarterRequest("null/instant", "speech/m.jsonl"), Path("suites"))
    assert yaml.safe_load(text)["datasets"] == [{"use": "manifest", "path": "../speech/m.jsonl"}]
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "mine.yaml").write_text(text)
    monkeypatch.chdir("/")
    loaded = config.load(tmp_path / "suites" / "mine.yaml")
    assert Path(loaded.datasets[0].settings["path"]) == data


@pytest.mark.parametrize(
    ("draft", "message"),
    [
        (StarterRequest("wav2vec2/quickstat"), r"model wav2vec2/quickstat: .*Did you mean 'wav2vec2/quickstart'\?"),
        (StarterRequest("quickstart-2l"), r"model quickstart-2l: .*Did you mean 'wav2vec2/quickstart-2l'\?"),
        (StarterRequest("./nowhere"), r"model ./nowhere: no such folder"),
        (StarterRequest("a/b/c"), r"model a/b/c: no such folder"),
        (StarterRequest("HERE/file"), r"model .*/file: it is a file. Give the folder"),
        (StarterRequest(data="nowhere.jsonl"), r"data nowhere.jsonl: no such file or folder"),
        (StarterRequest(data="quickstat"), r"data quickstat: .*Did you mean 'quickstart'\?"),
        (StarterRequest(data="manifest"), r"data manifest: it needs settings \(path: .*\). Name a manifest"),
        (StarterRequest(data="HERE/empty"), r"data .*/empty: it is a folder.*Name a manifest: a file of JSON lines"),
        (StarterRequest(data="HERE"), r"data .*: it is a folder.*Name one of .*/dev-clean, .*/m.jsonl"),
        (StarterRequest(builds=["int8-dynamc"]), r"builds: int8-dynamc: unknown method.*Did you mean 'int8-dynamic'\?"),
        (
            StarterRequest(builds=["layer-drop"]),
            r"builds: layer-drop: layer-drop needs settings .give `keep`, or the layers as",
        ),
        (StarterRequest(builds=["bf16+"]), r"builds: bf16\+: unknown method ''"),
    ],
)
def test_bad_input_is_one_line(draft: StarterRequest, message: str, tmp_path: Path) -> None:
    """It says which of the three is wrong, and what would be right."""
    (tmp_path / "file").touch()
    (tmp_path / "m.jsonl").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "dev-clean").mkdir()
    here = StarterRequest(*(value.replace("HERE", str(tmp_path)) for value in (draft.model, draft.data)), draft.builds)
    with pytest.raises(InputError, match=message) as caught:
        starter.text(here)
    assert len(str(caught.value).splitlines()) == 1


def test_a_checkpoint_without_its_tokeniser_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    """A folder is looked into before a suite is written of it."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    for name in ("vocab.json", "tokenizer.json"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(MissingError, match="it has no tokeniser"):
        starter.text(StarterRequest(str(folder)))


def test_builds_that_the_model_does_not_take_are_refused() -> None:
    """Before a suite is written."""
    with pytest.raises(InputError, match="null variants take none"):
        starter.check(StarterRequest("null/instant", builds=["bf16"]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "null/instant"}, "model: a model and data are needed"),
        ({"data": "quickstart"}, "data: a model and data are needed"),
        ({"builds": ["bf16"]}, "builds: a model and data are needed"),
        ({"suite": "x.yaml", "model": "null/instant"}, "give a suite, or a model and data, but not both"),
        ({"model": 3, "data": "quickstart"}, "model: a name or path"),
        ({"model": "null/instant", "data": "quickstart", "builds": "bf16"}, "builds: a list of names"),
    ],
)
def test_a_model_and_data_or_a_suite(arguments: dict, message: str) -> None:
    """Half of a suite is none."""
    with pytest.raises(InputError, match=message):
        greenbench.run(**arguments)


def test_a_run_without_a_file_can_be_repeated_from_its_folder(manifest: Path, tmp_path: Path) -> None:
    """The folder holds the suite that was made, which is the same: the run is resumed by it, and has all cells."""
    folder = tmp_path / "run"
    rows = greenbench.run(model="null/rtfx-100", data=manifest, limit=2, out=folder)
    assert set(rows["status"]) == {"ok"}
    assert set(rows["n_utterances"]) == {2}
    kept = config.load(folder / "suite.yaml")
    assert content_hash(kept) == json.loads((folder / "run.json").read_text())["suite_hash"]
    repeated = greenbench.run(folder / "suite.yaml", out=folder, resume=True)
    assert list(repeated["timestamp_utc"]) == list(rows["timestamp_utc"]), "nothing was missing"


def test_overrides_reach_the_suite_that_is_kept() -> None:
    """`run --model ... --set` changes the text that is kept, too."""
    wanted = {"model": "null/instant", "data": "quickstart", "builds": None}
    loaded, made = starter.load(None, wanted, {}, ["protocol.repeats=1", "batch_sizes=[2, 4]"])
    assert made is not None
    assert config.load(starter.parsed(made)) == loaded
    assert (loaded.protocol.repeats, loaded.batch_sizes) == (1, [2, 4])
