"""Comparisons with control cells: a difference counts as shown only if it is significant with and without them."""

import math
from collections.abc import Mapping
from dataclasses import replace

from greenbench.statistics.repeats import Ratio, Unit, ratio_by_round


def hull(
    values: tuple[Mapping[Unit, float], Mapping[Unit, float]],
    controls: tuple[Mapping[int, float], Mapping[int, float]],
    raw: Ratio,
) -> Ratio:
    """Widen a ratio by the change of the control cell in the same rounds.

    How much of a machine's change affects a cell is not known: none of it (then the ratio itself is right) or all of
    it (then the ratio of the cell over its control is right). The interval covers both, and p is the larger, so a
    difference is shown only where both show it in the same direction. This is the intersection-union test (Berger
    1982, Technometrics 24): its level is that of each test, whichever ratio is right.

    Args:
        values: a figure of both sides by unit, the reference first.
        controls: the control's figure in the same direction, by round, of both sides.
        raw: the ratio of the values, from ``ratio_by_round``.

    Returns:
        The ratio with the wider interval, the larger p, and the smallest difference that both would resolve; ``raw``
        itself where fewer than two rounds have a control on both sides.
    """
    rounds = controls[0].keys() & controls[1].keys()
    relative = ratio_by_round(*({unit: value / control[unit[0]] for unit, value in side.items() if unit[0] in rounds}
                                for side, control in zip(values, controls, strict=True)))  # fmt: skip
    if relative is None or raw.low is None or raw.high is None or relative.low is None or relative.high is None:
        return raw
    agree = (raw.value - 1) * (relative.value - 1) > 0
    return replace(
        raw,
        low=min(raw.low, relative.low),
        high=max(raw.high, relative.high),
        p=max(raw.p or 0.0, relative.p or 0.0) if agree else 1.0,
        smallest=_smallest(raw, relative),
    )


def _smallest(raw: Ratio, relative: Ratio) -> float | None:
    """Return the smallest difference that both resolve, in whichever direction the machine changed between them."""
    if raw.smallest is None or relative.smallest is None:
        return None
    shift = abs(math.log(raw.value / relative.value))
    return math.expm1(math.log1p(max(raw.smallest, relative.smallest)) + shift)
