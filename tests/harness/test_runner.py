"""The runner: fresh processes, a sleeping parent, and a row for every death; real processes throughout."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile

from greenbench.errors import InputError, StoreError, UnsavedError
from greenbench.harness import forecast, kept_peaks, runner
from greenbench.harness.runner import Options, run
from greenbench.plugins.events import CellStarted, Event, RowStored, Unavailable, Warned
from greenbench.plugins.traces import Trace
from greenbench.report.pages import write_page
from greenbench.results import frames, store

Patience = Callable[[float], float]
Start = Callable[..., "subprocess.Popen[Any]"]


def rows(folder: Path) -> list[dict]:
    return list(store.read_rows(folder / store.RECORDS))


@pytest.mark.measures
def test_the_null_variant_reads_back_its_own_rtfx(suite_data: dict, tmp_path: Path, patience: Patience) -> None:
    """A model of known delay is never faster than that, nor far slower, and the parent sleeps through the window."""
    protocol = {"use": "quick", "repeats": 2, "window_s": 2, "idle_s": 0}
    data = {**suite_data, "variants": ["null/rtfx-20"], "protocol": protocol}
    frame = run({**data, "scenarios": ["offline", "single-stream"]}, Options(out=tmp_path / "run"))
    assert len(frame) == 4
    assert frame["rtfx"].between(20 / patience(2), 20.01).all()
    assert (frame["rtfx"] * frame["wall_s"]).tolist() == pytest.approx(frame["audio_s"].tolist())
    assert (frame["harness_cpu_s"] < 0.2 * frame["wall_s"]).all()  # a parent that spins uses all of it
    assert (frame["wall_s"] >= 2).all()
    stream = frame[frame["scenario"] == "single-stream"]
    assert stream["latency_p50_s"].between(1.0 / 20, 1.7 / 20 * patience(2)).all()


@pytest.mark.measures
def test_a_server_finds_a_rate_or_says_why_there_is_none(suite_data: dict, tmp_path: Path) -> None:
    """A model of 20 ms holds a rate below its 50 a second; one that needs 300 ms where 250 are allowed is skipped."""
    data = {
        **suite_data,
        "variants": [{"use": "null", "delay_s": 0.02, "name": "fast"}, {"use": "null", "delay_s": 0.3, "name": "slow"}],
        "scenarios": ["server"],
        "server": {"percentile": 90, "latency_base_s": 5, "latency_per_audio_s": 0, "max_probes": 2},
    }
    frame = run({**data, "variants": data["variants"][:1]}, Options(out=tmp_path / "fast"))
    assert list(frame["status"]) == ["ok", "ok"], list(frame["reason"])
    assert frame["server_rate_hz"].between(0, 50, inclusive="right").all()
    assert (frame["latency_p50_s"] >= 0.02).all()
    assert (frame["n_passes"] >= 6).all()  # 44 of 8 utterances
    assert frame["server_probes"].str.count("Hz").eq(2).all()
    assert (frame["rtfx"] < frame["audio_s"] / frame["n_passes"] / 8 / 0.02).all()  # it waits for arrivals
    strict = {**data["server"], "latency_base_s": 0.25}
    late = run({**data, "variants": data["variants"][1:], "server": strict}, Options(out=tmp_path / "slow")).iloc[0]
    assert late["status"] == "skipped"
    assert "too slow for a server: without any queue 8 of 8 utterances take longer" in late["reason"]


def test_length_buckets_are_measured_apart(suite_data: dict, tmp_path: Path) -> None:
    """Eight tones of 1.0 to 1.7 s in two buckets are two cells of four, the shorter and the longer ones."""
    (dataset,) = suite_data["datasets"]
    data = {**suite_data, "datasets": [{**dataset, "length_buckets": 2}]}
    frame = run({**data, "protocol": {**data["protocol"], "repeats": 1}}, Options(out=tmp_path / "run"))
    assert list(frame["dataset"].str.rpartition("/")[2]) == ["length-1-of-2", "length-2-of-2"]
    assert list(frame["audio_s"] / frame["n_passes"]) == pytest.approx([1.0 + 1.1 + 1.2 + 1.3, 1.4 + 1.5 + 1.6 + 1.7])
    assert frame["data_hash"].nunique() == 2


def test_every_repeat_is_a_row_with_its_texts(suite_data: dict, tmp_path: Path) -> None:
    """Rows, texts, run.json and page all exist; an independent recount of the texts gives the row's counts."""
    import jiwer

    folder = tmp_path / "run"
    data = {
        **suite_data,
        "variants": [{"use": "null", "text": "tone number one", "name": "one"}],
        "normalizer": "librispeech",
    }
    frame = run(data, Options(out=folder, page=write_page))
    assert list(frame["repeat"]) == [0, 1]
    assert frame["run_id"].nunique() == 1
    texts = frames.load_hypotheses(folder)
    assert len(texts) == 16
    assert set(texts["reference"]) == {f"TONE NUMBER {n}" for n in range(8)}
    first = texts[texts["repeat"] == 0]
    counted = jiwer.process_words([r.lower() for r in first["reference"]], list(first["hypothesis"]))
    assert frame["n_word_substitutions"].iloc[0] == counted.substitutions == 8
    assert frame["wer"].iloc[0] == counted.wer
    assert frame["audio_s"].iloc[0] == pytest.approx(10.8 * frame["n_passes"].iloc[0])
    described = store.read_run(folder)
    assert described["protocol"]["repeats"] == 2
    assert {"machine", "versions", "git", "meters", "suite", "suite_hash"} <= set(described)
    assert described["cooldown"] == {"rule": "none", "start": {}}
    assert set(frame["warmup_batches"]) == {3}
    assert set(frame["n_windows"]) == {2}
    assert (folder / store.REPORT).stat().st_size > 10_000


