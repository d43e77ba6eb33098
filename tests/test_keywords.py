"""Keyword spotting from the suite to the board: run, validated, scored again, compared, shown and exported."""

import json
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench.analysis import compare, gains, gate, selection, summary
from greenbench.errors import InputError
from greenbench.export import write
from greenbench.harness.runner import Options, run
from greenbench.leaderboard import publish
from greenbench.recipes.speech import split
from greenbench.report import terminal
from greenbench.report.pages import write_page
from greenbench.results import frames, rescore, store
from greenbench.suite import config
from greenbench.suite.entries import DatasetEntry
from greenbench.validate import problems

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

STUDENT = "wav2vec2/quickstart-2l"
SPOTTED = "keywords(quickstart)"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student, its int8 build and a model without probabilities, on keywords and on a little speech."""
    folder = tmp_path_factory.mktemp("keywords") / "run"
    suite = config.load({
        "name": "spotting",
        "protocol": {"use": "quick", "repeats": 1, "window_s": 0.05, "idle_s": 0},
        "datasets": [
            {"use": "keywords", "of": "quickstart", "n_keywords": 6, "n_present": 3},
            {"use": "quickstart", "limit": 3},
        ],
        "variants": [STUDENT, f"{STUDENT}+int8-dynamic", "null/instant"],
        "also_score": ["librispeech"],
        "trace_hz": 0,
        "control": False,
    })  # fmt: skip
    run(suite, Options(out=folder))
    return folder


@pytest.fixture
def copy(measured: Path, tmp_path: Path) -> Path:
    """A copy of the run to tamper with."""
    return Path(shutil.copytree(measured, tmp_path / "run"))


def rows(folder: Path, dataset: str = SPOTTED) -> dict[str, dict[str, Any]]:
    return {row["variant"]: row for row in store.read_rows(folder / store.RECORDS) if row["dataset"] == dataset}


def edit(folder: Path, file: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change the first line of the keywords in a file of a run."""
    lines = [json.loads(line) for line in (folder / file).read_text(encoding="utf-8").splitlines()]
    first = next(i for i, line in enumerate(lines) if line["dataset"] == SPOTTED and line["variant"] == STUDENT)
    lines[first] |= change(lines[first])
    (folder / file).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def test_rows_say_what_was_asked_and_how_it_is_judged(measured: Path) -> None:
    """Of keywords there is no WER and of texts no EER; what a window times has another name."""
    spotted, written = rows(measured)[STUDENT], rows(measured, "quickstart[:3]")[STUDENT]
    said = ("status", "task", "timed_region", "primary", "normalizer", "scorer")
    assert [spotted[name] for name in said] == ["ok", "detect", "waveform-to-scores", "eer", None, "keywords@1"]
    assert [written[name] for name in said[:4]] == ["ok", "transcribe", "waveform-to-text", "wer"]
    assert spotted["wer"] is written["eer"] is None
    assert 0 <= spotted["eer_ci_low"] <= spotted["eer"] <= spotted["eer_ci_high"] <= 1
    assert spotted["false_alarms_per_hour"] >= 0
    assert spotted["wer_ci_unit"].startswith("speakers like these")
    assert "audio-doubtful" not in spotted["flags"]


def test_figures_are_those_of_the_answers(measured: Path) -> None:
    """Counted pair by pair from the files; a trained recogniser tells most pairs of its own speech apart."""
    for variant in (STUDENT, f"{STUDENT}+int8-dynamic"):
        row, scores = rows(measured)[variant], {True: [], False: []}
        for text in store.read_rows(measured / store.HYPOTHESES):
            if (text["variant"], text["dataset"]) == (variant, SPOTTED):
                answer = json.loads(text["hypothesis"])
                assert len(answer) == 6
                for keyword, is_present in json.loads(text["reference"]).items():
                    scores[is_present].append(answer[keyword])
        assert (row["n_target_trials"], row["n_nontarget_trials"]) == (len(scores[True]), len(scores[False]))
        pairs = [(p > a) + (p == a) / 2 for p, a in product(scores[True], scores[False])]
        assert row["auc"] == pytest.approx(np.mean(pairs))
        assert row["auc"] > 0.8


