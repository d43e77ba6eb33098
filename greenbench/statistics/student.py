"""Student's t as intervals and tests need it: its quantile, a p value, and the difference that a test of it finds."""

from functools import lru_cache

import numpy as np

LEVEL = 0.05
"""The most that p, adjusted over all comparisons, may be where a difference counts as shown."""

POWER = 0.8
"""The share of comparisons that find the smallest difference which is said to be resolved."""

_N_SPREADS = 200


def quantile(freedom: float) -> float:
    """Return the 97.5th percentile of Student's t.

    Args:
        freedom: degrees of freedom, above 0; need not be whole.
    """
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


def p_value(estimate: float, error: float, freedom: float) -> float:
    """Return the two-tailed p of the hypothesis that an estimate with this standard error is of 0."""
    from scipy.special import stdtr

    if error == 0:
        return float(estimate == 0)
    return float(2 * stdtr(freedom, -abs(estimate) / error))


@lru_cache(maxsize=2**10)
def resolvable(freedom: float) -> float:
    """Return the difference that a two-sided t test at 5 % finds with a power of 80 %, in estimated standard errors.

    The power of a difference of c true standard errors is that of the noncentral t distribution (Cohen, "Statistical
    power analysis for the behavioral sciences", 1988, chapter 2). The true standard error is not known: the one that
    c is multiplied with comes from a sample, and is too small in about every second. So c is chosen such that the
    power is 80 % on average over what such samples estimate (the assurance of O'Hagan, Stevens and Campbell, 2005).
    Results of the wrong sign do not count.

    Args:
        freedom: degrees of freedom of the standard error.
    """
    from scipy.optimize import brentq
    from scipy.special import chdtri, ndtr

    middles = (np.arange(_N_SPREADS) + 0.5) / _N_SPREADS
    spreads = np.sqrt(chdtri(freedom, middles) / freedom)  # what a sample estimates, over what is true
    limits = quantile(freedom) * spreads  # of the other sample, in which the difference must stand out

    def missing(c: float) -> float:
        return POWER - float(ndtr(c * spreads[:, None] - limits).mean())

    return float(brentq(missing, 0.1, 1e4, xtol=1e-4))
