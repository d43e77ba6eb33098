"""Overhead: what the harness itself costs, measured in a cell's process with a model that does nothing."""

import time
from collections.abc import Iterator, Sequence
from statistics import median

import numpy as np

from greenbench.datasets.corpus import Corpus
from greenbench.harness.load import Load
from greenbench.harness.window import run_window
from greenbench.meters import measure
from greenbench.plugins import SAMPLE_RATE_HZ, Clip, Footprint, Meter, Reading, Waveform

N_BATCHES = 1000
N_WINDOWS = 5


def overhead(meters: Sequence[Meter]) -> dict[str, float]:
    """Measure what the harness adds to a window, in well under a second.

    Args:
        meters: those of the cell's windows.

    Returns:
        ``s_per_batch``, which is part of every time, and ``s_per_window``, which the meters take at a window's
        edges, outside the clock; medians over ``N_WINDOWS`` windows.
    """
    corpus = Corpus(_clips)
    for _ in corpus.chunks():  # counted, as a window expects it
        pass
    per_batch = [_window_s(corpus, meters) / N_BATCHES for _ in range(N_WINDOWS)]
    return {"s_per_batch": median(per_batch), "s_per_window": median(_edges_s(meters) for _ in range(N_WINDOWS))}


class NoOp:
    """A model of no delay."""

    footprint = Footprint()
    batching = "sequential"

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        """Return an empty text for each waveform."""
        return [""] * len(batch)


def _clips() -> Iterator[Clip]:
    audio = np.zeros(SAMPLE_RATE_HZ // 100, np.float32)
    return (Clip(str(index), lambda: audio, "") for index in range(N_BATCHES))


def _window_s(corpus: Corpus, meters: Sequence[Meter]) -> float:
    """Run one pass through the loop that every window runs."""
    wall_s = run_window(NoOp(), corpus, Load("single-stream", 1, 0.0), meters).reading.value("wall_s")
    assert wall_s is not None, "there is always a clock"
    return wall_s


def _edges_s(meters: Sequence[Meter]) -> float:
    """Open and close a window in which nothing happens."""
    reading, start = Reading(), time.perf_counter()
    with measure(meters, reading):
        pass
    return time.perf_counter() - start - (reading.value("wall_s") or 0.0)
