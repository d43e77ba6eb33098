"""How a comparison reads: headings, numbers in people's units, refusals, and the same as JSON."""

import json
from pathlib import Path
from typing import Any

import pytest

from greenbench.analysis.cells import CellSummary
from greenbench.analysis.findings import CellComparison, Comparison, MetricFinding
from greenbench.analysis.thresholds import Regression, parse
from greenbench.provenance import Mixed
from greenbench.report import differences

KEY = {"run_id": "r1", "variant": "v", "dataset": "d", "device": "cpu", "scenario": "offline", "batch_size": 8}
RTFX = MetricFinding("rtfx", 100.0, 90.0, -0.1, -0.12, -0.08, 0.0004, 0.05, 5, "worse")
WER = MetricFinding("wer", 0.2, 0.2125, 0.0125, -0.001, 0.026, 0.4, 0.019, 40)
SIZE = MetricFinding("model_bytes", 24e6, 12e6, -0.5, -0.5, -0.5, verdict="better")
REFUSED = [
    MetricFinding(name, 1.0, 2.0, verdict="not comparable", why="threads 2 against 4") for name in ("load_s", "cpu_s")
]


def line(flags: tuple[str, ...] = (), **changes: Any) -> CellSummary:
    return CellSummary(KEY | changes, ({},), flags=dict.fromkeys(flags, ""))


def test_numbers_are_written_in_the_units_people_use() -> None:
    """Rates change by percentage points, all else by per cent, each with its interval; p is never 0."""
    pair = CellComparison(line(), line(run_id="r2"), (WER, RTFX, SIZE))
    (block,) = differences.blocks(Comparison((pair,), (), ()))
    assert [list(entry.values()) for entry in block.lines] == [
        ["wer", "20.00 %", "21.25 %", "+1.25 pp [-0.10, +2.60]", "no difference shown", "0.400", "40", "1.90 pp"],
        ["rtfx", "100", "90.0", "-10.0 % [-12.0, -8.00]", "worse", "<0.001", "5", "5.00 %"],
        ["model_bytes", "24.0 MB", "12.0 MB", "-50.0 %", "better", "", "", ""],
    ]


@pytest.mark.parametrize(
    ("methods", "is_guess"),
    [
        (("counter", "counter"), False),
        (("estimated", "estimated"), True),
        (("counter", Mixed(("counter", "estimated"))), True),
    ],
)
def test_estimated_joules_say_so_in_each_figure(methods: tuple[Any, Any], is_guess: bool) -> None:
    """The line, the sentence of a gate and the JSON name the origin of what rests on joules, and of nothing else."""
    found = [
        MetricFinding(name, 1.0, 2.0, 1.0, 0.9, 1.1, 0.01, 0.1, 3, "worse") for name in ("energy_j", "co2e_g", "rtfx")
    ]
    a, b = (line(energy_method=method) for method in methods)
    compared = Comparison((CellComparison(a, b, tuple(found)),), (), ())
    (block,) = differences.blocks(compared)
    guess = " (estimated)" if is_guess else ""
    assert [entry["metric"] for entry in block.lines] == [f"energy_j{guess}", f"co2e_g{guess}", "rtfx"]
    broken = Regression(compared.pairs[0], found[0], parse("energy_j:+5%"))
    assert f"energy_j{guess} +100 % [" in differences.regressed(broken)
    (pair,) = differences.plain(compared, [])["pairs"]
    origin = "estimated" if is_guess else "counter"
    assert [finding["energy_method"] for finding in pair["findings"]] == [origin, origin, None]


def test_metrics_refused_for_one_reason_share_a_line() -> None:
    """What differs is told once, with every metric that it concerns."""
    pair = CellComparison(line(), line(run_id="r2"), (RTFX, *REFUSED))
    (block,) = differences.blocks(Comparison((pair,), (), ()))
    assert [entry["metric"] for entry in block.lines] == ["rtfx"]
    assert block.remarks == ("load_s, cpu_s: not comparable: threads 2 against 4",)


def test_headings_say_what_differs_between_pairs_and_the_title_what_does_not() -> None:
    """The data set that all share stands in the title, the scenario at each pair, with the flags of either side."""
    pairs = (
        CellComparison(line(("throttled",)), line(("throttled", "spread"), variant="w"), (RTFX,)),
        CellComparison(line(scenario="single-stream"), line(scenario="single-stream", variant="w"), (RTFX,)),
    )
    compared = Comparison(pairs, (), ())
    assert differences.title(compared) == "r1 | d | cpu"
    assert [block.heading for block in differences.blocks(compared)] == [
        "v -> w | offline x8  (flags of both: throttled; new: spread)",
        "v -> w | single-stream",
    ]


def test_a_cell_that_gave_nothing_is_a_line_with_its_reason() -> None:
    """A failed cell has a line that says so."""
    pair = CellComparison(line(), line(run_id="r2"), failure="the new cell gave nothing: killed")
    (block,) = differences.blocks(Comparison((pair,), (), ()))
    assert (block.lines, block.remarks) == ((), ("not comparable: the new cell gave nothing: killed",))


def test_missing_verdicts_come_with_what_would_help() -> None:
    """Too few repeats and refusals say what to do; where every metric has a verdict nothing is said."""
    few = MetricFinding("rtfx", 1.0, 2.0, 1.0, n=1, verdict="too few repeats")
    compared = [
        Comparison((CellComparison(line(), line(), found),), (), ()) for found in ((few, *REFUSED), (RTFX, WER, SIZE))
    ]
    assert [[hint.split(":")[0] for hint in differences.hints(c)] for c in compared] == [
        ["too few repeats", "not comparable"],
        [],
    ]


def test_as_json_it_has_fractions_and_si_units() -> None:
    """JSON has unscaled numbers, says which differences are relative, and null where there is nothing."""
    pair = CellComparison(line(), line(run_id="r2"), (WER, RTFX, SIZE))
    regression = Regression(pair, RTFX, parse("rtfx:-5%"))
    plain = json.loads(json.dumps(differences.plain(Comparison((pair,), (line(),), ()), [regression])))
    found = {f["metric"]: f for f in plain["pairs"][0]["findings"]}
    assert (found["wer"]["difference"], found["wer"]["kind"]) == (0.0125, "absolute")
    assert (found["rtfx"]["difference"], found["rtfx"]["kind"]) == (-0.1, "relative")
    assert (found["model_bytes"]["p"], found["model_bytes"]["new"]) == (None, 12e6)
    assert [len(plain[name]) for name in ("only_baseline", "only_new")] == [1, 0]
    (told,) = plain["regressions"]
    assert told == "v | d | cpu | offline x8: rtfx -10.0 % [-12.0, -8.00], beyond rtfx:-5%"


@pytest.mark.parametrize("scenario", ["offline", "single-stream"])
def test_only_offline_has_a_batch_size_to_name(scenario: str, tmp_path: Path) -> None:
    """A lonely cell is named in full."""
    expected = {"offline": "v | d | cpu | offline x8", "single-stream": "v | d | cpu | single-stream"}
    assert differences.alone(line(scenario=scenario)) == expected[scenario]
