"""Parents, decodings and logits through the program: what a run of real models says of builds under their own names."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from greenbench.analysis import gate
from greenbench.analysis.gains import all_gains
from greenbench.errors import InputError
from greenbench.harness.runner import Options, run
from greenbench.plugins.events import PowerAttached
from greenbench.results import frames
from greenbench.results.shortfall import shortfall

QUICK = {"use": "quick", "repeats": 2, "window_s": 0.01, "idle_s": 0, "resamples": 200, "warmup_batches": 1,
         "warmup_max_batches": 1}  # fmt: skip


def suite(*variants: Any, **changes: Any) -> dict[str, Any]:
    return {"name": "own", "protocol": QUICK, "datasets": [{"use": "quickstart", "limit": 6}],
            "variants": list(variants), "trace_hz": 0, "control": False, **changes}  # fmt: skip


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model as `ours`, cut to two layers as `ours-cut`, and a peer that answers a fixed text."""
    folder = tmp_path_factory.mktemp("own") / "run"
    run(
        suite(
            {"use": "wav2vec2/quickstart", "name": "ours"},
            {"use": "wav2vec2/quickstart", "name": "ours-cut", "builds": [{"use": "layer-drop", "keep": 2}]},
            {"use": "null", "name": "elsewhere", "text": "a", "teacher": "ours"},
        ),
        Options(out=folder),
    )
    return folder


def test_a_build_under_a_name_of_its_own_is_held_back_by_the_gate(own: Path) -> None:
    """Its WER is far above its parent's, so it is ranked by WER alone; so is the student whose teacher is stated."""
    rows = frames.load(own).drop_duplicates("variant").set_index("variant")
    assert (rows["status"] == "ok").all(), rows["reason"].tolist()
    assert rows.loc["ours-cut", "wer"] > rows.loc["ours", "wer"] + 0.2
    assert rows["parent"].to_dict() == {"ours": None, "ours-cut": "ours", "elsewhere": "ours"}
    assert {str(cell[1]) for cell in gate.outside([own])} == {"ours-cut", "elsewhere"}
    assert {str(d.student.shared["variant"]): str(d.teacher.shared["variant"]) for d in all_gains([own])} == {
        "ours-cut": "ours", "elsewhere": "ours",
    }  # fmt: skip
    assert rows["decoding"].to_dict() == {"ours": "greedy", "ours-cut": "greedy", "elsewhere": None}


