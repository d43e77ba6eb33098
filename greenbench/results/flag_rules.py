"""The rule behind each flag of a row: the figures that make it unfit to rank, or None where it is fit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from greenbench.meters.energy import SHARED, part_column
from greenbench.metrics import RESOLVED_S, TICK_S, change_pct
from greenbench.suite.protocol import Protocol
from greenbench.text.population import FEW_SPEAKERS, n_speakers

MAX_FOREIGN_SHARE = 0.1
MAX_HARNESS_SHARE = 0.01
MAX_POLLER_SHARE = 0.05
MAX_DRIFT_C = 10.0


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


def processes_left(n_left: int) -> str:
    """Say how many processes a cell left behind."""
    return "1 process" if n_left == 1 else f"{n_left} processes"


# --- the rules -------------------------------------------------------------------------------------------
# A rule returns None where the row is fit or where that is unknown, else the figures (empty: nothing to add).


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
    parts = [f"the CPU {events:.0f} times"] if events else []
    parts += [f"the GPU for {seconds:.3g} s"] if seconds else []
    return " and ".join(parts) or None


def _temperature_drift(row: Measured) -> str | None:
    parts = []
    for part in ("cpu", "gpu"):
        start_c, end_c = (row.metrics.get(f"{part}_temp_{edge}_c") for edge in ("start", "end"))
        if start_c is not None and end_c is not None and abs(end_c - start_c) > MAX_DRIFT_C:
            parts.append(f"{part.upper()} from {start_c:.1f} to {end_c:.1f} °C")
    return ", ".join(parts) or None


def _foreign_load(row: Measured) -> str | None:
    if row.metrics["wall_s"] < RESOLVED_S:
        return None
    share = min(1.0, _share(row.metrics.get("foreign_cpu_s"), row.metrics["wall_s"] * row.n_cpus))  # clocks differ
    return f"{share:.2%} of all CPUs, at most {MAX_FOREIGN_SHARE:.0%}" if share > MAX_FOREIGN_SHARE else None


def _energy_unread(row: Measured) -> str | None:
    parts = row.provenance.get("energy_unread")
    notes = [f"{part}: {row.provenance.get(part_column(part, 'note'))}" for part in (parts or "").split("+") if part]
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
    shares = [f"the {name} {_share(used_s[name], wall_s):.2%} of a core, at most {limits[name]:.0%}" for name in busy]
    return ", ".join(shares) or None


def _node_shared(row: Measured) -> str | None:
    return "" if row.provenance.get("exclusive") is False else None


def _processes_left(row: Measured) -> str | None:
    n_left = row.provenance.get("n_processes_left")
    return processes_left(n_left) if n_left else None


def _trace_lost(row: Measured) -> str | None:
    lost_s, wall_s = row.metrics.get("trace_lost_s"), row.metrics["wall_s"]
    return f"{lost_s:.3g} s of {wall_s:.3g} s without a sample" if lost_s else None


def _bound_missed(row: Measured) -> str | None:
    if row.provenance.get("arrivals") is not None and row.metrics.get("server_rate_hz") is None:
        return str(row.provenance.get("server_probes"))
    tried = str(row.provenance.get("stream_probes") or "")
    return tried if tried.startswith("1 at once missed") else None


def _few_utterances(row: Measured) -> str | None:
    tried = str(row.provenance.get("stream_probes") or "")
    return tried.rpartition("; ")[2] if tried and " missed " not in tried else None


def _not_streaming(row: Measured) -> str | None:
    return "" if row.metrics.get("final_only_pct") == 100 else None


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


RULES: dict[str, Callable[[Measured], str | None]] = {
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
    "node-shared": _node_shared,
    "processes-left": _processes_left,
    "trace-lost": _trace_lost,
    "harness-busy": _harness_busy,
    "bound-missed": _bound_missed,
    "few-utterances": _few_utterances,
    "not-streaming": _not_streaming,
    "unstable-text": _unstable_text,
    "few-speakers": _few_speakers,
    "audio-skipped": _audio_skipped,
    "audio-doubtful": _audio_doubtful,
}
"""Flag -> its rule for one row; the flags left out need all repeats of a cell."""
