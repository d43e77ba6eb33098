"""The quick start as it ships: it runs offline as a whole, and its teacher is as good as its card says."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from greenbench.assets import QUICKSTART, quickstart_suite
from greenbench.datasets.corpus import Corpus
from greenbench.datasets.quickstart import Quickstart
from greenbench.hardware import arithmetic
from greenbench.results import store
from greenbench.suite import config
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.suite.plan import plan
from greenbench.text import wer as text_wer

TEACHER = QUICKSTART / "teacher"
STUDENTS = sorted((QUICKSTART / "students").glob("quickstart-*"))


def test_a_bare_run_is_the_quick_start(tmp_path: Path) -> None:
    """`greenbench run` without a suite measures the teacher and its builds, without a network, and writes the page.

    In one scenario: each cell is a process that imports torch and transformers, and takes as long again in the other.
    A CPU without bfloat16 arithmetic skips that build, as it does for everybody.
    """
    short = [
        "scenarios=[offline]",
        "protocol.repeats=1",
        "protocol.idle_s=0.2",
        "protocol.window_s=0.3",
    ]
    options = ["--limit", "6", *(word for step in short for word in ("--set", step)), "--json"]
    command = [sys.executable, "-m", "greenbench", "run", "--out", str(tmp_path / "run"), *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = json.loads(done.stdout)
    assert {line["variant"] for line in lines} == {
        "wav2vec2/quickstart",
        "wav2vec2/quickstart+bf16",
        "wav2vec2/quickstart+int8-dynamic",
        "wav2vec2/quickstart-6l",
        "wav2vec2/quickstart-2l",
    }
    measured = [line for line in lines if not (line["status"] == "skipped" and line["variant"].endswith("+bf16"))]
    assert len(measured) == 4 + (arithmetic.emulated("bf16") is None)
    for line in measured:
        assert line["status"] == "ok", line["reason"]
        assert None not in (line["wer"], line["rtfx"], line["peak_rss_bytes"], line["energy_j_per_audio_s"])
    assert (tmp_path / "run" / "report.html").exists()
    rows = list(store.read_rows(tmp_path / "run" / store.RECORDS))
    rows = [row for row in rows if row["skipped_for"] != "emulated"]
    assert all(row["control"] == "control-1" and row["control_rtfx"] > 0 for row in rows), rows[0]["control_note"]
    assert len(list(store.read_rows(tmp_path / "run" / store.CONTROL))) == 2


def test_the_quick_start_is_short_and_the_docs_say_so() -> None:
    """It has ten cells; its page of results has those and no others, and the page on comparing counts them."""
    suite = config.load(quickstart_suite())
    assert len(plan(suite)) == 10
    docs = Path(__file__).parents[1] / "docs" / "explanation"
    results = (docs / "quickstart-results.md").read_text()
    table = results.partition("<!-- generated: quickstart -->")[2].partition("<!-- end -->")[0]
    assert re.findall(r"^wav2vec2/\S+", table, flags=re.M) == [variant.name for variant in suite.variants]
    assert "the 10 cells of a quick start" in (docs / "comparing.md").read_text()


def test_the_teacher_is_small_and_deep() -> None:
    """The teacher is a wav2vec 2.0 CTC model of 12 layers, at most 20 MB on the disk."""
    config = json.loads((TEACHER / "config.json").read_text())
    assert config["architectures"] == ["Wav2Vec2ForCTC"]
    assert config["num_hidden_layers"] == 12
    assert sum(file.stat().st_size for file in TEACHER.iterdir()) <= 20e6


def heard(transcriber: Any) -> dict[str, tuple[int, ...]]:
    """Words and errors by kind of each voice, and of seen and unseen voices, at float32 and batch size 1."""
    seen = {clip.speaker for clip in Quickstart("seen")()}
    slices: dict[str, list[text_wer.Counts]] = {}
    for chunk in Corpus(Quickstart()).chunks():
        for utterance in chunk:
            (counts,) = text_wer.score([utterance.reference], transcriber([utterance.audio]), str).words
            for name in (str(utterance.speaker), "seen voices" if utterance.speaker in seen else "unseen voices"):
                slices.setdefault(name, []).append(counts)
    totals = {name: text_wer.total(counts) for name, counts in slices.items()}
    return {name: (c.n, c.substitutions, c.deletions, c.insertions) for name, c in totals.items()}


@pytest.mark.parametrize("folder", [TEACHER, *STUDENTS], ids=lambda folder: folder.name)
def test_each_model_is_as_good_as_its_card_says(folder: Path, teacher: Any) -> None:
    """On the bundled speech the error counts of every voice and slice are those that ship beside the model."""
    said = json.loads((folder / "scores.json").read_text())
    keys = ("words", "substitutions", "deletions", "insertions")
    student = VariantEntry(use=f"wav2vec2/{folder.name}")
    measured = heard(teacher if folder == TEACHER else build_variant(student).load("cpu"))
    assert measured == {name: tuple(said[name][key] for key in keys) for name in measured}
    assert len(measured) >= 8


def test_the_students_are_small_and_say_where_they_come_from() -> None:
    """Together they take at most 10 MB, and descend from the teacher by steps that their lineage names."""
    assert sum(file.stat().st_size for folder in STUDENTS for file in folder.iterdir()) <= 10e6
    for folder, layers in zip(STUDENTS, (2, 6), strict=True):
        variant = build_variant(VariantEntry(use=f"wav2vec2/{folder.name}"))
        assert (variant.parent, variant.steps) == ("wav2vec2/quickstart", ("layer-drop", "distill"))
        assert json.loads((folder / "config.json").read_text())["num_hidden_layers"] == layers
        assert variant.info.training_energy_method == "estimated"


def test_the_students_card_shows_their_scores() -> None:
    """Every rate in the table of the students' card is the one in their scores.json, or the teacher's."""
    lines = (QUICKSTART / "students" / "README.md").read_text().splitlines()
    for folder in (TEACHER, *STUDENTS):
        said = json.loads((folder / "scores.json").read_text())
        (line,) = [line for line in lines if line.startswith(f"| {folder.name} ")]
        for name in ("seen voices", "unseen voices", "AN4 test"):
            low, wer, high = (f"{100 * said[name][key]:.1f}" for key in ("wer_ci_low", "wer", "wer_ci_high"))
            assert f"{wer} [{low}, {high}]" in line, line


def test_the_card_shows_the_scores_that_ship() -> None:
    """Every rate in the card's table is the one in scores.json."""
    card = (TEACHER / "README.md").read_text()
    for name, score in json.loads((TEACHER / "scores.json").read_text()).items():
        (line,) = [line for line in card.splitlines() if line.startswith(f"| {name} ")]
        assert f"{100 * score['wer']:.1f}" in line, line


def test_the_docs_quote_the_card() -> None:
    """The two rates that the documentation gives for the teacher are those that ship beside it."""
    said = json.loads((TEACHER / "scores.json").read_text())
    page = (Path(__file__).parents[1] / "docs" / "explanation" / "quickstart-results.md").read_text()
    seen, unseen = (f"{100 * said[name]['wer']:.1f} %" for name in ("seen voices", "unseen voices"))
    assert f"knows its WER is {seen}, on the new ones {unseen}" in page
