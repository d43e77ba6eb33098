"""Streaming: a model of known delay, lag and revisions is read back exactly, on a clock that only it moves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest

from greenbench.datasets.corpus import Corpus
from greenbench.errors import AnswerError
from greenbench.harness import rows, streams, worker
from greenbench.harness.job import Job
from greenbench.harness.load import Load
from greenbench.harness.streams import Streamed
from greenbench.harness.window import Window, run_window
from greenbench.plugins import Clip, Footprint, Partial, Quantity, Reading, Waveform, WordTime
from greenbench.suite import config
from greenbench.suite.entries import build_variant
from greenbench.suite.plan import plan
from greenbench.suite.scenarios import Streaming, without_energy

from .clockwork import Hand, Meter, Model

RATE = 16_000
WORDS = (WordTime("one", 0.1, 0.4), WordTime("two", 0.5, 0.9), WordTime("three", 0.9, 1.3))
"""Two seconds of speech; in chunks of half a second they end in the first, the second and the third one."""


@dataclass
class Known:
    """Shows each word ``lag`` chunks after the one with its end, where asked one chunk earlier as another word.

    Attributes:
        compute_s: seconds that it takes for a chunk, and to finish.
        lag: chunks.
        misreads: whether each word is shown wrongly first.
    """

    hand: Hand
    compute_s: float = 0.125
    lag: int = 1
    misreads: bool = False
    footprint = Footprint()
    batching = "sequential"

    def open(self) -> "KnownSession":
        return KnownSession(self)

    def __call__(self, batch: list[Waveform]) -> list[str]:
        return ["one two three"] * len(batch)


@dataclass
class KnownSession:
    model: Known
    ends_s: list[float] = field(default_factory=list)
    n_computed: int = 0

    def feed(self, chunk: Waveform) -> Partial:
        self.model.hand.move(self.model.compute_s)
        self.n_computed += len(chunk)
        self.ends_s.append(self.n_computed / RATE)
        certain = self._heard(self.model.lag)
        guessed = self._heard(self.model.lag - 1)[len(certain) :] if self.model.misreads else []
        return Partial(" ".join([*certain, *("uh" for _ in guessed)]), len(certain))

    def finish(self) -> str:
        self.model.hand.move(self.model.compute_s)
        return " ".join(word.word for word in WORDS)

    def _heard(self, lag: int) -> list[str]:
        """Return the words that ended in the chunks up to some before this one."""
        ends_s = self.ends_s[: len(self.ends_s) - lag]
        return [word.word for word in WORDS if ends_s and word.end_s <= ends_s[-1]]


def corpus(n: int = 44, words: tuple[WordTime, ...] = WORDS, n_samples: int = 2 * RATE) -> Corpus:
    audio = np.full(n_samples, 0.1, np.float32)
    clips = [Clip(f"u{i}", lambda: audio, "one two three", words=words) for i in range(n)]
    found = Corpus(lambda: iter(clips))
    assert list(found.chunks())
    return found


def streamed(hand: Hand, model: object, speech: Corpus, asked: Streaming) -> tuple[Window, dict, dict]:
    door = Streamed(model, asked)
    window = door.logged(run_window(door, speech, Load("streaming", 1, 0.0), [Meter(hand)]))
    return window, *streams.columns(window, door.how, asked)


PACES = pytest.mark.parametrize("pace", ["simulated", "real-time"])


@PACES
@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("compute_s", [0.125, 0.75])
def test_delay_and_lag_are_read_back(hand: Hand, pace: str, lag: int, compute_s: float) -> None:
    """Waiting or not, the latencies are those of the model: its queue, its seconds a chunk and its lag in chunks."""
    asked = Streaming(chunk_s=0.5, pace=pace)
    window, found, origin = streamed(hand, Known(hand, compute_s, lag), corpus(), asked)
    step_s = max(0.5, compute_s)  # from the end of one chunk to the end of the next
    late_s = step_s - 0.5
    assert found == pytest.approx({
        "first_partial_p50_s": 0.5 + compute_s + lag * step_s - 0.1,
        "first_partial_p90_s": 0.5 + compute_s + lag * step_s - 0.1,
        "final_p50_s": 3 * late_s + 2 * compute_s, "final_p90_s": 3 * late_s + 2 * compute_s, "final_p99_s": None,
        "final_only_pct": 0.0,
        "word_latency_p50_s": 0.1 + late_s + compute_s + lag * step_s,
        "word_latency_p90_s": 0.2 + 2 * late_s + compute_s + lag * step_s,
        "word_latency_mean_s": (0.1 + 0.1 + 0.2) / 3 + late_s + compute_s + lag * step_s,
        "buffer_s": (0.1 + 0.1 + 0.2) / 3, "wait_s": late_s, "word_compute_s": compute_s,
        "emission_delay_s": lag * step_s, "n_timed_words": 132,
        "chunk_compute_p99_s": None, "chunk_latency_p99_s": None,
        "late_chunk_pct": 100.0 if late_s else 0.0, "stream_rtf": 5 * compute_s / 2,
        "unstable_word_pct": 0.0, "revisions_per_word": 0.0, "recompute_factor": 1.0,
    }, abs=1e-9)  # fmt: skip
    assert window.reading.value("wall_s") / 44 == pytest.approx(
        5 * compute_s if pace == "simulated" else 2.0 + 3 * late_s + 2 * compute_s
    )
    assert (origin["streamed_by"], origin["onset_source"], origin["word_latency_note"]) == (
        streams.ITSELF,
        "first word",
        None,
    )
    assert origin["word_times_source"].startswith("manifest:")


def test_revisions_are_read_back(hand: Hand) -> None:
    """Each of three words is shown wrongly once: all are unstable, with one revision each."""
    _, found, _ = streamed(hand, Known(hand, misreads=True), corpus(), Streaming(chunk_s=0.5))
    assert (found["unstable_word_pct"], found["revisions_per_word"]) == (100.0, 1.0)
    assert found["first_partial_p50_s"] == pytest.approx(0.5 + 0.125 - 0.1)
    assert found["emission_delay_s"] == pytest.approx(0.5)


def test_what_the_first_utterances_showed_is_kept(hand: Hand) -> None:
    """Each new text with its time, and the final one at its own, whose distance to the end of the audio is known."""
    window, *_ = streamed(hand, Known(hand, misreads=True), corpus(9), Streaming(chunk_s=0.5))
    kept = streams.shown(window)
    assert list(kept) == [f"u{n}" for n in range(streams.N_SHOWN)]
    texts = [("uh", 0.625), ("one uh", 1.125), ("one two uh", 1.625), ("one two three", 2.125), ("one two three", 2.25)]
    assert [(one["text"], pytest.approx(one["time_s"])) for one in kept["u0"]] == texts
    assert kept["u0"][-1]["time_s"] - 2.0 == pytest.approx(dict(window.latencies_s)["u0"])


class Deaf(Known):
    """Streams by name only: it computes all at the end."""

    def open(self) -> KnownSession:
        return DeafSession(self)


class DeafSession(KnownSession):
    def feed(self, chunk: Waveform) -> None:
        super().feed(chunk)


def test_a_model_that_does_not_stream_is_exposed(hand: Hand) -> None:
    """Its first text is its final one, in each utterance."""
    _, found, _ = streamed(hand, Deaf(hand), corpus(), Streaming(chunk_s=0.5))
    assert found["final_only_pct"] == 100.0
    assert found["first_partial_p50_s"] == pytest.approx(2.0 + found["final_p50_s"] - 0.1)


@PACES
def test_any_model_is_streamed_by_a_growing_window(hand: Hand, pace: str) -> None:
    """Four chunks of a model that takes 0.1 s each are ten chunks of work; its text, the length, changes each time."""
    model = Model(hand, seconds=iter([0.1] * 28))
    _, found, origin = streamed(hand, model, corpus(7, words=()), Streaming(chunk_s=0.5, pace=pace))
    assert model.heard[:4] == [[8_000], [16_000], [24_000], [32_000]]
    assert (found["recompute_factor"], found["revisions_per_word"], found["unstable_word_pct"]) == (2.5, 3.0, 100.0)
    assert found["final_p50_s"] == pytest.approx(0.1)
    assert found["stream_rtf"] == pytest.approx(0.2)
    assert origin == {
        "streamed_by": "growing window, agreement of 2", "onset_source": "first sample", "word_times_source": None,
        "word_latency_note": "the times of words are not known of 7 of 7 utterances "
        "(`words` of a manifest, or `streaming.aligner`)",
    }  # fmt: skip


def test_the_last_chunk_is_as_long_as_it_is(hand: Hand) -> None:
    """Audio of 1.1 s in chunks of 0.5 s ends with one of 0.1 s, which is handed over at 1.1 s."""
    window, *_ = streamed(hand, Known(hand), corpus(1, n_samples=17_600), Streaming(chunk_s=0.5))
    (log,) = window.streams
    assert [chunk.arrival_s for chunk in log.chunks] == [0.5, 1.0, 1.1]
    assert log.final_s == pytest.approx(1.1 + (1.125 - 1.1) + 0.25)


def test_words_that_were_final_and_change_fail_the_cell(hand: Hand) -> None:
    """A session that breaks its contract gives no figures."""

    class Fickle(KnownSession):
        def feed(self, chunk: Waveform) -> Partial:
            return Partial(f"word{len(self.ends_s)}", 1) if super().feed(chunk) else Partial("")

    model = Known(hand)
    model.open = lambda: Fickle(model)
    with pytest.raises(AnswerError, match="the words that it calls final stay"):
        streamed(hand, model, corpus(1), Streaming(chunk_s=0.5))


@dataclass
class Frames:
    """Has a token for each frame of 0.1 s, and does not stream by itself."""

    hand: Hand
    footprint = Footprint()
    batching = "padded"
    frame_samples = 1_600

    def __call__(self, batch: list[Waveform]) -> list[str]:
        return self.decode(self.tokens(batch))

    def tokens(self, batch: list[Waveform]) -> list[list[int]]:
        self.hand.move(0.125)
        return [list(range(len(audio) // self.frame_samples)) for audio in batch]

    def decode(self, rows: list[list[int]]) -> list[str]:
        return [" ".join(map(str, row)) for row in rows]


def test_a_model_with_a_token_a_frame_is_streamed_in_chunks(hand: Hand) -> None:
    """Windows of 0.2 + 0.5 + 0.3 s: what is shown at the end of a chunk ends 0.3 s before it, and nothing changes."""
    asked = Streaming(chunk_s=0.5, window="chunked", left_s=0.2, right_s=0.3)
    window, found, origin = streamed(hand, Frames(hand), corpus(7, words=()), asked)
    assert origin["streamed_by"] == "chunked window, 0.2 s left, 0.3 s right"
    assert [len(chunk.partial.text.split()) for chunk in window.streams[0].chunks] == [2, 7, 12, 17]
    assert len(window.streams[0].final.split()) == 20
    assert (found["unstable_word_pct"], found["revisions_per_word"]) == (0.0, 0.0)
    assert found["recompute_factor"] == pytest.approx((0.5 + 1.0 + 1.0 + 1.0 + 0.5) / 2)


def test_only_models_with_a_token_a_frame_are_streamed_in_chunks(hand: Hand) -> None:
    """Others are named before anything is measured; one that streams by itself needs no window."""
    chunked = Streaming(window="chunked")
    assert "is for models with a token a frame (CTC)" in streams.unfit(Model(hand), chunked, corpus(7))
    fit = [(Model(hand), Streaming()), (Frames(hand), chunked), (Known(hand), chunked)]
    assert [streams.unfit(*pair, corpus(7)) for pair in fit] == [None] * 3


def test_streams_that_are_more_than_the_utterances_are_refused(hand: Hand) -> None:
    """Each needs one to be spoken; a search tries as many as there are."""
    assert streams.unfit(Known(hand), Streaming(streams=8), corpus(7)) == (
        "streaming.streams: 8 at once need as many utterances, and the data set has 7: "
        "set fewer, or a larger limit of the data set"
    )
    assert [streams.unfit(Known(hand), Streaming(streams=n), corpus(7)) for n in (7, "search")] == [None] * 2


# --- a cell ----------------------------------------------------------------------------------------------


class Channel:
    """Keeps the rows that a worker sends."""

    def __init__(self) -> None:
        self.rows: list[dict] = []
        self.texts: list[dict] = []

    def send(self, kind: str, **content: object) -> None:
        self.rows += [content["row"]] if kind == "record" else []
        self.texts += content["rows"] if kind == "hypotheses" else []

    ask = send


@dataclass
class Joules:
    """A counter of the CPU, which draws 10 W whatever it does."""

    hand: Hand
    metrics = ("energy_cpu_j",)
    estimates = False

    @contextmanager
    def window(self, reading: Reading) -> Iterator[None]:
        start_s = self.hand.now
        yield
        reading.add("energy_cpu_j", Quantity(10 * (self.hand.now - start_s), "counter", "rapl"))


@pytest.fixture
def cell(suite_data: dict, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict]:
    """Measure a model of 44 utterances as the cell of a suite at some pace, and return its row."""

    def measured(pace: str) -> dict:
        protocol = {"use": "quick", "window_s": 0, "idle_s": 1, "repeats": 1}
        asked = {"scenarios": ["streaming"], "streaming": {"chunk_s": 0.5, "pace": pace}, "protocol": protocol}
        loaded = config.load({**suite_data, **asked})
        channel, speech, (planned, *_) = Channel(), corpus(), plan(loaded)
        monkeypatch.setattr(worker, "select", lambda *_: [Joules(hand)])
        job, door = Job("r", 0, loaded, planned, started_s=hand.now), Streamed(Known(hand), loaded.streaming)
        model = rows.described(job, build_variant(planned.variant))
        facts = rows.CellFacts(model, speech.stats, "sequential", None, {}, streamed_by=door.how)
        worker._measure(job, door, speech, facts, channel)
        (row,), texts = channel.rows, channel.texts
        assert [text["latency_s"] for text in texts] == pytest.approx([row["final_p50_s"]] * 44)
        assert texts[0]["words"][0] == {"word": "one", "start_s": 0.1, "end_s": 0.4}
        return row

    return measured


def test_a_cell_at_a_simulated_pace_has_no_joules(cell: Callable[[str], dict]) -> None:
    """No meter of joules runs, no baseline is taken, and the note says why; latencies are there."""
    row = cell("simulated")
    assert (row["status"], row["energy_j"], row["idle_power_w"], row["flags"]) == ("ok", None, None, [])
    assert row["energy_cpu_note"] == without_energy("streaming", Streaming())
    assert row["final_p50_s"] == pytest.approx(0.25)
    assert (row["chunk_s"], row["pace"], row["finalise"]) == (0.5, "simulated", "end-of-audio")
    assert row["latency_p50_s"] is None


def test_a_cell_in_real_time_has_the_joules_of_waiting(cell: Callable[[str], dict]) -> None:
    """A pass takes as long as its audio and the last answers, gross joules are of all of it, and net ones none."""
    row = cell("real-time")
    assert row["wall_s"] == pytest.approx(44 * 2.25)
    assert (row["energy_j"], row["energy_net_j"]) == pytest.approx((10 * 44 * 2.25, 0), abs=1e-6)
    assert row["final_p50_s"] == pytest.approx(0.25)
    assert (row["pace"], row["wer"]) == ("real-time", 0.0)
