"""The control: measured at the edges of each round, kept beside the rows, written into them, never in the way."""

import json
import math
import shutil
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from greenbench.hardware.control import COLUMNS, INTERRUPTED, columns, describe, summary
from greenbench.hardware.platforms import platforms
from greenbench.harness import control_cell
from greenbench.harness.control_cell import Bracket, complete
from greenbench.harness.runner import Options, run
from greenbench.plugins.events import Unavailable
from greenbench.report import sentences
from greenbench.report.pages import write_page
from greenbench.results import store
from greenbench.sharing import privacy
from greenbench.suite.config import load
from greenbench.suite.plan import content_hash
from greenbench.validate import problems

Answer = dict[str, Any]

MEASURE = control_cell.measure
"""The measuring itself, which conftest replaces once the tests begin."""


def two_rounds(manifest: Path, **changes: Any) -> dict[str, Any]:
    """A suite of two cells of the null family in two rounds, with controls."""
    steps = {"use": "quick", "rounds": 2, "repeats": 1, "window_s": 0.05, "idle_s": 0}
    data = [{"use": "manifest", "path": str(manifest)}]
    return {
        "name": "tiny",
        "protocol": steps,
        "datasets": data,
        "variants": ["null/rtfx-100", "null/instant"],
    } | changes


@pytest.fixture
def controlled(manifest: Path) -> dict[str, Any]:
    """Two cells in two rounds."""
    return two_rounds(manifest)


