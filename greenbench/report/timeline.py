"""The timeline of a run: power and temperature as they were sampled, with the windows shaded, in bounded size."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd

from greenbench.meters.poller import CPU
from greenbench.report.figures import Look, translucent
from greenbench.statistics.integration import Numbers

N_BUCKETS = 500
"""A line has at most the least and the most of so many stretches of time, however long the run was."""

GAP_STEPS = 10
"""A line is broken where so many usual steps passed without a sample."""

_LINES = (("#7F7F7F", "solid"), ("#A6761D", "solid"), ("#7570B3", "solid"), ("#7F7F7F", "dot"), ("#A6761D", "dot"))
"""How the sources of a panel are distinguished: not by the colours of the variants."""

_PANELS = ((".power_w", "power (W)"), (".temperature_c", "temperature (°C)"))
_INSTEAD = (".utilisation_pct", "CPU load (%)")
_UNITS = ((3 * 3600.0, 3600.0, "h"), (300.0, 60.0, "min"), (0.0, 1.0, "s"))
_AXIS = {"automargin": True, "zeroline": False, "gridcolor": "rgba(128,128,128,0.25)"}
_IDLE = "idle baseline"


@dataclass(frozen=True)
class Timeline:
    """One run's timeline.

    Attributes:
        run_id: of the run.
        figure: ``data`` and ``layout``, as Plotly.newPlot takes them.
        note: what the sampling itself cost.
    """

    run_id: str
    figure: Mapping[str, Any]
    note: str


def draw(power: pd.DataFrame, windows: pd.DataFrame, look: Mapping[str, Look]) -> list[Timeline]:
    """Draw the timeline of every run that was sampled.

    Args:
        power: as ``frames.load_power`` gives it.
        windows: as ``frames.load_windows`` gives it.
        look: how each variant is drawn.
    """
    return [
        Timeline(str(run_id), _figure(samples, windows[windows["run_id"] == run_id], look), _cost(samples))
        for run_id, samples in power.groupby("run_id", sort=False)
        if len(samples) > 1
    ]


def _figure(samples: pd.DataFrame, windows: pd.DataFrame, look: Mapping[str, Look]) -> dict[str, Any]:
    scale = _Scale.of(samples["utc_s"])
    panels = _panels(samples)
    axes = ["", *map(str, range(2, len(panels) + 1))]
    data = [
        _line(samples, name, style, scale) | {"yaxis": f"y{axis}"}
        for axis, (_, names) in zip(axes, panels, strict=True)
        for name, style in zip(names, cycle(_LINES), strict=False)
    ]
    layout = {
        "height": 110 + 180 * len(panels),
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "paper_bgcolor": "rgba(0,0,0,0)",  # the page's light or dark shows through
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"t": 12, "l": 12, "r": 12, "b": 12},
        "dragmode": False,
        "hoverlabel": {"align": "left"},
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        "shapes": _shades(windows, look, scale),
        "xaxis": {
            **_AXIS,
            "title": {"text": f"time since the first sample ({scale.unit})", "font": {"size": 13}},
            "anchor": f"y{axes[-1]}",
            "nticks": 8,
        },
    }
    y_axes = {f"yaxis{axes[row]}": _y_axis(title, row, len(panels)) for row, (title, _) in enumerate(panels)}
    return {"data": data, "layout": layout | y_axes}


def _line(samples: pd.DataFrame, name: str, style: tuple[str, str], scale: "_Scale") -> dict[str, Any]:
    source, _, quantity = name.rpartition(".")
    x, y = _thin(samples["utc_s"].to_numpy(float), samples[name].to_numpy(float), scale)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": escape(f"{source} {quantity.rpartition('_')[0]}"),
        "line": {"color": style[0], "dash": style[1], "width": 1.2},
        "x": x,
        "y": y,
    }


@dataclass(frozen=True)
class _Scale:
    """The time axis: where it begins (in UTC), its unit in seconds and by name, and how long a bucket is in s."""

    start_s: float
    unit_s: float
    unit: str
    bucket_s: float

    @classmethod
    def of(cls, utc_s: "pd.Series[float]") -> "_Scale":
        start_s, length_s = float(utc_s.min()), float(utc_s.max() - utc_s.min())
        unit_s, unit = next((seconds, unit) for least, seconds, unit in _UNITS if length_s >= least)
        return cls(start_s, unit_s, unit, length_s / N_BUCKETS)

    def x(self, utc_s: float) -> float:
        return round((utc_s - self.start_s) / self.unit_s, 4)


def _panels(samples: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Return what is drawn below each other: power, or the load where there is none, and temperature."""
    known = [str(name) for name in samples.columns[samples.notna().any()]]
    found = [(title, [name for name in known if name.endswith(ending)]) for ending, title in _PANELS]
    if not found[0][1]:
        found[0] = (_INSTEAD[1], [name for name in known if name.endswith(_INSTEAD[0])])
    return [(title, names) for title, names in found if names]


