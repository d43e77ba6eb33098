"""The one table of provenance columns: where the numbers of a row come from, and what rows of one cell agree in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from greenbench.metrics import missing


@dataclass(frozen=True)
class Column:
    """One column that says where the numbers of a row come from.

    Attributes:
        kind: what it holds: a text, a number, a whole number, true or false (``flag``), or a time as text of ISO 8601.
        about: what the column says.
        varies: the rows of one cell differ in it as a matter of course.
    """

    kind: Literal["text", "number", "whole", "flag", "time"]
    about: str
    varies: bool = False


PROVENANCE: dict[str, Column] = {  # one line a column
    # the plan
    "suite": Column("text", "name of the suite"),
    "suite_hash": Column("text", "digest of the resolved suite"),
    "schema": Column("whole", "version of the row's form"),
    "protocol": Column("text", "protocol, with every step that was overridden"),
    "task": Column("text", "what was asked of the model: to transcribe, where the row does not say it"),
    "order_index": Column("whole", "place of the cell's process in the order of the run", varies=True),
    "timestamp_utc": Column("time", "when the row was written", varies=True),
    # the model
    "parent": Column("text", "variant that this one was made from, by name"),
    "identity": Column("text", "what was measured, independent of its name: digest of the weights, then each build"),
    "ancestors": Column("text", "identities of the models that this one was made from, the nearest first"),
    "ancestors_from": Column("text", "who states the ancestors: the model's files, or the suite"),
    "steps": Column("text", "methods applied, in order"),
    "calibration": Column("text", "speech that the build was calibrated on, and the digest of what was taken from it"),
    "decoding": Column("text", "how the output became text: greedy, or the beam with its language and language model"),
    "licence": Column("text", "licence of the weights"),
    "weights_package": Column("text", "installed package that brought the weights, with its version"),
    "synthetic": Column("flag", "whether the weights are random"),
    "training_s": Column("number", "seconds of the training behind the weights, where the model's folder has them"),
    "training_energy_j": Column("number", "joules of that training"),
    "training_energy_method": Column("text", "whether these joules were counted, sampled or estimated"),
    # the computation
    "device_name": Column("text", "CPU or GPU"),
    "threads": Column("whole", "threads of every engine"),
    "batching": Column("text", "how the scenario forms batches: sorted, or single"),
    "engine_batching": Column("text", "how the engine runs a batch: padded together, or one utterance after the other"),
    "compute_dtype": Column("text", "precisions that the model multiplies in, such as fp32+int8"),
    "mfu_note": Column("text", "why mfu_pct is null", varies=True),
    "timed_region": Column("text", "what lies between the two reads of the clock"),
    "arrivals": Column("text", "of the server scenario: rate and latency bound asked for"),
    "server_probes": Column(
        "text", "of the server scenario: each rate tried, and whether it met the bound", varies=True
    ),
    "streamed_by": Column("text", "of the streaming scenario: how the model was streamed"),
    "chunk_s": Column("number", "of the streaming scenario: seconds of a chunk"),
    "pace": Column("text", "of the streaming scenario: real-time where speech was waited for, or simulated"),
    "finalise": Column("text", "of the streaming scenario: when the final text is asked for"),
    "streams": Column("text", "of the streaming scenario: streams at once, or the bound of the search for the most"),
    "stream_probes": Column(
        "text", "of a search for the most streams: each number tried, and whether it held the bound", varies=True
    ),
    "onset_source": Column("text", "of the streaming scenario: what counts as the onset of speech"),
    "word_times_source": Column(
        "text",
        "of the streaming scenario: who states when words end, with a digest of the times, or of the aligner's weights",
    ),
    "word_latency_note": Column("text", "of the streaming scenario: why word latencies are null, or lack utterances"),
    # texts and data
    "normalizer": Column("text", "normaliser and its version"),
    "scorer": Column("text", "scorer and its version"),
    "primary": Column("text", "error rate that decides: wer or cer, as the suite asks; eer of detect and verify"),
    "non_english_pct": Column("number", "share of the letters in the references that are not English, in percent"),
    "data_hash": Column("text", "digest of the data set: ids, references, lengths and audio, in order"),
    "corruption": Column(
        "text", "what was done to the audio: speed, room, noise at its ratio of powers, gain, telephone"
    ),
    "audio_doubts": Column("text", "what is doubtful about the audio"),
    "wer_ci_unit": Column("text", "population that the intervals of error rates describe"),
    "wer_slice": Column("text", "slice that wer_worst_slice is of"),
    "cer_slice": Column("text", "slice that cer_worst_slice is of"),
    "slice_note": Column("text", "why a figure of the worst slice, or its interval, is null"),
    "orthography_note": Column("text", "of the scorer punctuation: why a figure of punctuation or case is null"),
    # energy
    "energy_scope": Column("text", "parts of the machine that energy_j covers"),
    "energy_method": Column("text", "weakest origin among the parts: counter, sampled or estimated"),
    "energy_unread": Column("text", "parts whose meter exists and could not be read in this window"),
    "energy_system_method": Column("text", "origin of energy_system_j: counter, sampled or estimated"),
    "energy_system_source": Column("text", "meter of energy_system_j"),
    "energy_system_note": Column("text", "what limits energy_system_j, or why it is null"),
    "energy_cpu_method": Column("text", "origin of energy_cpu_j"),
    "energy_cpu_source": Column("text", "meter of energy_cpu_j"),
    "energy_cpu_note": Column("text", "what limits energy_cpu_j, or why it is null"),
    "energy_dram_method": Column("text", "origin of energy_dram_j"),
    "energy_dram_source": Column("text", "meter of energy_dram_j"),
    "energy_dram_note": Column("text", "what limits energy_dram_j, or why it is null"),
    "energy_gpu_method": Column("text", "origin of energy_gpu_j"),
    "energy_gpu_source": Column("text", "meter of energy_gpu_j"),
    "energy_gpu_note": Column("text", "what limits energy_gpu_j, or why it is null"),
    "energy_gpu_scope": Column("text", "whether energy_gpu_j covers the device, or a board that others share"),
    "peak_rss_source": Column("text", "how peak_rss_bytes was read"),
    "peak_gpu_source": Column("text", "how peak_gpu_bytes was read"),
    "carbon_g_per_kwh": Column("number", "grid factor: stated by the suite, or of the hour"),
    "carbon_source": Column("text", "source of the grid factor"),
    "carbon_year": Column("whole", "year of the grid factor"),
    "carbon_zone": Column("text", "where the grid factor of the hour was asked for; null where the suite states one"),
    "carbon_time_utc": Column("time", "when it was asked for, before the cell", varies=True),
    "carbon_note": Column("text", "why there is no grid factor of the hour", varies=True),
    "carbon_pue": Column("number", "power usage effectiveness stated by the suite"),
    "price_per_hour": Column("number", "price of an hour of the machine stated by the suite"),
    "price_currency": Column("text", "currency of that price"),
    "price_source": Column("text", "source of that price"),
    # the control cell
    "control": Column("text", "version of the control workload"),
    "control_rtfx": Column("number", "speed of the control, geometric mean of the two", varies=True),
    "control_drift_pct": Column("number", "change of the control's speed within the round", varies=True),
    "control_energy_j_per_audio_s": Column("number", "energy of the control, geometric mean of the two", varies=True),
    "control_energy_method": Column("text", "origin of that energy"),
    "control_note": Column("text", "why the round has no control figure"),
    # the process
    "skipped_for": Column("text", "why a cell was skipped: what it lacks"),
    "process_note": Column("text", "why memory, CPU seconds and load time are null"),
    "n_processes_left": Column("whole", "processes that the model's process left behind"),
    "exclusive": Column("flag", "whether others, by the lock and the scheduler, were kept from the machine meanwhile"),
    "n_windows": Column("whole", "windows that the protocol asks for", varies=True),
    "cooldown_s": Column("number", "seconds of rest before the process", varies=True),
    "cooldown_excess_c": Column("number", "degrees above the run's start at the end of that rest", varies=True),
    "warmup_batches": Column("whole", "batches of the warm-up", varies=True),
    "warmup_s": Column("number", "seconds of the warm-up", varies=True),
    "warmup_cv_pct": Column("number", "coefficient of variation over the last batches of the warm-up", varies=True),
    "cell_s": Column("number", "seconds of the whole cell, process start included", varies=True),
}
"""Name -> the column; it ends with its unit where it has one."""


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
    """Return a column's value for JSON and tables: ``Mixed`` and times as text, any other as it is."""
    if isinstance(value, datetime) and not missing(value):
        return value.isoformat()
    return str(value) if isinstance(value, Mixed) else value
