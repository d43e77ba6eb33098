"""The first sentences: on ten sets of results each is known in full, and answers what to ship."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from greenbench.analysis import advice
from greenbench.analysis.gains import Gain
from greenbench.analysis.gate import Gate
from greenbench.report import content, sentences
from greenbench.report.headline import headline
from greenbench.statistics import student

FakeRun = Callable[..., Path]

QUIET = (1.0, 1.01, 0.99)
"""What a quiet machine makes of one figure in three rounds."""


def cell(
    variant: str,
    speed: float,
    joules: float | None = None,
    *,
    noise: Sequence[float] = QUIET,
    size: float = 20e6,
    **more: Any,
) -> dict[str, Any]:
    """Return a cell whose rounds differ by the noise."""
    energy = {} if joules is None else {"energy_j_per_audio_s": joules}
    rounds = [{"rtfx": speed * x, "model_bytes": size} | {name: j / x for name, j in energy.items()} for x in noise]
    return {"variant": variant, "rounds": rounds} | more


@pytest.fixture
def heard(said: list[str]) -> Callable[[int], list[str]]:
    """Texts with one wrong word in each of the first ``n`` of 40 utterances of 8 words."""
    return lambda n: [text.replace("said", "sad") if i < n else text for i, text in enumerate(said)]


KEPT = "Its WER is 0.00 %, +0.00 [-1.00, +1.00] points: shown to be at most 1 point higher."


def told(*runs: Path, gate: Gate | None = None) -> list[str]:
    return headline(content.load(runs, gate or Gate()))


def test_a_quiet_machine_gives_a_build_to_use(fake_run: FakeRun, said: list[str]) -> None:
    """The fastest that keeps the WER, which is the least hungry too, by ratios with their intervals."""
    run = fake_run(
        "r1",
        cell("base", 10, 2.0, heard=said, energy_method="estimated"),
        cell("base+bf16", 20, 1.0, noise=(1.02, 1.0, 0.99), size=11e6, heard=said, parent="base",
             energy_method="estimated"),
        cell("base+int8", 15, 1.4, size=6e6, heard=said, parent="base", energy_method="estimated"),
    )  # fmt: skip
    assert told(run) == [
        "Use base+bf16. Against base: 2.01 times as fast [1.93, 2.08], 45 % smaller, 50 % less energy [48, 52] "
        "(estimated). Its WER is 0.00 %, +0.00 [-1.00, +1.00] points: shown to be at most 1 point higher.",
    ]


def test_a_noisy_machine_is_said_to_be_one(fake_run: FakeRun, said: list[str]) -> None:
    """Repeats that differ are noise, with its size and its remedy, and no build is recommended by them."""
    wild = ({"round": 0, "repeat": 0}, {"round": 0, "repeat": 1})
    rounds = [[at | {"rtfx": rate} for at, rate in zip(wild, rates, strict=True)] for rates in ((10, 12.2), (20, 20.5))]
    run = fake_run(
        "r1",
        {"variant": "base", "heard": said, "rounds": rounds[0]},
        {"variant": "base+bf16", "heard": said, "parent": "base", "rounds": rounds[1]},
        protocol="quick(repeats=2)",
    )
    assert told(run) == [
        "No build can be recommended: each, or the model it is compared with, carries a flag.",
        "Two repeats of base differed by 22 % in speed, so that 1 cell is not ranked: run on a quiet machine, or with "
        "--protocol standard.",
        "Energy is not known: no meter answered (--estimate-energy gives a labelled estimate).",
    ]


def test_noise_in_estimated_energy_says_that_it_is_estimated(fake_run: FakeRun, said: list[str]) -> None:
    """A sentence about joules that nobody measured names them so."""
    at = (
        {"round": 0, "repeat": 0, "energy_j_per_audio_s": 1.0},
        {"round": 0, "repeat": 1, "energy_j_per_audio_s": 2.0},
    )
    rounds = [where | {"rtfx": 10.0} for where in at]
    run = fake_run("r1", {"variant": "base", "heard": said, "rounds": rounds}, energy_method="estimated")
    assert any("Two repeats of base differed by 100 % in estimated energy" in sentence for sentence in told(run))


def test_one_variant_is_told_what_to_measure_besides(fake_run: FakeRun, said: list[str]) -> None:
    """A single model has nothing to be compared with, which is no news; what to do is."""
    assert told(fake_run("r1", cell("base", 10, 2.0, heard=said))) == [
        "base: WER 0.00 % (95 % interval 0.00–1.00), 10.0 x real time. Measure its builds in the same run to see "
        "whether a smaller one will do (--builds int8-dynamic, or `builds:` in the suite)."
    ]


def test_a_run_in_which_all_failed_has_the_first_reason(fake_run: FakeRun) -> None:
    """Nothing is recommended of nothing: how many failed, and why."""
    failed = {"status": "error", "rounds": [{}]}
    run = fake_run(
        "r1",
        {"variant": "a", "reason": "out of memory", **failed},
        {"variant": "b", "reason": "out of memory", **failed},
        {"variant": "c", "rounds": [{}], "status": "skipped", "reason": "no cuda here"},
    )
    assert told(run) == [
        "Nothing was measured: of 3 cells, 2 failed and 1 skipped. The first reason: out of memory "
        "(1 more in the table)."
    ]


def test_without_energy_speed_and_size_decide(fake_run: FakeRun, said: list[str]) -> None:
    """What no meter read is not spoken of in the comparison, and said once at the end."""
    run = fake_run(
        "r1", cell("base", 10, heard=said), cell("base+int8", 15, size=6e6, heard=said, parent="base"),
    )  # fmt: skip
    assert told(run) == [
        "Use base+int8. Against base: 1.50 times as fast [1.50, 1.50], 70 % smaller. Its WER is 0.00 %, "
        "+0.00 [-1.00, +1.00] points: shown to be at most 1 point higher.",
        "Energy is not known: no meter answered (--estimate-energy gives a labelled estimate).",
    ]


def test_on_a_gpu_the_fastest_and_the_least_hungry_may_be_two(fake_run: FakeRun, said: list[str]) -> None:
    """Each is recommended for what it is best for; measured energy has its scope."""
    run = fake_run(
        "r1",
        cell("base", 100, 0.2, heard=said),
        cell("base+fp16", 250, 0.1, size=10e6, heard=said, parent="base"),
        cell("base+compile", 300, 0.15, heard=said, parent="base"),
        device="cuda:0", device_name="NVIDIA H200", energy_scope="cpu+gpu",
    )  # fmt: skip
    assert told(run) == [
        "Use base+compile for speed. Against base: 3.00 times as fast [3.00, 3.00], of the same size, 25 % less energy "
        "[25, 25] (measured, scope cpu+gpu). Its WER is 0.00 %, +0.00 [-1.00, +1.00] points: shown to be at most 1 "
        "point higher.",
        "Use base+fp16 for the least energy. Against base: 2.50 times as fast [2.50, 2.50], 50 % smaller, 50 % less "
        "energy [50, 50] (measured, scope cpu+gpu). Its WER is 0.00 %, +0.00 [-1.00, +1.00] points: shown to be at "
        "most 1 point higher.",
    ]


def test_each_of_several_machines_has_its_build(fake_run: FakeRun, said: list[str]) -> None:
    """What is fast on one machine need not be on another: each has its answer, under its name."""
    runs = [
        fake_run(run, cell("base", 10, 2.0, heard=said), cell("base+int8", rate, 1.0, heard=said, parent="base"),
                 device_name=name)
        for run, name, rate in (("r1", "a laptop", 20), ("r2", "a board", 5))
    ]  # fmt: skip
    wer = "Its WER is 0.00 %, +0.00 [-1.00, +1.00] points: shown to be at most 1 point higher."
    assert told(*runs) == [
        "On a laptop: Use base+int8. Against base: 2.00 times as fast [2.00, 2.00], "
        f"of the same size, 50 % less energy [50, 50] (measured, scope cpu). {wer}",
        "On a board: Use base+int8 for the least energy. Against base: 0.50 times "
        f"as fast [0.50, 0.50], of the same size, 50 % less energy [50, 50] (measured, scope cpu). {wer}",
    ]


def test_single_stream_alone_is_answered_too(fake_run: FakeRun, said: list[str]) -> None:
    """One utterance at a time is a setting as any; where a gain is not shown, so many rounds would show it."""
    noise = (1.0, 1.12, 0.95)
    run = fake_run(
        "r1",
        cell("base", 10, 2.0, heard=said),
        cell("base+int8", 11.5, 1.9, noise=noise, size=6e6, heard=said, parent="base"),
        cell("base+bf16", 12, 1.7, heard=said, parent="base"),
        scenario="single-stream",
        batch_size=1,
    )
    assert told(run) == [
        "Use base+bf16. Against base: 1.20 times as fast [1.20, 1.20], of the same size, 15 % less energy [15, 15] "
        f"(measured, scope cpu). {KEPT}",
        "Not shown for lack of evidence: that base+int8 is faster. It is 1.17 times as fast [0.98, 1.41]; about 5 "
        "rounds would show that (--set protocol.rounds=5).",
    ]


def test_a_student_is_compared_with_its_teacher(fake_run: FakeRun, heard: Callable[[int], list[str]]) -> None:
    """A build that keeps the WER is used; a student within 3 points is named beside it, against its teacher."""
    run = fake_run(
        "r1",
        cell("big", 10, 2.0, heard=heard(0)),
        cell("big+int8", 15, 1.4, size=6e6, heard=heard(0), parent="big"),
        cell("student", 40, 0.5, size=5e6, heard=heard(3), parent="big", steps="layer-drop+distill"),
    )
    assert told(run) == [
        "Use big+int8. Against big: 1.50 times as fast [1.50, 1.50], 70 % smaller, 30 % less energy [30, 30] "
        f"(measured, scope cpu). {KEPT}",
        "If 3 points more WER will do, use student. Against its teacher big: 4.00 times as fast [4.00, 4.00], 75 % "
        "smaller, 75 % less energy [75, 75] (measured, scope cpu). Its WER is 0.94 %, +0.94 [-0.31, +2.75] points: "
        "shown to be at most 3 points higher.",
        "Not shown for lack of evidence: that student errs at most 1 point more. Its WER differs by +0.94 "
        "[-0.31, +2.75] points; it would take more than 100 times as many utterances, if the difference stays.",
    ]


def test_a_wer_that_is_not_shown_to_be_kept_says_what_would_show_it(
    fake_run: FakeRun, heard: Callable[[int], list[str]]
) -> None:
    """Two words of 320 more are neither inside 1 point nor outside: so many times the speech would decide."""
    run = fake_run(
        "r1", cell("base", 10, 2.0, heard=heard(0)), cell("base+int8", 15, 1.4, heard=heard(2), parent="base")
    )
    assert told(run) == [
        "Keep base: no build's WER is shown to be at most 1 point higher.",
        "If 3 points more WER will do, use base+int8. Against base: 1.50 times as fast [1.50, 1.50], of the same size, "
        "30 % less energy [30, 30] (measured, scope cpu). Its WER is 0.62 %, +0.62 [-0.52, +2.31] points: shown to be "
        "at most 3 points higher.",
        "Not shown for lack of evidence: that base+int8 errs at most 1 point more. Its WER differs by +0.62 "
        "[-0.52, +2.31] points; about 21 times as many utterances would show it, if the difference stays.",
    ]


# --- the rest of what may be said ------------------------------------------------------------------------


def test_without_references_the_best_are_named(fake_run: FakeRun, heard: Callable[[int], list[str]]) -> None:
    """Models that are not made from each other are ranked by WER and speed, and no build is chosen."""
    assert told(fake_run("r1", cell("a", 10, heard=heard(20)), cell("b", 20, heard=heard(0))))[:3] == [
        "No build here was measured together with the model that it was made from, so none is chosen.",
        "b makes the fewest errors: WER 0.00 % (95 % interval 0.00–1.00).",
        "b is fastest: 20.0 x real time.",
    ]


def test_a_build_that_only_saves_bytes_is_used_for_its_size(fake_run: FakeRun, said: list[str]) -> None:
    """Where neither speed nor energy is shown to gain or lose, the smaller file decides."""
    run = fake_run(
        "r1", cell("base", 10, 2.0, heard=said), cell("base+int8", 10, 2.0, size=5e6, heard=said, parent="base")
    )
    assert told(run) == [
        "Use base+int8 for its size. Against base: 1.00 times as fast [1.00, 1.00], which is not shown to be a "
        f"difference, 75 % smaller, as much energy [0, 0] (measured, scope cpu). {KEPT}"
    ]


def test_what_is_slower_and_hungrier_is_not_used(fake_run: FakeRun, said: list[str]) -> None:
    """A build that is smaller and shown to be slower is no choice: the reference stays."""
    run = fake_run(
        "r1", cell("base", 10, 2.0, heard=said), cell("base+bf16", 2, 9.0, size=5e6, heard=said, parent="base")
    )
    assert told(run) == [
        "Keep base: no build whose WER is shown to be at most 1 point higher is shown to be faster or need less energy."
    ]


def test_flags_other_than_noise_are_named(fake_run: FakeRun, said: list[str]) -> None:
    """A cell that is left out is named with its flags; of several settings the one that is spoken of is named."""
    cells = [
        cell("base", 10, 2.0, heard=said),
        cell("base+int8", 15, 1.0, heard=said, parent="base", flags=("not-warm",)),
    ]
    other = cell("base", 9, 2.0, heard=said, scenario="single-stream", batch_size=1)
    assert told(fake_run("r1", *cells, other)) == [
        "No build can be recommended: each, or the model it is compared with, carries a flag.",
        "Left out for their flags: base+int8 (not-warm).",
        "These sentences are about 1 of 2 settings: d · cpu · offline · batch size 8.",
    ]


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        (Gate("none"), "points: not limited (--gate none)."),
        (Gate("mlperf-99"), "points: within MLPerf's 99 % of the reference's word accuracy."),
        (Gate("margin", 0.1, "base"), "points: shown to be at most 10 points higher than that of base."),
    ],
)
def test_the_gate_that_was_asked_for_is_the_one_that_is_named(
    fake_run: FakeRun, said: list[str], gate: Gate, says: str
) -> None:
    """What a recommended build's WER is shown to be is what was asked for."""
    run = fake_run("r1", cell("base", 10, 2.0, heard=said), cell("base+int8", 15, 1.0, heard=said, parent="base"))
    (sentence,) = told(run, gate=gate)
    assert sentence.endswith(says)


