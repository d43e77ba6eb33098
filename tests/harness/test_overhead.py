"""The harness's own cost: what its loop adds to a batch, and what its meters take at a window's edges."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from greenbench.harness import overhead as module
from greenbench.harness.overhead import N_BATCHES, overhead
from greenbench.plugins import Reading


class Hourglass:
    """A clock that is told how long each call of the model takes, and a meter that takes half a second an edge."""

    metrics = ()
    estimates = False

    def __init__(self) -> None:
        self.now_s = 0.0

    @contextmanager
    def window(self, reading: Reading) -> Iterator[None]:
        self.now_s += 0.5
        yield
        self.now_s += 0.5


def test_the_loop_and_the_edges_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop of 2 ms a batch and meters of half a second an edge read back as just that."""
    glass = Hourglass()

    class Slow(module.NoOp):
        def __call__(self, batch):
            glass.now_s += 0.002
            return super().__call__(batch)

    monkeypatch.setattr(time, "perf_counter", lambda: glass.now_s)
    monkeypatch.setattr(module, "NoOp", Slow)
    assert overhead([glass]) == pytest.approx({"s_per_batch": 0.002, "s_per_window": 1.0})


@pytest.mark.measures
def test_it_runs_the_loop_of_every_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real loop, with the real clock: each window is one pass, and both figures are above nothing."""
    n_passes: list[int] = []
    real = module.run_window

    def watched(*given):
        window = real(*given)
        n_passes.append(len(window.latencies_s))
        return window

    monkeypatch.setattr(module, "run_window", watched)
    found = overhead([])
    assert set(n_passes) == {N_BATCHES}
    assert sorted(name for name, seconds in found.items() if seconds > 0) == ["s_per_batch", "s_per_window"]
