"""What is known of a run before its first cell."""

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from greenbench.cli.planning import expected
from greenbench.datasets.known import KNOWN
from greenbench.errors import InputError, MissingError
from greenbench.hardware import arithmetic
from greenbench.harness import ahead, forecast, heartbeat, runner
from greenbench.harness.foreseen import Foreseen, refuse
from greenbench.harness.runner import Options
from greenbench.plugins import Variant
from greenbench.plugins.events import Event, Preparing, unobserved
from greenbench.results.shortfall import SKIPS
from greenbench.suite import config
from greenbench.suite.plan import plan
from greenbench.suite.protocol import PROTOCOLS, least_s

RANDOM = {"use": "wav2vec2", "config": "base", "weights": "random"}


def look(data: dict[str, Any], **changes: Any) -> list[Foreseen]:
    suite = config.load({**data, **changes})
    return ahead.look(plan(suite), allow_emulated=suite.allow_emulated)


def chained(*builds: Any) -> dict[str, Any]:
    return {**RANDOM, "name": "it", "builds": list(builds)}


@pytest.mark.parametrize(
    ("builds", "reason"),
    [
        (({"use": "layer-drop", "keep": 13},), "13 layers cannot be kept of 12"),
        (({"use": "layer-drop", "keep": 4}, {"use": "layer-drop", "keep": 6}), "6 layers cannot be kept of 4"),
        (({"use": "distill", "steps": 5},), "put it into a recipe"),
        (("int8-dynamic", "bf16"), "bf16 cannot follow int8-dynamic"),
        (("int8-dynamic", "fp16"), "fp16 cannot follow int8-dynamic"),
        (("fp16", "int8-dynamic"), "needs a model in float32"),
        (("bf16", "fp16", "int8-dynamic"), "needs a model in float32"),
        (("int8-dynamic", "int8-dynamic"), "which leaves no layer to it"),
        (("int8-weight-only", "bf16"), "bf16 cannot follow int8-weight-only"),
        (("int8-weight-only", "int8-torchao"), "which leaves no layer to it"),
        (("int4-weight-only",), "needs a model in bfloat16"),
        (("fp16", "int4-weight-only"), "needs a model in bfloat16"),
        (("int8-dynamic", {"use": "prune-ffn", "keep": 0.5}), "needs whole weights in floats"),
        (("int8-dynamic", "onnx"), "onnx cannot follow int8-dynamic"),
        (("int8-weight-only", "openvino-int8"), "openvino-int8 cannot follow int8-weight-only"),
        (("compile", "onnx-int8"), "onnx-int8 cannot follow compile"),
        (("compile", {"use": "layer-drop", "keep": 2}, "openvino"), "openvino cannot follow compile"),
    ],
)
def test_chains_that_cannot_be_are_wrong(suite_data: dict, builds: tuple, reason: str) -> None:
    """What a build cannot follow is known from settings alone, and the whole run is refused."""
    found = look(suite_data, variants=[chained(*builds)])
    assert [(one.kind, one.variant) for one in found if one.kind == "wrong"] == [("wrong", "it")]
    assert reason in next(one.reason for one in found if one.kind == "wrong")
    with pytest.raises(InputError, match="variant it: "):
        refuse(found)


