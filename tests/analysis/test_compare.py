"""What a comparison finds: pairs, refusals, differences and verdicts, on runs that nobody measured."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from greenbench.analysis.compare import DEFAULT_METRICS, check_comparable, compare
from greenbench.analysis.findings import Comparison, MetricFinding
from greenbench.analysis.pairing import pair
from greenbench.analysis.selection import Side, select
from greenbench.errors import InputError
from greenbench.report import differences
from greenbench.results import store
from greenbench.results.comparability import CROSSABLE

FakeRun = Callable[..., Path]
J = "energy_j_per_audio_s"
STEADY = (1.00, 1.01, 0.99, 1.005, 0.995)
OTHER = (0.995, 1.0, 1.01, 0.99, 1.005)


def rounds(noise: tuple[float, ...] = STEADY, **values: float) -> list[dict]:
    return [{name: value * factor for name, value in values.items()} for factor in noise]


def sides(*runs: Path | str) -> list[Side]:
    return [select(str(run)) for run in runs]


def only(comparison: Comparison, metric: str) -> MetricFinding:
    (found,) = [f for p in comparison.pairs for f in p.findings if f.metric == metric]
    return found


def verdicts(comparison: Comparison) -> dict[str, str]:
    return {f.metric: f.verdict for p in comparison.pairs for f in p.findings}


# --- pairing ---------------------------------------------------------------------------------------------


def test_costs_in_two_currencies_are_never_compared(fake_run: FakeRun) -> None:
    """Costs in one currency have a verdict; in two the refusal names both, and nothing allows it."""

    def priced(name: str, cost: float, currency: str) -> Side:
        rounds = [{"cost_per_audio_hour": cost * n} for n in (1.0, 1.01, 0.99, 1.005, 0.995)]
        return select(str(fake_run(name, {"rounds": rounds, "price_currency": currency})))

    dollars = priced("a", 0.02, "USD")
    (same,) = compare(dollars, priced("b", 0.01, "USD"), ["cost_per_audio_hour"]).pairs[0].findings
    assert (same.verdict, same.difference) == ("better", pytest.approx(-0.5))
    (other,) = compare(dollars, priced("c", 0.01, "EUR"), ["cost_per_audio_hour"], CROSSABLE).pairs[0].findings
    assert (other.verdict, other.why) == ("not comparable", "price_currency USD against EUR")


def test_cells_of_two_runs_are_paired_by_what_was_asked_for(fake_run: FakeRun) -> None:
    """Each cell of one run meets that of the same name in the other, in any order; others are left over."""
    x, y = {"variant": "x"}, {"variant": "y"}
    one = {"scenario": "single-stream", "batch_size": 1}
    a = fake_run("a", x, y, {**x, **one})
    b = fake_run("b", {**x, **one}, {"variant": "z"}, x)
    pairs, only_a, only_b = pair(*sides(a, b))
    assert [(p.shared["variant"], p.shared["scenario"]) for p, _ in pairs] == [("x", "single-stream"), ("x", "offline")]
    assert all(p.shared["scenario"] == q.shared["scenario"] for p, q in pairs)
    assert ([p.shared["variant"] for p in only_a], [p.shared["variant"] for p in only_b]) == (["y"], ["z"])


def test_a_named_variant_is_the_baseline_of_all_others(fake_run: FakeRun) -> None:
    """Within one run a variant is set against every other one, and not against itself."""
    run = fake_run("a", {"variant": "teacher"}, {"variant": "x"}, {"variant": "y"})
    pairs, only_a, only_b = pair(*sides(f"{run}:teacher", run))
    assert [(a.shared["variant"], b.shared["variant"]) for a, b in pairs] == [("teacher", "x"), ("teacher", "y")]
    assert (only_a, only_b) == ([], [])
    (found,), _, _ = pair(*sides(f"{run}:teacher", f"{run}:x"))
    assert found[1].shared["variant"] == "x"


def test_nothing_to_pair_says_what_there_is(fake_run: FakeRun) -> None:
    """A run against itself, or two runs without a variant in common, is refused with the variants' names."""
    a, b = fake_run("a", {"variant": "x"}), fake_run("b", {"variant": "y"})
    with pytest.raises(InputError, match=r"are one run, and a cell is not compared with itself\. .* There: x\."):
        compare(*sides(a, a))
    with pytest.raises(InputError, match="There: x; y"):
        compare(*sides(a, b))


