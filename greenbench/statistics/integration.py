"""Energy integrated from samples of power."""

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

MIN_INSIDE = 2
"""The fewest samples within a window: a window shorter than the source's period cannot be integrated."""


def energy_j(
    times: Numbers, watts: Numbers, start_s: float, end_s: float, max_gap_s: float
) -> tuple[float | None, str | None]:
    """Integrate power over a window by trapezoids, but only where the samples are sufficient.

    Args:
        times: of the samples in s, in the order in which they were taken.
        watts: the samples.
        start_s: start of the window on the same clock.
        end_s: its end.
        max_gap_s: the longest time between samples over which may be integrated.

    Returns:
        Joules, or None and why the samples are not sufficient.
    """
    if not len(times) or times.min() > start_s or times.max() < end_s:
        return None, "the samples of power do not reach over the window"
    inside = np.flatnonzero((times >= start_s) & (times <= end_s))
    if len(inside) < MIN_INSIDE:
        return None, f"{len(inside)} samples of power in a window of {end_s - start_s:.2f} s are too few"
    over = slice(max(inside[0] - 1, 0), inside[-1] + 2)
    times, watts = times[over], watts[over]
    steps = np.diff(times)
    if steps.min() < 0 or times[0] > start_s or times[-1] < end_s:
        return None, "the samples of power are out of order"
    if steps.max() > max_gap_s:
        return None, f"there is no sample of power for {steps.max():.1f} s"
    return area_j(times, watts, start_s, end_s), None


def area_j(times: Numbers, watts: Numbers, start_s: float, end_s: float) -> float:
    """Integrate power over a window within its samples: trapezoids, with the power at both edges interpolated."""
    inner = (times > start_s) & (times < end_s)
    at = np.concatenate([[start_s], times[inner], [end_s]])
    return float(np.trapezoid(np.interp(at, times, watts), at))
