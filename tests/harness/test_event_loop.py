"""The event loop: which chunk is served when, on a clock that only the model and waiting move."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle

import numpy as np
import pytest

from greenbench.errors import NotFiniteError
from greenbench.harness.event_loop import RealTime, Simulated, serve
from greenbench.plugins import Partial, Waveform
from greenbench.streaming.log import ChunkLog, StreamLog

from .clockwork import Hand

RATE = 16_000
CLOCKS = pytest.mark.parametrize("clock", [Simulated, RealTime])


@dataclass
class Works:
    """Takes the seconds it is told for each chunk, in turn; ``fed`` are the sessions in the order of their chunks."""

    hand: Hand
    seconds: Iterator[float] = field(default_factory=lambda: cycle([0.1]))
    finish_s: float = 0.0
    fed: list[int] = field(default_factory=list)
    n_open: int = 0

    def open(self) -> "Session":
        self.n_open += 1
        return Session(self, self.n_open - 1)


@dataclass
class Session:
    model: Works
    number: int
    n_computed: int = 0

    def feed(self, chunk: Waveform) -> Partial:
        self.n_computed += len(chunk)
        self.model.fed.append(self.number)
        self.model.hand.move(next(self.model.seconds))
        return Partial(f"{self.number} {self.n_computed}")

    def finish(self) -> str:
        self.model.hand.move(self.model.finish_s)
        return str(self.number)


def spoken(*seconds: float) -> list[Waveform]:
    return [np.zeros(round(RATE * each), np.float32) for each in seconds]


def latencies_s(logs: list[StreamLog]) -> list[list[float]]:
    return [[chunk.latency_s for chunk in log.chunks] for log in logs]


def one_by_one(hand: Hand, model: Works, audio: Waveform, chunk_s: float, waits: bool) -> StreamLog:
    """One stream, written down plainly: each chunk begins when it is complete and the one before is done."""
    session, free_s, begin_s, chunks = model.open(), 0.0, hand.now, []
    for end in [*np.arange(chunk_s, len(audio) / RATE, chunk_s), len(audio) / RATE]:
        start_s = max(end, hand.now - begin_s if waits else free_s)
        hand.now = begin_s + start_s if waits else hand.now
        n_fed, before = session.n_computed, hand.now
        partial = session.feed(audio[n_fed : round(end * RATE)])
        free_s = start_s + hand.now - before
        chunks.append(ChunkLog(end, start_s, free_s, partial))
    before = hand.now
    return StreamLog(tuple(chunks), session.finish(), free_s + hand.now - before, len(audio), session.n_computed)


@CLOCKS
def test_one_stream_is_one_utterance_after_the_other(clock: type) -> None:
    """With one at once each log is that of its utterance alone, in which a chunk waits for the one before."""
    audio, seconds = spoken(2.0, 1.1, 0.3), [0.2, 0.7, 0.9, 0.1, 0.05, 0.6, 0.3, 0.25]
    logs = []
    for plainly in (True, False):
        hand = Hand(1000.0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "perf_counter", lambda hand=hand: hand.now)
            patch.setattr(time, "sleep", hand.move)
            model = Works(hand, iter(seconds), finish_s=0.125)
            waits = clock is RealTime
            logs.append(
                [one_by_one(hand, model, each, 0.5, waits) for each in audio]
                if plainly
                else serve(model, audio, 1, 0.5, clock())
            )
    for plain, log in zip(*logs, strict=True):
        assert (log.final, log.n_samples, log.n_computed) == (plain.final, plain.n_samples, plain.n_computed)
        assert log.final_s == pytest.approx(plain.final_s, abs=1e-9)
        for a, b in zip(log.chunks, plain.chunks, strict=True):
            assert (a.arrival_s, a.start_s, a.done_s) == pytest.approx((b.arrival_s, b.start_s, b.done_s), abs=1e-9)
            assert a.partial == b.partial


@CLOCKS
def test_streams_that_begin_together_wait_for_each_other(hand: Hand, clock: type) -> None:
    """Of three chunks that are complete at once the k-th is done after k times the work; later utterances are apart.

    The first three end at 1.06, 1.16 and 1.26 s. The next three begin then, so that their chunks never meet.
    """
    model = Works(hand)
    logs = serve(model, spoken(*[0.96] * 6), 3, 0.32, clock())
    assert model.fed == [0, 1, 2] * 3 + [3, 4, 5] * 3
    assert latencies_s(logs) == [pytest.approx([0.1 * k] * 3) for k in (1, 2, 3, 1, 1, 1)]
    assert [log.chunks[-1].arrival_s for log in logs] == pytest.approx([0.96] * 6)


@CLOCKS
def test_too_many_streams_fall_behind(hand: Hand, clock: type) -> None:
    """Of four, each round takes 0.4 s, and the next is complete 0.32 s after: 0.08 s more are lost in each."""
    logs = serve(Works(hand), spoken(*[0.96] * 4), 4, 0.32, clock())
    assert latencies_s(logs) == [pytest.approx([0.1 * k, 0.1 * k + 0.08, 0.1 * k + 0.16]) for k in (1, 2, 3, 4)]


@CLOCKS
def test_the_chunk_that_has_waited_longest_is_next(hand: Hand, clock: type) -> None:
    """Chunks are complete at 0.2 (b), 0.5 (a, c) and 0.9 s (a): the model works from 0.2 to 1.2 s, and the others wait.

    They are served by when they were complete, and of a and c, complete at once, a is first.
    """
    model = Works(hand, iter([1.0, 0.125, 0.125, 0.125]))
    logs = serve(model, spoken(0.9, 0.2, 0.5), 3, 0.5, clock())
    assert model.fed == [1, 0, 2, 0]
    starts_s = [[chunk.start_s for chunk in log.chunks] for log in logs]
    assert starts_s == [pytest.approx([1.2, 1.45]), pytest.approx([0.2]), pytest.approx([1.325])]


@CLOCKS
def test_a_stream_goes_on_when_its_final_text_is_there(hand: Hand, clock: type) -> None:
    """The next utterance begins in the stream that is free first: the short second one's, after finishing."""
    model = Works(hand, finish_s=0.25)
    logs = serve(model, spoken(1.0, 0.5, 0.5), 2, 0.5, clock())
    assert model.fed == [0, 1, 0, 2]
    assert [log.final_latency_s for log in logs] == pytest.approx([0.35, 0.45, 0.35])
    assert logs[2].chunks[0].start_s == pytest.approx(0.5)  # from 0.95 s to 1.45 s, when the first is done at 1.35 s