def test_a_cell_without_its_like_meets_the_nearest_and_is_refused_by_name(fake_run: FakeRun) -> None:
    """The same variant on other data is no lonely cell but a refusal that names both data sets."""
    a = fake_run("a", {"rounds": rounds(rtfx=10, model_bytes=5)})
    b = fake_run("b", {"rounds": rounds(rtfx=10, model_bytes=5), "dataset": "e", "data_hash": "def"})
    compared = compare(*sides(a, b))
    assert only(compared, "rtfx").why == "dataset d against e, data_hash abc against def"
    assert only(compared, "model_bytes").verdict == "no difference shown", "what it weighs does not depend on data"
    with pytest.raises(InputError, match="nothing here can be compared: dataset d against e"):
        check_comparable(compared)


# --- refusals --------------------------------------------------------------------------------------------


def test_other_hardware_is_compared_when_asked_for(fake_run: FakeRun) -> None:
    """Speed on two machines is refused, and compared with --across; the WER is compared anyhow."""
    a = fake_run("a", {"rounds": rounds(rtfx=10)})
    b = fake_run("b", {"rounds": rounds(OTHER, rtfx=20)}, device_name="another CPU")
    refused = only(compare(*sides(a, b), ["rtfx"]), "rtfx")
    assert (refused.verdict, refused.why) == ("not comparable", "device_name a CPU against another CPU")
    assert only(compare(*sides(a, b), ["rtfx"], ["device_name"]), "rtfx").verdict == "better"


def test_a_cell_that_died_is_no_number(fake_run: FakeRun) -> None:
    """A failed cell is told with its reason, and is neither 0 J nor the best."""
    a = fake_run("a", {"rounds": rounds(**{J: 2.0})})
    b = fake_run("b", {"status": "error", "reason": "killed: out of memory"})
    (found,) = compare(*sides(a, b)).pairs
    assert found.findings == ()
    assert found.failure == "the new cell gave nothing: killed: out of memory"


def test_what_one_side_did_not_measure_is_refused_and_what_neither_did_is_left_out(fake_run: FakeRun) -> None:
    """A missing figure is not 0."""
    a = fake_run("a", {"rounds": rounds(rtfx=10, **{J: 2.0})})
    b = fake_run("b", {"rounds": rounds(rtfx=10)})
    compared = compare(*sides(a, b))
    assert verdicts(compared) == {"rtfx": "no difference shown", J: "not comparable"}
    assert only(compared, J).why == "measured in the baseline alone"


def test_estimates_never_meet_measurements(fake_run: FakeRun) -> None:
    """An estimated energy is refused beside a measured one, whatever is asked for."""
    a = fake_run("a", {"rounds": rounds(**{J: 2.0})})
    b = fake_run("b", {"rounds": rounds(**{J: 1.0})}, energy_method="estimated")
    assert only(compare(*sides(a, b)), J).why == "energy_kind measured against estimated"


# --- differences -----------------------------------------------------------------------------------------


def test_speed_is_compared_by_the_ratio_of_each_round(fake_run: FakeRun) -> None:
    """A drift over the rounds that both sides share cancels: 10 % is found under a drift of 40 %."""
    drift = (1.0, 1.1, 1.2, 1.3, 1.4)
    slower = tuple(d * 0.9 * n for d, n in zip(drift, STEADY, strict=True))
    run = fake_run(
        "a", {"variant": "x", "rounds": rounds(drift, rtfx=10)}, {"variant": "y", "rounds": rounds(slower, rtfx=10)}
    )
    found = only(compare(*sides(f"{run}:x", f"{run}:y"), ["rtfx"]), "rtfx")
    assert found.difference == pytest.approx(-0.1, abs=0.005)
    assert found.low < -0.1 < found.high < -0.08
    assert found.new / found.baseline - 1 == pytest.approx(found.difference)
    assert (found.n, found.verdict) == (5, "worse")


@pytest.mark.parametrize(("metric", "verdict"), [("rtfx", "better"), ("latency_p50_s", "worse"), (J, "worse")])
def test_the_verdict_follows_the_better_direction(fake_run: FakeRun, metric: str, verdict: str) -> None:
    """More is better of RTFx, and worse of latency and energy."""
    a, b = fake_run("a", {"rounds": rounds(**{metric: 10})}), fake_run("b", {"rounds": rounds(OTHER, **{metric: 12})})
    found = only(compare(*sides(a, b)), metric)
    assert (found.verdict, found.difference) == (verdict, pytest.approx(0.2, abs=0.01))


def test_turned_round_a_comparison_says_the_opposite(fake_run: FakeRun, said: list[str]) -> None:
    """Swapping the sides inverts ratios, negates differences of rates, and turns better into worse."""
    a = fake_run("a", {"rounds": rounds(rtfx=10), "heard": said})
    b = fake_run("b", {"rounds": rounds(OTHER, rtfx=12), "heard": ["x", *said[1:10], *["y"] * 20, *said[30:]]})
    there, back = compare(*sides(a, b)), compare(*sides(b, a))
    ratio, inverse = only(there, "rtfx"), only(back, "rtfx")
    assert (1 + ratio.difference) * (1 + inverse.difference) == pytest.approx(1)
    assert (1 + ratio.low) * (1 + inverse.high) == pytest.approx(1)
    assert only(there, "wer").difference == pytest.approx(-only(back, "wer").difference)
    assert only(there, "wer").p == pytest.approx(only(back, "wer").p)
    assert (verdicts(there), verdicts(back)) == ({"wer": "worse", "rtfx": "better"}, {"wer": "better", "rtfx": "worse"})


