"""The streaming scenario: chunks are handed over as they are spoken, and what was shown is logged."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from greenbench.harness.window import UtteranceFacts, Window
from greenbench.plugins import SAMPLE_RATE_HZ, Framewise, Streamer, StreamingSession, Transcriber, Waveform
from greenbench.streaming import growing, latency, words
from greenbench.streaming.chunked import ChunkedWindow
from greenbench.streaming.latency import Heard
from greenbench.streaming.log import ChunkLog, StreamLog, checked
from greenbench.suite.scenarios import SIMULATED, Streaming

ITSELF = "the model itself"
"""How a model is streamed that does so itself, for rows."""


class Streamed:
    """A transcriber that streams each waveform that it is given, and keeps a log of each.

    Attributes:
        footprint: the model's.
        batching: one after the other.
        how: the model is streamed, for rows.
    """

    batching = "sequential"

    def __init__(self, transcriber: Transcriber, asked: Streaming) -> None:
        """Take a loaded model that is not ``unfit``."""
        self._asked, self._logs = asked, list[StreamLog]()
        self.footprint = transcriber.footprint
        self._streamer, self.how = _streamer(transcriber, asked)

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        """Stream each waveform from its first sample to its final text; one begins when the one before has ended."""
        return [self._stream(waveform) for waveform in batch]

    def _stream(self, audio: Waveform) -> str:
        session, size = self._streamer.open(), round(self._asked.chunk_s * SAMPLE_RATE_HZ)
        begin_s, free_s, chunks = time.perf_counter(), 0.0, list[ChunkLog]()
        for start in range(0, max(len(audio), 1), size):
            chunk = audio[start : start + size]
            arrival_s = (start + len(chunk)) / SAMPLE_RATE_HZ
            chunks.append(self._feed(session, chunk, arrival_s, free_s, begin_s))
            free_s = chunks[-1].done_s
        asked_s = time.perf_counter()
        text = session.finish()
        final_s = free_s + time.perf_counter() - asked_s
        self._logs.append(StreamLog(tuple(chunks), text, final_s, len(audio), session.n_computed))
        return text

    def _feed(
        self, session: StreamingSession, chunk: Waveform, arrival_s: float, free_s: float, begin_s: float
    ) -> ChunkLog:
        """Hand a chunk over when it has been spoken: on the clock, or where that is simulated, without waiting."""
        if self._asked.pace != SIMULATED:
            time.sleep(max(0.0, begin_s + arrival_s - time.perf_counter()))
        fed_s = time.perf_counter()
        start_s = max(arrival_s, free_s) if self._asked.pace == SIMULATED else fed_s - begin_s
        partial = session.feed(chunk)
        return ChunkLog(arrival_s, start_s, start_s + time.perf_counter() - fed_s, partial)

    def logged(self, window: Window) -> Window:
        """Return a window with the logs of its sessions, whose latencies are those of the final texts.

        Raises:
            AnswerError: a session did not keep to its contract.
        """
        n = len(window.latencies_s)
        logs, self._logs = tuple(map(checked, self._logs[len(self._logs) - n :])), []
        final_s = [(name, log.final_latency_s) for (name, _), log in zip(window.latencies_s, logs, strict=True)]
        return replace(window, latencies_s=final_s, streams=logs)


def unfit(transcriber: Transcriber, asked: Streaming) -> str | None:
    """Say why a loaded model cannot be streamed as a suite asks, or return None."""
    if asked.window != "chunked" or isinstance(transcriber, (Streamer, Framewise)):
        return None
    return "streaming.window: chunked is for models with a token a frame (CTC), which this one is not: set growing"


def _streamer(transcriber: Transcriber, asked: Streaming) -> tuple[Streamer, str]:
    """Return what streams a model, and its name for rows."""
    if isinstance(transcriber, Streamer):
        return transcriber, ITSELF
    if asked.window == "chunked" and isinstance(transcriber, Framewise):
        how = f"chunked window, {asked.left_s:g} s left, {asked.right_s:g} s right"
        return ChunkedWindow(transcriber, asked.left_s, asked.right_s), how
    return growing.GrowingWindow(transcriber), growing.HOW


def columns(window: Window, how: str, asked: Streaming) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the metrics of a window of streams, and their provenance.

    Args:
        window: from ``Streamed.logged``.
        how: the model was streamed.
        asked: by the suite.
    """
    spoken = {facts.utterance_id: facts for facts in window.spoken}
    n_untimed = sum(not facts.words for facts in window.spoken)
    sessions = zip(window.latencies_s, window.streams, strict=True)
    heard = [Heard(log) if n_untimed else _heard(log, spoken[name]) for (name, _), log in sessions]
    metrics = latency.figures(heard, asked.chunk_s)
    source = None if n_untimed else f"manifest:{words.digest([facts.words for facts in window.spoken])}"
    return metrics, {
        "streamed_by": how, "onset_source": "first sample" if n_untimed else "first word", "word_times_source": source,
        "word_latency_note": _note(n_untimed, len(window.spoken), metrics["n_timed_words"]),
    }  # fmt: skip


def _heard(log: StreamLog, facts: UtteranceFacts) -> Heard:
    return Heard(log, facts.words[0].start_s, words.ends_s(log.final, facts.words))


def _note(n_untimed: int, n: int, n_timed_words: float | None) -> str | None:
    """Say why there are no word latencies."""
    if n_untimed:
        return f"the times of words are not known of {n_untimed} of {n} utterances (`words` of a manifest)"
    return None if n_timed_words else "no word was recognised whose time is known"
