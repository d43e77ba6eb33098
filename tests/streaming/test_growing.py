"""The growing window: each chunk is transcribed with all before it, and words are final where two runs agree."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from greenbench.plugins import Footprint, Partial, Streamer, Waveform
from greenbench.streaming.growing import GrowingWindow, n_common


class Says:
    """Answers the texts that it is told, in turn, and keeps the lengths that it was given."""

    footprint, batching = Footprint(), "sequential"

    def __init__(self, *texts: str) -> None:
        self.texts: Iterator[str] = iter(texts)
        self.lengths: list[int] = []

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        self.lengths += [len(audio) for audio in batch]
        return [next(self.texts) for _ in batch]


def stream(model: Says, n_chunks: int) -> tuple[list[Partial], str, int]:
    session = GrowingWindow(model).open()
    shown = [session.feed(np.zeros(100, np.float32)) for _ in range(n_chunks)]
    return shown, session.finish(), session.n_computed


def test_words_are_final_where_two_runs_agree() -> None:
    """LA-2: the common beginning of two successive texts stays, whatever later runs make of it."""
    shown, final, _ = stream(Says("the", "the cat", "the cap sat", "a cap sat on"), 4)
    assert [(partial.text, partial.n_final) for partial in shown] == [
        ("the", 0), ("the cat", 1), ("the cap sat", 1), ("the cap sat on", 1),
    ]  # fmt: skip
    assert final == "the cap sat on"


def test_agreement_grows_and_is_never_taken_back() -> None:
    """Two runs that agree on less than was agreed on before change nothing of that."""
    shown, final, _ = stream(Says("a b", "a b c", "x", "x y"), 4)
    assert [(partial.text, partial.n_final) for partial in shown] == [("a b", 0), ("a b c", 2), ("a b", 2), ("a b", 2)]
    assert final == "a b"


def test_the_cost_of_recomputation_is_counted() -> None:
    """Four chunks of 100 samples are 100 + 200 + 300 + 400 samples of work; the end costs nothing more."""
    model = Says("", "", "", "")
    assert stream(model, 4)[1:] == ("", 1000)
    assert model.lengths == [100, 200, 300, 400]


def test_sessions_know_nothing_of_each_other() -> None:
    """A second utterance begins without the first one's audio and words."""
    streamer = GrowingWindow(Says("a", "a", "b"))
    first, second = streamer.open(), streamer.open()
    first.feed(np.zeros(100, np.float32))
    first.feed(np.zeros(100, np.float32))
    assert second.feed(np.zeros(50, np.float32)) == Partial("b", 0)
    assert (second.n_computed, isinstance(streamer, Streamer)) == (50, True)


@pytest.mark.parametrize(("a", "b", "n"), [("a b c", "a b d", 2), ("a", "a b", 1), ("", "a", 0), ("b", "a", 0)])
def test_what_two_texts_have_in_common(a: str, b: str, n: int) -> None:
    """Words from the beginning on, up to the first that differs."""
    assert n_common(a.split(), b.split()) == n
