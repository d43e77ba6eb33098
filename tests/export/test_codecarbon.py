"""The emissions.csv, against codecarbon's own classes."""

import csv
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from codecarbon.output_methods.emissions_data import EmissionsData
from codecarbon.output_methods.file import FileOutput

from greenbench.export import write
from greenbench.export.codecarbon import OWN
from greenbench.results import store


@pytest.fixture
def lines(results: Path, tmp_path: Path) -> list[dict[str, str]]:
    """The lines of the exported file."""
    (path,) = write(results, "codecarbon", tmp_path / "emissions.csv")
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_columns_are_codecarbons_and_then_ours(lines: list[dict], tmp_path: Path) -> None:
    """But for our own columns behind them, the header is what codecarbon takes for its file, and a line its record."""
    names = [name for name in lines[0] if name not in OWN]
    assert names == [field.name for field in fields(EmissionsData)]
    assert list(lines[0])[-len(OWN) :] == list(OWN)
    record = EmissionsData(**{name: lines[0][name] for name in names})
    assert FileOutput("emissions.csv", str(tmp_path)).has_valid_headers(record, names)


def test_units_are_codecarbons(lines: list[dict]) -> None:
    """Energy is kWh, power the mean in W, emissions kg, and memory GB."""
    first = {
        name: float(lines[0][name])
        for name in ("energy_consumed", "cpu_energy", "ram_energy", "cpu_power", "emissions")
    }
    assert first == pytest.approx({
        "energy_consumed": 36 / 3.6e6, "cpu_energy": 27 / 3.6e6, "ram_energy": 9 / 3.6e6, "cpu_power": 13.5,
        "emissions": 5.6e-7,
    })  # fmt: skip
    assert float(lines[0]["duration"]) == 2.0
    assert float(lines[0]["emissions_rate"]) == pytest.approx(2.8e-7)
    assert float(lines[0]["ram_total_size"]) == 16.0


def test_joules_of_the_whole_machine_keep_their_source(make: Callable[..., Path], tmp_path: Path) -> None:
    """The total is a wall meter's, and the line says so; a machine that nobody described is not called None."""
    wall = {"energy_scope": "system", "energy_method": "sampled", "energy_system_j": 90.0, "energy_j": 90.0,
            "energy_system_method": "sampled", "energy_system_source": "external"}  # fmt: skip
    folder = make(wall)
    run = store.read_run(folder / "r1")
    store.write_run(folder / "r1", {**run, "machine": {}})
    (path,) = write(folder, "codecarbon", tmp_path / "emissions.csv")
    with path.open(newline="") as stream:
        (line,) = csv.DictReader(stream)
    assert float(line["energy_consumed"]) == pytest.approx(90 / 3.6e6)
    assert (line["energy_system_source"], line["energy_dram_source"], line["os"]) == ("external", "rapl", "")


def test_measured_estimated_and_missing_stay_apart(lines: list[dict]) -> None:
    """A line says whether its energy was measured; a part that was not read is empty and a failed row absent."""
    assert [line["energy_method"] for line in lines] == ["counter", "counter", "estimated"]
    assert lines[2]["energy_cpu_source"] == "codecarbon-tdp"
    assert lines[2]["ram_energy"] == lines[2]["ram_power"] == lines[0]["gpu_energy"] == ""
    assert lines[0]["cpu_utilization_percent"] == lines[0]["country_name"] == "", "what nobody measured is not 0"
