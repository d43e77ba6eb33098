"""Speaker verification from the suite to the board: run, validated, scored again, compared, shown and exported."""

import json
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench.analysis import compare, selection
from greenbench.export import write
from greenbench.harness.runner import Options, run
from greenbench.leaderboard import publish
from greenbench.report import terminal
from greenbench.report.pages import write_page
from greenbench.results import frames, rescore, store
from greenbench.suite import config
from greenbench.validate import problems

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

TEACHER, LOWER, SILENT = "wav2vec2/quickstart", "layer-2", "null/instant"
PAIRS = "trials(quickstart)[:40]"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The teacher by two of its layers, and a model without embeddings, on the first utterances of the pairs."""
    folder = tmp_path_factory.mktemp("speakers") / "run"
    suite = config.load({
        "name": "speakers",
        "protocol": {"use": "quick", "repeats": 1, "window_s": 0.05, "idle_s": 0},
        "datasets": [{"use": "trials", "of": "quickstart", "n_per_speaker": 200, "limit": 40}],
        "variants": [TEACHER, {"use": TEACHER, "embedding_layer": 2, "name": LOWER}, SILENT],
        "trace_hz": 0,
        "control": False,
    })  # fmt: skip
    run(suite, Options(out=folder))
    return folder


@pytest.fixture
def copy(measured: Path, tmp_path: Path) -> Path:
    """A copy of the run to tamper with."""
    return Path(shutil.copytree(measured, tmp_path / "run"))


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["variant"]: row for row in store.read_rows(folder / store.RECORDS)}


def edit(folder: Path, file: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change the first line of the teacher in a file of a run that has a trial."""
    lines = [json.loads(line) for line in (folder / file).read_text(encoding="utf-8").splitlines()]
    asks = (i for i, line in enumerate(lines) if line["variant"] == TEACHER and line.get("reference") != "{}")
    first = next(asks)
    lines[first] |= change(lines[first])
    (folder / file).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def test_rows_say_what_was_asked_and_how_it_is_judged(measured: Path) -> None:
    """The layer is in the row; what is timed has a name of its own; audio is counted once, however many trials."""
    row = rows(measured)[TEACHER]
    said = ("status", "task", "timed_region", "primary", "normalizer", "scorer", "decoding")
    assert [row[name] for name in said] == [
        "ok", "verify", "waveform-to-embedding", "eer", None, "cosine@1", "mean of hidden state 1 of 12",
    ]  # fmt: skip
    assert rows(measured)[LOWER]["decoding"] == "mean of hidden state 2 of 12"
    assert row["wer"] is row["false_alarms_per_hour"] is row["tpr_at_fpr"] is None
    assert 0 <= row["eer_ci_low"] <= row["eer"] <= row["eer_ci_high"] <= 1
    assert 0 <= row["min_dcf"] <= 1
    assert row["wer_ci_unit"].startswith("speakers like these")
    texts = [text for text in store.read_rows(measured / store.HYPOTHESES) if text["variant"] == TEACHER]
    assert len(texts) == row["n_utterances"] == 40
    assert row["audio_s"] == pytest.approx(row["n_passes"] * sum(text["audio_s"] for text in texts))


def test_figures_are_those_of_the_answers(measured: Path) -> None:
    """Counted pair by pair from the files, by numpy's own cosine."""
    for variant in (TEACHER, LOWER):
        texts = [text for text in store.read_rows(measured / store.HYPOTHESES) if text["variant"] == variant]
        vectors = {text["utterance_id"]: np.array(json.loads(text["hypothesis"])["embedding"]) for text in texts}
        speakers = {text["utterance_id"]: text["speaker"] for text in texts}
        scores: dict[bool, list[float]] = {True: [], False: []}
        for text in texts:
            a = vectors[text["utterance_id"]]
            assert np.linalg.norm(a) == pytest.approx(1, abs=1e-2)
            for other, same in json.loads(text["reference"]).items():
                if other in vectors:
                    assert same is (text["speaker"] == speakers[other])
                    b = vectors[other]
                    scores[same].append(float(a @ b / np.sqrt(a @ a * (b @ b))))
        row = rows(measured)[variant]
        assert (row["n_target_trials"], row["n_nontarget_trials"]) == (len(scores[True]), len(scores[False]))
        pairs = [(p > a) + (p == a) / 2 for p, a in product(scores[True], scores[False])]
        assert row["auc"] == pytest.approx(np.mean(pairs), abs=1e-6)


