"""Fixtures of the results' tests."""

from pathlib import Path

import pytest

from greenbench.results import store
from greenbench.results.store import append

from .cells import row


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder that holds one row."""
    folder = tmp_path / "results" / "run-1"
    store.write_run(folder, {"run_id": "r"})
    append(folder, [row(wer=0.1)])
    return folder