def test_a_model_that_does_not_answer_is_skipped_with_the_reason(measured: Path) -> None:
    """It gives texts only; the same model transcribes, and the run is whole."""
    skipped = rows(measured)["null/instant"]
    assert (skipped["status"], skipped["skipped_for"], skipped["task"]) == ("skipped", "inapplicable", "detect")
    assert "CTC" in skipped["reason"]
    assert rows(measured, "quickstart[:3]")["null/instant"]["status"] == "ok"


def test_keywords_are_not_streamed(tmp_path: Path) -> None:
    """The cell is skipped before its model is loaded, and says why."""
    suite = config.load({
        "name": "streamed", "datasets": [{"use": "keywords", "of": "quickstart", "n_keywords": 2}],
        "variants": [STUDENT], "scenarios": ["streaming"], "trace_hz": 0, "control": False,
    })  # fmt: skip
    run(suite, Options(out=tmp_path / "run"))
    (row,) = store.read_rows(tmp_path / "run" / store.RECORDS)
    assert (row["status"], row["skipped_for"]) == ("skipped", "inapplicable")
    assert row["reason"] == "scenario streaming shows texts while they grow, and task detect has none"


def test_a_run_of_two_tasks_is_clean(measured: Path) -> None:
    """Validation counts the answers again and finds nothing."""
    assert [problem for problem in problems(measured) if problem.severity == "error"] == []


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        (store.RECORDS, lambda row: {"eer": row["eer"] / 2 + 0.1}, "eer is "),
        (store.RECORDS, lambda row: {"eer_ci_high": 0.999}, "eer_ci_high is 0.999"),
        (store.RECORDS, lambda row: {"auc": 0.5}, "auc is 0.5"),
        (store.RECORDS, lambda row: {"false_alarms_per_hour": 1e-3}, "false_alarms_per_hour is 0.001"),
        (store.RECORDS, lambda row: {"n_target_trials": 1}, "n_target_trials is 1"),
        (store.RECORDS, lambda row: {"task": "transcribe"}, "task is 'transcribe', the data set in run.json is for"),
        (store.RECORDS, lambda row: {"primary": "wer"}, "primary is 'wer', in run.json 'eer'"),
        (store.RECORDS, lambda row: {"scorer": "keywords@0"}, "keywords@0 is not installed"),
        (store.HYPOTHESES, lambda row: {"hypothesis": "hello"}, "its texts are no answers: task detect: an answer is"),
        (store.HYPOTHESES, lambda row: {"reference": "{}"}, "data_hash is "),
    ],
)  # fmt: skip
def test_what_was_changed_is_found(copy: Path, file: str, change: Callable[..., dict], told: str) -> None:
    """A figure that the answers do not give, an answer that is none, and other keywords than were asked."""
    edit(copy, file, change)
    assert any(told in problem.what for problem in problems(copy)), [problem.what for problem in problems(copy)]


def test_answers_are_scored_again_without_a_model(copy: Path) -> None:
    """In their one way: other normalisers have no use for them, and a figure that was changed is amended."""
    assert {line["dataset"] for line in store.read_rows(copy / store.SCORES)} == {"quickstart[:3]"}
    assert rescore.amend(copy) == 0
    before = rows(copy)[STUDENT]
    edit(copy, store.RECORDS, lambda row: {"eer": 0.77, "auc": None})
    assert rescore.amend(copy) == 1
    assert rows(copy)[STUDENT] == before


