"""Intervals of error rates and their differences: known cases, symmetry, and what they cover in simulation."""

import importlib.util
import sys
from math import sqrt
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.analysis.error_rates import smallest_difference
from greenbench.statistics import student
from greenbench.statistics.intervals import paired_difference, rate_interval, rates_difference
from greenbench.text.population import FEW_SPEAKERS

ROOT = Path(__file__).parents[2]

utterances = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 20), st.sampled_from("abcd")),
    min_size=2,
    max_size=20,
)


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    """The simulation that ships in tools/."""
    spec = importlib.util.spec_from_file_location("coverage_tool", ROOT / "tools" / "coverage.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


# --- rates -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "rate"), [(1000, 0.2), (4000, 0.5)])
def test_the_interval_of_independent_words(n: int, rate: float) -> None:
    """For many utterances of one word, the interval is that of the binomial's normal approximation."""
    errors = [1] * int(n * rate) + [0] * int(n * (1 - rate))
    low, high = rate_interval(errors, [1] * n, None)
    half = 1.96 * sqrt(rate * (1 - rate) / n)
    assert (low, high) == pytest.approx((rate - half, rate + half), abs=0.1 * half)


def test_an_interval_of_independent_errors_is_garwoods() -> None:
    """Ten errors in 10,000 utterances of one word are a Poisson count: 4.795 to 18.39 (Garwood's table)."""
    low, high = rate_interval([1] * 10 + [0] * 9990, [1] * 10_000, None)
    assert (1e4 * low, 1e4 * high) == pytest.approx((4.795, 18.39), rel=0.01)


def test_units_that_err_alike_are_no_certainty_and_no_fault() -> None:
    """Where every unit has one rate, which rounding hides, the errors are taken as independent: Garwood's interval."""
    low, high = rate_interval([14] * 4, [50] * 4, None)
    assert low < 0.28 < high
    assert rate_interval([1] * 4, [2] * 4, None)[0] > 0
    few, many = rate_interval([14] * 4, [50] * 4, None), rate_interval([140] * 4, [500] * 4, None)
    assert many[1] - many[0] < (few[1] - few[0]) / 2


def test_no_error_is_not_certainty() -> None:
    """Without an error in 1,000 words the rate may be up to 3 / 1000, by the rule of three, and more of few."""
    assert rate_interval([0] * 1000, [1] * 1000, None) == (0, pytest.approx(3e-3, rel=0.01))
    few = rate_interval([0] * 1000, [1] * 1000, [f"s{i % 3}" for i in range(1000)])
    assert few == (0, pytest.approx(3e-3 * (4.303 / 1.96) ** 2, rel=0.01))


def test_it_is_students_t_of_the_speakers_where_errors_are_many() -> None:
    """Equally long speakers whose rates scatter little: mean and t interval of the speakers' own rates."""
    rates = np.array([0.20, 0.21, 0.19, 0.22, 0.18])
    errors, words = (rates * 100_000).astype(int), [100_000] * 5
    half = student.quantile(4) * rates.std(ddof=1) / sqrt(5)
    low, high = rate_interval(errors, words, list("abcde"))
    assert (low, high) == pytest.approx((0.2 - half, 0.2 + half), abs=0.1 * half)


def test_speakers_who_err_alike_widen_the_interval() -> None:
    """Over whole speakers it is wider where errors cluster by speaker, as few speakers say little."""
    errors = [2 if number < 5 else 0 for number in range(20) for _ in range(30)]
    words, speakers = [10] * 600, [f"s{number}" for number in range(20) for _ in range(30)]
    by_utterance, by_speaker = rate_interval(errors, words, None), rate_interval(errors, words, speakers)
    assert by_speaker[1] - by_speaker[0] > 4 * (by_utterance[1] - by_utterance[0])


def test_one_long_speaker_counts_as_little_more_than_one() -> None:
    """Where one of ten speakers has nine tenths of the words, the interval is wider than of ten equal ones."""
    rng = np.random.default_rng(1)
    errors, speakers = rng.binomial(10, 0.2, 1000), [f"s{i % 10}" for i in range(1000)]
    uneven = ["s0" if i < 900 else f"s{i % 10}" for i in range(1000)]
    equal, one = (rate_interval(errors, [10] * 1000, blocks) for blocks in (speakers, uneven))
    assert one[1] - one[0] > 2 * (equal[1] - equal[0])


def test_blocks_of_one_are_no_blocks() -> None:
    """A speaker for each utterance gives what utterances give, in whatever order."""
    errors, words = [0, 3, 1, 2, 0, 1], [5, 6, 7, 8, 9, 4]
    assert rate_interval(errors, words, list("fedcba")) == pytest.approx(rate_interval(errors, words, None))


@pytest.mark.parametrize(
    ("errors", "words", "blocks"),
    [
        ([], [], None),
        ([1], [5], None),
        ([1, 2], [5, 5], ["one", "one"]),
        ([1, 2], [0, 0], None),
        ([1, 2, 3], [0, 7, 0], None),
    ],
)
def test_no_interval_without_a_sample(errors: list, words: list, blocks: list | None) -> None:
    """Fewer than two units with words give no interval rather than one of zero width."""
    assert rate_interval(errors, words, blocks) is None
    assert paired_difference(errors, errors, words, blocks) is None


@given(utterances)
def test_a_rate_lies_in_its_interval(sample: list) -> None:
    """Whatever the counts: not below 0, the rate inside, and never of zero width."""
    errors, _, words, _ = zip(*sample, strict=True)
    low, high = rate_interval(errors, words, None)
    assert 0 <= low <= sum(errors) / sum(words) < high


# --- differences -----------------------------------------------------------------------------------------


@given(utterances)
@settings(max_examples=50)
def test_ratios_with_denominators_of_their_own(sample: list) -> None:
    """The difference is that of the two ratios, lies in its interval, and turns with the systems."""
    errors_a, errors_b, words, _ = zip(*sample, strict=True)
    longer = [n + errors for n, errors in zip(words, errors_b, strict=True)]
    a, b = list(zip(errors_a, words, strict=True)), list(zip(errors_b, longer, strict=True))
    forth, back = rates_difference(a, b, None), rates_difference(b, a, None)
    assert forth.value == pytest.approx(sum(errors_b) / sum(longer) - sum(errors_a) / sum(words))
    assert (forth.value, forth.low, forth.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert forth.low <= forth.value <= forth.high


def test_the_interval_of_two_ratios_covers_what_it_says() -> None:
    """Of 300 samples of 20 speakers, whose ratios vary and go together, at least 92 % hold the true difference."""
    rng, held = np.random.default_rng(3), 0
    for _ in range(300):
        skill = rng.normal(0, 0.05, 20)
        n_a, n_b = rng.poisson(200, 20) + 1, rng.poisson(250, 20) + 1
        errors_a, errors_b = (
            rng.binomial(n_a, np.clip(0.2 + skill, 0, 1)),
            rng.binomial(n_b, np.clip(0.3 + skill, 0, 1)),
        )
        a, b = (list(zip(errors, n, strict=True)) for errors, n in ((errors_a, n_a), (errors_b, n_b)))
        found = rates_difference(a, b, None)
        held += found.low <= 0.1 <= found.high
    assert held >= 276
    assert rates_difference([(1, 5), (0, 0)], [(1, 5), (1, 5)], None) is None
    assert rates_difference([], [], None) is None


@given(utterances)
@settings(max_examples=50)
def test_swapping_two_systems_turns_the_difference(sample: list) -> None:
    """What b is worse than a, a is better than b; interval and value lie as they should, and p is the same."""
    errors_a, errors_b, words, _ = zip(*sample, strict=True)
    forth, back = paired_difference(errors_a, errors_b, words, None), paired_difference(errors_b, errors_a, words, None)
    assert (forth.value, forth.low, forth.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert forth.p == pytest.approx(back.p)
    assert forth.low < forth.value < forth.high


@given(utterances)
@settings(max_examples=50)
def test_an_interval_without_zero_has_a_small_p(sample: list) -> None:
    """Interval and p never contradict each other in the direction that would claim a difference."""
    errors_a, errors_b, words, speakers = zip(*sample, strict=True)
    found = paired_difference(errors_a, errors_b, words, speakers if len(set(speakers)) > 1 else None)
    if found.low > 0 or found.high < 0:
        assert found.p <= 0.05


def test_equal_systems_are_not_known_to_be_equal() -> None:
    """Where no utterance differs the difference is 0, and of 1,000 words could be as much as 3 errors."""
    found = paired_difference([1] * 200, [1] * 200, [5] * 200, None)
    assert (found.value, found.p) == (0, 1)
    assert -found.low == found.high == pytest.approx(3e-3, rel=0.03)


def test_the_interval_is_that_of_discordant_pairs() -> None:
    """For utterances of one word it is McNemar's table: (n01 - n10) / n and its normal deviation."""
    n01, n10, n = 60, 90, 1000
    a, b = [1] * n10 + [0] * (n - n10), [0] * n10 + [1] * n01 + [0] * (n - n10 - n01)
    found = paired_difference(a, b, [1] * n, None)
    value = (n01 - n10) / n
    deviation = sqrt((n01 + n10) / n - value**2) / sqrt(n)
    assert found.value == pytest.approx(value)
    assert (found.low, found.high) == pytest.approx((value - 1.96 * deviation, value + 1.96 * deviation), abs=2e-3)


def test_pairing_cancels_what_is_hard_for_both() -> None:
    """A small but constant gain stands out, though each system's own interval is far wider."""
    rng = np.random.default_rng(3)
    a = rng.integers(0, 15, 300)
    b = np.maximum(a - (rng.random(300) < 0.2), 0)
    found, (low, high) = paired_difference(a, b, [20] * 300, None), rate_interval(a, [20] * 300, None)
    assert found.high < 0
    assert high - low > 5 * (found.high - found.low)


def test_errors_that_cluster_by_speaker_widen_the_difference() -> None:
    """Where one system fails on whole speakers, few speakers say little."""
    speakers = [f"s{number}" for number in range(20) for _ in range(30)]
    a, b = [1] * 600, [0 if number < 12 else 2 for number in range(20) for _ in range(30)]
    by_utterance, by_speaker = (paired_difference(a, b, [10] * 600, blocks) for blocks in (None, speakers))
    assert by_speaker.value == by_utterance.value
    assert by_speaker.high - by_speaker.low > 4 * (by_utterance.high - by_utterance.low)


# --- in simulation ---------------------------------------------------------------------------------------


def test_the_documented_coverage_is_what_is_promised(coverage: ModuleType) -> None:
    """The table has every case: 92.5 % and more, from five speakers on not above 98 but near WER 0; gates pass 5 %."""
    found = coverage.documented()
    assert set(found) == {(name, n) for name in coverage.COLUMNS for n in coverage.SPEAKERS}
    for (name, n), share in found.items():
        if coverage.COLUMNS[name].kind == "gate":
            assert share <= 0.05, (name, n)
        else:
            assert share >= (0.925 if n >= FEW_SPEAKERS else 0.945), (name, n)
            assert share <= 0.98 or n < FEW_SPEAKERS or "0.2 %" in name, (name, n)


@pytest.mark.parametrize("n_speakers", [2, 4, 5, 9, 20])
@pytest.mark.parametrize("name", ["WER 20 %, effect 0.5", "WER 2 %, no effect", "difference, effect 0.5"])
def test_the_interval_covers_what_it_says(coverage: ModuleType, name: str, n_speakers: int) -> None:
    """In 95 % of corpora, or more where speakers are few: at least 92.5 % less three deviations of 300 corpora."""
    share = coverage.simulate(coverage.COLUMNS[name], n_speakers, 300)
    assert share >= 0.925 - 3 * sqrt(0.05 * 0.95 / 300)
    assert share <= 0.975 + 3 * sqrt(0.05 * 0.95 / 300) or n_speakers < FEW_SPEAKERS


@pytest.mark.parametrize("n_speakers", [2, 4, 7, 9])
@pytest.mark.parametrize("name", ["gate, no effect", "gate, effect 0.5", "gate, effect 1"])
def test_a_build_at_the_margin_does_not_pass_by_luck(coverage: ModuleType, name: str, n_speakers: int) -> None:
    """At most 2.5 + 2.5 % of builds that stand exactly at the margin pass, and three deviations of 300 corpora."""
    assert coverage.simulate(coverage.COLUMNS[name], n_speakers, 300) <= 0.05 + 3 * sqrt(0.05 * 0.95 / 300)


@pytest.mark.parametrize("effect", [0.0, 0.5])
def test_the_smallest_difference_is_found_four_times_in_five(effect: float) -> None:
    """The difference that one corpus of nine speakers states is found in 80 % of others like it."""
    rng, found = np.random.default_rng(9), []
    speakers, words = [f"s{i % 9}" for i in range(360)], np.full(360, 12)

    def compare(gained: float) -> tuple[float, float, float]:
        """Return the interval, and what it resolves, of a system that has so many more errors a word removed."""
        own = 1 + effect * rng.standard_normal(9).clip(-2, 2)
        shift = np.tile(own, 40) * 0.03
        fewer, more = rng.poisson(words * (shift.clip(0) + gained)), rng.poisson(words * 0.03, 360)
        result = paired_difference(fewer, more, words, speakers)
        return result.low, result.high, smallest_difference(result)

    for _ in range(400):
        found.append(compare(compare(0.0)[2])[1] < 0)
    assert 0.76 <= np.mean(found) <= 0.90
