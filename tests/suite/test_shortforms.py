"""Short forms in suites: suffixes on names, alternatives, numbers and notes as people write them."""

from pathlib import Path
from typing import Any

import pytest

from greenbench.errors import InputError
from greenbench.recipes import recipe
from greenbench.suite import config

MINE = {"use": "wav2vec2", "config": "base", "weights": "random", "seed": 3, "name": "mine"}


def variants(suite_data: dict, *given: Any, **how: Any) -> list[Any]:
    return config.load({**suite_data, "variants": list(given)}, **how).variants


def chains(found: list[Any]) -> dict[str, list[str]]:
    return {entry.name: [build.label for build in entry.builds] for entry in found}


def test_each_makes_one_variant_a_build(suite_data: dict) -> None:
    """A name gets the builds as suffixes, whichever way an alternative is written."""
    each = ["fp32", "layer-drop+onnx", ["bf16", "compile"], {"use": "layer-drop", "keep": 4}, []]
    each[1] = [{"use": "layer-drop", "keep": 2}, "onnx"]
    found = variants(suite_data, {**MINE, "each": each})
    assert chains(found) == {
        "mine+fp32": ["fp32"],
        "mine+layer-drop(keep=2)+onnx": ["layer-drop(keep=2)", "onnx"],
        "mine+bf16+compile": ["bf16", "compile"],
        "mine+layer-drop(keep=4)": ["layer-drop(keep=4)"],
        "mine": [],
    }
    assert {entry.settings["seed"] for entry in found} == {3}


def test_each_follows_the_builds_of_its_entry(suite_data: dict) -> None:
    """What all alternatives share stands before them; without a name the registered one gets the suffixes."""
    given = {"use": "wav2vec2/quickstart", "builds": [{"use": "layer-drop", "keep": 4}], "each": ["fp32", "openvino"]}
    assert list(chains(variants(suite_data, given))) == [
        "wav2vec2/quickstart+layer-drop(keep=4)+fp32",
        "wav2vec2/quickstart+layer-drop(keep=4)+openvino",
    ]


def test_builds_each_says_the_same(suite_data: dict) -> None:
    """Readers of `builds: [onnx, openvino]` as alternatives can say so."""
    given = {**MINE, "builds": {"each": ["onnx", "openvino"]}}
    assert chains(variants(suite_data, given)) == {"mine+onnx": ["onnx"], "mine+openvino": ["openvino"]}


@pytest.mark.parametrize("each", [[], "onnx", {"use": "onnx"}, None, 3])
def test_alternatives_that_are_none_are_refused(suite_data: dict, each: Any) -> None:
    """The message says where and what is expected."""
    with pytest.raises(InputError, match=r"suite: variants.0: each: a list of builds is expected"):
        variants(suite_data, {**MINE, "each": each})


def test_a_typo_in_an_alternative_names_the_method(suite_data: dict) -> None:
    """The nearest name is told as anywhere else."""
    with pytest.raises(InputError, match="unknown method 'onx'. Did you mean 'onnx'"):
        variants(suite_data, {**MINE, "each": ["fp32", "onx"]})


def test_a_name_takes_suffixes(suite_data: dict) -> None:
    """`mine+int8-dynamic` is a build of the entry called mine, with its settings, wherever that stands."""
    found = variants(suite_data, "mine+int8-dynamic", MINE, {"use": "mine", "builds": ["bf16"], "name": "half"})
    assert chains(found) == {"mine+int8-dynamic": ["int8-dynamic"], "mine": [], "half": ["bf16"]}
    assert [entry.settings["seed"] for entry in found] == [3, 3, 3]


def test_a_name_takes_suffixes_on_the_command_line(suite_data: dict) -> None:
    """`--set variants.1=mine+bf16` knows the suite's names, too."""
    found = variants(suite_data, MINE, "null/instant", overrides=["variants.1=mine+bf16"])
    assert chains(found) == {"mine": [], "mine+bf16": ["bf16"]}


def test_builds_of_a_named_build_are_chained(suite_data: dict) -> None:
    """What the named entry has comes first."""
    found = variants(suite_data, {**MINE, "builds": [{"use": "layer-drop", "keep": 2}]}, "mine+onnx")
    assert chains(found)["mine+onnx"] == ["layer-drop(keep=2)", "onnx"]


def test_a_folder_takes_suffixes_and_finds_its_parent(suite_data: dict, tiny_model: Path) -> None:
    """`file:FOLDER+build` is held against the folder itself."""
    from greenbench.suite.descent import origin
    from greenbench.suite.entries import build_variant

    found = variants(suite_data, f"file:{tiny_model}", f"file:{tiny_model}+int8-dynamic", {
        "use": "wav2vec2", "model": str(tiny_model), "name": "own", "each": ["bf16"]})  # fmt: skip
    parents = {entry.name: origin(entry, build_variant(entry), found)["parent"] for entry in found}
    assert parents == {
        f"file:{tiny_model}": None,
        f"file:{tiny_model}+int8-dynamic": f"file:{tiny_model}",
        "own+bf16": f"file:{tiny_model}",
    }


# --- YAML ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [("5e-4", 5e-4), ("1e-1", 0.1), ("1E+2", 100.0), ("-2e0", -2.0), (".5e1", 5.0), ("2.e1", 20.0)],
)
def test_numbers_without_a_point_are_numbers(suite_data: dict, tmp_path: Path, written: str, value: float) -> None:
    """In suites and with --set alike; YAML 1.1 alone would take them for texts."""
    from greenbench.suite import file

    path = tmp_path / "any.yaml"
    path.write_text(f"name: s\nvalue: {written}\ntext: '{written}'\nlist: [{written}]\n")
    assert file.read(path) == {"name": "s", "value": value, "text": written, "list": [value]}
    data = {"value": 1}
    file.override(data, f"value={written}")
    assert data == {"value": value}