@pytest.mark.measures
def test_a_run_leaves_samples_and_the_edges_of_its_windows(suite_data: dict, tmp_path: Path) -> None:
    """Every window is on one clock with the samples, which reach over it; the poller used little CPU in it."""
    folder = tmp_path / "run"
    protocol = {**suite_data["protocol"], "idle_s": 1, "window_s": 1}
    data = {**suite_data, "protocol": protocol, "estimate_energy": True, "trace_hz": 10}
    frame = run(data, Options(out=folder))
    windows = list(store.read_rows(folder / store.WINDOWS))
    assert [(w["kind"], w["repeat"]) for w in windows] == [("idle", None), ("window", 0), ("window", 1)]
    for window, wall_s in zip(windows[1:], frame["wall_s"], strict=True):
        ((start_s, end_s),) = window["segments"]
        assert end_s - start_s == pytest.approx(wall_s, abs=0.05)
        over = Trace(folder / store.POWER).samples(start_s, end_s)
        assert over[0]["t_s"] < start_s < end_s
        assert over[-1]["t_s"] > end_s
        assert len(over) > 2
        assert abs(window["utc_s"] - time.time()) < 600
    assert (frame["poller_cpu_s"] < 0.5 * frame["wall_s"]).all()  # one that spins uses all of it


def test_without_a_pace_nothing_is_sampled(suite_data: dict, tmp_path: Path) -> None:
    """trace_hz: 0 leaves the trace out, and the edges of the windows are kept all the same."""
    assert suite_data["trace_hz"] == 0
    frame = run(suite_data, Options(out=tmp_path / "run"))
    assert (frame["status"] == "ok").all()
    assert frame["poller_cpu_s"].isna().all()
    assert not (tmp_path / "run" / store.POWER).exists()
    assert len(list(store.read_rows(tmp_path / "run" / store.WINDOWS))) == 2


DEATHS = {
    "raise": "RuntimeError: the model broke",
    "kill": "killed by SIGKILL (out of memory, or killed from outside)",
    "exit": "ended early with exit code 7",
    "short": "the model returned 0 texts for a batch of",
    "hang": "took longer than timeout_s: ",
}


