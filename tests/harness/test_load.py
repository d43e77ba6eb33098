"""Load: every utterance is sent exactly once, in the order and at the pace of the scenario."""

import random
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.harness.load import batches, pace
from greenbench.plugins import Utterance

lengths = st.lists(st.integers(1, 9), min_size=1, max_size=30)


def speak(n_samples: list[int]) -> list[Utterance]:
    return [Utterance(f"u{i:02}", np.zeros(n, np.float32), "") for i, n in enumerate(n_samples)]


@given(lengths, st.integers(1, 8), st.sampled_from(["offline", "single-stream", "server"]))
def test_every_utterance_is_sent_once(n_samples: list[int], size: int, scenario: str) -> None:
    """All batches together hold every utterance once, all but the last are full and none is empty."""
    utterances = speak(n_samples)
    sent = batches(scenario, utterances, size, random.Random(1))
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


def test_a_server_mixes_the_order_by_the_seed() -> None:
    """Utterances come one by one in an order that the seed alone decides."""
    utterances = speak(list(range(1, 30)))
    first, again, other = (batches("server", utterances, 1, random.Random(seed)) for seed in ("a", "a", "b"))
    assert first == again != other
    assert first != [[u] for u in utterances]


@pytest.mark.parametrize("scenario", ["offline", "server"])
def test_the_given_list_is_left_alone(scenario: str) -> None:
    """Neither sorting nor mixing disturbs the chunk, whose order is that of the data set."""
    utterances = speak([1, 3, 2])
    batches(scenario, utterances, 2, random.Random(1))
    assert [len(u.audio) for u in utterances] == [1, 3, 2]


# --- pace ------------------------------------------------------------------------------------------------


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the monotonic clock by one that starts at 100 s and that only sleeping moves; list what was slept."""
    slept: list[float] = []
    monkeypatch.setattr(time, "perf_counter", lambda: 100.0 + sum(slept))
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


def test_without_a_rate_latency_counts_from_now(slept: list[float]) -> None:
    """Nobody waits, and each batch is due at the moment it is asked for."""
    wait = pace(None, random.Random(1))
    time.sleep(3.0)
    assert wait() == 103.0
    assert slept == [3.0]


def test_an_idle_model_sleeps_until_the_next_arrival(slept: list[float]) -> None:
    """With nothing to do, every arrival is slept up to, and latency counts from it."""
    wait = pace(5.0, random.Random(1))
    for _ in range(50):
        assert wait() == pytest.approx(time.perf_counter())


def test_who_arrives_while_the_model_is_busy_has_waited_since(slept: list[float]) -> None:
    """Arrivals do not wait for the model: when it was busy until long after, latency counts from the arrival."""
    idle = [pace(5.0, random.Random(1))() for _ in range(1)]
    slept.clear()
    wait = pace(5.0, random.Random(1))
    time.sleep(1000.0)
    assert wait() == pytest.approx(idle[0])
    assert sum(slept) == 1000.0


def test_arrivals_are_a_poisson_process(slept: list[float]) -> None:
    """Gaps at 4 a second have a mean and a deviation of a quarter of a second, each to within 3 % over 10,000."""
    wait = pace(4.0, random.Random(1))
    slept.append(1e6)  # always busy, so that no sleep adds up
    gaps = np.diff([wait() for _ in range(10_001)])
    assert gaps.mean() == pytest.approx(0.25, rel=0.03)
    assert gaps.std() == pytest.approx(0.25, rel=0.03)


def test_a_higher_rate_is_the_same_day_only_faster(slept: list[float]) -> None:
    """The same draws at twice the rate are the same arrivals in half the time."""
    slow, fast = (pace(rate_hz, random.Random(1)) for rate_hz in (2.0, 4.0))
    slept.append(1e6)
    assert [fast() - 100 for _ in range(20)] == pytest.approx([(slow() - 100) / 2 for _ in range(20)])
