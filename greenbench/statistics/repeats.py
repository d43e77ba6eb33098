"""What repeated measurements of speed or energy say: their middle, their spread, and what they could have resolved."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean, median, stdev

Unit = tuple[int, int | None]
"""What one independent measurement is called: its round, and its repeat where the round does not tell it apart."""


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
        smallest: the smallest b / a - 1 that so many ratios of this spread can resolve, see ``smallest_difference``.
    """

    n: int
    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    smallest: float | None = None


def units(values: Iterable[tuple[int, int, float]]) -> dict[Unit, float]:
    """Reduce repeats to what is independent, so that no interval is narrower than the evidence.

    Windows inside one process share its memory layout, its clocks and its temperature: where a cell ran in
    several processes (rounds), each process counts once, with the mean of its windows. Where it ran in one,
    the windows themselves are the units, and their spread knows nothing of how processes differ. Kalibera &
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

    The interval is Student's t of the mean. A bootstrap or the order statistics of the median cannot give
    95 % from what a benchmark repeats: the widest interval that three values allow, least to most, covers
    the median in 75 % of cases, five in 94 %.

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
    half = _t(n - 1) * stdev(values) / math.sqrt(n)
    return Summary(n, median(values), mean, cv_pct(values), mean - half, mean + half)


def ratio_by_round(values_a: Mapping[Unit, float], values_b: Mapping[Unit, float]) -> Ratio | None:
    """Compare two variants by the ratio of a figure within each round.

    Cells of one round run close to each other, so that what drifts from round to round (temperature, other
    load) cancels in the ratio. Ratios average geometrically (Fleming & Wallace, "How not to lie with
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
    found = summarise([math.log(values_b[unit] / values_a[unit]) for unit in common])
    if found is None:
        return None
    if found.low is None or found.high is None:
        return Ratio(found.n, math.exp(found.mean))
    error, freedom = (found.high - found.mean) / _t(found.n - 1), found.n - 1
    smallest = math.expm1(_resolvable(freedom) * error)
    p = _p(found.mean, error, freedom)
    return Ratio(found.n, math.exp(found.mean), math.exp(found.low), math.exp(found.high), p, smallest)


def smallest_difference(cv: float, n_a: int, n_b: int) -> float | None:
    """Return the smallest relative difference of two means that so many units of this spread can resolve.

    The difference which a two-sided t test of two independent samples at 5 % finds with a power of 80 %, from
    the noncentral t distribution with n_a + n_b - 2 degrees of freedom; Cohen, "Statistical power analysis for
    the behavioral sciences" (1988), chapter 2. (A significant result of the wrong sign is not counted.)

    Args:
        cv: coefficient of variation of one unit, the same for both variants.
        n_a: units of the one.
        n_b: units of the other.

    Returns:
        The difference as a share of the mean, in the unit of ``cv`` (percent where that is); None for fewer
        than two units on either side.
    """
    if min(n_a, n_b) < 2:
        return None
    return _resolvable(n_a + n_b - 2) * cv * math.sqrt(1 / n_a + 1 / n_b)


def _resolvable(freedom: int) -> float:
    """Return the difference that a t test at 5 % finds with a power of 80 %, in standard errors."""
    from scipy.special import nctdtrinc

    return float(nctdtrinc(freedom, 0.2, _t(freedom)))


def _p(mean: float, error: float, freedom: int) -> float:
    """Return the two-tailed p of a mean with this standard error."""
    from scipy.special import stdtr

    if error == 0:
        return float(mean == 0)
    return float(2 * stdtr(freedom, -abs(mean) / error))


def _t(freedom: int) -> float:
    """Return the 97.5th percentile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))
