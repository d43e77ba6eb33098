"""The most streams at once: the search for a whole number, and the verdict on the chunks of a window."""

import json
from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.datasets.corpus import Corpus
from greenbench.harness import most_streams
from greenbench.harness.load import Load
from greenbench.harness.search import doubled, find, highest
from greenbench.harness.streams import Streamed
from greenbench.harness.window import Probe, Window, run_window
from greenbench.plugins import Clip
from greenbench.streaming.log import ChunkLog, StreamLog
from greenbench.suite.scenarios import Streaming, chunk_bound_s, least_window_s, streamed

from .clockwork import Hand, Meter
from .test_event_loop import Works, spoken

SEARCH = Streaming(streams="search")


# --- the numbers that are tried --------------------------------------------------------------------------


@given(st.integers(0, 3000), st.integers(1, 2000))
def test_the_most_that_hold_are_found(threshold: int, most: int) -> None:
    """Whatever the threshold, it is found: one number holds and the next does not, in twice as many steps as bits."""
    windows: dict[float, Window] = {}

    def measure(n: float) -> Window:
        assert n not in windows, "a number is tried once"
        windows[n] = Window()
        return windows[n]

    found = find(doubled(most), measure, lambda n, _: Probe(n, 1000, 0, held=n <= threshold))
    tried = [probe.load for probe in found.probes]
    assert all(isinstance(n, int) and 1 <= n <= most for n in tried)
    assert len(tried) <= 2 * ceil(log2(threshold + 1)) + 2
    assert highest(found.probes) == (min(threshold, most) or None)
    assert found is windows[max(1, min(threshold, most))]
    assert most_streams.found(found.probes) == (threshold if 0 < threshold < most else None)


def test_doubling_comes_before_halving() -> None:
    """For 11 of at most 100: up to the first that is missed, then the middle of what is left."""
    found = find(doubled(100), lambda n: Window(), lambda n, _: Probe(n, 1000, 0, held=n <= 11))
    assert [probe.load for probe in found.probes] == [1, 2, 4, 8, 16, 12, 10, 11]


# --- the verdict -----------------------------------------------------------------------------------------


def window(late_s: float, n_late: int, n: int, busy_s: float = 0.1) -> Window:
    """Chunks of one second that are done at once, or some of them late; each keeps the model busy for a while."""
    logs = [StreamLog((ChunkLog(1.0, 1.0 + delay - busy_s, 1.0 + delay, None),), "", 1.0 + delay, 16_000, None)
            for delay in [late_s] * n_late + [0.2] * (n - n_late)]  # fmt: skip
    return Window(streams=tuple(logs))


@pytest.mark.parametrize(
    ("n", "n_late", "held"), [(458, 0, False), (459, 0, True), (459, 1, False), (662, 1, True), (662, 2, False)]
)
def test_the_verdict_is_of_the_99th_percentile(n: int, n_late: int, held: bool) -> None:
    """The early-stopping rule of the server, on chunks; exactly the bound is in time, which is a chunk by default."""
    asked = Streaming(streams="search", chunk_s=0.5)
    assert most_streams.judge(asked, 2, window(0.500001, n_late, n)) == Probe(2, n, n_late, held, 20.0)
    assert most_streams.judge(asked, 2, window(0.5, n_late, n)).n_late == 0
    assert (
        most_streams.judge(asked.model_copy(update={"max_chunk_latency_s": 0.6}), 2, window(0.55, n_late, n)).n_late
        == 0
    )


@pytest.mark.parametrize(("n_streams", "held"), [(10, True), (11, False)])
def test_a_model_that_is_busy_for_more_than_the_time_does_not_keep_up(n_streams: int, held: bool) -> None:
    """A tenth of a second for each is all of the time of ten streams, however soon the chunks are done."""
    probe = most_streams.judge(SEARCH.model_copy(update={"chunk_s": 1.0}), n_streams, window(0.2, 0, 1000))
    assert (probe.n_late, probe.held, probe.utilisation_pct) == (0, held, 10 * n_streams)


# --- a model of known work -------------------------------------------------------------------------------


def searched(hand: Hand, asked: Streaming, chunk_work_s: float, n: int = 44, memory_s: float = 3600.0) -> Window:
    """Search with a model that needs so long for each of the three chunks of utterances of 0.96 s."""
    model = Works(hand, iter(lambda: chunk_work_s, None))
    model.footprint, audio = None, spoken(0.96)[0]
    corpus = Corpus(lambda: (Clip(f"u{i}", lambda: audio, "") for i in range(n)), chunk_s=memory_s)
    assert list(corpus.chunks())
    door = Streamed(model, asked)

    def measure(n_streams: int, n_passes: int) -> Window:
        door.n_streams = n_streams
        given = Load("streaming", n, 0.0, n_passes=n_passes, n_streams=n_streams)
        return door.logged(run_window(door, corpus, given, [Meter(hand)]))

    return most_streams.search(asked, 0.96 * n, n, measure)


