"""What a report says: its sentences, table and provenance, in one HTML file that needs nothing else."""

import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from greenbench import store
from greenbench.accuracy import Cell
from greenbench.errors import StoreError
from greenbench.gate import DEFAULT, Gate, outside, told
from greenbench.metrics import ENERGY_UNITS, METRICS
from greenbench.report import figures, frames, sentences, timeline
from greenbench.report import scores as report_scores
from greenbench.report.figures import number
from greenbench.report.frames import ENERGY, Setting

N_TRANSCRIPTS = 5
"""Utterances of each data set whose texts are shown."""

_TOTALS = ("audio_s", "wall_s", "energy_j", "energy_net_j", "co2e_g")
TABLE = (
    "wer", "cer", "rtfx", "server_rate_hz", ENERGY, "idle_power_w",
    "latency_p50_s", "latency_p90_s", "latency_p95_s", "latency_p99_s", "first_utterance_s", "load_s", "padding_pct",
    "peak_rss_bytes", "peak_gpu_bytes", "model_bytes", "n_params", "macs_per_audio_s", *_TOTALS,
)  # fmt: skip
"""The metrics that get a column, where there is data; each energy says where it comes from."""

_RUN = (
    "description", "machine", "meters", "started_utc", "protocol", "cooldown", "versions", "git", "command", "suite",
)  # fmt: skip
_AXES = (ENERGY, "rtfx")


@dataclass(frozen=True)
class Entry:
    """One cell of the table: what it shows, the small print below, and the number it sorts by."""

    text: str
    small: str = ""
    key: float | None = None


@dataclass(frozen=True)
class Panel:
    """The charts of one setting, as indices into the page's figures: trade-offs, and bars by heading."""

    label: str
    tradeoffs: tuple[tuple[str, int], ...]
    bars: tuple[tuple[str, int], ...]
    has_energy: bool


@dataclass(frozen=True)
class Content:
    """What a page is made of.

    Attributes:
        rows: as ``store.load`` gives them, at least one.
        runs: the ``run.json`` of each run.
        texts: as ``store.load_hypotheses`` gives them.
        scores: as ``store.load_scores`` gives them.
        power: as ``store.load_power`` gives it.
        windows: as ``store.load_windows`` gives them.
        asked: what is asked of a cell's WER before it is ranked by speed and energy, from ``gate.told``.
        outside: which cells do not meet that, from ``gate.outside``.
    """

    rows: pd.DataFrame
    runs: Sequence[Mapping[str, Any]]
    texts: pd.DataFrame
    scores: pd.DataFrame
    power: pd.DataFrame
    windows: pd.DataFrame
    asked: str | None
    outside: Mapping[Cell, str]


def write_page(folders: Path | Iterable[Path], out: Path, gate: Gate = DEFAULT) -> Path:
    """Write the report of one or several results folders.

    Args:
        folders: a run's folder or a parent of runs, or several of these.
        out: the HTML file; its folder is made where needed.
        gate: what a cell's WER must be before its speed and energy are ranked.

    Returns:
        ``out``.

    Raises:
        StoreError: there is no run or no row to report, or ``out`` cannot be written.
    """
    places = [Path(folders)] if isinstance(folders, (str, Path)) else [Path(place) for place in folders]
    found = sorted({run for place in places for run in store.runs(place.resolve())})
    named = ", ".join(map(str, places)) or "(no folder given)"
    if not found:
        raise StoreError(f"{named}: no runs here to report. Pass a folder that `greenbench run` wrote.")
    rows = pd.concat([store.load(run) for run in found], ignore_index=True)
    if rows.empty:
        raise StoreError(f"{named}: the runs here hold no rows yet. Let a run finish a cell, then report again.")
    beside = (store.load_hypotheses, store.load_scores, store.load_power, store.load_windows)
    texts, scores, power, windows = (_joined(load, found) for load in beside)
    runs = [store.read_run(run) for run in found]
    page = render(Content(rows, runs, texts, scores, power, windows, told(gate), outside(found, gate)))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{out}: cannot write the report: {error.strerror}. Choose another file.") from error
    return out


def _joined(load: Callable[[Path], pd.DataFrame], runs: Sequence[Path]) -> pd.DataFrame:
    """Load something of every run into one frame."""
    frames_of_runs = [load(run) for run in runs]
    return pd.concat([frame for frame in frames_of_runs if len(frame)] or frames_of_runs[:1], ignore_index=True)


