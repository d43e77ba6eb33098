"""Fixtures of the harness' tests."""

import time

import pytest

from .clockwork import Hand


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    """Replace the monotonic clock, and let sleeping move it."""
    hand = Hand()
    monkeypatch.setattr(time, "perf_counter", lambda: hand.now)
    monkeypatch.setattr(time, "sleep", hand.move)
    return hand
