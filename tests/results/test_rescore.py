"""Rescoring: what a run heard is scored anew from its texts, and what was measured stays untouched."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from greenbench.errors import InputError, StoreError
from greenbench.harness.runner import Options, run
from greenbench.metrics import ACCURACY
from greenbench.report import scores
from greenbench.report.pages import write_page
from greenbench.results import frames, store
from greenbench.results.record import KEYS, Record, to_row
from greenbench.results.rescore import amend, rescore
from greenbench.results.runfiles import SCORED
from greenbench.suite import config
from greenbench.text import scorers
from greenbench.validate import problems

KEY = {
    "run_id": "r",
    "variant": "v",
    "dataset": "d",
    "device": "cpu",
    "scenario": "offline",
    "batch_size": 8,
    "round": 0,
}
HEARD = {"u1": ("EVERY ONE KNOWS", "everyone knows"), "u2": ("A B", "a c")}


def make(folder: Path, repeats: int = 2, status: str = "ok", **provenance) -> Path:
    """Write a run in which the repeats heard the same."""
    store.write_run(folder, {"run_id": "r"})
    keys = [{**KEY, "repeat": n} for n in range(repeats)]
    own = {"normalizer": "librispeech@2", "scorer": "words@jiwer", **provenance}
    metrics = {"wer": 0.5} if status == "ok" else {}
    store.append(folder, [to_row(Record(key, status, metrics=metrics, provenance=own)) for key in keys])
    heard = [
        {**key, "utterance_id": i, "speaker": None, "reference": r, "hypothesis": h, "audio_s": 1.0, "latency_s": None}
        for key in keys for i, (r, h) in HEARD.items()
    ]  # fmt: skip
    store.append(folder, heard, store.HYPOTHESES)
    return folder


def test_texts_are_scored_anew_and_rows_stay(tmp_path: Path) -> None:
    """Each measured row gets its counts under each scoring; the rows' file does not change by a byte."""
    folder = make(tmp_path / "run")
    before = (folder / store.RECORDS).read_bytes()
    assert rescore(tmp_path, ["none", "whisper-english+compound"]) == 2
    found = frames.load_scores(tmp_path)
    assert (folder / store.RECORDS).read_bytes() == before
    assert len(found) == 4
    assert set(found.columns) == {*KEYS, "normalizer", "scorer", "non_english_pct", *SCORED, *ACCURACY}
    by_scorer = found.groupby(["normalizer", "scorer"], sort=False)["wer"].first()
    assert by_scorer.tolist() == [1.0, 1 / 5]
    assert [name.partition("@")[0] for _, name in by_scorer.index] == ["words", "compound"]


def test_scoring_again_adds_nothing(tmp_path: Path) -> None:
    """What is known already is not written a second time; texts that have changed are."""
    folder = make(tmp_path / "run", repeats=1)
    rescore(folder, ["librispeech"])
    before = (folder / store.SCORES).read_bytes()
    rescore(folder, ["librispeech"])
    assert (folder / store.SCORES).read_bytes() == before
    again = {**KEY, "repeat": 0, "utterance_id": "u2", "speaker": None, "reference": "A B", "hypothesis": "a b"}
    store.append(folder, [again], store.HYPOTHESES)
    rescore(folder, ["librispeech"])
    assert frames.load_scores(folder)["n_word_substitutions"].tolist() == [1.0]


def test_random_weights_and_failures_have_no_score(tmp_path: Path) -> None:
    """A row without an accuracy gets none by rescoring, and a folder of such rows says so."""
    make(tmp_path / "random", synthetic=True)
    make(tmp_path / "failed", status="error")
    with pytest.raises(StoreError, match="no measured row has its texts"):
        rescore(tmp_path, ["none"])
    assert frames.load_scores(tmp_path).empty


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    """A folder without runs and an unknown normaliser are told apart."""
    with pytest.raises(StoreError, match="no runs here"):
        rescore(tmp_path, ["none"])
    make(tmp_path)
    with pytest.raises(InputError, match="unknown normalizer 'librispech'. Did you mean 'librispeech'"):
        rescore(tmp_path, ["none", "librispech"])


