"""What makes a row unfit to rank: each flag has a name, a meaning, and a rule that answers with figures."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from greenbench.meters.energy import SHARED
from greenbench.metrics import METRICS, RESOLVED_S, TICK_S, change_pct
from greenbench.statistics.repeats import cv_pct
from greenbench.suite.protocol import Protocol
from greenbench.text.population import FEW_SPEAKERS, n_speakers

ESTIMATED = "energy-estimated"
"""A row with it ranks by energy among estimates."""

FEW = "few-speakers"
"""A row with it ranks: its interval is as wide as so few speakers make it, and gates and ranks go by the interval."""

RANKABLE = frozenset({ESTIMATED, FEW})
"""The flags that leave a row rankable."""

BY_ENERGY = (ESTIMATED, "energy-unread", "gpu-shared", "idle-missing", "idle-drift")
"""The flags that depend on how energy was read, and on nothing else."""

BY_ACCURACY = (FEW,)
"""The flags that depend on how texts were scored, and on nothing else."""

MAX_FOREIGN_SHARE = 0.1
MAX_HARNESS_SHARE = 0.01
MAX_POLLER_SHARE = 0.05
MAX_DRIFT_C = 10.0
MAX_SPREAD_PCT = 10.0
SPREAD = ("rtfx", "energy_j_per_audio_s")
"""The metrics that must agree over the repeats: those that rank, and that vary from window to window."""

FLAGS = {
    "synthetic-weights": "the weights are random: speed, memory and energy mean something, WER does not",
    ESTIMATED: "energy is modelled, not measured; it ranks among estimates only",
    "energy-unread": "a meter was there, and could not tell the joules of this window",
    "gpu-shared": "the model had a slice of a GPU (MIG, vGPU), and the joules are those of the whole board",
    "not-cool": "the machine was still warmer than the protocol allows when the process began",
    "not-warm": "the pace had not become steady when the warm-up ended",
    "short-window": "the window was shorter than the protocol asks for",
    "idle-missing": "energy was read, and the idle baseline that the protocol asks for was not",
    "idle-drift": "idle power after the window, measured twice, was not what it had been before",
    "throttled": "the CPU or GPU slowed down during the window to cool off, or was braked by its hardware",
    "temperature-drift": "CPU or GPU were more than 10 °C hotter or cooler at the end of the window than at its start",
    "foreign-load": "other processes used more than a tenth of the CPU during the window",
    "gpu-foreign-process": "other processes computed on the GPU at an edge of the window",
    "processes-left": "the model's process left others behind, whose memory and work no figure of the row takes in",
    "trace-lost": "the poller died or was held up: a part of the window has no samples of power, heat and load",
    "harness-busy": "the waiting harness used more than 1 % of a core during the window, or its poller more than 5 %",
    "bound-missed": "the server did not hold its latency bound: at the rate given, or at any that was tried",
    "unstable-text": "passes over the same audio gave different texts",
    FEW: f"fewer than {FEW_SPEAKERS} speakers: they tell little of others, and the interval of WER is conservative",
    "audio-skipped": "bad audio files were left out",
    "audio-doubtful": "audio was read that has words and hardly any sound: channels cancel each other, or it is silent",
    "spread": "speed or energy varied over the repeats with a coefficient of variation above 10 %",
    "few-repeats": "fewer windows were measured than the protocol asks for",
}
"""Flag -> what it means. A flagged row is kept and shown, and not ranked, except with those of ``RANKABLE`` alone."""


@dataclass(frozen=True)
class Measured:
    """What a rule may look at.

    Attributes:
        metrics: the row's metrics.
        provenance: the row's provenance.
        steps: what the protocol asks for.
        n_cpus: CPUs of the machine, all of which foreign processes can use.
        unstable: whether passes over the same audio gave different texts.
    """

    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]
    steps: Protocol
    n_cpus: int
    unstable: bool = False


def flags(row: Measured) -> dict[str, str]:
    """Return the flags of a measured row in the order of the table, each with the figures behind it."""
    found = {name: rule(row) for name, rule in _RULES.items()}
    return {name: found[name] or "" for name in FLAGS if found.get(name) is not None}


def flags_anew(row: Measured, old: Mapping[str, str], which: Collection[str]) -> dict[str, str]:
    """Return the flags of a row some of whose figures have changed since it was measured.

    Args:
        row: as it is now.
        old: the flags that it had, each with its figures.
        which: names from FLAGS: ``BY_ENERGY`` or ``BY_ACCURACY``; only these are decided again.
    """
    raised = {name: text for name, text in flags(row).items() if name in which}
    kept = {name: text for name, text in old.items() if name not in which}
    return {name: (raised | kept)[name] for name in dict.fromkeys([*FLAGS, *kept]) if name in raised | kept}


def flags_of(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the flags that a row has, each with its figures; a row of an earlier version has no notes."""
    return dict(zip(row["flags"], row.get("flag_notes") or [""] * len(row["flags"]), strict=True))


