"""The tail of a comparison: one slice for both sides, chosen by the errors of both, tested as the whole is."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from greenbench.analysis import tails
from greenbench.analysis.compare import compare, usual_metrics
from greenbench.analysis.error_rates import Counted, RecountError
from greenbench.analysis.findings import MetricFinding
from greenbench.analysis.selection import select
from greenbench.analysis.thresholds import parse
from greenbench.report import content, differences, slices, terminal, utterances
from greenbench.results import frames, store
from greenbench.text import scorers
from greenbench.text.orthography import OrthographyCounts
from greenbench.text.slices import labels
from greenbench.text.terms import TermCounts
from greenbench.text.wer import Counts

FakeRun = Callable[..., Path]


def state(folder: Path, of: Callable[[int], dict[str, str]]) -> Path:
    """State slices of the utterances of a run, by their number, and let its rows know of them."""
    texts = [{**row, "slices": of(i)} for i, row in enumerate(store.read_rows(folder / store.HYPOTHESES))]
    figures, origin = scorers.accuracy([scorers.text_pair(row) for row in texts], scorers.create("none"))
    rows = [{**row, **figures, **origin} for row in store.read_rows(folder / store.RECORDS)]
    for file, lines in ((store.HYPOTHESES, texts), (store.RECORDS, rows)):
        (folder / file).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def accent(number: int) -> dict[str, str]:
    return {"accent": "welsh" if number < 20 else "english"}


def tail(a: Path, b: Path) -> MetricFinding:
    (pair,) = compare(select(str(a)), select(str(b))).pairs
    (found,) = [f for f in pair.findings if f.metric == "wer_worst_slice"]
    return found


def counted(errors: list[int], stated: list[str]) -> Counted:
    """Utterances of 50 words each with so many errors."""
    names = tuple(map(str, range(len(errors))))
    counts = tuple(Counts(50, n) for n in errors)
    of = tuple(labels({"accent": value}) for value in stated)
    return Counted(names, (None,) * len(errors), names, names, counts, counts, of, (TermCounts(),) * len(errors))


def test_the_slice_is_chosen_by_the_errors_of_both_sides() -> None:
    """Turned round, a comparison is about the same slice: that with most errors of both."""
    stated = ["welsh"] * 4 + ["english"] * 4
    a, b = counted([5, 5, 5, 5, 6, 6, 6, 6], stated), counted([9, 9, 9, 9, 1, 1, 1, 1], stated)
    assert tails.shared_worst(a, b, "wer") == tails.shared_worst(b, a, "wer") == "accent=welsh"
    part = tails.within(a, "accent=english")
    assert (part.ids, [count.edits for count in part.words]) == (("4", "5", "6", "7"), [6, 6, 6, 6])


def test_other_slices_or_none_are_refused() -> None:
    """Slices that differ are not compared, nor where none can be judged; the reason is said."""
    a, b = counted([1] * 4, ["x", "x", "y", "y"]), counted([1] * 4, ["x", "y", "x", "y"])
    with pytest.raises(RecountError, match="the slices of the utterances are not the same"):
        tails.shared_worst(a, b, "wer")
    small = counted([1] * 2, ["x", "y"])
    with pytest.raises(RecountError, match="no slice can be judged: accent=x: 50 reference words"):
        tails.shared_worst(small, small, "cer")


def test_a_tail_that_got_worse_is_found_where_the_whole_hides_it(fake_run: FakeRun, said: list[str]) -> None:
    """Errors move from one half to the other: the whole stays as it is, and its worst slice is worse beyond noise."""
    worse = [text.replace("what number", "x y") if i < 20 else text for i, text in enumerate(said)]
    before = [text.replace("this is", "x y") if i >= 20 else text for i, text in enumerate(said)]
    before = [text.replace("what", "x") if i < 10 else text for i, text in enumerate(before)]
    worse = [text.replace("said", "x") if i < 20 else text for i, text in enumerate(worse)]
    a, b = (state(fake_run(name, {"heard": heard}), accent) for name, heard in (("a", before), ("b", worse)))
    found = tail(a, b)
    assert found.verdict == "worse"
    assert (found.baseline, found.new) == (10 / 160, 60 / 160)
    assert found.n == 20
    assert found.unit.endswith(", in accent=welsh")
    assert "pp" in differences.difference(found)


def test_data_without_slices_is_compared_as_ever(fake_run: FakeRun, said: list[str]) -> None:
    """Where rows have no worst slice the metric is left out without a word."""
    sides = [select(str(fake_run(name, {"heard": said}))) for name in "ab"]
    assert usual_metrics(*sides)[:2] == ("wer", "wer_worst_slice")
    (pair,) = compare(*sides).pairs
    assert "wer_worst_slice" not in {finding.metric for finding in pair.findings}


def test_a_gate_on_the_tail_is_in_percentage_points() -> None:
    """The worst slice has the unit of an error rate."""
    assert parse("wer_worst_slice:+1pp").change == 0.01


def test_the_page_and_the_terminal_say_which_slice_is_worst(fake_run: FakeRun, said: list[str]) -> None:
    """A table a data set with a line a build, folded, and a line on the terminal, both with the interval."""
    heard = [text.replace("this is", "x y") if i < 20 else text for i, text in enumerate(said)]
    run = state(fake_run("a", {"heard": heard, "rounds": [{"rtfx": 2.0, "n_utterances": 40}]}), accent)
    found = content.load([run])
    ((name, (heading, line)),) = slices.tables(utterances.cell_texts(found.lines, found.texts, found.counted))
    assert (name, list(heading.values())) == ("d", ["length of the references", "160", "160"])
    assert list(heading) == ["build", "accent=welsh", "accent=english"]
    assert line["accent=welsh"].startswith("25.00 [")
    assert line["accent=welsh"].endswith("] worst")
    assert line["accent=english"].startswith("0.00 [0.00, ")
    assert any("worst slice accent=welsh, WER 25.00 [" in text for text in terminal.shown(frames.load(run), 200))


def test_a_slice_that_is_the_worst_of_several_builds_takes_one_note(fake_run: FakeRun, said: list[str]) -> None:
    """It names the builds that err least and most in it; one that errs most elsewhere has a note of its own."""
    heard = [text.replace("this is", "x y") if i < 20 else text for i, text in enumerate(said)]
    run = state(
        fake_run("a", {"variant": "one", "heard": heard, "rounds": [{"rtfx": 2.0, "n_utterances": 40}]}), accent
    )
    one = frames.load(run)
    names = [f"wer_worst_slice_ci_{edge}" for edge in ("low", "high")]
    others = [
        one.assign(variant=name, wer_worst_slice=rate, wer_slice=where, **dict.fromkeys(names))
        for name, rate, where in [("two", 0.5, "accent=welsh"), ("three", 0.4, "accent=welsh"), ("four", 0.3, "age=9")]
    ]
    told = [text for text in terminal.shown(pd.concat([one, *others]), 200) if "worst slice" in text]
    assert len(told) == 2
    assert re.fullmatch(r"worst slice accent=welsh, WER from 25\.00 \[.*\] % \(one\) to 50\.00 % \(two\)", told[0])
    assert told[1] == "four: worst slice age=9, WER 30.00 %"


def test_recall_is_compared_on_the_same_occurrences() -> None:
    """8 of 40 occurrences that only the baseline has are 20 points less; other terms are refused."""
    both = counted([0] * 40, ["x"] * 40)
    a = replace(both, terms=(TermCounts(1, 1),) * 40)
    b = replace(both, terms=(TermCounts(1, 0),) * 8 + (TermCounts(1, 1),) * 32)
    found = tails.recall_difference(a, b)
    assert found.value == pytest.approx(-0.2)
    assert found.low < -0.2 < found.high < 0
    back = tails.recall_difference(b, a)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    with pytest.raises(RecountError, match="the terms of the utterances are not the same"):
        tails.recall_difference(a, replace(both, terms=(TermCounts(),) * 40))


def written(run: Path, heard: Callable[[int, str], str]) -> Path:
    """Write the references of a run as sentences, and what each was recognised as, scored with punctuation and case."""
    how, texts = scorers.create("none+punctuation"), list(store.read_rows(run / store.HYPOTHESES))
    texts = [
        {**row, "reference": (said := f"{row['reference'].capitalize()}."), "hypothesis": heard(i, said)}
        for i, row in enumerate(texts)
    ]
    figures, origin = scorers.accuracy([scorers.text_pair(row) for row in texts], how)
    rows = [{**row, **figures, **origin, "scorer": how.scorer} for row in store.read_rows(run / store.RECORDS)]
    for file, lines in ((store.HYPOTHESES, texts), (store.RECORDS, rows)):
        (run / file).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


def test_punctuation_and_case_are_compared_utterance_by_utterance(fake_run: FakeRun, said: list[str]) -> None:
    """Half of the sentences without their full stop and capital: 20 of 40 marks are right, an F1 of 2/3."""
    a = written(fake_run("a", {"heard": said}), lambda _, text: text)
    b = written(fake_run("b", {"heard": said}), lambda i, text: text if i % 2 else text[:-1].lower())
    (pair,) = compare(select(str(a)), select(str(b))).pairs
    found = {finding.metric: finding for finding in pair.findings}
    f1, case = found["punct_f1"], found["case_error_rate"]
    assert (f1.baseline, f1.new) == (1, pytest.approx(2 / 3))
    assert f1.difference == pytest.approx(-1 / 3)
    assert f1.low < -1 / 3 < f1.high < 0
    assert (f1.verdict, case.verdict) == ("worse", "worse")
    assert case.difference == pytest.approx(20 / 280)
    assert "pp" in differences.difference(f1)
    (same,) = compare(select(str(a)), select(str(written(fake_run("c", {"heard": said}), lambda _, text: text)))).pairs
    assert {f.verdict for f in same.findings if f.metric in ("punct_f1", "case_error_rate")} == {"no difference shown"}


def test_the_denominators_of_two_sides_may_differ() -> None:
    """Side b writes marks that are not there: of 40 in the references 40 are right among 60, an F1 of 0.8."""
    both = counted([0] * 40, ["x"] * 40)
    a = replace(both, orthography=(OrthographyCounts(Counts(1), 4, 0),) * 40)
    b = replace(
        both, orthography=(OrthographyCounts(Counts(1, 0, 0, 1), 2, 0), OrthographyCounts(Counts(1), 4, 0)) * 20
    )
    found = tails.orthography_difference(a, b, "punct_f1")
    assert found.value == pytest.approx(-0.2)
    assert found.low < -0.2 < found.high < 0
    assert tails.orthography_difference(a, b, "case_error_rate").value == 0
    with pytest.raises(RecountError, match="the utterances are not the same"):
        tails.orthography_difference(a, replace(b, references=("other",) * 40), "punct_f1")
