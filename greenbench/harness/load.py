"""What reaches the model in a window, in which order and at which pace."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from greenbench.plugins import Utterance

Queue = Sequence[Sequence[Utterance]]
"""The batches of one chunk, in the order in which they are sent."""


def batches(
    scenario: str, utterances: Sequence[Utterance], batch_size: int, rng: random.Random | None = None
) -> list[list[Utterance]]:
    """Cut utterances into the batches that a scenario sends.

    Args:
        scenario: ``offline`` sorts by length, longest first, so that a batch holds little padding and a lack
            of memory shows at once; ``single-stream`` keeps the order; ``server`` mixes it.
        utterances: one chunk of the data set.
        batch_size: utterances a batch; the last one may be smaller.
        rng: mixes; without one ``server`` keeps the order too.

    Returns:
        The batches, together holding every utterance once.
    """
    ordered = list(utterances)
    if scenario == "offline":
        ordered.sort(key=lambda u: (-len(u.audio), u.id))
    elif scenario == "server" and rng is not None:
        rng.shuffle(ordered)
    return [ordered[i : i + batch_size] for i in range(0, len(ordered), batch_size)]


def pace(rate_hz: float | None, rng: random.Random) -> Callable[[], float]:
    """Return the function that waits for the next batch and says from when its latency counts.

    Without a rate each batch is there when the one before is done: latency counts from now. With one, gaps between
    arrivals are exponential, the first counted from this call; a batch that arrived while the model was busy has
    waited since then.

    Args:
        rate_hz: arrivals a second.
        rng: draws the gaps: the same draws give the same arrivals at any rate, only faster or slower.
    """
    if rate_hz is None:
        return time.perf_counter
    arrival_s = time.perf_counter()

    def wait() -> float:
        nonlocal arrival_s
        arrival_s += rng.expovariate(rate_hz)
        time.sleep(max(0.0, arrival_s - time.perf_counter()))
        return arrival_s

    return wait


@dataclass(frozen=True)
class Load:
    """How the utterances are sent, and for how long.

    Attributes:
        scenario: orders the utterances.
        batch_size: utterances a batch; a pass of streams is one batch.
        window_s: seconds a window lasts at least.
        n_batches: batches that a window sends at least.
        rate_hz: at which they arrive; None sends each when the one before is done.
        seed: of arrivals and order.
        n_streams: utterances that are spoken at once.
        n_passes: whole passes over the data set that a window makes at least.
    """

    scenario: str
    batch_size: int
    window_s: float
    n_batches: int = 0
    rate_hz: float | None = None
    seed: str = ""
    n_streams: int = 1
    n_passes: int = 1
