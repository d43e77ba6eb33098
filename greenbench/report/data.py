"""What the page's scripts draw and filter: every cell with its figures and their origin, compact for any folder."""

import base64
import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from greenbench import metrics
from greenbench.analysis import references, summary
from greenbench.analysis.summary import Setting
from greenbench.meters.energy import PARTS, part_column
from greenbench.metrics import ABSOLUTE, ACCURACY, COST, ENERGY_UNITS, METRICS, RATES
from greenbench.provenance import as_text
from greenbench.report import sentences
from greenbench.report.figures import BARS, LEADING, TABLE, TOTALS, Look, scale
from greenbench.results import comparability

FILTERS = {
    "device_name": "platform", "device": "device", "dataset": "data set", "scenario": "scenario",
    "protocol": "protocol", "energy": "energy",
}  # fmt: skip
"""What a reader may narrow the page to -> its name for people."""

_SOURCE = {
    "protocol": "protocol", "threads": "threads", "compute_dtype": "computes in", "decoding": "decoding",
    "batching": "batching",
    "normalizer": "normaliser", "scorer": "scorer", "primary": "judged by", "data_hash": "data", "suite_hash": "suite",
}  # fmt: skip


def drawn(lines: pd.DataFrame, settings: Sequence[Setting], look: Mapping[str, Look]) -> dict[str, Any]:
    """Return what the scripts need of a summary.

    Args:
        lines: from ``summary.summary``, with rows numbered from 0.
        settings: of these lines.
        look: how each variant is drawn.

    Returns:
        ``metrics`` (how each is shown), ``looks``, ``facts`` (columns of text, one entry a line), ``values`` (of each
        metric all repeats of each line, or what stands for them) and ``ranges`` (intervals that are not of repeats).
    """
    metrics, rate = [name for name in METRICS if _shown(name, lines)], primary(lines)
    return {
        "primary": rate,
        "metrics": {name: _metric(name) for name in metrics},
        "bars": [name for name in BARS if name in metrics],
        "table": [name for name in TABLE if name in metrics],
        "leading": [name for name in (rate, *LEADING) if name in metrics and name not in set(RATES) - {rate}],
        "filters": FILTERS,
        "looks": {variant: asdict(drawn_as) for variant, drawn_as in look.items()},
        "facts": {name: coded(column) for name, column in facts(lines, settings).items()},
        "values": {name: [_values(name, line) for line in _of(lines, name)] for name in metrics},
        "ranges": {name: _ranges(lines, name) for name in ABSOLUTE if name in metrics},
    }


def primary(lines: pd.DataFrame) -> str:
    """Return the error rate by which a page's lines are judged: CER where all are, else WER."""
    found = set(map(comparability.primary, lines[["primary"]].to_dict("records")))
    return found.pop() if len(found) == 1 else RATES[0]


