"""A run in a notebook: its summary with the trade-off drawn below it, and its whole page in a frame."""

import html
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from greenbench.analysis import summary
from greenbench.analysis.summary import ENERGY, Setting
from greenbench.errors import InputError
from greenbench.metrics import ENERGY_UNITS, METRICS, RATES
from greenbench.report import content, pages, terminal
from greenbench.report.data import primary
from greenbench.report.figures import looks, quantity, scale

N_CHARTS = 3
"""Settings that are drawn; the page has the others."""

COSTS = (ENERGY, "rtfx", "model_bytes")
"""What the primary error rate is drawn against: the first of which two cells of a setting have a figure."""

WIDTH, HEIGHT, MARGIN = 480, 260, 44
"""Of a chart, in pixels."""


class Rows(pd.DataFrame):
    """The rows of a run: a pandas frame, which a notebook shows as its summary and its trade-off.

    Whatever is taken from it (a column, a selection) is plain pandas. It is a subclass because a notebook asks an
    object itself how it looks.
    """

    def _repr_html_(self) -> str:
        """Return the summary and the charts as HTML that needs nothing else."""
        return as_html(self) if len(self) else self.to_html()


def as_html(rows: pd.DataFrame) -> str:
    """Return the summary of a run and its error rate against its cost, as HTML with inline SVG and no script.

    Args:
        rows: as ``frames.load`` gives them.
    """
    lines = summary.summary(rows)
    charts = [found for setting in summary.settings(lines) if (found := _chart(setting)) is not None]
    shown = {"title": terminal.title(rows), "lines": terminal.table(rows), "charts": charts[:N_CHARTS]}
    return pages.templates().get_template("notebook.html.jinja").render(**shown, folder=rows.attrs.get("folder"))


# --- the chart -------------------------------------------------------------------------------------------


def _chart(setting: Setting) -> dict[str, Any] | None:
    """Return what the template draws of a setting: axes and points in pixels; None where nothing can be compared."""
    ok, rate = setting.lines, primary(setting.lines)
    cost = next((name for name in COSTS if (ok[name].notna() & ok[rate].notna()).sum() > 1), None)
    if cost is None:
        return None
    known = ok[ok[cost].notna() & ok[rate].notna()]
    x, y = _axis(known[cost] * scale(cost)[0]), _axis(_percent(known, rate, f"{rate}_ci_low", f"{rate}_ci_high"))
    label = METRICS[rate].label
    ranked, look = summary.rankable(known), looks(known["variant"])
    return {
        "label": setting.label,
        "width": WIDTH, "height": HEIGHT, "margin": MARGIN,
        "x": {"title": _title(cost, known), "ticks": [(_across(x, tick), f"{tick:g}") for tick in x]},
        "y": {"title": _title(rate, known), "ticks": [(_up(y, tick), f"{tick:g}") for tick in y]},
        "points": [
            {
                "x": _across(x, line[cost] * scale(cost)[0]), "y": _up(y, line[rate] * scale(rate)[0]),
                "low": _end(y, line[f"{rate}_ci_low"]), "high": _end(y, line[f"{rate}_ci_high"]),
                "colour": look[line["variant"]].colour, "name": line["label"], "is_ranked": bool(is_ranked),
                "summary": f"{line['label']}: {label} {quantity(rate, line[rate])}, {quantity(cost, line[cost])}",
            }
            for (_, line), is_ranked in zip(known.iterrows(), ranked, strict=True)
        ],
    }  # fmt: skip


def _percent(lines: pd.DataFrame, *rates: str) -> "pd.Series[Any]":
    """Return all known values of several rates."""
    known: pd.Series[Any] = pd.concat([lines[name].dropna().astype(float) for name in rates]) * scale(rates[0])[0]
    return known


def _end(ticks: Sequence[float], rate: float | None) -> float | None:
    """Return where an end of an interval of an error rate is; None where it is not known."""
    return None if rate is None or pd.isna(rate) else _up(ticks, rate * scale(RATES[0])[0])


def _title(metric: str, lines: pd.DataFrame) -> str:
    """Name an axis with its unit; energy that is estimated says so."""
    unit = scale(metric)[1]
    is_guess = METRICS[metric].unit in ENERGY_UNITS and summary.estimated(lines).any()
    return f"{METRICS[metric].label}{f' ({unit})' if unit else ''}{', estimated' if is_guess else ''}"


def _axis(values: "pd.Series[Any]") -> Sequence[float]:
    """Return round ticks that enclose all values."""
    low, high = float(values.min()), float(values.max())
    span = (high - low) or abs(high) or 1.0
    step = 10 ** math.floor(math.log10(span))
    step *= next(factor for factor in (0.2, 0.5, 1.0, 2.0) if span / (step * factor) <= 6)
    first = math.floor(low / step)
    return [round(n * step, 12) for n in range(first, max(math.ceil(high / step), first + 1) + 1)]


def _across(ticks: Sequence[float], value: float) -> float:
    return round(MARGIN + (WIDTH - 2 * MARGIN) * (value - ticks[0]) / (ticks[-1] - ticks[0]), 1)


def _up(ticks: Sequence[float], value: float) -> float:
    return round(HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (value - ticks[0]) / (ticks[-1] - ticks[0]), 1)


# --- the page --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Page:
    """The page of one or several runs, shown in a notebook in a frame of its own.

    Attributes:
        html: the page, which needs nothing else.
        height: of the frame, in pixels.
    """

    html: str
    height: int

    def __repr__(self) -> str:
        """Say where the page can be seen; the page itself has megabytes."""
        return f"a page of {len(self.html) / 1e6:.1f} MB, which a notebook shows"

    def _repr_html_(self) -> str:
        """Return a frame that holds the page and nothing of the notebook's."""
        within = f'srcdoc="{html.escape(self.html)}" sandbox="allow-scripts allow-popups"'
        return f'<iframe {within} title="greenbench" style="width: 100%; height: {self.height}px; border: 0"></iframe>'


def show(results: str | os.PathLike[str], height: int = 800) -> Page:
    """Show the page of a run in a notebook; it stays in the notebook, which grows by some megabytes.

    Args:
        results: a run's folder, or a parent of such folders.
        height: of the frame, in pixels.

    Returns:
        An object that a notebook shows as the page.

    Raises:
        InputError: an argument is wrong.
        StoreError: there is no run or no row.
    """
    if not isinstance(results, str | os.PathLike):
        raise InputError(f"show: a folder (str or Path) is expected (got {results!r:.60})")
    if isinstance(height, bool) or not isinstance(height, int) or height < 1:
        raise InputError(f"show: height: pixels of at least 1 are expected (got {height!r:.60})")
    return Page(pages.render(content.load([Path(results)])), height)
