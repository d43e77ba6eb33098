"""What a t test needs, against scipy's own distributions."""

import numpy as np
import pytest

from greenbench.statistics import student


def test_the_quantile_and_p_are_students() -> None:
    """The 97.5th percentile at 4 degrees of freedom is 2.776 in every table, and its p is 0.05."""
    assert student.quantile(4) == pytest.approx(2.776, abs=5e-4)
    assert student.p_value(-2.776 * 0.3, 0.3, 4) == pytest.approx(0.05, abs=1e-4)
    assert (student.p_value(0.0, 0.0, 4), student.p_value(0.1, 0.0, 4)) == (1, 0)


def test_with_many_degrees_of_freedom_it_is_the_normal_distribution() -> None:
    """A spread that is known well resolves 1.960 + 0.842 standard errors."""
    assert student.resolvable(10_000) == pytest.approx(2.802, abs=2e-3)


@pytest.mark.parametrize("freedom", [1, 2, 4, 9, 30.5])
def test_the_power_is_that_of_the_noncentral_t(freedom: float) -> None:
    """On average over what samples take their spread to be, the power of scipy's noncentral t is 80 %."""
    from scipy.stats import chi2, nct

    spreads = np.sqrt(chi2.ppf((np.arange(2000) + 0.5) / 2000, freedom) / freedom)
    power = nct.sf(student.quantile(freedom), freedom, np.minimum(student.resolvable(freedom) * spreads, 60))
    assert np.nanmean(power) == pytest.approx(0.8, abs=0.005)
