"""Scenarios: every utterance is sent exactly once, in the scenario's order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.plugins import Utterance
from greenbench.scenarios import batches

lengths = st.lists(st.integers(1, 9), min_size=1, max_size=30)


def speak(n_samples: list[int]) -> list[Utterance]:
    return [Utterance(f"u{i:02}", np.zeros(n, np.float32), "") for i, n in enumerate(n_samples)]


@given(lengths, st.integers(1, 8), st.sampled_from(["offline", "single-stream"]))
def test_every_utterance_is_sent_once(n_samples: list[int], size: int, scenario: str) -> None:
    """All batches together hold every utterance once, all but the last are full and none is empty."""
    utterances = speak(n_samples)
    sent = batches(scenario, utterances, size)
    assert sorted(u.id for batch in sent for u in batch) == [u.id for u in utterances]
    assert all(len(batch) == size for batch in sent[:-1])
    assert 1 <= len(sent[-1]) <= size


@given(lengths)
def test_offline_sends_the_longest_first(n_samples: list[int]) -> None:
    """Offline sorts by length, longest first, and ties by id, so that the order is always the same."""
    utterances = speak(n_samples)
    for given_order in (utterances, utterances[::-1]):
        sent = [u for batch in batches("offline", given_order, 4) for u in batch]
        assert [len(u.audio) for u in sent] == sorted(n_samples, reverse=True)
        assert sent == sorted(sent, key=lambda u: (-len(u.audio), u.id))


@pytest.mark.parametrize("n_samples", [[1, 3, 2, 5], [5, 1]])
def test_single_stream_keeps_the_order(n_samples: list[int]) -> None:
    """Single-stream sends one utterance after the other as the data set gives them."""
    utterances = speak(n_samples)
    assert batches("single-stream", utterances, 1) == [[u] for u in utterances]


def test_the_given_list_is_left_alone() -> None:
    """Sorting does not disturb the chunk, whose order is that of the data set."""
    utterances = speak([1, 3, 2])
    batches("offline", utterances, 2)
    assert [len(u.audio) for u in utterances] == [1, 3, 2]
