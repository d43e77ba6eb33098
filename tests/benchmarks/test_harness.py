"""What the harness itself costs, as shares of one run. Run with: pytest tests/benchmarks --benchmark-only."""

import time

import numpy as np

from greenbench.datasets.corpus import Corpus
from greenbench.harness.load import Load
from greenbench.harness.window import run_window
from greenbench.meters import select
from greenbench.plugins import Clip, Footprint

CALL_S = 0.002


class Spinner:
    """A model that computes for a known time."""

    footprint, batching = Footprint(), "sequential"

    def __call__(self, batch: list) -> list[str]:
        until = time.perf_counter() + CALL_S
        while time.perf_counter() < until:
            pass
        return [""] * len(batch)


def test_the_loop_around_the_model_costs_under_one_percent(benchmark) -> None:
    """A window of known work, calls of 2 ms, takes at most 1 % longer than the work itself."""
    audio = np.zeros(1600, np.float32)
    corpus = Corpus(lambda: (Clip(str(number), lambda: audio, "") for number in range(200)))
    assert len(list(corpus.chunks())) == 1
    meters = select(estimate=False)
    window = benchmark.pedantic(run_window, (Spinner(), corpus, Load("single-stream", 1, 0.0), meters), rounds=5)
    work_s = sum(seconds for _, seconds in window.latencies_s)
    wall_s = window.reading.value("wall_s")
    assert wall_s is not None
    assert wall_s < 1.01 * work_s
