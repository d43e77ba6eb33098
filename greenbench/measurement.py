"""What happens around a window: warm-up, idle baseline, and the loop in which nothing runs but the model."""

import math
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle

from greenbench import energy
from greenbench.corpus import Corpus
from greenbench.errors import AnswerError, NotFiniteError
from greenbench.meters import measure
from greenbench.metrics import change_pct, ratio
from greenbench.plugins import SAMPLE_RATE_HZ, Meter, Reading, Transcriber, Utterance
from greenbench.protocol import Protocol
from greenbench.runfiles import MAX_TEXT
from greenbench.scenarios import batches, pace
from greenbench.statistics.repeats import cv_pct
from greenbench.unicode import printable

Queue = Sequence[Sequence[Utterance]]
"""The batches of one chunk, in the order in which they are sent."""


@dataclass(frozen=True)
class Spoken:
    """What is kept of an utterance once its audio is not needed any more."""

    utterance_id: str
    speaker: str | None
    reference: str
    audio_s: float
    audio_digest: str


@dataclass(frozen=True)
class Probe:
    """What one window of a server told about its rate.

    Attributes:
        rate_hz: arrivals a second.
        n_queries: utterances that arrived.
        n_late: those beyond the latency bound.
        held: whether so few late ones show that the bound holds.
    """

    rate_hz: float
    n_queries: int
    n_late: int
    held: bool


@dataclass
class Window:
    """What one window gave.

    Attributes:
        reading: of the meters, over all segments.
        spoken: the utterances of the first pass, in the order of the data set.
        texts: of the first pass, by utterance id.
        latencies_s: ``(utterance id, seconds)`` of every utterance that was a batch by itself, all passes; a
            server's run from the utterance's arrival.
        audio_s: transcribed, all passes.
        padded_s: the same with every utterance as long as the longest in its batch.
        n_passes: whole passes over the data set.
        unstable: whether a later pass gave another text than the first.
        probes: of the server's search that chose this window.
    """

    reading: Reading = field(default_factory=Reading)
    spoken: list[Spoken] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    latencies_s: list[tuple[str, float]] = field(default_factory=list)
    audio_s: float = 0.0
    padded_s: float = 0.0
    n_passes: int = 0
    unstable: bool = False
    probes: tuple[Probe, ...] = ()


