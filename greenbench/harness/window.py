"""The window: the loop in which nothing runs but the model, and what it gave."""

import math
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle

from greenbench.datasets.corpus import Corpus
from greenbench.errors import AnswerError, NotFiniteError
from greenbench.files.unicode import printable
from greenbench.harness.load import Load, Queue, batches, pace
from greenbench.meters import energy, measure
from greenbench.plugins import SAMPLE_RATE_HZ, Meter, Reading, Transcriber, Utterance, WordTime
from greenbench.results.runfiles import MAX_TEXT
from greenbench.streaming.log import StreamLog


@dataclass(frozen=True)
class UtteranceFacts:
    """What is kept of an utterance once its audio is not needed any more."""

    utterance_id: str
    speaker: str | None
    reference: str
    audio_s: float
    audio_digest: str
    slices: Mapping[str, str] = field(default_factory=dict, hash=False)
    terms: tuple[str, ...] = ()
    words: tuple[WordTime, ...] = ()


@dataclass(frozen=True)
class Probe:
    """Whether one window of a search held its bound under its load.

    Attributes:
        load: arrivals a second of a server, or streams at once.
        n: utterances that arrived, or chunks of streams.
        n_late: those beyond the bound.
        held: whether so few late ones show that the bound holds.
        utilisation_pct: of streams, the share of its time that the model computes, above 100 where it falls behind.
    """

    load: float
    n: int
    n_late: int
    held: bool
    utilisation_pct: float | None = None


@dataclass
class Window:
    """What one window gave.

    Attributes:
        reading: of the meters, over all segments.
        spoken: the utterances of the first pass, in the order of the data set.
        texts: of the first pass, by utterance id.
        latencies_s: ``(utterance id, seconds)`` of every utterance that was a batch by itself, all passes; a
            server's run from the utterance's arrival, those of streaming from its last sample to the final text.
        audio_s: transcribed, all passes.
        padded_s: the same with every utterance as long as the longest in its batch.
        n_passes: whole passes over the data set.
        pass_s: seconds of the batches of each pass; meaningless for a server, whose batches wait for arrivals.
        layers_run: utterances of all passes by the layers that ran for them; empty for models that always run all.
        unstable: whether a later pass gave another text than the first.
        probes: of the search that chose this window.
        streams: the log of each of ``latencies_s``, where utterances were streamed.
    """

    reading: Reading = field(default_factory=Reading)
    spoken: list[UtteranceFacts] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    latencies_s: list[tuple[str, float]] = field(default_factory=list)
    audio_s: float = 0.0
    padded_s: float = 0.0
    n_passes: int = 0
    pass_s: list[float] = field(default_factory=list)
    layers_run: Counter[int] = field(default_factory=Counter)
    unstable: bool = False
    probes: tuple[Probe, ...] = ()
    streams: tuple[StreamLog, ...] = ()


def run_window(
    transcriber: Transcriber, corpus: Corpus, load: Load, meters: Sequence[Meter], reading: Reading | None = None
) -> Window:
    """Transcribe whole passes over the corpus until the window is long enough.

    A corpus that fits into memory is one segment, its passes back to back. A larger one is a segment a chunk;
    what is decoded between the chunks is outside every segment.

    Args:
        transcriber: a warm model.
        corpus: passed over at least once before.
        load: scenario, batch size, shortest window, arrivals.
        meters: read at the edges of each segment.
        reading: a fresh one, which states for the meters where the model runs.
    """
    window = Window(Reading() if reading is None else reading)
    rng, n_batches = random.Random(load.seed), 0  # noqa: S311 (an order, not a secret)
    while True:
        pass_s: list[float] = []
        for chunk in corpus.chunks():
            queue = batches(load.scenario, chunk, load.batch_size, rng)
            part = load if corpus.in_memory else replace(load, window_s=0.0, n_batches=0, n_passes=1)
            of_chunk = _run_segment(transcriber, queue, meters, window, part, rng)
            pass_s = [a + b for a, b in zip(pass_s, of_chunk, strict=True)] if pass_s else of_chunk
            n_passes = len(of_chunk)
            n_batches += n_passes * len(queue)
            window.audio_s += n_passes * sum(len(u.audio) for u in chunk) / SAMPLE_RATE_HZ
            window.padded_s += n_passes * _padded_samples(queue) / SAMPLE_RATE_HZ
            if window.n_passes == 0:
                window.spoken += map(_facts, chunk)
            del chunk, queue  # or two chunks would be in memory while the next one is decoded
        window.n_passes += len(pass_s)
        window.pass_s += pass_s
        is_long = (window.reading.value("wall_s") or math.inf) >= load.window_s and n_batches >= load.n_batches
        if is_long and window.n_passes >= load.n_passes:
            energy.reject_low_system(window.reading)
            return window