@pytest.fixture(scope="module")
def steady(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose controls were 100 and 121 in the first round and 200 in the second; not to be changed."""
    folder, left = tmp_path_factory.mktemp("steady") / "run", [100.0, 121.0, 200.0, 200.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control_cell, "measure", lambda *_: line(left.pop(0)))
        run(two_rounds(manifest), Options(out=folder, page=write_page))
    assert left == []
    return folder


@pytest.fixture
def copy(steady: Path, tmp_path: Path) -> Path:
    """A copy of it to tamper with."""
    return Path(shutil.copytree(steady, tmp_path / "run"))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[float | str]], list[str]]:
    """Let the control give these RTFx, or these reasons why not, one after the other; returns where it was asked."""

    def give(figures: Sequence[float | str]) -> list[str]:
        left, asked = list(figures), list[str]()

        def measure(_run_id: str, _suite: Any, device: str, _trace: Any) -> Answer:
            asked.append(device)
            return line(left.pop(0))

        monkeypatch.setattr(control_cell, "measure", measure)
        return asked

    return give


def line(given: float | str, joules: float | None = None, method: str | None = None) -> Answer:
    """One answer of the control: an RTFx, or the reason why there is none."""
    reason = given if isinstance(given, str) else None
    return {
        "control": "control-1", "rtfx": None if reason else given, "energy_j_per_audio_s": joules,
        "energy_method": method, "energy_scope": method and "cpu", "foreign_pct": 0.0, "reason": reason,
    }  # fmt: skip


def both(start: Answer, end: Answer) -> list[Answer]:
    return [{"edge": "start", **start}, {"edge": "end", **end}]


def kept(folder: Path, file: str = store.RECORDS) -> list[dict[str, Any]]:
    return list(store.read_rows(folder / file))


# --- what two measurements say ---------------------------------------------------------------------------


def test_a_round_has_the_geometric_mean_of_its_two() -> None:
    """100 and 121 are 110 with a drift of +21 %, 0.2 and 0.8 joules are 0.4, and the method stays with them."""
    said = columns(both(line(100.0, 0.2, "counter"), line(121.0, 0.8, "counter")))
    assert said["control"] == "control-1"
    assert said["control_rtfx"] == pytest.approx(110)
    assert said["control_drift_pct"] == pytest.approx(21)
    assert said["control_energy_j_per_audio_s"] == pytest.approx(0.4)
    assert (said["control_energy_method"], said["control_note"]) == ("counter", None)
    assert set(said) == set(COLUMNS)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ((0.2, "counter"), (0.2, "estimated")),
        ((0.2, "counter"), (None, None)),
        ((0.0, "counter"), (0.2, "counter")),
        ((None, None), (None, None)),
    ],
)
def test_energies_that_do_not_match_are_none(start: tuple[Any, Any], end: tuple[Any, Any]) -> None:
    """A joule that was not read, or read in another way, is no figure; the speed stands."""
    said = columns(both(line(100.0, *start), line(100.0, *end)))
    assert said["control_energy_j_per_audio_s"] is said["control_energy_method"] is None
    assert said["control_rtfx"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("lines", "note"),
    [
        (both(line("killed"), line(100.0)), "start of the round: killed"),
        (both(line(100.0), line("no torch")), "end of the round: no torch"),
        (both(line("no torch"), line("no torch")), "start of the round: no torch; end of the round: no torch"),
        ([{"edge": "start", **line(100.0)}], "end of the round: not measured"),
    ],
)
def test_one_that_failed_leaves_no_figure_but_a_reason(lines: list[Answer], note: str) -> None:
    """Half a bracket says nothing of the round."""
    said = columns(lines)
    assert said.pop("control_note") == note
    assert set(said.values()) == {None}


def test_a_run_says_how_fast_its_controls_were() -> None:
    """The middle, the ends and the number of those that worked by device, and the reasons of the others."""
    lines = [
        line(100.0) | {"device": "cpu"}, line(400.0) | {"device": "cpu"}, line("killed") | {"device": "cpu"},
        line("no torch") | {"device": "cuda"}, line("no torch") | {"device": "cuda"},
    ]  # fmt: skip
    found = summary(lines)
    assert found["cpu"] == {
        "control": "control-1", "rtfx": pytest.approx(200), "rtfx_min": 100.0, "rtfx_max": 400.0, "n_measured": 2,
        "reasons": ["killed"],
    }  # fmt: skip
    assert describe(found["cpu"]) == "RTFx 200, from 100 to 400 in 2 measurements (control-1)"
    assert describe(found["cuda"]) == "not measured: no torch"
    assert describe({}) == describe(3) == "not measured: no reason recorded"


# --- in a run --------------------------------------------------------------------------------------------


def test_every_round_is_measured_at_both_edges_and_its_rows_say_so(steady: Path) -> None:
    """Two rounds take four measurements; each row has those of its round, none stands twice, and nothing is wrong."""
    lines = kept(steady, store.CONTROL)
    assert [(one["round"], one["edge"], one["device"], one["rtfx"]) for one in lines] == [
        (0, "start", "cpu", 100.0), (0, "end", "cpu", 121.0), (1, "start", "cpu", 200.0), (1, "end", "cpu", 200.0)
    ]  # fmt: skip
    rows = kept(steady)
    assert len(rows) == 4
    expected = {0: (math.sqrt(100 * 121), 21.0), 1: (200.0, 0.0)}
    for row in rows:
        assert (row["control_rtfx"], row["control_drift_pct"]) == pytest.approx(expected[row["round"]])
    assert list(problems(steady)) == []


def test_it_can_be_switched_off(controlled: dict, tmp_path: Path, answers: Callable[..., list[str]]) -> None:
    """Without controls nothing is measured besides the cells, and the rows say nothing; the suite is the same one."""
    asked = answers([])
    run({**controlled, "control": False}, Options(out=tmp_path / "run"))
    assert asked == []
    assert not (tmp_path / "run" / store.CONTROL).exists()
    assert {row[name] for row in kept(tmp_path / "run") for name in COLUMNS} == {None}
    assert content_hash(load(controlled)) == content_hash(load({**controlled, "control": False}))


def test_one_that_was_killed_is_a_reason_and_no_failed_run(
    controlled: dict, tmp_path: Path, answers: Callable[..., list[str]]
) -> None:
    """The rows of both rounds are measured, and have no figure of the control but the reason, which is said once."""
    answers([100.0, "the worker was killed by SIGKILL", "the worker was killed by SIGKILL", 100.0])
    seen: list[Any] = []
    frame = run(controlled, Options(out=tmp_path / "run"), seen.append)
    assert list(frame["status"]) == ["ok"] * 4
    assert frame["control_rtfx"].isna().all()
    notes = [
        "end of the round: the worker was killed by SIGKILL",
        "start of the round: the worker was killed by SIGKILL",
    ]
    assert [set(frame.loc[frame["round"] == number, "control_note"]) for number in (0, 1)] == [{n} for n in notes]
    assert seen.count(Unavailable("control", "the worker was killed by SIGKILL")) == 1
    assert list(problems(tmp_path / "run")) == []


def test_a_resumed_round_has_controls_of_its_own(
    controlled: dict, tmp_path: Path, answers: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was measured before the interruption lacks the second control, and says so; what follows has both."""
    from greenbench.harness import runner

    answers([100.0])
    real, n_cells = runner.run_cell, [0]

    def interrupted(*arguments: Any) -> None:
        n_cells[0] += 1
        if n_cells[0] == 2:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(runner, "run_cell", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(controlled, Options(out=tmp_path / "run"))
    monkeypatch.setattr(runner, "run_cell", real)
    (row,) = kept(tmp_path / "run")
    tick = {**row, "timestamp_utc": "2020-01-01T00:00:00+00:00"}  # the clock of this test has whole seconds
    (tmp_path / "run" / store.RECORDS).write_text(json.dumps(tick) + "\n")
    asked = answers([50.0, 50.0, 60.0, 60.0])
    run(controlled, Options(out=tmp_path / "run", resume=True))
    assert len(asked) == 4
    before, after, *later = sorted(kept(tmp_path / "run"), key=lambda row: (row["round"], row["timestamp_utc"]))
    assert (before["control_rtfx"], before["control_note"]) == (None, INTERRUPTED)
    assert after["control_rtfx"] == pytest.approx(50)
    assert [row["control_rtfx"] for row in later] == pytest.approx([60.0, 60.0])
    assert store.read_run(tmp_path / "run")["control"]["cpu"]["n_measured"] == 5
    assert [one["session"] for one in kept(tmp_path / "run", store.CONTROL)] == [0, 1, 1, 1, 1]


def test_a_run_with_nothing_to_do_measures_no_control(
    controlled: dict, copy: Path, answers: Callable[..., list[str]]
) -> None:
    """A finished run that is resumed starts no process at all."""
    before, asked = kept(copy), answers([])
    run(controlled, Options(out=copy, resume=True))
    assert asked == []
    assert kept(copy) == before


def test_rows_of_an_earlier_version_are_left_as_they_are(tmp_path: Path) -> None:
    """A row of another device or round is not touched, nor is one that failed."""
    key = {"run_id": "r", "variant": "v", "dataset": "d", "scenario": "offline", "batch_size": 1, "repeat": 0}
    rows = [
        {**key, "round": 0, "device": "cpu", "status": "ok", "timestamp_utc": "2026"},
        {**key, "round": 0, "device": "cuda", "status": "ok", "timestamp_utc": "2026"},
        {**key, "round": 1, "device": "cpu", "status": "ok", "timestamp_utc": "2026"},
        {**key, "round": 0, "device": "cpu", "status": "error", "timestamp_utc": None},
    ]
    store.write_run(tmp_path, {"run_id": "r"})
    store.append(tmp_path, rows)
    at = {"session": 0, "round": 0, "device": "cpu", "timestamp_utc": "2025"}
    store.append(tmp_path, [one | at for one in both(line(9.0), line(9.0))], store.CONTROL)
    complete(store.open_run(tmp_path), Bracket(0, 0, "cpu"))
    assert [json.loads(text) for text in (tmp_path / store.RECORDS).read_text().splitlines()][1:] == rows[1:]
    assert kept(tmp_path)[0]["control_rtfx"] == pytest.approx(9)


# --- the measuring itself --------------------------------------------------------------------------------


@pytest.mark.measures
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"variants": [{"use": "null", "rtfx": 5.0}]}, None),
        ({"variants": [{"use": "null", "delay_s": 60.0}], "timeout_s": 3.0}, "took longer than timeout_s: 3"),
        ({"variants": [{"use": "wav2vec2", "model": "/nowhere/at/all", "name": "absent"}]}, "/nowhere/at/all"),
    ],
)
def test_the_workload_is_a_cell_of_its_own_process(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], expected: str | None
) -> None:
    """A real process gives an RTFx, here that of a model of known speed; one that hangs or fails gives the reason."""
    steps = {"use": "quick", "repeats": 1, "idle_s": 0, "window_s": 0.2, "warmup_batches": 0, "resamples": 1}
    data = [{"use": "manifest", "path": str(manifest), "limit": 2}]
    monkeypatch.setattr(control_cell, "WORK", {**control_cell.WORK, "protocol": steps, "datasets": data, **changes})
    found = MEASURE("r", load(two_rounds(manifest)), "cpu", None)
    assert found["control"] == "control-1"
    if expected is None:
        assert found["reason"] is None
        assert 1.0 < found["rtfx"] <= 5.01
    else:
        assert expected in found["reason"]
        assert found["rtfx"] is found["energy_j_per_audio_s"] is None


