"""The latencies of streaming: pure arithmetic on the logs of sessions and the times of words; no model, no clock.

A word is what stands between spaces, and is known by its place in the text: word 3 of a text has changed where word 3
of the next one is another. What is said of words "shown" is said of partials and final texts alike.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from greenbench.metrics import ratio
from greenbench.statistics.percentiles import median, upper_bound
from greenbench.streaming.log import ChunkLog, StreamLog

Texts = Sequence[tuple[float, Sequence[str]]]
"""What was shown, as words, and from when on; the final text last."""


@dataclass(frozen=True)
class Heard:
    """One session, and what is known of its speech.

    Attributes:
        log: of the session.
        onset_s: when the speech begins; None where that is not known.
        ends_s: of each word of the final text, when it had been spoken; None where that is not known of a word, empty
            where it is not known of any.
    """

    log: StreamLog
    onset_s: float | None = 0.0
    ends_s: Sequence[float | None] = ()


@dataclass(frozen=True)
class WordLatency:
    """Seconds from the end of a word to the time from which it is shown and never changed; the sum of four parts.

    Attributes:
        buffer_s: until the chunk with the end of the word was complete.
        wait_s: until the model began with that chunk.
        compute_s: until the model had finished with it.
        emission_s: until the word was shown for good: below 0 where it was shown before.
    """

    buffer_s: float
    wait_s: float
    compute_s: float
    emission_s: float

    @property
    def total_s(self) -> float:
        """The sum."""
        return self.buffer_s + self.wait_s + self.compute_s + self.emission_s


# --- one session -----------------------------------------------------------------------------------------


def first_text_s(texts: Texts) -> float | None:
    """Return from when on there was a text that is not empty; None where there never was."""
    return next((time_s for time_s, words in texts if words), None)


def settled_s(texts: Texts) -> list[float]:
    """Return for each word of the final text from when on it was shown at its place and never changed."""
    final = texts[-1][1]
    since = [texts[-1][0]] * len(final)
    for place, word in enumerate(final):
        for time_s, words in reversed(texts):
            if words[place : place + 1] != [word]:
                break
            since[place] = time_s
    return since


def word_latencies(heard: Heard) -> list[WordLatency]:
    """Return the latency of each word of the final text whose end is known."""
    if not heard.ends_s:
        return []
    shown = zip(heard.ends_s, settled_s(heard.log.texts()), strict=True)
    return [_word_latency(heard.log, end_s, since_s) for end_s, since_s in shown if end_s is not None]


def _word_latency(log: StreamLog, end_s: float, since_s: float) -> WordLatency:
    end_s = min(end_s, log.end_s)  # a stated end may be rounded up beyond the audio
    chunk = next(chunk for chunk in log.chunks if chunk.arrival_s >= end_s)
    return WordLatency(
        chunk.arrival_s - end_s,
        chunk.start_s - chunk.arrival_s,
        chunk.done_s - chunk.start_s,
        since_s - chunk.done_s,
    )


def n_unstable(texts: Texts) -> int:
    """Return at how many places a word was shown that a later text has not."""
    return len({place for pair in pairwise(texts) for place in _changed(*pair)})


def n_revisions(texts: Texts) -> int:
    """Return how often a word that was shown was another, or none, in the next text."""
    return sum(len(_changed(*pair)) for pair in pairwise(texts))


def _changed(before: tuple[float, Sequence[str]], after: tuple[float, Sequence[str]]) -> list[int]:
    old, new = before[1], after[1]
    return [place for place, word in enumerate(old) if new[place : place + 1] != [word]]


def is_late(chunk: ChunkLog, bound_s: float) -> bool:
    """Say whether a chunk was done later than a bound after it was complete.

    With the seconds of a chunk for bound: whether it was not done when the next one was, or would have been, complete.
    """
    return chunk.latency_s > bound_s


# --- all sessions of a window ----------------------------------------------------------------------------


def figures(sessions: Sequence[Heard], chunk_s: float) -> dict[str, float | None]:
    """Return the metrics of a window's sessions, by name from ``METRICS``; None where there is nothing to count.

    Args:
        sessions: at least one.
        chunk_s: seconds of a chunk.
    """
    logs = [heard.log for heard in sessions]
    shown = [log.texts() for log in logs]
    begun = [(heard.onset_s, first_text_s(texts)) for heard, texts in zip(sessions, shown, strict=True)]
    first = [seconds - onset_s for onset_s, seconds in begun if seconds is not None and onset_s is not None]
    final = [log.final_latency_s for log in logs]
    chunks = [chunk for log in logs for chunk in log.chunks]
    return {
        "first_partial_p50_s": median(first),
        "first_partial_p90_s": upper_bound(first, 90),
        "final_p50_s": median(final),
        **{f"final_p{pct}_s": upper_bound(final, pct) for pct in (90, 99)},
        "final_only_pct": 100 * fmean(map(_is_final_only, shown)),
        **_of_words([word for heard in sessions for word in word_latencies(heard)]),
        "chunk_compute_p99_s": upper_bound([chunk.done_s - chunk.start_s for chunk in chunks], 99),
        "chunk_latency_p99_s": upper_bound([chunk.latency_s for chunk in chunks], 99),
        "late_chunk_pct": 100 * fmean(is_late(chunk, chunk_s) for chunk in chunks),
        "stream_rtf": real_time_factor(logs),
        **_stability(shown),
        "recompute_factor": _recompute_factor(logs),
    }


def real_time_factor(logs: Sequence[StreamLog]) -> float | None:
    """Return the seconds that the model was busy for a second of audio, of all streams together."""
    return ratio(sum(log.compute_s for log in logs), sum(log.end_s for log in logs))


def _is_final_only(texts: Texts) -> bool:
    """Say whether nothing was shown before the final text, as by a model that does not stream."""
    return not any(words for _, words in texts[:-1])


def _of_words(words: Sequence[WordLatency]) -> dict[str, float | None]:
    """Return the latency of words; its parts are means, as means add up and percentiles do not."""
    totals = [word.total_s for word in words]
    return {
        "word_latency_p50_s": median(totals),
        "word_latency_p90_s": upper_bound(totals, 90),
        "word_latency_mean_s": _mean(totals),
        "buffer_s": _mean(word.buffer_s for word in words),
        "wait_s": _mean(word.wait_s for word in words),
        "word_compute_s": _mean(word.compute_s for word in words),
        "emission_delay_s": _mean(word.emission_s for word in words),
        "n_timed_words": len(words),
    }


def _stability(shown: Sequence[Texts]) -> dict[str, float | None]:
    n_words = sum(len(texts[-1][1]) for texts in shown)
    share = ratio(sum(map(n_unstable, shown)), n_words)
    return {
        "unstable_word_pct": None if share is None else 100 * share,
        "revisions_per_word": ratio(sum(map(n_revisions, shown)), n_words),
    }


def _recompute_factor(logs: Sequence[StreamLog]) -> float | None:
    computed = [log.n_computed for log in logs if log.n_computed is not None]
    return ratio(sum(computed), sum(log.n_samples for log in logs)) if len(computed) == len(logs) else None


def _mean(seconds: Iterable[float]) -> float | None:
    known = list(seconds)
    return fmean(known) if known else None
