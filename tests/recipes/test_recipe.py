"""Recipes: strict files, a student that transformers loads, its lineage, and going on after a break."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from greenbench.errors import InputError, MissingError
from greenbench.models import hub, lineage
from greenbench.models.lineage import Edit
from greenbench.plugins import Outline
from greenbench.plugins.events import Event, Phase, StudentFound, TrainingLogged
from greenbench.recipes import recipe, speech
from greenbench.recipes import student as students
from greenbench.recipes.student import make_student
from greenbench.suite.config import load
from greenbench.suite.entries import VariantEntry, build_family, build_variant
from greenbench.variants import outline
from greenbench.variants.wav2vec2 import Wav2Vec2


@pytest.fixture
def data(tiny_model: Path, manifest: Path) -> dict[str, Any]:
    """A recipe that takes a moment: one of two layers, trained for four steps on tones."""
    return moment(tiny_model, manifest)


def moment(teacher: Path, speech_file: Path) -> dict[str, Any]:
    return {
        "name": "student",
        "teacher": {"use": "wav2vec2", "model": str(teacher), "name": "tiny"},
        "train": [{"use": "manifest", "path": str(speech_file)}],
        "validation_share": 0.25,
        "steps": [
            {"use": "layer-drop", "keep": 1},
            {"use": "distill", "steps": 4, "batch_s": 4, "log_every": 1, "validate_every": 2, "lr": 1e-3},
        ],
        "estimate_energy": True,
    }


@pytest.fixture(scope="module")
def whole(tiny_model: Path, manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The student of that recipe, trained without a break; not to be changed."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    folder = tmp_path_factory.mktemp("whole")
    return make_student(recipe.load(write(folder, moment(tiny_model, manifest))), folder / "student")


def write(folder: Path, data: dict[str, Any]) -> Path:
    """Write a recipe file."""
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.mark.slow
def test_a_student_is_a_folder_that_runs(whole: Path) -> None:
    """It loads as any model, has one layer, and says where it comes from and what it took."""
    lineage = json.loads((whole / "greenbench.json").read_text())
    assert (lineage["parent"], [s["use"] for s in lineage["steps"]]) == ("tiny", ["layer-drop", "distill"])
    assert lineage["steps"][0]["settings"].items() >= {"keep": 1, "select": "every_k"}.items()
    assert lineage["data"]["n_utterances"] == 6
    assert str(whole.parent) not in (whole / "greenbench.json").read_text(), "no path of this machine"
    assert lineage["training_s"] > 0
    joules = lineage["training_energy_j"]  # four steps of this model may be too short to know any
    assert joules is None or joules > 0
    assert (joules is None) == (lineage["training_energy_method"] is None)
    student = build_variant(VariantEntry(use="wav2vec2", model=str(whole)))
    assert student.load("cpu").model.config.num_hidden_layers == 1
    assert (student.parent, student.steps) == ("tiny", ("layer-drop", "distill"))
    assert student.info.training_energy_j == lineage["training_energy_j"]


def test_a_student_is_named_by_its_folder_in_a_suite(tmp_path: Path, tiny_model: Path, manifest: Path) -> None:
    """file:FOLDER is a model of the family, with builds chained on, whose parent is then the student."""
    lineage = {"parent": "tiny", "steps": [{"use": "layer-drop"}], "training_s": 1.0}
    (tiny_model / "greenbench.json").write_text(json.dumps(lineage))
    try:
        suite = load({"name": "s", "datasets": [{"use": "manifest", "path": str(manifest)}],
                      "variants": [f"file:{tiny_model}", f"file:{tiny_model}+int8-dynamic"]})  # fmt: skip
        plain, int8 = map(build_variant, suite.variants)
    finally:
        (tiny_model / "greenbench.json").unlink()
    assert (plain.parent, plain.steps) == ("tiny", ("layer-drop",))
    assert (plain.name, int8.name) == (f"file:{tiny_model}", f"file:{tiny_model}+int8-dynamic")
    assert (int8.parent, int8.steps) == (plain.name, ("layer-drop", "int8-dynamic"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": [{"use": "distil", "steps": 1}]}, r"unknown method 'distil'. Did you mean 'distill'"),
        ({"steps": [{"use": "distill", "steps": 0}]}, r"steps: "),
        ({"steps": [{"use": "distill", "steps": 1, "losses": {"kll": 1}}]}, r"unknown loss 'kll'. Did you mean 'kl'"),
        ({"steps": []}, r"steps: "),
        ({"student": 1}, r"student: "),
        ({"teacher": {"use": "wav2vec2/quickstart", "builds": ["bf16"]}}, r"without builds"),
        ({"train": [{"use": "manifets", "path": "x"}]}, r"Did you mean 'manifest'"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, data: dict[str, Any], change: dict[str, Any], message: str) -> None:
    """The message names the file, what is wrong in it, and the nearest valid name."""
    with pytest.raises(InputError, match=message) as caught:
        recipe.load(write(tmp_path, data | change))
    assert str(caught.value).startswith(str(tmp_path / "recipe.yaml"))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_training_that_broke_off_goes_on_bit_for_bit(tmp_path: Path, data: dict[str, Any], whole: Path) -> None:
    """Broken off after its first checkpoint and started again, it ends with the same weights as without a break."""
    write(tmp_path, data)

    def break_off(event: Event) -> None:
        if isinstance(event, TrainingLogged) and event.row["step"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_student(recipe.load(tmp_path / "recipe.yaml"), tmp_path / "broken", break_off)
    resumed = make_student(recipe.load(tmp_path / "recipe.yaml"), tmp_path / "broken")
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return time of change and content of every file of a student."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def test_a_finished_student_is_not_made_again(tmp_path: Path, data: dict[str, Any]) -> None:
    """The same recipe says that it is there and touches nothing; another one into its folder is refused."""
    told: list[Event] = []
    out = make_student(recipe.load(write(tmp_path, data | {"steps": data["steps"][:1]})), tmp_path / "student")
    before = files(out)
    assert json.loads(before["greenbench.json"][1])["recipe_hash"]
    again = make_student(recipe.load(tmp_path / "recipe.yaml"), out, told.append)
    assert (again, told) == (out, [StudentFound(out)])
    with pytest.raises(InputError, match="another recipe"):
        make_student(recipe.load(write(tmp_path, data | {"steps": ["fp16"]})), out)
    assert files(out) == before


def test_the_lineage_says_what_the_steps_changed(tmp_path: Path, data: dict[str, Any], tiny_model: Path) -> None:
    """Layers and widths of the model that the steps started from and of the student are in it; no change is none."""
    width = json.loads((tiny_model / "config.json").read_text())["intermediate_size"]
    changes: list[Any] = [*data["steps"][:1], {"use": "prune-ffn", "keep": 0.5}]
    smaller = make_student(recipe.load(write(tmp_path, data | {"steps": changes})), tmp_path / "smaller")
    edits = lineage.read(str(smaller)).edits
    assert edits is not None
    layers, widths = edits
    assert layers == Edit("layers", (2,), (1,))
    assert (widths.part, widths.before) == ("feed_forward", (width, width))
    model = build_variant(VariantEntry(use="wav2vec2", model=str(smaller))).load("cpu").model
    assert widths.after == (model.wav2vec2.encoder.layers[0].feed_forward.intermediate_dense.out_features,)
    same = make_student(recipe.load(write(tmp_path, data | {"steps": ["fp16"]})), tmp_path / "same")
    assert lineage.read(str(same)).edits == ()


def test_a_finished_student_needs_no_teacher_any_more(tmp_path: Path, data: dict[str, Any], tiny_model: Path) -> None:
    """A teacher whose files are gone since is missed where something is to be made of it, and not before."""
    teacher = Path(shutil.copytree(tiny_model, tmp_path / "teacher"))
    asked = data | {"teacher": {"use": "wav2vec2", "model": str(teacher)}, "steps": data["steps"][:1]}
    out = make_student(recipe.load(write(tmp_path, asked)), tmp_path / "student")
    (teacher / "model.safetensors").unlink()
    assert make_student(recipe.load(tmp_path / "recipe.yaml"), out) == out
    with pytest.raises(MissingError, match="safetensors"):
        make_student(recipe.load(tmp_path / "recipe.yaml"), tmp_path / "another")


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.05])
def test_a_training_without_validation_speech_keeps_checkpoints_and_goes_on(
    tmp_path: Path, data: dict[str, Any], share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing held out, or fewer than twenty utterances: broken off after a checkpoint it goes on bit for bit."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    from greenbench.compress.distill import training

    steps = [data["steps"][0], {**data["steps"][1], "patience_steps": 1}]
    write(tmp_path, data | {"validation_share": share, "steps": steps})
    whole = make_student(recipe.load(tmp_path / "recipe.yaml"), tmp_path / "whole")
    lineage = json.loads((whole / "greenbench.json").read_text())
    assert lineage["steps"][1]["training"][0]["step"] == 4, "no patience ends what is never validated"
    keep = training.keep

    def break_off(*args: Any) -> None:
        keep(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "keep", break_off)
    with pytest.raises(KeyboardInterrupt):
        make_student(recipe.load(tmp_path / "recipe.yaml"), tmp_path / "broken")
    monkeypatch.setattr(training, "keep", keep)
    assert "up to step 2" in students.progress(tmp_path / "broken")
    told: list[Event] = []
    resumed = make_student(recipe.load(tmp_path / "recipe.yaml"), tmp_path / "broken", told.append)
    assert any(isinstance(event, Phase) and "going on after step 2" in event.text for event in told)
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    rows = csv.DictReader((resumed / "training/2-distill/log.csv").read_text().splitlines())
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4]


@pytest.mark.slow
def test_the_last_checkpoint_survives_a_kill_during_the_next(
    tmp_path: Path, data: dict[str, Any], whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken off in the middle of writing one, the training goes on from the one before and ends with equal weights."""
    import accelerate

    from greenbench.compress.distill import progress

    write(tmp_path, data)
    save, calls = accelerate.Accelerator.save_state, []

    def cut(self: Any, output_dir: str, **how: Any) -> None:
        save(self, output_dir, **how)
        calls.append(1)
        if len(calls) == 2:
            (Path(output_dir) / "model.safetensors").write_bytes(b"half")
            raise KeyboardInterrupt

    monkeypatch.setattr(accelerate.Accelerator, "save_state", cut)
    with pytest.raises(KeyboardInterrupt):
        make_student(recipe.load(tmp_path / "recipe.yaml"), tmp_path / "broken")
    monkeypatch.setattr(accelerate.Accelerator, "save_state", save)
    last = progress.kept(tmp_path / "broken/training/2-distill")
    assert last is not None
    assert last.name.endswith("2")
    resumed = make_student(recipe.load(tmp_path / "recipe.yaml"), tmp_path / "broken")
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert len(list(resumed.glob("training/2-distill/checkpoint*"))) == 1


