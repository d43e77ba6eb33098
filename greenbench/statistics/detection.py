"""How well scores tell present from absent: the equal error rate and other figures of the ROC, with intervals.

The unit of an interval is the speaker, as that of an error rate is; where speakers are not known it is the utterance.
"""

from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from greenbench.statistics import student
from greenbench.statistics.intervals import Difference

FPR = 0.05
"""The share of absent ones that may be accepted, of ``tpr_at_fpr``."""

MISSED = 0.05
"""The share of present ones that may be missed, of ``false_alarm_rate``."""

P_TARGET = 0.01
"""How likely something is present before it is looked at, of ``least_cost``."""

N_RESAMPLES, DRAWS_AT_ONCE = 1_000, 1_000_000

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trials:
    """Decisions to be made by a score: whether something is present.

    Attributes:
        scores: of each trial, shape ``(n_trials,)``: the higher, the more likely present; minus infinity is allowed.
        present: whether it is.
        units: the unit of each trial, numbered from 0 on: its speaker, or its utterance.
        others: where each trial compares two, the unit of the second side, by the same numbers; else None.
    """

    scores: _Array
    present: npt.NDArray[np.bool_]
    units: npt.NDArray[np.int64]
    others: npt.NDArray[np.int64] | None = None

    @property
    def n_units(self) -> int:
        """How many units there are."""
        sides = (self.units, self.others)
        return max((int(side.max()) + 1 for side in sides if side is not None and len(side)), default=0)

    def weights(self, drawn: _Array) -> _Array:
        """Return how often each trial is in each sample of units, ``(n_samples, n_trials)``.

        A trial of two units is there as often as the one is together with the other: the bootstrap of pairs (Snijders &
        Borgatti, "Non-parametric standard errors and tests for network statistics", Connections 22, 1999). What a
        speaker who was drawn twice says twice makes no trial of two speakers.

        Args:
            drawn: how often each unit was drawn, ``(n_samples, n_units)``.
        """
        of_units: _Array = drawn[:, self.units]
        if self.others is None:
            return of_units
        return np.where(self.others == self.units, of_units, of_units * drawn[:, self.others])

    @property
    def can_be_judged(self) -> bool:
        """Whether some are present and some absent."""
        return bool(self.present.any() and not self.present.all())


class Roc(NamedTuple):
    """What is accepted as the threshold falls below each different score; both begin at 0 and end at 1.

    Attributes:
        false: share of absent ones that are accepted, shape ``(n_samples, n_thresholds + 1)``.
        found: share of present ones that are accepted, the same shape.
    """

    false: _Array
    found: _Array


def roc(trials: Trials, weights: _Array | None = None) -> Roc:
    """Return the receiver operating characteristic; trials with one score are accepted together.

    Args:
        trials: some present, some absent.
        weights: how often each trial is in each sample, shape ``(n_samples, n_trials)``; None for each once.
    """
    order = np.argsort(-trials.scores, kind="stable")
    ordered, present = trials.scores[order], trials.present[order]
    counts = np.ones((1, len(order))) if weights is None else weights[:, order]
    ends = np.append(ordered[1:] != ordered[:-1], True)
    accepted = [np.cumsum(np.where(kind, counts, 0.0), axis=1)[:, ends] for kind in (~present, present)]
    return Roc(*(np.pad(of / of[:, -1:], ((0, 0), (1, 0))) for of in accepted))


def equal_error_rate(curve: Roc) -> _Array:
    """Return where the shares of misses and of false alarms are equal, by linear interpolation between thresholds.

    Martin et al., "The DET curve in assessment of detection task performance" (Eurospeech 1997) names the point; the
    interpolation is that of a threshold drawn between two neighbours.
    """
    gap = 1 - curve.found - curve.false  # falls from 1 to -1
    after = np.argmax(gap <= 0, axis=1)
    rows = np.arange(len(gap))
    above, below = gap[rows, after - 1], gap[rows, after]
    share = above / (above - below)
    false: _Array = curve.false[rows, after - 1] * (1 - share) + curve.false[rows, after] * share
    return false


def area(curve: Roc) -> _Array:
    """Return the area under the curve: the share of pairs of present and absent in which the present one scores higher.

    Ties count half (Hanley & McNeil, "The meaning and use of the area under a ROC curve", 1982).
    """
    return np.asarray(np.trapezoid(curve.found, curve.false, axis=1), np.float64)


def found_at(curve: Roc, most_false: float = FPR) -> _Array:
    """Return the largest share found by a threshold that accepts at most this share of the absent ones."""
    found: _Array = np.where(curve.false <= most_false, curve.found, 0.0).max(axis=1)
    return found