def test_a_model_that_does_not_answer_is_skipped_with_the_reason(measured: Path) -> None:
    """It gives texts only."""
    skipped = rows(measured)[SILENT]
    assert (skipped["status"], skipped["skipped_for"], skipped["task"]) == ("skipped", "inapplicable", "verify")
    assert "compares embeddings" in skipped["reason"]


def test_the_run_is_clean(measured: Path) -> None:
    """Validation counts the answers again and finds nothing."""
    assert [problem for problem in problems(measured) if problem.severity == "error"] == []


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        (store.RECORDS, lambda row: {"eer": row["eer"] / 2 + 0.1}, "eer is "),
        (store.RECORDS, lambda row: {"min_dcf": 0.123}, "min_dcf is 0.123"),
        (store.RECORDS, lambda row: {"eer_ci_high": 0.999}, "eer_ci_high is 0.999"),
        (store.RECORDS, lambda row: {"task": "transcribe"}, "task is 'transcribe', the data set in run.json is for"),
        (store.HYPOTHESES, lambda row: {"hypothesis": "hello"}, "its texts are no answers: task verify: an answer is"),
        (store.HYPOTHESES, lambda row: {"reference": "{}"}, "data_hash is "),
    ],
)  # fmt: skip
def test_what_was_changed_is_found(copy: Path, file: str, change: Callable[..., dict], told: str) -> None:
    """A figure that the answers do not give, an answer that is none, and other pairs than were asked."""
    edit(copy, file, change)
    assert any(told in problem.what for problem in problems(copy)), [problem.what for problem in problems(copy)]


def test_answers_are_scored_again_without_a_model(copy: Path) -> None:
    """A figure that was changed is amended."""
    assert rescore.amend(copy) == 0
    before = rows(copy)[TEACHER]
    edit(copy, store.RECORDS, lambda row: {"eer": 0.77, "min_dcf": None})
    assert rescore.amend(copy) == 1
    assert rows(copy)[TEACHER] == before


def test_builds_are_compared_on_the_same_trials(measured: Path) -> None:
    """By the equal error rate, with an interval over speakers."""
    a, b = (selection.select(f"{measured}:{name}") for name in (TEACHER, LOWER))
    (pair,) = compare.compare(a, b).pairs
    (eer,) = [finding for finding in pair.findings if finding.metric == "eer"]
    known = rows(measured)
    assert eer.low <= eer.difference <= eer.high
    assert eer.difference == pytest.approx(known[LOWER]["eer"] - known[TEACHER]["eer"])


def test_pages_boards_and_exports_show_it(measured: Path, tmp_path: Path) -> None:
    """The table of a run, its page, a leaderboard and the formats of other tools."""
    shown = {line["variant"]: line for line in terminal.table(frames.load(measured))}
    assert shown[TEACHER]["EER % [95 % interval]"]
    assert shown[SILENT]["EER % [95 % interval]"] == "skipped"
    assert ">minDCF" in write_page(measured, tmp_path / "page.html").read_text(encoding="utf-8")
    publish([measured], tmp_path / "board")
    assert "qual error rate" in (tmp_path / "board" / "leaderboard.md").read_text(encoding="utf-8")
    write(measured, "csv", tmp_path / "rows.csv")
    assert "min_dcf" in (tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()[0].split(",")


@pytest.mark.slow
def test_an_engines_export_has_no_hidden_states(tmp_path: Path) -> None:
    """Its cell is skipped, and says what to measure in its place."""
    suite = config.load({
        "name": "engine", "protocol": {"use": "quick", "repeats": 1, "window_s": 0.05, "idle_s": 0},
        "datasets": [{"use": "trials", "of": "quickstart", "limit": 4}],
        "variants": ["wav2vec2/quickstart-2l+onnx"], "trace_hz": 0, "control": False,
    })  # fmt: skip
    run(suite, Options(out=tmp_path / "run"))
    (row,) = store.read_rows(tmp_path / "run" / store.RECORDS)
    assert (row["status"], row["skipped_for"]) == ("skipped", "inapplicable")
    assert "an engine's export gives logits only" in row["reason"]