@pytest.fixture
def narrow(data: dict[str, Any], tiny_model: Path, tmp_path: Path) -> dict[str, Any]:
    """A recipe whose student begins with random weights, half as wide as its teacher."""
    config = json.loads((tiny_model / "config.json").read_text())
    (tmp_path / "narrow").mkdir()
    (tmp_path / "narrow" / "config.json").write_text(json.dumps({**config, "hidden_size": 16, "num_hidden_layers": 1}))
    student = {"use": "wav2vec2", "config": "narrow", "weights": "random", "name": "narrow"}
    distill = {**data["steps"][1], "losses": {"kl": 1, "hidden": 1}}
    return data | {"student": student, "steps": [distill]}


HINTS = [
    ({}, {"1.weight": (32, 16), "1.bias": (32,)}),
    (
        {"heads": {"layers": [1, 2]}},
        {"shared.weight": (64, 16), "shared.bias": (64,)}
        | {f"apart.{n}.{kind}": shape for n in range(2) for kind, shape in (("weight", (32, 32)), ("bias", (32,)))},
    ),
]
"""Settings of ``distill``, and the parameters through which hidden states are compared then."""


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "shapes"), HINTS, ids=["projections", "heads"])
def test_a_student_of_another_width_learns_hidden_states_through_hints(
    tmp_path: Path,
    narrow: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    setting: dict[str, Any],
    shapes: dict[str, tuple[int, ...]],
) -> None:
    """They train with it, so that a training that broke off ends with the same weights, and are not in its folder."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    from safetensors import safe_open

    from greenbench.compress.distill import training

    narrow["steps"][0] |= setting
    whole = make_student(recipe.load(write(tmp_path, narrow)), tmp_path / "whole")
    add, drop, keep, seen = training.add_hints, training.drop_hints, training.keep, []

    def break_off(run: Any, wer: float) -> None:
        keep(run, wer)
        raise KeyboardInterrupt

    def told(student: Any, *others: Any) -> None:
        if others:
            add(student, *others)
        weights = {name: tensor.clone() for name, tensor in student.hint_projections.state_dict().items()}
        seen.append(weights)
        if not others:
            drop(student)

    monkeypatch.setattr(training, "keep", break_off)
    with pytest.raises(KeyboardInterrupt):
        make_student(recipe.load(tmp_path / "recipe.yaml"), tmp_path / "broken")
    for name, patched in (("keep", keep), ("add_hints", told), ("drop_hints", told)):
        monkeypatch.setattr(training, name, patched)
    resumed = make_student(recipe.load(tmp_path / "recipe.yaml"), tmp_path / "broken")
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    before, after = seen
    assert {name: tuple(tensor.shape) for name, tensor in before.items()} == shapes
    assert not any(bool((before[name] == after[name]).all()) for name in before), "they have learnt"
    with safe_open(whole / "model.safetensors", framework="pt") as stored:
        assert not [name for name in stored.keys() if "hint" in name]  # noqa: SIM118 (no mapping)
    loaded = build_variant(VariantEntry(use="wav2vec2", model=str(whole))).load("cpu").model
    assert (loaded.config.hidden_size, loaded.config.num_hidden_layers) == (16, 1)
    assert (
        json.loads((whole / "greenbench.json").read_text()).items()
        >= {"parent": "tiny", "started_from": "narrow"}.items()
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab_size": 20}, "distill: the student has 20 tokens, its teacher 32"),
        ({"conv_stride": [5, 2, 2, 2, 2, 2, 1]}, "has 998 frames of 400 samples in ten seconds, its teacher 499 of"),
    ],
)
def test_a_student_that_cannot_be_held_against_its_teacher_is_refused(
    tmp_path: Path, narrow: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    """Other tokens or other frames are one clear line, before anything is trained."""
    config = json.loads((tmp_path / "narrow" / "config.json").read_text())
    (tmp_path / "narrow" / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(InputError, match=message):
        make_student(recipe.load(write(tmp_path, narrow)), tmp_path / "student")


@pytest.mark.slow
def test_an_earlier_student_is_trained_further_by_the_first_teacher(tmp_path: Path, data: dict[str, Any]) -> None:
    """``student`` may be a folder: the steps start from its layers, the teacher stays the teacher, and what the
    folder's training took counts for the new student, too."""
    first = make_student(recipe.load(write(tmp_path, data | {"steps": data["steps"][:1]})), tmp_path / "first")
    spent = {"training_s": 5.0, "training_energy_j": 70.0, "training_energy_method": "estimated"}
    lineage = json.loads((first / "greenbench.json").read_text()) | spent
    (first / "greenbench.json").write_text(json.dumps(lineage))
    loaded = recipe.load(write(tmp_path, data | {"student": f"file:{first}", "steps": ["fp32"]}))
    second = make_student(loaded, tmp_path / "second")
    assert (second / "model.safetensors").read_bytes() == (first / "model.safetensors").read_bytes()
    lineage = json.loads((second / "greenbench.json").read_text())
    assert lineage.items() >= {"parent": "tiny", "started_from": f"file:{first}", **spent}.items()
    with pytest.raises(InputError, match="student: name it without builds"):
        recipe.load(write(tmp_path, data | {"student": f"file:{first}+bf16"}))


