"""The summaries of cells as a frame, what of it may be compared, and which lines may be ranked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from greenbench import metrics
from greenbench.analysis import cells, references
from greenbench.analysis.cells import CellSummary
from greenbench.analysis.error_rates import CellKey, cell_of
from greenbench.meters.energy import PARTS, part_column
from greenbench.metrics import METRICS
from greenbench.provenance import Mixed
from greenbench.results import comparability
from greenbench.results.flags import barring
from greenbench.results.record import CELL

SETTING = ("dataset", "device", "scenario", "batch_size")
"""The columns of the comparability key that name a setting; the others only where these leave doubt."""

ENERGY = "energy_j_per_audio_s"

LED = ("rtfx", "server_rate_hz", "max_streams", ENERGY)
"""The metrics other than error rates of which a line can be the best, and that vary from window to window."""

LINKS = (
    *CELL,
    "parent",
    "identity",
    "ancestors",
    "ancestors_from",
    "steps",
    "decoding",
    *metrics.RATES,
    *comparability.COUNTING,
    "task",
    "data_hash",
)
"""The columns by which a line finds its parent among the others."""


@dataclass(frozen=True)
class Setting:
    """What may be compared: the lines of one data set, device, scenario and batch size, measured alike.

    Attributes:
        label: its name for people; says more than ``SETTING`` only where that would be ambiguous.
        lines: its part of the summary with status ``ok``, and a column ``label`` unique to each line.
    """

    label: str
    lines: pd.DataFrame

    @property
    def rate(self) -> str:
        """The error rate by which its lines are judged: ``wer`` or ``cer``."""
        return comparability.primary(self.lines.iloc[0].to_dict())


def summary(rows: pd.DataFrame, outside: Mapping[CellKey, str] | None = None, by_parent: bool = True) -> pd.DataFrame:
    """Reduce the repeats and rounds of each cell to one line.

    Args:
        rows: the columns of ``record.columns()``, as ``frames.load`` gives them.
        outside: why a cell's WER keeps it from being ranked by speed or energy, from ``gate.outside``.
        by_parent: whether cells are compared with their own parents, see ``Gate.by_parent``.

    Returns:
        What ``frame`` does, in the order of the rows.
    """
    columns = [_plain(column) for _, column in rows.items()]
    names = list(map(str, rows))
    plain = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    return frame(cells.summaries(plain), outside, by_parent)


def _plain(column: "pd.Series[Any]") -> list[Any]:
    """Return a column's values as Python's own, None where there is none."""
    values = zip(column.astype(object).tolist(), column.notna().tolist(), strict=True)
    return [value if is_known else None for value, is_known in values]


def frame(
    found: Sequence[CellSummary], outside: Mapping[CellKey, str] | None = None, by_parent: bool = True
) -> pd.DataFrame:
    """Return the summaries of cells as a frame.

    Args:
        found: from ``cells.summaries``.
        outside: see ``summary``.
        by_parent: see ``summary``.

    Returns:
        One line per cell: ``CELL``; ``status`` (``ok`` where any row is);
        ``reason`` of the rows that are not; ``outside``; ``reference_note`` (whether it has a reference
        here, from ``references.notes``); ``flags`` (sorted union over the ok rows, and what only
        all of them together show) and ``flag_notes`` (the figures behind each); ``n_rounds`` (processes with ok
        rows), ``n_repeats`` (ok rows, over all rounds) and ``n_failed`` (others); of each metric over the ok
        rows the median under its own name, ``<metric>_min``, ``<metric>_max`` and ``<metric>_values`` (a
        tuple); and the provenance, ``Mixed`` where the rows disagree.
    """
    keys = [cell_of(cell.shared) for cell in found]
    notes = references.notes([_links(cell) for cell in found]) if by_parent else [None] * len(found)
    columns = {
        **_objects(found, CELL),
        "status": [cells.status(cell) for cell in found],
        "reason": [cells.failure(cell) for cell in found],
        "outside": [(outside or {}).get(key) for key in keys],
        "flags": [sorted(cell.flags) for cell in found],
        "flag_notes": [[cell.flags[flag] for flag in sorted(cell.flags)] for cell in found],
        "n_rounds": np.array([len({row["round"] for row in cell.rows}) for cell in found], dtype=int),
        "n_repeats": np.array([len(cell.rows) for cell in found], dtype=int),
        "n_failed": np.array([len(cell.failed) for cell in found], dtype=int),
        **{name: column for metric in METRICS for name, column in _spread(metric, found).items()},
        **_objects(found, [name for name in cells.SHARED if name not in CELL]),
        "reference_note": notes,
    }
    index = pd.RangeIndex(len(found))  # one for all columns, which pandas need not compare then
    lines: pd.DataFrame = pd.DataFrame({name: _series(column, index) for name, column in columns.items()}, index)
    return lines


def _series(column: Any, index: pd.RangeIndex) -> "pd.Series[Any]":
    """Keep text, flags and provenance as the objects they are; pandas would make floats of integers next to None."""
    typed: pd.Series[Any] = pd.Series(column, index, dtype=None if isinstance(column, np.ndarray) else object)
    return typed


def _objects(found: Sequence[CellSummary], names: Iterable[str]) -> dict[str, list[Any]]:
    return {name: [cell.shared.get(name) for cell in found] for name in names}


def _links(cell: CellSummary) -> dict[str, Any]:
    return {
        **{name: cell.shared.get(name) for name in LINKS},
        **{rate: cells.median_of(cell, rate) for rate in metrics.RATES},
    }


def _spread(metric: str, found: Sequence[CellSummary]) -> dict[str, Any]:
    """Return a metric's columns: median, least, most, all values of each cell, and of some metrics their windows."""
    spreads = [cell.spreads.get(metric) for cell in found]
    ends = {"": "median", "_min": "low", "_max": "high"}
    figures = {
        f"{metric}{end}": np.array([np.nan if one is None else getattr(one, name) for one in spreads], dtype=float)
        for end, name in ends.items()
    }
    values = {f"{metric}_values": [one.values if one else () for one in spreads]}
    at = {f"{metric}_at": [one.windows if one else () for one in spreads]} if metric in LED else {}
    return figures | values | at


