"""Energy as codecarbon's emissions.csv: its columns, and behind them what its file cannot tell."""

import csv
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import version
from io import StringIO
from typing import Any

from greenbench.export import Documents, Results, plain
from greenbench.files.unicode import for_csv
from greenbench.metrics import J_PER_KWH, ratio

OWN = (
    "energy_method", "energy_scope", "energy_system_source", "energy_cpu_source", "energy_dram_source",
    "energy_gpu_source", "variant", "dataset", "flags",
)  # fmt: skip
"""Columns after codecarbon's: its file does not say whether a figure was measured or modelled, this one does."""


def emissions(results: Results) -> Documents:
    """Return a line a measured window with an energy: kWh, kg, W and s as in codecarbon, what is unknown empty."""
    from codecarbon.output_methods.emissions_data import EmissionsData

    names = [field.name for field in fields(EmissionsData)]
    rows = [plain(row) for row in results.rows.to_dict("records")]
    lines = [_line(row, results.runs[row["run_id"]]) for row in rows if row["energy_j"] is not None]
    if not lines:
        return {}
    text = StringIO()
    writer = csv.DictWriter(text, [*names, *OWN], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: for_csv(value) for name, value in line.items()} for line in lines)
    return {"": text.getvalue().encode()}


def _line(row: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """Return one line; columns that greenbench does not know stay out."""
    kg = None if row["co2e_g"] is None else row["co2e_g"] / 1000
    return {
        "timestamp": row["timestamp_utc"],
        "project_name": run.get("name"),
        "run_id": row["run_id"],
        "experiment_id": " | ".join(str(row[name]) for name in ("variant", "dataset", "device", "scenario")),
        "duration": row["wall_s"],
        "emissions": kg,
        "emissions_rate": ratio(kg, row["wall_s"]),
        **_energies(row),
        **_machine(row, run.get("machine") or {}),
        "codecarbon_version": version("codecarbon"),
        "tracking_mode": "machine",
        "pue": row["carbon_pue"],
        **{name: row[name] for name in OWN},
        "flags": " ".join(row["flags"]),
    }


def _energies(row: Mapping[str, Any]) -> dict[str, float | None]:
    """Return each part's mean power in W and energy in kWh, and the total."""
    parts = {"cpu": "energy_cpu_j", "gpu": "energy_gpu_j", "ram": "energy_dram_j"}
    power = {f"{part}_power": ratio(row[name], row["wall_s"]) for part, name in parts.items()}
    energy = {f"{part}_energy": ratio(row[name], J_PER_KWH) for part, name in parts.items()}
    return {**power, **energy, "energy_consumed": row["energy_j"] / J_PER_KWH}


def _machine(row: Mapping[str, Any], machine: Mapping[str, Any]) -> dict[str, Any]:
    on_gpu = str(row["device"]).startswith("cuda")
    return {
        "os": "-".join(str(part) for part in (machine.get("os"), machine.get("kernel")) if part) or None,
        "python_version": machine.get("python"),
        "cpu_count": machine.get("n_cpus_logical"),
        "cpu_model": machine.get("cpu_model"),
        "gpu_count": 1 if on_gpu else None,
        "gpu_model": row["device_name"] if on_gpu else None,
        "ram_total_size": ratio(machine.get("memory_bytes"), 2**30),
    }
