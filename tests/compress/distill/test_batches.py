"""Batches: every utterance once an epoch, within the budget, and the same after a break."""

from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.compress.distill.batches import batches

LENGTHS = st.lists(st.integers(1, 1000), min_size=1, max_size=60)


@settings(deadline=None)
@given(lengths=LENGTHS, budget=st.integers(1, 5000), seed=st.integers(0, 3))
def test_an_epoch_is_every_utterance_once_within_the_budget(lengths: list[int], budget: int, seed: int) -> None:
    """Padding included, only an utterance that is too long by itself exceeds the budget."""
    heard: list[int] = []
    for batch in batches(lengths, budget, seed):
        assert len(batch) == 1 or max(lengths[i] for i in batch) * len(batch) <= budget
        heard += batch
        if len(heard) >= len(lengths):
            break
    assert sorted(heard) == list(range(len(lengths)))


@settings(deadline=None)
@given(lengths=LENGTHS, first=st.integers(0, 50))
def test_a_break_changes_nothing(lengths: list[int], first: int) -> None:
    """What is heard from a step on does not depend on where one begins."""
    through = list(islice(batches(lengths, 1500, 7), first, first + 10))
    assert list(islice(batches(lengths, 1500, 7, first), 10)) == through


def test_epochs_and_seeds_differ() -> None:
    """No two epochs, and no two seeds, have the same order."""
    lengths = list(range(100, 200))
    n = len(list(islice(batches(lengths, 1000, 0), 14)))
    assert list(islice(batches(lengths, 1000, 0), n)) != list(islice(batches(lengths, 1000, 0, n), n))
    assert list(islice(batches(lengths, 1000, 0), n)) != list(islice(batches(lengths, 1000, 1), n))
