"""The window: whole passes, and nothing but the model inside."""

import re
import time
import weakref
from collections import Counter
from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pytest

from greenbench.datasets.corpus import Corpus
from greenbench.errors import AnswerError
from greenbench.harness.load import Load
from greenbench.harness.window import checked, run_window
from greenbench.plugins import Clip, Waveform

from .clockwork import Hand, Meter, Model, corpus_of

# --- the window ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("window_s", "n_passes"), [(0, 1), (0.99, 1), (1.0, 1), (1.01, 2), (2.4, 3)])
def test_a_window_ends_after_a_whole_pass(hand: Hand, window_s: float, n_passes: int) -> None:
    """Passes of 1 s are repeated until the window is long enough, and each utterance is heard equally often."""
    model, meter = Model(hand), Meter(hand)
    window = run_window(model, corpus_of([16_000, 8_000, 4_000]), Load("offline", 2, window_s), [meter])
    assert Counter(n for batch in model.heard for n in batch) == dict.fromkeys([16_000, 8_000, 4_000], n_passes)
    assert (window.n_passes, window.audio_s) == (n_passes, n_passes * 1.75)
    assert window.reading.value("wall_s") == pytest.approx(n_passes)
    assert meter.n_windows == 1


def test_texts_go_to_their_utterances(hand: Hand) -> None:
    """Although offline sends the longest first, texts belong to their utterances, listed as in the data set."""
    lengths = [4_000, 16_000, 8_000]
    window = run_window(Model(hand), corpus_of(lengths), Load("offline", 2, 1.5), [Meter(hand)])
    assert window.texts == {f"u{i}": str(n) for i, n in enumerate(lengths)}
    assert [(s.utterance_id, s.reference, s.audio_s) for s in window.spoken] == [
        (f"u{i}", f"TEXT {i}", n / 16_000) for i, n in enumerate(lengths)
    ]


def test_decoding_is_outside_every_window(hand: Hand) -> None:
    """A corpus of three chunks is three segments a pass: slow decoding between them costs no time and no energy."""
    meter = Meter(hand)

    def read() -> Waveform:
        assert not meter.is_open
        hand.move(100)
        return np.zeros(16_000, np.float32)

    corpus = Corpus(lambda: (Clip(f"u{i}", read, "") for i in range(5)), chunk_s=2)
    assert sum(map(len, corpus.chunks())) == 5
    window = run_window(Model(hand), corpus, Load("offline", 2, 2.0), [meter])
    assert (window.n_passes, window.audio_s, meter.n_windows) == (2, 10.0, 6)
    assert window.reading.value("wall_s") == pytest.approx(3.0)
    assert window.reading.value("energy_cpu_j") == pytest.approx(30.0)
    assert [s.utterance_id for s in window.spoken] == [f"u{i}" for i in range(5)]


def test_a_large_corpus_never_has_two_chunks_in_memory(hand: Hand) -> None:
    """While a chunk is decoded the one before is gone already."""
    alive: list[int] = []
    live = set[int]()

    def read(index: int) -> Waveform:
        audio = np.zeros(16_000, np.float32)
        live.add(index)
        weakref.finalize(audio, live.discard, index)
        alive.append(len(live))
        return audio

    corpus = Corpus(lambda: (Clip(f"u{i}", lambda i=i: read(i), "") for i in range(40)), chunk_s=4)
    assert sum(map(len, corpus.chunks())) == 40
    alive.clear()
    run_window(Model(hand), corpus, Load("offline", 2, 0), [Meter(hand)])
    assert max(alive) <= 4 + 1  # a chunk, and the utterance that opens the next


