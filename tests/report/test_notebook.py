"""A run in a notebook: the summary, the chart of the trade-off, and the page in a frame; all escaped."""

import html
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import greenbench
from greenbench.errors import InputError, StoreError
from greenbench.report import notebook
from greenbench.report.notebook import Rows, as_html, show
from greenbench.results import frames

EVIL = "</svg><script>alert(1)</script>"


@pytest.fixture
def rows(sound_run_in: Any, tmp_path: Path) -> pd.DataFrame:
    """Two variants on one data set, with energy."""
    return frames.load(sound_run_in(tmp_path / "run", *CELLS))


CELLS = (
    {"variant": "big", "n_wrong": 1, "rounds": [{"wall_s": 4.0, "energy_cpu_j": 40.0}]},
    {"variant": EVIL, "n_wrong": 2, "rounds": [{"wall_s": 2.0, "energy_cpu_j": 10.0}]},
)


class Seen(HTMLParser):
    """What a browser would make of it: tags and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append(dict(attrs))


def test_the_summary_is_the_terminals_and_the_chart_has_its_points(rows: pd.DataFrame) -> None:
    """Each variant is a line and a point; the cheaper one is to the left of the other, the better one below."""
    shown = as_html(rows)
    seen = Seen(shown)
    assert (seen.tags.count("tr"), seen.tags.count("svg"), seen.tags.count("circle")) == (3, 1, 2)
    svg = ET.fromstring(re.search(r"<svg.*</svg>", shown, re.DOTALL).group())  # type: ignore[union-attr]
    points = [point for point in svg.iter() if point.tag.endswith("circle")]
    (big_x, big_y), (small_x, small_y) = [(float(p.get("cx", 0)), float(p.get("cy", 0))) for p in points]
    assert small_x < big_x
    assert small_y < big_y, "pixels count from above: more errors are higher up"


def test_nothing_in_it_is_loaded_or_run(rows: pd.DataFrame) -> None:
    """No script, no address, whatever a variant is called."""
    shown = as_html(rows)
    seen = Seen(shown)
    assert "script" not in seen.tags
    assert not [a for a in seen.attributes if {"src", "href", "onload", "onerror"} & set(a)]
    assert html.escape(EVIL, quote=False) in shown.replace("&#34;", '"')


def test_rows_stay_a_frame(rows: pd.DataFrame) -> None:
    """Columns, selections and copies are what pandas makes of them; only the whole is shown as a summary."""
    found = Rows(rows)
    found.attrs["folder"] = "results/mine"
    assert isinstance(found, pd.DataFrame)
    pd.testing.assert_frame_equal(pd.DataFrame(found), rows)
    assert type(found[found["variant"] == "big"]) is pd.DataFrame
    shown = found._repr_html_()
    assert shown is not None
    assert "<code>results/mine</code>" in shown
    assert "<svg" in shown


def test_rows_that_have_nothing_to_draw_are_a_table(rows: pd.DataFrame) -> None:
    """One cell has no trade-off; no row at all is pandas' own affair."""
    assert "<svg" not in as_html(rows[rows["variant"] == "big"])
    assert Rows(rows[:0])._repr_html_() is not None


@pytest.mark.parametrize("values", [[0.0, 1.0], [3.0, 3.0], [0.0, 0.0], [1e-9, 2e-9], [11.2, 97.3], [-1.0, 1.0], [5.0]])
def test_ticks_enclose_the_values(values: list[float]) -> None:
    """They are round, evenly spaced, and few."""
    ticks = notebook._axis(pd.Series(values))
    assert ticks[0] <= min(values)
    assert ticks[-1] >= max(values)
    assert 2 <= len(ticks) <= 9
    steps = {round((b - a) / (ticks[1] - ticks[0]), 6) for a, b in pairwise(ticks)}
    assert steps == {1.0}


def test_a_run_of_python_is_shown(suite_data: dict, tmp_path: Path) -> None:
    """What `greenbench.run` returns has the summary, and its folder is shown as a page in a frame."""
    found = greenbench.run({**suite_data, "variants": ["null/instant"]}, out=tmp_path / "run", limit=1)
    assert "null/instant" in found._repr_html_()
    page = show(tmp_path / "run", height=300)
    (frame,) = Seen(page._repr_html_()).attributes
    assert frame["srcdoc"] == page.html
    assert page.html.lower().startswith("<!doctype html>")
    assert frame["sandbox"] == "allow-scripts allow-popups"
    assert len(repr(page)) < 100


def test_show_refuses_what_is_no_run(tmp_path: Path) -> None:
    """In one line."""
    with pytest.raises(StoreError):
        show(tmp_path / "nothing")
    with pytest.raises(InputError, match="show: a folder"):
        show(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="show: height"):
        show(tmp_path, height=0)
