"""How a row comes about: what a window gave, turned into metrics, provenance and flags."""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from greenbench import tasks
from greenbench.datasets.corpus import DatasetStats
from greenbench.hardware.roofline import share
from greenbench.harness import most_streams, server, streams
from greenbench.harness.idle import WarmUp
from greenbench.harness.job import Job
from greenbench.harness.search import highest
from greenbench.harness.window import Window
from greenbench.harness.word_times import Aligned
from greenbench.meters import energy
from greenbench.metrics import COST, cost_per_audio_hour, padding_pct, ratio
from greenbench.plugins import Reading, Variant
from greenbench.results import flag_rules, flags
from greenbench.results.record import SCHEMA, Record, Status, to_row
from greenbench.results.runfiles import MAX_PASSES, RECORDS, unstorable
from greenbench.statistics.percentiles import median, upper_bound
from greenbench.suite import scenarios
from greenbench.suite.descent import origin
from greenbench.suite.entries import build_variant, task_of
from greenbench.suite.plan import content_hash
from greenbench.suite.protocol import label
from greenbench.suite.scenarios import BATCHING


@dataclass(frozen=True)
class CellFacts:
    """What the rows of a cell have in common, known once its model is loaded.

    Attributes:
        model: provenance of the variant that was loaded, from ``described``.
        stats: of the data set.
        engine_batching: how the engine runs a batch.
        device_name: product name of the device.
        metrics: load time, first utterance, idle power and size.
        compute_dtype: the precisions that the engine multiplies in.
        decoding: how the loaded model's output becomes text.
        streamed_by: how the model is streamed; None where it is not.
        aligned: the times of words, where they were aligned.
        done: provenance of the steps around the window.
        unmeasured: by metric, why no meter reads it of this model.
    """

    model: Mapping[str, Any]
    stats: DatasetStats
    engine_batching: str
    device_name: str | None
    metrics: Mapping[str, float | int | None]
    compute_dtype: str | None = None
    decoding: str | None = None
    streamed_by: str | None = None
    aligned: Aligned | None = None
    done: Mapping[str, float | int | None] = field(default_factory=dict)
    unmeasured: Mapping[str, str] = field(default_factory=dict)


def with_idle_power(facts: CellFacts, warmth: WarmUp, idle_w: float | None, idle_after_w: float | None) -> CellFacts:
    """Add what was done around one of the cell's windows: idle power before and after, and the warm-up."""
    powers = {"idle_power_w": idle_w, "idle_power_after_w": idle_after_w}
    return replace(facts, metrics={**facts.metrics, **powers}, done=asdict(warmth))


def not_measured(job: Job, status: Status, reason: str, skipped_for: str | None = None) -> Record:
    """Return the row of a cell that gave no (further) window.

    Args:
        job: the cell.
        status: ``error`` or ``skipped``.
        reason: why.
        skipped_for: from ``shortfall.SKIPS``.
    """
    model = described(job, build_variant(job.cell.variant))
    return Record(job.key(None), status, reason, provenance={**_planned(job), **model, "skipped_for": skipped_for})


def failed(job: Job, reason: str) -> Record:
    """Return the row of a failure; a plug-in that cannot describe itself has none of its provenance.

    Args:
        job: the cell.
        reason: why.
    """
    bare = Record(job.key(None), "error", reason, provenance={"order_index": job.order_index})
    with suppress(Exception):  # the plug-in's own
        complete = not_measured(job, "error", reason)
        return bare if unstorable(RECORDS, to_row(complete)) else complete
    return bare


def measured(job: Job, repeat: int, facts: CellFacts, window: Window) -> Record:
    """Derive the row of one window."""
    accuracy, scored = _accuracy(job, window, bool(facts.model["synthetic"]))
    speed = _speed(window)
    how = facts.streamed_by
    streaming, streamed = ({}, {}) if how is None else streams.columns(window, how, job.suite.streaming, facts.aligned)
    work = facts.metrics.get("macs_per_audio_s")
    mfu_pct, mfu_note = share(work, speed["rtfx"], job.peaks, facts.compute_dtype)
    cost = cost_per_audio_hour(job.suite.price.per_hour if job.suite.price else None, speed["rtfx"])
    metrics = {**_metrics(job, facts, window), **speed, **streaming, "mfu_pct": mfu_pct, COST: cost, **accuracy}
    provenance = {**_provenance(job, facts, window), **streamed, **scored, "mfu_note": mfu_note}
    steps = job.suite.protocol
    raised = flags.flags(flag_rules.Measured(metrics, provenance, steps, os.cpu_count() or 1, window.unstable))
    return Record(job.key(repeat), "ok", None, tuple(raised), metrics, provenance, tuple(raised.values()))