def test_lineage_and_terminal_name_the_parent(greenbench, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's table has both, and says of one that the suite alone states its teacher."""
    monkeypatch.setenv("COLUMNS", "200")
    done = greenbench("lineage", own)
    assert done.returncode == 0
    assert "ours-cut" in done.stdout
    assert "ours (stated by the suite)" in done.stdout


# --- logits that are not finite --------------------------------------------------------------------------


def copied(model: Path, folder: Path) -> Path:
    return Path(shutil.copytree(model, folder))


@pytest.fixture
def broken(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with one weight of its head that is NaN."""
    from safetensors.torch import load_file, save_file

    folder = copied(tiny_model, tmp_path / "nan")
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.bias"][3] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize("builds", [[], ["bf16"], pytest.param(["onnx"], marks=pytest.mark.slow),
                                    pytest.param(["openvino"], marks=pytest.mark.slow)])  # fmt: skip
@pytest.mark.usefixtures("exports_here")
def test_weights_that_are_not_finite_fail_the_cell(broken: Path, tmp_path: Path, builds: list[str]) -> None:
    """No row with WER 100 %: an error that names the utterance and what to do, for torch and for each engine."""
    if builds in (["onnx"], ["openvino"]):
        pytest.importorskip(builds[0])
    variant = {"use": "wav2vec2", "model": str(broken), "builds": builds}
    frame = run(suite(variant, allow_emulated=True), Options(out=tmp_path / "run"))
    assert list(frame["status"]) == ["error"]
    assert frame["reason"][0].startswith("the logits of ")
    first = frames.load(tmp_path / "run")["dataset"][0]
    assert "are not finite (NaN or infinity)" in frame["reason"][0], first
    assert "make or fetch the model again" in frame["reason"][0]
    assert str(frame.attrs["shortfall"]).startswith("nothing was measured; 1 cell failed: the logits of ")


# --- decoding --------------------------------------------------------------------------------------------


def test_a_language_model_that_is_not_used_is_said_in_row_and_terminal(
    greenbench, tiny_model: Path, tmp_path: Path
) -> None:
    """A checkpoint with a language model beside it: one line of warning for all rounds, and a column."""
    folder = copied(tiny_model, tmp_path / "with-lm")
    (folder / "language_model").mkdir()
    (folder / "alphabet.json").write_text("{}")
    file = tmp_path / "own.yaml"
    steps = {**QUICK, "rounds": 2, "repeats": 1}
    file.write_text(json.dumps(suite({"use": "wav2vec2", "model": str(folder), "name": "lm"}, protocol=steps)))
    done = greenbench("run", file, "--out", tmp_path / "run")
    assert done.stderr.count("warning: lm: the language model that the checkpoint brings (language_model) is not used")
    assert done.stderr.count("is not used") == 1
    assert set(frames.load(tmp_path / "run")["decoding"]) == {"greedy, language model not used"}


def test_a_model_that_does_not_fit_its_processor_is_one_line(tiny_model: Path, tmp_path: Path) -> None:
    """A tokeniser of another vocabulary is a row's reason, and another sampling rate stops all beforehand."""
    other = copied(tiny_model, tmp_path / "other")
    vocabulary = json.loads((other / "vocab.json").read_text())
    (other / "vocab.json").write_text(json.dumps({**vocabulary, **{letter: 32 + i for i, letter in enumerate("ÄÖÜß")}}))
    slow = copied(tiny_model, tmp_path / "8khz")
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (slow / name).exists():
            (slow / name).write_text((slow / name).read_text().replace("16000", "8000"))
    models = [{"use": "wav2vec2", "model": str(folder), "name": folder.name} for folder in (other, slow)]
    (row,) = run(suite(models[0]), Options(out=tmp_path / "run")).to_dict("records")
    assert "its head has 32 outputs and its tokeniser 36 tokens" in row["reason"]
    with pytest.raises(InputError, match="takes speech of 8000 Hz; only models of 16000 Hz can be measured"):
        run(suite(*models), Options(out=tmp_path / "both"))


# --- exit codes ------------------------------------------------------------------------------------------


def test_a_device_that_is_asked_for_and_not_here_is_exit_code_1(
    greenbench, suite_data: dict[str, Any], tmp_path: Path
) -> None:
    """Alone, when nothing was measured, and beside a device that is here; `auto` asks only for what there is."""
    file = tmp_path / "own.yaml"
    for devices, code, says in (
        (["cuda:7"], 1, "error: nothing was measured; 1 cell skipped for want of what the suite asks for: "),
        (["cpu", "cuda:7"], 1, "error: 1 cell skipped for want of what the suite asks for: "),
        (["auto"], 0, ""),
    ):
        file.write_text(json.dumps({**suite_data, "devices": devices}))
        done = greenbench("run", file, "--out", tmp_path / "-".join(devices))
        assert (done.returncode, says in done.stderr) == (code, True), done.stderr
    file.write_text(json.dumps({**suite_data, "devices": ["cuda:7"]}))
    again = greenbench("run", file, "--out", tmp_path / "cuda:7", "--resume")
    assert "1 cell to run" in again.stderr, "what is installed or attached since is tried"
    page = greenbench("report", tmp_path / "cuda:7", "--out", tmp_path / "page.html")
    assert (page.returncode, (tmp_path / "page.html").exists()) == (1, True)
    assert "error: nothing was measured in these results" in page.stderr


def test_a_build_that_no_such_device_has_is_not_missing(fake_run: Any) -> None:
    """Of three skips one wants something; a failed cell counts, and a server that is too slow is a result."""
    skipped = {"status": "skipped", "reason": "why"}
    for cell, expected in (
        ({"skipped_for": "lacking"}, "1 cell skipped for want of what the suite asks for: why"),
        ({"skipped_for": "inapplicable"}, None),
        ({"skipped_for": "unservable"}, None),
        ({"status": "error"}, "1 cell failed: why"),
    ):
        name = str(cell.get("skipped_for") or "error")
        told = shortfall(frames.load(fake_run(name, {"variant": "ok"}, {"variant": "b", **skipped, **cell})))
        assert told == expected
    alone = frames.load(fake_run("alone", {**skipped, "skipped_for": "inapplicable"}))
    assert shortfall(alone) == "nothing was measured"
    assert shortfall(frames.load(fake_run("slow", {**skipped, "skipped_for": "unservable"}))) is None


@pytest.mark.parametrize(
    ("logged", "expected"),
    [
        (PowerAttached(2, 2, ()), None),
        (
            PowerAttached(2, 1, ("it ended",)),
            "power log: the energy of 1 of 2 windows is known; not of the others: it ended",
        ),
        (PowerAttached(0, 0, ("gone",)), "power log: not attached: gone"),
    ],
)
def test_a_power_log_that_does_not_tell_every_window_is_a_shortfall(
    fake_run: Any, logged: PowerAttached, expected: str | None
) -> None:
    """A run that was asked to attach a log delivers the energy of each of its windows, or says of which it does not."""
    assert shortfall(frames.load(fake_run("logged", {"variant": "a"})), logged) == expected
