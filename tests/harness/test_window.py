"""Around the window: whole passes, nothing but the model inside, and a warm-up that ends for a reason."""

import re
import time
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle

import numpy as np
import pytest

from greenbench.datasets.corpus import Corpus
from greenbench.errors import AnswerError
from greenbench.harness.idle import idle_after_w, idle_power_w, warm_up
from greenbench.harness.load import Load, batches
from greenbench.harness.window import checked, run_window
from greenbench.meters.clock import Clock
from greenbench.plugins import Clip, Footprint, Quantity, Reading, Utterance, Waveform
from greenbench.suite.protocol import PROTOCOLS


@dataclass
class Hand:
    """The hand of a clock that moves only when told to."""

    now: float = 1000.0

    def move(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    """Replace the monotonic clock, and let sleeping move it."""
    hand = Hand()
    monkeypatch.setattr(time, "perf_counter", lambda: hand.now)
    monkeypatch.setattr(time, "sleep", hand.move)
    return hand


@dataclass
class Model:
    """Takes the seconds it is told, in turn, and answers each waveform's length; ``heard`` are the batches."""

    hand: Hand
    seconds: Iterator[float] = field(default_factory=lambda: cycle([0.5]))
    heard: list[list[int]] = field(default_factory=list)
    footprint = Footprint()
    batching = "padded"

    def __call__(self, batch: Sequence[Waveform]) -> list[str]:
        self.hand.move(next(self.seconds))
        self.heard.append([len(audio) for audio in batch])
        return [str(len(audio)) for audio in batch]


@dataclass
class Meter:
    """Reads ``wall_s`` off the hand, and joules at constant power; knows whether a window is open."""

    hand: Hand
    watts: float = 10.0
    n_windows: int = 0
    is_open: bool = False
    metrics = ("wall_s", "energy_cpu_j")
    estimates = False

    @contextmanager
    def window(self, reading: Reading) -> Iterator[None]:
        start, self.is_open = self.hand.now, True
        yield
        self.is_open, seconds = False, self.hand.now - start
        self.n_windows += 1
        reading.add("wall_s", Quantity(seconds, "counter", "hand"))
        reading.add("energy_cpu_j", Quantity(self.watts * seconds, "counter", "hand"))


def speak(n_samples: Sequence[int]) -> list[Utterance]:
    return [Utterance(f"u{i}", np.zeros(n, np.float32), f"TEXT {i}", "s") for i, n in enumerate(n_samples)]


def corpus_of(n_samples: Sequence[int], **options) -> Corpus:
    """A corpus that was passed over once, with utterances of these lengths."""
    clips = [Clip(u.id, lambda u=u: u.audio, u.reference, u.speaker) for u in speak(n_samples)]
    corpus = Corpus(lambda: iter(clips), **options)
    assert list(corpus.chunks())
    return corpus


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
    window = run_window(Model(hand), corpus_of([16_000] * 2), Load("single-stream", 1, 2.0), [Clock()])
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
    with pytest.raises(AnswerError, match=f"gave {len(answer)} texts for a batch of 2"):
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


# --- warm-up ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "seconds", "n_batches", "cv"),
    [
        ({"warmup_batches": 3}, [9.0, 1.0, 5.0, 7.0], 3, None),
        ({"warmup_batches": 3, "warmup_cv_pct": 5}, [5.0, 1.0, 1.0, 1.0, 1.0], 4, 0.0),
        ({"warmup_batches": 6, "warmup_cv_pct": 5}, [1.0] * 9, 6, 0.0),
        ({"warmup_batches": 1, "warmup_cv_pct": 5}, [1.0] * 9, 3, 0.0),
        ({"warmup_batches": 3, "warmup_cv_pct": 5}, [1.0, 1.0, 1.1, 1.0, 1.0, 1.0, 1.0], 6, 0.0),  # 5.6 % of the mean
        ({"warmup_batches": 3, "warmup_cv_pct": 6}, [1.0, 1.0, 1.1, 1.0, 1.0, 1.0, 1.0], 3, 5.587),
        ({"warmup_batches": 3, "warmup_cv_pct": 5, "warmup_max_batches": 7}, [1.0, 2.0] * 9, 7, 43.30),
        ({"warmup_batches": 1, "warmup_cv_pct": 5, "warmup_max_batches": 2}, [1.0] * 9, 2, None),
        ({"warmup_batches": 3, "warmup_s": 10.0}, [1.0] * 20, 10, None),
        ({"warmup_batches": 3, "warmup_s": 10.0, "warmup_max_batches": 5}, [1.0] * 20, 10, None),
        ({"warmup_batches": 3, "warmup_s": 10.0, "warmup_cv_pct": 5}, [1.0] * 4 + [2.0, 1.0] * 9, 8, 0.0),
        (
            {"warmup_batches": 3, "warmup_s": 9.0, "warmup_cv_pct": 5, "warmup_max_batches": 4},
            [1.0, 2.0] * 2 + [1.0] * 9,
            7,
            0.0,
        ),
        ({"warmup_batches": 0}, [1.0], 1, None),
    ],
)
def test_a_warm_up_goes_on_until_it_is_met(
    hand: Hand, steps: dict, seconds: list[float], n_batches: int, cv: float | None
) -> None:
    """Enough batches, then a steady pace or the most batches, and enough seconds; a pace that was steady once is."""
    protocol = replace(PROTOCOLS["quick"], **steps)
    model, start = Model(hand, iter(seconds)), hand.now
    done = warm_up(model, [speak([16_000])], protocol)
    assert done.warmup_batches == n_batches == len(model.heard)
    assert done.warmup_s == hand.now - start == pytest.approx(sum(seconds[:n_batches]))
    assert done.warmup_cv_pct == (cv if cv is None else pytest.approx(cv, abs=0.01))


