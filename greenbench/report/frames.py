"""What the rows say: one line per cell, which lines may be ranked, which lead, which none dominates."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd

from greenbench import comparability, validity
from greenbench.accuracy import Cell
from greenbench.energy import PARTS
from greenbench.metrics import METRICS
from greenbench.record import CELL, PROVENANCE
from greenbench.validity import ESTIMATED

SETTING = ("dataset", "device", "scenario", "batch_size")
"""The columns of the comparability key that name a setting; the others only where these leave doubt."""

ENERGY = "energy_j_per_audio_s"

_COUNTS = ("n_rounds", "n_repeats", "n_failed")
_PER_ROW = (
    "order_index", "timestamp_utc", "cell_s", "n_windows", "server_probes",
    "cooldown_s", "cooldown_excess_c", "warmup_batches", "warmup_s", "warmup_cv_pct",
)  # fmt: skip
_ORIGIN = tuple(name for name in PROVENANCE if name not in _PER_ROW)


@dataclass(frozen=True)
class Setting:
    """What may be compared: the lines of one data set, device, scenario and batch size, measured alike.

    Attributes:
        label: its name for people; says more than ``SETTING`` only where that would be ambiguous.
        lines: its part of the summary with status ``ok``, and a column ``label`` unique to each line.
    """

    label: str
    lines: pd.DataFrame


@dataclass(frozen=True)
class Leader:
    """The best rankable line of a setting by one metric.

    Attributes:
        metric: name from METRICS.
        line: the line of the summary.
        low, high: its interval, see ``interval``.
        rivals: labels of the other ranked lines whose interval overlaps.
        n_ranked: lines that were ranked, this one included.
    """

    metric: str
    line: Mapping[str, Any]
    low: float
    high: float
    rivals: tuple[str, ...]
    n_ranked: int


def summary(rows: pd.DataFrame, outside: Mapping[Cell, str] | None = None) -> pd.DataFrame:
    """Reduce the repeats and rounds of each cell to one line.

    Args:
        rows: the columns of ``record.columns()``, as ``store.load`` gives them.
        outside: why a cell's WER keeps it from being ranked by speed or energy, from ``gate.outside``.

    Returns:
        One line per cell, in the order of the rows: ``CELL``; ``status`` (``ok`` where any row is);
        ``reason`` of the rows that are not; ``outside``; ``flags`` (sorted union over the ok rows, and what only
        all of them together show) and ``flag_notes`` (the figures behind each); ``n_rounds`` (processes with ok
        rows), ``n_repeats`` (ok rows, over all rounds) and ``n_failed`` (others); of each metric over the ok
        rows the median under its own name, ``<metric>_min``, ``<metric>_max`` and ``<metric>_values`` (a
        tuple); and the provenance, its different values joined by a slash.
    """
    groups = rows.groupby(list(CELL), sort=False, dropna=False)
    lines = [
        dict(zip(CELL, key, strict=True)) | _line(cell) | {"outside": (outside or {}).get(key)} for key, cell in groups
    ]
    frame = pd.DataFrame(lines, columns=_columns(), dtype=object)
    numbers = [f"{metric}{part}" for metric in METRICS for part in ("", "_min", "_max")]
    types = dict.fromkeys(numbers, "float64") | dict.fromkeys(_COUNTS, "int64")
    whole: pd.DataFrame = frame.astype(types).copy()  # one block a type, where astype leaves one a column
    return whole


def _columns() -> list[str]:
    spreads = [f"{m}{part}" for m in METRICS for part in ("", "_min", "_max", "_values")]
    return [*CELL, "status", "reason", "outside", "flags", "flag_notes", *_COUNTS, *spreads, *_ORIGIN]


def _line(cell: pd.DataFrame) -> dict[str, Any]:
    """Reduce one cell's rows; provenance comes from the ok rows where there are any."""
    good = cell["status"] == "ok"
    ok, bad = cell[good], cell[~good]
    raised = _raised(ok)
    line: dict[str, Any] = {
        "status": "ok" if len(ok) else "error" if (bad["status"] == "error").any() else "skipped",
        "reason": _agreed(bad["reason"]),
        "flags": sorted(raised),
        "flag_notes": [raised[flag] for flag in sorted(raised)],
        "n_rounds": ok["round"].nunique(),
        "n_repeats": len(ok),
        "n_failed": len(bad),
    }
    for metric in METRICS:
        line |= _spread(metric, ok[metric])
    source = ok if len(ok) else bad
    return line | {name: _agreed(source[name]) for name in _ORIGIN}


