"""Confidence intervals of a corpus error rate, and of the difference of two, over speakers.

The unit is the speaker, whose utterances share a voice, an accent and a microphone; where speakers are not known it is
the utterance. An error rate is a ratio of two sums, its variance that of the delete-one jackknife, and few speakers are
few degrees of freedom. A bootstrap over ten speakers has a coverage of 86 % where 95 % is nominal;
``tools/coverage.py`` simulates the coverage of the methods here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from greenbench.statistics import student
from greenbench.statistics.distributions import gamma_quantile

_Array = npt.NDArray[np.float64]

_ROUNDING = 1e-14
"""The variance of units that all have one rate, over its square: what rounding leaves of nothing."""


@dataclass(frozen=True)
class Difference:
    """The error rate of system b less that of system a, as a fraction of the reference words.

    Attributes:
        value: rate b - rate a over the whole sample; negative where b errs less.
        low, high: the 95 % interval.
        p: two-tailed, of Student's t test over the units that the rates are the same; an interval without 0 has a p
            of at most 0.05.
        error: standard error, half of the interval over Student's t.
        freedom: its degrees of freedom.
        n_words: reference words.
    """

    value: float
    low: float
    high: float
    p: float
    error: float
    freedom: float
    n_words: int


@dataclass(frozen=True)
class _Rate:
    """A ratio of sums: its value, how it changes with each unit (squares sum to its variance), and its interval."""

    value: float
    changes: _Array
    low: float
    high: float


def rate_interval(
    errors: Sequence[int], words: Sequence[int], blocks: Sequence[str] | None, level: float = student.LEVEL
) -> tuple[float, float] | None:
    """Estimate the 95 % interval of a corpus error rate.

    The variance is that of the delete-one jackknife over the units (Cochran, "Sampling techniques", 1977, section
    6.17, in the form for unequal sizes). The interval is the exact one of a count (Garwood, 1936) with as many errors
    as independent ones of this variance would be, fewer where units are few: Korn & Graubard, "Confidence intervals
    for proportions with small expected number of positive counts estimated from survey data" (1998), with a count in
    place of a proportion, since an error rate may exceed 1. It is never below 0 and wider upwards; where no error was
    seen it ends at three errors (the rule of three). The degrees of freedom are Kish's effective number of units,
    (sum w)^2 / sum w^2, less one.

    Args:
        errors: edits per utterance, shape ``(n_utterances,)``.
        words: reference words per utterance, shape ``(n_utterances,)``.
        blocks: the speaker of each utterance; None takes each utterance as a unit.
        level: the probability that the interval misses the rate. With ``LEVEL / n`` for each of n rates all n intervals
            hold together with 95 % (Bonferroni), so that each one may be picked for what it shows.

    Returns:
        Both ends, or None where fewer than two units have words.
    """
    totals = _block_totals((errors, words), blocks)
    if totals is None:
        return None
    rate = _rate(totals[0], totals[1], level)
    return rate.low, rate.high


def paired_difference(
    errors_a: Sequence[int], errors_b: Sequence[int], words: Sequence[int], blocks: Sequence[str] | None
) -> Difference | None:
    """Estimate how much two systems' corpus error rates differ on the same utterances.

    Only utterances in which the systems differ count: those in which b errs more and those in which it errs less are
    two rates, and what is hard for both cancels. Each end of the interval is the farther of two: Student's t on the
    difference of the rates, and the two rates' own intervals put together (MOVER: Zou & Donner, "Construction of
    confidence limits about effect measures", 2008), which is skewed as rare differences are, and is wider than
    nothing where no utterance differs.

    Args:
        errors_a: edits of system a per utterance, shape ``(n_utterances,)``.
        errors_b: edits of system b, on the same utterances in the same order.
        words: reference words per utterance, shape ``(n_utterances,)``.
        blocks: the speaker of each utterance; None takes each utterance as a unit.

    Returns:
        The difference b - a, or None where fewer than two units have words.
    """
    change = np.asarray(errors_b, np.int64) - np.asarray(errors_a, np.int64)
    totals = _block_totals((np.maximum(change, 0), np.maximum(-change, 0), words), blocks)
    if totals is None:
        return None
    return _difference(_rate(totals[0], totals[2]), _rate(totals[1], totals[2]), totals[2])


def rates_difference(
    a: Sequence[tuple[int, int]], b: Sequence[tuple[int, int]], blocks: Sequence[str] | None
) -> Difference | None:
    """Estimate how much two systems' ratios differ where the denominators depend on the system, too.

    Both are on the same utterances. The interval is made as that of ``paired_difference``, of the two ratios
    themselves, whose correlation over the units is taken into account.

    Args:
        a: numerator and denominator of system a for each utterance.
        b: those of system b, on the same utterances in the same order.
        blocks: the speaker of each utterance; None takes each utterance as a unit.

    Returns:
        The difference b - a, or None where fewer than two units have a denominator in either system. Its ``n_words`` is
        the smaller of the two sums of denominators.
    """
    totals = _block_totals((*zip(*a, strict=True), *zip(*b, strict=True)), blocks) if a else None
    if totals is None or np.count_nonzero(totals[1]) < 2:
        return None
    return _difference(_rate(totals[2], totals[3]), _rate(totals[0], totals[1]), min(totals[1], totals[3], key=np.sum))


def _difference(more: _Rate, fewer: _Rate, words: _Array) -> Difference:
    """Return the difference of two correlated rates over the units of these words."""
    value, freedom = more.value - fewer.value, _freedom(words)
    by_chance = sqrt((more.value + fewer.value) / words.sum())  # where all units differ by exactly the same
    error = float(np.linalg.norm(more.changes - fewer.changes)) or by_chance
    reach, (low, high) = student.quantile(freedom) * error, _mover(more, fewer)
    low, high = min(value - reach, low), max(value + reach, high)
    half = (high - low) / 2 / student.quantile(freedom)
    return Difference(value, low, high, student.p_value(value, error, freedom), half, freedom, int(words.sum()))


def _rate(errors: _Array, words: _Array, level: float = student.LEVEL) -> _Rate:
    """Return the ratio of the sums over units, with its interval."""
    total, n = words.sum(), len(words)
    value = float(errors.sum() / total)
    changes = sqrt((n - 1) / n) * (errors - value * words) / (total - words)
    variance = float(changes @ changes)
    is_known = variance > _ROUNDING * value**2
    counted = value / variance if is_known else float(total)  # the words of as many independent errors
    counted *= (NormalDist().inv_cdf(1 - level / 2) / student.quantile(_freedom(words), level)) ** 2
    if value == 0:  # the rule of three: the lower end cannot miss, so the upper one may in 5 %
        return _Rate(value, changes, 0.0, gamma_quantile(1, 1 - level) / counted)
    low, high = gamma_quantile(value * counted, level / 2), gamma_quantile(value * counted + 1, 1 - level / 2)
    return _Rate(value, changes, low / counted, high / counted)


def _mover(more: _Rate, fewer: _Rate) -> tuple[float, float]:
    """Put the intervals of two correlated rates together to that of their difference."""
    norms = float(np.linalg.norm(more.changes) * np.linalg.norm(fewer.changes))
    correlation = float(more.changes @ fewer.changes) / norms if norms > 0 else 0.0
    value = more.value - fewer.value
    below, above = (more.value - more.low, fewer.high - fewer.value), (more.high - more.value, fewer.value - fewer.low)
    reach = [sqrt(max(x * x + y * y - 2 * correlation * x * y, 0.0)) for x, y in (below, above)]
    return value - reach[0], value + reach[1]


def _freedom(words: _Array) -> float:
    """Return the degrees of freedom: the effective number of units, less one; at least one."""
    return max(float(words.sum() ** 2 / (words @ words)) - 1, 1.0)


def _block_totals(counts: Sequence[npt.ArrayLike], blocks: Sequence[str] | None) -> _Array | None:
    """Sum counts by unit, shape ``(n_counts, n_units)``, words last; None where fewer than two units have words."""
    totals = np.array(counts, np.float64)
    if blocks is not None:
        _, index = np.unique(np.asarray(blocks), return_inverse=True)
        totals = np.stack([np.bincount(index, weights=count) for count in totals])
    return None if np.count_nonzero(totals[-1]) < 2 else totals
