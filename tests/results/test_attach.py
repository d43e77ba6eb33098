"""A wall meter's log becomes the energy of the machine in rows that exist, with all that derives from it."""

import json
from pathlib import Path

import pytest

from greenbench.errors import StoreError
from greenbench.plugins.events import PowerAttached
from greenbench.power import log as power_log
from greenbench.power.log import Source
from greenbench.results import attach, store
from greenbench.results.record import Record, to_row

KEY = {"run_id": "r", "variant": "v", "dataset": "d", "device": "cpu", "scenario": "offline", "batch_size": 8,
       "round": 0}  # fmt: skip
UTC = 1_700_000_000.0
BOOT = 5000.0
"""What the monotonic clock says at ``UTC``."""

ESTIMATE = {"energy_cpu_method": "estimated", "energy_cpu_source": "codecarbon-tdp", "energy_cpu_note": "TDP 65 W",
            "energy_method": "estimated", "energy_scope": "cpu", "carbon_g_per_kwh": 56.0,
            "carbon_pue": 1.5}  # fmt: skip


def row(repeat: int | None, status: str = "ok", **provenance) -> dict:
    """A row with 12 estimated joules of the CPU in a window of 4 s, in which 40 s of audio were transcribed."""
    metrics = {"wall_s": 4.0, "audio_s": 40.0, "energy_cpu_j": 12.0, "energy_j": 12.0, "energy_net_j": 8.0,
               "energy_j_per_audio_s": 0.3, "idle_power_w": 1.0, "wer": 0.1}  # fmt: skip
    flags = ("short-window", "energy-estimated") if status == "ok" else ()
    found = metrics if status == "ok" else {}
    notes = ("4 s", "") if flags else ()
    return to_row(Record({**KEY, "repeat": repeat}, status, None, flags, found, ESTIMATE | provenance, notes))


