"""Power becomes energy only where the samples are sufficient."""

import numpy as np
import pytest

from greenbench.statistics import integration

STEADY = [t / 10 for t in range(51)]


@pytest.mark.parametrize(
    ("times", "window", "lacks"),
    [
        (STEADY, (1.0, 4.0), None),
        (STEADY, (1.03, 1.26), None),
        (STEADY, (1.03, 1.17), "1 samples of power in a window of 0.14 s are too few"),
        (STEADY, (4.0, 5.05), "do not reach over the window"),
        (STEADY, (-0.1, 1.0), "do not reach over the window"),
        (STEADY, (6.0, 7.0), "do not reach over the window"),
        ([0.0, 0.5, 9.0], (1.0, 4.0), "0 samples of power"),
        ([*STEADY[:20], *STEADY[32:]], (1.0, 4.0), "no sample of power for 1.3 s"),
        ([*STEADY[:20], *STEADY[32:]], (3.3, 4.0), None),  # the gap is before the window
        ([0.0, 1.0, 3.0, 2.0, 4.0, 5.0], (0.5, 4.5), "out of order"),
        ([0.0, 0.5, 1.0, 1.5, 9.0, 8.0], (0.4, 1.2), None),  # the disorder is after the window
        ([*STEADY, *STEADY], (1.0, 4.0), "out of order"),  # a clock that was set back: the window is there twice
        ([], (1.0, 4.0), "do not reach over the window"),
    ],
)
def test_joules_only_where_the_samples_bear_them(times: list[float], window: tuple, lacks: str | None) -> None:
    """A gap, disorder, too few samples or an edge without one gives None and says so; elsewhere they do no harm."""
    joules, why = integration.energy_j(np.array(times), np.full(len(times), 20.0), *window, max_gap_s=1.0)
    if lacks is None:
        assert joules == pytest.approx(20 * (window[1] - window[0]))
        assert why is None
    else:
        assert joules is None
        assert lacks in why
