"""Streams at once: the verdict on a number of them, and the search for the most whose chunks are in time."""

import math
from collections.abc import Callable, Sequence
from functools import partial

from greenbench.harness.search import doubled, find, highest
from greenbench.harness.window import Probe, Window
from greenbench.statistics.percentiles import fewest, holds
from greenbench.streaming import latency
from greenbench.suite.scenarios import CHUNK_PERCENTILE, Streaming, chunk_bound_s


def search(asked: Streaming, audio_s: float, most: int, measure: Callable[[int, int], Window]) -> Window:
    """Find the most streams whose chunks are in time: by doubling, and then by bisection.

    Args:
        asked: by the suite.
        audio_s: seconds of the data set.
        most: streams that are tried.
        measure: runs a window of so many streams, and of so many passes at least.

    Returns:
        The window at the highest number that held; where not even one did, that of one. It knows all probes.
    """
    n_passes = math.ceil(fewest(CHUNK_PERCENTILE) * asked.chunk_s / audio_s)  # no chunk is longer than chunk_s
    return find(doubled(most), lambda n: measure(int(n), n_passes), partial(judge, asked))


def judge(asked: Streaming, n_streams: float, window: Window) -> Probe:
    """Say whether the chunks of a window were in time, and whether the model can go on so.

    A stream waits for its final text before it goes on, so that a backlog ends with the utterance. A model that needs
    more than a second for what is spoken in one does not keep up with streams without pauses, however short the
    utterances are: this is missed, too.
    """
    late = [latency.is_late(chunk, chunk_bound_s(asked)) for log in window.streams for chunk in log.chunks]
    utilisation_pct = round(100 * n_streams * (latency.real_time_factor(window.streams) or 0.0), 1)  # as in rows
    held = holds(len(late), sum(late), CHUNK_PERCENTILE) and utilisation_pct <= 100
    return Probe(n_streams, len(late), sum(late), held, utilisation_pct)


def summary(probes: Sequence[Probe]) -> str:
    """Put probes in words, in the order in which they were made."""
    return "; ".join(
        f"{p.load:g} at once {'held' if p.held else 'missed'} ({p.n_late} of {p.n} chunks late, "
        f"utilisation {p.utilisation_pct:.1f} %)"
        for p in probes
    )


def found(probes: Sequence[Probe]) -> float | None:
    """Return the most streams that held; None where not even one did, or where no number was too high."""
    return None if all(probe.held for probe in probes) else highest(probes)
