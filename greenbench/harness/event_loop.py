"""The event loop of streaming: sessions at once, which one model serves one after the other by what is due first."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import Protocol

from greenbench.errors import NotFiniteError
from greenbench.plugins import SAMPLE_RATE_HZ, Streamer, StreamingSession, Waveform
from greenbench.streaming.log import ChunkLog, StreamLog


class LoopClock(Protocol):
    """The clock of a loop, in seconds since it was made."""

    def now(self) -> float:
        """Return what it shows."""
        ...

    def wait(self, due_s: float) -> float:
        """Wait until something is due, and return how many seconds ago that was."""
        ...

    def took(self) -> float:
        """Return the seconds of the model since the end of the wait, or since this was last asked."""
        ...


class RealTime:
    """Waits by sleeping."""

    def __init__(self) -> None:
        """Begin at 0."""
        self._begin_s = self._since_s = time.perf_counter()

    def now(self) -> float:
        """Return the seconds that have passed."""
        return time.perf_counter() - self._begin_s

    def wait(self, due_s: float) -> float:
        """Sleep until something is due; late wake-ups count."""
        time.sleep(max(0.0, due_s - self.now()))
        self._since_s = time.perf_counter()
        return max(0.0, self._since_s - self._begin_s - due_s)

    def took(self) -> float:
        """Return the seconds since the end of the wait, or since this was last asked."""
        since_s, self._since_s = self._since_s, time.perf_counter()
        return self._since_s - since_s


class Simulated:
    """Does not wait: it jumps to what is due next, and goes on by the seconds that the model really takes."""

    def __init__(self) -> None:
        """Begin at 0."""
        self._now_s, self._since_s = 0.0, 0.0

    def now(self) -> float:
        """Return the end of the last wait or work."""
        return self._now_s

    def wait(self, due_s: float) -> float:
        """Jump to the moment when something is due; one that is past stays so."""
        delay_s = max(0.0, self._now_s - due_s)
        self._now_s = max(self._now_s, due_s)
        self._since_s = time.perf_counter()
        return delay_s

    def took(self) -> float:
        """Return the real seconds since the end of the wait, or since this was last asked, and go on by them."""
        since_s, self._since_s = self._since_s, time.perf_counter()
        self._now_s += self._since_s - since_s
        return self._since_s - since_s


@dataclass(order=True)
class _Ongoing:
    """An utterance while it is spoken; in order, the one whose next chunk is due first, and then the earlier one.

    Attributes:
        due_s: when its next chunk is complete, on the clock of the loop.
        place: of the utterance.
        begin_s: when its first sample was spoken.
        n_fed: samples that the session has.
    """

    due_s: float
    place: int
    audio: Waveform = field(compare=False)
    session: StreamingSession = field(compare=False)
    begin_s: float = field(compare=False)
    n_fed: int = field(default=0, compare=False)
    chunks: list[ChunkLog] = field(default_factory=list, compare=False)

    @property
    def has_ended(self) -> bool:
        """Whether the last chunk has been handed over."""
        return bool(self.chunks) and self.n_fed == len(self.audio)

    def feed(self, clock: LoopClock, size: int) -> None:
        """Hand the next chunk over when it is complete, or as soon as the model is free."""
        chunk = self.audio[self.n_fed : self.n_fed + size]
        self.n_fed += len(chunk)
        arrival_s = self.n_fed / SAMPLE_RATE_HZ
        start_s = arrival_s + clock.wait(self.due_s)
        partial = self.session.feed(chunk)
        self.chunks.append(ChunkLog(arrival_s, start_s, start_s + clock.took(), partial))
        self.expect(size)

    def expect(self, size: int) -> None:
        """Note when the next chunk will be complete."""
        self.due_s = self.begin_s + min(self.n_fed + size, len(self.audio)) / SAMPLE_RATE_HZ

    def finish(self, clock: LoopClock) -> StreamLog:
        """End the session, right after its last chunk."""
        text = self.session.finish()
        final_s = self.chunks[-1].done_s + clock.took()
        return StreamLog(tuple(self.chunks), text, final_s, len(self.audio), self.session.n_computed)


def serve(
    streamer: Streamer, waveforms: Sequence[Waveform], n_streams: int, chunk_s: float, clock: LoopClock
) -> list[StreamLog]:
    """Stream waveforms from their first sample to their final text, some at once.

    The first ``n_streams`` begin together. Whenever one has its final text, its stream goes on with the next waveform,
    so that as many are spoken at once until there are no more. Of the chunks that are complete the model gets the one
    that was first, of several that were complete at once that of the earlier waveform.

    Args:
        streamer: a loaded model.
        waveforms: in the order in which they begin.
        n_streams: at once, at most.
        chunk_s: seconds of a chunk.
        clock: a fresh one.

    Returns:
        The log of each, in the same order; its times are seconds from the waveform's own first sample.

    Raises:
        NotFiniteError: has the place of the waveform.
    """
    size, upcoming, logs = round(chunk_s * SAMPLE_RATE_HZ), enumerate(waveforms), dict[int, StreamLog]()
    ongoing = [_begin(streamer, place, audio, size, clock) for place, audio in islice(upcoming, n_streams)]
    heapify(ongoing)
    while ongoing:
        one = heappop(ongoing)
        log = _go_on(one, size, clock)
        if log is None:
            heappush(ongoing, one)
            continue
        logs[one.place] = log
        for place, audio in islice(upcoming, 1):
            heappush(ongoing, _begin(streamer, place, audio, size, clock))
    return [logs[place] for place in range(len(waveforms))]


def _go_on(one: _Ongoing, size: int, clock: LoopClock) -> StreamLog | None:
    """Feed the next chunk; after the last one finish, and return the log."""
    try:
        one.feed(clock, size)
        return one.finish(clock) if one.has_ended else None
    except NotFiniteError as error:
        raise NotFiniteError([one.place], error.what) from None


def _begin(streamer: Streamer, place: int, audio: Waveform, size: int, clock: LoopClock) -> _Ongoing:
    """Open the session of a waveform, whose first sample is spoken then."""
    session, begin_s = streamer.open(), clock.now()
    one = _Ongoing(begin_s, place, audio, session, begin_s)
    one.expect(size)
    return one
