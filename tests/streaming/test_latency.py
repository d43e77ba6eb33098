"""The arithmetic of streaming: each figure of a session that is written down by hand, to the last digit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.metrics import STREAMING
from greenbench.plugins import Partial
from greenbench.streaming.latency import Heard, figures, n_revisions, n_unstable, settled_s, word_latencies
from greenbench.streaming.log import ChunkLog, StreamLog

HALVES = (
    ChunkLog(0.5, 0.5, 0.75, None),
    ChunkLog(1.0, 1.0, 1.25, Partial("a")),
    ChunkLog(1.5, 1.5, 2.25, Partial("a bee")),
    ChunkLog(1.75, 2.25, 2.5, Partial("a b see", 2)),
)
"""Chunks of half a second, the last one shorter, of a model that is busy with the third one for too long."""

LOG = StreamLog(HALVES, "a b c", 3.0, 28_000, 56_000)


def texts(*shown: str) -> list[tuple[float, list[str]]]:
    return [(float(second), text.split()) for second, text in enumerate(shown)]


def test_the_figures_of_a_session_that_is_known_by_heart() -> None:
    """Onset at 0.25 s; words end at 0.4, 0.9 and 1.6 s; computed twice, in 2 s for 1.75 s of audio."""
    found = figures([Heard(LOG, 0.25, [0.4, 0.9, 1.6])] * 44, 0.5)
    assert found == pytest.approx({
        "first_partial_p50_s": 1.0, "first_partial_p90_s": 1.0,
        "final_p50_s": 1.25, "final_p90_s": 1.25, "final_p99_s": None, "final_only_pct": 0.0,
        "word_latency_p50_s": 1.4, "word_latency_p90_s": 1.6, "word_latency_mean_s": (0.85 + 1.6 + 1.4) / 3,
        "buffer_s": (0.1 + 0.1 + 0.15) / 3, "wait_s": 0.5 / 3, "word_compute_s": 0.25,
        "emission_delay_s": (0.5 + 1.25 + 0.5) / 3, "n_timed_words": 132,
        "chunk_compute_p99_s": None, "chunk_latency_p99_s": None, "late_chunk_pct": 50.0, "stream_rtf": 2 / 1.75,
        "unstable_word_pct": 100 * 2 / 3, "revisions_per_word": 2 / 3, "recompute_factor": 2.0,
    })  # fmt: skip
    assert set(found) == set(STREAMING)


def test_what_is_not_known_is_none() -> None:
    """Without word times, words and a count of samples there is no figure of them, and no zero either."""
    silent = StreamLog((ChunkLog(1.0, 1.0, 1.5, Partial("")),), "", 2.0, 16_000, None)
    found = figures([Heard(silent)] * 7, 0.5)
    known = {name: value for name, value in found.items() if value is not None}
    assert known == {
        "final_p50_s": 1.0, "final_only_pct": 100.0, "n_timed_words": 0, "late_chunk_pct": 0.0, "stream_rtf": 1.0,
    }  # fmt: skip


def test_a_word_is_there_from_when_on_it_never_changes_again() -> None:
    """A word that comes, goes and comes again counts from its last coming; one that only the end has, from there."""
    assert settled_s(texts("a", "a b", "x b", "a b", "a b c")) == [3.0, 1.0, 4.0]
    assert settled_s(texts("a b", "a", "a b")) == [0.0, 2.0]
    assert settled_s(texts("a", "")) == []


@pytest.mark.parametrize(
    ("shown", "unstable", "revisions"),
    [
        (("a", "a b", "a b c"), 0, 0),
        (("a", "x", "a"), 1, 2),
        (("a b c", "a"), 2, 2),
        (("a b", "new a b"), 2, 2),
        (("", "a"), 0, 0),
        (("a",), 0, 0),
    ],
)
def test_changes_are_counted_place_by_place(shown: tuple[str, ...], unstable: int, revisions: int) -> None:
    """What is appended is no change; what is pushed to the right is one, as the reader sees another word there."""
    assert (n_unstable(texts(*shown)), n_revisions(texts(*shown))) == (unstable, revisions)


def test_a_word_that_is_shown_before_it_ends_has_a_negative_delay() -> None:
    """A model that guesses the word before its last chunk: its latency is below what it waits and computes."""
    early = StreamLog((ChunkLog(0.5, 0.5, 0.6, Partial("a")), ChunkLog(1.0, 1.0, 1.1, None)), "a", 1.2, 16_000, 16_000)
    (word,) = word_latencies(Heard(early, ends_s=[0.7]))
    assert word.emission_s == pytest.approx(-0.5)
    assert word.total_s == pytest.approx(-0.1)


def test_a_word_may_end_with_the_audio_or_a_little_later() -> None:
    """Times that are rounded up beyond the audio count as its end; a word without an end has no latency."""
    one = StreamLog((ChunkLog(1.0, 1.0, 1.25, Partial("a b")),), "a b", 1.5, 16_000, 16_000)
    (word,) = word_latencies(Heard(one, ends_s=[None, 1.01]))
    assert (word.buffer_s, word.total_s) == (0.0, 0.25)


seconds = st.floats(0.001, 3)


@given(st.lists(st.tuples(seconds, st.sampled_from(["", "a", "a b", "b", "b a c"])), min_size=1, max_size=9), st.data())
def test_the_parts_of_each_word_add_up(chunks: list[tuple[float, str]], data: st.DataObject) -> None:
    """Whatever a model shows and however long it takes, buffer, wait, compute and delay make the latency."""
    done_s, log = 0.0, list[ChunkLog]()
    for number, (takes_s, text) in enumerate(chunks, start=1):
        start_s = max(0.5 * number, done_s)
        done_s = start_s + takes_s
        log.append(ChunkLog(0.5 * number, start_s, done_s, Partial(text)))
    end_s = data.draw(st.floats(0, 0.5 * len(log)))
    session = StreamLog(tuple(log), "a b c", done_s + 0.1, 8000 * len(log), None)
    (word,) = word_latencies(Heard(session, ends_s=[end_s, None, None]))
    assert end_s + word.total_s == pytest.approx(settled_s(session.texts())[0])
    assert min(word.buffer_s, word.wait_s, word.compute_s) >= 0
    assert figures([Heard(session, ends_s=[end_s, None, None])], 0.5)["word_latency_mean_s"] == pytest.approx(
        word.total_s
    )
