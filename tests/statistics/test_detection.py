"""Detection: figures of the ROC against closed forms and lists judged by hand, and intervals over speakers."""

from itertools import product
from math import sqrt
from statistics import NormalDist

import numpy as np
import pytest

from greenbench.statistics import detection
from greenbench.statistics.detection import Trials

PHI = NormalDist().cdf


def trials(present: list[float], absent: list[float], units: list[int] | None = None) -> Trials:
    said = [True] * len(present) + [False] * len(absent)
    numbers = list(range(len(said))) if units is None else units
    return Trials(np.array([*present, *absent], float), np.array(said), np.array(numbers, np.int64))


def figures(of: Trials) -> tuple[float, ...]:
    curve = detection.roc(of)
    found = (detection.equal_error_rate, detection.area, detection.found_at, detection.false_at)
    return tuple(float(figure(curve)[0]) for figure in found)


@pytest.mark.parametrize(
    ("present", "absent", "expected"),
    [
        ([3, 2, 1], [0, -1], (0, 1, 1, 0)),  # all present above all absent
        ([0, -1], [3, 2], (1, 0, 0, 1)),  # the other way round
        ([4, 3, 1], [2, 0], (1 / 3, 5 / 6, 2 / 3, 1 / 2)),  # one absent above one present
        ([1, 1], [1, 1, 1], (1 / 2, 1 / 2, 0, 1)),  # one score for all: nothing is told apart
        ([2, -np.inf], [1, 0], (1 / 2, 1 / 2, 1 / 2, 1)),  # one that cannot be spelt is found last
    ],
)  # fmt: skip
def test_lists_that_can_be_judged_by_hand(present: list, absent: list, expected: tuple[float, ...]) -> None:
    """EER, AUC, share found at 5 % of false alarms, and false alarms at 5 % of misses."""
    assert figures(trials(present, absent)) == pytest.approx(expected)


@pytest.mark.parametrize("separation", [0.0, 0.5, 1.0, 2.0, 3.0])
def test_two_normal_distributions_have_closed_forms(separation: float) -> None:
    """At a distance d of unit variances the EER is Phi(-d/2), the AUC Phi(d / sqrt 2) (Green & Swets, 1966)."""
    quantiles = [NormalDist().inv_cdf((i + 0.5) / 4000) for i in range(4000)]
    found = figures(trials([q + separation for q in quantiles], quantiles))
    limit = NormalDist().inv_cdf(0.95)
    expected = (PHI(-separation / 2), PHI(separation / sqrt(2)), PHI(separation - limit), PHI(limit - separation))
    assert found == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("seed", range(5))
def test_random_lists_with_ties_are_counted_pair_by_pair(seed: int) -> None:
    """The AUC is the share of pairs in order, ties half; the EER where the counted curve crosses the diagonal."""
    rng = np.random.default_rng(seed)
    present, absent = rng.integers(0, 9, 17) + 2, rng.integers(0, 9, 23)
    eer, auc, *_ = figures(trials([*present], [*absent]))
    assert auc == pytest.approx(np.mean([(p > a) + (p == a) / 2 for p, a in product(present, absent)]))
    points = [(np.mean(absent >= t), np.mean(present < t)) for t in range(12, -1, -1)]
    false, missed = map(np.array, zip(*points, strict=True))
    gap = false - missed  # rises from -1 to 1
    assert eer == pytest.approx(np.interp(0, gap, false))


def with_speakers(rng: np.random.Generator, distance: float, spread: float, n: int = 20, each: int = 8) -> Trials:
    """Return trials of n speakers, each of whom shifts the scores of all of his."""
    shift = np.repeat(spread * rng.standard_normal(n), each)
    scores = [shift + centre + rng.standard_normal(n * each) for centre in (distance, 0.0)]
    speakers = np.repeat(np.arange(n), each)
    return Trials(np.concatenate(scores), np.repeat([True, False], n * each), np.concatenate([speakers, speakers]))


def test_intervals_hold_the_rate_of_the_population() -> None:
    """Of 60 samples of 20 speakers at least 54 intervals hold the EER of all speakers, Phi(-d / 2 sqrt(1 + s^2))."""
    rng, truth = np.random.default_rng(1), PHI(-2.0 / (2 * sqrt(1 + 0.5**2)))
    found = [detection.interval(with_speakers(rng, 2.0, 0.5)) for _ in range(60)]
    assert sum(low <= truth <= high for low, high in filter(None, found)) >= 54
    assert all(0 <= low < high <= 1 for low, high in filter(None, found))


def test_an_interval_needs_two_speakers() -> None:
    """Of one speaker it is not known how speakers differ."""
    assert detection.interval(trials([1, 2], [0, 1], [0, 0, 0, 0])) is None
    assert detection.difference(*[trials([1, 2], [0, 1], [0, 0, 0, 0])] * 2) is None