def test_keys_that_are_wrong_hide_nothing_that_is_found_by_looking(tmp_path: Path) -> None:
    """One list has the faults of the file with their lines, and all that is wrong or not here in its other entries."""
    path = tmp_path / "suite.yaml"
    path.write_text("""\
name: all
batchsizes: [8]
datasets: [{use: manifest, path: none.jsonl}, {use: quickstart, limt: 4}]
variants:
  - {use: wav2vec2, config: base, weights: random, name: deep, builds: [{use: layer-drop, keep: 99}]}
  - {use: wav2vec2, config: base, weights: random, each: [bf16, onnx+openvino]}
  - {use: nul}
devices: [cuda:77]
""")
    with pytest.raises(InputError) as caught:
        runner.run(path, Options(out=tmp_path / "run"))
    begins = [
        ":2: batchsizes: unknown key. Did you mean 'batch_sizes'?",
        ":3: datasets.1: limt: unknown key",
        ":6: variants.1: builds: openvino cannot follow onnx",
        ":7: variants.2: unknown variant 'nul'",
        ": device cuda:77: ",
        ": data set ",
        ": variant deep: layer-drop: keep: 99 layers cannot be kept of 12",
    ]
    for line, begin in zip(str(caught.value).splitlines(), begins, strict=True):
        assert line.startswith(f"{path}{begin}")
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_looked_at_keeps_nothing_else_from_it(suite_data: dict) -> None:
    """Where no data set is sound the variants are looked at, and where the name is missing all is."""
    variants = [chained({"use": "layer-drop", "keep": 99})]
    for changes in ({"datasets": "quickstart"}, {"datasets": [{"use": "manifest"}]}, {"name": 5}):
        with pytest.raises(InputError) as caught, ahead.all_at_once():
            config.load({**suite_data, "variants": variants, **changes})
        fault, found = str(caught.value).splitlines()
        assert fault.startswith(f"suite: {next(iter(changes))}")
        assert "keep: 99 layers" in found


@pytest.mark.parametrize(
    "builds",
    [
        (),
        ({"use": "layer-drop", "keep": 12},),
        ("fp16", "fp32", "int8-dynamic"),
        ("bf16", "int4-weight-only"),
        ("bf16", "int8-weight-only"),
        ({"use": "layer-drop", "keep": 4}, "int8-dynamic"),
        ({"use": "int8-dynamic", "include": ["attention"]}, {"use": "int8-dynamic", "include": ["feed_forward"]}),
        ({"use": "prune-ffn", "keep": 0.5}, "bf16", "compile"),
        ("bf16", "onnx"),
    ],
)
def test_chains_that_can_be_are_not_refused(suite_data: dict, builds: tuple) -> None:
    """What runs is not refused."""
    assert not [one for one in look(suite_data, variants=[chained(*builds)]) if one.kind == "wrong"]


def test_a_students_layers_and_precision_count(tiny_model: Path, suite_data: dict, tmp_path: Path) -> None:
    """Layers come from config.json, a half that the student was made in from its lineage."""
    folder = Path(shutil.copytree(tiny_model, tmp_path / "student"))
    n_layers = json.loads((folder / "config.json").read_text())["num_hidden_layers"]
    (folder / "greenbench.json").write_text(json.dumps({"steps": [{"use": "bf16"}]}))
    student = {"use": "wav2vec2", "model": str(folder)}
    many = {**student, "name": "many", "builds": [{"use": "layer-drop", "keep": n_layers + 1}]}
    integers = {**student, "name": "integers", "builds": ["int8-dynamic"]}
    found = look(suite_data, variants=[many, integers])
    assert {one.variant: one.kind for one in found} == {"many": "wrong", "integers": "wrong"}
    assert f"{n_layers + 1} layers cannot be kept of {n_layers}" in found[0].reason


