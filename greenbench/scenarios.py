"""How utterances reach the model: all at hand in batches, one after the other, or when users happen to send them."""

import random
import time
from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from greenbench.plugins import Utterance

Scenario = Literal["offline", "single-stream", "server"]

BATCHING: dict[str, str] = {"offline": "sorted", "single-stream": "single", "server": "single"}
"""How a scenario forms its batches: part of what makes two rows comparable."""


class Server(BaseModel):
    """What is asked of a server: utterances arrive as a Poisson process and wait in one queue for one model.

    An utterance's latency runs from its arrival to its text; it is late beyond
    ``latency_base_s + latency_per_audio_s x duration``. The defaults allow 1 s for a sentence of 5 s, which is the
    bound of MLPerf's RNN-T Server scenario and about the delay that leaves a user's thought unbroken (Nielsen,
    "Usability Engineering", 1993), 1.5 s for 10 s and 3.5 s for 30 s.

    Attributes:
        rate_hz: utterances a second; None searches the highest rate that holds the bound.
        latency_base_s: the part of the bound that does not depend on the utterance.
        latency_per_audio_s: the part that grows with each second of audio.
        percentile: share of the utterances, in percent, that must be in time, by MLPerf's rule for independent ones.
            Waits in a queue are not independent: what is shown is how one window went, not that every window would.
        min_queries: least number of utterances in a window; never fewer than the percentile needs, which is 459, 90 or
            44 at 99, 95 or 90. The more there are, the more exact is the rate that a search finds.
        seed: seed of arrivals and order.
        max_probes: most windows of a search; each halves the range of rates that is left.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate_hz: float | None = Field(default=None, gt=0)
    latency_base_s: float = Field(default=0.5, ge=0)
    latency_per_audio_s: float = Field(default=0.1, ge=0)
    percentile: Literal[90, 95, 99] = 99
    min_queries: int | None = Field(default=None, ge=1)
    seed: int = 0
    max_probes: int = Field(default=5, ge=1)


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
