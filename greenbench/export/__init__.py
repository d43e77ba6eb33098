"""Results in the formats of other tools: which formats there are, and the files they become."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenbench import extras
from greenbench.errors import InputError, MissingError, StoreError, did_you_mean
from greenbench.metrics import missing
from greenbench.provenance import as_text
from greenbench.results import frames, store

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Results:
    """What there is to export.

    Attributes:
        rows: as ``frames.load`` gives them.
        runs: ``run.json`` by run id.
        folder: where they are from.
    """

    rows: "pd.DataFrame"
    runs: Mapping[str, Mapping[str, Any]]
    folder: Path


Documents = Mapping[str, bytes]
"""What an exporter returns: content by what its file's name gets before the suffix, "" for a single file."""

Exporter = Callable[[Results], Documents]

Tracker = Callable[[Results, Path], int]
"""Writes results into a store of its own at a place, and returns how many cells are in it."""


@dataclass(frozen=True)
class Format:
    """One format of other tools.

    Attributes:
        about: what it is for.
        exporter: ``module:function`` of an ``Exporter``, imported when it is used.
        per_run: its documents describe one run, so that several runs make several.
        extra: the extra of greenbench that it needs.
        is_store: it is a tracker's own store, so that ``exporter`` is a ``Tracker``.
    """

    about: str
    exporter: str
    per_run: bool = True
    extra: str | None = None
    is_store: bool = False


FORMATS = {
    "csv": Format("every row, for spreadsheets", "tables:csv", per_run=False),
    "parquet": Format("every row with its types, for data frames", "tables:parquet", per_run=False, extra="parquet"),
    "pytest-benchmark": Format("speed, for `pytest-benchmark compare`", "pytest_benchmark:document", extra="pytest"),
    "github-benchmark": Format("medians over time, for github-action-benchmark", "github_benchmark:documents"),
    "codecarbon": Format(
        "energy, as codecarbon's emissions.csv", "codecarbon:emissions", per_run=False, extra="codecarbon"
    ),
    "model-index": Format(
        "metadata of Hugging Face model cards, one a variant", "model_index:documents", per_run=False
    ),
    "eval-results": Format(
        "error rates on whole data sets of the Hugging Face hub, for a model's `.eval_results/`, one a variant",
        "eval_results:documents",
        per_run=False,
    ),
    "boamps": Format("energy reports of Boavizta's BoAmps, one a cell", "boamps:reports", extra="codecarbon"),
    **{
        name: Format(about, f"trackers:{name}", per_run=False, extra=name, is_store=True)
        for name, about in {
            "mlflow": "cells as runs in MLflow's SQLite database",
            "trackio": "cells as runs in trackio's folder",
            "tensorboard": "cells as event files in TensorBoard's folder",
        }.items()
    },
}


def write(results: Path, name: str, out: Path, variant: str | None = None) -> list[Path]:
    """Write results in another tool's format.

    Args:
        results: a run's folder, or any parent of runs.
        name: from ``FORMATS``.
        out: the file; where the format needs several, each name gets its part: ``out.smaller.json``. A tracker's
            store, in which what is there already stays.
        variant: a glob that the names of variants must match; None takes all.

    Returns:
        The files written, or the store.

    Raises:
        InputError: an unknown format, or there is nothing to put into it.
        MissingError: a library that the format needs is not installed.
        StoreError: there is no run, or a file cannot be written.
    """
    if name not in FORMATS:
        raise InputError(f"--format {name}: unknown. {did_you_mean(name, FORMATS)}")
    if reason := extras.missing(filter(None, [FORMATS[name].extra])):
        raise MissingError(f"--format {name}: {reason}")
    form, loaded = FORMATS[name], _load(results)
    if variant is not None:
        loaded = _only(loaded, variant)
    paths = _stored(loaded, form, out) if form.is_store else _written(loaded, form, out)
    if not paths:
        raise InputError(f"{results}: no row here has what --format {name} needs ({form.about})")
    return paths


def _only(results: Results, variant: str) -> Results:
    """Return the rows of the variants that match.

    Raises:
        InputError: none does.
    """
    is_meant = [fnmatchcase(str(name), variant) for name in results.rows["variant"]]
    if not any(is_meant):
        raise InputError(f"--variant {variant}: none matches. {did_you_mean(variant, set(results.rows['variant']))}")
    return replace(results, rows=results.rows[is_meant])


def plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a frame's row with None for what is missing, and its times as text."""
    return {name: None if missing(value) else as_text(value) for name, value in row.items()}


def _stored(results: Results, form: Format, out: Path) -> list[Path]:
    """Write into a tracker's store.

    Raises:
        StoreError: it cannot be written.
    """
    tracker: Tracker = _function(form)
    try:
        return [out] if tracker(results, out) else []
    except OSError as error:
        raise StoreError(f"{out}: cannot be written: {error.strerror or error}") from error


def _written(results: Results, form: Format, out: Path) -> list[Path]:
    paths = {_named(out, part): content for part, content in _documents(results, form).items()}
    for path, content in paths.items():
        store.write_file(path, content)
    return list(paths)


def _function(form: Format) -> Any:
    module, _, function = form.exporter.partition(":")
    return getattr(import_module(f"greenbench.export.{module}"), function)


def _load(folder: Path) -> Results:
    rows = frames.load(folder)
    known = {run.id: run.description for run in store.open_runs(folder)}
    strange = [run_id for run_id in rows["run_id"].unique() if run_id not in known]
    if strange:
        raise StoreError(f"{folder}: rows of the run '{strange[0]}', and no {store.RUN} says what that was")
    return Results(rows, known, folder)


def _documents(results: Results, form: Format) -> Documents:
    """Make the documents, run by run where they describe one."""
    export: Exporter = _function(form)
    if not form.per_run or len(results.runs) == 1:
        return export(results)
    documents: dict[str, bytes] = {}
    for run_id, run in results.runs.items():
        rows = results.rows[results.rows["run_id"] == run_id]
        found = export(Results(rows, {run_id: run}, results.folder))
        documents |= {f"{run_id}.{part}".rstrip("."): content for part, content in found.items()}
    return documents


def _named(out: Path, part: str) -> Path:
    return out.with_name(f"{out.stem}.{part}{out.suffix}") if part else out