def flags_over_repeats(
    values: Mapping[str, Sequence[float]], n_windows: int, n_windows_asked: int | None
) -> dict[str, str]:
    """Return the flags that a cell gets for all its repeats together, each with the figures behind it.

    Args:
        values: of each metric of ``SPREAD``, one value a window; a single one has no spread.
        n_windows: windows measured, over all rounds.
        n_windows_asked: windows that the protocol asks for; None where a row does not tell.
    """
    spreads = {name: cv_pct(found) for name, found in values.items() if name in SPREAD}
    wide = [f"{METRICS[n].label} {cv:.3g} %" for n, cv in spreads.items() if cv is not None and cv > MAX_SPREAD_PCT]
    raised = {"spread": f"CV of {', '.join(wide)}, at most {MAX_SPREAD_PCT:g} %"} if wide else {}
    if n_windows_asked is not None and n_windows < n_windows_asked:
        raised["few-repeats"] = f"{n_windows} of {n_windows_asked} windows"
    return raised


def flagged(row: Mapping[str, Any], flag: str, note: str) -> dict[str, list[str]]:
    """Return the columns ``flags`` and ``flag_notes`` of a row that gets one flag more."""
    notes = {**dict(zip_longest(row["flags"], row["flag_notes"], fillvalue="")), flag: note}
    names = [name for name in dict.fromkeys([*FLAGS, *notes]) if name in notes]
    return {"flags": names, "flag_notes": [notes[name] for name in names]}


def processes_left(n_left: int) -> str:
    """Say how many processes a cell left behind."""
    return "1 process" if n_left == 1 else f"{n_left} processes"


def explain(names: Sequence[str], notes: Sequence[str]) -> str:
    """Return flags with their figures in one line; a row of an earlier version has no notes."""
    pairs = zip_longest(names, notes[: len(names)], fillvalue="")
    return ", ".join(f"{name} ({note})" if note else name for name, note in pairs)


# --- the rules -------------------------------------------------------------------------------------------
# A rule returns None where the row is fit or where that cannot be told, else the figures (empty: nothing to add).


def _synthetic_weights(row: Measured) -> str | None:
    return "" if row.provenance.get("synthetic") else None


def _energy_estimated(row: Measured) -> str | None:
    return "" if row.provenance.get("energy_method") == "estimated" else None


def _not_cool(row: Measured) -> str | None:
    excess_c, allowed_c = row.provenance.get("cooldown_excess_c"), row.steps.cooldown_within_c
    if excess_c is None or allowed_c is None or excess_c <= allowed_c:
        return None
    waited_s = row.provenance.get("cooldown_s") or 0.0
    return f"{excess_c:.1f} °C above the run's start after {waited_s:.0f} s of rest, at most {allowed_c:g} °C"


def _not_warm(row: Measured) -> str | None:
    n_batches, cv, limit = (
        row.provenance.get("warmup_batches"),
        row.provenance.get("warmup_cv_pct"),
        row.steps.warmup_cv_pct,
    )
    if n_batches is None or limit is None or (cv is not None and cv < limit):
        return None
    spread = "unknown" if cv is None else f"{cv:.3g} %"
    return f"CV of the last 3 warm-up batches {spread} after {n_batches} batches, the protocol asks for < {limit:g} %"


def _short_window(row: Measured) -> str | None:
    wall_s, asked_s = row.metrics["wall_s"], row.steps.window_s
    return f"{wall_s:.3g} s, the protocol asks for {asked_s:g} s" if wall_s < asked_s else None


def _idle_missing(row: Measured) -> str | None:
    energy_j, idle_w = row.metrics.get("energy_j"), row.metrics.get("idle_power_w")
    missing = row.steps.idle_s > 0 and energy_j is not None and idle_w is None
    return f"the protocol asks for {row.steps.idle_s:g} s" if missing else None


def _idle_drift(row: Measured) -> str | None:
    before_w, after_w = row.metrics.get("idle_power_w"), row.metrics.get("idle_power_after_w")
    drift, limit = change_pct(before_w, after_w), row.steps.idle_drift_pct
    if drift is None or limit is None or abs(drift) <= limit:
        return None
    return f"{before_w:.3g} W before, {after_w:.3g} W after ({drift:+.3g} %), at most {limit:g} %"


