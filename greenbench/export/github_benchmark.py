"""Medians as github-action-benchmark's custom tools read them: one file for each direction that is better."""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from greenbench.analysis import summary
from greenbench.export import Documents, Results
from greenbench.metrics import FELT, METRICS
from greenbench.report import terminal

TRACKED = (
    "wer", "cer", "eer", "rtfx", summary.ENERGY, "latency_p50_s", "latency_p90_s", "latency_p95_s", "latency_p99_s",
    "server_rate_hz", *FELT, "max_streams", "first_utterance_s", "load_s", "peak_rss_bytes", "peak_gpu_bytes",
    "model_bytes",
)  # fmt: skip
"""The metrics that mean the same however long a window was."""

_TOOLS = {"lower": "smaller", "higher": "bigger"}


def documents(results: Results) -> Documents:
    """Return ``smaller`` for the tool ``customSmallerIsBetter`` and ``bigger`` for ``customBiggerIsBetter``.

    Each is an array of ``name``, ``unit``, ``value``, ``range`` and ``extra`` (``src/extract.ts`` of
    benchmark-action/github-action-benchmark). Estimated energy has a name of its own, so that it never shares
    a chart with measured energy.
    """
    lines = summary.summary(results.rows)
    found: dict[str, list[dict[str, Any]]] = {}
    for line in lines[lines["status"] == "ok"].to_dict("records"):
        for metric in TRACKED:
            if pd.notna(line[metric]):
                found.setdefault(_TOOLS[METRICS[metric].better], []).append(_entry(line, metric))
    return {tool: json.dumps(entries, indent=2, ensure_ascii=False).encode() for tool, entries in found.items()}


def _entry(line: Mapping[Any, Any], metric: str) -> dict[str, Any]:
    low, high = summary.interval(line, metric)
    estimated = " (estimated)" if metric == summary.ENERGY and summary.is_estimated(line) else ""
    cell = f"{line['variant']} | {line['dataset']} | {terminal.scenario(line)}"
    unit = METRICS[metric].unit
    return {
        "name": f"{METRICS[metric].label}{estimated} | {cell}",
        "unit": "" if unit == "1" else unit,
        "value": float(line[metric]),
        "range": f"{low:.4g} to {high:.4g}",
        "extra": "\n".join([f"repeats: {line['n_repeats']}", f"flags: {', '.join(line['flags']) or 'none'}"]),
    }
