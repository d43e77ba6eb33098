"""The size of a loaded model and the work that it did, as its footprint says, for rows."""

import math
from collections import Counter
from numbers import Integral, Real
from typing import Any

from greenbench.datasets.corpus import DatasetStats
from greenbench.metrics import ratio
from greenbench.plugins import SAMPLE_RATE_HZ, Footprint, Transcriber


def size(transcriber: Transcriber) -> dict[str, float | int | None]:
    """Return what a loaded model says of its size.

    Raises:
        TypeError: it is no transcriber, or a number is none.
    """
    wanted = "a transcriber is called with a batch, has a Footprint, and its batching is padded or sequential"
    if not isinstance(transcriber, Transcriber):
        raise TypeError(f"load() gave a {type(transcriber).__name__}: {wanted}")
    footprint, batching = transcriber.footprint, transcriber.batching
    if not isinstance(footprint, Footprint) or batching not in ("padded", "sequential"):
        raise TypeError(
            f"load() gave a {type(transcriber).__name__} with footprint {str(footprint)[:60]} and batching "
            f"{str(batching)[:60]}: {wanted}"
        )
    return {name: number(name, getattr(footprint, name)) for name in ("n_params", "model_bytes", "bits_per_weight")}


def number(name: str, value: Any) -> float | int | None:
    """Return a number of a footprint as JSON has it, numpy's included."""
    if value is None:
        return None
    if type(value) is not bool and isinstance(value, Integral):
        return int(value)
    if type(value) is not bool and isinstance(value, Real) and math.isfinite(value):
        return float(value)
    raise TypeError(f"footprint.{name} is {str(value)[:60]!r}: it must be a finite number, or None where it is unknown")


def macs_per_audio_s(footprint: Footprint, stats: DatasetStats | None) -> float | None:
    """Return the work for a second of audio in an utterance of the data set's mean length."""
    assert stats is not None
    n_samples = _mean_length(stats)
    return ratio(footprint.macs(n_samples), n_samples / SAMPLE_RATE_HZ)


def work_run(footprint: Footprint, stats: DatasetStats, layers_run: Counter[int]) -> dict[str, float | int | None]:
    """Return the layers that ran in a window and the work for a second of audio, means over its utterances.

    Nothing is returned of a model that always runs all layers, which is known before. The work is that at the mean
    length, as for all models.
    """
    if footprint.exits is None:
        return {}
    n_samples, n = _mean_length(stats), layers_run.total()
    macs = [(footprint.exits.macs(n_samples, layers), count) for layers, count in layers_run.items()]
    known = [of * count for of, count in macs if of is not None]
    total = sum(known) if len(known) == len(macs) else None
    return {
        "mean_layers": ratio(sum(layers * count for layers, count in layers_run.items()), n),
        "macs_per_audio_s": number("exits.macs", ratio(total, n * n_samples / SAMPLE_RATE_HZ)),
    }


def _mean_length(stats: DatasetStats) -> int:
    """Return the samples of a data set's utterance of mean length."""
    return round(stats.audio_s / stats.n_utterances * SAMPLE_RATE_HZ)