def test_builds_are_compared_on_the_same_keywords(measured: Path) -> None:
    """By the equal error rate, with an interval; other figures of the answers have none to compare by."""
    folder = str(measured)
    a, b = selection.select(f"{folder}:{STUDENT}"), selection.select(f"{folder}:{STUDENT}+int8-dynamic")
    found = {pair.b.shared["dataset"]: pair for pair in compare.compare(a, b).pairs}
    (eer,) = [finding for finding in found[SPOTTED].findings if finding.metric == "eer"]
    assert eer.low <= eer.difference <= eer.high
    known = rows(measured)
    assert eer.difference == pytest.approx(known[f"{STUDENT}+int8-dynamic"]["eer"] - known[STUDENT]["eer"])
    assert "wer" not in {finding.metric for finding in found[SPOTTED].findings}
    (auc,) = (f for pair in compare.compare(a, b, ["auc"]).pairs for f in pair.findings)
    assert (auc.verdict, "no interval" in auc.why) == ("not comparable", True)


def test_tasks_are_settings_of_their_own(measured: Path) -> None:
    """No cell of the one is ranked, gated or gained with one of the other."""
    lines = summary.summary(frames.load(measured))
    by_task = [set(setting.lines["task"]) for setting in summary.settings(lines)]
    assert sorted(map(sorted, by_task)) == [["detect"], ["transcribe"]]
    for one in gains.all_gains([measured]):
        assert one.student.shared["task"] == one.teacher.shared["task"]
    table = gains.table(measured).set_index("dataset")
    assert table.loc[SPOTTED, "eer_difference"] == table.loc[SPOTTED, "eer_difference"]
    assert table.loc[SPOTTED, ["wer_difference"]].isna().all()
    for reason in (why for cell, why in gate.outside([measured]).items() if cell[2] == SPOTTED):
        assert "EER" in reason


def test_pages_boards_and_exports_show_it(measured: Path, tmp_path: Path) -> None:
    """The table of a run, its page, a leaderboard and the formats of other tools have the equal error rate."""
    shown = {line["variant"]: line for line in terminal.table(frames.load(measured)) if line["dataset"] == SPOTTED}
    assert all(line["EER % [95 % interval]"] for line in shown.values())
    assert shown["null/instant"]["EER % [95 % interval]"] == "skipped"
    assert ">EER" in write_page(measured, tmp_path / "page.html").read_text(encoding="utf-8")
    publish([measured], tmp_path / "board")
    board = (tmp_path / "board" / "leaderboard.md").read_text(encoding="utf-8")
    assert board.count("equal error rate") + board.count("Equal error rate") > 0
    write(measured, "github-benchmark", tmp_path / "bench.json")
    names = [entry["name"] for entry in json.loads((tmp_path / "bench.smaller.json").read_text())]
    assert any(name.startswith("EER | ") for name in names)
    write(measured, "csv", tmp_path / "rows.csv")
    assert "eer" in (tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()[0].split(",")


def test_keywords_are_no_speech_to_train_on() -> None:
    """Their references are no transcripts."""
    with pytest.raises(InputError, match="for task detect and has no transcripts"):
        split([DatasetEntry(use="keywords", of="quickstart", name="k")], 0.1)


@pytest.mark.slow
def test_every_engine_answers(tmp_path: Path) -> None:
    """ONNX Runtime and OpenVINO find what torch finds: the same model, so the same scores but for rounding."""
    suite = config.load({
        "name": "engines",
        "protocol": {"use": "quick", "repeats": 1, "window_s": 0.05, "idle_s": 0},
        "datasets": [{"use": "keywords", "of": "quickstart", "n_keywords": 4, "n_present": 2}],
        "variants": [STUDENT, *(f"{STUDENT}+{build}" for build in ("onnx", "openvino", "openvino-int8"))],
        "trace_hz": 0, "control": False,
    })  # fmt: skip
    run(suite, Options(out=tmp_path / "run"))
    found = rows(tmp_path / "run")
    assert {row["status"] for row in found.values()} == {"ok"}, [row["reason"] for row in found.values()]
    for build in ("onnx", "openvino"):
        assert found[f"{STUDENT}+{build}"]["auc"] == pytest.approx(found[STUDENT]["auc"], abs=0.02)
    assert found[f"{STUDENT}+openvino-int8"]["auc"] > 0.8
