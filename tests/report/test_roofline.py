"""The roofline's data: which limits a cell stands below, and where its mark is."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from greenbench.analysis import summary
from greenbench.report.roofline import drawn

Rows = Callable[..., pd.DataFrame]

PEAKS = {"macs_per_s": {"fp32": 1e11, "int8": 4e11}, "bytes_per_s": 2e10, "threads": 2}
RUNS = [{"run_id": "r1", "peaks": {"cpu": PEAKS}}]
CELL: dict[str, Any] = {
    "macs_per_audio_s": 1e8, "rtfx": 100.0, "audio_s": 300.0, "n_passes": 3, "n_utterances": 17, "model_bytes": 4e6,
    "mfu_pct": 10.0, "compute_dtype": "fp32", "engine_batching": "padded", "batch_size": 8,
}  # fmt: skip


def of(rows: Rows, *cells: dict[str, Any], runs: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return drawn(summary.summary(rows(*cells)), RUNS if runs is None else runs)


def test_a_mark_is_as_high_as_the_work_in_a_second(rows: Rows) -> None:
    """0.1 GMAC for a second of audio at 100 times real time are 20 GFLOP/s, below the limits of its machine."""
    told = of(rows, CELL)
    assert told["roofs"] == [
        {"name": "Test CPU, cpu, 2 threads", "flop_per_s": {"fp32": 2e11, "int8": 8e11}, "bytes_per_s": 2e10}
    ]
    ((place, _, flop_per_s, compute_dtype),) = told["under"].values()
    assert (place, flop_per_s, compute_dtype) == (0, 2e10, "fp32")


@pytest.mark.parametrize(("batching", "n_batches"), [("padded", 3), ("sequential", 17)])
def test_its_place_is_as_if_each_batch_read_the_weights_once(rows: Rows, batching: str, n_batches: int) -> None:
    """A pass of 100 s in batches of 8 reads 4 MB three times; an engine that takes one after the other, 17 times."""
    ((_, intensity, _, _),) = of(rows, CELL | {"engine_batching": batching})["under"].values()
    assert intensity == pytest.approx(2 * 1e8 * 100 / (n_batches * 4e6), rel=1e-4)


def test_cells_of_one_machine_share_a_roof(rows: Rows) -> None:
    """Another scenario stands below the same limits; a run with other peaks has its own."""
    runs = [*RUNS, {"run_id": "r2", "peaks": {"cpu": {**PEAKS, "threads": 1}}}]
    cells = (CELL, CELL | {"scenario": "single-stream", "batch_size": 1}, CELL | {"run_id": "r2"})
    told = of(rows, *cells, runs=runs)
    assert [roof["name"] for roof in told["roofs"]] == ["Test CPU, cpu, 2 threads", "Test CPU, cpu, 1 threads"]
    assert [place[0] for place in told["under"].values()] == [0, 0, 1]


@pytest.mark.parametrize(
    "change",
    [
        {"mfu_pct": None},
        {"macs_per_audio_s": None},
        {"model_bytes": None},
        {"model_bytes": 0},
        {"compute_dtype": None},
        {"compute_dtype": "<img>"},
        {"run_id": "gone"},
        {"device": "cuda"},
    ],
)
def test_what_is_not_known_is_not_drawn(rows: Rows, change: dict[str, Any]) -> None:
    """Without work, size, precision or a peak of its device a cell has no mark."""
    assert of(rows, CELL | change) == {"roofs": [], "under": {}}


def test_a_run_without_peaks_has_no_roof(rows: Rows) -> None:
    """As all that were measured before there were any."""
    assert of(rows, CELL, runs=[{"run_id": "r1"}]) == {"roofs": [], "under": {}}