def test_windows_of_one_process_decide_nothing(fake_run: FakeRun) -> None:
    """Three steady windows in one process a side show no difference between builds, however far apart they are."""
    a, b = (
        fake_run(name, {"rounds": [{"rtfx": rtfx + i / 100, "round": 0, "repeat": i} for i in range(3)]})
        for name, rtfx in (("a", 10), ("b", 12))
    )
    found = only(compare(*sides(a, b)), "rtfx")
    assert (found.verdict, found.n, found.low, found.p) == ("too few repeats", 1, None, None)
    assert found.difference == pytest.approx(0.2, abs=0.001)


def test_repeats_inside_a_process_count_once(fake_run: FakeRun) -> None:
    """Ten windows in each of two processes are two units and not twenty."""
    cell = {"rounds": [{"rtfx": 10 + r + i / 100, "round": r, "repeat": i} for r in range(2) for i in range(10)]}
    assert only(compare(*sides(fake_run("a", cell), fake_run("b", cell))), "rtfx").n == 2


def test_sizes_differ_or_do_not(fake_run: FakeRun) -> None:
    """A model's size does not vary, so one process is enough and a byte is a difference."""
    a = fake_run("a", {"rounds": [{"model_bytes": 1000, "n_params": 7}]})
    b = fake_run("b", {"rounds": [{"model_bytes": 999, "n_params": 7}]})
    compared = compare(*sides(a, b), ["model_bytes", "n_params"])
    assert verdicts(compared) == {"model_bytes": "better", "n_params": "no difference shown"}
    assert only(compared, "model_bytes").p is None


def test_macs_depend_on_the_data_and_on_nothing_else(fake_run: FakeRun) -> None:
    """The work of an average utterance needs no repeats and no equal threads, and is refused on other data."""
    macs = {"rounds": [{"macs_per_audio_s": 2e9}]}
    a, b = fake_run("a", macs), fake_run("b", {**macs, "threads": 8, "protocol": "quick"})
    c = fake_run("c", {**macs, "dataset": "e", "data_hash": "def"})
    found = [verdicts(compare(*sides(a, x), ["macs_per_audio_s"])) for x in (b, c)]
    assert found == [{"macs_per_audio_s": "no difference shown"}, {"macs_per_audio_s": "not comparable"}]


def test_wer_is_compared_utterance_by_utterance(fake_run: FakeRun, said: list[str]) -> None:
    """A small difference shows where the utterances agree otherwise, which two intervals side by side would hide."""
    bad = ["nothing" if i % 2 else text for i, text in enumerate(said)]
    worse = [text.replace("this is", "that was") if i % 4 == 0 else text for i, text in enumerate(bad)]
    a, b = fake_run("a", {"heard": bad}), fake_run("b", {"heard": worse})
    found = only(compare(*sides(a, b)), "wer")
    assert found.difference == pytest.approx(20 / 320)
    assert found.new - found.baseline == pytest.approx(found.difference)
    assert 0 < found.low < found.difference < found.high < 0.12
    assert (found.n, found.verdict) == (40, "worse")
    rows = [next(iter(store.read_rows(run / store.RECORDS))) for run in (a, b)]
    assert rows[0]["wer_ci_high"] > rows[1]["wer_ci_low"], "the intervals of the two overlap"


def test_the_same_texts_are_no_difference(fake_run: FakeRun, said: list[str]) -> None:
    """Equal texts have difference 0 and p 1; 320 words resolve no less than the eight errors that stand out in them."""
    heard = ["x", *said[1:]]
    found = only(compare(*sides(fake_run("a", {"heard": heard}), fake_run("b", {"heard": heard}))), "wer")
    assert (found.difference, found.p, found.verdict) == (0, 1, "no difference shown")
    assert found.smallest > 8 / 320


def test_p_and_interval_do_not_contradict_each_other_silently(fake_run: FakeRun, said: list[str]) -> None:
    """Errors that differ beyond chance in these texts, and not over four speakers, give a reason and no verdict."""
    speakers = [f"s{i % 4}" for i in range(len(said))]
    heard = [f"{'x ' * (i % 3)}{text}" if i % 4 == 0 else text for i, text in enumerate(said)]
    sides_of = [fake_run(name, {"heard": texts}) for name, texts in (("a", said), ("b", heard))]
    for folder in sides_of:
        rows = [{**row, "speaker": speakers[i]} for i, row in enumerate(store.read_rows(folder / store.HYPOTHESES))]
        (folder / store.HYPOTHESES).write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = only(compare(*sides(*sides_of)), "wer")
    assert found.low < 0 < found.high
    assert found.p < 0.05
    assert (found.verdict, found.unit) == ("no difference shown", "speakers like these 4, conservative")
    assert found.why.startswith("p is small and the interval holds 0")


