"""Holm's correction, worked by hand and by its bounds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.statistics.multiple_testing import holm

shares = st.lists(st.floats(0, 1), max_size=10)


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([], []),
        ([0.02], [0.02]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.5, 0.6], [1.0, 1.0]),
    ],
)
def test_holms_procedure_by_hand(p_values: list[float], adjusted: list[float]) -> None:
    """The least p times the number of comparisons, the next times one less, never falling, at most 1."""
    assert holm(p_values) == pytest.approx(adjusted)


@given(shares)
@settings(deadline=None)
def test_holm_lies_between_no_correction_and_bonferronis(p_values: list[float]) -> None:
    """Adjusting keeps the order, never lowers a p value, and never exceeds p times the number of comparisons."""
    adjusted = holm(p_values)
    for p, q in zip(p_values, adjusted, strict=True):
        assert p <= q <= min(1, len(p_values) * p)
    in_order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [adjusted[i] for i in in_order] == sorted(adjusted)
