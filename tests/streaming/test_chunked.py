"""The chunked window: every frame is kept once, in order, and no frame before it has its right context."""

from collections.abc import Sequence
from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.plugins import SAMPLE_RATE_HZ, Framewise, Partial, Waveform
from greenbench.streaming.chunked import ChunkedSession, ChunkedWindow

SIZE, FIELD = 100, 130
"""Samples from frame to frame, and behind one frame."""


class Positions:
    """Its tokens are the numbers of the frames, which the audio has as its values; windows are kept by their length."""

    frame_samples = SIZE

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def tokens(self, batch: Sequence[Waveform]) -> list[list[int]]:
        self.lengths += map(len, batch)
        return [[int(audio[start]) for start in range(0, len(audio) - FIELD + 1, SIZE)] for audio in batch]

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        return [" ".join(map(str, row)) for row in rows]

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        return self.decode(self.tokens(batch))


def audio_of(n_samples: int) -> Waveform:
    return (np.arange(n_samples) // SIZE).astype(np.float32)


def stream(session: ChunkedSession, audio: Waveform, sizes: Sequence[int]) -> list[Partial | None]:
    edges = np.cumsum([0, *sizes])
    return [session.feed(audio[start:end]) for start, end in pairwise(edges)]


@given(st.lists(st.integers(1, 700), min_size=1, max_size=12), st.integers(0, 900), st.integers(0, 900))
def test_every_frame_is_kept_once(sizes: list[int], left: int, right: int) -> None:
    """However the audio is cut and however much context there is, the text is the one of the whole audio."""
    model, audio = Positions(), audio_of(sum(sizes))
    session = ChunkedSession(model, left, right)
    shown = [partial for partial in stream(session, audio, sizes) if partial is not None]
    final = session.finish()
    assert [final] == Positions()([audio])
    assert all(final.startswith(partial.text) for partial in shown)
    assert all(final.split()[: partial.n_final] == partial.text.split()[: partial.n_final] for partial in shown)
    assert session.n_computed == sum(model.lengths)
    assert max(model.lengths, default=0) <= left + max(sizes) + right + 2 * SIZE + FIELD


def test_what_is_shown_waits_for_its_right_context() -> None:
    """Frames of chunks of 500 samples with 300 behind them: the last three frames so far are not shown yet."""
    session = ChunkedSession(Positions(), 0, 300)
    assert stream(session, audio_of(1_000), [200, 300, 500]) == [
        None, Partial("0 1", 1), Partial("0 1 2 3 4 5 6", 6),
    ]  # fmt: skip
    assert session.finish() == "0 1 2 3 4 5 6 7 8"


def test_the_window_is_left_step_and_right() -> None:
    """Context is computed again with each chunk: 400 + 500 + 300 samples where the audio has them."""
    model = Positions()
    session = ChunkedSession(model, 400, 300)
    stream(session, audio_of(2_500), [500] * 5)
    assert model.lengths == [500, 1_000, 1_200, 1_200, 1_200]
    session.finish()
    assert model.lengths[-1] == 700
    assert session.n_computed == 5_800


def test_seconds_are_those_of_the_suite() -> None:
    """Context is given in seconds of 16 kHz; the streamer gives each utterance a session of its own."""
    model = Positions()
    streamer = ChunkedWindow(model, left_s=0.025, right_s=300 / SAMPLE_RATE_HZ)
    first, second = streamer.open(), streamer.open()
    stream(first, audio_of(2_500), [500] * 5)
    assert model.lengths == [500, 1_000, 1_200, 1_200, 1_200]
    assert second.finish() == ""
    assert isinstance(model, Framewise)


class Letters(Positions):
    """Frames of a blank (0) and a letter, collapsed as CTC does it."""

    def tokens(self, batch: Sequence[Waveform]) -> list[list[int]]:
        return [[int(audio[start]) for start in range(0, len(audio), SIZE)] for audio in batch]

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        return ["".join(" abc"[token] for token, _ in groupby(row) if token) for row in rows]


@pytest.mark.parametrize(("frames", "text"), [([1, 1, 1, 1], "a"), ([1, 1, 0, 1], "aa"), ([1, 2, 2, 3], "abc")])
def test_tokens_are_collapsed_across_the_join(frames: list[int], text: str) -> None:
    """A letter that goes on over the end of a chunk is one; with a blank between, it is two."""
    session = ChunkedSession(Letters(), 0, 0)
    stream(session, np.repeat(np.array(frames, np.float32), SIZE), [2 * SIZE, 2 * SIZE])
    assert session.finish() == text
