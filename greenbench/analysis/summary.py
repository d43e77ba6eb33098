"""What the rows say: one line per cell, what may be compared, and which lines may be ranked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from greenbench import metrics
from greenbench.analysis import references
from greenbench.analysis.error_rates import Cell
from greenbench.meters.energy import PARTS
from greenbench.metrics import METRICS
from greenbench.provenance import PROVENANCE
from greenbench.results import comparability
from greenbench.results import flags as results_flags
from greenbench.results.flags import RANKABLE
from greenbench.results.record import CELL

Numbers = npt.NDArray[Any]

SETTING = ("dataset", "device", "scenario", "batch_size")
"""The columns of the comparability key that name a setting; the others only where these leave doubt."""

ENERGY = "energy_j_per_audio_s"

LED = ("rtfx", "server_rate_hz", ENERGY)
"""The metrics beside WER of which a line can be the best, and that vary from window to window."""

_COUNTS = ("n_rounds", "n_repeats", "n_failed")
_PER_ROW = (
    "order_index", "timestamp_utc", "cell_s", "n_windows", "server_probes",
    "control_rtfx", "control_drift_pct", "control_energy_j_per_audio_s", "mfu_note",
    "cooldown_s", "cooldown_excess_c", "warmup_batches", "warmup_s", "warmup_cv_pct",
)  # fmt: skip
LINKS = (
    *CELL,
    "parent",
    "identity",
    "ancestors",
    "ancestors_from",
    "steps",
    "decoding",
    "wer",
    *comparability.COUNTING,
    "data_hash",
)
"""The columns by which a line finds its parent among the others."""
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


def summary(rows: pd.DataFrame, outside: Mapping[Cell, str] | None = None, by_parent: bool = True) -> pd.DataFrame:
    """Reduce the repeats and rounds of each cell to one line.

    Args:
        rows: the columns of ``record.columns()``, as ``frames.load`` gives them.
        outside: why a cell's WER keeps it from being ranked by speed or energy, from ``gate.outside``.
        by_parent: whether cells are held against their own parents, see ``Gate.by_parent``.

    Returns:
        One line per cell, in the order of the rows: ``CELL``; ``status`` (``ok`` where any row is);
        ``reason`` of the rows that are not; ``outside``; ``reference_note`` (whether it has a reference
        here, from ``references.notes``); ``flags`` (sorted union over the ok rows, and what only
        all of them together show) and ``flag_notes`` (the figures behind each); ``n_rounds`` (processes with ok
        rows), ``n_repeats`` (ok rows, over all rounds) and ``n_failed`` (others); of each metric over the ok
        rows the median under its own name, ``<metric>_min``, ``<metric>_max`` and ``<metric>_values`` (a
        tuple); and the provenance, its different values joined by a slash.
    """
    cell = rows.groupby(list(CELL), sort=False, dropna=False).ngroup().to_numpy()
    n_cells = int(cell.max()) + 1 if len(cell) else 0
    good = (rows["status"] == "ok").to_numpy()
    ok, of_cell = rows[good], cell[good]
    n_ok, n_all = np.bincount(of_cell, minlength=n_cells), np.bincount(cell, minlength=n_cells)
    died = np.bincount(cell[(rows["status"] == "error").to_numpy()], minlength=n_cells) > 0
    telling = good | (n_ok == 0)[cell]  # provenance comes from the ok rows where there are any
    keys = rows[list(CELL)][~pd.Series(cell, index=rows.index).duplicated()]
    spreads = {name: column for metric in METRICS for name, column in _spread(metric, ok, of_cell, n_cells).items()}
    flags = _flags(ok, of_cell, n_ok, spreads)
    windows = list(zip(ok["round"].tolist(), ok["repeat"].tolist(), strict=True))
    columns = {
        **{name: keys[name].tolist() for name in CELL},
        "status": np.select([n_ok > 0, died], ["ok", "error"], "skipped"),
        "reason": _agreed(rows["reason"][~good], cell[~good], n_cells),
        "outside": [(outside or {}).get(key) for key in keys.itertuples(index=False, name=None)],
        "flags": [sorted(raised) for raised in flags],
        "flag_notes": [[raised[flag] for flag in sorted(raised)] for raised in flags],
        "n_rounds": ok.groupby(of_cell)["round"].nunique().reindex(range(n_cells), fill_value=0).to_numpy(),
        "n_repeats": n_ok,
        "n_failed": n_all - n_ok,
        **spreads,
        **{f"{metric}_at": _at(windows, of_cell, ok[metric].notna().to_numpy(), n_cells) for metric in LED},
        **{name: _agreed(rows[name][telling], cell[telling], n_cells) for name in _ORIGIN},
    }
    lines: pd.DataFrame = pd.DataFrame({name: _typed(name, column) for name, column in columns.items()})
    notes = references.notes(lines[list(LINKS)].to_dict("records")) if by_parent else [None] * n_cells
    lines["reference_note"] = _typed("reference_note", notes)
    return lines


def _typed(name: str, column: Any) -> "pd.Series[Any]":
    """Keep text, flags and provenance as the objects they are; pandas would make floats of integers beside None."""
    numeric = name in _COUNTS or (isinstance(column, np.ndarray) and column.dtype == float)
    typed: pd.Series[Any] = pd.Series(column) if numeric else pd.Series(list(column), dtype=object)
    return typed


def _flags(
    ok: pd.DataFrame, cell: Numbers, n_ok: Numbers, spreads: Mapping[str, Sequence[Any]]
) -> list[dict[str, str]]:
    """Return of each cell its ok rows' flags, and those of all of them together, with the figures behind each."""
    notes: list[dict[str, list[str]]] = [{} for _ in n_ok]
    for number, flags, told in zip(cell, ok["flags"], ok["flag_notes"], strict=True):
        for flag, note in zip_longest(_listed(flags), _listed(told)[: len(_listed(flags))], fillvalue=""):
            notes[number].setdefault(flag, []).append(note)
    asked = pd.to_numeric(ok["n_windows"]).groupby(cell).max().reindex(range(len(n_ok))).tolist()
    found = []
    for number, of_cell in enumerate(notes):
        values = {metric: spreads[f"{metric}_values"][number] for metric in results_flags.SPREAD}
        n_asked = None if pd.isna(asked[number]) else int(asked[number])
        together = results_flags.flags_over_repeats(values, int(n_ok[number]), n_asked) if n_ok[number] else {}
        found.append({flag: _first(told, int(n_ok[number])) for flag, told in of_cell.items()} | together)
    return found