class Cpu:
    """Stands in for ``torch.cpu``: what a CPU can do, or a torch that does not say it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch = monkeypatch

    def has(self, *capabilities: str) -> None:
        found = {"architecture": "x86_64", **dict.fromkeys(capabilities, True)}
        self.patch.setattr(arithmetic, "capabilities", lambda: found)

    def is_silent(self) -> None:
        self.patch.setattr(arithmetic, "capabilities", dict)


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> Cpu:
    return Cpu(monkeypatch)


@pytest.mark.parametrize("build", ["bf16", "fp16"])
def test_what_the_cpu_would_emulate_is_skipped_with_the_reason(suite_data: dict, cpu: Cpu, build: str) -> None:
    """A precision without arithmetic is not measured unless the suite says so; where torch does not say, it is."""
    cpu.has("avx2")
    (found,) = look(suite_data, variants=[chained(build)])
    assert (found.kind, found.variant, found.device, found.stops) == ("emulated", "it", "cpu", True)
    assert found.reason.endswith("slowly: `allow_emulated: true` in the suite measures it all the same")
    (allowed,) = look(suite_data, variants=[chained(build)], allow_emulated=True)
    assert (allowed.kind, allowed.stops) == ("note", False)
    cpu.is_silent()
    assert look(suite_data, variants=[chained(build)]) == []


@pytest.mark.parametrize(
    ("build", "capability"), [("bf16", "avx512_bf16"), ("bf16", "amx_bf16"), ("fp16", "avx512_fp16"),
                              ("int8-dynamic", "avx512_vnni"), ("int8-dynamic", "avx_vnni")],
)  # fmt: skip
def test_a_cpu_with_the_arithmetic_measures_without_a_word(
    suite_data: dict, cpu: Cpu, build: str, capability: str
) -> None:
    """Where the CPU has the instructions nothing is skipped and nothing is to be said."""
    cpu.has("avx2", capability)
    assert look(suite_data, variants=[chained(build)]) == []


def test_int8_without_its_instructions_is_measured_with_a_note(suite_data: dict, cpu: Cpu) -> None:
    """int8 runs on any CPU; what to expect of it is a note of the dry run."""
    cpu.has("avx2")
    (found,) = look(suite_data, variants=[chained("int8-dynamic")])
    assert (found.kind, found.stops) == ("note", False)
    assert "gains less than on a CPU that has it" in found.reason


@pytest.mark.parametrize("builds", [("bf16", "fp32"), ("bf16", "onnx"), ()])
def test_a_chain_that_ends_in_another_precision_is_measured(suite_data: dict, cpu: Cpu, builds: tuple) -> None:
    """What is multiplied in float32 again, or by another engine, is none of torch's emulation."""
    cpu.has("avx2")
    assert not [one for one in look(suite_data, variants=[chained(*builds)]) if one.kind in ("emulated", "note")]