def test_no_more_streams_are_open_than_asked_for(hand: Hand) -> None:
    """Of seven utterances as many are begun at once as there are streams, or as there are utterances."""
    for n_streams, n_first in ((2, 2), (7, 7), (9, 7)):
        model = Works(hand, iter([]))
        with pytest.raises((StopIteration, RuntimeError)):
            serve(model, spoken(*[0.5] * 7), n_streams, 0.5, Simulated())
        assert model.n_open == n_first


def test_an_utterance_without_samples_is_one_empty_chunk(hand: Hand) -> None:
    """It is complete at once."""
    (log,) = serve(Works(hand), spoken(0.0), 2, 0.5, Simulated())
    assert [(chunk.arrival_s, chunk.done_s) for chunk in log.chunks] == [(0.0, pytest.approx(0.1))]


def test_values_that_are_not_finite_name_their_utterance(hand: Hand) -> None:
    """Whatever place the model saw it at, it is that of the utterance among those that are spoken."""

    class Overflows(Session):
        def feed(self, chunk: Waveform) -> Partial:
            if self.number == 2:
                raise NotFiniteError([0])
            return super().feed(chunk)

    model = Works(hand)
    model.open = lambda: Overflows(model, Works.open(model).number)
    with pytest.raises(NotFiniteError) as caught:
        serve(model, spoken(*[0.5] * 4), 2, 0.5, Simulated())
    assert caught.value.positions == (2,)