@pytest.mark.usefixtures("bad_plugin")
@pytest.mark.parametrize(("modes", "limit_s"), [(("raise", "kill", "exit", "short"), 20), (("hang",), 8)])
def test_every_death_is_a_row_and_the_run_goes_on(
    suite_data: dict, tmp_path: Path, modes: tuple[str, ...], limit_s: float, patience: Patience
) -> None:
    """However a model dies, its row says why, earlier repeats stay, energy is null and the next cell runs."""
    bad = [{"use": "bad", "how": how, "after": 9} for how in modes]  # dies in its second window, see the next test
    protocol = {"use": "quick", "repeats": 2, "window_s": 0.02, "idle_s": 0}
    data = {**suite_data, "variants": ["null/rtfx-100", *bad, "null/instant"], "protocol": protocol}
    frame = run({**data, "timeout_s": patience(limit_s), "batch_sizes": [2]}, Options(out=tmp_path / "run"))
    by_variant = {name: list(part["status"]) for name, part in frame.groupby("variant")}
    assert by_variant["null/rtfx-100"] == by_variant["null/instant"] == ["ok", "ok"]
    for how in modes:
        assert by_variant[f"bad:{how}"][-1] == "error"
        dead = frame[(frame["variant"] == f"bad:{how}") & (frame["status"] == "error")].iloc[0]
        assert DEATHS[how] in dead["reason"]
        assert dead[["energy_j", "energy_j_per_audio_s", "rtfx", "wer"]].isna().all()


@pytest.mark.usefixtures("bad_plugin")
@pytest.mark.parametrize(("modes", "rounds_run"), [(("raise", "exit"), {0}), (("raise", None), {0, 1, 2})])
def test_where_all_cells_of_a_round_fail_the_later_rounds_are_left_out(
    suite_data: dict, tmp_path: Path, modes: tuple[str | None, ...], rounds_run: set[int]
) -> None:
    """What ails all of them is told after one round; where one could be measured, the others get their next chance."""
    variants = [{"use": "bad", "how": how} if how else "null/instant" for how in modes]
    protocol = {"use": "quick", "rounds": 3, "repeats": 1, "window_s": 0, "idle_s": 0}
    events: list[Event] = []
    data = {**suite_data, "variants": variants, "protocol": protocol}
    run(data, Options(out=tmp_path / "run"), events.append)
    assert {row["round"] for row in rows(tmp_path / "run")} == rounds_run
    told = [event.text for event in events if isinstance(event, Warned) and "--resume" in event.text]
    left_out = "all cells of round 1 failed: the rounds after it are left out; --resume runs the cells of all rounds"
    assert told == ([left_out] if rounds_run == {0} else [])


@pytest.mark.usefixtures("bad_plugin")
def test_a_repeat_measured_before_the_death_is_kept(suite_data: dict, tmp_path: Path) -> None:
    """A model that dies in its second window keeps the row of its first."""
    bad = {"use": "bad", "how": "raise", "after": 9}  # 1 + 3 calls before, 4 in the first window, 1 more
    protocol = {"use": "quick", "repeats": 2, "window_s": 0.001, "idle_s": 0}
    data = {**suite_data, "variants": [bad], "protocol": protocol, "batch_sizes": [2]}
    frame = run(data, Options(out=tmp_path / "run"))
    assert list(frame["status"]) == ["ok", "error"]
    assert next(iter((tmp_path / "run" / "logs").glob("cell-0.log"))).read_text().count("the model broke") >= 1


@pytest.mark.usefixtures("bad_plugin")
def test_passes_that_disagree_are_flagged(suite_data: dict, tmp_path: Path) -> None:
    """A model that says something else at every pass is measured and flagged."""
    protocol = {
        "use": "quick",
        "repeats": 1,
        "window_s": 0.5,
        "idle_s": 0,
    }  # many passes: the model takes no time
    data = {**suite_data, "variants": [{"use": "bad", "how": "garble"}], "protocol": protocol}
    frame = run(data, Options(out=tmp_path / "run"))
    assert (frame["n_passes"] > 1).all()
    assert ["unstable-text" in flags for flags in frame["flags"]] == [True]


@pytest.mark.usefixtures("bad_plugin")
def test_threads_reach_the_worker(suite_data: dict, tmp_path: Path) -> None:
    """The suite's thread count is torch's thread count in the worker."""
    data = {**suite_data, "variants": [{"use": "bad", "how": "threads"}], "threads": 1}
    run(data, Options(out=tmp_path / "run"))
    assert set(frames.load_hypotheses(tmp_path / "run")["hypothesis"]) == {"1"}


