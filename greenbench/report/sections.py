"""What each section of the page says: a function a section, whose answer fills the template of the same name."""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from greenbench.analysis.gate import describe
from greenbench.analysis.summary import Setting
from greenbench.metrics import METRICS, TEXT_RATES
from greenbench.report import bigfoot, compression, data, robustness, scores, sentences, sessions, slices, utterances
from greenbench.report.content import N_COUNTED, N_GAINS, Content
from greenbench.report.figures import TABLE, TOTALS, scale
from greenbench.report.utterances import CellTexts
from greenbench.results.comparability import primary
from greenbench.text.population import FEW_SPEAKERS
from greenbench.text.slices import MIN_LENGTH

N_FINDINGS = 12
"""Settings whose leaders are listed; the charts and the table have the others."""

_RUN = (
    "description", "machine", "meters", "peaks", "control", "started_utc", "protocol", "cooldown", "versions", "git",
    "command", "suite",
)  # fmt: skip


@dataclass(frozen=True)
class View:
    """What the sections look at.

    Attributes:
        content: what was read.
        lines: its summary.
        settings: what may be compared.
        texts: the texts of the cells that have any.
    """

    content: Content
    lines: pd.DataFrame
    settings: Sequence[Setting]
    texts: Sequence[CellTexts]

    @property
    def runs(self) -> list[dict[str, Any]]:
        """Every ``run.json``, None for what one of them lacks."""
        return [dict.fromkeys(("run_id", *_RUN)) | dict(run) for run in self.content.runs]


Fields = Mapping[str, Any]


def _findings(view: View) -> Fields:
    return {
        "findings": [(s.label, sentences.findings(s, view.content.counted)) for s in view.settings[:N_FINDINGS]],
        "n_more": max(0, len(view.settings) - N_FINDINGS),
        "no_energy": sentences.no_energy(view.lines, view.content.runs),
        "misfits": sentences.misfits(view.content.rows),
        "gate": describe(view.content.gate, {primary(cell.shared) for cell in view.content.cells}),
    }


def _tradeoffs(view: View) -> Fields | None:
    return {} if view.settings else None


def _charts(view: View) -> Fields | None:
    """Return what the other charts need to know: of all but the timeline only whether there is anything to draw."""
    if not view.settings:
        return None
    ok = view.lines[view.lines["status"] == "ok"]
    counted = [cell for cell in view.texts if not isinstance(cell.counted, Exception)]
    rates = sorted({cell.rate for cell in counted}, key=TEXT_RATES.index)
    return {
        "has_latencies": bool(utterances.latencies(view.texts)),
        "rate": " or ".join(METRICS[rate].label for rate in rates),
        "units": " or ".join({"wer": "words", "cer": "characters"}[rate] for rate in rates),
        "groups": [
            (kind, {"speaker": "speaker or voice", "length": "length"}[kind]) for kind in utterances.groups(counted)
        ],
        "n_counted": N_COUNTED if ok[list(TEXT_RATES)].notna().any(axis=1).sum() > N_COUNTED else None,
        "utterances": list(sessions.drawn(view.texts)),
        "has_power": len(view.content.power) > 1,
        "has_roofs": bool(view.lines["mfu_pct"].notna().any()),
    }


def _cells(view: View) -> Fields:
    present = [metric for metric in TABLE if view.lines[metric].notna().any()]
    return {"columns": [_column(metric) for metric in present], "flags": sentences.flag_meanings(view.lines)}


def _column(metric: str) -> tuple[str, str, str]:
    """Return a column's heading, the line below it, and what it means."""
    unit = scale(metric)[1]
    return METRICS[metric].label, f"{unit}, whole window" if metric in TOTALS else unit, METRICS[metric].about


def _compression(view: View) -> Fields | None:
    same, lines = compression.folded(view.content.all_gains)
    if not lines:
        return None
    notes = compression.notes(view.content.all_gains)
    return {
        "same": same,
        "lines": lines,
        "legend": compression.LEGEND,
        "notes": notes,
        "is_cut": len(lines) == N_GAINS,
    }


def _bigfoot(view: View) -> Fields | None:
    lines = bigfoot.against_paper(view.content.all_gains)
    if not lines:
        return None
    same, beyond = compression.folded(bigfoot.beyond(view.content.all_gains))
    differ, table_3 = bigfoot.DIFFER.items(), bigfoot.TABLE_3
    return {"lines": lines, "differ": differ, "table_3": table_3, "beyond": beyond, "same": same}