@dataclass(frozen=True)
class Load:
    """How the utterances are sent, and for how long.

    Attributes:
        scenario: orders the utterances.
        batch_size: utterances a batch.
        window_s: seconds a window lasts at least.
        n_batches: batches that a window sends at least.
        rate_hz: at which they arrive; None sends each when the one before is done.
        seed: of arrivals and order.
    """

    scenario: str
    batch_size: int
    window_s: float
    n_batches: int = 0
    rate_hz: float | None = None
    seed: str = ""


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
        reading: a fresh one that tells the meters where the model runs.
    """
    window = Window(Reading() if reading is None else reading)
    rng, n_batches = random.Random(load.seed), 0  # noqa: S311 (an order, not a secret)
    while True:
        n_passes = 0
        for chunk in corpus.chunks():
            queue = batches(load.scenario, chunk, load.batch_size, rng)
            part = load if corpus.in_memory else replace(load, window_s=0.0, n_batches=0)
            n_passes = _run_segment(transcriber, queue, meters, window, part, rng)
            n_batches += n_passes * len(queue)
            window.audio_s += n_passes * sum(len(u.audio) for u in chunk) / SAMPLE_RATE_HZ
            window.padded_s += n_passes * _padded_samples(queue) / SAMPLE_RATE_HZ
            if window.n_passes == 0:
                window.spoken += [Spoken(u.id, u.speaker, u.reference, u.duration_s, u.audio_digest) for u in chunk]
            del chunk, queue  # or two chunks would be in memory while the next one is decoded
        window.n_passes += n_passes
        if (window.reading.value("wall_s") or math.inf) >= load.window_s and n_batches >= load.n_batches:
            energy.hold_system(window.reading)
            return window


def _padded_samples(queue: Queue) -> int:
    """Return the samples of the queue with every utterance as long as the longest in its batch."""
    return sum(len(batch) * max(len(u.audio) for u in batch) for batch in queue)


def _run_segment(
    transcriber: Transcriber, queue: Queue, meters: Sequence[Meter], window: Window, load: Load, rng: random.Random
) -> int:
    """Run whole passes over the queue under the meters; return how many."""
    waveforms = [[utterance.audio for utterance in batch] for batch in queue]
    clock = time.perf_counter
    answers: list[tuple[list[str], float]] = []
    with measure(meters, window.reading):
        start, wait = clock(), pace(load.rate_hz, rng)
        try:
            while True:
                for batch in waveforms:
                    due = wait()
                    texts = transcriber(batch)
                    answers.append((texts, clock() - due))
                if clock() - start >= load.window_s and len(answers) >= load.n_batches:
                    break
        except NotFiniteError as error:
            raise error.of([utterance.id for utterance in queue[len(answers) % len(queue)]]) from None
    _collect(queue, answers, window)
    return len(answers) // len(queue)


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


# --- before and after a window ---------------------------------------------------------------------------


@dataclass(frozen=True)
class WarmUp:
    """What a warm-up came to; its fields are columns of the row.

    Attributes:
        warmup_batches: run.
        warmup_s: seconds under load.
        warmup_cv_pct: coefficient of variation of three successive batches' seconds per audio second: where it first
            met the protocol, else of the last three; None where the protocol does not ask.
    """

    warmup_batches: int
    warmup_s: float
    warmup_cv_pct: float | None


def warm_up(transcriber: Transcriber, queue: Queue, steps: Protocol) -> WarmUp:
    """Run batches until the protocol's warm-up is met, or until it need not be waited for any longer.

    The last batch comes first: it may be smaller than the others, which a compiled model must have met.
    """
    start, n_batches, cv = time.perf_counter(), 0, None
    paces, steady = deque[float](maxlen=3), steps.warmup_cv_pct is None
    for batch in cycle([queue[-1], *queue]):
        before = time.perf_counter()
        transcribe(transcriber, batch)
        seconds = time.perf_counter() - start
        paces.append((start + seconds - before) / sum(u.duration_s for u in batch))
        n_batches += 1
        if steps.warmup_cv_pct is not None and not steady and n_batches >= steps.warmup_batches:
            cv = cv_pct(paces) if len(paces) == 3 else None
            steady = cv is not None and cv < steps.warmup_cv_pct
        enough = n_batches >= (steps.warmup_batches if steady else steps.warmup_max_batches)
        if enough and seconds >= steps.warmup_s:
            break
    return WarmUp(n_batches, seconds, cv)


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


def idle_power_w(meters: Sequence[Meter], idle_s: float, reading: Reading, logged: bool = False) -> float | None:
    """Return the power of the scope with the model loaded and nothing running.

    Args:
        meters: of the window; without one for energy there is nothing to wait for, unless it is ``logged``.
        idle_s: how long to idle; 0 leaves the baseline out.
        reading: a fresh one; its device decides the scope.
        logged: whether a meter outside logs the machine's power meanwhile.

    Returns:
        Watts, or None where a part of the scope could not be read.
    """
    if not idle_s or not (logged or any(name.startswith("energy_") for meter in meters for name in meter.metrics)):
        return None
    with measure(meters, reading):
        time.sleep(idle_s)
    return ratio(energy.total_j(reading.device or "cpu", reading), reading.value("wall_s"))


def idle_after_w(
    idle_w: Callable[[], float | None], before_w: float | None, drift_pct: float | None, logged: bool = False
) -> float | None:
    """Return the idle power after a window, measured again where it has drifted from ``before_w``.

    Args:
        idle_w: idles, and returns the power.
        before_w: the baseline before the window.
        drift_pct: how much drift is too much.
        logged: whether a meter outside will tell the power that nothing here can.

    Returns:
        Watts, or None where the protocol does not check or there is nothing to compare.
    """
    if drift_pct is None or (before_w is None and not logged):
        return None
    after_w = idle_w()
    drift = change_pct(before_w, after_w)
    if drift is not None and abs(drift) > drift_pct:  # a visitor, or for good? a second look tells
        after_w = idle_w()
    return after_w
