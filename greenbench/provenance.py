"""The one table of provenance columns: where the numbers of a row come from, and what rows of one cell agree in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from greenbench.metrics import missing

PROVENANCE: dict[str, str] = {  # one line a column: name, and what it says
    # the plan
    "suite": "name of the suite",
    "suite_hash": "digest of the resolved suite",
    "schema": "version of the row's form",
    "protocol": "protocol, with every step that was overridden",
    "order_index": "place of the cell's process in the order of the run",
    "timestamp_utc": "when the row was written",
    # the model
    "parent": "variant that this one was made from, by name",
    "identity": "what was measured, independent of its name: digest of the weights, then each build",
    "ancestors": "identities of the models that this one was made from, the nearest first",
    "ancestors_from": "who states the ancestors: the model's files, or the suite",
    "steps": "methods applied, in order",
    "decoding": "how the output became text: greedy, or the beam with its language and language model",
    "licence": "licence of the weights",
    "synthetic": "whether the weights are random",
    "training_s": "seconds of the training behind the weights, where the model's folder has them",
    "training_energy_j": "joules of that training",
    "training_energy_method": "whether these joules were counted, sampled or estimated",
    # the computation
    "device_name": "CPU or GPU",
    "threads": "threads of every engine",
    "batching": "how the scenario forms batches: sorted, or single",
    "engine_batching": "how the engine runs a batch: padded together, or one utterance after the other",
    "compute_dtype": "precisions that the model multiplies in, such as fp32+int8",
    "mfu_note": "why mfu_pct is null",
    "timed_region": "what lies between the two reads of the clock",
    "arrivals": "of the server scenario: rate and latency bound asked for",
    "server_probes": "of the server scenario: every rate tried, and whether it met the bound",
    # texts and data
    "normalizer": "normaliser and its version",
    "scorer": "scorer and its version",
    "non_english_pct": "share of the letters in the references that are not English, in percent",
    "data_hash": "digest of the data set: ids, references, lengths and audio, in order",
    "audio_doubts": "what is doubtful about the audio",
    "wer_ci_unit": "population that the interval of WER describes",
    # energy
    "energy_scope": "parts of the machine that energy_j covers",
    "energy_method": "weakest origin among the parts: counter, sampled or estimated",
    "energy_unread": "parts whose meter exists and could not be read in this window",
    "energy_system_method": "origin of energy_system_j: counter, sampled or estimated",
    "energy_system_source": "meter of energy_system_j",
    "energy_system_note": "what limits energy_system_j, or why it is null",
    "energy_cpu_method": "origin of energy_cpu_j",
    "energy_cpu_source": "meter of energy_cpu_j",
    "energy_cpu_note": "what limits energy_cpu_j, or why it is null",
    "energy_dram_method": "origin of energy_dram_j",
    "energy_dram_source": "meter of energy_dram_j",
    "energy_dram_note": "what limits energy_dram_j, or why it is null",
    "energy_gpu_method": "origin of energy_gpu_j",
    "energy_gpu_source": "meter of energy_gpu_j",
    "energy_gpu_note": "what limits energy_gpu_j, or why it is null",
    "energy_gpu_scope": "whether energy_gpu_j covers the device, or a board that others share",
    "peak_rss_source": "how peak_rss_bytes was read",
    "peak_gpu_source": "how peak_gpu_bytes was read",
    "carbon_g_per_kwh": "grid factor stated by the suite",
    "carbon_source": "source of the grid factor",
    "carbon_year": "year of the grid factor",
    "carbon_pue": "power usage effectiveness stated by the suite",
    # the control cell
    "control": "version of the control workload",
    "control_rtfx": "speed of the control, geometric mean of the round's two measurements",
    "control_drift_pct": "change of the control's speed within the round",
    "control_energy_j_per_audio_s": "energy of the control, geometric mean of the round's two measurements",
    "control_energy_method": "origin of that energy",
    "control_note": "why the round has no control figure",
    # the process
    "skipped_for": "why a cell was skipped: what it lacks",
    "n_processes_left": "processes that the model's process left behind",
    "n_windows": "windows that the protocol asks for",
    "cooldown_s": "seconds of rest before the process",
    "cooldown_excess_c": "degrees above the run's start at the end of that rest",
    "warmup_batches": "batches of the warm-up",
    "warmup_s": "seconds of the warm-up",
    "warmup_cv_pct": "coefficient of variation over the last batches of the warm-up",
    "cell_s": "seconds of the whole cell, process start included",
}
"""Name -> meaning. Columns with an ending in ``record.NUMERIC`` hold numbers, the rest texts or booleans."""

PER_ROW = (
    "order_index", "timestamp_utc", "cell_s", "n_windows", "server_probes",
    "control_rtfx", "control_drift_pct", "control_energy_j_per_audio_s", "mfu_note",
    "cooldown_s", "cooldown_excess_c", "warmup_batches", "warmup_s", "warmup_cv_pct",
)  # fmt: skip
"""The columns in which the rows of one cell differ as a matter of course."""


@dataclass(frozen=True)
class Mixed:
    """What the rows of a cell have in a column where they were expected to agree and do not.

    Attributes:
        values: the different values, in the order of the rows; at least two.
    """

    values: tuple[Any, ...]

    def __str__(self) -> str:
        """Return all values for people."""
        return " / ".join(map(str, self.values))


def agreed(values: Sequence[Any]) -> Any:
    """Return the one value of a column, ``Mixed`` where there are several, None where none is known."""
    if values.count(values[0]) == len(values):
        return values[0]
    known = [value for value in values if value is not None]
    distinct = {str(value): value for value in known}
    return Mixed(tuple(distinct.values())) if len(distinct) > 1 else known[0]


def each(value: Any) -> tuple[Any, ...]:
    """Return the values in a column of a cell: none where it is missing, several where it is ``Mixed``."""
    return value.values if isinstance(value, Mixed) else () if missing(value) else (value,)


def as_text(value: Any) -> Any:
    """Return a column's value for JSON and tables: ``Mixed`` as text, any other as it is."""
    return str(value) if isinstance(value, Mixed) else value
