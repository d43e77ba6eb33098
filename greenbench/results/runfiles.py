"""What each file of a run may hold: one form a file, by which workers' messages, readers and ``validate`` judge it."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from greenbench.files.forms import (
    ANY,
    FLAG,
    TEXT,
    Form,
    Schema,
    count,
    each,
    either,
    form,
    number,
    one_of,
    or_null,
    record,
    several,
    text,
    whole,
)
from greenbench.metrics import ACCURACY, METRICS
from greenbench.plugins import traces
from greenbench.provenance import PROVENANCE
from greenbench.results.record import KEYS, MEASURED, STATUSES, columns, wrong_status

RUN, RECORDS, HYPOTHESES, SCORES = "run.json", "records.jsonl", "hypotheses.jsonl", "scores.jsonl"
POWER, WINDOWS, CONTROL = "power.jsonl", "windows.jsonl", "control.jsonl"

FILES: dict[str, str] = {
    RUN: "the resolved suite, every step of the protocol, versions, git state, the machine, which meters answer",
    RECORDS: "one row per cell and repeat",
    HYPOTHESES: "reference and hypothesis of every utterance, not normalised, with its latency; of the first streamed "
    "ones also each text that was `shown`, with its time",
    SCORES: "the same texts under other normalisers and scorers: `also_score`, `greenbench rescore`",
    POWER: "samples of power, temperature, frequency and load, with the times before and after each read",
    WINDOWS: "when each window and idle baseline began and ended, on one monotonic clock and in UTC; seconds a pass",
    CONTROL: "one line per measurement of the control cell, or why there is none",
    "suite.yaml": "the suite that `run --model --data` made; `greenbench run suite.yaml` measures the same again",
    "report.html": "the page",
    "logs/": "what the process of a failed cell printed",
}
"""What a run's folder holds, by name; all but the first two are there only where they have something to say."""

Row = dict[str, Any]

SCORED = ("wer_ci_unit", "wer_slice", "cer_slice", "slice_note", "orthography_note")
"""The provenance that goes with metrics of accuracy."""

SIGNED = (
    "energy_net_j", "cooldown_excess_c", "control_drift_pct", "wer_slice_gap", "cer_slice_gap", "first_partial_p50_s",
    "first_partial_p90_s", "word_latency_p50_s", "word_latency_p90_s", "word_latency_mean_s", "emission_delay_s",
)  # fmt: skip
"""Columns that may be below 0, in addition to metrics that are temperatures."""

MAX_TEXT = 250_000
"""Characters of the text of one utterance: about 4 hours of speech. A line with two such texts is within
``Limits.max_line_bytes``."""

# --- rows ------------------------------------------------------------------------------------------------


def _metric(name: str) -> Schema:
    if name.startswith("n_"):
        return whole()
    return number() if METRICS[name].unit == "°C" or name in SIGNED else number(0)


def _origin(name: str) -> Schema:
    kinds = {
        "text": TEXT,
        "flag": FLAG,
        "time": TEXT,
        "whole": whole(),
        "number": number() if name in SIGNED else number(0),
    }
    return kinds[PROVENANCE[name].kind]


KEY: dict[str, Schema] = {
    **dict.fromkeys(KEYS[:5], TEXT), "batch_size": count(1), "round": count(), "repeat": or_null(count()),
}  # fmt: skip
_ROW = record(
    {**KEY, "status": one_of(STATUSES)},
    {"reason": TEXT, **{name: _metric(name) for name in METRICS}, **{name: _origin(name) for name in PROVENANCE}},
    {"flags": several(TEXT), "flag_notes": several(TEXT)},
)
_WORD: dict[str, Schema] = {"word": TEXT, "start_s": number(0), "end_s": number(0)}
_UTTERANCE: dict[str, Schema] = {
    "speaker": TEXT, "audio_s": number(0), "audio_digest": TEXT, "slices": each(TEXT),
    "terms": several(TEXT), "words": several(record(_WORD)), "latency_s": number(0),
    "shown": several(record({"time_s": number(0), "text": text(MAX_TEXT)})),
}  # fmt: skip
_TEXT_PAIR: dict[str, Schema] = {**KEY, "utterance_id": TEXT, "reference": text(MAX_TEXT), "hypothesis": text(MAX_TEXT)}
MAX_PASSES = 100
"""Of a window, the passes whose seconds are kept."""

_PASSES: dict[str, Schema] = {"pass_s": several(number(0), 1, MAX_PASSES)}
_EDGES: dict[str, Schema] = {
    **KEY, "kind": one_of(("window", "idle")), "t_s": number(), "utc_s": number(),
    "segments": several(several(number(), 2, 2), 1),
}  # fmt: skip


def _noted(row: Mapping[str, Any]) -> Iterator[str]:
    """Each flag of a row has its note, where there are any."""
    n_flags, n_notes = len(row.get("flags", ())), len(row.get("flag_notes", ()))
    if n_notes not in (0, n_flags):
        yield f"flag_notes: {n_flags} notes on the flags are expected, not {n_notes}"


def _ordered(edges: Mapping[str, Any]) -> Iterator[str]:
    times = [time for segment in edges["segments"] for time in segment]
    if times != sorted(times):
        yield "segments: times are expected in order"


# --- run.json --------------------------------------------------------------------------------------------