def test_scorers_stand_side_by_side(tmp_path: Path) -> None:
    """A line a cell, a column a scoring, the rows' own first; a score whose row is gone is left out."""
    folder = make(tmp_path / "run")
    rescore(folder, ["librispeech+compound", "none"])
    (line,) = scores.table(frames.load(folder), frames.load_scores(folder))
    assert list(line) == ["variant", "dataset", "scenario", "librispeech", "librispeech+compound", "none"]
    assert line["librispeech"] == "50.00"
    assert line["librispeech+compound"].startswith("20.00 [")
    store.append(folder, [to_row(Record({**KEY, "repeat": None}, "error", "it broke"))])
    (folder / store.RECORDS).write_text((folder / store.RECORDS).read_text().splitlines()[0] + "\n")
    figures = scores.figures(frames.load(folder), frames.load_scores(folder))
    assert figures["wer"].tolist() == [0.5, 0.2, 1.0]


def test_a_run_scores_as_asked_for(suite_data: dict, tmp_path: Path) -> None:
    """`also_score` writes the further scores at the end of a run, shows them on the page, and may change on resume."""
    loaded = config.load({**suite_data, "also_score": ["librispeech", "none+compound"]})
    run(loaded, Options(out=tmp_path / "run", page=write_page))
    found = frames.load_scores(tmp_path / "run")
    ids = zip(found["normalizer"], found["scorer"], strict=True)
    assert {scorers.name_of(*pair) for pair in ids} == {"librispeech", "none+compound"}
    assert len(found) == 4
    assert "WER under other scorers" in (tmp_path / "run" / "report.html").read_text()
    run(loaded.model_copy(update={"also_score": []}), Options(out=tmp_path / "run", resume=True))
    run(loaded.model_copy(update={"also_score": ["none"]}), Options(out=tmp_path / "run", resume=True))
    assert len(frames.load_scores(tmp_path / "run")) == 6


def test_rows_of_an_earlier_version_are_amended(sound_run: Callable[..., Path]) -> None:
    """Rows whose normaliser and interval were an earlier version's get those of the present one, as if measured now."""
    folder = sound_run("r1", {"variant": "a", "rounds": [{"wall_s": 1.0}], "n_wrong": 2})
    amend(folder)
    rescore(folder, ["librispeech"])
    (row,), (line,) = store.read_rows(folder / store.RECORDS), store.read_rows(folder / store.SCORES)
    earlier = {"wer": 0.9, "wer_ci_unit": "utterance", "wer_ci_low": 0.8, "n_ref_words": 1}
    flags = {"flags": ["short-window", "few-speakers"], "flag_notes": ["as it was", "3 speakers"]}
    write(folder / store.RECORDS, row | earlier | flags | {"normalizer": "none@0"})
    write(folder / store.SCORES, line | earlier | {"normalizer": "librispeech@0"})
    assert amend(folder) == 1
    assert [*store.read_rows(folder / store.SCORES)] == [line]
    assert [*store.read_rows(folder / store.RECORDS)] == [
        row | {"flags": ["short-window", *row["flags"]], "flag_notes": ["as it was", *row["flag_notes"]]}
    ]
    assert amend(folder) == 0


@pytest.mark.parametrize("char", ["\u00ad", "\ufeff", "\u200b"])
def test_a_row_that_counted_invisible_characters_is_found_and_amended(
    sound_run: Callable[..., Path], char: str
) -> None:
    """It keeps its normaliser's name: its texts no longer give its counts, which says what to do; others stand."""
    folder = sound_run("r1", {"variant": "a", "rounds": [{"wall_s": 1.0 + n / 100} for n in range(3)], "n_wrong": 2})
    amend(folder)
    texts = [*store.read_rows(folder / store.HYPOTHESES)]
    for text in texts:
        if text["round"] == 0:
            text["hypothesis"] = text["hypothesis"].replace(" wrongly", f" {char}")
    (folder / store.HYPOTHESES).write_text("".join(json.dumps(text) + "\n" for text in texts))
    told = [problem for problem in problems(folder) if "greenbench rescore --amend" in problem.what]
    assert told
    assert {problem.key[-2] for problem in told if problem.key} == {0}, "rows whose texts hold none stand"
    assert amend(folder) == 1
    assert [row["n_word_insertions"] for row in store.read_rows(folder / store.RECORDS)] == [0, 2, 2]
    assert not [problem for problem in problems(folder) if "counted again" in problem.what]


def write(path: Path, line: dict) -> None:
    """Make a line the whole content of a file."""
    path.write_text(json.dumps(line) + "\n", encoding="utf-8")


def test_what_cannot_be_amended_stays(tmp_path: Path) -> None:
    """A row that names a normaliser which is not installed is refused by name, and the run is not touched."""
    folder = make(tmp_path / "run", normalizer="theirs@1")
    before = (folder / store.RECORDS).read_bytes()
    with pytest.raises(InputError, match="unknown normalizer 'theirs'"):
        amend(tmp_path)
    assert (folder / store.RECORDS).read_bytes() == before
