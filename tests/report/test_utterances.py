"""What the texts say: latencies in few numbers, errors by group, the worst utterances word by word."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenbench.analysis import summary
from greenbench.report import content
from greenbench.report import utterances as report_utterances
from greenbench.text import scorers

SAID = ["one two three", "four five", "six seven eight nine", "ten"]


@pytest.fixture
def cells(written: Callable[..., Path]) -> Callable[..., list[report_utterances.CellTexts]]:
    """Two variants that heard given texts of ``SAID``, by two speakers, with rows that agree."""

    def build(a: list[str], b: list[str], said: list[str] = SAID, **changes: Any) -> list[report_utterances.CellTexts]:
        how = scorers.create("none")
        rows, texts = [], []
        for variant, written_down in (("a", a), ("b", b)):
            pairs = [(r, h, f"s{i % 2}") for i, (r, h) in enumerate(zip(said, written_down, strict=True))]
            metrics = {k: v for k, v in scorers.accuracy(pairs, how)[0].items() if v is not None}
            origin = {"normalizer": how.normalizer, "scorer": how.scorer}
            rows.append({**metrics, **origin, "variant": variant, **changes})
            texts += [{"variant": variant, "utterance_id": f"u{i}", "speaker": s, "audio_s": 1.0 + i, "reference": r,
                       "hypothesis": h, "latency_s": (i + 1) / 10} for i, (r, h, s) in enumerate(pairs)]  # fmt: skip
        found = content.load([written(*rows, texts=tuple(texts))])
        return report_utterances.cell_texts(summary.summary(found.rows), found.texts, found.counted)

    return build


def test_errors_are_counted_by_speaker_and_by_length(cells: Callable[..., list[report_utterances.CellTexts]]) -> None:
    """Each group has its errors, words and utterances, and the groups of a line add up to its whole."""
    found = report_utterances.groups(cells(SAID, ["one two", "four five", "six seven", "ten"]))
    assert found["speaker"][1] == [["s0", 3, 7, 2], ["s1", 0, 3, 2]]
    lengths = [[name.split(",")[0], *counts] for name, *counts in found["length"][1]]
    assert lengths == [
        ["longest quarter", 0, 1, 1], ["second quarter", 0, 2, 1],
        ["shortest quarter", 1, 3, 1], ["third quarter", 2, 4, 1],
    ]  # fmt: skip


def test_latencies_become_few_percentiles(cells: Callable[..., list[report_utterances.CellTexts]]) -> None:
    """However many utterances there are, a line has as many numbers as there are shares, from least to most."""
    found = report_utterances.latencies(cells(SAID, SAID))
    assert found[0][0] == 0.1
    assert found[0][report_utterances.SHARES.index(50)] == 0.25
    assert found[0][-1] == 0.4
    assert len(found[1]) == len(report_utterances.SHARES)


def test_the_worst_utterance_comes_first_word_by_word(cells: Callable[..., list[report_utterances.CellTexts]]) -> None:
    """Errors are summed over the variants; equal texts are shown once, with the names of all that wrote them."""
    ((dataset, normalised, utterances),) = report_utterances.worst(
        cells(["one two", *SAID[1:]], ["one two", SAID[1], "six", "ten"])
    )
    assert (dataset, normalised) == ("d", True)
    assert [(said.id, said.n_errors) for said in utterances] == [("u2", 3), ("u0", 2)]
    (both,) = utterances[1].hypotheses
    assert both.variants == ("a", "b")
    assert [(step.kind, step.reference) for step in both.steps] == [
        ("correct", "one"), ("correct", "two"), ("deletion", "three")
    ]  # fmt: skip


JAPANESE = ["今日は 雨です", "四つ 五つ"]


@pytest.mark.parametrize(
    ("said", "heard", "changes", "n_errors", "unit"),
    [
        (["one two"], ["one too"], {"primary": "cer"}, 1, "character"),
        (JAPANESE, ["今日は 雪です", JAPANESE[1]], {"primary": "cer"}, 1, "character"),
        (JAPANESE, ["今日は 雪です", JAPANESE[1]], {"primary": "cer", "scorer": "from-tomorrow@1"}, 1, "character"),
        (JAPANESE, ["今日は 雪です", JAPANESE[1]], {}, 1, "word"),
    ],
)
def test_where_characters_decide_they_are_shown(
    cells: Callable[..., list[report_utterances.CellTexts]],
    said: list[str],
    heard: list[str],
    changes: dict[str, Any],
    n_errors: int,
    unit: str,
) -> None:
    """The one character that differs is marked, as CER counts it; so it is where no spaces are written."""
    ((_, _, (worst,)),) = report_utterances.worst(cells(heard, said, said, **changes))
    (wrong,) = (text for text in worst.hypotheses if text.variants == ("a",))
    edits = [(step.reference, step.hypothesis) for step in wrong.steps if step.kind != "correct"]
    assert edits == [("雨", "雪") if said is JAPANESE else ("w", "o")]
    assert (worst.n_errors, worst.unit, wrong.between) == (n_errors, unit, "")
    assert "".join(step.hypothesis or "" for step in wrong.steps) == heard[0].replace(
        " ", "" if said is JAPANESE else " "
    )


def test_texts_that_cannot_be_counted_are_shown_as_written(
    cells: Callable[..., list[report_utterances.CellTexts]],
) -> None:
    """Without its scorer a cell has no groups, and its words are compared as they stand."""
    found = cells(["One two", *SAID[1:]], SAID, scorer="from-tomorrow@1")
    assert report_utterances.groups(found) == {}
    ((_, normalised, utterances),) = report_utterances.worst(found)
    assert not normalised
    assert [said.id for said in utterances] == ["u0"]
