"""Speed as pytest-benchmark stores it: a benchmark a cell, whose rounds are the windows of that cell."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from greenbench.analysis.summary import summary
from greenbench.export import Documents, Results
from greenbench.metrics import METRICS
from greenbench.provenance import as_text
from greenbench.results.record import CELL


def document(results: Results) -> Documents:
    """Return one run as ``pytest-benchmark compare`` reads it.

    A time is that of one pass over the data set, since windows differ in how many passes they hold; accuracy,
    energy and memory are medians in ``extra_info``, as the format knows times only.
    """
    (run,) = results.runs.values()
    ok = results.rows[results.rows["status"] == "ok"]
    benchmarks = [_benchmark(cell) for _, cell in ok.groupby(list(CELL), sort=False, dropna=False)]
    if not benchmarks:
        return {}
    content = {
        "machine_info": _machine(run.get("machine") or {}),
        "commit_info": _commit(run),
        "benchmarks": benchmarks,
        "datetime": run.get("started_utc"),
        "version": (run.get("versions") or {}).get("greenbench"),
    }
    return {"": json.dumps(content, indent=2, ensure_ascii=False).encode()}


def _benchmark(cell: pd.DataFrame) -> dict[str, Any]:
    (line,) = summary(cell).to_dict("records")
    setting = [str(line[name]) for name in CELL if name not in ("run_id", "variant")]
    name = f"{line['variant']}[{'-'.join(setting)}]"
    return {
        "group": " ".join(setting),
        "name": name,
        "fullname": f"{line['suite']}::{name}",
        "params": {key: line[key] for key in CELL if key != "run_id"},
        "param": "-".join(setting),
        "extra_info": _extra(line),
        "options": {},
        "stats": _stats((cell["wall_s"] / cell["n_passes"]).tolist()),
    }


def _stats(seconds: Sequence[float]) -> dict[str, Any]:
    from pytest_benchmark.stats import Stats

    stats = Stats()
    for value in seconds:
        stats.update(value)
    return {**stats.as_dict(), "data": list(seconds), "iterations": 1}


def _extra(line: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the medians that are known, where the energy comes from, and the flags."""
    metrics = {name: float(line[name]) for name in METRICS if pd.notna(line[name])}
    return {
        **metrics,
        "energy_method": as_text(line["energy_method"]),
        "flags": line["flags"],
        "run_id": line["run_id"],
    }


def _machine(machine: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "system": machine.get("os"),
        "release": machine.get("kernel"),
        "python_version": machine.get("python"),
        "cpu": {"brand_raw": machine.get("cpu_model"), "count": machine.get("n_cpus_logical")},
    }


def _commit(run: Mapping[str, Any]) -> dict[str, Any]:
    git = run.get("git") or {}
    return {
        "id": git.get("commit") or "unversioned",
        "time": None,
        "author_time": None,
        "dirty": bool(git.get("dirty")),
        "project": run.get("name"),
        "branch": "(unknown)",
    }
