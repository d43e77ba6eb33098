"""The pytest-benchmark file, read by pytest-benchmark itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from greenbench.errors import MissingError
from greenbench.export import write

pytest.importorskip("pytest_benchmark")


@pytest.fixture
def path(results: Path, tmp_path: Path) -> Path:
    """The exported file."""
    return write(results, "pytest-benchmark", tmp_path / "out.json")[0]


def test_compare_shows_the_seconds_of_a_pass(path: Path, tmp_path: Path) -> None:
    """`pytest-benchmark compare` lists the measured variants in one group with the arithmetic's times."""
    table = tmp_path / "table.csv"
    command = [
        sys.executable,
        "-m",
        "pytest_benchmark",
        "compare",
        path.name,
        "--group-by",
        "group",
        "--csv",
        table.name,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Failed to load" not in done.stdout + done.stderr
    assert "benchmark 'd cpu offline 8': 2 tests" in done.stdout
    lines = {row.split(",")[0]: row.split(",") for row in table.read_text().splitlines()}
    head = lines["name"]
    found = dict(zip(head, lines["made-up::a[d-cpu-offline-8]"], strict=True))
    assert (float(found["min"]), float(found["max"]), float(found["mean"])) == (1.0, 1.5, 1.25)
    assert int(found["rounds"]) == 2
    assert "made-up::b[d-cpu-offline-8]" in lines
    assert not any("c[" in name for name in lines), "what failed has no time"


def test_what_the_format_has_no_place_for_is_in_extra_info(path: Path) -> None:
    """Accuracy, energy with its origin and the flags travel along; what is unknown is absent, not 0."""
    data = json.loads(path.read_text())
    measured, estimated = (benchmark["extra_info"] for benchmark in data["benchmarks"])
    assert (measured["wer"], measured["energy_j_per_audio_s"], measured["energy_method"]) == (0.25, 1.8, "counter")
    assert "energy_gpu_j" not in measured
    assert (estimated["energy_method"], estimated["flags"]) == ("estimated", ["energy-estimated"])
    assert data["commit_info"]["id"] == "c0ffee"
    assert data["commit_info"]["dirty"] is True
    assert data["machine_info"]["cpu"] == {"brand_raw": "Test CPU", "count": 8}


def test_without_the_library_it_says_what_to_install(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statistics are the library's own; without it there is one line with the command."""
    monkeypatch.setitem(sys.modules, "pytest_benchmark", None)
    with pytest.raises(MissingError, match=r"pip install 'greenbench\[pytest\]'"):
        write(results, "pytest-benchmark", tmp_path / "other.json")
