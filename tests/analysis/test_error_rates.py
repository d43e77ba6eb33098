"""How two cells' texts are read, counted and held against each other."""

from collections.abc import Callable
from pathlib import Path

import pytest

from greenbench.analysis import error_rates
from greenbench.analysis.error_rates import RecountError, cell_of, count, first_windows
from greenbench.results import store

FakeRun = Callable[..., Path]


def counted(run: Path) -> error_rates.Counted:
    rows = list(store.read_rows(run / store.RECORDS))
    (texts,) = first_windows(run / store.HYPOTHESES, {cell_of(rows[0])}).values()
    return count(texts, rows)


def test_the_first_window_speaks_whatever_the_order_of_the_file(fake_run: FakeRun, said: list[str]) -> None:
    """A resumed run may write an early round last; of each cell only the texts of its first window are taken."""
    run = fake_run("r", {"rounds": [{"round": 1}, {"round": 0}, {"round": 2}], "heard": said})
    (texts,) = first_windows(run / store.HYPOTHESES, {cell_of(next(store.read_rows(run / store.RECORDS)))}).values()
    assert {row["round"] for row in texts.values()} == {0}
    assert len(texts) == len(said)
    assert first_windows(run / store.HYPOTHESES, set()) == {}


def test_texts_are_counted_by_the_scoring_of_their_row(fake_run: FakeRun, said: list[str]) -> None:
    """Two wrong words count as two; a scoring that is not installed is said to be missing."""
    run = fake_run("r", {"heard": ["this was what", *said[1:]]})
    assert error_rates.rate(counted(run), "wer") == pytest.approx(6 / 320)
    gone = fake_run("s", {"heard": said, "normalizer": "vanished@3"})
    with pytest.raises(RecountError, match=r"its scoring \(vanished@3, words@.*\) is not installed here"):
        counted(gone)


def test_other_utterances_are_refused(fake_run: FakeRun, said: list[str]) -> None:
    """Texts of the same ids with other references are not compared."""
    a, b = counted(fake_run("a", {"heard": said})), counted(fake_run("b", {"heard": said}))
    other = error_rates.Counted(b.ids, b.speakers, ("else", *b.references[1:]), b.hypotheses, b.words, b.chars)
    with pytest.raises(RecountError, match="not the same"):
        error_rates.difference(a, other, "wer")


def test_equal_differences_everywhere_are_no_riddle(fake_run: FakeRun, said: list[str]) -> None:
    """Where each segment differs by one error, MAPSSWE has no deviation to judge by, and Student's t does."""
    a = counted(fake_run("a", {"heard": said}))
    b = counted(fake_run("b", {"heard": [text.replace("said", "sad") if i < 20 else text
                                         for i, text in enumerate(said)]}))  # fmt: skip
    found = error_rates.difference(a, b, "wer")
    assert error_rates.p_value(a, b, found) == found.p < 0.001
    assert error_rates.p_value(a, a, found) == 1
