"""Student's t for intervals and tests: its quantile, a p value, and the difference that a t test resolves."""

from functools import lru_cache

import numpy as np

from greenbench.statistics.distributions import gamma_quantile, normal_below, t_critical, t_two_tailed

LEVEL = 0.05
"""The largest p, adjusted over all comparisons, at which a difference counts as shown."""

POWER = 0.8
"""The share of comparisons in which the smallest resolvable difference is detected."""

_N_SPREADS = 200

_NEAR = 1e-4


def quantile(freedom: float, level: float = LEVEL) -> float:
    """Return the 97.5th percentile of Student's t, or that of another level.

    Args:
        freedom: degrees of freedom, above 0; need not be whole.
        level: probability beyond it on both sides together.
    """
    return t_critical(freedom, level)


def p_value(estimate: float, error: float, freedom: float) -> float:
    """Return the two-tailed p value of the hypothesis that the estimated quantity is 0."""
    if error == 0:
        return float(estimate == 0)
    return t_two_tailed(freedom, estimate / error)


@lru_cache(maxsize=2**10)
def resolvable(freedom: float) -> float:
    """Return the difference that a two-sided t test at 5 % detects with a power of 80 %, in estimated standard errors.

    The power of a difference of c true standard errors is that of the noncentral t distribution (Cohen, "Statistical
    power analysis for the behavioral sciences", 1988, chapter 2). The true standard error is not known: the one that
    c is multiplied with is estimated from a sample, and too small in about half of all samples. So c is chosen such
    that the power is 80 % on average over such estimates (the assurance of O'Hagan, Stevens and Campbell, 2005).
    Results of the wrong sign do not count.

    Args:
        freedom: degrees of freedom of the standard error.
    """
    middles = [(number + 0.5) / _N_SPREADS for number in range(_N_SPREADS)]
    squares = [2 * gamma_quantile(freedom / 2, p) / freedom for p in middles]  # chi squared over its freedom
    spreads = np.sqrt(squares)  # what a sample estimates, over what is true
    limits = quantile(freedom) * spreads  # of the other sample, in which the difference must stand out
    low, high = 0.1, 1e4
    while high - low > _NEAR:
        c = (low + high) / 2
        low, high = (c, high) if float(normal_below(c * spreads[:, None] - limits).mean()) < POWER else (low, c)
    return (low + high) / 2