def _throttled(row: Measured) -> str | None:
    events, seconds = row.metrics.get("n_cpu_throttles"), row.metrics.get("gpu_throttled_s")
    told = [f"the CPU {events:.0f} times"] if events else []
    told += [f"the GPU for {seconds:.3g} s"] if seconds else []
    return " and ".join(told) or None


def _temperature_drift(row: Measured) -> str | None:
    told = []
    for part in ("cpu", "gpu"):
        start_c, end_c = (row.metrics.get(f"{part}_temp_{edge}_c") for edge in ("start", "end"))
        if start_c is not None and end_c is not None and abs(end_c - start_c) > MAX_DRIFT_C:
            told.append(f"{part.upper()} from {start_c:.1f} to {end_c:.1f} °C")
    return ", ".join(told) or None


def _foreign_load(row: Measured) -> str | None:
    if row.metrics["wall_s"] < RESOLVED_S:
        return None
    share = _share(row.metrics.get("foreign_cpu_s"), row.metrics["wall_s"] * row.n_cpus)
    return f"{share:.2%} of all CPUs, at most {MAX_FOREIGN_SHARE:.0%}" if share > MAX_FOREIGN_SHARE else None


def _energy_unread(row: Measured) -> str | None:
    parts = row.provenance.get("energy_unread")
    notes = [f"{part}: {row.provenance.get(f'energy_{part}_note')}" for part in (parts or "").split("+") if part]
    return "; ".join(notes) or None


def _gpu_shared(row: Measured) -> str | None:
    return "" if row.provenance.get("energy_gpu_scope") == SHARED else None


def _gpu_foreign_process(row: Measured) -> str | None:
    n_processes = row.metrics.get("n_gpu_foreign_processes")
    return f"{n_processes:.0f} processes" if n_processes else None


def _harness_busy(row: Measured) -> str | None:
    limits = {"harness": MAX_HARNESS_SHARE, "poller": MAX_POLLER_SHARE}
    used_s, wall_s = {name: row.metrics.get(f"{name}_cpu_s") for name in limits}, row.metrics["wall_s"]
    busy = [name for name, limit in limits.items() if (used_s[name] or 0.0) > max(limit * wall_s, TICK_S)]
    told = [f"the {name} {_share(used_s[name], wall_s):.2%} of a core, at most {limits[name]:.0%}" for name in busy]
    return ", ".join(told) or None


def _processes_left(row: Measured) -> str | None:
    n_left = row.provenance.get("n_processes_left")
    return processes_left(n_left) if n_left else None


def _trace_lost(row: Measured) -> str | None:
    lost_s, wall_s = row.metrics.get("trace_lost_s"), row.metrics["wall_s"]
    return f"{lost_s:.3g} s of {wall_s:.3g} s without a sample" if lost_s else None


def _bound_missed(row: Measured) -> str | None:
    missed = row.provenance.get("arrivals") is not None and row.metrics.get("server_rate_hz") is None
    return str(row.provenance.get("server_probes")) if missed else None


def _unstable_text(row: Measured) -> str | None:
    return "" if row.unstable else None


def _few_speakers(row: Measured) -> str | None:
    n = n_speakers(row.provenance.get("wer_ci_unit"))
    return f"{n} speaker{'s' * (n != 1)}" if n is not None and n < FEW_SPEAKERS else None


def _audio_skipped(row: Measured) -> str | None:
    n_skipped = row.metrics.get("n_skipped")
    return f"{n_skipped} files" if n_skipped else None


def _audio_doubtful(row: Measured) -> str | None:
    return row.provenance.get("audio_doubts") or None


def _share(used_s: float | None, available_s: float) -> float:
    """Return the used share; what is unknown raises no flag."""
    return 0.0 if used_s is None or available_s <= 0 else used_s / available_s


_RULES: dict[str, Callable[[Measured], str | None]] = {
    "synthetic-weights": _synthetic_weights,
    "energy-estimated": _energy_estimated,
    "energy-unread": _energy_unread,
    "gpu-shared": _gpu_shared,
    "not-cool": _not_cool,
    "not-warm": _not_warm,
    "short-window": _short_window,
    "idle-missing": _idle_missing,
    "idle-drift": _idle_drift,
    "throttled": _throttled,
    "temperature-drift": _temperature_drift,
    "foreign-load": _foreign_load,
    "gpu-foreign-process": _gpu_foreign_process,
    "processes-left": _processes_left,
    "trace-lost": _trace_lost,
    "harness-busy": _harness_busy,
    "bound-missed": _bound_missed,
    "unstable-text": _unstable_text,
    FEW: _few_speakers,
    "audio-skipped": _audio_skipped,
    "audio-doubtful": _audio_doubtful,
}
"""Flag -> its rule for one row; the flags left out need all repeats of a cell."""
