"""Made-up results for the report's tests: rows and whole results folders, of no real model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from greenbench.metrics import METRICS
from greenbench.results import store
from greenbench.results.record import Record, columns, to_row

KEY: dict[str, Any] = {
    "run_id": "r1",
    "variant": "a",
    "dataset": "d",
    "device": "cpu",
    "scenario": "offline",
    "batch_size": 1,
    "round": 0,
    "repeat": 0,
}
ALIKE: dict[str, Any] = {
    "device_name": "Test CPU",
    "batching": "sorted",
    "timed_region": "waveform-to-text",
    "normalizer": "whisper-english",
    "scorer": "jiwer-4",
    "data_hash": "abc123",
    "protocol": "quick",
    "suite_hash": "f00d",
}
MEASURED = {
    "energy_method": "counter",
    "energy_scope": "cpu",
    "energy_cpu_method": "counter",
    "energy_cpu_source": "rapl",
}
ESTIMATE = {
    "energy_method": "estimated",
    "energy_scope": "cpu",
    "energy_cpu_method": "estimated",
    "energy_cpu_source": "codecarbon-tdp",
    "energy_cpu_note": "TDP 65 W",
}
RUN: dict[str, Any] = {
    "run_id": "r1",
    "name": "made-up",
    "description": "Numbers made up for the tests.",
    "suite_hash": "f00d",
    "suite": {"name": "made-up"},
    "protocol": {"use": "quick", "repeats": 3},
    "versions": {"greenbench": "0", "torch": "2"},
    "git": {"commit": "c0ffee", "dirty": False},
    "machine": {"cpu": {"model": "Test CPU", "cores": 2}, "gpus": []},
    "command": ["greenbench", "run", "my suite.yaml"],
    "started_utc": "2025-01-01T00:00:00Z",
    "meters": {"memory": None, "rapl": "energy_uj is readable by root only", "nvml": "no NVIDIA driver"},
}


def make_row(
    *,
    status: str = "ok",
    reason: str | None = None,
    flags: tuple[str, ...] = (),
    flag_notes: tuple[str, ...] = (),
    **values: Any,
) -> dict[str, Any]:
    """Return one row: keys, metrics and provenance by name, the rest as in ``KEY`` and ``ALIKE``."""
    unknown = set(values) - set(columns())
    assert not unknown, unknown
    record = Record(
        key={name: values.get(name, default) for name, default in KEY.items()},
        status=status,  # type: ignore[arg-type]
        reason=reason,
        flags=flags,
        metrics={name: value for name, value in values.items() if name in METRICS},
        provenance=ALIKE | {n: v for n, v in values.items() if n not in METRICS and n not in KEY},
        flag_notes=flag_notes,
    )
    return to_row(record)


def make_folder(folder: Path, rows: list[dict[str, Any]], texts: list[dict[str, Any]], **run: Any) -> Path:
    """Write a run's folder through the real store."""
    store.write_run(folder, RUN | run)
    store.append(folder, rows)
    store.append(folder, texts, store.HYPOTHESES)
    return folder


@pytest.fixture
def row() -> Callable[..., dict[str, Any]]:
    """Make one row."""
    return make_row


@pytest.fixture
def rows() -> Callable[..., pd.DataFrame]:
    """Make a frame as ``frames.load`` does, from keyword sets of ``make_row``."""

    def build(*given: dict[str, Any]) -> pd.DataFrame:
        frame = pd.DataFrame([make_row(**values) for values in given], columns=columns())
        return frame.astype(dict.fromkeys(METRICS, "float64"))

    return build


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a run's folder from keyword sets of ``make_row``, with rows of ``hypotheses.jsonl`` by name."""

    def build(*given: dict[str, Any], texts: tuple[dict[str, Any], ...] = (), **run: Any) -> Path:
        heard = [KEY | {"speaker": None, "audio_s": None, "latency_s": None} | text for text in texts]
        return make_folder(tmp_path_factory.mktemp("results") / "r1", [make_row(**row) for row in given], heard, **run)

    return build


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Make a run's folder from keyword sets of ``make_row``, and texts as (variant, reference, hypothesis)."""

    def build(*given: dict[str, Any], texts: tuple[tuple[str, str, str], ...] = (), **run: Any) -> Path:
        heard = [
            KEY | {"variant": v, "utterance_id": "u1", "speaker": None, "reference": r, "hypothesis": h}
            for v, r, h in texts
        ]
        return make_folder(tmp_path / "results" / "r1", [make_row(**values) for values in given], heard, **run)

    return build


@pytest.fixture
def measured() -> dict[str, str]:
    """Provenance of an energy read from counters."""
    return MEASURED


@pytest.fixture
def estimate() -> dict[str, str]:
    """Provenance of an energy that is estimated."""
    return ESTIMATE
