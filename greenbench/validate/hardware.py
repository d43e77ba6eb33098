"""What the machine of a run can have: its name, its memory, its CPUs' seconds, and a model that fits its parameters."""

from collections.abc import Iterator, Mapping
from typing import Any

from greenbench.validate.evidence import Check, Evidence, Row
from greenbench.validate.form import EDITED

SLACK_S = 0.1
"""Processes are accounted in ticks and read one after the other: so much a CPU may be counted too much."""

SHARED_MEMORY = 1.1
"""The processes of a tree count the pages that they share once each."""

LEAST_BYTES = 4e6
"""No process that runs Python takes less."""

MAX_BITS = 128
MAX_BESIDE_BYTES = 1e8
"""What a parameter takes at most, and what is stored with them: vocabulary, configuration, an engine's code."""

CPU_SECONDS = ("cpu_s", "harness_cpu_s", "poller_cpu_s", "foreign_cpu_s")


def _is_on_its_machine(row: Row, evidence: Evidence) -> Iterator[str]:
    """The device is one of the machine's."""
    machine, name = evidence.run["machine"], row.get("device_name")
    if row["device"] == "mps" and machine.get("os") not in (None, "Darwin"):
        yield f"device is mps, which {machine['os']} does not have"
    if row["device"] == "cpu" and name != machine.get("cpu_model"):
        yield f"device_name is {name!r}, in run.json the CPU is {machine.get('cpu_model')!r}"
    if str(row["device"]).startswith("cuda"):
        boards = [str(gpu.get("name")) for gpu in _gpus(machine)]
        if boards and not any(board in str(name) or str(name) in board for board in boards):
            yield f"device_name is {name!r}, in run.json the GPUs are {', '.join(boards)}"


def _gpus(machine: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [gpu for gpu in machine.get("gpus") or () if isinstance(gpu, Mapping)]


def _fits_the_memory(row: Row, evidence: Evidence) -> Iterator[str]:
    """No process is larger than the machine's memory."""
    machine = evidence.run["machine"]
    boards = [gpu["memory_bytes"] for gpu in _gpus(machine) if isinstance(gpu.get("memory_bytes"), (int, float))]
    limits = {"peak_rss_bytes": machine.get("memory_bytes"), "peak_gpu_bytes": sum(boards) or None}
    limits["peak_gpu_allocated_bytes"] = limits["peak_gpu_bytes"]
    for name, limit in limits.items():
        if isinstance(limit, (int, float)) and (row.get(name) or 0) > SHARED_MEMORY * limit:
            yield f"{name} is {row[name]:g}, the machine has {limit:g}"
        elif limit is None and name == "peak_rss_bytes" and row.get(name) is not None:
            yield f"{name} is {row[name]:g}, run.json does not say what memory_bytes the machine has"


def _holds_its_model(row: Row, _evidence: Evidence) -> Iterator[str]:
    """A process is not smaller than an interpreter, nor than half of the model that it holds in the same memory."""
    peak, model = row.get("peak_rss_bytes"), row.get("model_bytes") or 0
    least = max(LEAST_BYTES, model / 2 if row["device"] == "cpu" else 0)
    if peak is not None and peak < least:
        yield f"peak_rss_bytes is {peak:g}, less than a process needs for a model of {model:g} bytes"


def _fits_the_cpus(row: Row, evidence: Evidence) -> Iterator[str]:
    """The CPU seconds of a window are at most its seconds on every CPU."""
    n_cpus = evidence.run["machine"].get("n_cpus_logical")
    if not isinstance(n_cpus, int):
        yield f"run.json does not say how many CPUs the machine has (n_cpus_logical is {n_cpus!r})"
        return
    is_measured = not row.get("process_note") and evidence.run["meters"].get("cpu-time", "absent") is None
    if row.get("cpu_s") is None and is_measured:
        yield "cpu_s is null, and its meter, cpu-time, could measure by run.json"
    most_s = n_cpus * (row["wall_s"] + SLACK_S)
    for name in CPU_SECONDS:
        if (row.get(name) or 0.0) > most_s:
            yield f"{name} is {row[name]:g}: {n_cpus} CPUs have {n_cpus * row['wall_s']:.3g} s in {row['wall_s']:.3g} s"


def _fits_its_parameters(row: Row, _evidence: Evidence) -> Iterator[str]:
    """A model takes at least a bit for each parameter that is not 0, and at most what sixteen bytes each would."""
    n_params, n_bytes = row.get("n_params"), row.get("model_bytes")
    n_nonzero = n_params if row.get("n_nonzero_params") is None else row["n_nonzero_params"]
    if n_params is not None and n_nonzero is not None and n_nonzero > n_params:
        yield f"n_nonzero_params is {n_nonzero}, n_params {n_params}"
    if not n_params or n_bytes is None:
        return
    if 8 * n_bytes < n_nonzero:
        yield f"model_bytes is {n_bytes:g} for {n_nonzero:g} parameters: less than a bit each"
    if 8 * n_bytes > MAX_BITS * n_params + 8 * MAX_BESIDE_BYTES:
        yield f"model_bytes is {n_bytes:g} for {n_params:g} parameters: more than {MAX_BITS} bits each"


def _saw_what_it_accounts(row: Row, evidence: Evidence) -> Iterator[str]:
    """The CPUs were as busy as the row accounts for, its own processes and others': the poller saw that, too."""
    n_cpus = evidence.run["machine"].get("n_cpus_logical")
    busy = [s["cpu.utilisation_pct"] / 100 for part in evidence.samples(row) for s in part[1:-1]
            if "cpu.utilisation_pct" in s]  # fmt: skip
    if not isinstance(n_cpus, int) or row.get("cpu_s") is None or len(busy) < MIN_SAMPLES:
        return
    seen, stated = sum(busy) / len(busy), sum(row.get(name) or 0.0 for name in CPU_SECONDS) / (n_cpus * row["wall_s"])
    if abs(seen - stated) > BUSY_SHARE + SLACK_S / row["wall_s"]:
        yield (
            f"{', '.join(CPU_SECONDS)} are {stated:.0%} of all CPUs, power.jsonl has them {seen:.0%} busy: "
            f"more than {BUSY_SHARE:.0%} apart"
        )


MIN_SAMPLES = 10
"""The fewest samples of the load that are compared with what the row states."""

BUSY_SHARE = 0.1
"""The share of all CPUs by which an account and what was sampled may differ."""


def _says_how_it_was_warmed(row: Row, evidence: Evidence) -> Iterator[str]:
    """A protocol that warms up says so in its rows, so that ``not-warm`` can be decided."""
    if evidence.steps.warmup_batches and row.get("warmup_batches") is None:
        yield f"warmup_batches is null, the protocol asks for at least {evidence.steps.warmup_batches}"


HARDWARE = (
    Check(_is_on_its_machine, EDITED),
    Check(_fits_the_memory, EDITED),
    Check(_holds_its_model, EDITED),
    Check(_fits_the_cpus, EDITED),
    Check(_fits_its_parameters, EDITED),
    Check(_saw_what_it_accounts, EDITED),
    Check(_says_how_it_was_warmed, EDITED),
)
"""What the machine of a run allows in a measured row."""
