"""The server scenario's verdict and search: which rate of arrivals holds the latency bound."""

from collections.abc import Callable, Sequence
from functools import partial

from greenbench.harness.search import find
from greenbench.harness.window import Probe, Window
from greenbench.statistics.percentiles import holds, most_beyond
from greenbench.suite.scenarios import Server, bound_s, demand

MIN_UTILISATION = 0.1
"""A search gives up below this share of what the model can do: windows get ever longer for a rate of little use."""


def too_slow(server: Server, alone: Window) -> str | None:
    """Say why no rate can hold the bound, known with 99 % confidence, or return None.

    Args:
        server: what is asked.
        alone: a window in which every utterance was sent when the one before was done.
    """
    n_late, n = _n_late(server, alone), len(alone.latencies_s)
    may_be_in_time = most_beyond(n, 100 - server.percentile)
    if may_be_in_time is None or n - n_late > may_be_in_time:
        return None
    return (
        f"too slow for a server: without any queue {n_late} of {n} utterances take longer than the latency bound "
        f"({demand(server)})"
    )


def capacity_hz(alone: Window) -> float:
    """Return the utterances a second that the model can do: beyond it a queue grows without end."""
    return len(alone.latencies_s) / sum(seconds for _, seconds in alone.latencies_s)


def judge(server: Server, rate_hz: float, window: Window) -> Probe:
    """Say whether the bound held in a window, for the percentile asked for.

    The rule is MLPerf's, which for independent utterances would be known with 99 % confidence. Waits in a queue hang
    together: of windows at the very highest rate that holds in the long run, between a tenth and two thirds hold, by
    simulation. So a rate that held is a figure of its window.
    """
    n, n_late = len(window.latencies_s), _n_late(server, window)
    return Probe(rate_hz, n, n_late, held=holds(n, n_late, server.percentile))


def search(server: Server, highest_hz: float, measure: Callable[[float], Window]) -> Window:
    """Find the highest rate that holds the bound by bisection, or try the one that is given.

    A window is short against the time in which an overloaded queue grows long, so it could meet the bound at a
    rate that cannot be sustained: the search stays below ``highest_hz``.

    Args:
        server: what is asked.
        highest_hz: from ``capacity_hz``.
        measure: runs a window at a rate.

    Returns:
        The window at the highest rate that held; where none did, the last one. It knows all probes.
    """
    most_probes = 1 if server.rate_hz else server.max_probes

    def next_hz(low: float, high: float, n_probes: int) -> float | None:
        rate_hz = server.rate_hz or (low + min(high, highest_hz)) / 2
        is_over = n_probes == most_probes or (n_probes and rate_hz < MIN_UTILISATION * highest_hz)
        return None if is_over else rate_hz

    return find(next_hz, measure, partial(judge, server))


def summary(probes: Sequence[Probe]) -> str:
    """Put probes in words, in the order in which they were made."""
    return "; ".join(f"{p.load:.4g} Hz {'held' if p.held else 'missed'} ({p.n_late} of {p.n} late)" for p in probes)


def _n_late(server: Server, window: Window) -> int:
    audio_s = {spoken.utterance_id: spoken.audio_s for spoken in window.spoken}
    return sum(seconds > bound_s(server, audio_s[name]) for name, seconds in window.latencies_s)
