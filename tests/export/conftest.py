"""Made-up results for the exporters, written through the real store: measured, estimated and failed cells."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenbench import metrics, provenance
from greenbench.results import record, store

KEY: dict[str, Any] = {
    "variant": "a", "dataset": "d", "device": "cpu", "scenario": "offline", "batch_size": 8, "round": 0, "repeat": 0,
}  # fmt: skip
METRICS = {
    "wer": 0.25, "wer_ci_low": 0.2, "wer_ci_high": 0.3, "rtfx": 10.0, "audio_s": 20.0, "wall_s": 2.0, "n_passes": 2,
    "n_utterances": 5, "n_params": 6_000_000, "peak_rss_bytes": 123_456_789, "idle_power_w": 8.0,
    "energy_j": 36.0, "energy_cpu_j": 27.0, "energy_dram_j": 9.0, "energy_j_per_audio_s": 1.8, "co2e_g": 0.00056,
}  # fmt: skip
PROVENANCE = {
    "suite": "made-up", "timestamp_utc": "2025-01-02T03:04:05+00:00", "energy_scope": "cpu+dram",
    "energy_method": "counter", "energy_cpu_method": "counter", "energy_cpu_source": "rapl",
    "energy_dram_method": "counter", "energy_dram_source": "rapl", "device_name": "Test CPU",
    "carbon_g_per_kwh": 56, "carbon_pue": 1.0,
}  # fmt: skip
RUN = {
    "name": "made-up",
    "started_utc": "2025-01-02T03:00:00+00:00",
    "versions": {"greenbench": "0.1.0"},
    "suite": {"datasets": [{"use": "open-asr", "name": "d", "subset": "ami"}]},
    "git": {"commit": "c0ffee", "dirty": True},
    "machine": {
        "os": "Linux", "kernel": "6", "python": "3.11", "cpu_model": "Test CPU", "n_cpus_physical": 4,
        "n_cpus_logical": 8, "memory_bytes": 16 * 2**30,
    },
}  # fmt: skip

ESTIMATED = {"energy_scope": "cpu", "energy_method": "estimated", "energy_cpu_source": "codecarbon-tdp",
             "energy_dram_method": None, "energy_dram_source": None}  # fmt: skip


def line(run_id: str, status: str = "ok", flags: tuple[str, ...] = (), **changes: Any) -> dict[str, Any]:
    """One row: ``changes`` replace columns by name."""
    row = record.Record(
        key={"run_id": run_id, **{name: changes.get(name, value) for name, value in KEY.items()}},
        status=status,  # type: ignore[arg-type]
        reason=None if status == "ok" else "it broke",
        flags=flags,
        metrics=METRICS | {name: value for name, value in changes.items() if name in metrics.METRICS}
        if status == "ok"
        else {},
        provenance=PROVENANCE | {name: value for name, value in changes.items() if name in provenance.PROVENANCE},
    )
    return record.to_row(row)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Write a run of rows, each given as the changes to ``line``; return the folder above all runs."""

    def build(*rows: dict[str, Any], run_id: str = "r1") -> Path:
        folder = tmp_path / "results" / run_id
        store.write_run(folder, {"run_id": run_id, **RUN})
        store.append(folder, [line(run_id, **row) for row in rows])
        return tmp_path / "results"

    return build


@pytest.fixture
def results(make: Callable[..., Path]) -> Path:
    """Two repeats of a measured cell, one of an estimated cell, and one that failed."""
    estimate = {**ESTIMATED, "energy_dram_j": None, "energy_j": 27.0, "flags": ("energy-estimated",)}
    return make(
        {"repeat": 0},
        {"repeat": 1, "wall_s": 3.0, "rtfx": 20 / 3},
        {"variant": "b", "rtfx": 5.0, "wer": 0.5, "steps": "int8-dynamic", **estimate},
        {"variant": "c", "status": "error", "repeat": None},
    )
