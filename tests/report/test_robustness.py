"""The page's table of error rates where speech is made worse."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from greenbench.analysis import summary
from greenbench.report import robustness


def cell(variant: str, wer: float, done: str | None = None, name: str = "d[:9]", **more: Any) -> dict[str, Any]:
    dataset = name.replace("[", f"({done})[") if done else name
    return {"variant": variant, "dataset": dataset, "corruption": done, "wer": wer, "cer": wer / 2, **more}


def tables(rows: Callable[..., pd.DataFrame], *cells: dict[str, Any]) -> list[tuple[str, list[dict[str, str]]]]:
    return robustness.tables(summary.summary(rows(*cells)))


def test_a_build_has_its_rate_under_each_condition(rows: Callable[..., pd.DataFrame]) -> None:
    """Clean speech comes first, then the conditions as measured; beside each rate is what it lost, in points."""
    ((name, lines),) = tables(
        rows,
        cell("a", 0.2, "pink=10dB", wer_ci_low=0.15, wer_ci_high=0.25), cell("a", 0.1), cell("a", 0.4, "telephone"),
        cell("b", 0.3), cell("b", 0.25, "pink=10dB"),
    )  # fmt: skip
    assert name == "d[:9]"
    assert lines == [
        {"variant": "a", "clean": "10.00", "pink=10dB": "20.00 [15.0, 25.0] +10.00", "telephone": "40.00 +30.00"},
        {"variant": "b", "clean": "30.00", "pink=10dB": "25.00 -5.00", "telephone": "–"},
    ]


def test_without_clean_speech_nothing_is_lost(rows: Callable[..., pd.DataFrame]) -> None:
    """Two conditions are a table; there is nothing that the rates could be above."""
    ((_, (line,)),) = tables(rows, cell("a", 0.2, "white=5dB"), cell("a", 0.1, "white=20dB"))
    assert line == {"variant": "a", "white=5dB": "20.00", "white=20dB": "10.00"}


def test_one_condition_is_no_table(rows: Callable[..., pd.DataFrame]) -> None:
    """Nor are two data sets of one, a cell that failed, or one without an error rate."""
    lone = cell("a", 0.1), cell("a", 0.2, name="e[:9]"), cell("a", 0.3, "white=5dB", "f[:9]")
    failed = cell("a", 0.2, "telephone") | {"status": "failed", "reason": "x"}
    unknown = cell("a", 0.2, "telephone") | {"wer": None, "cer": None, "variant": "b"}
    assert tables(rows, *lone, failed, unknown) == []


def test_the_rate_is_that_by_which_the_data_set_is_judged(rows: Callable[..., pd.DataFrame]) -> None:
    """Where words are not written apart it is that of characters."""
    ((_, (line,)),) = tables(
        rows, *(cell("a", wer, done, primary="cer") for wer, done in ((0.2, None), (0.6, "pink=5dB")))
    )
    assert line == {"variant": "a", "clean": "10.00", "pink=5dB": "30.00 +20.00"}
