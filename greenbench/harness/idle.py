"""What happens before and after a window: warming up, and idling with the model loaded."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle

from greenbench.harness.load import Queue
from greenbench.harness.window import transcribe
from greenbench.meters import energy, measure
from greenbench.metrics import change_pct, ratio
from greenbench.plugins import Meter, Reading, Transcriber
from greenbench.statistics.repeats import cv_pct
from greenbench.suite.protocol import Protocol


@dataclass(frozen=True)
class WarmUp:
    """What a warm-up came to; its fields are columns of the row.

    Attributes:
        warmup_batches: run.
        warmup_s: seconds under load.
        warmup_cv_pct: coefficient of variation of three successive batches' seconds per audio second: where it first
            met the protocol, else of the last three; None where the protocol does not ask.
    """

    warmup_batches: int
    warmup_s: float
    warmup_cv_pct: float | None

    def expected_s(self, n_batches: int) -> float:
        """Return how long so many batches take at the pace of the warm-up."""
        return self.warmup_s / self.warmup_batches * n_batches


def warm_up(transcriber: Transcriber, queue: Queue, steps: Protocol) -> WarmUp:
    """Run batches until the protocol's warm-up is met, or until it need not be waited for any longer.

    The last batch comes first: it may be smaller than the others, which a compiled model must have met.
    """
    start, n_batches, cv = time.perf_counter(), 0, None
    paces, steady = deque[float](maxlen=3), steps.warmup_cv_pct is None
    for batch in cycle([queue[-1], *queue]):
        before = time.perf_counter()
        transcribe(transcriber, batch)
        seconds = time.perf_counter() - start
        paces.append((start + seconds - before) / sum(u.duration_s for u in batch))
        n_batches += 1
        if steps.warmup_cv_pct is not None and not steady and n_batches >= steps.warmup_batches:
            cv = cv_pct(paces) if len(paces) == 3 else None
            steady = cv is not None and cv < steps.warmup_cv_pct
        enough = n_batches >= (steps.warmup_batches if steady else steps.warmup_max_batches)
        if enough and seconds >= steps.warmup_s:
            break
    return WarmUp(n_batches, seconds, cv)


def idle_power_w(meters: Sequence[Meter], idle_s: float, reading: Reading, logged: bool = False) -> float | None:
    """Return the power of the scope with the model loaded and nothing running.

    Args:
        meters: of the window; without one for energy there is nothing to wait for, unless it is ``logged``.
        idle_s: how long to idle; 0 leaves the baseline out.
        reading: a fresh one; its device decides the scope.
        logged: whether a meter outside logs the machine's power meanwhile.

    Returns:
        Watts, or None where a part of the scope could not be read.
    """
    if not idle_s or not (logged or any(map(energy.reads_joules, meters))):
        return None
    with measure(meters, reading):
        time.sleep(idle_s)
    return ratio(energy.total_j(reading.device or "cpu", reading), reading.value("wall_s"))


def idle_after_w(
    idle_w: Callable[[], float | None], before_w: float | None, drift_pct: float | None, logged: bool = False
) -> float | None:
    """Return the idle power after a window, measured again where it has drifted from ``before_w``.

    Args:
        idle_w: idles, and returns the power.
        before_w: the baseline before the window.
        drift_pct: how much drift is too much.
        logged: whether an external meter logs the power, which no meter of this machine can read.

    Returns:
        Watts, or None where the protocol does not check or there is nothing to compare.
    """
    if drift_pct is None or (before_w is None and not logged):
        return None
    after_w = idle_w()
    drift = change_pct(before_w, after_w)
    if drift is not None and abs(drift) > drift_pct:  # transient or lasting? a second reading decides
        after_w = idle_w()
    return after_w