def test_a_steady_pace_is_by_the_second_of_audio(hand: Hand) -> None:
    """Batches of different lengths, each taking a tenth of its audio, are a steady pace."""
    queue = batches("offline", speak([64_000, 32_000, 16_000]), 1)
    model = Model(hand, cycle([0.1, 0.4, 0.2, 0.1]))
    assert warm_up(model, queue, replace(PROTOCOLS["quick"], warmup_cv_pct=5)).warmup_batches == 3


def test_the_smallest_batch_is_met_first(hand: Hand) -> None:
    """The last, smaller batch is part of every warm-up, followed by the others in their order."""
    model = Model(hand)
    queue = batches("offline", speak([5, 4, 3, 2, 1]), 2)
    warm_up(model, queue, replace(PROTOCOLS["quick"], warmup_batches=4))
    assert model.heard == [[1], [5, 4], [3, 2], [1]]


# --- idle baseline ---------------------------------------------------------------------------------------


def test_idle_power_is_joules_over_seconds(hand: Hand) -> None:
    """A scope that draws 10 W at rest has an idle power of 10 W, read over the seconds asked for."""
    start = hand.now
    assert idle_power_w([Meter(hand)], 30.0, Reading(device="cpu")) == pytest.approx(10.0)
    assert hand.now - start == 30.0


def test_no_idle_power_of_a_part_of_the_scope(hand: Hand) -> None:
    """With the GPU in scope and not read, idle power is None, not that of the CPU."""
    assert idle_power_w([Meter(hand)], 30.0, Reading(device="cuda:0")) is None


def test_a_meter_outside_is_worth_an_idle_baseline(hand: Hand) -> None:
    """Where a wall meter's log will be attached the baseline is taken, although nothing here reads energy."""
    start, reading = hand.now, Reading()
    assert idle_power_w([Clock()], 30.0, reading, logged=True) is None
    assert reading.segments == [(start, start + 30.0)]
    for drift_pct, n_idled in ((None, 0), (10.0, 1)):
        idled: list[None] = []
        assert idle_after_w(lambda idled=idled: idled.append(None), None, drift_pct, logged=True) is None
        assert len(idled) == n_idled


@pytest.mark.parametrize(("with_energy", "idle_s"), [(True, 0.0), (False, 30.0)])
def test_no_waiting_for_nothing(hand: Hand, with_energy: bool, idle_s: float) -> None:
    """Without an energy meter, or without seconds to idle, nobody waits and the power is None."""
    start, energy_meter = hand.now, Meter(hand)
    meters = [energy_meter if with_energy else Clock()]
    assert idle_power_w(meters, idle_s, Reading(device="cpu")) is None
    assert (hand.now, energy_meter.n_windows) == (start, 0)


@pytest.mark.parametrize(
    ("watts", "drift_pct", "expected", "n_baselines"),
    [
        ([11.0], 10, 11.0, 1),
        ([9.0], 10, 9.0, 1),
        ([11.01, 10.5], 10, 10.5, 2),
        ([8.99, 8.0], 10, 8.0, 2),
        ([99.0], None, None, 0),
    ],
)
def test_idle_power_is_measured_again_where_it_has_drifted(
    watts: list[float], drift_pct: float | None, expected: float | None, n_baselines: int
) -> None:
    """After a window the baseline of 10 W is checked; at more than 10 % from it a second look decides."""
    looks = iter(watts)
    assert idle_after_w(lambda: next(looks), 10.0, drift_pct) == expected
    assert len(watts) - len(list(looks)) == n_baselines


def test_without_a_baseline_there_is_nothing_to_check() -> None:
    """Where idle power was not measured before the window, nobody idles after it."""
    assert idle_after_w(lambda: pytest.fail("idled"), None, 10) is None


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