def _raised(ok: pd.DataFrame) -> dict[str, str]:
    """Return the flags of a cell's ok rows, and those of all of them together, with the figures behind each."""
    if ok.empty:
        return {}
    notes: dict[str, list[str]] = {}
    for flags, told in zip(ok["flags"], ok["flag_notes"], strict=True):
        for flag, note in zip_longest(_listed(flags), _listed(told)[: len(_listed(flags))], fillvalue=""):
            notes.setdefault(flag, []).append(note)
    values = {metric: pd.to_numeric(ok[metric]).dropna().tolist() for metric in validity.SPREAD}
    n_asked = pd.to_numeric(ok["n_windows"]).max()
    together = validity.flags_over_repeats(values, len(ok), None if pd.isna(n_asked) else int(n_asked))
    return {flag: _first(found, len(ok)) for flag, found in notes.items()} | together


def _first(notes: list[str], n_windows: int) -> str:
    """Return the first window's figures, and in how many windows there were any where that is not all of them."""
    some = f"in {len(notes)} of {n_windows} windows" if len(notes) < n_windows else ""
    return ": ".join(part for part in (some, next(filter(None, notes), "")) if part)


def _spread(metric: str, column: "pd.Series[Any]") -> dict[str, Any]:
    values = tuple(float(v) for v in pd.to_numeric(column).dropna())
    if not values:
        return {metric: None, f"{metric}_min": None, f"{metric}_max": None, f"{metric}_values": ()}
    return {
        metric: float(np.median(values)),
        f"{metric}_min": min(values),
        f"{metric}_max": max(values),
        f"{metric}_values": values,
    }


def _listed(names: Any) -> tuple[str, ...]:
    """Return a row's flags or their notes; a failed row may have none at all (None or NaN)."""
    return tuple(names) if isinstance(names, (list, tuple)) else ()


def _agreed(column: "pd.Series[Any]") -> Any:
    """Return the one value of a column, its different values as text, or None."""
    distinct = list({str(value): value for value in column if not _missing(value)}.values())
    if len(distinct) > 1:
        return " / ".join(map(str, distinct))
    return distinct[0] if distinct else None


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))