def _y_axis(title: str, row: int, n_rows: int) -> dict[str, Any]:
    top = 1 - row / n_rows
    return {
        **_AXIS,
        "title": {"text": title, "font": {"size": 13}},
        "domain": [top - 1 / n_rows + (0.06 if row < n_rows - 1 else 0), top],
        "rangemode": "tozero" if row == 0 else "normal",
        "nticks": 5,
    }


def _thin(utc_s: Numbers, values: Numbers, scale: _Scale) -> tuple[list[float], list[float | None]]:
    """Return a line's points: the least and the most of each bucket, and breaks where nothing was sampled."""
    known = np.isfinite(values)
    utc_s, values = utc_s[known], values[known]
    steps = np.diff(utc_s, prepend=utc_s[0])
    stretch = np.cumsum(steps > GAP_STEPS * np.median(steps))
    if len(values) > 2 * N_BUCKETS:
        buckets = pd.Series(values).groupby(((utc_s - scale.start_s) / scale.bucket_s).astype(int))
        kept = np.union1d(buckets.idxmin(), buckets.idxmax())
        utc_s, values, stretch = utc_s[kept], values[kept], stretch[kept]
    x: list[float] = []
    y: list[float | None] = []
    for at, value, before, now in zip(utc_s, values, [stretch[0], *stretch], stretch, strict=False):
        if now != before:
            x.append(scale.x(at))
            y.append(None)
        x.append(scale.x(at))
        y.append(float(f"{value:.4g}"))
    return x, y


def _shades(windows: pd.DataFrame, look: Mapping[str, Look], scale: _Scale) -> list[dict[str, Any]]:
    """Return the grounds behind the lines: windows in their variants' colours, and idling in grey."""
    shapes = []
    names = windows["variant"].where(windows["kind"] == "window", _IDLE)
    for name, stretches in windows.groupby(names, sort=False):
        colour = translucent(look[str(name)].colour) if name in look else "rgba(128,128,128,0.18)"
        for number, (start, end) in enumerate(_merged(stretches, scale.bucket_s)):
            shapes.append(
                {"type": "rect", "layer": "below", "xref": "x", "x0": scale.x(start), "x1": scale.x(end),
                 "yref": "paper", "y0": 0, "y1": 1, "line": {"width": 0}, "fillcolor": colour,
                 "name": escape(str(name)), "legendgroup": str(name), "showlegend": number == 0}
            )  # fmt: skip
    return shapes


def _merged(stretches: pd.DataFrame, bucket_s: float) -> list[tuple[float, float]]:
    """Return the stretches in order, those that follow each other within a bucket as one."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(zip(stretches["start_utc_s"], stretches["end_utc_s"], strict=True)):
        if merged and start - merged[-1][1] < bucket_s:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _cost(samples: pd.DataFrame) -> str:
    """Say what share of a core the sampling used."""
    sessions = samples.groupby("session")
    used_s = (sessions[CPU].last() - sessions[CPU].first()).sum()
    lasted_s = (sessions["utc_s"].last() - sessions["utc_s"].first()).sum()
    return f"{len(samples):,} samples; the process that took them used {used_s / lasted_s:.1%} of a core."