def _first(notes: list[str], n_windows: int) -> str:
    """Return the first window's figures, and in how many windows there were any where that is not all of them."""
    some = f"in {len(notes)} of {n_windows} windows" if len(notes) < n_windows else ""
    return ": ".join(part for part in (some, next(filter(None, notes), "")) if part)


def _spread(metric: str, ok: pd.DataFrame, cell: Numbers, n_cells: int) -> dict[str, Any]:
    """Return a metric's columns: median, least, most and all values of each cell."""
    column = pd.to_numeric(ok[metric]).astype(float)
    known = column.notna().to_numpy()
    if not known.any():
        nothing = dict.fromkeys((metric, f"{metric}_min", f"{metric}_max"), np.full(n_cells, np.nan))
        return nothing | {f"{metric}_values": [()] * n_cells}
    by_cell = column[known].groupby(cell[known])
    reduced = {"": by_cell.median(), "_min": by_cell.min(), "_max": by_cell.max()}
    spread: dict[str, Any] = {f"{metric}{e}": s.reindex(range(n_cells)).to_numpy() for e, s in reduced.items()}
    order = np.argsort(cell[known], kind="stable")
    ends = np.cumsum(np.bincount(cell[known], minlength=n_cells))
    values, starts = column[known].to_numpy()[order].tolist(), [0, *ends.tolist()]
    return spread | {f"{metric}_values": [tuple(values[a:b]) for a, b in zip(starts, ends, strict=False)]}


def _at(windows: Sequence[Any], cell: Numbers, known: Numbers, n_cells: int) -> list[tuple[Any, ...]]:
    """Return of each cell the round and repeat of each of a metric's values, in their order."""
    found: list[list[Any]] = [[] for _ in range(n_cells)]
    for number, window, is_known in zip(cell.tolist(), windows, known.tolist(), strict=True):
        if is_known:
            found[number].append(window)
    return [tuple(of_cell) for of_cell in found]


def _listed(names: Any) -> tuple[str, ...]:
    """Return a row's flags or their notes; a failed row may have none at all (None or NaN)."""
    return tuple(names) if isinstance(names, (list, tuple)) else ()


def _agreed(column: "pd.Series[Any]", cell: Numbers, n_cells: int) -> list[Any]:
    """Return of each cell the one value of a column, its different values as text, or None."""
    known = column.notna().to_numpy()
    distinct: list[dict[str, Any]] = [{} for _ in range(n_cells)]
    for number, value in zip(cell[known].tolist(), column[known].tolist(), strict=True):
        distinct[number].setdefault(str(value), value)
    return [" / ".join(found) if len(found) > 1 else next(iter(found.values()), None) for found in distinct]


def rankable(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Say which rows, or lines of a summary, may be ranked: ok, and no flag but those of ``RANKABLE``."""
    clean = [set(_listed(flags)) <= RANKABLE for flags in rows["flags"]]
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
    """Return each line's values in columns of the comparability key, as one text."""
    found = conditions(lines, names)
    texts = [str(list(values)) for values in found.itertuples(index=False, name=None)]
    key: pd.Series[Any] = pd.Series(texts, index=lines.index, dtype=object)
    return key


def interval(line: Mapping[Any, Any], metric: str) -> tuple[float, float]:
    """Return a line's range: of ``wer`` and ``cer`` the interval where known, else least and most."""
    ends = f"{metric}_ci_low", f"{metric}_ci_high"
    if metric in ("wer", "cer") and not any(metrics.missing(line[end]) for end in ends):
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
    parts = [(part, line[f"energy_{part}_method"], line[f"energy_{part}_source"]) for part in PARTS]
    read = [
        f"{part.upper()} {method} ({'source not stated' if metrics.missing(source) else source})"
        for part, method, source in parts
        if not metrics.missing(method)
    ]
    return ", ".join(read) or "origin not stated"


def energy_details(line: Mapping[Any, Any]) -> str:
    """Say what ``energy_origin`` does, and the scope and the notes, e.g. the TDP behind an estimate."""
    notes = [(part, line[f"energy_{part}_note"]) for part in PARTS]
    told = [f"{part.upper()}: {note}" for part, note in notes if not metrics.missing(note)]
    scope = [] if metrics.missing(line["energy_scope"]) else [f"scope {line['energy_scope']}"]
    return "; ".join([energy_origin(line), *scope, *told])
