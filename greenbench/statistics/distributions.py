"""Student's t and the gamma distribution, for intervals and tests; scipy, which has both, is 140 MB.

Both use continued fractions and series as in Press et al., "Numerical recipes" (3rd edition, 2007), sections 6.2 and
6.4, with leading factors that lose no digits where a parameter is large. The tests compare them with scipy.
"""

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

_TINY = 1e-300
_EPS = 1e-16
_LARGE = 20.0
"""From here on an asymptotic series of the gamma function is as good as the function itself."""

_MAX_STEPS = 100_000


def t_two_tailed(freedom: float, t: float) -> float:
    """Return the probability that Student's t is at least as far from 0 as ``t``.

    Args:
        freedom: degrees of freedom, above 0.
        t: of either sign.
    """
    if t == 0 or math.isnan(t):
        return 1.0 if t == 0 else math.nan
    a, square = freedom / 2, t * t
    x, rest = freedom / (freedom + square), square / (freedom + square)
    front = math.exp(_log_beta_front(a, square / freedom, rest))
    if x < (a + 1) / (a + 2.5):
        return front * _beta_fraction(a, 0.5, x) / a
    return 1 - front * _beta_fraction(0.5, a, rest) / 0.5


@lru_cache(maxsize=2**12)
def t_critical(freedom: float, level: float) -> float:
    """Return the t that is exceeded on both sides together with the probability ``level``, by Newton's method.

    The function is convex right of 0, so that steps from the left never pass the solution: the first step that does
    not go on is rounding.
    """
    t = 0.0
    log_norm = _log_gamma_ratio(freedom / 2) - 0.5 * math.log(freedom * math.pi)
    for _ in range(_MAX_STEPS):
        density = math.exp(log_norm - (freedom + 1) / 2 * math.log1p(t * t / freedom))
        step = (t_two_tailed(freedom, t) - level) / (2 * density)
        if step <= 1e-14 * t:
            break
        t += step
    return t


def gamma_quantile(shape: float, p: float) -> float:
    """Return the value below which a gamma variable of unit scale lies with probability ``p``.

    Args:
        shape: above 0.
        p: between 0 and 1, both excluded.
    """
    x, low, high = _gamma_start(shape, p), 0.0, math.inf
    for _ in range(_MAX_STEPS):
        error = gamma_below(shape, x) - p
        low, high = (low, x) if error > 0 else (x, high)
        slope = math.exp(_log_gamma_front(shape, x)) / x if x > 0 else 0.0
        new = x - error / slope if slope > 0 else math.nan
        if not low <= new <= high:
            new = 2 * x if math.isinf(high) else (low + high) / 2
        if abs(new - x) <= 1e-14 * new:
            return new
        x = new
    return x


def gamma_below(shape: float, x: float) -> float:
    """Return the probability that a gamma variable of unit scale is at most ``x``."""
    if x <= 0:
        return 0.0
    front = math.exp(_log_gamma_front(shape, x))
    return front * _gamma_series(shape, x) if x < shape + 1 else 1 - front * _gamma_fraction(shape, x)


def normal_below(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the probability that a standard normal variable is at most ``x``, to within 1e-7, for arrays of any shape.

    Abramowitz & Stegun, "Handbook of mathematical functions" (1964), formula 26.2.17.
    """
    t = 1 / (1 + 0.2316419 * np.abs(x))
    series = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    tail = np.exp(-x * x / 2) / math.sqrt(2 * math.pi) * series
    return np.where(x > 0, 1 - tail, tail)


def _log_beta_front(a: float, odds: float, rest: float) -> float:
    """Return the logarithm of x^a (1 - x)^(1/2) / B(a, 1/2), with odds = (1 - x) / x and rest = 1 - x."""
    return _log_gamma_ratio(a) - 0.5 * math.log(math.pi) - a * math.log1p(odds) + 0.5 * math.log(rest)


def _log_gamma_ratio(a: float) -> float:
    """Return log G(a + 1/2) - log G(a)."""
    if a < _LARGE:
        return math.lgamma(a + 0.5) - math.lgamma(a)
    b = 1 / a
    return 0.5 * math.log(a) - b / 8 + b**3 / 192 - b**5 / 640 + 17 * b**7 / 14336


def _log_gamma_front(shape: float, x: float) -> float:
    """Return the logarithm of x^shape e^-x / G(shape)."""
    if shape < _LARGE:
        return shape * math.log(x) - x - math.lgamma(shape)
    away, b = (x - shape) / shape, 1 / shape
    stirling = b / 12 - b**3 / 360 + b**5 / 1260 - b**7 / 1680
    return shape * (math.log1p(away) - away) + 0.5 * math.log(shape / (2 * math.pi)) - stirling


def _gamma_start(shape: float, p: float) -> float:
    """Return a first guess: by Wilson and Hilferty's cube, or by the first term of the series where shape is small."""
    from statistics import NormalDist

    cube = 1 - 1 / (9 * shape) + NormalDist().inv_cdf(p) / (3 * math.sqrt(shape))
    if shape >= 1 and cube > 0:
        return shape * cube**3
    return math.exp(max((math.log(p) + math.lgamma(shape + 1)) / shape, -700.0))


def _gamma_series(shape: float, x: float) -> float:
    total = term = 1 / shape
    for step in range(1, _MAX_STEPS):
        term *= x / (shape + step)
        total += term
        if term < total * _EPS:
            break
    return total


def _gamma_fraction(shape: float, x: float) -> float:
    """Evaluate the continued fraction of the upper incomplete gamma function by Lentz' method."""
    b = x + 1 - shape
    c, d = 1 / _TINY, 1 / b
    fraction = d
    for step in range(1, _MAX_STEPS):
        weight = -step * (step - shape)
        b += 2
        d = 1 / _nonzero(weight * d + b)
        c = _nonzero(b + weight / c)
        fraction *= d * c
        if abs(d * c - 1) <= _EPS:
            break
    return fraction


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Evaluate the continued fraction of the incomplete beta function by Lentz' method."""
    c, d = 1.0, 1 / _nonzero(1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, _MAX_STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for weight in (even, odd):
            d = 1 / _nonzero(1 + weight * d)
            c = _nonzero(1 + weight / c)
            fraction *= d * c
        if abs(d * c - 1) <= _EPS:
            break
    return fraction


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