def _scores(view: View) -> Fields | None:
    if not len(view.content.scores):
        return None
    of = view.content.rows, view.content.scores
    return {"rate": METRICS[data.primary(of[0])].label, "lines": scores.table(*of), "scorings": scores.scorings(*of)}


def _slices(view: View) -> Fields | None:
    tables = slices.tables(view.texts)
    return {"tables": tables, "n_least": MIN_LENGTH, "n_few": FEW_SPEAKERS} if tables else None


def _robustness(view: View) -> Fields | None:
    tables = robustness.tables(view.lines)
    return {"tables": tables} if tables else None


def _texts(view: View) -> Fields | None:
    return {"datasets": utterances.worst(view.texts)} if view.texts else None


def _machine(view: View) -> Fields:
    return {
        "runs": view.runs,
        "flat": flat,
        "harness": sentences.harness,
        "peaks": sentences.peaks,
        "controls": sentences.controls,
    }


def _reproduce(view: View) -> Fields:
    from greenbench.version import __version__

    provenance = _provenance(view.lines)
    cited = {name: dict(provenance).get(name, "not stated") for name in ("suite hash", "protocol")}
    return {
        "runs": view.runs,
        "provenance": provenance,
        "cited": cited,
        "flat": flat,
        "command": lambda command: command if isinstance(command, str) else shlex.join(map(str, command)),
        "pretty": lambda suite: json.dumps(suite, indent=2, ensure_ascii=False),
        "version": __version__,
        "title": " + ".join(dict.fromkeys(str(run.get("name") or run.get("run_id")) for run in view.content.runs)),
        "year": min((str(run.get("started_utc") or "")[:4] for run in view.content.runs), default=""),
    }


SECTIONS: Mapping[str, Callable[[View], Fields | None]] = {
    "findings": _findings,
    "tradeoffs": _tradeoffs,
    "compression": _compression,
    "cells": _cells,
    "charts": _charts,
    "bigfoot": _bigfoot,
    "scores": _scores,
    "slices": _slices,
    "robustness": _robustness,
    "texts": _texts,
    "machine": _machine,
    "reproduce": _reproduce,
}
"""Name of the template in ``page/sections`` -> what fills it, in the page's order; None leaves a section out."""


def _provenance(lines: pd.DataFrame) -> list[tuple[str, str]]:
    """Return what the rows say of how they were measured, every distinct value, absent ones left out."""
    names = {
        "suite": "suite", "suite_hash": "suite hash", "protocol": "protocol", "timed_region": "timed region",
        "batching": "batching", "arrivals": "arrivals and latency bound",
        "streamed_by": "streamed by", "chunk_s": "seconds of a chunk", "pace": "pace of speech",
        "streams": "streams at once",
        "onset_source": "onset of speech", "word_times_source": "times of words", "word_latency_note": "word latency",
        "threads": "threads", "normalizer": "text normaliser", "scorer": "scorer",
        "data_hash": "data hash", "wer_ci_unit": "WER interval is for", "device_name": "device",
        "energy_scope": "energy scope", "peak_rss_source": "peak memory from",
        "peak_gpu_source": "peak GPU memory from", "carbon_g_per_kwh": "grid factor (g CO2e per kWh)",
        "carbon_source": "grid factor from", "carbon_year": "grid factor of the year", "carbon_pue": "PUE",
        "carbon_zone": "grid factor asked for in",
        "price_per_hour": "price of an hour", "price_currency": "price in", "price_source": "price from",
        "schema": "row schema",
    }  # fmt: skip
    facts = [(label, sentences.listed(lines[name].dropna())) for name, label in names.items()]
    return [(label, values) for label, values in facts if values]


def flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Flatten nested JSON into (name for people, text); what is not known, or not asked for by a protocol, says so."""
    if isinstance(value, Mapping):
        return [pair for key, part in value.items() for pair in flat(part, f"{name} {key}".strip())]
    if isinstance(value, list) and value:
        return [pair for i, part in enumerate(value, 1) for pair in flat(part, f"{name} {i}".strip())]
    label = name.replace("_", " ").strip()
    if name.endswith("_bytes") and isinstance(value, int):
        return [(label.removesuffix(" bytes"), f"{value / 1e9:.1f} GB")]
    absent = "not asked for" if name.startswith("protocol ") else "unknown"
    known = {"None": absent, "": "unknown", "[]": "none", "True": "yes", "False": "no"}
    return [(label, known.get(str(value), str(value)))]