@pytest.mark.measures
def test_rests_and_overhead_are_told(suite_data: dict, tmp_path: Path) -> None:
    """Between two processes the machine rests, rows say how long, and the first measures the harness's overhead."""
    protocol = {**suite_data["protocol"], "repeats": 1, "cooldown_s": 0.3, "cooldown_within_c": 5}
    sensors = {"thermal": {"root": str(tmp_path / "sys")}}
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text("40000\n")
    data = {**suite_data, "variants": ["null/rtfx-100", "null/instant"], "protocol": protocol, "meters": sensors}

    def heat(event: Event) -> None:
        if isinstance(event, RowStored):
            (zone / "temp").write_text("46000\n")

    frame = run(data, Options(out=tmp_path / "run"), heat)
    assert frame["cooldown_s"].isna().tolist() == [True, False]
    first, second = frame.to_dict("records")
    assert second["cooldown_s"] >= 0.3
    assert second["cooldown_excess_c"] == 6.0
    assert "not-cool" in second["flags"]
    assert "not-cool" not in first["flags"]
    assert (first["cpu_temp_start_c"], second["cpu_temp_end_c"]) == (40.0, 46.0)
    described = store.read_run(tmp_path / "run")
    assert described["cooldown"]["start"] == {"cpu.temperature_c": 40.0}
    assert "at most 0.3 s" in described["cooldown"]["rule"]
    assert described["harness_overhead"]["s_per_batch"] > 0
    assert described["harness_overhead"]["s_per_window"] > 0


def test_texts_that_are_long_together_come_through(suite_data: dict, manifest: Path, tmp_path: Path) -> None:
    """A message of some hundred utterances is larger than what a pipe holds, and comes after shorter ones."""
    lines = [json.loads(text) for text in manifest.read_text().splitlines()]
    for at, entry in enumerate(lines):
        entry["audio_filepath"] = str(manifest.parent / entry["audio_filepath"])
        entry["text"] = f"{at} " + "LONG " * 5000
    (tmp_path / "long.jsonl").write_text("\n".join(map(json.dumps, lines)))
    suite_data["datasets"] = [{"use": "manifest", "path": str(tmp_path / "long.jsonl")}]
    assert list(run(suite_data, Options(out=tmp_path / "out"))["status"]) == ["ok", "ok"]
    texts = [row["reference"] for row in store.read_rows(tmp_path / "out" / store.HYPOTHESES)]
    assert sorted(texts) == sorted(2 * [entry["text"] for entry in lines])


def test_what_a_library_prints_does_not_garble_the_messages(suite_data: dict, tmp_path: Path, bad_plugin) -> None:
    """A model that prints to standard output is measured all the same."""
    data = {**suite_data, "variants": [{"use": "bad", "how": "print"}]}  # prints at every call, does nothing else
    frame = run(data, Options(out=tmp_path / "run"))
    assert list(frame["status"]) == ["ok", "ok"]


def test_a_full_disk_keeps_every_earlier_row(suite_data: dict, tmp_path: Path, monkeypatch) -> None:
    """A write that fails half way leaves the file as it was and hands the unwritten row over."""
    data = {**suite_data, "variants": ["null/rtfx-100", "null/instant"]}

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    def fill(event: Event) -> None:
        if isinstance(event, CellStarted) and event.number == 2:  # the rows of the first cell fit
            monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(UnsavedError, match="No space left on device. Earlier rows are intact") as caught:
        run(data, Options(out=tmp_path / "run"), fill)
    assert json.loads(caught.value.unsaved.splitlines()[0])["variant"] == "null/instant"
    monkeypatch.undo()
    assert list(frames.load(tmp_path / "run")["status"]) == ["ok", "ok"]
    resumed = run(data, Options(out=tmp_path / "run", resume=True))
    assert list(resumed["variant"]) == ["null/rtfx-100"] * 2 + ["null/instant"] * 2


