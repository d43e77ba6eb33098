"""Whether a machine or a model changed: cells and controls slow down together, alone, too much, in a round."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from greenbench.analysis.compare import compare
from greenbench.analysis.findings import Comparison, MetricFinding
from greenbench.analysis.selection import select
from greenbench.analysis.steadiness import UNKNOWN
from greenbench.cli import app
from greenbench.harness import control_cell
from greenbench.harness.runner import Options, run

FakeRun = Callable[..., Path]
J = "energy_j_per_audio_s"
STEADY, OTHER = (1.00, 1.01, 0.99, 1.005, 0.995), (0.995, 1.0, 1.01, 0.99, 1.005)


def cell(
    fake_run: FakeRun, run_id: str, noise: tuple[float, ...], figures: dict[str, float], known: Any = 600.0, **more: Any
) -> Path:
    """Write a run of one cell whose rounds have a control of RTFx ``known``, or a list of them; None: no control."""
    controls = known if isinstance(known, list) else [known] * len(noise)
    folder = fake_run(run_id, {"rounds": [{n: v * f for n, v in figures.items()} for f in noise]}, **more)
    rows = [json.loads(text) for text in (folder / "records.jsonl").read_text().splitlines()]
    for row, rtfx in zip(rows, controls, strict=True):
        if rtfx is not None:
            row.update({"control": "control-1", "control_rtfx": rtfx, "control_drift_pct": 0.0} | more.get("also", {}))
    (folder / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def only(comparison: Comparison, metric: str = "rtfx") -> MetricFinding:
    (found,) = [f for p in comparison.pairs for f in p.findings if f.metric == metric]
    return found


def judged(a: Path, b: Path, metric: str = "rtfx", across: tuple[str, ...] = ()) -> MetricFinding:
    return only(compare(select(str(a)), select(str(b)), [metric], across), metric)


# --- through the whole program ---------------------------------------------------------------------------


@pytest.mark.measures
def test_a_slower_machine_is_told_from_a_slower_model(
    suite_data: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """7 % less speed of cell and control is no difference of the model; 7 % less of the cell alone is one.

    The cells are processes that sleep as long as they should; only the control's answer is a stand-in.
    """
    steps = {"use": "quick", "rounds": 3, "repeats": 1, "window_s": 0.5, "idle_s": 0, "warmup_batches": 1}
    data = suite_data["datasets"][0] | {"limit": 1}

    def measured(name: str, rtfx: float, control_rtfx: float) -> Path:
        answer = {"control": "control-1", "rtfx": control_rtfx, "reason": None, "foreign_pct": 0.0} | dict.fromkeys(
            ("energy_j_per_audio_s", "energy_method", "energy_scope")
        )
        monkeypatch.setattr(control_cell, "measure", lambda *_: dict(answer))
        changes = {"protocol": steps, "datasets": [data], "variants": [{"use": "null", "rtfx": rtfx, "name": "cell"}]}
        run({**suite_data, **changes, "control": True}, Options(out=tmp_path / name))
        return tmp_path / name

    before, slowed = measured("before", 1.0, 600.0), measured("slowed", 0.93, 558.0)
    alone, elsewhere = measured("alone", 0.93, 600.0), measured("elsewhere", 0.93, 300.0)
    assert verdict(before, slowed) == ("no difference shown", 0)
    assert verdict(before, alone) == ("worse", 0)
    assert verdict(before, elsewhere) == ("not comparable", 2)
    assert verdict(before, elsewhere, "--across", "control") == ("worse", 0)
    assert verdict(slowed, alone)[0] == "no difference shown"


def verdict(*arguments: object) -> tuple[str, int]:
    """Return what `greenbench compare` says of RTFx, and its exit code."""
    done = CliRunner().invoke(app, ["compare", *map(str, arguments), "--metric", "rtfx", "--json"])
    (pair,) = json.loads(done.stdout)["pairs"]
    return pair["findings"][0]["verdict"], 0 if done.exception is None else 2


# --- what is widened -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("metric", "factor"), [("rtfx", 0.93), ("latency_p50_s", 1 / 0.93), (J, 1 / 0.93)])
def test_what_follows_the_machine_is_held_against_it(fake_run: FakeRun, metric: str, factor: float) -> None:
    """Speed, time and energy that changed as the control did are no difference; alone they are one."""
    a = cell(fake_run, "a", STEADY, {metric: 10.0})
    slowed = cell(fake_run, "b", OTHER, {metric: 10.0 * factor}, 558.0)
    alone = cell(fake_run, "c", OTHER, {metric: 10.0 * factor})
    assert judged(a, slowed, metric).verdict == "no difference shown"
    found = judged(a, alone, metric)
    assert found.verdict == "worse"
    assert found.difference == pytest.approx(factor - 1, abs=0.01)


def test_energy_is_held_against_the_controls_energy(fake_run: FakeRun) -> None:
    """8 % more joules of cell and control at the same speed are the machine's."""
    energy = {"control_energy_method": "counter"}
    a = cell(fake_run, "a", STEADY, {J: 1.0}, also=energy | {"control_energy_j_per_audio_s": 0.5})
    b = cell(fake_run, "b", OTHER, {J: 1.08}, also=energy | {"control_energy_j_per_audio_s": 0.54})
    found = judged(a, b, J)
    assert found.verdict == "no difference shown"
    assert found.control is not None
    assert (found.control.baseline, found.control.new) == pytest.approx((0.5, 0.54))
    assert found.control.said == ("controls: J per audio second 0.5 against 0.54 (+8.0 %); intervals are widened by it")
    other = cell(fake_run, "c", OTHER, {J: 1.08}, also={"control_energy_method": "estimated"} | {
        "control_energy_j_per_audio_s": 0.54})  # fmt: skip
    assert judged(a, other, J).verdict == "worse", "joules read in another way say nothing; the speed was the same"