def test_where_characters_decide_no_word_error_rate_is_spoken_of(fake_run: FakeRun, said: list[str]) -> None:
    """The sentences, the findings and the standing of a cell name the rate that the suite calls primary."""
    wrong = [text.replace("said", "sad") for text in said]
    cells = (cell("a", 10, 2.0, heard=said), cell("b", 20, 1.0, heard=wrong))
    run = fake_run("r1", *cells, primary="cer")
    assert "CER 0.00 %" in told(fake_run("alone", cells[0], primary="cer"))[0]
    assert told(run)[1].startswith("a makes the fewest errors: CER 0.00 % (95 % interval 0.00–")
    loaded = content.load([run], Gate())
    (setting,) = loaded.settings
    assert next(what for what, *_ in sentences.findings(setting, loaded.counted)) == "Lowest CER"
    linked = fake_run("r2", cells[0], {**cells[1], "parent": "a"}, primary="cer")
    assert "1 by CER alone" in sentences.tally(content.load([linked], Gate()).lines)


# --- what would show more --------------------------------------------------------------------------------


def test_more_rounds_are_advised_by_the_power_of_the_test() -> None:
    """Ten ratios of this spread resolve 10 %: three that show 10 % want more, and a gain of 1 % is not worth it."""
    wide = Gain(1.10, 0.95, 1.10**2 / 0.95, n=3)
    n = advice.repeats(wide)
    assert n is not None
    deviation = math.log(wide.high / wide.low) / 2 / student.quantile(2) * math.sqrt(3)
    resolved = [student.resolvable(k - 1) * deviation / math.sqrt(k) for k in (n - 1, n)]
    assert resolved[0] > math.log(1.10) >= resolved[1]
    assert advice.repeats(Gain(1.01, 0.8, 1.01**2 / 0.8, n=3)) is None
    assert advice.repeats(Gain(1.5)) is None


@pytest.mark.parametrize(
    ("value", "high", "n"), [(0.0, 0.02, 4), (0.005, 0.01, 2), (0.005, 0.015, 4), (0.009, 0.1, None)]
)
def test_more_speech_is_advised_by_the_square_root(value: float, high: float, n: int | None) -> None:
    """Half the reach takes four times the speech; too much is no advice."""
    assert advice.times(value, high, 0.01) == n