@pytest.mark.parametrize("pace", ["simulated", "real-time"])
@pytest.mark.parametrize(
    ("max_chunk_latency_s", "most", "tried"),
    [(None, 3, [1, 2, 4, 3]), (0.25, 2, [1, 2, 4, 3]), (0.15, 1, [1, 2]), (0.05, None, [1])],
)
def test_the_streams_of_a_model_of_known_work(
    hand: Hand, pace: str, max_chunk_latency_s: float | None, most: int | None, tried: list[int]
) -> None:
    """It needs 0.1 s for a chunk of 0.32 s, so that three fit and four do not; n that begin together wait n x 0.1 s."""
    found = searched(hand, Streaming(streams="search", pace=pace, max_chunk_latency_s=max_chunk_latency_s), 0.1)
    assert [probe.load for probe in found.probes] == tried
    assert highest(found.probes) == most
    assert {probe.n for probe in found.probes} == {4 * 44 * 3}  # the fewest passes with 459 chunks of full length
    if pace == "simulated":
        assert found.reading.value("wall_s") == pytest.approx(528 * 0.1)  # of the work alone
    assert (found.n_passes, len(found.streams), found.padded_s) == (4, 4 * 44, pytest.approx(4 * 44 * 0.96))


def test_four_streams_seem_to_hold_where_they_pause() -> None:
    """What a hundred times as many utterances would show: late in the first ones alone, and the model is overloaded.

    A stream waits for its final text before it goes on: 0.26 s of 1.22 s are no speech. Without those pauses four
    would need 125 % of the time.
    """
    with pytest.MonkeyPatch.context() as patch:
        hand = Hand()
        patch.setattr("time.perf_counter", lambda: hand.now)
        found = searched(hand, Streaming(streams="search"), 0.1, n=1000)
    four = next(probe for probe in found.probes if probe.load == 4)
    assert (four.n_late, four.n, four.utilisation_pct, four.held) == (6, 3000, 125.0, False)
    assert highest(found.probes) == 3


def test_a_search_that_runs_out_of_utterances_has_no_highest_number(hand: Hand) -> None:
    """Of a model that takes no time all seven held at once: how many more would, nobody knows."""
    found = searched(hand, Streaming(streams="search"), 0.0, n=7)
    assert [probe.load for probe in found.probes] == [1, 2, 4, 7]
    assert most_streams.found(found.probes) is None
    assert most_streams.summary(found.probes).endswith("; 7 at once held (0 of 462 chunks late, utilisation 0.0 %)")


def test_a_search_with_parts_of_a_data_set_in_memory_makes_as_many_passes(hand: Hand) -> None:
    """Four passes over four parts of 11 utterances have 528 chunks, as those over the whole have."""
    found = searched(hand, Streaming(streams="search"), 0.01, memory_s=11 * 0.96)
    assert (found.n_passes, {probe.n for probe in found.probes}) == (4, {528})


# --- what is said ----------------------------------------------------------------------------------------


def test_what_is_asked_in_words() -> None:
    """Rows say how many streams were asked for, or the bound of the search."""
    assert streamed(Streaming(chunk_s=0.5))["streams"] == "1"
    assert streamed(Streaming(streams=4, max_chunk_latency_s=1))["streams"] == "4"
    assert streamed(SEARCH)["streams"] == "the most, p99 of chunks within 0.32 s"
    bounded = Streaming(streams="search", max_chunk_latency_s=0.1)
    assert streamed(bounded)["streams"] == "the most, p99 of chunks within 0.1 s"
    assert chunk_bound_s(Streaming(chunk_s=0.5)) == 0.5


def test_one_stream_is_no_news_to_a_suite() -> None:
    """A suite that asks for one stream is written as before, so that its digest stays."""
    assert not {"streams", "max_chunk_latency_s"} & set(json.loads(Streaming(streams=1).model_dump_json()))


@pytest.mark.parametrize(
    ("scenario", "streams", "pace", "least_s"),
    [
        ("streaming", "search", "real-time", 459 * 0.32), ("streaming", "search", "simulated", 0.0),
        ("streaming", 4, "real-time", 0.0), ("server", "search", "real-time", 0.0),
    ],
)  # fmt: skip
def test_a_search_in_real_time_takes_the_speech_of_459_chunks(
    scenario: str, streams: object, pace: str, least_s: float
) -> None:
    """So many chunks of one stream, which come one after the other, are in its first window."""
    assert least_window_s(scenario, Streaming(streams=streams, pace=pace)) == least_s
