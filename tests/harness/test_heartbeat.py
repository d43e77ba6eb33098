"""What takes long says that it goes on, how far it is, and the time left."""

from collections.abc import Callable
from contextlib import suppress
from threading import Event, active_count

import pytest

from greenbench.harness import heartbeat
from greenbench.harness.heartbeat import beating, so_far
from greenbench.plugins.amounts import Amount
from greenbench.plugins.events import Event as Told
from greenbench.plugins.events import Preparing

BEGUN = Preparing("making 2/3: the model", spent_s=30.0, left_s=60.0, at_most_s=100.0)


@pytest.mark.parametrize(
    ("left_s", "elapsed_s", "amount", "expected_s"),
    [
        (60.0, 20.0, Amount(), 40.0),  # as long as those before it
        (60.0, 90.0, Amount(), None),  # it takes longer than they did: nothing is known
        (None, 20.0, Amount(), None),
        (None, 20.0, Amount(50, 200), 60.0),  # at its speed so far
        (60.0, 20.0, Amount(50, 0), 40.0),
    ],
)
def test_the_time_left_is_that_of_the_download_or_of_those_before(
    left_s: float | None, elapsed_s: float, amount: Amount, expected_s: float | None
) -> None:
    """Of a download whose size is known by its speed; else by what has been timed; else it is not known."""
    told = so_far(Preparing("it", 0.0, left_s), elapsed_s, amount)
    assert (told.left_s, told.elapsed_s) == (expected_s, elapsed_s)
    assert (told.n_bytes, told.of_bytes) == (amount.n_bytes or None, amount.of_bytes or None)


def test_long_work_is_told_again_until_it_ends(
    monkeypatch: pytest.MonkeyPatch, patience: Callable[[float], float]
) -> None:
    """First as it begins, then with the time since then; nothing comes after its end, whatever ends it."""
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.001)
    told: list[Told] = []
    goes_on, n_threads = Event(), active_count()

    def observe(event: Told) -> None:
        told.append(event)
        if len(told) > 2:
            goes_on.set()

    with suppress(ZeroDivisionError), beating(observe, BEGUN):
        assert told[0] == BEGUN
        assert goes_on.wait(patience(30))
        raise ZeroDivisionError
    assert active_count() == n_threads
    assert all(isinstance(one, Preparing) and one.text == BEGUN.text for one in told)
    assert all(one.elapsed_s is not None for one in told[1:] if isinstance(one, Preparing))