def rankable(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Say which rows, or lines of a summary, may be ranked: ok, and no flag but ``ESTIMATED``."""
    clean = [set(_listed(flags)) <= {ESTIMATED} for flags in rows["flags"]]
    may: pd.Series[bool] = (rows["status"] == "ok") & pd.Series(clean, index=rows.index, dtype=bool)
    return may


def estimated(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Say which rows have an energy that is estimated, wholly or in part."""
    found = [comparability.value(row, "energy_kind") == "estimated" for row in rows.to_dict("records")]
    answer: pd.Series[bool] = pd.Series(found, index=rows.index, dtype=bool)
    return answer


def pareto(frame: pd.DataFrame, x: str, y: str) -> "pd.Series[bool]":
    """Say which rows no other row dominates: as good in both metrics, and better in one.

    Args:
        frame: rows or lines; pass ``frame[rankable(frame)]`` to leave the others out.
        x: name from METRICS, of a metric that has a better direction.
        y: another one.

    Returns:
        A boolean for each row; False where either metric is missing. Equal rows stand or fall together.

    Raises:
        ValueError: a metric of which neither direction is better.
    """
    points = np.column_stack([_cost(frame, x), _cost(frame, y)])
    beaten = [((points <= p).all(axis=1) & (points < p).any(axis=1)).any() for p in points]
    on_front = ~np.isnan(points).any(axis=1) & ~np.array(beaten, dtype=bool)
    front: pd.Series[bool] = pd.Series(on_front, index=frame.index, dtype=bool)
    return front


def _cost(frame: pd.DataFrame, metric: str) -> "pd.Series[float]":
    """Return a metric so that less is better."""
    if METRICS[metric].better == "neither":
        raise ValueError(f"{metric}: neither direction is better, so nothing can be ranked by it")
    sign = -1.0 if METRICS[metric].better == "higher" else 1.0
    return pd.to_numeric(frame[metric]).astype(float) * sign


def contests(lines: pd.DataFrame, metric: str) -> list[pd.DataFrame]:
    """Split lines into those that may be ranked against each other by ``metric``.

    Energies are ranked within one scope, and estimates among themselves; lines that may not be ranked or lack
    the metric are left out.
    """
    field = lines[rankable(lines) & lines[metric].notna()]
    return [group for _, group in field.groupby(_key(field, comparability.columns(metric)), sort=False)]


def _key(lines: pd.DataFrame, names: Iterable[str]) -> "pd.Series[Any]":
    """Return each line's values in columns of the comparability key, as one text."""
    values = [str([comparability.value(line, name) for name in names]) for line in lines.to_dict("records")]
    key: pd.Series[Any] = pd.Series(values, index=lines.index, dtype=object)
    return key


def leaders(lines: pd.DataFrame, metric: str) -> list[Leader]:
    """Return the best line of each contest of a setting's lines; only WER ranks those that are ``outside``."""
    field = lines if metric == "wer" else lines[lines["outside"].isna()]
    return [_leader(contest, metric) for contest in contests(field, metric)]


def _leader(contest: pd.DataFrame, metric: str) -> Leader:
    lines = {int(i): line for i, line in enumerate(contest.to_dict("records"))}
    first = int(np.argmin(_cost(contest, metric).to_numpy(dtype=float)))
    low, high = interval(lines[first], metric)
    spans = {line["label"]: interval(line, metric) for i, line in lines.items() if i != first}
    rivals = tuple(str(label) for label, (a, b) in spans.items() if a <= high and low <= b)
    return Leader(metric, {str(k): v for k, v in lines[first].items()}, low, high, rivals, len(lines))


def interval(line: Mapping[Any, Any], metric: str) -> tuple[float, float]:
    """Return a line's range: of ``wer`` the bootstrap interval where known, else least and most."""
    if metric == "wer" and not (_missing(line["wer_ci_low"]) or _missing(line["wer_ci_high"])):
        return line["wer_ci_low"], line["wer_ci_high"]
    return line[f"{metric}_min"], line[f"{metric}_max"]


def settings(lines: pd.DataFrame) -> list[Setting]:
    """Split the ok lines of a summary into what may be compared, in their order."""
    ok = lines[lines["status"] == "ok"]
    shown = [name for name in comparability.KEY if _ambiguous(ok, name)]
    groups = ok.groupby(_key(ok, comparability.KEY), sort=False)
    return [Setting(_label(group.iloc[0].to_dict(), shown), _labelled(group)) for _, group in groups]


def _ambiguous(ok: pd.DataFrame, name: str) -> bool:
    """Say whether lines that agree in ``SETTING`` differ in this column."""
    return bool((_key(ok, [name]).groupby(_key(ok, SETTING)).nunique() > 1).any())


def _label(line: Mapping[Any, Any], names: Iterable[str]) -> str:
    """Name a setting: first the values of ``SETTING``, then what tells it from another of the same name."""
    parts = {name: comparability.value(line, name) for name in (*SETTING, *names)}
    parts["batch_size"] = f"batch size {parts['batch_size']}"
    known = {name: str(value) for name, value in parts.items() if value is not None}
    return " · ".join(value if name in SETTING else f"{name} {value}" for name, value in known.items())


def _labelled(group: pd.DataFrame) -> pd.DataFrame:
    """Name each line by its variant, and by its run too where a variant ran more than once."""
    twice = group["variant"].duplicated(keep=False)
    label = group["variant"].where(~twice, group["variant"] + " · " + group["run_id"])
    labelled: pd.DataFrame = group.assign(label=label)
    return labelled


def energy_origin(line: Mapping[Any, Any]) -> str:
    """Say where a line's energy comes from: method and source of each part that was read."""
    parts = [(part, line[f"energy_{part}_method"], line[f"energy_{part}_source"]) for part in PARTS]
    read = [
        f"{part.upper()} {method} ({'source not stated' if _missing(source) else source})"
        for part, method, source in parts
        if not _missing(method)
    ]
    return ", ".join(read) or "origin not stated"


def energy_details(line: Mapping[Any, Any]) -> str:
    """Say what ``energy_origin`` does, and the scope and the notes, e.g. the TDP behind an estimate."""
    notes = [(part, line[f"energy_{part}_note"]) for part in PARTS]
    told = [f"{part.upper()}: {note}" for part, note in notes if not _missing(note)]
    scope = [] if _missing(line["energy_scope"]) else [f"scope {line['energy_scope']}"]
    return "; ".join([energy_origin(line), *scope, *told])
