"""Trackers: one mapping for all of them, what their own libraries read back, and one line where one is missing."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenbench import extras
from greenbench.errors import InputError, MissingError, StoreError
from greenbench.export import FORMATS, Results, write
from greenbench.export.tracking import cells
from greenbench.results import frames, store

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trackers' own libraries, and those that they import

TRACKERS = [name for name, form in FORMATS.items() if form.is_store]


def need(tracker: str) -> None:
    """Skip where a tracker is not installed."""
    if reason := extras.missing([tracker]):
        pytest.skip(reason)


def test_a_row_becomes_params_metrics_and_tags(results: Path) -> None:
    """A cell is a run and a window a step; joules of an estimate have a name of their own, and failures are no runs."""
    runs = {run.id: run.description for run in store.open_runs(results)}
    first, second = cells(Results(frames.load(results), runs, results))
    assert (first.project, first.name) == ("made-up", "r1 | a | d | cpu | offline | 8")
    assert [row.metrics["rtfx"] for row in first.rows] == [10.0, 20 / 3]
    assert first.rows[0].metrics["energy_j_per_audio_s"] == 1.8
    assert {"variant": "a", "batch_size": 8, "device_name": "Test CPU"}.items() <= first.rows[0].params.items()
    assert "order_index" not in first.rows[0].params
    assert {"run_id": "r1", "flags": "none", "greenbench": "0.1.0"}.items() <= first.rows[0].tags.items()
    assert first.rows[0].time_s == 1735787045.0
    assert second.rows[0].metrics["energy_j_estimated"] == 27.0
    assert not {"energy_j", "energy_j_per_audio_s", "idle_power_w"} & second.rows[0].metrics.keys()
    assert second.rows[0].tags["flags"] == "energy-estimated"
    assert first.key != second.key


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_tracker_that_is_missing_is_one_line(
    tracker: str, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line has the command that installs it, and nothing is written."""
    monkeypatch.setattr(extras, "is_installed", lambda _module: False)
    with pytest.raises(MissingError, match=rf"--format {tracker}: .*pip install 'greenbench\[{tracker}\]'"):
        write(results, tracker, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("tracker", TRACKERS)
def test_failures_alone_make_no_store(tracker: str, make: Callable[..., Path], tmp_path: Path) -> None:
    """Without a measured row there is nothing to track, and nothing is made."""
    need(tracker)
    with pytest.raises(InputError, match=f"no row here has what --format {tracker} needs"):
        write(make({"status": "error", "repeat": None}), tracker, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_store_that_cannot_be_written_is_one_line(tracker: str, results: Path, tmp_path: Path) -> None:
    """A file that is no store of the tracker stays as it is, and the line names it."""
    need(tracker)
    (tmp_path / "out").write_text("notes of somebody")
    with pytest.raises(StoreError, match=r"out: cannot be written[^\n]*$"):
        write(results, tracker, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "notes of somebody"


def test_tensorboard_reads_each_cell_once(results: Path, tmp_path: Path) -> None:
    """Its own reader has each window as a step at its time, the settings as hyperparameters, and no cell twice."""
    need("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):
        assert write(results, "tensorboard", tmp_path / "new" / "events") == [tmp_path / "new" / "events"]
    first, second = sorted(path.parent for path in tmp_path.rglob("events.out.tfevents.*"))
    assert (first.parent.name, first.name[:2], second.name[:2]) == ("r1", "a-", "b-")
    read = EventAccumulator(str(first)).Reload()
    assert [(e.step, e.value, e.wall_time) for e in read.Scalars("rtfx")] == [
        (0, 10.0, 1735787045.0), (1, pytest.approx(20 / 3), 1735787045.0),
    ]  # fmt: skip
    assert "_hparams_/session_start_info" in read.summary_metadata
    assert "energy_j_estimated" in EventAccumulator(str(second)).Reload().Tags()["scalars"]


def test_mlflow_reads_each_cell_once(results: Path, tmp_path: Path) -> None:
    """Its own client finds an experiment a suite and a run a cell, with params, tags and each window's metrics."""
    need("mlflow")
    from mlflow import MlflowClient

    for _ in range(2):
        assert write(results, "mlflow", tmp_path / "new" / "m.db") == [tmp_path / "new" / "m.db"]
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'new' / 'm.db'}")
    experiment = client.get_experiment_by_name("made-up")
    runs = {run.data.params["variant"]: run for run in client.search_runs([experiment.experiment_id])}
    assert sorted(runs) == ["a", "b"]
    assert runs["a"].data.tags["flags"] == "none"
    assert runs["a"].info.status == "FINISHED"
    history = client.get_metric_history(runs["a"].info.run_id, "rtfx")
    assert [(one.step, one.value, one.timestamp) for one in history] == [
        (0, 10.0, 1735787045000), (1, pytest.approx(20 / 3), 1735787045000),
    ]  # fmt: skip
    assert "energy_j_estimated" in runs["b"].data.metrics


READ = """
import json, trackio
runs = trackio.Api().runs("made-up")
print("READ", json.dumps([{"name": run.name, "config": run.config} for run in runs]))
"""


def test_trackio_reads_each_cell_once(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own interface finds a project a suite and a run a cell with its config; nothing is sent elsewhere."""
    need("trackio")
    monkeypatch.setenv("TRACKIO_SPACE_ID", "nobody/nowhere")
    for _ in range(2):
        assert write(results, "trackio", tmp_path / "new" / "tracked") == [tmp_path / "new" / "tracked"]
    monkeypatch.delenv("TRACKIO_SPACE_ID")
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "new" / "tracked")}
    done = subprocess.run([sys.executable, "-c", READ], env=environment, capture_output=True, text=True, check=True)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("READ ")]
    runs: dict[str, Any] = {run["name"]: run["config"] for run in json.loads(line.removeprefix("READ "))}
    assert sorted(runs) == ["r1 | a | d | cpu | offline | 8", "r1 | b | d | cpu | offline | 8"]
    assert runs["r1 | a | d | cpu | offline | 8"]["device_name"] == "Test CPU"