def _metrics(job: Job, facts: CellFacts, window: Window) -> dict[str, Any]:
    """Return what the meters read, what follows from it, and what was known before the window."""
    idle_w, carbon = facts.metrics.get("idle_power_w"), _factor(job)
    return {
        **facts.metrics,
        **{name: quantity.value for name, quantity in window.reading.quantities.items()},
        "padding_pct": _padding_pct(facts, window),
        **energy.derived(job.cell.device, window.reading, idle_w, window.audio_s, carbon),
        "trace_lost_s": _trace_lost_s(job, window.reading),
        "n_utterances": facts.stats.n_utterances,
        "n_skipped": len(facts.stats.skipped),
    }


def _provenance(job: Job, facts: CellFacts, window: Window) -> dict[str, Any]:
    """Return what was planned, what the model and the engine are, and where each reading comes from."""
    return {
        **_planned(job),
        **facts.model,
        **facts.done,
        **_peaks(window.reading),
        **energy.provenance(job.cell.device, window.reading),
        "exclusive": job.exclusive,
        "batching": BATCHING[job.cell.scenario],
        "server_probes": None if window.streams else server.summary(window.probes) or None,
        "stream_probes": (most_streams.summary(window.probes) or None) if window.streams else None,
        "engine_batching": facts.engine_batching,
        "compute_dtype": facts.compute_dtype,
        "decoding": facts.decoding,
        "device_name": facts.device_name,
        "data_hash": facts.stats.data_hash,
        "audio_doubts": _doubts(facts.stats),
        "cell_s": time.perf_counter() - job.started_s,
        "timestamp_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _doubts(stats: DatasetStats) -> str | None:
    """Say what audio was warned of: the first, and how many there are."""
    n_more = len(stats.doubts) - 1
    return stats.doubts[0] + (f" (and {n_more} more)" if n_more else "") if stats.doubts else None


def hypotheses(job: Job, repeat: int, window: Window) -> list[dict[str, Any]]:
    """Return the raw texts of a window's first pass, one row an utterance, in the order of the data set.

    Of the first streamed ones, each text that was shown is in ``shown``.
    """
    latency_s = dict(reversed(window.latencies_s))  # the first pass wins
    shown = streams.shown(window)
    return [
        {
            **job.key(repeat),
            **asdict(spoken),
            "hypothesis": window.texts[spoken.utterance_id],
            "latency_s": latency_s.get(spoken.utterance_id),
            "shown": shown.get(spoken.utterance_id),
        }
        for spoken in window.spoken
    ]


def window_edges(job: Job, repeat: int | None, reading: Reading, pass_s: Sequence[float] = ()) -> dict[str, Any]:
    """Return the times of a window (of the idle baseline where ``repeat`` is None), with which logs are aligned later.

    ``segments`` are on the monotonic clock; ``t_s`` and ``utc_s`` are one moment on that clock and in UTC. ``pass_s``
    are the seconds of the first passes; null for an idle baseline, and for a server, whose batches wait for arrivals.
    """
    now = {"t_s": time.perf_counter(), "utc_s": time.time()}
    kind = "idle" if repeat is None else "window"
    kept_s = None if job.cell.scenario == "server" else list(pass_s[:MAX_PASSES]) or None
    return {"kind": kind, **job.key(repeat), "segments": reading.segments, "pass_s": kept_s, **now}


def _speed(window: Window) -> dict[str, Any]:
    seconds = [s for _, s in window.latencies_s]
    complete = len(seconds) == window.n_passes * len(window.spoken)  # a last batch of one is no latency sample
    complete &= not window.streams  # their latencies have columns of their own
    return {
        "audio_s": window.audio_s,
        "n_passes": window.n_passes,
        "rtfx": ratio(window.audio_s, window.reading.value("wall_s")),
        "latency_p50_s": median(seconds) if complete else None,
        **{f"latency_p{pct}_s": upper_bound(seconds, pct) if complete else None for pct in (90, 95, 99)},
        "server_rate_hz": None if window.streams else highest(window.probes),
        "max_streams": most_streams.found(window.probes) if window.streams else None,
    }


def _trace_lost_s(job: Job, reading: Reading) -> float | None:
    """Return the seconds of the window without samples, or None where the suite asks for none."""
    return None if job.trace is None else job.trace.lost_s(reading.segments)


def _padding_pct(facts: CellFacts, window: Window) -> float | None:
    """Return how much of what was computed is padding, where the engine runs a batch together."""
    return padding_pct(window.audio_s, window.padded_s) if facts.engine_batching == "padded" else None


def _factor(job: Job) -> tuple[float, float] | None:
    carbon = job.suite.carbon
    factor = job.grid.get("carbon_g_per_kwh", carbon and carbon.g_per_kwh)
    return (factor, carbon.pue) if carbon and factor is not None else None


def _accuracy(job: Job, window: Window, is_synthetic: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Score the first pass; random weights have no accuracy."""
    from greenbench.text import normalizers, scorers

    task, scoring = tasks.create(task_of(job.cell.dataset.use)), job.suite.normalizer
    foreign = normalizers.non_english_pct(spoken.reference for spoken in window.spoken)
    scored = {**task.counted_by(scoring), "non_english_pct": foreign}
    if is_synthetic:
        return {}, scored
    texts = [scorers.text_pair({**vars(spoken), "hypothesis": window.texts[spoken.utterance_id]})
             for spoken in window.spoken]  # fmt: skip
    metrics, origin = task.score(texts, scoring)
    return metrics, {**scored, **origin}


def _peaks(reading: Reading) -> dict[str, str]:
    """Name the origin of each high-water mark that was read."""
    kinds = [kind for kind in ("rss", "gpu") if f"peak_{kind}_bytes" in reading.quantities]
    return {f"peak_{kind}_source": reading.quantities[f"peak_{kind}_bytes"].source for kind in kinds}


def described(job: Job, variant: Variant) -> dict[str, Any]:
    """Return the provenance of a cell's model: ancestry, steps, licence, training, and whether its weights are random.

    Args:
        job: the cell.
        variant: the one that is loaded. Built anew it may be another: ``weights: available`` asks what is here now.
    """
    ancestry = origin(job.cell.variant, variant, job.suite.variants)
    return {
        **{name: value for name, value in ancestry.items() if name != "variant"},
        "steps": "+".join(variant.steps) or None,
        "licence": variant.info.licence,
        "weights_package": variant.info.weights_package,
        "process_note": variant.unmeasured.get("peak_rss_bytes"),
        "synthetic": variant.info.synthetic,
        "training_s": variant.info.training_s,
        "training_energy_j": variant.info.training_energy_j,
        "training_energy_method": variant.info.training_energy_method,
    }


def _planned(job: Job) -> dict[str, Any]:
    """Return the provenance that is known before anything runs."""
    suite, name = job.suite, task_of(job.cell.dataset.use)
    task = tasks.create(name)
    stated = {"carbon": suite.carbon, "price": suite.price}
    factors = {f"{name}_{key}": value for name, of in stated.items() if of for key, value in of.model_dump().items()}
    return {
        "suite": suite.name,
        "suite_hash": content_hash(suite),
        "schema": SCHEMA,
        "protocol": label(suite.protocol),
        "n_windows": suite.protocol.rounds * suite.protocol.repeats,
        **asdict(job.rest),
        "order_index": job.order_index,
        "corruption": job.cell.dataset.corruption.label or None,
        "threads": suite.threads,
        "task": name,
        "primary": task.rate or suite.primary,
        "timed_region": task.timed_region,
        "arrivals": scenarios.demand(suite.server) if job.cell.scenario == "server" else None,
        **(scenarios.streamed(suite.streaming) if job.cell.scenario == "streaming" else {}),
        **factors,
        **job.grid,
    }
