"""The order of the speech in a training: batches of like length, the same for the same seed and step."""

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np


def batches(lengths: Sequence[int], budget: int, seed: int, first: int = 0) -> Iterator[list[int]]:
    """Yield the utterances of each training step, endlessly.

    An epoch is every utterance once, in batches of like length, in an order of its own. The batch of a step follows
    from its number alone, so that a training resumed at any step goes on as it would have.

    Args:
        lengths: of every utterance, in samples.
        budget: most samples of a batch, padding included; a longer utterance is a batch of its own.
        seed: of the order.
        first: step to begin with.
    """
    for epoch in count():
        of_epoch = _epoch(lengths, budget, np.random.default_rng([seed, epoch]))
        yield from of_epoch[first:]
        first = max(0, first - len(of_epoch))


def _epoch(lengths: Sequence[int], budget: int, rng: np.random.Generator) -> list[list[int]]:
    """Cut one epoch into batches; lengths are jittered by a tenth, so that batches differ between epochs."""
    jittered = np.asarray(lengths) * rng.uniform(0.95, 1.05, len(lengths))
    cut: list[list[int]] = []
    longest = 0
    for index in np.argsort(jittered, kind="stable").tolist():
        longest = max(longest, lengths[index])
        if cut and longest * (len(cut[-1]) + 1) <= budget:
            cut[-1].append(index)
        else:
            cut.append([index])
            longest = lengths[index]
    return [cut[index] for index in rng.permutation(len(cut))]