def test_the_workload_is_fixed() -> None:
    """What `control-1` is does not change; a change of it takes another name."""
    work = load({**control_cell.WORK, "threads": 1})
    (variant,), (data,) = work.variants, work.datasets
    assert (work.name, variant.name, data.name) == ("control-1", "wav2vec2/quickstart-2l", "quickstart[:8]")
    assert (work.batch_sizes, work.scenarios, work.trace_hz, work.control) == ([8], ["offline"], 0, False)
    assert variant.builds == []
    steps = work.protocol
    assert (steps.warmup_batches, steps.warmup_s, steps.window_s, steps.repeats, steps.rounds) == (10, 0.5, 2, 1, 1)


# --- and what validate makes of it -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tampering", "what"),
    [
        ({"control_rtfx": 101.0}, "control_rtfx is 101"),
        ({"control_drift_pct": 0.0}, "control_drift_pct is 0"),
        ({"control": "control-2"}, "control is 'control-2'"),
        ({"control_energy_j_per_audio_s": 1.0}, "control_energy_j_per_audio_s is 1.0"),
        ({"timestamp_utc": "2020-01-01T00:00:00+00:00"}, "no measurements before and after the row"),
    ],
)
def test_a_figure_that_the_controls_do_not_give_is_an_error(copy: Path, tampering: Answer, what: str) -> None:
    """Each column is held against control.jsonl, and so is the time."""
    first, *rest = kept(copy)
    (copy / store.RECORDS).write_text("".join(json.dumps(row) + "\n" for row in [first | tampering, *rest]))
    found = [problem for problem in problems(copy) if problem.severity == "error"]
    assert any(what in problem.what for problem in found), found


