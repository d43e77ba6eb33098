"""How a row comes about: what a window gave, turned into metrics, provenance and flags."""

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from greenbench import energy, validity
from greenbench.corpus import Census
from greenbench.measurement import Window
from greenbench.metrics import co2e_g, energy_net_j, ratio
from greenbench.plan import Job, content_hash
from greenbench.plugins import Reading
from greenbench.protocol import label
from greenbench.record import SCHEMA, Record, Status
from greenbench.scenarios import BATCHING
from greenbench.statistics.percentiles import percentile
from greenbench.suite import build_protocol, build_variant

TIMED_REGION = "waveform-to-text"
"""What every window times: waveforms in memory in, text strings out."""


@dataclass(frozen=True)
class Setting:
    """What a cell's windows have in common once the model is warm.

    Attributes:
        census: of the data set.
        engine_batching: how the engine runs a batch.
        device_name: product name of the device.
        metrics: load time, first utterance, idle power and size.
    """

    census: Census
    engine_batching: str
    device_name: str | None
    metrics: Mapping[str, float | int | None]


def not_measured(job: Job, status: Status, reason: str) -> Record:
    """Return the row of a cell that gave no (further) window."""
    return Record(job.key(None), status, reason, provenance=_planned(job))


def measured(job: Job, repeat: int, setting: Setting, window: Window) -> Record:
    """Derive the row of one window."""
    accuracy, scored = _accuracy(job, window)
    metrics = {
        **setting.metrics,
        **{name: quantity.value for name, quantity in window.reading.quantities.items()},
        **_speed(window),
        **_energy(job, window, setting.metrics.get("idle_power_w")),
        **accuracy,
        "n_utterances": setting.census.n_utterances,
        "n_skipped": len(setting.census.skipped),
    }
    provenance = {
        **_planned(job),
        **scored,
        **_peaks(window.reading),
        **energy.provenance(job.cell.device, window.reading),
        "batching": BATCHING[job.cell.scenario],
        "engine_batching": setting.engine_batching,
        "device_name": setting.device_name,
        "data_hash": setting.census.data_hash,
        "cell_s": time.perf_counter() - job.started_s,
        "timestamp_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    window_s = build_protocol(job.suite.protocol).window_s
    raised = validity.flags(metrics, provenance, window_s, os.cpu_count() or 1, window.unstable)
    return Record(job.key(repeat), "ok", flags=raised, metrics=metrics, provenance=provenance)


def hypotheses(job: Job, repeat: int, window: Window) -> list[dict[str, Any]]:
    """Return the raw texts of a window's first pass, one row an utterance, in the order of the data set."""
    latency_s = dict(reversed(window.latencies_s))  # the first pass wins
    return [
        {
            **job.key(repeat),
            **asdict(spoken),
            "hypothesis": window.texts[spoken.utterance_id],
            "latency_s": latency_s.get(spoken.utterance_id),
        }
        for spoken in window.spoken
    ]


def _speed(window: Window) -> dict[str, Any]:
    seconds = [s for _, s in window.latencies_s]
    complete = len(seconds) == window.n_passes * len(window.spoken)  # a last batch of one is no latency sample
    return {
        "audio_s": window.audio_s,
        "n_passes": window.n_passes,
        "rtfx": ratio(window.audio_s, window.reading.value("wall_s")),
        **{f"latency_p{pct}_s": percentile(seconds, pct) if complete else None for pct in (50, 90, 99)},
    }


def _energy(job: Job, window: Window, idle_power_w: float | None) -> dict[str, Any]:
    gross_j = energy.total_j(job.cell.device, window.reading)
    carbon = job.suite.carbon
    return {
        "energy_j": gross_j,
        "energy_net_j": energy_net_j(gross_j, idle_power_w, window.reading.value("wall_s")),
        "energy_j_per_audio_s": ratio(gross_j, window.audio_s),
        "co2e_g": co2e_g(gross_j, carbon.g_per_kwh, carbon.pue) if carbon else None,
    }


def _accuracy(job: Job, window: Window) -> tuple[dict[str, Any], dict[str, Any]]:
    """Score the first pass; random weights have no accuracy."""
    from greenbench.text import scorers

    how = scorers.create(job.suite.normalizer)
    scored: dict[str, Any] = {"normalizer": how.normalizer, "scorer": how.scorer}
    if build_variant(job.cell.variant).info.synthetic:
        return {}, scored
    heard = [(spoken.reference, window.texts[spoken.utterance_id], spoken.speaker) for spoken in window.spoken]
    metrics, unit = scorers.accuracy(heard, how, build_protocol(job.suite.protocol).resamples)
    return metrics, {**scored, "wer_ci_unit": unit}


def _peaks(reading: Reading) -> dict[str, str]:
    """Name the origin of each high-water mark that was read."""
    kinds = [kind for kind in ("rss", "gpu") if f"peak_{kind}_bytes" in reading.quantities]
    return {f"peak_{kind}_source": reading.quantities[f"peak_{kind}_bytes"].source for kind in kinds}


def _planned(job: Job) -> dict[str, Any]:
    """Return the provenance that is known before anything runs."""
    suite, variant = job.suite, build_variant(job.cell.variant)
    carbon = {f"carbon_{key}": value for key, value in (suite.carbon.model_dump() if suite.carbon else {}).items()}
    return {
        "suite": suite.name,
        "suite_hash": content_hash(suite),
        "schema": SCHEMA,
        "protocol": label(suite.protocol["use"], build_protocol(suite.protocol)),
        "order_index": job.order_index,
        "parent": variant.parent,
        "steps": "+".join(variant.steps) or None,
        "licence": variant.info.licence,
        "synthetic": variant.info.synthetic,
        "threads": suite.threads,
        "timed_region": TIMED_REGION,
        **carbon,
    }