def test_no_error_is_not_no_doubt() -> None:
    """Where none was seen the interval ends at three of the fewer trials (the rule of three)."""
    assert detection.interval(trials([2.0] * 30, [1.0] * 60, [*range(10)] * 9)) == (0.0, pytest.approx(3 / 30))


def test_the_same_scores_do_not_differ() -> None:
    """The interval of the difference is around 0, and more than a point."""
    one = with_speakers(np.random.default_rng(2), 1.5, 0.3)
    found = detection.difference(one, one)
    assert (found.value, found.p) == (0, 1)
    assert found.low < 0 < found.high


def test_a_detector_with_noise_is_shown_to_be_worse_and_the_first_better() -> None:
    """Noise of twice the spread of the scores: EER rises; the other way round the difference has the other sign."""
    rng = np.random.default_rng(3)
    good = with_speakers(rng, 2.5, 0.2)
    bad = Trials(good.scores + 2 * rng.standard_normal(len(good.scores)), good.present, good.units)
    there, back = detection.difference(good, bad), detection.difference(bad, good)
    assert there.low > 0
    assert there.p < 0.01
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low))
    assert there.n_words == len(good.scores)


def test_the_same_sample_gives_the_same_interval() -> None:
    """Whatever was drawn before, so that a row can be checked."""
    one = with_speakers(np.random.default_rng(4), 1.0, 0.1)
    first = detection.interval(one)
    np.random.default_rng().random(100)
    assert detection.interval(one) == first


@pytest.mark.parametrize(
    ("present", "absent", "expected"),
    [
        ([3, 2, 1], [0, -1], 0),  # all present above all absent
        ([0, -1], [3, 2], 1),  # nothing is accepted: all are missed
        ([4, 3, 1, 0.5], [2, 0], 0.5),  # half are missed without a false alarm: 0.01 * 0.5 / 0.01
        ([1], [2] + [0] * 999, 0.99 / 1000 / 0.01),  # one false alarm in 1,000 costs less than to miss the one
    ],
)
def test_least_costs_that_can_be_judged_by_hand(present: list, absent: list, expected: float) -> None:
    """NIST's, by its formula: the share of misses, and 99 times that of false alarms, at the best threshold."""
    curve = detection.roc(trials(present, absent))
    assert float(detection.least_cost(curve)[0]) == pytest.approx(expected)


def test_the_least_cost_of_two_normal_distributions_has_a_closed_form() -> None:
    """At a distance d the best threshold is d / 2 + ln((1 - p) / p) / d, where the likelihood ratio is the odds."""
    quantiles, p = [NormalDist().inv_cdf((i + 0.5) / 20_000) for i in range(20_000)], 0.2
    for d in (1.0, 2.0, 4.0):
        threshold = d / 2 + np.log((1 - p) / p) / d
        expected = (p * PHI(threshold - d) + (1 - p) * PHI(-threshold)) / p
        found = detection.least_cost(detection.roc(trials([q + d for q in quantiles], quantiles)), p)
        assert float(found[0]) == pytest.approx(expected, abs=2e-3)


def test_a_trial_of_two_units_is_drawn_as_often_as_both_are_together() -> None:
    """Twice the one and three times the other are six pairs; within a unit there are as many as it was drawn."""
    pairs = Trials(np.zeros(3), np.array([True, False, False]), np.array([0, 0, 1]), np.array([0, 1, 2]))
    assert pairs.n_units == 3
    assert pairs.weights(np.array([[2.0, 3.0, 0.0]])).tolist() == [[2, 6, 0]]


def test_intervals_of_pairs_hold_the_rate_of_the_population() -> None:
    """Speakers on a circle, utterances near them: of 40 samples of 20 speakers at least 36 intervals hold the EER of
    1,000 others."""

    def sample(rng: np.random.Generator, n: int, each: int = 3) -> Trials:
        angles = np.repeat(rng.uniform(0, 2 * np.pi, n), each) + 0.3 * rng.standard_normal(n * each)
        speakers = np.repeat(np.arange(n), each)
        first, second = np.triu_indices(n * each, 1)
        same = speakers[first] == speakers[second]
        kept = same | (rng.random(len(same)) < same.sum() / len(same))
        first, second = first[kept], second[kept]
        return Trials(np.cos(angles[first] - angles[second]), same[kept], speakers[first], speakers[second])

    rng = np.random.default_rng(5)
    truth = figures(sample(rng, 1_000))[0]
    found = [detection.interval(sample(rng, 20)) for _ in range(40)]
    assert sum(low <= truth <= high for low, high in filter(None, found)) >= 36