def test_paths_are_taken_from_the_recipes_folder_and_settings_mean_what_they_do_in_a_suite(
    tmp_path: Path, data: dict[str, Any], manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe resolves as a suite does: from any working directory, length buckets and short forms included."""
    (tmp_path / "speech").symlink_to(manifest.parent)
    shorter = {"use": "manifest", "path": f"speech/{manifest.name}", "length_buckets": 2, "length_bucket": 1}
    train = [{**shorter, "name": "one"}, {**shorter, "name": "two"}]
    changed = data | {"train": train, "teacher": f"file:{data['teacher']['model']}", "validation_share": 0.0}
    loaded = recipe.load(write(tmp_path, changed))
    monkeypatch.chdir("/")
    spoken, held_out, about = speech.split(loaded.train, loaded.validation_share)
    assert [utterance.duration_s for utterance in spoken] == pytest.approx([1.0, 1.1, 1.2, 1.3] * 2)
    assert len({utterance.id for utterance in spoken}) == 8, "ids of two data sets are told apart"
    assert (held_out, about.n_utterances) == ([], 8)
    assert loaded.teacher.use == "wav2vec2"


def test_single_values_are_overridden(tmp_path: Path, data: dict[str, Any]) -> None:
    """One file serves students of several depths: ``--set`` changes a value, and one that hits nothing is refused."""
    loaded = recipe.load(write(tmp_path, data), ["name=deeper", "steps.0.keep=2"])
    assert (loaded.name, loaded.steps[0].settings["keep"]) == ("deeper", 2)
    with pytest.raises(InputError, match="step"):
        recipe.load(tmp_path / "recipe.yaml", ["step.0.keep=2"])


@pytest.mark.slow
def test_speech_beyond_what_memory_holds_is_decoded_when_it_is_heard(
    tmp_path: Path, data: dict[str, Any], whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A corpus of any size can be trained on, and the student is the same as if all of it had been kept."""
    loaded = recipe.load(write(tmp_path, data))
    monkeypatch.setattr(speech, "KEPT_S", 3.0)
    train, held_out, _ = speech.split(loaded.train, loaded.validation_share)
    assert [type(u).__name__ for u in train] == ["Utterance"] * 2 + ["OnDemand"] * 4
    assert {type(u).__name__ for u in held_out} == {"Utterance"}
    assert all(u.n_samples == len(u.audio) for u in train)
    assert (make_student(loaded, tmp_path / "on-demand") / "model.safetensors").read_bytes() == (
        whole / "model.safetensors"
    ).read_bytes()


def test_every_shipped_recipe_loads() -> None:
    """The recipes that come along are valid and named after their files; the paper's goes from 24 layers to 12 to 4."""
    folder = Path(__file__).parents[2] / "suites" / "recipes"
    shipped = {path.stem: recipe.load(path) for path in folder.glob("*.yaml")}
    assert all(name == loaded.name for name, loaded in shipped.items())
    hops = [step.settings["keep"] for step in shipped["bigfoot-4l"].steps if step.use == "layer-drop"]
    assert hops == [12, 4]


def test_another_recipe_does_not_continue_a_student(tmp_path: Path, data: dict[str, Any]) -> None:
    """A folder that another recipe began, or that holds something else, is refused and left alone."""
    out = tmp_path / "student"
    out.mkdir()
    (out / "greenbench.json").write_text(json.dumps({"recipe_hash": "of another"}))
    with pytest.raises(InputError, match="another recipe"):
        make_student(recipe.load(write(tmp_path, data)), out)
    (out / "greenbench.json").write_text("precious")
    with pytest.raises(InputError, match="not written by a recipe"):
        make_student(recipe.load(tmp_path / "recipe.yaml"), out)
    assert (out / "greenbench.json").read_text() == "precious"


def test_distill_is_no_build(tiny_model: Path) -> None:
    """A suite cannot chain a training onto a variant, which is refused before anything is loaded."""
    variant = build_variant(
        VariantEntry(use="wav2vec2", model=str(tiny_model), builds=[{"use": "distill", "steps": 1}])
    )
    with pytest.raises(InputError, match="put it into a recipe and run `greenbench compress`"):
        variant.check()


@pytest.mark.parametrize(("last", "dtype"), [("fp16", "float16"), ("bf16", "bfloat16")])
def test_a_student_in_half_precision_is_half_on_disk_and_runs_so(
    tmp_path: Path, data: dict[str, Any], last: str, dtype: str
) -> None:
    """A recipe that ends in half precision writes half the bytes; the folder runs as its lineage says, and
    int8 and engines follow from float32."""
    whole = make_student(recipe.load(write(tmp_path, data | {"steps": data["steps"][:1]})), tmp_path / "whole")
    steps = [data["steps"][0], {"use": last}]
    half = make_student(recipe.load(write(tmp_path, data | {"steps": steps})), tmp_path / "half")
    n_bytes = [(folder / "model.safetensors").stat().st_size for folder in (whole, half)]
    assert n_bytes[1] == pytest.approx(n_bytes[0] / 2, rel=0.1)  # headers are the same
    student = build_variant(VariantEntry(use="wav2vec2", model=str(half)))
    loaded = student.load("cpu")
    assert student.steps == ("layer-drop", last)
    assert str(loaded.dtype) == f"torch.{dtype}"
    assert loaded.footprint.model_bytes < 2 * loaded.footprint.n_params + 60_000
    builds = ["fp32", "int8-dynamic"]
    assert build_variant(VariantEntry(use="wav2vec2", model=str(half), builds=builds)).load("cpu").footprint.n_params
    assert str(build_family(VariantEntry(use="wav2vec2", model=str(half))).open()[0].dtype) == "torch.float32"


@pytest.mark.slow
@pytest.mark.parametrize("first", [{"use": "layer-drop", "keep": 1}, {"use": "share-layers", "groups": 1}])
def test_two_processes_train_one_student(tmp_path: Path, data: dict[str, Any], first: dict[str, Any]) -> None:
    """Started by a launcher, processes share batches, gradients and companions; one writes log and student."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    out, training = tmp_path / "student", data["steps"][1]
    data["steps"] = [first, training | {"weighting": {"use": "adakd"}, "gradient_scale": {"feature_extractor": 0.1}}]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command = [*launch, "-m", "greenbench", "compress", str(write(tmp_path, data)), "--out", str(out)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("student:") == 1
    assert "shared tensor" not in done.stderr, "accelerate warns of what it leaves out by itself"
    rows = list(csv.DictReader((out / "training/2-distill/log.csv").read_text().splitlines()))
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4]
    assert all(float(row["kl"]) > 0 and 0 < float(row["adakd_weight"]) < 1 for row in rows)
    assert len(list((out / "training/2-distill").glob("checkpoint-*/random_states_*"))) == 2
    assert build_variant(VariantEntry(use="wav2vec2", model=str(out))).load("cpu").footprint.n_params


@pytest.mark.parametrize("last", [None, "fp16", "bf16"])
def test_what_is_written_loads_as_float32_elsewhere(tmp_path: Path, data: dict[str, Any], last: str | None) -> None:
    """However the weights are stored: transformers alone, told nothing, takes them as float32."""
    from transformers import AutoModelForCTC

    steps = [data["steps"][0], *([{"use": last}] if last else [])]
    out = make_student(recipe.load(write(tmp_path, data | {"steps": steps})), tmp_path / "student")
    model = AutoModelForCTC.from_pretrained(out)
    assert {str(weights.dtype) for weights in model.parameters()} == {"torch.float32"}


def test_a_student_carries_the_identity_of_its_teacher(tmp_path: Path, data: dict[str, Any], tiny_model: Path) -> None:
    """So that a suite finds the teacher under any name, and a student's student both."""
    from greenbench.suite.descent import origin

    cut = {"steps": data["steps"][:1], "train": []}
    first = make_student(recipe.load(write(tmp_path, data | cut)), tmp_path / "first")
    again = cut | {"teacher": {"use": "wav2vec2", "model": str(first), "name": "middle"}, "name": "second",
                   "steps": [{"use": "fp16"}]}  # fmt: skip
    second = make_student(recipe.load(write(tmp_path, data | again)), tmp_path / "second")
    assert str(tmp_path) not in (second / "greenbench.json").read_text(), "no path of this machine"
    folders = {"big": tiny_model, "a": first, "b": second}
    variants = [{"use": "wav2vec2", "model": str(folder), "name": name} for name, folder in folders.items()]
    suite = load({"name": "s", "datasets": ["quickstart"], "variants": variants})
    parents = {e.name: origin(e, build_variant(e), suite.variants)["parent"] for e in suite.variants}
    assert parents == {"big": None, "a": "big", "b": "a"}
    without = [entry for entry in suite.variants if entry.name != "a"]
    assert origin(without[-1], build_variant(without[-1]), without)["parent"] == "big"


def test_a_device_that_is_not_here_is_one_line_and_nothing_is_written(tmp_path: Path, data: dict[str, Any]) -> None:
    """A recipe for a GPU on a machine without one ends before it makes a folder, with the remedy."""
    with pytest.raises(MissingError, match=r"device cuda:99: .* Give another `device`, or auto"):
        make_student(recipe.load(write(tmp_path, data | {"device": "cuda:99"})), tmp_path / "student")
    assert not (tmp_path / "student").exists()


@pytest.mark.parametrize("last", ["onnx", "openvino-int8", "int8-dynamic", "int8-torchao", "compile"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_steps_that_no_folder_can_hold_are_refused_before_the_training(
    tmp_path: Path, data: dict[str, Any], last: str, place: int
) -> None:
    """What transformers could not load again is no step of a recipe, at any place: it says how it is measured."""
    steps = [*data["steps"][:place], {"use": last}, *data["steps"][place:]]
    refused(tmp_path, data | {"steps": steps}, rf"steps.{place}: {last} .* student as file:FOLDER\+{last}$")


DISTILL = {"use": "distill", "steps": 1}


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"use": "layer-drop", "keep": 99}, DISTILL], r"steps.0: layer-drop: keep: 99 layers cannot be kept of 2"),
        ([DISTILL, {"use": "layer-drop", "keep": 3}], r"steps.1: layer-drop: keep: 3 layers cannot be kept of 2"),
        ([{"use": "layer-drop", "keep": 1}, DISTILL, {"use": "layer-drop", "keep": 2}],
         r"steps.2: layer-drop: keep: 2 layers cannot be kept of 1"),
        ([{"use": "share-layers", "groups": 3}], r"steps.0: share-layers: groups: 3 are more than the 2 layers"),
        ([{"use": "share-layers", "groups": 1}, DISTILL, {"use": "heal-layers"}],
         r"steps.2: heal-layers trains one layer at a time"),
        ([{"use": "layer-drop", "keep": 1}, {**DISTILL, "losses": {"hidden": 1}, "hidden_layers": {"2": 2}}],
         r"steps.1: distill: hidden_layers: 2: 2: the student has 1 layers, its teacher 2"),
        ([{**DISTILL, "precision": "bf16"}, DISTILL], r"distill: precision: bf16 and no in one process"),
        ([{"use": "prune-learned", "keep": 0.5, "distill": {"steps": 1, "precision": "bf16"}}, DISTILL],
         r"distill: precision: bf16 and no in one process"),
    ],
)  # fmt: skip
def test_steps_that_the_model_cannot_take_are_refused_before_anything_is_loaded(
    tmp_path: Path, data: dict[str, Any], steps: list[dict[str, Any]], message: str
) -> None:
    """What a configuration tells of layers is enough, also of steps after a training: the line names the step."""
    refused(tmp_path, data | {"steps": steps}, message)


