"""What a paper takes from the results: a table in LaTeX or Markdown, and figures where there is a browser."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from greenbench.analysis import summary
from greenbench.analysis.summary import ENERGY
from greenbench.errors import InputError, StoreError
from greenbench.report import snapshots, tables

Rows = Callable[..., pd.DataFrame]


def table(rows: pd.DataFrame, path: Path) -> str:
    return tables.write(summary.summary(rows), path).read_text(encoding="utf-8")


def test_markdown_has_intervals_and_marks(rows: Rows, tmp_path: Path, estimate: Any) -> None:
    """WER has its interval, an estimate a star, a flagged cell a dagger, and the notes say what they mean."""
    given = rows(
        {"variant": "a|b", "wer": 0.1, "wer_ci_low": 0.08, "wer_ci_high": 0.12, ENERGY: 2.0, **estimate},
        {"variant": "c", "wer": 0.2, "flags": ("short-window",)},
        {"variant": "failed", "status": "error", "repeat": None},
    )
    text = table(given, tmp_path / "t.md")
    lines = text.splitlines()
    assert lines[0] == "| variant | WER (%) | energy per audio second (J) |"
    assert lines[2] == r"| a\|b | 10.00 \[8.00, 12.00\] | 2.00 \* |"
    assert lines[3] == "| c † | 20.00 | – |"
    assert "failed" not in text
    assert "data set: d" in text
    assert "†: carries a flag, not ranked" in text


def test_latex_escapes_what_it_would_obey(rows: Rows, tmp_path: Path) -> None:
    """A name cannot break the table or run a command, and what differs between cells gets a column."""
    text = table(rows({"variant": r"a_b\input{x}", "wer": 0.1}, {"dataset": "e&f", "wer": 0.2}), tmp_path / "t.tex")
    assert r"a\_b\textbackslash{}input\{x\} & d & 10.00 \\" in text
    assert r"a & e\&f & 20.00 \\" in text
    assert r"\begin{tabular}{llr}" in text


def test_another_ending_is_refused(rows: Rows, tmp_path: Path) -> None:
    """The message names the two that are known."""
    with pytest.raises(InputError, match=r"t\.docx: the file must end in \.tex or \.md"):
        tables.write(summary.summary(rows({"wer": 0.1})), tmp_path / "t.docx")


def test_no_browser_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Chromium the message says what is missing and what to do."""
    monkeypatch.setattr(snapshots, "BROWSERS", ("no-such-browser",))
    with pytest.raises(InputError, match="needs Chromium or Chrome"):
        snapshots.write(tmp_path / "page.html", tmp_path)


def test_a_browser_that_draws_nothing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is not a figure is no success."""
    monkeypatch.setattr(snapshots, "BROWSERS", ("true",))
    with pytest.raises(StoreError, match="drew no figures"):
        snapshots.write(tmp_path / "page.html", tmp_path)