@pytest.mark.parametrize("text", ["1e", "e5", "5e-4x", "v5e-4", "1e5.5", "12e"])
def test_texts_stay_texts(tmp_path: Path, text: str) -> None:
    """What only looks like a number is none."""
    from greenbench.suite import file

    (tmp_path / "any.yaml").write_text(f"value: {text}\n")
    assert file.read(tmp_path / "any.yaml") == {"value": text}


@pytest.mark.parametrize("written", ["1e400", "-1e999", ".inf", "-.inf", ".nan"])
def test_numbers_that_no_float_holds_are_refused(tmp_path: Path, written: str) -> None:
    """With the line, instead of a run that waits for ever."""
    from greenbench.suite import file

    (tmp_path / "any.yaml").write_text(f"name: s\nwindow: {written}\n")
    with pytest.raises(
        InputError, match=r"any.yaml:2: not valid YAML: .* is not a finite number, or is too large for one"
    ):
        file.read(tmp_path / "any.yaml")


RECIPE = """
name: r
teacher: wav2vec2/quickstart
train: [{{use: quickstart, part: unlabelled}}]
steps:
  - {{use: distill, steps: 2, lr: {lr}}}
"""


def test_a_learning_rate_is_what_everybody_writes(tmp_path: Path) -> None:
    """`lr: 5e-4` is taken; one that is above any sense is refused."""
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE.format(lr="5e-4"))
    assert recipe.load(path).steps[0].settings["lr"] == 5e-4
    path.write_text(RECIPE.format(lr="1e300"))
    with pytest.raises(InputError, match=r"lr: at most 1 is expected \(got 1e\+300\)"):
        recipe.load(path)


def test_anchors_may_stand_at_the_top(suite_data: dict, tmp_path: Path) -> None:
    """Keys that begin with x- or a dot are for anchors and notes; any other is still a typo."""
    path = tmp_path / "s.yaml"
    manifest = suite_data["datasets"][0]["path"]
    text = f"""
.common: &common {{use: wav2vec2, config: base, weights: random}}
x-note: [anything, 1e-3]
name: anchored
datasets: [{{use: manifest, path: {manifest}}}]
variants:
  - {{<<: *common, name: one}}
  - {{<<: *common, name: two, seed: 1}}
"""
    path.write_text(text)
    assert [entry.name for entry in config.load(path).variants] == ["one", "two"]
    path.write_text(text.replace("x-note", "note"))
    with pytest.raises(InputError, match="note: unknown key"):
        config.load(path)


# --- words -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "twice"),
    [("batch_sizes", [8, 8]), ("scenarios", ["offline", "offline"]), ("devices", ["cpu", "cpu"]),
     ("also_score", ["none", "none"])],
)  # fmt: skip
def test_what_is_given_twice_is_refused(suite_data: dict, key: str, twice: list[Any]) -> None:
    """Cells that are the same would be measured twice and contradict each other."""
    with pytest.raises(InputError, match=rf"suite: {key}: {twice[0]} is given twice: leave one of them out"):
        config.load({**suite_data, key: twice})


@pytest.mark.parametrize(
    ("use", "told"),
    [
        ("facebook/wav2vec2-base-960h", "{use: wav2vec2, model: facebook/wav2vec2-base-960h}"),
        ("models/mine", "a folder is file:models/mine"),
        ("wav2vec/quickstart", "Did you mean 'wav2vec2/quickstart'?"),
    ],
)
def test_a_hub_id_says_how_it_is_written(suite_data: dict, use: str, told: str) -> None:
    """A model that is not registered is one of the hub or a folder, and the message has both forms."""
    with pytest.raises(InputError) as caught:
        variants(suite_data, use)
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"suite: variants.0: unknown variant '{use}'.")


@pytest.mark.parametrize("limit", [10**20, 10**9 + 1])
def test_a_limit_has_a_limit(suite_data: dict, limit: int) -> None:
    """Beyond what a list can have it is a typo, said in one line."""
    with pytest.raises(InputError, match="datasets.0.limit: at most 1000000000 is expected|too large"):
        config.load(suite_data, changes={"limit": limit})


def test_no_word_of_the_checker_reaches_a_user(suite_data: dict) -> None:
    """Messages are in plain words, for each kind of mistake."""
    wrong = {
        "name": "a b", "datasets": [], "devices": "cpu", "batch_sizes": [0.5], "threads": "two", "trace_hz": 99,
        "carbon": [], "control": "perhaps", "timeout_s": 0, "scenarios": ["x"], "meters": 3,
        "server": 5, "streaming": 5,
    }  # fmt: skip
    with pytest.raises(InputError) as caught:
        config.load({**suite_data, **wrong})
    lines = str(caught.value).splitlines()
    assert len(lines) == len(wrong)
    for word in ("input should", "field required", "should have", "string", "dictionary", "validation", "instance"):
        assert word not in str(caught.value), word


def test_a_fault_names_the_entry_of_the_file_once(suite_data: dict) -> None:
    """However many variants the entries before it, and it itself, stand for."""
    first = {"use": "wav2vec2", "config": "base", "weights": "random", "each": ["fp32", "bf16"]}
    with pytest.raises(InputError) as caught:
        config.load({**suite_data, "variants": [first, {"use": "wav2vec", "each": ["fp32", "bf16"]}]})
    assert str(caught.value).startswith("suite: variants.1: unknown variant 'wav2vec'")
    assert len(str(caught.value).splitlines()) == 1
