"""Statistics of repeated measurements of speed or energy: median, spread, ratios, and the resolvable difference."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean, median, stdev

from greenbench.statistics import student

Unit = tuple[int, int | None]
"""The name of one independent measurement: its round, and its repeat where all are of one round."""


@dataclass(frozen=True)
class Summary:
    """One figure over its units.

    Attributes:
        n: units, see ``units``.
        median: of the units.
        mean: of the units.
        cv_pct: coefficient of variation, sample deviation / mean, in percent; None for fewer than two units, or a
            mean of 0.
        low, high: 95 % interval of the mean; None for fewer than two units.
    """

    n: int
    median: float
    mean: float
    cv_pct: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Ratio:
    """A figure of b over the same figure of a, measured in the same rounds.

    Attributes:
        n: units that both have: rounds, or windows where there is only one round.
        value: geometric mean of their ratios b / a.
        low, high: its 95 % interval; None for fewer than two units.
        p: two-tailed, of Student's t test that the ratio is 1; None for fewer than two units.
        smallest: the smallest b / a - 1 that this number of ratios with this spread resolves, see
            ``student.resolvable``.
    """

    n: int
    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    smallest: float | None = None


def units(values: Iterable[tuple[int, int, float]]) -> dict[Unit, float]:
    """Reduce repeats to independent measurements, so that no interval is narrower than the evidence.

    Windows inside one process share its memory layout, its clocks and its temperature: where a cell ran in
    several processes (rounds), each process counts once, with the mean of its windows. Where it ran in one, the
    windows themselves are the units, and their spread does not include how processes differ. Kalibera &
    Jones, "Rigorous benchmarking in reasonable time" (ISMM 2013): repeat, and count, the highest level that
    varies.

    Args:
        values: round, repeat and value of each window.

    Returns:
        The mean by ``(round, None)``, or the value by ``(round, repeat)`` where there is only one round.
    """
    ordered = sorted(values)
    if len({number for number, _, _ in ordered}) == 1:
        return {(number, repeat): value for number, repeat, value in ordered}
    by_round = groupby(ordered, key=lambda window: window[0])
    return {(number, None): fmean(value for *_, value in windows) for number, windows in by_round}


def cv_pct(values: Sequence[float]) -> float | None:
    """Return the coefficient of variation: sample deviation / mean, in percent.

    Args:
        values: of one figure.

    Returns:
        None for fewer than two values or a mean of 0.
    """
    if len(values) < 2 or not fmean(values):
        return None
    return 100 * stdev(values) / abs(fmean(values))


def summarise(values: Sequence[float]) -> Summary | None:
    """Summarise independent measurements of one figure.

    The interval is Student's t of the mean. A bootstrap, or the order statistics of the median, cannot reach 95 % with
    a benchmark's few repeats: the widest interval that three values allow, from the least to the largest, covers the
    median in 75 % of cases, that of five in 94 %.

    Args:
        values: one a unit, from ``units``.

    Returns:
        The summary, or None without values.
    """
    if not values:
        return None
    mean, n = fmean(values), len(values)
    if n < 2:
        return Summary(n, median(values), mean, None, None, None)
    half = student.quantile(n - 1) * stdev(values) / math.sqrt(n)
    return Summary(n, median(values), mean, cv_pct(values), mean - half, mean + half)


def ratio_by_round(values_a: Mapping[Unit, float], values_b: Mapping[Unit, float]) -> Ratio | None:
    """Compare two variants by the ratio of a figure within each round.

    The cells of a round are measured close to each other, so that drifts from round to round (temperature, other
    load) cancel in the ratio. Ratios average geometrically (Fleming & Wallace, "How not to lie with
    statistics", CACM 1986) and the interval is Student's t on their logarithms, so that b / a is exactly the
    inverse of a / b.

    Args:
        values_a: the reference's figure by unit, from ``units``.
        values_b: the other's. Units that only one of them has are left out.

    Returns:
        The ratio b / a, or None without a unit in common, or where a figure is not above 0.
    """
    common = sorted(values_a.keys() & values_b.keys())
    if any(min(values_a[unit], values_b[unit]) <= 0 for unit in common):
        return None
    summary = summarise([math.log(values_b[unit] / values_a[unit]) for unit in common])
    if summary is None:
        return None
    if summary.low is None or summary.high is None:
        return Ratio(summary.n, math.exp(summary.mean))
    error, freedom = (summary.high - summary.mean) / student.quantile(summary.n - 1), summary.n - 1
    smallest = math.expm1(student.resolvable(freedom) * error)
    p = student.p_value(summary.mean, error, freedom)
    return Ratio(summary.n, math.exp(summary.mean), math.exp(summary.low), math.exp(summary.high), p, smallest)