def test_an_emulated_cell_costs_no_process_and_is_no_fault_of_the_run(
    suite_data: dict, tmp_path: Path, cpu: Cpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row says what it was skipped for, and a resumed run that allows it measures it."""
    cpu.has("avx2")
    started: list[str] = []
    monkeypatch.setattr(runner, "run_cell", lambda _folder, job, _observe: started.append(job.cell.label))
    data = {**suite_data, "variants": [chained("bf16")]}
    frame = runner.run(data, Options(out=tmp_path / "run"))
    assert [(row["status"], row["skipped_for"]) for row in frame.to_dict("records")] == [("skipped", "emulated")]
    assert "emulated" in SKIPS
    assert frame.attrs["shortfall"] == "nothing was measured"
    assert not started
    runner.run({**data, "allow_emulated": True}, Options(out=tmp_path / "run", resume=True))
    assert len(started) == 1


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda f: (f / "config.json").unlink(), "config.json is missing"),
        (lambda f: (f / "config.json").write_text("{"), "config.json is not valid JSON"),
        (lambda f: (f / "model.safetensors").unlink(), "model*.safetensors or pytorch_model*.bin is missing"),
        (lambda f: (f / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "git lfs"),
        (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-9]), "cut short"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "cut short"),
        (shutil.rmtree, "no such folder"),
    ],
)
def test_damaged_folders_cost_no_process(
    tiny_model: Path, suite_data: dict, tmp_path: Path, monkeypatch, spoil: Callable[[Path], None], reason: str
) -> None:
    """What a folder lacks is found in its files; its cells are errors, and none of them starts a process."""
    folder = Path(shutil.copytree(tiny_model, tmp_path / "own"))
    spoil(folder)
    monkeypatch.setattr(runner, "run_cell", lambda *_: pytest.fail("a process was started"))
    data = {**suite_data, "variants": [{"use": "wav2vec2", "model": str(folder)}], "batch_sizes": [1, 2]}
    frame = runner.run(data, Options(out=tmp_path / "run"))
    assert list(frame["status"]) == ["error", "error"]
    assert all(reason in told and str(folder) in told for told in frame["reason"])


def test_too_few_utterances_for_the_buckets_refuse_the_run(suite_data: dict, tmp_path: Path) -> None:
    """A limit below the number of length buckets is known before anything is made, and leaves no folder."""
    data = {**suite_data, "datasets": [{"use": "quickstart", "limit": 2, "length_buckets": 4}]}
    with pytest.raises(InputError, match="2 utterances cannot be cut into 4 length buckets; raise the limit"):
        runner.run(data, Options(out=tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    assert not look({**data, "datasets": [{"use": "quickstart", "limit": 4, "length_buckets": 4}]})


def test_a_limit_beyond_the_data_is_told(suite_data: dict) -> None:
    """It takes all, and a user who asked for more is told how many there are."""
    (found,) = look(suite_data, datasets=[{"use": "quickstart", "limit": 1000}])
    assert (found.kind, found.stops) == ("doubt", False)
    assert f"has {KNOWN['quickstart'].n_utterances} utterances, so that a limit of 1000 takes all" in found.reason


def test_audio_that_is_missing_is_found_at_the_first_files(suite_data: dict, tmp_path: Path) -> None:
    """A manifest whose files are elsewhere is known beforehand, with how many are missing."""
    lines = [json.dumps({"audio_filepath": f"{i}.wav", "text": "A"}) for i in range(4)]
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    (found,) = look(suite_data, datasets=[{"use": "manifest", "path": str(tmp_path / "m.jsonl"), "name": "gone"}])
    assert (found.kind, found.dataset) == ("missing", "gone")
    assert "3 more files are missing" in found.reason


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"use": "csv", "path": "{}/gone.csv"}, "gone.csv: the table cannot be opened"),
        ({"use": "csv", "path": "{}/wrong.csv"}, "wrong.csv:1: there is no column 'audio_filepath': set `audio`"),
        ({"use": "commonvoice", "root": "{}/en"}, "en: there is no such folder. Set 'root'"),
        ({"use": "kaldi", "path": "{}/data"}, "data: there is no such folder. Set 'path'"),
        ({"use": "lhotse", "path": "{}/cuts.jsonl.gz"}, "cuts.jsonl.gz: the manifest of cuts cannot be opened"),
    ],
)
def test_a_list_of_any_form_is_read_beforehand(
    settings: dict[str, str], reason: str, suite_data: dict, tmp_path: Path
) -> None:
    """A file or folder that is not there, and one that is something else, is known before anything is measured."""
    (tmp_path / "wrong.csv").write_text("path,sentence\na.wav,A\n")
    entry = {key: value.format(tmp_path) for key, value in settings.items()}
    (found,) = look(suite_data, datasets=[{**entry, "name": "mine"}])
    assert (found.kind, found.dataset, found.stops) == ("missing", "mine", True)
    assert reason in found.reason


def test_all_problems_are_told_at_once(suite_data: dict, tmp_path: Path) -> None:
    """One refusal names everything that is wrong or missing."""
    absent = {"use": "manifest", "path": str(tmp_path / "none.jsonl"), "name": "absent"}
    variants = [chained("int8-dynamic", "bf16"), {"use": "wav2vec2", "model": "./nowhere", "name": "away"}]
    with pytest.raises(InputError) as caught:
        runner.run({**suite_data, "datasets": [absent], "variants": variants, "devices": ["cpu", "cuda:77"]})
    told = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in told] == ["device cuda", "data set absent", "variant it", "variant away"]


def test_a_variant_that_would_be_downloaded_is_no_problem(suite_data: dict, monkeypatch, tmp_path: Path) -> None:
    """What the hub may have is fetched by the run, and only named beforehand."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    found = look(suite_data, variants=[{"use": "wav2vec2", "model": "owner/nothing-here"}])
    assert [(one.kind, one.stops) for one in found] == [("fetch", False)]
    assert "owner/nothing-here from the Hugging Face hub" in found[0].reason


# --- order -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """A variant that tells in which order it was fetched, looked at and made."""

    said: list[str]
    fails: str = ""

    def variant(self, name: str) -> Variant:
        def step(what: str) -> Callable[[], None]:
            def take() -> None:
                self.said.append(f"{what} {name}")
                if self.fails == what:
                    raise RuntimeError(f"{what} broke")

            return take

        return Variant(
            name, lambda _device: None, to_fetch=lambda: "weights", fetch=step("fetch"), check=step("check"),
            to_make=lambda: "an export", prepare=step("prepare"),
        )  # type: ignore[arg-type]  # fmt: skip


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, Made]:
    by_name: dict[str, Made] = {}
    monkeypatch.setattr(ahead, "build_variant", lambda entry: by_name[entry.name].variant(entry.name))
    return by_name


