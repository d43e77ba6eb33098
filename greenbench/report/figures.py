"""How the numbers look: the unit and digits that people see, and the charts, pure functions of a frame."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from itertools import cycle
from typing import TYPE_CHECKING, Any

import pandas as pd

from greenbench.metrics import ENERGY_UNITS, METRICS
from greenbench.report.frames import (
    ENERGY,
    contests,
    energy_origin,
    estimated,
    interval,
    pareto,
    rankable,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

BARS = (
    "wer", "rtfx", "server_rate_hz", ENERGY, "latency_p50_s", "latency_p90_s", "latency_p95_s", "latency_p99_s",
    "first_utterance_s", "load_s", "padding_pct", "macs_per_audio_s",
    "peak_rss_bytes", "peak_gpu_bytes", "model_bytes", "idle_power_w",
)  # fmt: skip
"""The metrics that get a bar chart, where there is data."""

# Okabe and Ito's colour-blind safe set (https://jfly.uni-koeln.de/color/) less black and yellow, which vanish
# on a dark or a light page, plus a grey. 7 colours and 10 symbols: 70 variants before a pair comes again.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8C8C8C")
_SYMBOLS = (
    "circle", "square", "diamond", "triangle-up", "cross",
    "triangle-down", "x", "pentagon", "star", "hexagon",
)  # fmt: skip
_FAINT = 0.4
_DECADES = [step * 10**power for power in range(-3, 6) for step in (1, 2, 5)]
"""Where a logarithmic axis is marked; left alone, Plotly writes 20 as a small 2."""


@dataclass(frozen=True)
class Look:
    """How a variant is drawn, everywhere on a page."""

    colour: str
    symbol: str


def looks(variants: Iterable[str]) -> dict[str, Look]:
    """Give each variant a colour and a symbol, in the order of first appearance."""
    pairs = zip(dict.fromkeys(variants), cycle(_COLOURS), cycle(_SYMBOLS), strict=False)
    return {variant: Look(colour, symbol) for variant, colour, symbol in pairs}


def scale(metric: str) -> tuple[float, str]:
    """Return what a metric is multiplied by for people, and the unit it then has (1 MB = 1e6 bytes)."""
    if metric.startswith(("wer", "cer")):
        return 100.0, "%"
    if metric == ENERGY:
        return 1.0, "J"
    if metric == "rtfx":
        return 1.0, "x real time"
    if metric == "n_params":
        return 1e-6, "million"
    if metric == "macs_per_audio_s":
        return 1e-9, "billion/s"
    unit = METRICS[metric].unit
    return {"bytes": (1e-6, "MB"), "1": (1.0, "")}.get(unit, (1.0, unit))


def number(metric: str, value: float | None) -> str:
    """Write a value for people without its unit: rates with two decimals, else three significant digits."""
    if value is None or pd.isna(value):
        return "–"
    scaled = value * scale(metric)[0]
    if metric.startswith(("wer", "cer")):
        return f"{scaled:.2f}"
    return f"{scaled:,.0f}" if abs(scaled) >= 1000 else f"{scaled:#.3g}".rstrip(".")


def quantity(metric: str, value: float | None) -> str:
    """Write a value for people with its unit."""
    return f"{number(metric, value)} {scale(metric)[1]}".strip()


def axis_title(metric: str, any_estimated: bool = False) -> str:
    """Name an axis: label, unit, and whether some of its values are estimates."""
    unit = scale(metric)[1]
    title = METRICS[metric].label + (f" ({unit})" if unit else "")
    return title + ("<br>hollow: estimated" if any_estimated and metric == ENERGY else "")


def tradeoff(lines: pd.DataFrame, x: str, look: Mapping[str, Look]) -> "go.Figure":
    """Draw WER against another metric, with the Pareto fronts of the lines that may be ranked.

    Args:
        lines: the lines of one ``Setting``.
        x: name from METRICS.
        look: how each variant is drawn.

    Returns:
        One trace per line: vertical bars are the 95 % interval of WER, horizontal ones least and most over
        repeats; hollow is estimated, faint is not ranked. RTFx over a decade or more has a logarithmic axis.
    """
    known = lines[lines[x].notna() & lines["wer"].notna()]
    guesses = estimated(known) if x == ENERGY else pd.Series(False, index=known.index)
    figure = blank(height=400)
    for contest in contests(known, x):
        figure.add_trace(_front(contest, x))
    for line, hollow, ranked in zip(known.to_dict("records"), guesses, rankable(known), strict=True):
        figure.add_trace(_point(line, x, look[str(line["variant"])], hollow, ranked))
    figure.update_xaxes(title_text=axis_title(x, bool(guesses.any())), nticks=6, **_scaling(known[x], x))
    figure.update_yaxes(title_text=axis_title("wer"), rangemode="tozero", nticks=6)
    figure.update_layout(legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0})
    return figure


def _scaling(values: "pd.Series[float]", x: str) -> dict[str, Any]:
    """Return a logarithmic axis for an RTFx that spans a decade, else one that begins at 0."""
    if x == "rtfx" and len(values) and values.max() >= 10 * values.min() > 0:
        return {"type": "log", "tickvals": _DECADES}
    return {"rangemode": "tozero"}


def _front(contest: pd.DataFrame, x: str) -> dict[str, Any]:
    """Return the line below which no ranked point lies: steps, since nothing is known between two points."""
    front = contest[pareto(contest, x, "wer")].sort_values([x, "wer"])
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "Pareto front",
        "x": (front[x] * scale(x)[0]).tolist(),
        "y": (front["wer"] * scale("wer")[0]).tolist(),
        "line": {
            "shape": "vh" if METRICS[x].better == "higher" else "hv",
            "dash": "dot",
            "width": 1.5,
            "color": "#8C8C8C",
        },
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _point(line: Mapping[Any, Any], x: str, look: Look, hollow: bool, ranked: bool) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": escape(line["label"]),
        "x": [line[x] * scale(x)[0]],
        "y": [line["wer"] * scale("wer")[0]],
        "error_x": _error(line, x, look),
        "error_y": _error(line, "wer", look),
        "opacity": 1 if ranked else _FAINT,
        "marker": {
            "color": look.colour,
            "symbol": look.symbol + ("-open" if hollow else ""),
            "size": 12,
            "line": {"width": 2 if hollow else 0, "color": look.colour},
        },
        "hovertext": hover(line),
        "hoverinfo": "text",
    }


def _error(line: Mapping[Any, Any], metric: str, look: Look) -> dict[str, Any]:
    factor = scale(metric)[0]
    low, high = interval(line, metric)
    return {
        "type": "data",
        "symmetric": False,
        "array": [(high - line[metric]) * factor],
        "arrayminus": [(line[metric] - low) * factor],
        "color": look.colour,
        "thickness": 1.2,
        "width": 3,
    }


def hover(line: Mapping[Any, Any]) -> str:
    """Say everything about a line that its mark cannot, as Plotly's markup, escaped."""
    where = f"{line['dataset']} · {line['device']} · {line['scenario']} · batch size {line['batch_size']}"
    low, high = (number("wer", end) for end in interval(line, "wer"))
    told = [f"{METRICS[m].label}: {quantity(m, line[m])}" for m in BARS[1:] if pd.notna(line[m])]
    origin = energy_origin(line)
    flags = f"not ranked or set apart: {', '.join(line['flags'])}" if line["flags"] else None
    wer = f"WER: {quantity('wer', line['wer'])} ({low}–{high})"
    source = f"{line['n_repeats']} repeats, run {line['run_id']}"
    facts = [where, wer, *told, origin and f"energy: {origin}", source, flags]
    return f"<b>{escape(line['label'])}</b><br>" + "<br>".join(escape(fact) for fact in facts if fact)


