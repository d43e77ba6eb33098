"""Whether a machine was the same on both sides of a comparison, by the control cells of their rounds."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from statistics import geometric_mean

from greenbench.analysis.cells import CellPair, CellSummary
from greenbench.metrics import METRICS, change_pct
from greenbench.results.comparability import CONTROL, differing
from greenbench.statistics.controls import hull
from greenbench.statistics.repeats import Ratio, Unit

MAX_CHANGE_PCT = 10.0
"""Controls that differ by more than this tell of two machines, not of two models."""

MAX_DRIFT_PCT = 15.0
"""A round whose two controls differ by more than this is left out."""

UNKNOWN = "a change of the whole machine between the runs cannot be excluded"

ON_PURPOSE = ("device", "device_name", "threads", CONTROL)
"""Columns in which two machines differ; where a comparison is about one of them, so may the controls."""

_BY_SPEED, _BY_ENERGY = "control_rtfx", "control_energy_j_per_audio_s"
_FASTER_IS_MORE = ("rtfx", "server_rate_hz", "max_streams", "mfu_pct")

ByUnit = Mapping[Unit, float]


@dataclass(frozen=True)
class Control:
    """What the controls say of a pair of cells, for one metric.

    Attributes:
        said: in one line.
        baseline, new: the control's figure over the rounds that are compared, the geometric mean; None where unknown.
        column: which figure of the control that is.
        refusal: why the pair must not be compared; None where it may.
        rounds_out: rounds that are left out, since the machine changed within them.
        is_used: whether the interval is widened by it.
    """

    said: str | None
    baseline: float | None = None
    new: float | None = None
    column: str | None = None
    refusal: str | None = None
    rounds_out: tuple[int, ...] = ()
    is_used: bool = False


def check(pair: CellPair, metric: str, across: Collection[str] = ()) -> Control | None:
    """Say what the controls of two cells mean for a metric; None for what does not depend on the machine's speed.

    Args:
        pair: the baseline and the other.
        metric: its name.
        across: columns that may differ.
    """
    if not _depends(metric):
        return None
    rounds = set.intersection(*({row["round"] for row in line.rows} for line in pair))
    out = tuple(sorted(number for number in rounds if _drifts(pair, number)))
    if out and len(rounds) - len(out) < min(2, len(rounds)):
        return Control(None, refusal=_unsteady(pair, out, len(rounds)), rounds_out=out)
    column, (a, b) = _figures(pair, metric)
    both = sorted((a.keys() & b.keys() & rounds) - set(out))
    left = f"; round {', '.join(str(number + 1) for number in out)} left out: {_drift_said(pair, out)}" if out else ""
    is_one_run = pair[0].shared["run_id"] == pair[1].shared["run_id"]
    if not both:
        return Control(left[2:] or None if is_one_run else f"no control on both sides: {UNKNOWN}{left}", rounds_out=out)
    baseline, new = (geometric_mean(side[number] for number in both) for side in (a, b))
    known = Control(None, baseline, new, column, rounds_out=out)
    return replace(known, said=left[2:] or None) if is_one_run else _judged(known, pair, across, len(both), left)


def _judged(known: Control, pair: CellPair, across: Collection[str], n_rounds: int, left: str) -> Control:
    """Decide what the controls of two runs mean."""
    assert known.baseline is not None
    assert known.new is not None
    change = change_pct(known.baseline, known.new) or 0.0
    figures = f"{_LABELS[str(known.column)]} {known.baseline:.4g} against {known.new:.4g} ({change:+.1f} %)"
    differ = [name for name in ON_PURPOSE if name in across and (name == CONTROL or differing(*_shared(pair), [name]))]
    if differ:
        return replace(known, said=f"controls: {figures}; {differ[0]} differs on purpose, nothing is widened{left}")
    if abs(change) > MAX_CHANGE_PCT:
        why = f"the control cells differ, {figures}, at most {MAX_CHANGE_PCT:g} %: the machine or its libraries changed"
        return replace(known, refusal=f"{why} (allowed with --across {CONTROL})")
    if n_rounds < 2:
        return replace(known, said=f"controls: {figures}; in one round only, so {UNKNOWN}{left}")
    return replace(known, said=f"controls: {figures}; intervals are widened by it{left}", is_used=True)


def widened(values: tuple[ByUnit, ByUnit], pair: CellPair, metric: str, raw: Ratio) -> Ratio:
    """Return a ratio whose interval holds whether a change of the machine reached the cells or not."""
    column, (a, b) = _figures(pair, metric)
    falls = column == _BY_SPEED and metric not in _FASTER_IS_MORE
    inverted = [{number: 1 / value if falls else value for number, value in side.items()} for side in (a, b)]
    return hull(values, (inverted[0], inverted[1]), raw)


_LABELS = {_BY_SPEED: "RTFx", _BY_ENERGY: "J per audio second"}


def _shared(pair: CellPair) -> tuple[Mapping[str, object], Mapping[str, object]]:
    return pair[0].shared, pair[1].shared


def _depends(metric: str) -> bool:
    """Say whether a metric follows the machine's speed or power: times, rates and energies do, sizes do not."""
    return METRICS[metric].unit in ("s", "J", "J/s", "g", "Hz", "currency/h") or metric in _FASTER_IS_MORE


def _figures(pair: CellPair, metric: str) -> tuple[str, tuple[Mapping[int, float], Mapping[int, float]]]:
    """Return a column of the control and its figure by round on both sides, empty where they are not the same control.

    Energy is compared with the control's energy where both have it in the same way, else with its speed.
    """
    energies = [_by_round(line, _BY_ENERGY, "control_energy_method") for line in pair]
    is_energy = METRICS[metric].unit in ("J", "J/s", "g")
    if is_energy and all(energies) and _agree(pair, "control") and _agree(pair, "control_energy_method"):
        return _BY_ENERGY, (energies[0], energies[1])
    speeds = [_by_round(line, _BY_SPEED, "control") for line in pair]
    return _BY_SPEED, (speeds[0], speeds[1]) if _agree(pair, "control") else ({}, {})


def _agree(pair: CellPair, column: str) -> bool:
    return len({str(row[column]) for line in pair for row in line.rows if row.get(column) is not None}) == 1


def _by_round(line: CellSummary, column: str, name: str) -> dict[int, float]:
    found: dict[int, list[float]] = {}
    for row in line.rows:
        if row.get(name) is not None and row.get(column) is not None and row[column] > 0:
            found.setdefault(row["round"], []).append(row[column])
    return {number: geometric_mean(values) for number, values in found.items()}


# --- within a round --------------------------------------------------------------------------------------


def _drift(pair: CellPair, number: int) -> float:
    """Return the largest change between the two controls of a round, on either side; 0 where that is not known."""
    rows = [row for line in pair for row in line.rows if row["round"] == number]
    return max(
        (row["control_drift_pct"] for row in rows if row.get("control_drift_pct") is not None), key=abs, default=0
    )


def _drifts(pair: CellPair, number: int) -> bool:
    return abs(_drift(pair, number)) > MAX_DRIFT_PCT


def _drift_said(pair: CellPair, rounds: Collection[int]) -> str:
    drifts = ", ".join(f"{_drift(pair, number):+.0f} %" for number in rounds)
    return f"its controls changed by {drifts}, at most {MAX_DRIFT_PCT:g} %"


def _unsteady(pair: CellPair, rounds: Collection[int], n: int) -> str:
    return f"the machine changed within {len(rounds)} of {n} rounds: {_drift_said(pair, rounds)}"