_SETTINGS = each(ANY)
_TEXTS = each(or_null(TEXT))
_RATES = ("rtfx", "rtfx_min", "rtfx_max")
_CONTROLS = {
    "control": TEXT, **dict.fromkeys(_RATES, or_null(number(0))), "n_measured": count(), "reasons": several(TEXT),
}  # fmt: skip
_GPU = {"name": TEXT, "driver": TEXT, "memory_bytes": number(0), "power_limit_w": number(0)}
_MACHINE = {
    **dict.fromkeys(("os", "kernel", "python", "cpu_model", "cpu_governor"), TEXT),
    **dict.fromkeys(("n_cpu_packages", "n_cpus_physical", "n_cpus_logical", "n_cpus_usable"), count()),
    "memory_bytes": number(0), "turbo": FLAG, "virtualised": FLAG, "gpus": several(record({}, _GPU)),
}  # fmt: skip
_NAMED = several(record({"name": TEXT}))
_SUITE = {
    "name": TEXT, "description": TEXT, "protocol": _SETTINGS, "datasets": _NAMED, "variants": _NAMED,
    "devices": several(TEXT), "scenarios": several(TEXT), "batch_sizes": several(count(1)), "threads": count(1),
    "normalizer": TEXT, "primary": TEXT, "also_score": several(TEXT), "estimate_energy": FLAG, "trace_hz": number(0),
    "timeout_s": number(0), "control": FLAG,
    **dict.fromkeys(("server", "streaming", "carbon", "price", "meters"), _SETTINGS),
}  # fmt: skip
_RUN = {
    "run_id": TEXT, "schema": count(1), **dict.fromkeys(("name", "description", "started_utc", "suite_hash"), TEXT),
    "command": either([TEXT, several(TEXT)], "a text"), "only": TEXT,
    "protocol": _SETTINGS, "versions": _TEXTS, "meters": _TEXTS,
    "machine": record({}, _MACHINE), "git": record({}, {"commit": TEXT, "dirty": FLAG}),
    "cooldown": record({}, {"rule": TEXT, "start": each(number())}),
    "harness_overhead": record({}, {"s_per_batch": number(0), "s_per_window": number(0)}),
    "control": each(record(_CONTROLS)), "peaks": each(record({})),
}  # fmt: skip


def described(needed: Collection[str] = ("run_id",), stated: Collection[str] = ()) -> Schema:
    """Return what ``run.json`` must be.

    Args:
        needed: keys that it must have.
        stated: keys that its suite must have; where ``protocol`` is one, it must name the protocol.
    """
    suite = {**_SUITE, "protocol": record({"use": TEXT}) if "protocol" in stated else _SETTINGS}
    run = {**_RUN, "suite": record({name: or_null(suite.pop(name)) for name in stated}, suite)}
    return record({name: run.pop(name) for name in needed}, run)


# --- the others ------------------------------------------------------------------------------------------

is_key = form(record(KEY))
"""Judges the keys that a line begins with."""

FORMS: dict[str, Form] = {
    RUN: form(described()),
    RECORDS: form(_ROW, _noted),
    HYPOTHESES: form(record(_TEXT_PAIR, _UTTERANCE)),
    SCORES: form(record(
        {**KEY, "normalizer": TEXT, "scorer": TEXT},
        {"non_english_pct": number(0), **dict.fromkeys(SCORED, TEXT), **{name: _metric(name) for name in ACCURACY}},
    )),
    WINDOWS: form(record(_EDGES, _PASSES), _ordered),
    CONTROL: form(record(
        {**dict.fromkeys(("edge", "device", "control"), TEXT), **dict.fromkeys(("session", "round"), count())},
        {"timestamp_utc": TEXT, "rtfx": number(0), "energy_j_per_audio_s": number(0),
         **dict.fromkeys(("energy_method", "energy_scope", "reason"), TEXT)},
    )),
    POWER: traces.line_faults,
}  # fmt: skip
"""File -> what it holds as a whole, or in each line."""

UNKNOWN: dict[str, Row] = {
    RECORDS: dict.fromkeys(("reason", *METRICS, *PROVENANCE)) | {"flags": [], "flag_notes": []},
    HYPOTHESES: dict.fromkeys(_UTTERANCE),
    SCORES: dict.fromkeys((*SCORED, *ACCURACY)),
    WINDOWS: dict.fromkeys(_PASSES),
    CONTROL: dict.fromkeys(("rtfx", "energy_j_per_audio_s", "energy_method", "energy_scope", "reason")),
}
"""Columns that earlier versions did not write: they are unknown."""

COLUMNS = {RECORDS: columns(), HYPOTHESES: [*_TEXT_PAIR, *_UTTERANCE], WINDOWS: [*_EDGES, *_PASSES]}
"""What this version writes in each row of the files that workers fill."""


def unstorable(file: str, row: Mapping[str, Any]) -> list[str]:
    """Say what keeps a row from being written: it has other columns, or values, than this version writes.

    Args:
        file: one of ``COLUMNS``.
        row: the row.
    """
    other = set(row) ^ set(COLUMNS[file])
    if other:
        return [f"its columns are not those of a row ({', '.join(sorted(map(str, other))[:3])})"]
    found = FORMS[file](row)
    if found or file != RECORDS:
        return found
    return list(wrong_status(row)) or [
        f"{name}: a number above 0 is expected, not {row[name]!r}"
        for name in MEASURED
        if row["status"] == "ok" and row[name] <= 0
    ]
