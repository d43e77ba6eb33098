"""Percentiles, given only where the sample allows them: MLPerf's early-stopping rule."""

import math
import statistics
from collections.abc import Sequence

CONFIDENCE = 0.99
MIN_FOR_MEDIAN = 7
"""Fewest samples whose largest value bounds their median with ``CONFIDENCE``."""


def median(samples: Sequence[float]) -> float | None:
    """Return the median, or None where there are fewer than ``MIN_FOR_MEDIAN`` samples."""
    return statistics.median(samples) if len(samples) >= MIN_FOR_MEDIAN else None


def upper_bound(samples: Sequence[float], pct: int) -> float | None:
    """Return the value below which the percentile lies with 99 % confidence; None where there are too few samples.

    The early-stopping rule of MLPerf's LoadGen (``early_stopping.cc``; confidence 0.99, tolerance 0): where ``k`` of
    ``n`` samples may lie beyond the percentile, the ``k + 1`` largest of them bounds it. LoadGen itself reports the
    next larger sample. The more samples there are, the closer the bound comes to the percentile.

    Args:
        samples: the values, in any order; independent draws, or the confidence is nominal.
        pct: 90, 95, 99 ...
    """
    n_beyond = most_beyond(len(samples), pct)
    return None if n_beyond is None else float(sorted(samples)[-n_beyond - 1])


def most_beyond(n: int, pct: int) -> int | None:
    """Return how many of ``n`` samples may lie beyond a bound that still contains the percentile with confidence.

    Args:
        n: samples.
        pct: 90, 95, 99 ...

    Returns:
        The largest ``k`` with ``P(Binomial(n, 1 - pct / 100) <= k) <= 1 - CONFIDENCE``, or None where even 0 is too
        many. ``k`` exceedances thus need at least 44, 64, 81 ... samples at 90 %, 90, 130, 165 ... at 95 %, and
        459, 662, 838 ... at 99 % for ``k`` = 0, 1, 2 ...
    """
    share = 1 - pct / 100
    log_odds, log_term, chance = math.log(share / (1 - share)), n * math.log(1 - share), 0.0
    for k in range(n):
        chance += math.exp(log_term)  # of exactly k beyond; in logarithms, since for a large n the first ones underflow
        if chance > 1 - CONFIDENCE:
            return k - 1 if k else None
        log_term += math.log((n - k) / (k + 1)) + log_odds
    return None


def holds(n: int, n_beyond: int, pct: int) -> bool:
    """Say whether a percentile lies within a bound with confidence, where so many of ``n`` samples lie beyond it."""
    most = most_beyond(n, pct)
    return most is not None and n_beyond <= most


def fewest(pct: int) -> int:
    """Return the fewest samples that can bound a percentile: with so many, none may lie beyond the bound."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(pct / 100))
