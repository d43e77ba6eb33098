"""Cells in the local stores of experiment trackers, written by their own libraries; what is there already stays."""

import json
import re
import sqlite3
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from greenbench import processes
from greenbench.errors import StoreError
from greenbench.export import Results
from greenbench.export.tracking import TrackedCell, cells
from greenbench.files import whole

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY = "greenbench_cell"
"""The tag by which a cell is found in a store."""

ELSEWHERE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL", "TRACKIO_BUCKET_ID")
"""Variables by which trackio would send runs away from this machine."""


def mlflow(results: Results, out: Path) -> int:
    """Write cells into MLflow's SQLite database: an experiment a suite, a run a cell.

    Args:
        results: the rows.
        out: the database, for ``mlflow ui --backend-store-uri sqlite:///OUT``; artifacts would be beside it.

    Returns:
        How many cells of the results are in it.

    Raises:
        StoreError: it is no database, or cannot be written.
    """
    from mlflow import MlflowClient

    found = list(cells(results))
    if found:
        _check_database(out)
        client = MlflowClient(tracking_uri=f"sqlite:///{out.resolve()}")
        for cell in found:
            _log_to_mlflow(client, cell, out)
    return len(found)


def _check_database(out: Path) -> None:
    """Refuse what SQLite cannot write: MLflow would try for minutes.

    Raises:
        StoreError: with SQLite's reason.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(out)) as database:
            database.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        raise StoreError(f"{out}: cannot be written as an SQLite database: {error}") from error


def _log_to_mlflow(client: "MlflowClient", cell: TrackedCell, out: Path) -> None:
    from mlflow.entities import Metric, Param, RunTag

    known = client.get_experiment_by_name(cell.project)
    artifacts = out.resolve().with_name(f"{out.stem}-artifacts").as_uri()
    experiment = known.experiment_id if known else client.create_experiment(cell.project, artifact_location=artifacts)
    if client.search_runs([experiment], f"tags.{KEY} = '{cell.key}' and attributes.status = 'FINISHED'"):
        return
    times = [round(1000 * row.time_s) for row in cell.rows]
    first = cell.rows[0]
    run = client.create_run(experiment, start_time=times[0], tags={"mlflow.runName": cell.name, KEY: cell.key})
    params = [Param(name, str(value)) for name, value in first.params.items()]
    client.log_batch(run.info.run_id, params=params, tags=[RunTag(*tag) for tag in first.tags.items()])
    for step, (row, time) in enumerate(zip(cell.rows, times, strict=True)):
        client.log_batch(run.info.run_id, [Metric(name, value, time, step) for name, value in row.metrics.items()])
    client.set_terminated(run.info.run_id, end_time=times[-1])


def tensorboard(results: Results, out: Path) -> int:
    """Write cells as event files of TensorBoard: a folder a cell, its params as hyperparameters.

    Args:
        results: the rows.
        out: the folder for ``tensorboard --logdir OUT``.

    Returns:
        How many cells of the results are in it.
    """
    found = list(cells(results))
    for cell in found:
        place = out / cell.rows[0].tags["run_id"] / f"{_folder(cell)}-{cell.key}"
        if not place.exists():
            with whole.folder(place) as aside:
                _write_events(cell, aside)
    return len(found)


def _folder(cell: TrackedCell) -> str:
    """Return a variant's name as a folder may have it."""
    return re.sub(r"[^\w.+-]+", "-", cell.rows[0].params["variant"])[:80]


def _write_events(cell: TrackedCell, aside: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer, first = EventFileWriter(str(aside)), cell.rows[0]
    settings = {**first.params, **first.tags}
    writer.add_event(Event(wall_time=first.time_s, step=0, summary=hparams_pb(settings, cell.key, first.time_s)))
    for step, row in enumerate(cell.rows):
        values = [Summary.Value(tag=name, simple_value=value) for name, value in row.metrics.items()]
        writer.add_event(Event(wall_time=row.time_s, step=step, summary=Summary(value=values)))
    writer.close()


def trackio(results: Results, out: Path) -> int:
    """Write cells into trackio's databases: a project a suite, a run a cell; nothing leaves the machine.

    The library takes its folder from the environment as it is imported, so that a process of its own writes.

    Args:
        results: the rows.
        out: the folder for ``TRACKIO_DIR=OUT trackio show``.

    Returns:
        How many cells of the results are in it.

    Raises:
        StoreError: the library failed; with its last line.
        OSError: the folder cannot be made.
    """
    found = [asdict(cell) for cell in cells(results)]
    if not found:
        return 0
    out.mkdir(parents=True, exist_ok=True)
    known = processes.environment(TRACKIO_DIR=str(out.resolve()))
    here = {name: value for name, value in known.items() if name not in ELSEWHERE}
    command = [sys.executable, "-m", "greenbench.export.trackio_process"]
    done = processes.run(command, here, json.dumps(found).encode() + b"\n")
    if done.returncode:
        raise StoreError(f"{out}: trackio wrote nothing more: {processes.last_words(done)}")
    return len(found)