def render(content: Content) -> str:
    """Return the page."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    lines, runs = frames.summary(content.rows, content.outside), content.runs
    settings = frames.settings(lines)
    look = figures.looks(lines["variant"])
    drawn, panels = _panels(settings, look)
    timelines = timeline.draw(content.power, content.windows, look)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(
        files("greenbench.report").joinpath("page.html.jinja").read_text(encoding="utf-8")
    )
    return template.render(
        title=" + ".join(dict.fromkeys(str(run.get("name") or run.get("run_id")) for run in runs)),
        runs=[dict.fromkeys(_RUN) | dict(run) for run in runs],
        compared=sentences.compared(lines),
        tally=sentences.tally(lines),
        gate=content.asked,
        findings=[(setting.label, sentences.findings(setting)) for setting in settings],
        figures=[json.loads(figure.to_json()) for figure in (*drawn, *(line.figure for line in timelines))],
        timelines=list(enumerate(timelines, len(drawn))),
        panels=panels,
        no_energy=sentences.no_energy(lines, runs),
        columns=[_column(metric) for metric in _present(lines)],
        table=[_table_line(line, _present(lines)) for line in lines.to_dict("records")],
        several_runs=lines["run_id"].nunique() > 1,
        flags=sentences.flag_meanings(lines),
        scores=report_scores.table(content.rows, content.scores) if len(content.scores) else [],
        scorings=report_scores.scorings(content.rows, content.scores) if len(content.scores) else [],
        transcripts=_transcripts(content.texts),
        provenance=_provenance(lines),
        flat=flat,
        harness=sentences.harness,
        repeats=sentences.repeats,
        command=_command,
        pretty=lambda suite: json.dumps(suite, indent=2, ensure_ascii=False),
        plotly=Markup(get_plotlyjs()),  # noqa: S704  the library itself, nothing from a model or data set
    )


def _panels(settings: Sequence[Setting], look: Mapping[str, figures.Look]) -> tuple[list[Any], list[Panel]]:
    """Draw every setting's charts; return them all, and what each setting shows."""
    drawn: list[Any] = []

    def add(figure: Any) -> int:
        drawn.append(figure)
        return len(drawn) - 1

    panels = []
    for setting in settings:
        have = {m for m in figures.BARS if setting.lines[m].notna().any()}
        tradeoffs = [
            (f"WER against {METRICS[x].label}", add(figures.tradeoff(setting.lines, x, look)))
            for x in _AXES
            if (setting.lines[x].notna() & setting.lines["wer"].notna()).any()
        ]
        bars = [(sentences.heading(m), add(figures.bars(setting.lines, m, look))) for m in figures.BARS if m in have]
        panels.append(Panel(setting.label, tuple(tradeoffs), tuple(bars), ENERGY in have))
    return drawn, panels


# --- the table -------------------------------------------------------------------------------------------


def _present(lines: pd.DataFrame) -> list[str]:
    return [metric for metric in TABLE if lines[metric].notna().any()]


def _column(metric: str) -> tuple[str, str, str]:
    """Return a column's heading, the line below it, and what it means."""
    unit = figures.scale(metric)[1]
    return METRICS[metric].label, f"{unit}, whole window" if metric in _TOTALS else unit, METRICS[metric].about


def _table_line(line: Mapping[Any, Any], metrics: Sequence[str]) -> dict[str, Any]:
    return {
        "line": line,
        "standing": sentences.standing(line),
        "entries": [_entry(line, metric) for metric in metrics],
    }


def _entry(line: Mapping[Any, Any], metric: str) -> Entry:
    value = line[metric]
    if pd.isna(value):
        return Entry("–")
    low, high = (number(metric, end) for end in frames.interval(line, metric))
    small = [f"{low}–{high}"] if low != high else []
    if METRICS[metric].unit in ENERGY_UNITS:
        small.append(frames.energy_origin(line))
    return Entry(number(metric, value), "\n".join(small), float(value))


# --- texts and origins -----------------------------------------------------------------------------------


def _transcripts(texts: pd.DataFrame) -> list[tuple[str, list[tuple[str, str, dict[str, str]]]]]:
    """Return of each data set the first utterances: (id, reference, hypothesis by variant)."""
    shown = []
    for dataset, of_set in texts.groupby("dataset", sort=False):
        ids = list(of_set["utterance_id"].unique()[:N_TRANSCRIPTS])
        utterances = [
            (
                str(i),
                str(same["reference"].iloc[0]),
                dict(zip(same["variant"], same["hypothesis"], strict=True)),
            )
            for i in ids
            for same in [of_set[of_set["utterance_id"] == i].drop_duplicates("variant")]
        ]
        shown.append((str(dataset), utterances))
    return shown


def _provenance(lines: pd.DataFrame) -> list[tuple[str, str]]:
    """Return what the rows say of how they were measured, every distinct value, absent ones left out."""
    names = {
        "suite": "suite", "suite_hash": "suite hash", "protocol": "protocol", "timed_region": "timed region",
        "batching": "batching", "arrivals": "arrivals and latency bound",
        "threads": "threads", "normalizer": "text normaliser", "scorer": "scorer",
        "data_hash": "data hash", "wer_ci_unit": "WER interval resamples", "device_name": "device",
        "energy_scope": "energy scope", "peak_rss_source": "peak memory from",
        "peak_gpu_source": "peak GPU memory from", "carbon_g_per_kwh": "grid factor (g CO2e per kWh)",
        "carbon_source": "grid factor from", "carbon_year": "grid factor of the year", "carbon_pue": "PUE",
        "schema": "row schema",
    }  # fmt: skip
    told = [(label, sentences.listed(lines[name].dropna())) for name, label in names.items()]
    return [(label, values) for label, values in told if values]


def flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Flatten nested JSON into (name for people, text); what is not known says so."""
    if isinstance(value, Mapping):
        return [pair for key, part in value.items() for pair in flat(part, f"{name} {key}".strip())]
    if isinstance(value, list) and value:
        return [pair for i, part in enumerate(value, 1) for pair in flat(part, f"{name} {i}".strip())]
    label = name.replace("_", " ").strip()
    if name.endswith("_bytes") and isinstance(value, int):
        return [(label.removesuffix(" bytes"), f"{value / 2**30:.1f} GiB")]
    known = {"None": "unknown", "": "unknown", "[]": "none", "True": "yes", "False": "no"}
    return [(label, known.get(str(value), str(value)))]


def _command(command: Any) -> str:
    return command if isinstance(command, str) else shlex.join(map(str, command))
