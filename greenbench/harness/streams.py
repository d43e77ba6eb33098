"""The streaming scenario: a transcriber that streams, and what its window gave."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from greenbench.datasets.corpus import Corpus
from greenbench.files.unicode import printable
from greenbench.harness.event_loop import RealTime, Simulated, serve
from greenbench.harness.window import UtteranceFacts, Window
from greenbench.harness.word_times import Aligned
from greenbench.plugins import Framewise, Streamer, Transcriber, Waveform
from greenbench.streaming import growing, latency, words
from greenbench.streaming.chunked import ChunkedWindow
from greenbench.streaming.latency import Heard
from greenbench.streaming.log import StreamLog, checked
from greenbench.suite.scenarios import SIMULATED, Streaming

N_SHOWN = 8
"""Utterances of a window of which all that was shown is kept: they are for looking at, and each text is long."""

ITSELF = "the model itself"
"""How a model is streamed that does so itself, for rows."""


class Streamed:
    """A transcriber that streams the waveforms that it is given, and keeps a log of each.

    Attributes:
        footprint: the model's.
        batching: one after the other.
        how: the model is streamed, for rows.
        n_streams: waveforms of a batch that are spoken at once.
    """

    batching = "sequential"

    def __init__(self, transcriber: Transcriber, asked: Streaming, aligned: Aligned | None = None) -> None:
        """Take a loaded model that is not ``unfit``, and the times of words where they were aligned."""
        self._asked, self._aligned, self._logs = asked, aligned, list[StreamLog]()
        self.footprint, self.n_streams = transcriber.footprint, 1
        self._streamer, self.how = _streamer(transcriber, asked)

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        """Stream each waveform from its first sample to its final text, ``n_streams`` at once."""
        clock = Simulated() if self._asked.pace == SIMULATED else RealTime()
        logs = serve(self._streamer, batch, self.n_streams, self._asked.chunk_s, clock)
        self._logs += logs
        return [log.final for log in logs]

    def logged(self, window: Window) -> Window:
        """Return a window with the logs of its sessions, whose latencies are those of the final texts, and word times.

        Raises:
            AnswerError: a session did not keep to its contract.
        """
        names = [facts.utterance_id for facts in window.spoken] * window.n_passes
        logs, self._logs = tuple(map(checked, self._logs[len(self._logs) - len(names) :])), []
        final_s = [(name, log.final_latency_s) for name, log in zip(names, logs, strict=True)]
        spoken, aligned = window.spoken, self._aligned
        if aligned is not None:
            spoken = [replace(facts, words=aligned.words.get(facts.utterance_id, ())) for facts in spoken]
        return replace(window, latencies_s=final_s, streams=logs, spoken=spoken, padded_s=window.audio_s)


def unfit(transcriber: Transcriber, asked: Streaming, corpus: Corpus) -> str | None:
    """Say why a loaded model cannot be streamed as a suite asks, or return None.

    Args:
        transcriber: the model.
        asked: by the suite.
        corpus: its first chunk, or all of it where it is kept, can be spoken at once.
    """
    n_streams = 1 if asked.streams == "search" else asked.streams
    if n_streams > 1 and n_streams > (n_utterances := len(next(corpus.chunks()))):
        more = f"{n_streams} at once need as many utterances, and the data set has {n_utterances}"
        return f"streaming.streams: {more}: set fewer, or a larger limit of the data set"
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


def shown(window: Window) -> dict[str, list[dict[str, Any]]]:
    """Return each text that the first utterances of a window showed, with its time, by utterance; the final one last.

    A text that was shown again is left out; times are seconds from the first sample.
    """
    logs = dict(zip((name for name, _ in reversed(window.latencies_s)), reversed(window.streams), strict=False))
    first = [facts.utterance_id for facts in window.spoken[:N_SHOWN] if facts.utterance_id in logs]
    return {
        name: [{"time_s": time_s, "text": printable(text)} for time_s, text in _changes(logs[name])] for name in first
    }


def _changes(log: StreamLog) -> list[tuple[float, str]]:
    partials = [(chunk.done_s, chunk.partial.text) for chunk in log.chunks if chunk.partial is not None]
    new = [next(same) for _, same in groupby(partials, lambda one: one[1])]
    return [*new, (log.final_s, log.final)]


def columns(
    window: Window, how: str, asked: Streaming, aligned: Aligned | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the metrics of a window of streams, and their provenance.

    Args:
        window: from ``Streamed.logged``.
        how: the model was streamed.
        asked: by the suite.
        aligned: where the times of words come from, if not from the data set, which states those of all utterances.
    """
    spoken = {facts.utterance_id: facts for facts in window.spoken}
    n_untimed = sum(not facts.words for facts in window.spoken)
    is_timed = n_untimed < len(spoken) if aligned else not n_untimed
    sessions = zip(window.latencies_s, window.streams, strict=True)
    heard = [_heard(log, spoken[name]) if is_timed else Heard(log) for (name, _), log in sessions]
    metrics = latency.figures(heard, asked.chunk_s)
    stated = aligned.source if aligned else f"manifest:{words.digest([facts.words for facts in window.spoken])}"
    missing = aligned.note if aligned else _untimed(n_untimed, len(spoken))
    unrecognised = None if metrics["n_timed_words"] else "no word was recognised whose time is known"
    return metrics, {
        "streamed_by": how,
        "onset_source": "first word" if is_timed else "first sample",
        "word_times_source": stated if is_timed else None,
        "word_latency_note": missing or unrecognised,
    }


def _heard(log: StreamLog, facts: UtteranceFacts) -> Heard:
    """Return a session with the times of its words; where they are not known, its onset is not, either."""
    onset_s = facts.words[0].start_s if facts.words else None
    return Heard(log, onset_s, words.ends_s(log.final, facts.words) if facts.words else ())


def _untimed(n_untimed: int, n: int) -> str | None:
    """Say why there are no word latencies where nothing was aligned."""
    how = "`words` of a manifest, or `streaming.aligner`"
    return f"the times of words are not known of {n_untimed} of {n} utterances ({how})" if n_untimed else None