def edges(repeat: int | None, *segments: tuple[float, float]) -> dict:
    """When a window was, in seconds after ``UTC``; the clocks are read a second after its end."""
    now_s = segments[-1][1] + 1
    kind = "idle" if repeat is None else "window"
    spans = [[BOOT + start, BOOT + end] for start, end in segments]
    return {"kind": kind, **KEY, "repeat": repeat, "segments": spans, "t_s": BOOT + now_s, "utc_s": UTC + now_s}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with an idle baseline (0 to 10 s), two windows (20 to 24 s; 30 to 32 and 40 to 42 s) and a failure."""
    store.write_run(tmp_path / "run", {"run_id": "r", "suite": {"protocol": {"use": "quick"}}})
    windows = [edges(None, (0, 10)), edges(0, (20, 24)), edges(1, (30, 32), (40, 42))]
    store.append(tmp_path / "run", windows, store.WINDOWS)
    failed = row(None, "error") | {"variant": "other"}
    store.append(tmp_path / "run", [row(0), row(1), failed])
    return tmp_path / "run"


def log(
    tmp_path: Path, end_s: int = 60, without: range = range(0), ahead_s: float = 0.0, **options
) -> power_log.PowerLog:
    """A log of one sample a second: 20 W for the first 15 s, then 50 W."""
    path = tmp_path / "wall.csv"
    samples = [f"{UTC + ahead_s + n},{20 if n < 15 else 50}\n" for n in range(-5, end_s) if n not in without]
    path.write_text("timestamp,watts\n" + "".join(samples))
    return power_log.read(Source(path, **options))


def standing(run: Path) -> list[dict]:
    return store.current(store.read_rows(run / store.RECORDS))


def test_every_derived_figure_follows_the_log(run: Path, tmp_path: Path) -> None:
    """Joules are watts x seconds of the windows, and idle power, net, per audio second and CO2e are made of them."""
    assert attach.attach(run, log(tmp_path)) == PowerAttached(2, 2, ())
    failed, *found = standing(run)
    assert [r["repeat"] for r in found] == [0, 1]
    for new in found:
        assert new["energy_system_j"] == new["energy_j"] == pytest.approx(200.0)
        assert (new["energy_system_method"], new["energy_system_source"]) == ("sampled", "external")
        assert new["energy_system_note"].startswith("wall.csv, clock skew not stated: the log follows the load at ")
        assert (new["energy_scope"], new["energy_method"]) == ("system", "sampled")
        assert new["idle_power_w"] == pytest.approx(20.0)
        assert new["energy_net_j"] == pytest.approx(200 - 20 * 4)
        assert new["energy_j_per_audio_s"] == pytest.approx(5.0)
        assert new["co2e_g"] == pytest.approx(200 / 3.6e6 * 56 * 1.5)
        assert new["flags"] == ["short-window"]
        kept = ("wall_s", "audio_s", "wer", "energy_cpu_j", "energy_cpu_method", "energy_cpu_note")
        assert {name: new[name] for name in kept} == {name: row(0)[name] for name in kept}
    assert failed["status"] == "error"
    assert failed["energy_j"] is None


def test_a_simulated_pace_gets_no_joules(run: Path, tmp_path: Path) -> None:
    """A log knows what the computing drew, not what waiting for the speech would have."""
    store.append(run, [row(1, pace="simulated")])
    assert attach.attach(run, log(tmp_path)) == PowerAttached(1, 1, ())
    assert {r["repeat"]: r["energy_system_j"] for r in standing(run) if r["status"] == "ok"} == {0: 200.0, 1: None}


def test_a_meter_whose_clock_is_ahead(run: Path, tmp_path: Path) -> None:
    """With the skew stated the joules are right; without it they would be of another time, and are refused."""
    attach.attach(run, log(tmp_path, ahead_s=12.0, skew_s=12.0))
    assert standing(run)[-1]["energy_j"] == pytest.approx(200.0)
    assert standing(run)[-1]["energy_system_note"] == "wall.csv, clock skew 12 s"
    before = (run / store.RECORDS).read_bytes()
    with pytest.raises(StoreError, match=r"its clock seems to be \+\d+\.\d s ahead .* State --clock-skew"):
        attach.attach(run, log(tmp_path, ahead_s=12.0))
    assert (run / store.RECORDS).read_bytes() == before
    attach.attach(run, log(tmp_path, ahead_s=7.0, skew_s=0.0))  # what the user states is believed
    assert standing(run)[-2]["energy_j"] != pytest.approx(200.0)


def test_a_log_that_never_changes_is_of_a_meter_that_is_stuck(run: Path, tmp_path: Path) -> None:
    """A machine that idles and computes does not draw the same throughout; one other sample lets the log count."""
    moving = log(tmp_path, skew_s=0.0)
    still = power_log.PowerLog(moving.source, moving.times, 0 * moving.watts + 45.0)
    with pytest.raises(StoreError, match=r"it stands at 45 W over the whole run \(42 s, 43 samples\)"):
        attach.attach(run, still)
    assert standing(run)[-1]["energy_system_j"] is None
    still.watts[20] = 46.0
    assert attach.attach(run, still).n_covered == 2


@pytest.mark.parametrize(("step_s", "is_known"), [(0.0, True), (0.4, True), (-3.0, False), (600.0, False)])
def test_a_clock_that_is_set_or_a_machine_that_sleeps_leaves_the_joules_unknown(
    step_s: float, is_known: bool, run: Path, tmp_path: Path
) -> None:
    """Which seconds of the log a window was is not known where UTC moved against the monotonic clock within it."""
    told = list(store.read_rows(run / store.WINDOWS))
    told[-1]["utc_s"] += step_s
    (run / store.WINDOWS).write_text("".join(json.dumps(line) + "\n" for line in told))
    attach.attach(run, log(tmp_path, end_s=700, skew_s=0.0))
    first, second = standing(run)[-2:]
    assert first["energy_system_j"] == pytest.approx(200.0)
    assert (second["energy_system_j"] is not None) is is_known
    assert is_known or f"the system's clock moved by {step_s:+.1f} s" in second["energy_system_note"]


def test_a_log_at_0_watts_is_no_energy(run: Path, tmp_path: Path) -> None:
    """A meter that shows 0 W is not the machine's: the rows have no joules, and say why."""
    flat = log(tmp_path)
    off = power_log.PowerLog(flat.source, flat.times, 0 * flat.watts)
    with pytest.raises(StoreError, match=r"the log says 0 W in 5 samples"):
        attach.attach(run, off)
    flat.watts[27] = 0.0  # 22 s, in the first window
    attach.attach(run, power_log.PowerLog(Source(Path("wall.csv"), skew_s=0.0), flat.times, flat.watts))
    first, second = standing(run)[1:]
    assert (first["energy_j"], second["energy_j"]) == (None, pytest.approx(200.0))
    assert "0 W in 1 samples" in first["energy_system_note"]


@pytest.mark.parametrize(
    ("end_s", "without", "reason"),
    [(41, range(0), "do not reach over the window"), (60, range(26, 41), "samples of power in a window of 2.00 s")],
)
def test_a_window_that_is_not_covered_is_none(
    run: Path, tmp_path: Path, end_s: int, without: range, reason: str
) -> None:
    """A window with a hole in the log, or beyond its end, has no total rather than one of another scope."""
    attached = attach.attach(run, log(tmp_path, end_s, without))
    assert (attached.n_windows, attached.n_covered) == (2, 1)
    assert reason in attached.reasons[0]
    known, unknown = standing(run)[1:]
    assert known["energy_j"] == pytest.approx(200.0)
    derived = ("energy_system_j", "energy_j", "energy_net_j", "energy_j_per_audio_s", "co2e_g", "energy_method")
    assert {unknown[name] for name in derived} == {None}
    assert unknown["energy_cpu_j"] == 12.0
    assert reason in unknown["energy_system_note"]
    assert unknown["flags"] == ["energy-unread", "short-window"]
    assert reason in unknown["flag_notes"][0]


