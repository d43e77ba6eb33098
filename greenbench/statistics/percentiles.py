"""Percentiles, given only where the sample allows them."""

from collections.abc import Sequence

import numpy as np

MIN_SAMPLES = {50: 7, 90: 44, 99: 459}
"""Fewest samples whose largest value bounds a percentile with 99 % confidence: the smallest n with p^n <= 0.01,
the early-stopping rule of MLPerf LoadGen with no sample beyond the bound."""


def percentile(samples: Sequence[float], pct: int) -> float | None:
    """Return a percentile, or None where there are fewer samples than ``MIN_SAMPLES`` asks for.

    Args:
        samples: the values, in any order.
        pct: 50, 90 or 99.
    """
    if len(samples) < MIN_SAMPLES[pct]:
        return None
    return float(np.percentile(np.asarray(samples), pct))