def test_sizes_do_not_follow_the_machine(fake_run: FakeRun) -> None:
    """Memory is compared as it is, whatever the controls say."""
    a = cell(fake_run, "a", STEADY, {"peak_rss_bytes": 100.0})
    b = cell(fake_run, "b", OTHER, {"peak_rss_bytes": 110.0}, 300.0)
    found = judged(a, b, "peak_rss_bytes")
    assert (found.verdict, found.control) == ("worse", None)


# --- what is refused -------------------------------------------------------------------------------------


def test_controls_that_differ_too_much_are_a_refusal_with_both_figures(fake_run: FakeRun) -> None:
    """A control 25 % slower is another machine; so says the refusal, and how it is allowed."""
    a, b = cell(fake_run, "a", STEADY, {"rtfx": 10.0}), cell(fake_run, "b", OTHER, {"rtfx": 8.0}, 450.0)
    found = judged(a, b)
    assert found.verdict == "not comparable"
    assert found.why is not None
    for part in ("RTFx 600 against 450 (-25.0 %)", "at most 10 %", "--across control"):
        assert part in found.why
    assert found.low is None
    allowed = judged(a, b, across=("control",))
    assert allowed.verdict == "worse"
    assert allowed.control is not None
    assert "RTFx 600 against 450 (-25.0 %); control differs on purpose" in str(allowed.control.said)


def test_two_machines_differ_on_purpose(fake_run: FakeRun) -> None:
    """A comparison across machines is not refused for it, and shows both controls."""
    a = cell(fake_run, "a", STEADY, {"rtfx": 10.0})
    b = cell(fake_run, "b", OTHER, {"rtfx": 20.0}, 1200.0, device_name="another CPU")
    found = judged(a, b, across=("device_name",))
    assert found.verdict == "better"
    assert found.control is not None
    assert "600 against 1200 (+100.0 %); device_name differs on purpose" in str(found.control.said)
    same = cell(fake_run, "c", OTHER, {"rtfx": 20.0}, 1200.0)
    assert judged(a, same, across=("device_name",)).verdict == "not comparable", "nothing differs but the control"


def test_a_round_in_which_the_machine_changed_is_left_out(fake_run: FakeRun) -> None:
    """One unsteady round of five is left out; where four are, nothing is compared, not even within one run."""
    drifts = {"control": "control-1", "control_rtfx": 600.0}
    cells = [
        {"variant": name, "rounds": [{"rtfx": 10.0 * f * n} for n in noise]}
        for name, noise, f in (("x", STEADY, 1.0), ("y", OTHER, 0.9))
    ]
    for n_bad, expected in ((1, "worse"), (4, "not comparable")):
        folder = fake_run(f"r{n_bad}", *cells, **drifts)
        rows = [json.loads(text) for text in (folder / "records.jsonl").read_text().splitlines()]
        lines = [row | {"control_drift_pct": 30.0 if row["round"] < n_bad else -14.0} for row in rows]
        (folder / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
        found = judged(Path(f"{folder}:x"), Path(f"{folder}:y"))
        assert found.verdict == expected
        assert found.control is not None
        assert found.control.rounds_out == tuple(range(n_bad))
    assert found.why is not None
    assert found.why.startswith("the machine changed within 4 of 5 rounds: its controls changed by +30 %, +30 %")


# --- what is not known -----------------------------------------------------------------------------------


def test_without_a_control_on_both_sides_one_line_says_so(fake_run: FakeRun) -> None:
    """Old rows are compared as before, and a whole-run shift is said to be possible; within one run it cancels."""
    old, new = cell(fake_run, "a", STEADY, {"rtfx": 10.0}, None), cell(fake_run, "b", OTHER, {"rtfx": 8.0})
    found = judged(old, new)
    assert found.verdict == "worse"
    assert found.control is not None
    assert found.control.said == f"no control on both sides: {UNKNOWN}"
    done = CliRunner().invoke(app, ["compare", str(old), str(new), "--metric", "rtfx", "--metric", "load_s"])
    assert " ".join(done.stdout.split()).count(UNKNOWN) == 1
    both = fake_run("r", *({"variant": v, "rounds": [{"rtfx": 10.0 * n} for n in STEADY]} for v in ("x", "y")))
    within = judged(Path(f"{both}:x"), Path(f"{both}:y"))
    assert within.control is not None
    assert within.control.said is None


def test_controls_of_two_versions_say_nothing_of_each_other(fake_run: FakeRun) -> None:
    """A control that was made anew has another speed for that reason."""
    a = cell(fake_run, "a", STEADY, {"rtfx": 10.0})
    b = cell(fake_run, "b", OTHER, {"rtfx": 8.0}, 100.0, also={"control": "control-2"})
    found = judged(a, b)
    assert found.verdict == "worse"
    assert found.control is not None
    assert UNKNOWN in str(found.control.said)


def test_one_controlled_round_widens_nothing(fake_run: FakeRun) -> None:
    """A single round with controls on both sides bounds the change, and gives no interval."""
    a = cell(fake_run, "a", STEADY, {"rtfx": 10.0}, [600.0, None, None, None, None])
    b = cell(fake_run, "b", OTHER, {"rtfx": 8.0}, 590.0)
    found = judged(a, b)
    assert found.verdict == "worse"
    assert found.control is not None
    assert "in one round only" in str(found.control.said)