def pack(data: Any) -> str:
    """Return data as gzipped JSON in base64, which has no character that HTML could take for markup."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def facts(lines: pd.DataFrame, settings: Sequence[Setting]) -> dict[str, list[Any]]:
    """Return what a line is, where it was measured, whether it is ranked and where its figures come from, as text."""
    known = summary.conditions(lines, [*_SOURCE, "energy_kind", "device_name"])
    labels, places, numbers = lines["variant"].to_dict(), dict.fromkeys(lines.index), dict.fromkeys(lines.index)
    parents: dict[Any, Any] = dict.fromkeys(lines.index)
    relations: dict[Any, Any] = dict.fromkeys(lines.index)
    for number, setting in enumerate(settings):
        labels |= setting.lines["label"].to_dict()
        places |= dict.fromkeys(setting.lines.index, setting.label)
        numbers |= dict.fromkeys(setting.lines.index, number)
        own = setting.lines[list(summary.LINKS)].to_dict("records")
        found = references.parents(own)
        parents |= dict(zip(setting.lines.index, (row and row["variant"] for row in found), strict=True))
        kinds = (row and references.relation(line, row) for line, row in zip(own, found, strict=True))
        relations |= dict(zip(setting.lines.index, kinds, strict=True))
    narrow = lines[[*dict.fromkeys(_READ)]].to_dict("records")
    standing = [sentences.standing(line) for line in narrow]
    return {
        **{name: lines[name].tolist() for name in ("variant", "dataset", "device", "scenario", "batch_size", "run_id")},
        "primary": list(map(comparability.primary, lines[["primary"]].to_dict("records"))),
        "label": list(labels.values()),
        "setting": list(numbers.values()),
        "place": list(places.values()),
        "parent": list(parents.values()),
        "relation": list(relations.values()),
        "device_name": known["device_name"].tolist(),
        "protocol": known["protocol"].tolist(),
        "energy": [kind or "not read" for kind in known["energy_kind"]],
        "contest": [str(list(c)) for c in summary.conditions(lines, comparability.ENERGY).itertuples(index=False)],
        "standing": [word for word, _ in standing],
        "note": [note for _, note in standing],
        "origin": [summary.energy_details(line) if kind else "" for line, kind in zip(narrow, known["energy_kind"],
                                                                                      strict=True)],
        "repeats": [sentences.repeats(line) if line["n_repeats"] else "" for line in narrow],
        "source": [_source(line) for line in known.to_dict("records")],
    }  # fmt: skip


_READ = (
    "status", "reason", "flags", "flag_notes", "outside", "reference_note", "n_failed", "n_rounds", "n_repeats",
    "energy_scope",
    *(part_column(part, what) for part in PARTS for what in ("method", "source", "note")),
)  # fmt: skip


def coded(column: Sequence[Any]) -> dict[str, list[Any]]:
    """Return a column as its different values, and each entry's place among them; most repeat all the time."""
    known = [None if metrics.missing(value) else as_text(value) for value in column]
    places = {value: place for place, value in enumerate(dict.fromkeys(known))}
    return {"values": list(places), "codes": [places[value] for value in known]}


def short(value: float) -> float | int:
    """Round to five significant digits, more than anyone reads; whole numbers lose their point."""
    rounded = float(f"{value:.5g}")
    return int(rounded) if rounded.is_integer() else rounded


def _shown(metric: str, lines: pd.DataFrame) -> bool:
    """Say whether a metric is known somewhere, and of a kind that a reader may want on an axis or in the table."""
    if metric == COST and lines["price_currency"].dropna().map(str).nunique() > 1:
        return False  # costs in several currencies are in no order
    return (METRICS[metric].better != "neither" or metric in TABLE) and bool(lines[metric].notna().any())


def _metric(name: str) -> dict[str, Any]:
    factor, unit = scale(name)
    metric = METRICS[name]
    kinds = {"rate": name in RATES, "energy": metric.unit in ENERGY_UNITS, "accuracy": name in ACCURACY}
    return {"label": metric.label, "unit": unit, "factor": factor, "better": metric.better, "about": metric.about,
            "whole": name in TOTALS, **kinds}  # fmt: skip


def _of(lines: pd.DataFrame, metric: str) -> Iterable[tuple[Any, ...]]:
    return lines[f"{metric}_values"].tolist()


def _values(metric: str, values: Sequence[float]) -> Any:
    """Return a line's repeats; one number where they agree, and least, median and most of what gets no bars."""
    distinct = set(values)
    if len(distinct) < 2:
        return short(distinct.pop()) if distinct else None
    if metric not in BARS:
        ordered = sorted(values)
        middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
        return [short(ordered[0]), short(middle), short(ordered[-1])]
    return [short(value) for value in values]


def _ranges(lines: pd.DataFrame, metric: str) -> list[Any]:
    """Return the interval of each line, None where it has none."""
    ends = zip(lines[f"{metric}_ci_low"].tolist(), lines[f"{metric}_ci_high"].tolist(), strict=True)
    return [None if pd.isna(low) or pd.isna(high) else [short(low), short(high)] for low, high in ends]


def _source(line: Mapping[Any, Any]) -> str:
    """Say by what rules a line's figures came about."""
    parts = {label: line[name] for name, label in _SOURCE.items()}
    return " · ".join(f"{label} {str(value)[:40]}" for label, value in parts.items() if value is not None)
