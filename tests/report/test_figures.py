"""The charts: what is drawn, where, and how people read the numbers."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from greenbench.report import figures, frames
from greenbench.report.frames import ENERGY

Rows = Callable[..., pd.DataFrame]


def lines_of(rows: pd.DataFrame) -> pd.DataFrame:
    (setting,) = frames.settings(frames.summary(rows))
    return setting.lines


def draw(make: Callable[..., Any], rows: pd.DataFrame, metric: str) -> Any:
    return make(*_arguments(make, lines_of(rows), metric))


def _arguments(make: Callable[..., Any], lines: pd.DataFrame, metric: str) -> tuple[Any, ...]:
    return lines, metric, figures.looks(lines["variant"])


def test_every_variant_has_its_own_look() -> None:
    """Seventy variants differ in colour or symbol, and the first seven in both."""
    given = figures.looks([f"v{i}" for i in range(70)])
    assert len({(look.colour, look.symbol) for look in given.values()}) == 70
    first = list(given.values())[:7]
    assert len({look.colour for look in first}) == len({look.symbol for look in first}) == 7


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("wer", 0.0342, "3.42 %"),
        ("rtfx", 14.0, "14.0 x real time"),
        ("peak_rss_bytes", 1_500_000_000, "1,500 MB"),
        ("load_s", 0.01234, "0.0123 s"),
        (ENERGY, None, "– J"),
    ],
)
def test_numbers_are_written_with_the_unit_they_are_shown_in(metric: str, value: float | None, text: str) -> None:
    """A number for people is scaled to its unit; a missing one is a dash and not a 0."""
    assert figures.quantity(metric, value) == text


def test_tradeoff_shows_intervals_and_spread(rows: Rows) -> None:
    """WER carries its bootstrap interval, RTFx its least and most, both as distances from the mark."""
    wer = {"wer": 0.10, "wer_ci_low": 0.08, "wer_ci_high": 0.13}
    figure = draw(figures.tradeoff, rows(*({**wer, "rtfx": x, "repeat": i} for i, x in enumerate((1, 2, 5)))), "rtfx")
    point = figure.data[-1]
    assert (point.x[0], point.y[0]) == (2.0, pytest.approx(10.0))
    assert (point.error_x.arrayminus[0], point.error_x.array[0]) == (1.0, 3.0)
    assert (point.error_y.arrayminus[0], point.error_y.array[0]) == (pytest.approx(2.0), pytest.approx(3.0))


@pytest.mark.parametrize(("fastest", "kind"), [(19.0, None), (20.0, "log")])
def test_rtfx_is_logarithmic_over_a_decade(rows: Rows, fastest: float, kind: str | None) -> None:
    """Models of about one speed share a linear axis from 0; speeds a decade apart get a logarithmic one."""
    slow, fast = {"variant": "a", "wer": 0.1, "rtfx": 2.0}, {"variant": "b", "wer": 0.1, "rtfx": fastest}
    assert draw(figures.tradeoff, rows(slow, fast), "rtfx").layout.xaxis.type == kind


def test_estimates_are_hollow_and_the_axis_says_so(rows: Rows, measured: Any, estimate: Any) -> None:
    """An estimated energy has an open mark and a front of its own; without any, the axis does not mention it."""
    both = [{"wer": 0.1, ENERGY: 5.0, **measured}, {"variant": "b", "wer": 0.2, ENERGY: 1.0, **estimate}]
    figure = draw(figures.tradeoff, rows(*both), ENERGY)
    marks = {t.name: t.marker.symbol for t in figure.data if t.mode == "markers"}
    assert marks == {"a": "circle", "b": "square-open"}
    assert "estimated" in figure.layout.xaxis.title.text
    assert [len(t.x) for t in figure.data if t.mode == "lines"] == [1, 1]
    assert "estimated" not in draw(figures.tradeoff, rows(both[0]), ENERGY).layout.xaxis.title.text


def test_flagged_points_are_faint_and_off_the_front(rows: Rows) -> None:
    """A flagged line is drawn faintly, and the front does not pass through it."""
    best = {"variant": "b", "wer": 0.01, "rtfx": 9.0, "flags": ("short-window",)}
    figure = draw(figures.tradeoff, rows({"wer": 0.1, "rtfx": 2.0}, best), "rtfx")
    (front,) = [t for t in figure.data if t.mode == "lines"]
    assert list(front.x) == [2.0]
    assert {t.name: t.opacity for t in figure.data if t.mode == "markers"} == {"a": 1, "b": 0.4}


def test_front_steps_never_promise_an_unmeasured_point(rows: Rows) -> None:
    """Between two front points the line keeps to the worse WER: to the right for cost, to the left for speed."""
    ends = [
        {"wer": 0.1, "rtfx": 2.0, ENERGY: 5.0},
        {"variant": "b", "wer": 0.2, "rtfx": 9.0, ENERGY: 1.0},
    ]
    shapes = {x: draw(figures.tradeoff, rows(*ends), x).data[0].line.shape for x in ("rtfx", ENERGY)}
    assert shapes == {"rtfx": "vh", ENERGY: "hv"}


def test_bars_show_every_repeat(rows: Rows) -> None:
    """The bar is the median and every repeat is a mark on it."""
    figure = draw(figures.bars, rows(*({"rtfx": x, "repeat": i} for i, x in enumerate((1.0, 2.0, 6.0)))), "rtfx")
    assert list(figure.data[0].x) == [2.0]
    assert list(figure.data[1].x) == [1.0, 2.0, 6.0]


def test_bars_leave_out_what_was_not_measured(rows: Rows) -> None:
    """A line without the metric has no bar, rather than one of height 0."""
    figure = draw(figures.bars, rows({"rtfx": 1.0}, {"variant": "b"}), "rtfx")
    assert [t.type for t in figure.data] == ["bar", "scatter"]


def test_names_are_escaped_in_every_label(rows: Rows) -> None:
    """Plotly reads markup in text, so a variant's name reaches it escaped everywhere."""
    name = '<a href="javascript:alert(1)">%{x}</a>'
    frame = rows({"variant": name, "wer": 0.1, "rtfx": 2.0})
    for figure in (draw(figures.tradeoff, frame, "rtfx"), draw(figures.bars, frame, "wer")):
        text = figure.to_json().replace("\\u003c", "<")
        assert "<a " not in text
        assert "hovertemplate" not in text