def test_everything_is_fetched_and_looked_at_before_anything_is_made(suite_data: dict, made: dict) -> None:
    """An export begins when all weights are here, and is told with its number and the time left."""
    said: list[str] = []
    made.update({"null/instant": Made(said), "null/rtfx-100": Made(said)})
    cells = plan(config.load({**suite_data, "variants": list(made)}))
    known = ahead.look(cells)
    said.clear()
    told: list[Event] = []
    assert ahead.prepare(cells, known, told.append) == []
    assert [line.split()[0] for line in said] == ["fetch", "fetch", "check", "check", "prepare", "prepare"]
    assert {type(event) for event in told} == {Preparing}
    texts = [event.text for event in told]
    assert texts[0].startswith("fetching 1/2: variant null/instant: weights")
    assert texts[3].startswith("making 2/2: variant null/rtfx-100: an export")
    assert told[3].left_s >= 0
    assert told[2].left_s is None


def test_what_takes_long_is_told_again_while_it_is_made(
    suite_data: dict, made: dict, monkeypatch: pytest.MonkeyPatch, patience: Callable[[float], float]
) -> None:
    """With the time since it began; here an export ends when that has been told."""
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.001)
    goes_on = threading.Event()
    made["null/instant"] = Made([])
    variant = replace(made["null/instant"].variant("null/instant"), prepare=lambda: goes_on.wait(patience(30)) or 1 / 0)
    monkeypatch.setattr(ahead, "build_variant", lambda _entry: variant)

    def observe(event: Event) -> None:
        if event.text.startswith("making 1/1") and event.elapsed_s is not None:
            goes_on.set()

    cells = plan(config.load({**suite_data, "variants": ["null/instant"]}))
    assert ahead.prepare(cells, [], observe) == []


@pytest.mark.parametrize("fails", ["check", "fetch", "prepare"])
def test_a_plugin_that_raises_costs_its_own_cells_alone(
    suite_data: dict, made: dict, fails: str, tmp_path: Path
) -> None:
    """Whatever a plug-in raises before its cell is a row with the reason, and the other variant is made ready."""
    said: list[str] = []
    made.update({"null/instant": Made(said, fails), "null/rtfx-100": Made(said)})
    cells = plan(config.load({**suite_data, "variants": list(made)}))
    found = ahead.prepare(cells, ahead.look(cells), unobserved)
    assert {(one.variant, one.kind, one.reason) for one in found} == {
        ("null/instant", "missing", f"RuntimeError: {fails} broke")
    }
    assert "prepare null/rtfx-100" in said