def test_a_reason_is_shared_alike_in_the_run_and_in_the_line() -> None:
    """What a reason tells of a machine's paths and names is cut in both files in the same way, so that they agree."""
    reason = f"no space left on {socket.gethostname()}: /home/somebody/models/x.bin"
    shared = privacy.row({"reason": reason}, {})["reason"]
    assert "somebody" not in shared
    assert privacy.run({"control": {"cpu": {"reasons": [reason]}}})["control"]["cpu"]["reasons"] == [shared]


def test_a_run_that_says_other_controls_is_an_error(copy: Path) -> None:
    """The summary in run.json is that of the lines."""
    said = store.read_run(copy)["control"]
    store.amend_run(store.open_run(copy), control={"cpu": said["cpu"] | {"rtfx": 900.0}})
    (problem,) = problems(copy)
    assert (problem.severity, problem.where) == ("error", str(copy / store.RUN))


def test_figures_without_the_file_are_an_error(copy: Path) -> None:
    """Rows and a run that name controls nobody can look up are not believed."""
    (copy / store.CONTROL).unlink()
    found = [problem for problem in problems(copy) if problem.severity == "error"]
    assert [problem.where for problem in found[:1]] == [str(copy / store.RUN)]
    assert len(found) == 5
    assert all("control.jsonl has no measurements" in problem.what for problem in found[1:])


def test_the_page_says_how_fast_the_control_was_or_that_nobody_knows(steady: Path) -> None:
    """Runs with and without controls each say it beside the machine, and the platform's card has the figures."""
    said = "RTFx 148.3, from 100 to 200 in 4 measurements (control-1)"
    assert said in (steady / store.REPORT).read_text()
    assert sentences.controls({"suite": {"control": False}}) == [
        ("control", "switched off (control: false): whether the machine changed meanwhile is not known")
    ]
    assert sentences.controls({})[0][1].startswith("not measured: whether the machine changed")
    (card,) = platforms([store.read_run(steady)]).values()
    assert card.software["control"] == (f"cpu: {said}",)
