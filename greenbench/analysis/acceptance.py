"""What a new version must be shown to keep to: bounds on its own figures, and on how they compare with a baseline's."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from greenbench.analysis.cells import CellSummary, by_unit, failure, median_of
from greenbench.analysis.compare import check_metrics
from greenbench.analysis.evidence import Answer, Relation, answer, one_speaker
from greenbench.analysis.findings import CellComparison, Comparison
from greenbench.errors import InputError
from greenbench.metrics import ABSOLUTE, METRICS
from greenbench.provenance import as_text
from greenbench.results.comparability import FIXED
from greenbench.statistics.repeats import summarise

Form = Literal["points", "change", "ratio", "value"]

_TEXT = re.compile(
    r"(?P<metric>\w+)\s*(?P<relation><=|>=)\s*(?P<sign>[+-]?)(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>\S*)", re.ASCII
)

_BYTES = {"MB": 1e6, "GB": 1e9, "kB": 1e3, "bytes": 1.0}


@dataclass(frozen=True)
class Condition:
    """A bound that every pair must be shown to keep to.

    Attributes:
        metric: name from METRICS.
        form: ``points``: new - baseline, of shares of words; ``change``: new / baseline - 1; ``ratio``: new / baseline;
            ``value``: the new cell's own figure.
        relation: ``<=`` where lower is better, else ``>=``.
        bound: in the unit of the form: a fraction, a quotient, or the metric's own unit.
        text: as the user wrote it.
    """

    metric: str
    form: Form
    relation: Relation
    bound: float
    text: str


@dataclass(frozen=True)
class JudgedFigure:
    """What was measured of a condition, in the unit of its form.

    Attributes:
        value: the best estimate; None where there is none.
        low, high: its 95 % interval, which is the value itself where nothing varies; None where it is unknown.
        why: what keeps it from showing anything.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    why: str | None = None


@dataclass(frozen=True)
class Judgement:
    """Whether one pair of cells is shown to keep to a condition."""

    condition: Condition
    pair: CellComparison
    figure: JudgedFigure
    answer: Answer


def parse(text: str, option: str = "--accept") -> Condition:
    """Read ``wer<=+1pp``, ``rtfx>=2x``, ``energy_j_per_audio_s<=-20%`` or ``wer<=5%``.

    A signed size, or one with ``x``, is relative to the baseline; any other bounds the new cell's own figure.

    Args:
        text: the condition.
        option: what it was given to, for messages.

    Raises:
        InputError: another form, an unknown metric, a unit that is not the metric's, or the direction of worsening.
    """
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise InputError(f"{option} '{text}': write METRIC<=BOUND or METRIC>=BOUND, such as {forms('wer')}")
    metric, relation = found["metric"], _relation(found["metric"], option)
    read = _read(metric, found["sign"], float(found["number"]), found["unit"])
    if read is None or found["relation"] != relation:
        better = METRICS[metric].better
        why = "" if found["relation"] == relation else f"{better} is better, so a bound is {relation}; "
        raise InputError(f"{option} '{text}': {why}write {forms(metric)}")
    return Condition(metric, read[0], relation, read[1], text.strip())


def forms(metric: str) -> str:
    """Say with examples which conditions a metric takes."""
    less = METRICS[metric].better == "lower"
    to = f"{metric}{'<=' if less else '>='}"
    own = f"{to}{'5' if metric in ABSOLUTE else '1'}{next(iter(_units(metric)))}"
    if metric in ABSOLUTE:
        return f"{to}{'+' if less else '-'}1pp (against the baseline) or {own} (its own)"
    return f"{to}{'0.5x' if less else '2x'} or {to}{'-' if less else '+'}20% (against the baseline), or {own} (its own)"


def judge(comparison: Comparison, conditions: Iterable[Condition]) -> list[Judgement]:
    """Say of each condition and pair of cells what is shown, see ``evidence.RULE``.

    Args:
        comparison: of which each pair is asked; it must hold the metrics of all conditions.
        conditions: from ``parse``.
    """
    return [_judgement(pair, condition) for condition in conditions for pair in comparison.pairs]


# --- the text of a condition -----------------------------------------------------------------------------


def _relation(metric: str, option: str) -> Relation:
    """Return which side of a bound is good.

    Raises:
        InputError: there is no such metric, or neither direction of it is better.
    """
    check_metrics([metric], option)
    return ">=" if METRICS[metric].better == "higher" else "<="


def _read(metric: str, sign: str, number: float, unit: str) -> tuple[Form, float] | None:
    """Return the form and the bound in its unit; None where the metric does not take that."""
    size = -number if sign == "-" else number
    if metric in ABSOLUTE:
        if sign and unit == "pp":
            return "points", size / 100
    elif sign and unit == "%":
        return "change", size / 100
    elif not sign and unit == "x":
        return "ratio", size
    scale = None if sign else _units(metric).get(unit)
    return None if scale is None else ("value", number * scale)


def _units(metric: str) -> dict[str, float]:
    """Return in which units a metric's own figure may be written, and what turns each into that of METRICS."""
    unit = METRICS[metric].unit
    if metric in ABSOLUTE:
        return {"%": 0.01}
    return _BYTES if unit == "bytes" else {"": 1.0} if unit == "1" else {"": 1.0, unit: 1.0}


# --- evidence --------------------------------------------------------------------------------------------


def _judgement(pair: CellComparison, condition: Condition) -> Judgement:
    found = _own(pair.b, condition.metric) if condition.form == "value" else _paired(pair, condition)
    if found.why is not None or found.low is None or found.high is None:
        return Judgement(condition, pair, found, "not shown")
    return Judgement(condition, pair, found, answer(found.low, found.high, condition.relation, condition.bound))


def _paired(pair: CellComparison, condition: Condition) -> JudgedFigure:
    """Return what the comparison found, in the unit of the condition's form."""
    finding = next((f for f in pair.findings if f.metric == condition.metric), None)
    if finding is None:
        return JudgedFigure(why=pair.failure or "measured in neither")
    if finding.difference is None or finding.low is None or finding.high is None:
        return JudgedFigure(why=finding.why or finding.verdict)
    base = 1 if condition.form == "ratio" else 0
    value, low, high = (base + one for one in (finding.difference, finding.low, finding.high))
    return JudgedFigure(value, low, high, one_speaker(finding.unit, METRICS[finding.metric].label))


def _own(cell: CellSummary, metric: str) -> JudgedFigure:
    """Return a cell's own figure: of shares of words with the interval of its rows, else the mean over processes."""
    value = median_of(cell, metric)
    if value is None:
        return JudgedFigure(why="it was not measured" if cell.rows else f"the cell gave nothing: {failure(cell)}")
    if metric in FIXED:
        return JudgedFigure(value, value, value)
    if metric in ABSOLUTE:
        low, high = (median_of(cell, f"{metric}_ci_{end}") for end in ("low", "high"))
        unit, label = as_text(cell.shared.get("wer_ci_unit")), METRICS[metric].label
        return JudgedFigure(value, low, high, "it has no interval" if low is None else one_speaker(unit, label))
    measured = by_unit(cell, metric)
    found = summarise(list(measured.values()))
    if found is None or len({number for number, _ in measured}) == 1:
        return JudgedFigure(value, why="too few repeats")
    return JudgedFigure(found.mean, found.low, found.high)