def test_the_wall_clock_may_be_set_meanwhile(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody setting the system's clock back by an hour at every look changes no time that is measured."""
    hours = iter(range(0, -10_000_000, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(hours)))
    window = run_window(Model(hand), corpus_of([16_000] * 2), Load("single-stream", 1, 2.0), [])
    assert window.reading.value("wall_s") == pytest.approx(2.0)
    assert [seconds for _, seconds in window.latencies_s] == pytest.approx([0.5] * 4)


def test_single_stream_has_a_latency_for_every_utterance(hand: Hand) -> None:
    """Each utterance of each pass has its own seconds, in the order in which they were sent."""
    model = Model(hand, cycle([0.1, 0.2, 0.3]))
    window = run_window(model, corpus_of([16_000] * 3), Load("single-stream", 1, 1.0), [Meter(hand)])
    assert [name for name, _ in window.latencies_s] == ["u0", "u1", "u2"] * 2
    assert [seconds for _, seconds in window.latencies_s] == pytest.approx([0.1, 0.2, 0.3] * 2)


def test_a_batch_of_several_is_no_latency(hand: Hand) -> None:
    """The seconds of a batch are not the latency of its utterances; only a last batch of one has one."""
    window = run_window(Model(hand), corpus_of([16_000, 8_000, 4_000]), Load("offline", 2, 0), [Meter(hand)])
    assert [name for name, _ in window.latencies_s] == ["u2"]


@pytest.mark.parametrize(("changes_at", "unstable"), [(None, False), (1, True), (5, True)])
def test_a_text_that_changes_between_passes_is_noticed(hand: Hand, changes_at: int | None, unstable: bool) -> None:
    """A window is unstable when any utterance gets another text in a later pass, and the first text is kept."""

    class Moody(Model):
        def __call__(self, batch: Sequence[Waveform]) -> list[str]:
            texts, call = super().__call__(batch), len(self.heard) - 2
            return ["other"] if call == changes_at else texts

    window = run_window(Moody(hand), corpus_of([16_000, 8_000]), Load("single-stream", 1, 3.5), [Meter(hand)])
    assert window.unstable is unstable
    assert window.texts == {"u0": "16000", "u1": "8000"}


@pytest.mark.parametrize("answer", [[], ["a"], ["a", "b", "c"]])
def test_a_wrong_number_of_texts_is_an_error(hand: Hand, answer: list[str]) -> None:
    """A model that drops or adds a text is refused: its texts would go to the wrong utterances."""
    with pytest.raises(AnswerError, match=f"returned {len(answer)} texts for a batch of 2"):
        run_window(lambda batch: answer, corpus_of([16_000] * 2), Load("offline", 2, 0), [Meter(hand)])


@pytest.mark.parametrize(
    ("scenario", "size", "padded_s"), [("offline", 2, 2.25), ("offline", 1, 1.75), ("server", 1, 1.75)]
)
def test_padding_is_what_a_batch_has_beyond_its_utterances(
    hand: Hand, scenario: str, size: int, padded_s: float
) -> None:
    """A batch of 1 s and 0.5 s computes 2 s; the last one of 0.25 s alone and single utterances have no padding."""
    window = run_window(Model(hand), corpus_of([4_000, 16_000, 8_000]), Load(scenario, size, 3.5), [Meter(hand)])
    assert (window.audio_s, window.padded_s) == (window.n_passes * 1.75, window.n_passes * padded_s)


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ("ab", "a str"),
        ({0: "a", 1: "b"}, "a dict"),
        (("a", "b"), "a tuple"),
        ((text for text in "ab"), "a generator"),
        (None, "a NoneType"),
        (2, "a int"),
        ([b"a", b"b"], "a list with a bytes at place 0"),
        (["a", None], "a list with a NoneType at place 1"),
        (["a"], "1 texts for a batch of 2"),
        (["a", "b", "c"], "3 texts for a batch of 2"),
        (["a", "b" * 1_000_001], "a text of 1000001 characters"),
    ],
)
def test_an_answer_is_a_list_with_one_text_for_each_waveform(answer: object, named: str) -> None:
    """Anything else that could be taken for texts is refused by what it is."""
    with pytest.raises(AnswerError, match=re.escape(f"the model returned {named}")):
        checked(answer, 2)


def test_a_text_of_another_type_becomes_python_s_own() -> None:
    """What a subclass of str says of itself does not count: its characters do."""

    class Loud(str):
        __slots__ = ()

        def isascii(self) -> bool:
            return True

    found = checked([Loud("half \ud83d"), "b"], 2)
    assert found == ["half \\ud83d", "b"]
    assert {type(text) for text in found} == {str}
