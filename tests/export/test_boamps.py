"""BoAmps reports, against the format's fields and codecarbon's reader of it."""

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from codecarbon.output_methods.boamps.models import BoAmpsReport

from greenbench.export import write

from .conftest import ESTIMATED

SCHEMA = json.loads((Path(__file__).parent / "boamps_schema.json").read_text())


@pytest.fixture
def reports(results: Path, tmp_path: Path) -> list[dict]:
    """The exported reports."""
    paths = write(results, "boamps", tmp_path / "out.json")
    assert [path.name for path in paths] == ["out.1.json", "out.2.json"]
    return [json.loads(path.read_text()) for path in paths]


def test_reports_follow_the_format(reports: list[dict]) -> None:
    """Each report meets the schema, and codecarbon's reader gives back the same."""
    for report in reports:
        jsonschema.validate(report, SCHEMA)
        assert BoAmpsReport.from_dict(report).to_dict() == report


def test_a_report_sums_its_windows(reports: list[dict]) -> None:
    """Two windows of two passes over five utterances are twenty requests; energies of each part add up in kWh."""
    measured, _ = reports
    assert measured["task"]["nbRequest"] == 20
    assert measured["task"]["measuredAccuracy"] == 0.75
    cpu, dram = measured["measures"]
    assert cpu["powerConsumption"] == pytest.approx(2 * 27 / 3.6e6)
    assert dram["powerConsumption"] == pytest.approx(2 * 9 / 3.6e6)
    assert cpu["measurementDuration"] == 5.0
    assert cpu["cpuTrackingMode"] == "rapl"
    assert "cpuTrackingMode" not in dram
    assert measured["task"]["algorithms"][0]["parametersNumber"] == pytest.approx(0.006)


def test_quality_follows_the_origin(reports: list[dict]) -> None:
    """A counter's report may call itself good, an estimate's may not; each has an id of its own."""
    assert [report["quality"] for report in reports] == ["high", "low"]
    assert reports[1]["task"]["algorithms"][0]["quantization"] == "int8-dynamic"
    assert "flags: energy-estimated" in reports[1]["task"]["taskDescription"]
    assert len({report["header"]["reportId"] for report in reports}) == 2


def test_a_slice_of_a_gpu_has_its_boards_measure(make: Callable[..., Path], tmp_path: Path) -> None:
    """Every part in scope is a measure, that of a shared board too, which the description tells."""
    gpu = {"device": "cuda:0", "energy_scope": "cpu+dram+gpu-shared", "energy_gpu_j": 100.0, "energy_j": 136.0,
           "energy_gpu_source": "nvml-total-energy", "device_name": "Test GPU"}  # fmt: skip
    (path,) = write(make(gpu), "boamps", tmp_path / "out.json")
    report = json.loads(path.read_text())
    jsonschema.validate(report, SCHEMA)
    assert [measure["powerConsumption"] * 3.6e6 for measure in report["measures"]] == pytest.approx([27, 9, 100])
    assert report["measures"][2]["gpuTrackingMode"] == "nvml-total-energy"
    assert [part["componentType"] for part in report["infrastructure"]["components"]] == ["cpu", "gpu", "ram"]
    assert "energy scope cpu+dram+gpu-shared" in report["task"]["taskDescription"]


def test_windows_of_two_origins_are_in_no_report(make: Callable[..., Path], tmp_path: Path) -> None:
    """Joules that cover other parts, or that came about in another way, make no sum: nothing may be read of it."""
    gpu = {"energy_scope": "cpu+dram+gpu", "energy_gpu_j": 100.0, "energy_j": 136.0,
           "energy_gpu_method": "counter", "energy_gpu_source": "nvml-total-energy"}  # fmt: skip
    folder = make({"repeat": 0}, {"repeat": 1, **gpu}, {"variant": "b"}, {"variant": "b", "repeat": 1, **ESTIMATED},
                  {"variant": "c"})  # fmt: skip
    (path,) = write(folder, "boamps", tmp_path / "out.json")
    report = json.loads(path.read_text())
    assert report["task"]["algorithms"][0]["foundationModelName"] == "c"
    assert report["measures"][0]["measurementMethod"] == "greenbench, rapl (counter)"
    assert report["infrastructure"]["components"][0]["nbComponent"] == 1


def test_what_is_not_known_of_requests_is_left_out(make: Callable[..., Path], tmp_path: Path) -> None:
    """Where a window does not say how many passes it had there is no number of requests, and not a smaller one."""
    (path,) = write(make({"repeat": 0}, {"repeat": 1, "n_passes": None}), "boamps", tmp_path / "out.json")
    report = json.loads(path.read_text())
    jsonschema.validate(report, SCHEMA)
    assert "nbRequest" not in report["task"]
    assert all("dataQuantity" not in dataset for dataset in report["task"]["dataset"])


def test_a_window_without_energy_leaves_its_cell_out(make: Callable[..., Path], tmp_path: Path) -> None:
    """A sum over windows of which one is unknown would be too small, so there is no report of that cell."""
    unknown = {"energy_j": None, "energy_cpu_j": None, "energy_scope": None, "energy_method": None}
    folder = make({"repeat": 0}, {"repeat": 1, **unknown}, {"variant": "b"}, {"variant": "wer-above-1", "wer": 1.2})
    paths = write(folder, "boamps", tmp_path / "out.json")
    reports = [json.loads(path.read_text()) for path in paths]
    assert [report["task"]["algorithms"][0]["foundationModelName"] for report in reports] == ["b", "wer-above-1"]
    assert "measuredAccuracy" not in reports[1]["task"]