def _listed(names: Any) -> tuple[str, ...]:
    """Return a row's flags or their notes; a failed row may have none at all (None or NaN)."""
    return tuple(names) if isinstance(names, (list, tuple)) else ()


def rankable(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Say which rows, or lines of a summary, may be ranked: ok, and no flag but those of ``RANKABLE``."""
    clean = [not barring(_listed(flags)) for flags in rows["flags"]]
    may: pd.Series[bool] = (rows["status"] == "ok") & pd.Series(clean, index=rows.index, dtype=bool)
    return may


def estimated(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Say which rows have an energy that is estimated, wholly or in part."""
    answer: pd.Series[bool] = conditions(rows, ["energy_kind"])["energy_kind"] == "estimated"
    return answer


def is_estimated(line: Mapping[Any, Any]) -> bool:
    """Say whether a line's energy is estimated, wholly or in part."""
    return bool(comparability.value(line, "energy_kind") == "estimated")


def conditions(lines: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Return each line's values in columns of the comparability key, as ``comparability.value`` gives them."""
    read = [name for name in lines if name in {*names, *comparability.READ}]
    found = [{name: comparability.value(line, name) for name in names} for line in lines[read].to_dict("records")]
    frame: pd.DataFrame = pd.DataFrame(found, index=lines.index, columns=list(names), dtype=object)
    return frame


def contests(lines: pd.DataFrame, metric: str) -> list[pd.DataFrame]:
    """Split lines into those that may be ranked against each other by ``metric``.

    Energies are ranked within one scope, and estimates among themselves; lines that may not be ranked or lack
    the metric are left out.
    """
    field = lines[rankable(lines) & lines[metric].notna()]
    return [group for _, group in field.groupby(_key(field, comparability.columns(metric)), sort=False)]


def _key(lines: pd.DataFrame, names: Iterable[str]) -> "pd.Series[Any]":
    """Return each line's values in columns of the comparability key, as one text; ``Mixed`` is like nothing else."""
    found = conditions(lines, names).itertuples(index=False, name=None)
    texts = [
        str([number, *values] if any(isinstance(value, Mixed) for value in values) else list(values))
        for number, values in enumerate(found)
    ]
    key: pd.Series[Any] = pd.Series(texts, index=lines.index, dtype=object)
    return key


def interval(line: Mapping[Any, Any], metric: str) -> tuple[float, float]:
    """Return a line's range: of error rates and recall the interval where known, else least and most."""
    ends = f"{metric}_ci_low", f"{metric}_ci_high"
    if metric in metrics.ABSOLUTE and not any(metrics.missing(line[end]) for end in ends):
        return line[ends[0]], line[ends[1]]
    return line[f"{metric}_min"], line[f"{metric}_max"]


def settings(lines: pd.DataFrame) -> list[Setting]:
    """Split the ok lines of a summary into what may be compared, in their order."""
    ok = lines[lines["status"] == "ok"]
    known, place = conditions(ok, comparability.KEY), _key(ok, SETTING)
    shown = [name for name in comparability.KEY if (known[name].astype(str).groupby(place).nunique() > 1).any()]
    groups = ok.groupby(_key(ok, comparability.KEY), sort=False)
    return [Setting(_label(group.iloc[0].to_dict(), shown), _labelled(group)) for _, group in groups]


def _label(line: Mapping[Any, Any], names: Iterable[str]) -> str:
    """Name a setting: first the values of ``SETTING``, then what tells it from another of the same name."""
    parts = {name: comparability.value(line, name) for name in (*SETTING, *names)}
    parts["batch_size"] = f"batch size {parts['batch_size']}"
    known = {name: str(value) for name, value in parts.items() if value is not None}
    return " · ".join(
        value if name in SETTING else f"{name.replace('_', ' ')} {value}" for name, value in known.items()
    )


def _labelled(group: pd.DataFrame) -> pd.DataFrame:
    """Name each line by its variant, and by its run too where a variant ran more than once."""
    twice = group["variant"].duplicated(keep=False)
    label = group["variant"].where(~twice, group["variant"] + " · " + group["run_id"])
    labelled: pd.DataFrame = group.assign(label=label)
    return labelled


def energy_origin(line: Mapping[Any, Any]) -> str:
    """Say where a line's energy comes from: method and source of each part that was read."""
    parts = [(part, line[part_column(part, "method")], line[part_column(part, "source")]) for part in PARTS]
    read = [
        f"{part.upper()} {method} ({'source not stated' if metrics.missing(source) else source})"
        for part, method, source in parts
        if not metrics.missing(method)
    ]
    return ", ".join(read) or "origin not stated"


def energy_details(line: Mapping[Any, Any]) -> str:
    """Say what ``energy_origin`` does, and the scope and the notes, e.g. the TDP behind an estimate."""
    notes = [(part, line[part_column(part, "note")]) for part in PARTS]
    stated = [f"{part.upper()}: {note}" for part, note in notes if not metrics.missing(note)]
    scope = [] if metrics.missing(line["energy_scope"]) else [f"scope {line['energy_scope']}"]
    return "; ".join([energy_origin(line), *scope, *stated])