# --- time ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "idles", "seconds"),
    [
        ("quick", True, 5 + 3 * 2),
        ("quick", False, 3 * 2),
        ("standard", True, 30 + 10 + 10),
        ("official", True, 30 + 30 + 60 + 60),  # its rest may end at once
        ("official", False, 60 + 60),
    ],
)
def test_the_least_time_is_what_the_protocol_says(protocol: str, idles: bool, seconds: float) -> None:
    """By the table of the protocol: idle, warm-up, windows and rest, whatever the model."""
    assert least_s(PROTOCOLS[protocol], idles) == seconds


def test_a_search_of_streams_in_real_time_takes_the_speech_of_its_first_window(suite_data: dict) -> None:
    """Its three windows have 459 chunks of 0.5 s each at least; those of the other scenario are the protocol's."""
    asked = {"streaming": {"chunk_s": 0.5, "pace": "real-time", "streams": "search"}}
    loaded = config.load({**suite_data, "protocol": "quick", "scenarios": ["single-stream", "streaming"], **asked})
    idle_s = forecast.least(loaded, plan(loaded))[0] - 3 * 2
    assert forecast.least(loaded, plan(loaded)) == [idle_s + 3 * 2, idle_s + 3 * 459 * 0.5]
    assert forecast.least_total_s(loaded, plan(loaded)) == 2 * idle_s + 3 * 2 + 3 * 459 * 0.5
    assert "2 cells at least 12 min in all" in expected([None, None], forecast.least(loaded, plan(loaded)), 0.0)
    assert "2 cells at least 6 s each" in expected([None, None], [6.0, 6.0], 0.0)


def test_controls_take_their_time_too(suite_data: dict) -> None:
    """Two a round and device, each with half a second of warm-up and a window of two, and the rest before it."""
    loaded = config.load({**suite_data, "protocol": "standard", "control": True, "devices": ["cpu"]})
    assert forecast.controls_s(loaded, plan(loaded)) == 2 * 5 * (2.5 + 10)
    assert forecast.controls_s(config.load({**suite_data, "control": False}), plan(loaded)) == 0


def test_the_time_left_follows_from_cells_of_the_same_kind(suite_data: dict) -> None:
    """A single-stream cell says nothing of offline ones: the time left is unknown until one of each is done."""
    several = {"scenarios": ["single-stream", "offline"], "variants": ["null/rtfx-100", "null/instant", "null/rtfx-20"]}
    cells = plan(config.load({**suite_data, **several}))
    pace = forecast.Pace(cells)
    left = [pace.left_s]
    for cell, seconds in zip(cells, (10.0, 90.0, 20.0, 70.0, 15.0, 80.0), strict=True):
        pace.done(cell, seconds)
        left.append(pace.left_s)
    assert left == [None, None, 2 * 10 + 2 * 90, 15 + 2 * 90, 15 + 80, 80, 0]
    assert forecast.Pace([]).left_s is None


def test_an_estimate_that_nobody_can_make_refuses_the_run(suite_data: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where energy is asked for and no meter can even estimate it, nothing is run; else it is no matter."""
    from greenbench.meters.estimate import CodecarbonEstimate

    monkeypatch.setattr(CodecarbonEstimate, "unavailable", lambda _self: "give its design power as tdp_w")
    for meter in ("rapl.Rapl", "cray.CrayPm", "hwmon.Hwmon", "battery.Battery"):
        monkeypatch.setattr(f"greenbench.meters.{meter}.unavailable", lambda _self: "none here")
    monkeypatch.setattr("greenbench.extras.missing", lambda _extras: None)
    plain, asked = (config.load({**suite_data, "estimate_energy": asked}) for asked in (False, True))
    ahead.require(plain, plan(plain))
    with pytest.raises(MissingError, match="estimate_energy: give its design power as tdp_w"):
        ahead.require(asked, plan(asked))
    monkeypatch.setattr("greenbench.meters.hwmon.Hwmon.unavailable", lambda _self: None)
    ahead.require(asked, plan(asked))  # the whole machine is metered: no estimate is needed
