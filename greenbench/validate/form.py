"""The form of a row: types, ranges, its status, and that it is of its run."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from greenbench import registry, tasks
from greenbench.metrics import ABSOLUTE, METRICS
from greenbench.results.record import MEASURED, wrong_status
from greenbench.suite.entries import task_of
from greenbench.suite.protocol import label
from greenbench.suite.scenarios import BATCHING, Server, Streaming, demand, streamed
from greenbench.validate.evidence import Check, Evidence, Row

EDITED = "Restore the row from its run, or measure again."

MOST = {
    "s": 1e8, "bytes": 1e15, "J": 1e12, "J/s": 1e6, "W": 1e6, "g": 1e9, "Hz": 1e7, "1/s": 1e18, "%": 1e6, "°C": 200,
    "1": 1e15, "bit": 1e3, "currency/h": 1e12, "1/h": 1e9,
}  # fmt: skip
"""More of a unit no window has: three years, a petabyte, a power station. Every unit of ``METRICS`` is here."""

LATENCIES = ("latency_p50_s", "latency_p90_s", "latency_p95_s", "latency_p99_s")

FINALS = ("final_p50_s", "final_p90_s", "final_p99_s")
"""The same of streaming, from the last sample to the final text."""

_ORDERED = (
    LATENCIES,
    FINALS,
    ("first_partial_p50_s", "first_partial_p90_s"),
    ("word_latency_p50_s", "word_latency_p90_s"),
    *((f"{rate}_ci_low", rate, f"{rate}_ci_high") for rate in ABSOLUTE),
    ("energy_net_j", "energy_j"),
)
"""Metrics of which none is above the next."""

_STATED = {"carbon": ("g_per_kwh", "source", "year", "zone", "pue"), "price": ("per_hour", "currency", "source")}
"""Key of a suite -> its keys, which are columns of every row."""

_ASKED = ("carbon_g_per_kwh", "carbon_source", "carbon_year")
"""Columns that the suite does not state where it has a zone: Electricity Maps was asked."""


def _has_columns(row: Row, _evidence: Evidence) -> Iterator[str]:
    missing = [name for name in ("status", "flags", *MEASURED) if name not in row]
    if missing:
        yield f"lacks the columns {', '.join(missing)}"


def _in_range(row: Row, _evidence: Evidence) -> Iterator[str]:
    for name, metric in METRICS.items():
        if abs(row.get(name) or 0) > MOST[metric.unit]:
            yield f"{name} is {row[name]:g}, more than any window can have ({MOST[metric.unit]:g})"
    for names in _ORDERED:
        known = [name for name in names if row.get(name) is not None]
        for smaller, larger in pairwise(known):
            if row[smaller] > row[larger]:
                yield f"{smaller} is {row[smaller]:g}, above {larger}, {row[larger]:g}"


def _took_time(row: Row, _evidence: Evidence) -> Iterator[str]:
    """Whatever a model does takes time."""
    if row["status"] == "ok":
        none = [name for name in ("load_s", "first_utterance_s", *LATENCIES, *FINALS) if row.get(name) == 0]
        if none:
            yield f"{', '.join(none)} is 0, where a time above 0 is expected"


def _has_its_status(row: Row, _evidence: Evidence) -> Iterator[str]:
    yield from wrong_status(row)


def _is_of_its_run(row: Row, evidence: Evidence) -> Iterator[str]:
    """The run, the suite and the protocol stand in every row as in ``run.json``."""
    run, suite, steps = evidence.run, evidence.run["suite"], evidence.steps
    streaming = streamed(Streaming.model_validate(suite.get("streaming") or {}))
    stated = {
        "run_id": run["run_id"], "suite": run["name"], "suite_hash": run["suite_hash"], "threads": suite["threads"],
        "protocol": label(steps), "n_windows": steps.rounds * steps.repeats,
        "arrivals": demand(Server.model_validate(suite["server"])) if row["scenario"] == "server" else None,
        **(streaming if row["scenario"] == "streaming" else dict.fromkeys(streaming)),
        **{f"{of}_{name}": (suite.get(of) or {}).get(name) for of, names in _STATED.items() for name in names},
        **(_as_measured(row, suite) if row["status"] == "ok" else {}),
    }  # fmt: skip
    for name, value in stated.items():
        if row.get(name) != value and not (name in _ASKED and stated["carbon_zone"]):
            yield f"{name} is {row.get(name)!r}, in run.json {value!r}"


def _as_measured(row: Row, suite: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a measured row states of how it was sent, timed and judged."""
    batching = {"batching": BATCHING.get(row["scenario"])}
    if not tasks.is_installed(row):
        return batching
    task = tasks.of(row)
    return {**batching, "timed_region": task.timed_region, "primary": task.rate or suite.get("primary")}


def _has_its_task(row: Row, evidence: Evidence) -> Iterator[str]:
    """The task is that of the data set in the suite."""
    found, entries = tasks.name_of(row), evidence.run["suite"]["datasets"]
    used = {str(one.get("use")) for one in entries if one["name"] == row["dataset"]} & {*registry.names("datasets")}
    if used and found not in (asked := {task_of(name) for name in used}):
        yield f"task is {found!r}, the data set in run.json is for {' or '.join(asked)!r}"
    elif not tasks.is_installed(row):
        yield f"task {found!r} is not installed"


def _is_a_cell_of_its_suite(row: Row, evidence: Evidence) -> Iterator[str]:
    """The suite asks for this row: for its variant, its data set and how it was sent, in this round and repeat."""
    suite, steps = evidence.run["suite"], evidence.steps
    asked = {
        "variant": [entry["name"] for entry in suite["variants"]],
        "dataset": [entry["name"] for entry in suite["datasets"]],
        "scenario": suite["scenarios"],
        "batch_size": suite["batch_sizes"] if row["scenario"] == "offline" else [1],
    }
    for name, values in asked.items():
        if row[name] not in values:
            yield f"{name} {row[name]!r} is not in the suite"
    if row["round"] not in range(steps.rounds) or row["repeat"] not in (None, *range(steps.repeats)):
        yield f"round {row['round']}, repeat {row['repeat']}: the protocol has {steps.rounds} x {steps.repeats}"


FORM = (
    Check(_has_columns, EDITED),
    Check(_has_its_status, EDITED, dependent=True),
)
"""What holds for every row, and lets it be read at all."""

SENSE = (
    Check(_in_range, EDITED),
    Check(_took_time, EDITED),
    Check(_has_its_task, EDITED),
    Check(_is_of_its_run, EDITED),
    Check(_is_a_cell_of_its_suite, EDITED),
)
"""What else holds for every row."""
