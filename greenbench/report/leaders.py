"""Which line of a setting leads by a metric, and which others are not shown to differ from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from greenbench.analysis import contest
from greenbench.analysis.contest import Contestant
from greenbench.analysis.error_rates import CellKey, Counted, RecountError, cell_of
from greenbench.analysis.summary import contests, interval
from greenbench.metrics import METRICS, RATES
from greenbench.results.record import CELL
from greenbench.statistics.repeats import Unit, ratio_by_round, summarise, units
from greenbench.statistics.student import LEVEL

SAME_UTTERANCES, ROUNDS, OVERLAP = "on the same utterances", "round by round", "by intervals that overlap"
"""How two lines are shown to differ."""

AnyLine = Mapping[Any, Any]
CountedCells = Mapping[CellKey, Counted | RecountError]


@dataclass(frozen=True)
class Leader:
    """The best rankable line of a setting by one metric.

    Attributes:
        metric: name from METRICS.
        line: the line of the summary.
        low, high: its interval, see ``interval``.
        rivals: labels of the other ranked lines that are not shown to differ from it.
        n_ranked: lines that were ranked, this one included.
        by: how that was decided: ``SAME_UTTERANCES``, ``ROUNDS`` or ``OVERLAP``.
    """

    metric: str
    line: Mapping[str, Any]
    low: float
    high: float
    rivals: tuple[str, ...]
    n_ranked: int
    by: str


def leaders(lines: pd.DataFrame, metric: str, counted: CountedCells = MappingProxyType({})) -> list[Leader]:
    """Return the best line of each contest of a setting's lines; only the error rate ranks those that are ``outside``.

    Args:
        lines: of one setting.
        metric: name from METRICS.
        counted: the errors of cells' texts, by which their error rates are compared.
    """
    field = lines if metric in RATES else lines[lines["outside"].isna()]
    return [_leader(ranked, metric, counted) for ranked in contests(field, metric)]


def _leader(ranked: pd.DataFrame, metric: str, counted: CountedCells) -> Leader:
    first = int(np.argmin(_cost(ranked, metric).to_numpy(dtype=float)))
    line = {str(k): v for k, v in ranked.iloc[first].to_dict().items()}
    narrow = [name for name in ranked if name in ("label", *CELL) or str(name).startswith(metric)]
    others = ranked[narrow].drop(ranked.index[first]).to_dict("records")
    close = partial(_close_errors, counted=counted) if metric in RATES else _close_rounds
    rivals, by = close(line, others, metric)
    return Leader(metric, line, *interval(line, metric), rivals, len(ranked), by)


def _close_errors(
    line: AnyLine, others: Sequence[AnyLine], metric: str, *, counted: CountedCells
) -> tuple[tuple[str, ...], str]:
    """Return the labels of those whose error rate is not shown to be another, and how that was decided."""
    field = [Contestant(*interval(one, metric), _texts(one, counted), metric) for one in (line, *others)]
    beaten = {worse for better, worse in contest.shown(field, ((0, n) for n in range(1, len(field)))) if better == 0}
    rivals = [n for n in range(1, len(field)) if n not in beaten]
    alike = all(contest.paired(field[0], field[n]) is not None for n in rivals)
    return tuple(str(others[n - 1]["label"]) for n in rivals), SAME_UTTERANCES if alike else OVERLAP


def _texts(line: AnyLine, counted: CountedCells) -> Counted | None:
    found = counted.get(cell_of(line))
    return found if isinstance(found, Counted) else None


def _close_rounds(line: AnyLine, others: Sequence[AnyLine], metric: str) -> tuple[tuple[str, ...], str]:
    """Return the labels of those whose figure is not shown to be another by the ratios of each round, and how.

    Of cells of other runs, which share no round, the 95 % intervals of the means must not overlap.
    """
    from greenbench.statistics.multiple_testing import holm

    own, shared, p_values = _units(line, metric), True, list[float]()
    for other in others:
        theirs = _units(other, metric)
        ratio = ratio_by_round(own, theirs) if other["run_id"] == line["run_id"] else None
        shared &= ratio is not None
        p_values.append(float(_overlap(own, theirs)) if ratio is None else 1.0 if ratio.p is None else ratio.p)
    adjusted = zip(others, holm(p_values), strict=True)
    return tuple(str(other["label"]) for other, p in adjusted if p > LEVEL), ROUNDS if shared else OVERLAP


def _units(line: AnyLine, metric: str) -> dict[Unit, float]:
    return units((*window, value) for window, value in zip(line[f"{metric}_at"], line[f"{metric}_values"], strict=True))


def _overlap(a: Mapping[Unit, float], b: Mapping[Unit, float]) -> bool:
    """Say whether the intervals of two means overlap; a single measurement could lie anywhere."""
    means = [summarise(list(values.values())) for values in (a, b)]
    (low_a, high_a), (low_b, high_b) = ((m.low, m.high) if m else (None, None) for m in means)
    if low_a is None or low_b is None or high_a is None or high_b is None:
        return True
    return low_a <= high_b and low_b <= high_a


def _cost(frame: pd.DataFrame, metric: str) -> "pd.Series[float]":
    """Return a metric so that less is better."""
    sign = -1.0 if METRICS[metric].better == "higher" else 1.0
    return pd.to_numeric(frame[metric]).astype(float) * sign
