"""Student's t and the gamma distribution, against scipy, over all that intervals and tests ask of them."""

import math

import numpy as np
import pytest
from scipy import special

from greenbench.statistics import distributions

FREEDOMS = [0.3, 1, 1.5, 2, 3, 4.7, 9, 19.9, 39, 40, 41, 100, 999.5, 1e4, 1e6]
SHAPES = [0.01, 0.1, 0.5, 0.99, 1, 1.5, 3, 10, 19.9, 20, 21, 150, 1234.5, 1e5, 3e6]


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_the_tails_of_t_are_scipys(freedom: float) -> None:
    """From 0 to far out (nearer to 0 scipy rounds to 1), either sign, p is that of scipy to ten digits."""
    for t in (0, 1e-3, 0.1, 0.7, 1, 1.96, 3, 8, 25, 200):
        expected = 2 * special.stdtr(freedom, -t)
        assert distributions.t_two_tailed(freedom, t) == pytest.approx(expected, rel=1e-10, abs=1e-250)
        assert distributions.t_two_tailed(freedom, -t) == distributions.t_two_tailed(freedom, t)
    assert math.isnan(distributions.t_two_tailed(freedom, math.nan))


@pytest.mark.parametrize("freedom", FREEDOMS)
@pytest.mark.parametrize("level", [0.5, 0.05, 0.001])
def test_the_critical_t_is_scipys(freedom: float, level: float) -> None:
    """The limit of an interval is that of scipy to ten digits."""
    expected = special.stdtrit(freedom, 1 - level / 2)
    assert distributions.t_critical(freedom, level) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_a_few_steps_give_the_critical_t(freedom: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding, which may never shrink where there are many degrees of freedom, ends the search: 60 steps do."""
    asked: list[float] = []
    tails = distributions.t_two_tailed
    monkeypatch.setattr(distributions, "t_two_tailed", lambda f, t: asked.append(t) or tails(f, t))
    distributions.t_critical.__wrapped__(freedom, 0.05)
    assert len(asked) <= 60


@pytest.mark.parametrize("shape", SHAPES)
def test_gamma_is_scipys(shape: float) -> None:
    """Probability and quantile are those of scipy, for fractions of an error and for millions."""
    for p in (0.0025, 0.025, 0.3, 0.5, 0.95, 0.975, 0.9975):
        x = special.gammaincinv(shape, p)
        assert distributions.gamma_below(shape, x) == pytest.approx(special.gammainc(shape, x), rel=1e-10)
        assert distributions.gamma_quantile(shape, p) == pytest.approx(x, rel=1e-10, abs=1e-290)
    assert distributions.gamma_below(shape, 0.0) == 0


def test_normal_is_scipys() -> None:
    """Both tails of the normal distribution are scipy's, to what the formula promises."""
    x = np.linspace(-30, 8, 770).reshape(7, 110)
    assert np.abs(distributions.normal_below(x) - special.ndtr(x)).max() < 1e-7
