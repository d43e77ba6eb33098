"""The roofline chart: the limits of each machine, and where the cells stand below them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from greenbench.hardware import roofline
from greenbench.metrics import missing, ratio
from greenbench.report.data import short

_WORK = ("macs_per_audio_s", "rtfx", "audio_s", "n_passes", "n_utterances", "model_bytes", "mfu_pct")
_READ = (*_WORK, "run_id", "device", "device_name", "threads", "batch_size", "engine_batching", "compute_dtype")


def drawn(lines: pd.DataFrame, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the script draws rooflines from.

    Args:
        lines: from ``summary.summary``, with rows numbered from 0.
        runs: every ``run.json``.

    Returns:
        ``roofs``, each with its ``name``, operations a second by precision (``flop_per_s``) and ``bytes_per_s``; and
        ``under``: of each line that was compared with a peak the number of its roof, operations for each byte of
        weights, operations a second, and the precisions that take part.
    """
    peaks = {run.get("run_id"): roofline.of_run(run) for run in runs}
    roofs: dict[str, dict[str, Any]] = {}
    under: dict[Any, list[Any]] = {}
    known = lines.loc[lines[list(_WORK)].notna().all(axis=1), list(_READ)]
    for number, line in zip(known.index, known.to_dict("records"), strict=True):
        found = peaks.get(line["run_id"], {}).get(line["device"])
        intensity = flop_per_weight_byte(line)
        if found and found.bytes_per_s and intensity and roofline.ceiling(found, line["compute_dtype"]):
            roof = _roof(line, found)
            roofs.setdefault(str(roof), roof)
            flop_per_s = 2 * line["macs_per_audio_s"] * line["rtfx"]
            place = list(roofs).index(str(roof))
            under[number] = [place, short(intensity), short(flop_per_s), line["compute_dtype"]]
    return {"roofs": list(roofs.values()), "under": under}


def _roof(line: Mapping[Any, Any], peaks: roofline.Peaks) -> dict[str, Any]:
    name = line["device"] if missing(line["device_name"]) else f"{line['device_name']}, {line['device']}"
    return {
        "name": f"{name}, {peaks.threads:.0f} threads" if peaks.threads else name,
        "flop_per_s": {precision: short(2 * rate) for precision, rate in peaks.macs_per_s.items()},
        "bytes_per_s": short(peaks.bytes_per_s or 0.0),
    }


def flop_per_weight_byte(line: Mapping[Any, Any]) -> float | None:
    """Return the operations for each byte of weights, as if every batch read them once from memory.

    It stands for the arithmetic intensity of Williams, Waterman and Patterson, "Roofline" (2009): activations are left
    out, and so is what caches save.

    Args:
        line: a row, or a line that sums rows up, in which the work and the size are known.
    """
    n_together = line["batch_size"] if line["engine_batching"] == "padded" else 1
    n_batches = math.ceil(line["n_utterances"] / n_together)
    flop_a_pass = 2 * line["macs_per_audio_s"] * line["audio_s"] / line["n_passes"]
    return ratio(flop_a_pass, n_batches * line["model_bytes"])
