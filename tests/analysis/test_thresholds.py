"""When a comparison fails, when it does not, and which thresholds are refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from greenbench.analysis.compare import check_across, check_metrics, compare
from greenbench.analysis.findings import Comparison
from greenbench.analysis.selection import select
from greenbench.analysis.thresholds import check_decided, n_blind, parse, regressions
from greenbench.errors import InputError

FakeRun = Callable[..., Path]
STEADY = (1.00, 1.01, 0.99, 1.005, 0.995)
OTHER = (0.995, 1.0, 1.01, 0.99, 1.005)
WILD = (0.5, 2.0, 1.0, 0.7, 1.6)


@pytest.fixture
def changed(fake_run: FakeRun) -> Callable[..., Comparison]:
    """Compare two runs of which the second has ``change`` times the RTFx."""

    def build(change: float, noise: tuple[float, ...] = OTHER) -> Comparison:
        a = fake_run("a", {"rounds": [{"rtfx": 10 * n} for n in STEADY]})
        b = fake_run("b", {"rounds": [{"rtfx": 10 * change * n} for n in noise]})
        return compare(select(str(a)), select(str(b)))

    return build


@pytest.mark.parametrize(
    ("text", "metric", "change"),
    [
        ("energy_j_per_audio_s:+5%", "energy_j_per_audio_s", 0.05),
        ("rtfx:-7.5%", "rtfx", -0.075),
        ("wer:+0.2pp", "wer", 0.002),
        (" cer:+0pp ", "cer", 0.0),
    ],
)
def test_thresholds_are_read(text: str, metric: str, change: float) -> None:
    """A threshold is a metric, the direction of worsening, and a size in its unit."""
    found = parse(text)
    assert (found.metric, found.change) == (metric, pytest.approx(change))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rtfx:+5%", "that would be an improvement; write rtfx:-5%"),
        ("wer:-0.2pp", "that would be an improvement; write wer:+0.2pp"),
        ("wer:+5%", "an error rate changes by percentage points; write wer:+5pp"),
        ("rtfx:-5pp", "this metric changes by per cent; write rtfx:-5%"),
        ("rtxf:-5%", "unknown metric. Did you mean 'rtfx'?"),
        ("audio_s:+5%", "neither direction is better"),
        ("rtfx", "write METRIC:+5%"),
        ("rtfx:5%", "write METRIC:+5%"),
    ],
)
def test_a_wrong_threshold_is_one_clear_line(text: str, says: str) -> None:
    """A wrong sign, unit or name is refused with what to write."""
    with pytest.raises(InputError, match=".") as refused:
        parse(text)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_names_are_checked_before_anything_is_read() -> None:
    """Unknown metrics and columns that may not differ are refused by name."""
    with pytest.raises(InputError, match="--metric rtxf: unknown metric"):
        check_metrics(["wer", "rtxf"], "--metric")
    with pytest.raises(InputError, match=r"--across normalizer: this must not differ\. Valid: "):
        check_across(["device_name", "normalizer"])


@pytest.mark.parametrize(
    ("change", "noise", "fails"),
    [(0.90, OTHER, True), (0.97, OTHER, False), (1.10, OTHER, False), (0.80, WILD, False)],
    ids=["worse", "worse-but-within-the-threshold", "better", "worse-within-noise"],
)
def test_only_what_is_beyond_threshold_and_noise_fails(
    changed: Callable[..., Comparison], change: float, noise: tuple[float, ...], fails: bool
) -> None:
    """A fall of 10 % fails -5 %; one of 3 % does not though it is real, nor does one of 20 % that noise explains."""
    compared = changed(change, noise)
    found = regressions(compared, [parse("rtfx:-5%")])
    assert [r.finding.metric for r in found] == (["rtfx"] if fails else [])
    check_decided(compared, [parse("rtfx:-5%")])


def test_a_real_change_fails_a_threshold_of_nothing(changed: Callable[..., Comparison]) -> None:
    """With a threshold of 0 % whatever is worse beyond noise fails."""
    compared = changed(0.97)
    assert len(regressions(compared, [parse("rtfx:-0%")])) == 1
    assert regressions(compared, [parse("energy_j_per_audio_s:+0%")]) == []


def test_a_cell_that_broke_fails_every_threshold(fake_run: FakeRun) -> None:
    """A build that crashes does not pass because it has no figures; without thresholds nothing fails."""
    a = fake_run("a", {"rounds": [{"rtfx": 10}] * 2})
    b = fake_run("b", {"status": "error", "reason": "killed"})
    compared = compare(select(str(a)), select(str(b)))
    (found,) = regressions(compared, [parse("rtfx:-5%")])
    assert found.pair.failure == "the new cell gave nothing: killed"
    assert regressions(compared, []) == []


def test_a_threshold_that_nothing_can_judge_is_refused(fake_run: FakeRun) -> None:
    """One process a side cannot fail -5 %, so passing would mean nothing; the message says what is missing."""
    a, b = fake_run("a", {"rounds": [{"rtfx": 10}]}), fake_run("b", {"rounds": [{"rtfx": 5}]})
    compared = compare(select(str(a)), select(str(b)))
    with pytest.raises(InputError, match=r"--fail-on 'rtfx:-5%': could not be judged \(too few repeats\)"):
        check_decided(compared, [parse("rtfx:-5%")])
    with pytest.raises(InputError, match=r"\(measured in neither\)"):
        check_decided(compared, [parse("wer:+1pp")])


def test_thresholds_below_what_the_runs_resolve_are_told(changed: Callable[..., Comparison]) -> None:
    """A threshold of 5 % over wild rounds is said to be blind; over steady rounds it is not."""
    assert n_blind(changed(1.0, WILD), parse("rtfx:-5%")) == (1, 1)


def test_steady_rounds_resolve_small_thresholds(changed: Callable[..., Comparison]) -> None:
    """Five rounds that vary by 1 % resolve 5 %."""
    assert n_blind(changed(1.0), parse("rtfx:-5%")) == (0, 1)