def refused(folder: Path, data: dict[str, Any], message: str) -> None:
    """A recipe is one line with its file's name as it is read, and its models are not opened."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Wav2Vec2, "open", lambda _self: pytest.fail("a model was loaded"))
        with pytest.raises(InputError, match=message) as caught:
            recipe.load(write(folder, data))
    assert str(caught.value).startswith(f"{folder / 'recipe.yaml'}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("steps", "change", "message"),
    [
        ([{"use": "layer-drop", "keep": 13}], {}, "13 layers cannot be kept of 12"),
        ([{"use": "layer-drop", "keep": 13}], {"model": "facebook/wav2vec2-large-960h"}, None),
        ([{"use": "layer-drop", "keep": 25}], {"model": "facebook/wav2vec2-large-960h"}, "25 layers cannot be kept of"),
        ([{"use": "layer-drop", "keep": 25}], {"model": "owner/unknown"}, None),
        ([DISTILL], {"train": []}, "distill: a training needs `train`: give it"),
        (
            [DISTILL],
            {"teacher": "null/instant"},
            "teacher: a recipe cannot change models of null: name a variant of wav2vec2",
        ),
    ],
)
def test_what_a_published_model_cannot_take_is_refused_before_it_is_fetched(
    tmp_path: Path,
    data: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    steps: list[dict[str, Any]],
    change: dict[str, Any],
    message: str | None,
) -> None:
    """The layers of a published checkpoint are known by its name; of another one, nothing is claimed."""
    monkeypatch.setattr(hub, "here", lambda *_args: None)
    model = change.pop("model", "facebook/wav2vec2-base-960h")
    asked = {**data, "teacher": {"use": "wav2vec2", "model": model}, "steps": steps, **change}
    if message is None:
        assert recipe.load(write(tmp_path, asked)).steps
    else:
        refused(tmp_path, asked, message)


def test_what_is_known_once_the_model_is_fetched_is_refused_before_speech_is_read(
    tmp_path: Path, data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model from the hub is looked at as soon as it is here; no folder is begun, and the fetch was announced."""
    steps, told = [{"use": "layer-drop", "keep": 99}, data["steps"][1]], []
    with monkeypatch.context() as patch:
        patch.setattr(Wav2Vec2, "outline", lambda _self: Outline())
        loaded = recipe.load(write(tmp_path, data | {"steps": steps}))
    monkeypatch.setattr(outline, "to_fetch", lambda _settings: "it, from the hub")
    monkeypatch.setattr(Wav2Vec2, "open", lambda _self: pytest.fail("a model was loaded"))
    with pytest.raises(InputError, match="steps.0: layer-drop: keep: 99 layers cannot be kept of 2"):
        make_student(loaded, tmp_path / "student", told.append)
    assert told == [Phase("fetching the teacher: it, from the hub")]
    assert not (tmp_path / "student").exists()