def test_texts_that_no_longer_give_the_rows_counts_are_refused(fake_run: FakeRun, said: list[str]) -> None:
    """Where a changed scorer or lost texts leave the row's counts unexplained, no WER is compared, and why is said."""
    a, b = fake_run("a", {"heard": said}), fake_run("b", {"heard": ["x", *said[1:]]})
    lines = (b / store.HYPOTHESES).read_text().splitlines(keepends=True)
    (b / store.HYPOTHESES).write_text("".join(lines[1:]))
    assert only(compare(*sides(a, b)), "wer").why.startswith("its texts count 0 errors in 312 words here, its row 8 in")
    (b / store.HYPOTHESES).unlink()
    assert only(compare(*sides(a, b)), "wer").why == "its texts are not in hypotheses.jsonl"


def test_random_weights_have_no_wer_to_compare(fake_run: FakeRun) -> None:
    """Rows without an accuracy are compared in the rest."""
    cell = {"rounds": rounds(rtfx=10), "flags": ("synthetic-weights",)}
    compared = compare(*sides(fake_run("a", cell), fake_run("b", cell)))
    assert verdicts(compared) == {"rtfx": "no difference shown"}
    assert list(compared.pairs[0].b.flags) == ["synthetic-weights"]


def test_many_pairs_ask_for_more_than_one(fake_run: FakeRun) -> None:
    """The same figures are a difference when compared alone, and none among twenty pairs of noise."""
    slower = {"variant": "v0", "rounds": rounds((0.90, 0.99, 0.95, 0.93, 0.97), rtfx=10)}
    noise = [{"variant": f"v{i}", "rounds": rounds(OTHER, rtfx=10)} for i in range(1, 20)]
    base = [{"variant": f"v{i}", "rounds": rounds(rtfx=10)} for i in range(20)]
    alone = compare(*sides(fake_run("a", base[0]), fake_run("b", slower)), ["rtfx"])
    many = compare(*sides(fake_run("c", *base), fake_run("d", slower, *noise)), ["rtfx"])
    first = many.pairs[0].findings[0]
    assert only(alone, "rtfx").verdict == "worse"
    assert (first.low, first.high) == (only(alone, "rtfx").low, only(alone, "rtfx").high)
    assert first.p == pytest.approx(min(1, 20 * only(alone, "rtfx").p))
    assert first.verdict == "no difference shown"


def test_all_usual_metrics_are_judged_at_once(fake_run: FakeRun, said: list[str]) -> None:
    """One pair gives a line for each default metric, in that order."""
    cell = {"heard": said, "rounds": rounds(**{name: 10 for name in DEFAULT_METRICS if name != "wer"})}
    assert tuple(verdicts(compare(*sides(fake_run("a", cell), fake_run("b", cell))))) == DEFAULT_METRICS


def test_two_decodings_of_one_variant_are_not_compared_and_of_two_variants_are_told(
    fake_run: FakeRun, said: list[str]
) -> None:
    """One name with another beam is another recogniser; of two variants a line says so; unknown is no reason."""
    cells = {"heard": said, "rounds": [{"rtfx": 10.0}, {"rtfx": 11.0}]}
    runs = [
        fake_run(f"r{n}", {**cells, "variant": "w", "decoding": decoding})
        for n, decoding in enumerate(("greedy, language en", "beam 5, language en", None))
    ]
    found = compare(select(str(runs[0])), select(str(runs[1])), ["wer", "rtfx"])
    refused = "decoding greedy, language en against beam 5, language en"
    assert [f.why for f in found.pairs[0].findings] == [refused, refused]
    across = compare(select(str(runs[0])), select(str(runs[1])), ["wer"], ["decoding"])
    assert across.pairs[0].findings[0].verdict != "not comparable"
    old = compare(select(str(runs[2])), select(str(runs[1])), ["wer"])
    assert old.pairs[0].findings[0].verdict != "not comparable"
    both = fake_run(
        "both", {**cells, "variant": "v", "decoding": "greedy"}, {**cells, "variant": "w", "decoding": "beam 5"}
    )
    told = compare(select(f"{both}:v"), select(f"{both}:w"), ["wer"])
    assert told.pairs[0].findings[0].verdict != "not comparable"
    assert "decoding greedy against beam 5" in differences.blocks(told)[0].remarks