def false_at(curve: Roc, most_missed: float = MISSED) -> _Array:
    """Return the smallest share of false alarms by a threshold that misses at most this share of the present ones."""
    false: _Array = np.where(1 - curve.found <= most_missed + 1e-12, curve.false, 1.0).min(axis=1)
    return false


def least_cost(curve: Roc, p_target: float = P_TARGET) -> _Array:
    """Return the least detection cost over all thresholds, as a share of the cost of the better blind decision.

    With the shares of misses and false alarms at a threshold

        C_det = C_miss p_target P_miss + C_fa (1 - p_target) P_fa
        C_norm = C_det / min(C_miss p_target, C_fa (1 - p_target))

    and C_miss = C_fa = 1 (NIST, "2016 Speaker Recognition Evaluation Plan", whose first working point is
    p_target = 0.01). It is 1 at most: nothing has to be accepted.
    """
    cost: _Array = (p_target * (1 - curve.found) + (1 - p_target) * curve.false).min(axis=1)
    return cost / min(p_target, 1 - p_target)


# --- intervals of the equal error rate -------------------------------------------------------------------


def interval(trials: Trials) -> tuple[float, float] | None:
    """Estimate the 95 % interval of the equal error rate by the bootstrap over units.

    Each resample draws as many units as there are, with all of their trials (Liu & Peng, "Statistical testing on ASR
    performance via blockwise bootstrap", 2019, for error rates). Each end is the farther of two: the percentile of the
    resamples, and Student's t times their standard deviation, with one degree of freedom less than units and corrected
    by n / (n - 1), as percentiles over few units are too narrow. Where no resample differs it ends at three errors of
    the smaller kind of trials (the rule of three).

    Returns:
        Both ends within 0 and 1, or None where there are fewer than two units.
    """
    value = float(equal_error_rate(roc(trials))[0])
    found = _around(value, _resampled([trials])[0], trials)
    return None if found is None else (max(found[0], 0.0), min(found[1], 1.0))


def difference(a: Trials, b: Trials) -> Difference | None:
    """Estimate how much two systems' equal error rates differ on the same trials, each resample drawn for both.

    Args:
        a: of the reference.
        b: of the other: the same trials in the same order, with other scores.

    Returns:
        The difference b - a, with ``n_words`` the number of trials, or None where there are fewer than two units.
    """
    value = float(equal_error_rate(roc(b))[0] - equal_error_rate(roc(a))[0])
    of_a, of_b = _resampled([a, b])
    found = _around(value, of_b - of_a, a)
    if found is None:
        return None
    freedom = float(a.n_units - 1)
    error = (found[1] - found[0]) / 2 / student.quantile(freedom)
    return Difference(value, *found, student.p_value(value, error, freedom), error, freedom, len(a.scores))


def _around(value: float, drawn: _Array, trials: Trials) -> tuple[float, float] | None:
    """Return an interval around a figure from its resamples; None where there are fewer than two units."""
    n = trials.n_units
    if n < 2 or len(drawn) < 2:
        return None
    spread = float(drawn.std(ddof=1)) * sqrt(n / (n - 1))
    n_fewer = min(int(trials.present.sum()), int((~trials.present).sum()))
    reach = student.quantile(n - 1) * spread if spread > 0 else 3 / n_fewer
    low, high = map(float, np.percentile(drawn, [2.5, 97.5]))
    return min(low, value - reach), max(high, value + reach)


def _resampled(several: "list[Trials]") -> list[_Array]:
    """Return the equal error rates of the same resamples of units; those without present or absent ones are left out.

    The bits are PCG64's own, which no version of numpy changes.
    """
    first, n = several[0], several[0].n_units
    bits, n_at_once = np.random.PCG64(0), max(1, DRAWS_AT_ONCE // max(n, len(first.scores)))
    drawn: list[list[_Array]] = [[] for _ in several]
    for done in range(0, N_RESAMPLES, n_at_once):
        n_drawn = min(n_at_once, N_RESAMPLES - done)
        units = (bits.random_raw((n_drawn, n)) % np.uint64(n)).astype(np.int64)
        places = (units + n * np.arange(n_drawn)[:, None]).ravel()
        weights = first.weights(np.bincount(places, minlength=n_drawn * n).reshape(n_drawn, n).astype(np.float64))
        kept = weights[(weights[:, first.present].sum(axis=1) > 0) & (weights[:, ~first.present].sum(axis=1) > 0)]
        for trials, rates in zip(several, drawn, strict=True):
            rates.append(equal_error_rate(roc(trials, kept)))
    return [np.concatenate(rates) for rates in drawn]