@pytest.mark.usefixtures("bad_plugin")
def test_resume_runs_only_what_is_missing_or_failed(suite_data: dict, tmp_path: Path) -> None:
    """A resumed run measures the failed cell again and leaves the others alone."""
    data = {**suite_data, "variants": ["null/rtfx-100", {"use": "bad", "how": "raise"}]}
    folder, seen = tmp_path / "run", []
    run(data, Options(out=folder))
    before = rows(folder)
    run(data, Options(out=folder, resume=True), seen.append)
    assert [event.label.split(" |")[0] for event in seen if isinstance(event, CellStarted)] == ["bad:raise"]
    assert rows(folder)[: len(before)] == before
    assert list(frames.load(folder)["status"]) == ["ok", "ok", "error"]


def test_resume_refuses_a_changed_suite(suite_data: dict, tiny_run: Path, tmp_path: Path) -> None:
    """Mixing two configurations in one run is refused, naming what differs."""
    folder = shutil.copytree(tiny_run, tmp_path / "run")
    with pytest.raises(InputError, match=r"the suite has changed since that run \(batch_sizes\)"):
        run({**suite_data, "batch_sizes": [2]}, Options(out=folder, resume=True))


def test_a_folder_with_a_run_is_not_written_over(suite_data: dict, tiny_run: Path, tmp_path: Path) -> None:
    """--out on an existing run without --resume is refused."""
    folder = shutil.copytree(tiny_run, tmp_path / "run")
    with pytest.raises(InputError, match="a run is here already. Continue it with --resume"):
        run(suite_data, Options(out=folder))


def test_resume_without_out_takes_the_latest_run(suite_data: dict, tmp_path: Path, monkeypatch) -> None:
    """--resume alone continues the suite's latest run; without one it says so."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="there is no run of suite 'tiny' under results"):
        run(suite_data, Options(resume=True))
    first = run(suite_data).attrs["folder"]
    assert run(suite_data, Options(resume=True)).attrs["folder"] == first


def test_ids_that_are_paths_are_warned_of_before_the_first_cell(suite_data: dict, tmp_path: Path) -> None:
    """Whoever measures is told that rows of such data stay on this machine, before an hour is spent on them."""
    soundfile.write(tmp_path / "a.wav", np.full(16_000, 0.1), 16_000)
    line = {"audio_filepath": "a.wav", "text": "A", "id": "/home/jane/a"}
    (tmp_path / "m.jsonl").write_text(json.dumps(line))
    data = {**suite_data, "datasets": [{"use": "manifest", "path": str(tmp_path / "m.jsonl"), "name": "mine"}]}
    told = []
    run(data, Options(out=tmp_path / "run"), told.append)
    kinds = [type(event) for event in told]
    assert kinds.index(Warned) < kinds.index(CellStarted)
    assert told[kinds.index(Warned)].text.startswith("data set mine: has paths of this machine for ids")


def test_a_missing_thing_is_one_line_and_fails_only_its_cells(suite_data: dict, tmp_path: Path) -> None:
    """Data that is not there is reported once, its cells fail with that reason, the others run."""
    absent = {"use": "manifest", "path": str(tmp_path / "none.jsonl"), "name": "absent"}
    data = {**suite_data, "datasets": [*suite_data["datasets"], absent], "variants": ["null/rtfx-100", "null/instant"]}
    missing = []
    frame = run(
        data,
        Options(out=tmp_path / "run"),
        lambda event: missing.append(event) if isinstance(event, Unavailable) else None,
    )
    assert [event.name for event in missing] == ["data set absent"]
    failed = frame[frame["dataset"] == "absent"]
    assert list(failed["status"]) == ["error", "error"]
    assert failed["reason"].str.contains("none.jsonl").all()
    assert (frame[frame["dataset"] != "absent"]["status"] == "ok").all()


def test_a_device_that_is_not_there_is_skipped_with_a_reason(suite_data: dict, tmp_path: Path) -> None:
    """A CUDA cell on a machine without CUDA is skipped, not failed."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    frame = run({**suite_data, "devices": ["cuda"]}, Options(out=tmp_path / "run"))
    assert list(frame["status"]) == ["skipped"]
    assert "sees no CUDA device" in frame["reason"].iloc[0]


def test_only_that_matches_nothing_is_bad_input(suite_data: dict, tmp_path: Path) -> None:
    """A glob without a match is a mistake, not an empty success."""
    with pytest.raises(InputError, match="--only nope: no cell"):
        run(suite_data, Options(out=tmp_path / "run", only="nope"))
    assert not (tmp_path / "run").exists()


