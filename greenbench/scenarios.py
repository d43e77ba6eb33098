"""How utterances reach the model: all at hand in batches (offline), or one after the other (single-stream)."""

from collections.abc import Sequence
from typing import Literal

from greenbench.plugins import Utterance

Scenario = Literal["offline", "single-stream"]

BATCHING: dict[str, str] = {"offline": "sorted", "single-stream": "single"}
"""How a scenario forms its batches: part of what makes two rows comparable."""


def batches(scenario: str, utterances: Sequence[Utterance], batch_size: int) -> list[list[Utterance]]:
    """Cut utterances into the batches that a scenario sends.

    Args:
        scenario: ``offline`` sorts by length, longest first, so that a batch holds little padding and a lack
            of memory shows at once; ``single-stream`` keeps the order.
        utterances: one chunk of the data set.
        batch_size: utterances a batch; the last one may be smaller.

    Returns:
        The batches, together holding every utterance once.
    """
    ordered = list(utterances)
    if scenario == "offline":
        ordered.sort(key=lambda u: (-len(u.audio), u.id))
    return [ordered[i : i + batch_size] for i in range(0, len(ordered), batch_size)]
