"""Energy reports in BoAmps, Boavizta's format for sharing what AI tasks consume: one report a cell."""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pandas as pd

from greenbench.export import Documents, Results
from greenbench.meters.energy import PARTS, part_column
from greenbench.metrics import J_PER_KWH
from greenbench.results import comparability
from greenbench.results.record import CELL

QUALITY = {"counter": "high", "sampled": "medium", "estimated": "low"}
"""BoAmps' word for an error up to 10, 25 and 50 %, by how the weakest part was read."""


def reports(results: Results) -> Documents:
    """Return a report for each cell whose windows all have an energy of one origin, numbered where there are several.

    The fields are those of ``model/*_schema.json`` in Boavizta/BoAmps, written with codecarbon's classes for
    them. A report covers all windows of its cell: energies, times and requests are sums. What greenbench does
    not know (publisher, country, kind of infrastructure) is left out or said to be ``other``.
    """
    (run,) = results.runs.values()
    ok = results.rows[results.rows["status"] == "ok"]
    cells = [cell for _, cell in ok.groupby(list(CELL), sort=False, dropna=False) if _is_of_one_origin(cell)]
    texts = [json.dumps(_report(cell, run), indent=2, ensure_ascii=False).encode() for cell in cells]
    return {"": texts[0]} if len(texts) == 1 else {str(number): text for number, text in enumerate(texts, start=1)}


_FAMILIES = {"transcribe": "speech recognition", "detect": "keyword spotting", "verify": "speaker verification"}


def _is_of_one_origin(cell: pd.DataFrame) -> bool:
    """Say whether all windows of a cell have joules that cover the same and were read alike: others make no sum."""
    origins = [part_column(part, what) for part in PARTS for what in ("method", "source")]
    same = cell[["energy_scope", "energy_method", *origins]].nunique(dropna=False) == 1
    return bool(cell["energy_j"].notna().all() and same.all())


def _sum(values: "pd.Series[Any]") -> float | None:
    """Return the sum over a cell's windows, None where one of them is not known."""
    return float(values.sum(skipna=False)) if values.notna().all() else None


def _report(cell: pd.DataFrame, run: Mapping[str, Any]) -> dict[str, Any]:
    from codecarbon.output_methods.boamps import models
    from codecarbon.output_methods.boamps.mapper import BOAMPS_FORMAT_SPEC_URI, BOAMPS_FORMAT_VERSION

    machine, row = run.get("machine") or {}, cell.iloc[-1]
    key = "|".join(str(row[name]) for name in CELL)
    report = models.BoAmpsReport(
        header=models.BoAmpsHeader(
            format_version=BOAMPS_FORMAT_VERSION,
            format_version_specification_uri=BOAMPS_FORMAT_SPEC_URI,
            report_id=str(uuid5(NAMESPACE_URL, key)),
            report_datetime=None if pd.isna(row["timestamp_utc"]) else f"{row['timestamp_utc']:%Y-%m-%d %H:%M:%S}",
            report_status="draft",
        ),
        task=_task(cell),
        measures=list(_measures(cell, (run.get("versions") or {}).get("greenbench"))),
        system=models.BoAmpsSystem(os=machine.get("os") or "unknown"),
        software=models.BoAmpsSoftware(language="python", version=machine.get("python")),
        infrastructure=models.BoAmpsInfrastructure(infra_type="other", components=list(_components(row, machine))),
        quality=QUALITY[max(cell["energy_method"], key=list(QUALITY).index)],
    )
    found: dict[str, Any] = report.to_dict()
    return found


def _task(cell: pd.DataFrame) -> Any:
    from codecarbon.output_methods.boamps import models

    row = cell.iloc[-1]
    n_requests = _sum(cell["n_utterances"] * cell["n_passes"])
    accurate = 1 - row["wer"] if pd.notna(row["wer"]) and row["wer"] <= 1 else None
    n_params = None if pd.isna(row["n_params"]) else row["n_params"] / 1e9
    return models.BoAmpsTask(
        task_stage="inference",
        task_family=_FAMILIES.get(str(comparability.value(row.to_dict(), "task")), "other"),
        nb_request=n_requests,
        algorithms=[
            models.BoAmpsAlgorithm(
                algorithm_type="neural network",
                foundation_model_name=row["variant"],
                parameters_number=n_params,
                quantization=None if pd.isna(row["steps"]) else row["steps"],
            )
        ],
        dataset=[
            models.BoAmpsDataset(data_usage="input", data_type="audio", data_quantity=n_requests),
            models.BoAmpsDataset(data_usage="output", data_type="text", data_quantity=n_requests),
        ],
        measured_accuracy=accurate,
        task_description=_description(cell),
    )


def _description(cell: pd.DataFrame) -> str:
    row = cell.iloc[-1]
    flags = sorted(set().union(*cell["flags"]))
    stated = [
        f"{'' if (audio_s := _sum(cell['audio_s'])) is None else f'{audio_s:g} s of '}audio from {row['dataset']}",
        f"{row['scenario']}, batch size {row['batch_size']}, on {row['device']}",
        f"{len(cell)} windows, loading and warm-up left out",
        "accuracy is 1 - WER" if pd.notna(row["wer"]) else "",
        f"energy scope {row['energy_scope']}",
        f"flags: {', '.join(flags)}" if flags else "",
    ]
    return "; ".join(part for part in stated if part)


def _measures(cell: pd.DataFrame, version: str | None) -> Iterable[Any]:
    """Yield a measure for each part of the machine that the total covers; BoAmps counts in kWh."""
    from codecarbon.output_methods.boamps import models

    row = cell.iloc[-1]
    covered = str(row["energy_scope"]).replace("-shared", "").split("+")
    for part in (part for part in PARTS if part in covered):
        source = row[part_column(part, "source")]
        yield models.BoAmpsMeasure(
            measurement_method=f"greenbench, {source} ({row[part_column(part, 'method')]})",
            version=version,
            cpu_tracking_mode=source if part == "cpu" else None,
            gpu_tracking_mode=source if part == "gpu" else None,
            power_consumption=float(cell[part_column(part)].sum()) / J_PER_KWH,
            measurement_duration=_sum(cell["wall_s"]),
        )


def _components(row: "pd.Series[Any]", machine: Mapping[str, Any]) -> Iterable[Any]:
    from codecarbon.output_methods.boamps import models

    yield models.BoAmpsHardware(
        component_type="cpu",
        component_name=machine.get("cpu_model"),
        nb_component=machine.get("n_cpu_packages") or 1,  # the format asks for a number
    )
    if str(row["device"]).startswith("cuda"):
        yield models.BoAmpsHardware(component_type="gpu", component_name=row["device_name"], nb_component=1)
    if machine.get("memory_bytes"):
        yield models.BoAmpsHardware(
            component_type="ram", nb_component=1, memory_size=round(machine["memory_bytes"] / 2**30)
        )