def bars(lines: pd.DataFrame, metric: str, look: Mapping[str, Look]) -> "go.Figure":
    """Draw one metric: a bar for each line's median, a dot for every repeat, hatched where estimated.

    Args:
        lines: the lines of one ``Setting``.
        metric: name from METRICS.
        look: how each variant is drawn.
    """
    known = lines[lines[metric].notna()]
    records = known.to_dict("records")
    guesses = list(estimated(known)) if METRICS[metric].unit in ENERGY_UNITS else [False] * len(records)
    figure = blank(height=64 + 42 * len(records))
    for at, (line, guess, ranked) in enumerate(zip(records, guesses, rankable(known), strict=True)):
        opacity = 1 if ranked else _FAINT
        style = look[str(line["variant"])]
        figure.add_trace(_bar(line, metric, at, style, guess) | {"opacity": opacity})
        figure.add_trace(_dots(line, metric, at, style) | {"opacity": opacity})
        for annotation in _captions(line, metric, at, guess):
            figure.add_annotation(annotation)
    figure.update_xaxes(title_text=scale(metric)[1], rangemode="tozero", nticks=5)
    figure.update_yaxes(visible=False, range=[len(records) - 0.5, -0.75])
    figure.update_layout(showlegend=False, margin={"t": 8, "l": 6, "r": 6, "b": 46}, bargap=0)
    return figure


def _bar(line: Mapping[Any, Any], metric: str, at: int, look: Look, guess: bool) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "x": [line[metric] * scale(metric)[0]],
        "y": [at],
        "width": 0.34,
        "marker": {
            "color": translucent(look.colour),
            "line": {"color": look.colour, "width": 1},
            "pattern": {"shape": "/" if guess else "", "fgcolor": look.colour, "size": 6},
        },
        "hovertext": hover(line),
        "hoverinfo": "text",
    }


def _dots(line: Mapping[Any, Any], metric: str, at: int, look: Look) -> dict[str, Any]:
    values = [value * scale(metric)[0] for value in line[f"{metric}_values"]]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": values,
        "y": [at] * len(values),
        "marker": {"color": look.colour, "symbol": look.symbol, "size": 6},
        "cliponaxis": False,
        "hovertext": [escape(f"one repeat: {quantity(metric, v)}") for v in line[f"{metric}_values"]],
        "hoverinfo": "text",
    }


def _captions(line: Mapping[Any, Any], metric: str, at: int, guess: bool) -> list[dict[str, Any]]:
    """Return what stands above a bar: the name on the left, the median on the right."""
    place = {"xref": "paper", "y": at - 0.2, "yanchor": "bottom", "showarrow": False, "borderpad": 0}
    value = number(metric, line[metric]) + (" est." if guess else "")
    return [
        place | {"text": escape(line["label"]), "x": 0, "xanchor": "left"},
        place | {"text": f"<b>{value}</b>", "x": 1, "xanchor": "right"},
    ]


def translucent(colour: str) -> str:
    """Return a colour that lets what is behind it through."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.3)"


def blank(height: int) -> "go.Figure":
    """Return an empty chart on a transparent ground, which the page's light or dark shows through."""
    import plotly.graph_objects as go

    font = {"family": "system-ui, sans-serif", "size": 13}
    axis = {
        "automargin": True,
        "title": {"font": {"size": 13}},
        "zeroline": False,
        "gridcolor": "rgba(128,128,128,0.25)",
    }
    return go.Figure(
        layout={
            "template": "none",
            "height": height,
            "font": font,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "margin": {"t": 12, "l": 12, "r": 12, "b": 12},
            "xaxis": axis,
            "yaxis": axis,
            "dragmode": False,
            "hoverlabel": {"align": "left"},
        }
    )
