"""Correction of p values for several tests at once, after Holm."""

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values of several comparisons so that the chance of any false finding stays below the level.

    Holm, "A simple sequentially rejective multiple test procedure" (Scandinavian Journal of Statistics, 1979).

    Args:
        p_values: of all comparisons made, in any order.

    Returns:
        The adjusted values, in the same order.
    """
    adjusted, least = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = least
    return adjusted