def _facts(u: Utterance) -> UtteranceFacts:
    return UtteranceFacts(u.id, u.speaker, u.reference, u.duration_s, u.audio_digest, u.slices, u.terms, u.words)


def _padded_samples(queue: Queue) -> int:
    """Return the samples of the queue with every utterance as long as the longest in its batch."""
    return sum(len(batch) * max(len(u.audio) for u in batch) for batch in queue)


def _run_segment(
    transcriber: Transcriber, queue: Queue, meters: Sequence[Meter], window: Window, load: Load, rng: random.Random
) -> list[float]:
    """Run whole passes over the queue under the meters; return the seconds of the batches of each."""
    waveforms = [[utterance.audio for utterance in batch] for batch in queue]
    clock, n_batches = time.perf_counter, max(load.n_batches, load.n_passes * len(queue))
    answers: list[tuple[list[str], float]] = []
    with measure(meters, window.reading):
        start, wait = clock(), pace(load.rate_hz, rng)
        try:
            while True:
                for batch in waveforms:
                    due = wait()
                    texts = transcriber(batch)
                    answers.append((texts, clock() - due))
                if clock() - start >= load.window_s and len(answers) >= n_batches:
                    break
        except NotFiniteError as error:
            raise error.of([utterance.id for utterance in queue[len(answers) % len(queue)]]) from None
    _collect(queue, answers, window)
    return [sum(s for _, s in answers[at : at + len(queue)]) for at in range(0, len(answers), len(queue))]


def _collect(queue: Queue, answers: Sequence[tuple[list[str], float]], window: Window) -> None:
    """Sort a segment's answers by utterance."""
    for batch, (answer, seconds) in zip(cycle(queue), answers):
        for utterance, text in zip(batch, checked(answer, len(batch)), strict=True):
            window.unstable |= window.texts.setdefault(utterance.id, text) != text
        if len(batch) == 1:
            window.latencies_s.append((batch[0].id, seconds))


def checked(answer: object, n_waveforms: int) -> list[str]:
    """Return the texts of a model's answer, ``printable`` and of Python's own type; called outside of windows only.

    Raises:
        AnswerError: it is no list with a ``str`` for each waveform, or a text is longer than anybody speaks.
    """
    if not isinstance(answer, list):
        raise AnswerError(f"a {type(answer).__name__}")
    if len(answer) != n_waveforms:
        raise AnswerError(f"{len(answer)} texts for a batch of {n_waveforms}")
    for number, text in enumerate(answer):
        if not isinstance(text, str):
            raise AnswerError(f"a list with a {type(text).__name__} at place {number}")
        if str.__len__(text) > MAX_TEXT:
            raise AnswerError(f"a text of {str.__len__(text)} characters, more than {MAX_TEXT}")
    return [printable(str.__str__(text)) for text in answer]  # a subclass may say anything of itself


def transcribe(transcriber: Transcriber, batch: Sequence[Utterance]) -> list[str]:
    """Transcribe a batch outside of windows.

    Raises:
        NotFiniteError: names the utterances.
        AnswerError: the answer is no list of texts.
    """
    try:
        return checked(transcriber([utterance.audio for utterance in batch]), len(batch))
    except NotFiniteError as error:
        raise error.of([utterance.id for utterance in batch]) from None
