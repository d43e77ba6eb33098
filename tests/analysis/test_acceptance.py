"""Which conditions are read, which are refused, and what the intervals must show before one is met."""

from collections.abc import Callable
from pathlib import Path

import pytest

import greenbench
from greenbench.analysis.acceptance import judge, parse
from greenbench.analysis.compare import compare
from greenbench.analysis.evidence import answer
from greenbench.analysis.findings import Comparison
from greenbench.analysis.selection import select
from greenbench.errors import InputError
from greenbench.report.acceptance import Acceptance

FakeRun = Callable[..., Path]
STEADY = (1.00, 1.01, 0.99, 1.005, 0.995)
OTHER = (0.995, 1.0, 1.01, 0.99, 1.005)
WILD = (0.5, 2.0, 1.0, 0.7, 1.6)


@pytest.fixture
def two(fake_run: FakeRun) -> Callable[..., Comparison]:
    """Compare two runs of which the second has ``change`` times the RTFx, and half the size."""

    def build(change: float, noise: tuple[float, ...] = OTHER, **new: object) -> Comparison:
        a = fake_run("a", {"rounds": [{"rtfx": 10 * n, "model_bytes": 4e6} for n in STEADY]})
        b = fake_run("b", {"rounds": [{"rtfx": 10 * change * n, "model_bytes": 2e6} for n in noise], **new})
        return compare(select(str(a)), select(str(b)), ["wer", "rtfx", "model_bytes", "load_s"])

    return build


def answers(comparison: Comparison, *texts: str) -> list[str]:
    """Return what is said of each condition."""
    return [one.answer for one in judge(comparison, map(parse, texts))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wer<=+1pp", ("wer", "points", "<=", 0.01)),
        ("term_recall>=-2pp", ("term_recall", "points", ">=", -0.02)),
        (" wer <= 5% ", ("wer", "value", "<=", 0.05)),
        ("rtfx>=2x", ("rtfx", "ratio", ">=", 2)),
        ("rtfx>=10", ("rtfx", "value", ">=", 10)),
        ("rtfx>=+20%", ("rtfx", "change", ">=", 0.2)),
        ("energy_j_per_audio_s<=-20%", ("energy_j_per_audio_s", "change", "<=", -0.2)),
        ("model_bytes<=0.5x", ("model_bytes", "ratio", "<=", 0.5)),
        ("model_bytes<=50MB", ("model_bytes", "value", "<=", 5e7)),
        ("latency_p50_s<=0.5s", ("latency_p50_s", "value", "<=", 0.5)),
        ("late_chunk_pct<=5%", ("late_chunk_pct", "value", "<=", 5)),
    ],
)
def test_conditions_are_read(text: str, expected: tuple[str, str, str, float]) -> None:
    """A metric's unit decides which forms it takes, and what a bound means."""
    found = parse(text)
    assert (found.metric, found.form, found.relation, found.bound) == (*expected[:3], pytest.approx(expected[3]))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rtxf>=2x", "unknown metric. Did you mean 'rtfx'?"),
        ("audio_s>=5s", "neither direction is better"),
        ("wer<=1pp", "write wer<=+1pp (against the baseline) or wer<=5% (its own)"),
        ("wer<=+1%", "write wer<=+1pp"),
        ("wer<=1.1x", "write wer<=+1pp"),
        ("wer<=0.05", "write wer<=+1pp"),
        ("wer>=5%", "lower is better, so a bound is <=; write wer<=+1pp"),
        ("rtfx<=2x", "higher is better, so a bound is >=; write rtfx>=2x"),
        ("rtfx>=+2x", "write rtfx>=2x or rtfx>=+20% (against the baseline), or rtfx>=1 (its own)"),
        ("rtfx>=20%", "write rtfx>=2x"),
        (
            "model_bytes<=50",
            "write model_bytes<=0.5x or model_bytes<=-20% (against the baseline), or model_bytes<=1MB",
        ),
        ("latency_p50_s<=5Hz", "or latency_p50_s<=1 (its own)"),
        ("rtfx", "write METRIC<=BOUND or METRIC>=BOUND"),
        ("rtfx>2x", "write METRIC<=BOUND"),
    ],
)
def test_a_wrong_condition_is_one_clear_line(text: str, says: str) -> None:
    """Another name, form, unit or direction is refused with what to write."""
    with pytest.raises(InputError, match=".") as refused:
        parse(text)
    assert says in str(refused.value)
    assert str(refused.value).startswith("--accept ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("low", "high", "relation", "expected"),
    [
        (-1, 0, "<=", "met"), (-1, 1, "<=", "not shown"), (0.1, 1, "<=", "not met"), (0, 1, "<=", "not shown"),
        (0, 1, ">=", "met"), (-1, 1, ">=", "not shown"), (-1, -0.1, ">=", "not met"), (0, 0, "<=", "met"),
    ],
)  # fmt: skip
def test_the_whole_interval_must_keep_to_the_bound(low: float, high: float, relation: str, expected: str) -> None:
    """Met and not met are both shown by the whole interval; the bound itself keeps to it."""
    assert answer(low, high, relation, 0) == expected


def test_a_condition_is_met_only_where_the_interval_shows_it(two: Callable[..., Comparison]) -> None:
    """Of a build that is 2.1 times as fast 2x is shown, 2.1x is open though it is the estimate, and 2.5x is refuted."""
    found = two(2.1)
    assert answers(found, "rtfx>=2x", "rtfx>=2.1x", "rtfx>=2.5x") == ["met", "not shown", "not met"]
    assert answers(found, "rtfx>=+100%", "rtfx>=20", "rtfx>=30") == ["met", "met", "not met"]
    assert answers(found, "model_bytes<=0.5x", "model_bytes<=0.4x", "model_bytes<=2MB") == ["met", "not met", "met"]