def test_an_unwritable_folder_says_so(suite_data: dict, tmp_path: Path) -> None:
    """Results that cannot be written are one line, before anything is measured."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be written: Not a directory. Choose another --out"):
        run(suite_data, Options(out=tmp_path / "file" / "run"))


@pytest.mark.parametrize("signal_sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_a_valid_store(suite_data: dict, tmp_path: Path, signal_sent: int, start: Start) -> None:
    """Ctrl-C ends the worker too, keeps what was measured, says how to go on, and exits with 130."""
    import yaml

    path = tmp_path / "suite.yaml"
    slow = {"use": "null", "delay_s": 30.0, "name": "slow"}
    path.write_text(yaml.safe_dump({**suite_data, "variants": ["null/rtfx-100", slow], "trace_hz": 10}))
    command = [sys.executable, "-m", "greenbench", "run", str(path), "--out", str(tmp_path / "run")]
    process = start(command, stderr=subprocess.PIPE, text=True)
    next(line for line in process.stderr if "] slow" in line)
    time.sleep(1)
    children = psutil.Process(process.pid).children()
    process.send_signal(signal_sent)
    said = process.stderr.read()
    assert process.wait() == 130
    assert "Continue with --resume" in said
    assert list(frames.load(tmp_path / "run")["status"]) == ["ok", "ok"]
    assert len(children) == 2, "the worker and the poller"
    assert not any(child.is_running() for child in children)


def test_expected_seconds_come_from_earlier_runs(suite_data: dict, tiny_run: Path, tmp_path: Path) -> None:
    """A cell that ran before the same way is expected to take as long; one that never did is unknown."""
    from greenbench.suite.config import load
    from greenbench.suite.plan import plan

    shutil.copytree(tiny_run, tmp_path / "run")
    loaded = load({**suite_data, "variants": ["null/rtfx-100", "null/instant"]})
    known, unknown = forecast.expected_s(tmp_path, loaded, plan(loaded))
    last = rows(tmp_path / "run")[-1]
    assert (known, unknown, last["cooldown_s"]) == (last["cell_s"], None, None)
    rested = [row | {"cooldown_s": 12.5} for row in rows(tmp_path / "run")]
    (tmp_path / "run" / "records.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rested))
    assert forecast.expected_s(tmp_path, loaded, plan(loaded))[0] == last["cell_s"] + 12.5, "the rest before it, too"


def test_a_cells_seconds_begin_with_the_start_of_its_process(suite_data: dict, tmp_path: Path) -> None:
    """What the process takes to start counts, by the clock of whoever started it."""
    from greenbench.harness.job import Job
    from greenbench.harness.process import run_cell
    from greenbench.plugins.events import unobserved
    from greenbench.suite.config import load
    from greenbench.suite.plan import plan

    loaded = load(suite_data)
    started_s = time.perf_counter() - 1000
    run_cell(tmp_path, Job("r", 0, loaded, plan(loaded)[0], started_s=started_s), unobserved)
    assert all(1000 < row["cell_s"] < time.perf_counter() - started_s for row in rows(tmp_path))
    assert rows(tmp_path)


@pytest.mark.parametrize("n_variants", [1, 5])
def test_what_a_run_is_is_read_once(
    n_variants: int, suite_data: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many cells a run has, ``run.json`` is opened at its start and not again for each of them."""
    opened: list[Path] = []
    read = store.read_run
    monkeypatch.setattr(store, "read_run", lambda folder: opened.append(folder) or read(folder))
    monkeypatch.setattr(runner, "run_cell", lambda *_: {"s_per_batch": 1e-6, "s_per_window": 1e-3})
    monkeypatch.setattr(kept_peaks, "measured", lambda run, *_: run)
    variants = [{"use": "null", "name": f"v{number}"} for number in range(n_variants)]
    run({**suite_data, "variants": variants}, Options(out=tmp_path / "run"))
    assert opened == [tmp_path / "run"]
    assert read(tmp_path / "run")["harness_overhead"]["s_per_batch"] == 1e-6
