"""Tables of plain text: they fit the width, break no word and lose none, and a run's notes stand below them."""

from collections import Counter
from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.analysis.summary import summary
from greenbench.report import layout, terminal

Rows = Callable[..., pd.DataFrame]

WORD = st.text(alphabet="abc-/+(=)_.12", min_size=1, max_size=12)
TEXT = st.lists(WORD, max_size=12).map(" ".join)


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, str]]:
    names = draw(st.lists(WORD, min_size=1, max_size=9, unique=True))
    cells = st.lists(TEXT, min_size=len(names), max_size=len(names))
    rows = draw(st.lists(cells, min_size=1, max_size=5))
    return [dict(zip(names, [f"{number}{row[0]}", *row[1:]], strict=True)) for number, row in enumerate(rows)]


@given(tables(), st.sampled_from([40, 80, 120]))
def test_tables_fit_and_keep_every_word(rows: list[dict[str, str]], width: int) -> None:
    """No line is longer than asked, unless a figure or word is; every word of every cell is there, whole."""
    lines = layout.table(rows, width)
    found = Counter(word for line in lines for word in line.split())
    words = Counter(word for row in rows for text in row.values() for word in text.split())
    assert not words - found
    whole = max(len(text) for row in rows for text in [*row, *row.values()] if " " not in text or text[0].isdigit())
    assert max(map(len, lines)) <= max(width, whole + 2 + max(map(len, rows[0])) + 2)


def test_words_of_a_text_column_are_wrapped_and_figures_are_not() -> None:
    """A long text takes several lines beside its name; an interval stays on one."""
    rows = [{"name": "a", "WER %": "19.32 [4.1, 56.0]", "about": "word " * 30}]
    lines = layout.table(rows, 60)
    assert lines[0].split() == ["name", "WER", "%", "about"]
    assert "19.32 [4.1, 56.0]" in lines[1]
    assert len(lines) > 3
    assert max(map(len, lines)) <= 60


def test_long_names_get_a_line_of_their_own_once() -> None:
    """Figures stand below a name that leaves no room beside it; rows that share it say it once."""
    name = "wav2vec2/large-960h+layer-drop(keep=4)+openvino-int8(precision=bf16)"
    figures = dict.fromkeys(("RTFx", "p50 ms", "peak MB", "model MB"), "123.4")
    lines = layout.table([{"variant": name} | figures, {"variant": name} | figures], 80)
    assert lines.count(name) == 1
    assert lines[-2:] == ["  123.4  123.4   123.4    123.4"] * 2


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_run_fits_the_terminal_with_its_notes_below(width: int, rows: Rows, estimate: dict[str, str]) -> None:
    """What all cells share is said once above, notes once below, and no line is wider than the terminal."""
    reason = "RuntimeError: " + "a sentence of what went wrong " * 20
    frame = rows(
        *(
            {"variant": f"wav2vec2/quickstart+layer-drop(keep={n})", "scenario": s, "wer": 0.1932, "wer_ci_low": 0.041,
             "wer_ci_high": 0.56, "rtfx": 205.5, "energy_j_per_audio_s": 0.0611, "peak_rss_bytes": 7e8,
             "flags": ("energy-estimated",), **estimate}
            for n in (6, 4) for s in ("offline", "single-stream")
        ),
        {"variant": "broken", "status": "error", "repeat": None, "reason": reason, "scenario": "offline"},
    )  # fmt: skip
    lines = terminal.shown(frame, width)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("medians over ")
    assert "; d; energy estimated" in text
    assert text.count("energy-estimated: ") == 1
    assert " ".join(text.split()).count("a sentence of what went wrong") == 20
    assert {"0.0611", "700", "205.5", "19.32", "error"} <= set(text.split())
    assert "single-stream" in text


def test_a_note_names_as_few_lines_as_it_can(rows: Rows) -> None:
    """All lines, those that were measured, or all of a variant are named together; of others each by itself."""
    frame = rows(
        {"variant": "a", "scenario": "offline", "flags": ("energy-estimated", "spread")},
        {"variant": "a", "scenario": "single-stream", "flags": ("energy-estimated",)},
        *(
            {"variant": "b", "scenario": s, "status": "skipped", "repeat": None, "reason": "no such arithmetic"}
            for s in ("offline", "single-stream")
        ),
    )
    text = "\n".join(terminal.shown(frame, 100)) + "\n"
    assert "energy-estimated: all that were measured\n" in text
    assert "spread: a offline x" in text
    assert "\nb: no such arithmetic\n" in text


def test_a_run_is_summarised_once_for_all_that_is_shown(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table, what stands over it and the notes below it are of one summary, which takes long to make."""
    made = []
    monkeypatch.setattr(terminal, "summary", lambda frame: made.append(summary(frame)) or made[-1])
    terminal.shown(rows({"variant": "a"}, {"variant": "b"}), 80)
    assert len(made) == 1