def test_noise_shows_nothing_however_good_the_estimate(two: Callable[..., Comparison]) -> None:
    """Three times as fast on average, with rounds that vary fourfold, is not shown to be twice as fast."""
    assert answers(two(3, WILD), "rtfx>=2x") == ["not shown"]


def test_what_was_not_measured_or_too_seldom_is_not_shown(fake_run: FakeRun) -> None:
    """One process a side, and a metric that nobody measured, pass nothing; the line says what is missing."""
    a, b = fake_run("a", {"rounds": [{"rtfx": 10}]}), fake_run("b", {"rounds": [{"rtfx": 50}]})
    found = greenbench.accept(a, b, ["rtfx>=2x", "rtfx>=20", "load_s<=0.5x", "load_s<=1s"])
    assert not found
    assert [line.partition("offline x8: ")[2] for line in found.lines] == [
        "rtfx>=2x: not shown (too few repeats)", "rtfx>=20: not shown (50.0; too few repeats)",
        "load_s<=0.5x: not shown (measured in neither)", "load_s<=1s: not shown (it was not measured)",
    ]  # fmt: skip


def test_error_rates_are_judged_by_their_intervals(fake_run: FakeRun, said: list[str]) -> None:
    """The same texts are within every margin; half of them lost is beyond 1 pp, and no 5 % of its own."""
    rounds = [{"rtfx": 10.0, "wer_ci_low": 0.0, "wer_ci_high": 0.0}]
    a = fake_run("a", {"rounds": rounds, "heard": said})
    lossy = [text if i % 2 else "" for i, text in enumerate(said)]
    b = fake_run("b", {"rounds": [{"rtfx": 10.0, "wer_ci_low": 0.4, "wer_ci_high": 0.6}], "heard": lossy})
    same = fake_run("c", {"rounds": rounds, "heard": said})
    assert greenbench.accept(a, same, ["wer<=+1pp", "wer<=5%"])
    found = greenbench.accept(a, b, ["wer<=+1pp", "wer<=5%", "wer<=+90pp"])
    assert [one.answer for one in found.judgements] == ["not met", "not met", "met"]
    assert ": wer<=+1pp: not met (+50.0 pp [" in found.lines[0]
    assert ": wer<=5%: not met (50.00 % [40.00, 60.00])" in found.lines[1]


def test_one_speaker_shows_nothing_of_others(fake_run: FakeRun, said: list[str]) -> None:
    """As the gate has it: of the speech of one known speaker no error rate keeps to a bound."""
    one = {"wer_ci_unit": "utterances of this 1 speaker"}
    figures = [{"wer_ci_low": 0.0, "wer_ci_high": 0.0}]
    runs = [fake_run(name, {"rounds": figures, "heard": said, **one}) for name in "ab"]
    (line,) = greenbench.accept(*runs, ["wer<=5%"]).lines
    assert line.endswith(
        "not shown (0.00 %; all utterances are of one speaker, so its WER on other speakers is unknown)"
    )


def test_a_cell_that_broke_meets_nothing(fake_run: FakeRun) -> None:
    """A build that crashed is not shown to be anything, and the line has the reason."""
    a = fake_run("a", {"rounds": [{"rtfx": 10}] * 2})
    b = fake_run("b", {"status": "error", "reason": "killed"})
    found = greenbench.accept(a, b, ["rtfx>=2x", "rtfx>=1"])
    assert [one.answer for one in found.judgements] == ["not shown"] * 2
    assert "the new cell gave nothing: killed" in found.lines[0]
    assert "the cell gave nothing: killed" in found.lines[1]


def test_every_pair_must_keep_to_a_condition(fake_run: FakeRun) -> None:
    """One variant that is too slow fails all, and each pair has its line."""
    cells = [{"variant": name, "rounds": [{"rtfx": 10 * n} for n in STEADY]} for name in "xy"]
    faster = [{"variant": v, "rounds": [{"rtfx": f * n} for n in OTHER]} for v, f in (("x", 30), ("y", 10))]
    found = greenbench.accept(fake_run("a", *cells), fake_run("b", *faster), ["rtfx>=2x"])
    assert [one.answer for one in found.judgements] == ["met", "not met"]
    assert not found
    assert [line.split(" | ")[0] for line in str(found).splitlines()] == ["x", "y"]


def test_estimated_joules_say_so(fake_run: FakeRun) -> None:
    """A figure that derives from an estimate is marked in its line."""
    runs = [
        fake_run(name, {"rounds": [{"energy_j_per_audio_s": joules * n} for n in STEADY], "energy_method": "estimated"})
        for name, joules in (("a", 2), ("b", 1))
    ]
    (line,) = greenbench.accept(*runs, ["energy_j_per_audio_s<=-20%"]).lines
    assert line.endswith("energy_j_per_audio_s<=-20%: met (-50.0 %; estimated)")


def test_nothing_asked_is_refused_and_nothing_judged_is_not_accepted(tmp_path: Path) -> None:
    """A gate that asks nothing is an error, and an empty acceptance is false."""
    with pytest.raises(InputError, match="conditions: none is given"):
        greenbench.accept(tmp_path, tmp_path, [])
    with pytest.raises(InputError, match="conditions 'wer<=1pp'"):
        greenbench.accept(tmp_path, tmp_path, ["wer<=1pp"])
    assert not Acceptance(())