def test_an_idle_baseline_that_is_not_covered_costs_the_net_only(run: Path, tmp_path: Path) -> None:
    """Without the meter at rest the gross joules stand, and nothing is subtracted from them."""
    attach.attach(run, log(tmp_path, without=range(2, 12)))
    new = standing(run)[-1]
    assert new["energy_j"] == pytest.approx(200.0)
    assert (new["idle_power_w"], new["energy_net_j"]) == (None, None)
    assert new["flags"] == ["short-window", "idle-missing"]


def test_a_log_of_another_day_changes_nothing(run: Path, tmp_path: Path) -> None:
    """A log that covers no window is refused, naming why, and the file is as before."""
    before = (run / store.RECORDS).read_bytes()
    with pytest.raises(StoreError, match=r"wall.csv: the log covers no window of .*Nothing was changed"):
        attach.attach(run, log(tmp_path, ahead_s=86_400.0))
    assert (run / store.RECORDS).read_bytes() == before


def test_attaching_again_begins_from_what_was_measured(run: Path, tmp_path: Path) -> None:
    """A second log replaces the first, also where it covers less; what was measured stays in the file."""
    attach.attach(run, log(tmp_path))
    attach.attach(run, log(tmp_path, end_s=41))
    known, unknown = standing(run)[1:]
    assert (known["energy_j"], unknown["energy_j"]) == (pytest.approx(200.0), None)
    assert len(standing(run)) == 3
    assert list(store.read_rows(run / store.RECORDS))[:2] == [row(0), row(1)]


def test_a_window_that_was_measured_again_has_its_own_time(run: Path, tmp_path: Path) -> None:
    """After --resume the last window of a repeat counts, with the idle baseline of its own process."""
    store.append(run, [edges(None, (43, 47)), edges(0, (50, 58))], store.WINDOWS)
    store.append(run, [row(0)])
    attach.attach(run, log(tmp_path, skew_s=0.0))
    again = next(r for r in standing(run) if r["repeat"] == 0)
    assert (again["energy_j"], again["idle_power_w"]) == (pytest.approx(400.0), pytest.approx(50.0))


def test_flags_of_energy_follow_the_log_and_others_stay(run: Path, tmp_path: Path) -> None:
    """Idling measured again after the window shows a drift; the flag of an estimate goes, others are as they were."""
    store.append(run, [edges(None, (44, 48)), edges(None, (50, 55))], store.WINDOWS)
    run_json = store.read_run(run)
    run_json["suite"]["protocol"] = {"use": "official"}
    store.write_run(run, run_json)
    attach.attach(run, log(tmp_path, skew_s=0.0))
    steady, drifted = standing(run)[1:]
    assert (steady["idle_power_after_w"], drifted["idle_power_after_w"]) == (None, pytest.approx(50.0))
    assert steady["flags"] == ["short-window"]
    assert drifted["flags"] == ["short-window", "idle-drift"]
    assert drifted["flag_notes"][0] == "4 s"
    assert drifted["flag_notes"][1].startswith("20 W before, 50 W after (+150 %)")


def test_a_run_that_does_not_say_when(run: Path, tmp_path: Path) -> None:
    """A run without the edges of its windows cannot be set against a log."""
    (run / store.WINDOWS).unlink()
    with pytest.raises(StoreError, match=r"no measured windows with known times \(windows.jsonl\)"):
        attach.attach(run, log(tmp_path))


def test_a_log_that_lags_is_waited_for(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of a meter that writes now and then is read once it has reached the last window."""
    source, n_slept = log(tmp_path, end_s=41).source, 0

    def sleep(_seconds: float) -> None:
        nonlocal n_slept
        n_slept += 1
        log(tmp_path, end_s=41 + n_slept)

    monkeypatch.setattr(attach.time, "sleep", sleep)
    assert attach.await_log(run, source).times[-1] == UTC + 42
    assert n_slept == 2


def test_a_log_that_stopped_is_not_waited_for_long(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the meter has stopped, what it wrote is taken after a while."""
    seconds = iter(range(1000))
    monkeypatch.setattr(attach.time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(attach.time, "monotonic", lambda: float(next(seconds)))
    assert attach.await_log(run, log(tmp_path, end_s=41).source).times[-1] == UTC + 40


def test_the_rows_are_of_the_declared_columns(run: Path, tmp_path: Path) -> None:
    """What is appended has exactly the columns of a row."""
    attach.attach(run, log(tmp_path))
    assert all(list(json.loads(text)) == list(row(0)) for text in (run / store.RECORDS).read_text().splitlines())
