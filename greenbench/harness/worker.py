"""The child process of one cell: load, warm up, measure, score, and hand each row over the moment it exists."""

import json
import math
import os
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import TypeAdapter

from greenbench import processes, tasks
from greenbench.datasets.corpus import Corpus
from greenbench.errors import AnswerError, GreenbenchError, UnansweredError, words
from greenbench.files.unicode import to_json, visible
from greenbench.hardware import devices, environment
from greenbench.harness import messages, most_streams, rows, server, sizes, streams, word_times
from greenbench.harness.idle import WarmUp, idle_after_w, idle_power_w, warm_up
from greenbench.harness.job import Job
from greenbench.harness.load import Load, batches
from greenbench.harness.overhead import overhead
from greenbench.harness.streams import Streamed
from greenbench.harness.window import Window, run_window, transcribe
from greenbench.meters import absent, energy, select
from greenbench.plugins import TRANSCRIBE, Inapplicable, Meter, Reading, StatesDecoding, Transcriber, Variant
from greenbench.results.record import to_row
from greenbench.results.runfiles import RECORDS, unstorable
from greenbench.suite import scenarios
from greenbench.suite.entries import build_variant, corpus_of, task_of
from greenbench.suite.plan import Cell

MAX_REASON = 2000
"""Characters of a reason, which is a line in tables."""

RunWindow = Callable[[Load], Window]
"""Runs one window with the warm model on the corpus, under the meters."""


class Channel:
    """The line to the parent: JSON lines out, and one acknowledgement in for each ``ask``.

    Whatever libraries print goes to standard error, and what they read is empty, so that neither garbles the messages.
    """

    def __init__(self) -> None:
        """Take over standard input and output."""
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self._receive = processes.follow_parent(os.fdopen(os.dup(0), "rb"))
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)

    def job(self) -> Job:
        """Read what to measure."""
        return TypeAdapter(Job).validate_python(json.loads(self._receive()))

    def send(self, kind: str, **content: Any) -> None:
        """Send one message."""
        self._out.write(to_json({"kind": kind, **content}) + "\n")
        self._out.flush()

    def ask(self, kind: str, **content: Any) -> None:
        """Send a message and wait until the parent has dealt with it and gone back to sleep."""
        self.send(kind, ack=True, **content)
        if not self._receive():
            raise SystemExit("the parent is gone")


def run_cell(job: Job, channel: Channel) -> None:
    """Measure one cell: a row, and the texts behind it, for each repeat."""
    variant = build_variant(job.cell.variant)
    reason = devices.unusable(job.cell.device) or variant.unsupported(job.cell.device) or _unstreamed(job.cell)
    if reason:
        why = "inapplicable" if isinstance(reason, Inapplicable) else "lacking"
        channel.send("record", row=to_row(rows.not_measured(job, "skipped", reason, why)))
        return
    corpus = _decode(job.cell, channel)
    calibration = variant.calibration()  # before the model is loaded, which takes its time
    try:
        transcriber, metrics = _load(variant, job.cell, corpus, channel)
    except UnansweredError as error:
        channel.send("record", row=to_row(rows.not_measured(job, "skipped", str(error), "inapplicable")))
        return
    product = environment.product(job.cell.device)  # torch then knows the GPU's identity, which meters ask for
    assert corpus.stats is not None
    dtype = transcriber.footprint.compute_dtype
    for warning in variant.warnings():
        channel.send("warning", text=f"{variant.name}: {warning}")
    model = rows.described(job, variant) | {"calibration": ", ".join(map(str, calibration)) or None}
    decoding = transcriber.decoding if isinstance(transcriber, StatesDecoding) else variant.decoding()
    facts = rows.CellFacts(model, corpus.stats, transcriber.batching, product, metrics, dtype, decoding)
    facts = replace(facts, unmeasured=variant.unmeasured)
    if job.cell.scenario == "streaming":
        if unfit := streams.unfit(transcriber, job.suite.streaming, corpus):
            channel.send("record", row=to_row(rows.not_measured(job, "skipped", unfit, "inapplicable")))
            return
        aligned = word_times.read(job.word_times)
        transcriber = Streamed(transcriber, job.suite.streaming, aligned)
        facts = replace(facts, streamed_by=transcriber.how, aligned=aligned)
    _measure(job, transcriber, corpus, facts, channel)


def _unstreamed(cell: Cell) -> Inapplicable | None:
    """Say why a cell's task is not streamed, or return None."""
    task = task_of(cell.dataset.use)
    if cell.scenario != "streaming" or task == TRANSCRIBE:
        return None
    return Inapplicable(f"scenario streaming shows texts while they grow, and task {task} has none")


def _measure(job: Job, transcriber: Transcriber, corpus: Corpus, facts: rows.CellFacts, channel: Channel) -> None:
    """Measure the cell's windows; idling comes before the warm-up, for a model that has rested is not warm."""
    steps = job.suite.protocol
    meters, reasons = _meters(job, facts.unmeasured)
    if job.measure_overhead:
        channel.send("overhead", **overhead(meters))
    idle = partial(_idle_power_w, job, meters, channel)
    idle_w = idle()

    def run(load: Load) -> Window:
        fresh, exits = Reading(trace=job.trace, device=job.cell.device, absent=reasons), transcriber.footprint.exits
        if exits is not None:
            exits.layers_run.clear()
        if isinstance(transcriber, Streamed):
            transcriber.n_streams = load.n_streams
        window = run_window(transcriber, corpus, load, meters, fresh)
        for metric in facts.unmeasured:
            window.reading.quantities.pop(metric, None)
        if exits is not None:
            window.layers_run.update(exits.layers_run)
        return transcriber.logged(window) if isinstance(transcriber, Streamed) else window

    for repeat in range(steps.repeats):
        channel.send("phase", text="warming up")
        queue = batches(job.cell.scenario, next(corpus.chunks()), job.cell.batch_size)
        warmth = warm_up(transcriber, queue, steps)
        window = _window(job, repeat, warmth, corpus, run, channel)
        if window is None:
            return
        channel.send("window", row=rows.window_edges(job, repeat, window.reading, window.pass_s))
        after_w = idle_after_w(idle, idle_w, steps.idle_drift_pct, job.power_logged)
        work = sizes.work_run(transcriber.footprint, facts.stats, window.layers_run)
        ran = replace(facts, metrics={**facts.metrics, **work})
        of_window = rows.with_idle_power(ran, warmth, idle_w, after_w)
        channel.send("hypotheses", rows=rows.hypotheses(job, repeat, window))
        channel.send("record", row=_checked(to_row(rows.measured(job, repeat, of_window, window))))
        idle_w = idle_w if after_w is None else after_w


def _meters(job: Job, unmeasured: Mapping[str, str]) -> tuple[list[Meter], dict[str, str]]:
    """Return the meters of a cell, and by metric why none of them reads it."""
    meters, joules = select(job.suite.estimate_energy, job.suite.meters), list(map(energy.part_column, energy.PARTS))
    why = scenarios.without_energy(job.cell.scenario, job.suite.streaming)
    unread = {**unmeasured, **(dict.fromkeys(joules, why) if why else {})}
    if not unread.keys().isdisjoint(joules):
        meters = [meter for meter in meters if not energy.reads_joules(meter)]
    return meters, {**absent(meters, job.suite.meters), **unread}


def _checked(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row that can be stored.

    Raises:
        ValueError: a value that a plug-in returned has a wrong type, or is not finite.
    """
    for fault in unstorable(RECORDS, row):
        raise ValueError(f"the row cannot be stored: {fault[:300]}")
    return row


def _window(job: Job, repeat: int, warmth: WarmUp, corpus: Corpus, run: RunWindow, channel: Channel) -> Window | None:
    """Run the window of a repeat as its scenario has it; None where the cell is skipped."""
    if job.cell.scenario == "server":
        return _serve(job, repeat, run, channel)
    assert corpus.stats is not None
    pass_s = warmth.expected_s(math.ceil(corpus.stats.n_utterances / job.cell.batch_size))
    send = _stream if job.cell.scenario == "streaming" else _send
    return send(job, repeat, pass_s, corpus, run, channel)


def _send(job: Job, repeat: int, pass_s: float, _corpus: Corpus, run: RunWindow, channel: Channel) -> Window:
    """Run a window with the utterances sent as fast as they are done; a pass takes about ``pass_s``."""
    steps = job.suite.protocol
    about_s = max(steps.window_s, pass_s)
    channel.ask("phase", text=f"measuring {repeat + 1}/{steps.repeats}, about {about_s:.0f} s")
    return run(Load(job.cell.scenario, job.cell.batch_size, steps.window_s))


def _serve(job: Job, repeat: int, run: RunWindow, channel: Channel) -> Window | None:
    """Find the rate that the model can serve; one that is too slow for any is skipped, and returns None.

    All probes of a repeat draw the same arrivals, only faster or slower; other repeats and rounds draw others.
    """
    steps, asked = job.suite.protocol, job.suite.server
    phase, n = f"measuring {repeat + 1}/{steps.repeats}", scenarios.n_queries(asked)
    channel.ask("phase", text=f"{phase}: without a queue")
    alone = run(Load("single-stream", 1, 0.0))
    reason = server.too_slow(asked, alone)
    if reason:
        channel.send("record", row=to_row(rows.not_measured(job, "skipped", reason, "unservable")))
        return None

    def probe(rate_hz: float) -> Window:
        channel.ask("phase", text=f"{phase}: {rate_hz:.3g}/s for about {max(steps.window_s, n / rate_hz):.0f} s")
        seed = f"{asked.seed}-{job.cell.round}-{repeat}"
        return run(Load(job.cell.scenario, 1, steps.window_s, n, rate_hz, seed))

    return server.search(asked, server.capacity_hz(alone), probe)


def _stream(job: Job, repeat: int, pass_s: float, corpus: Corpus, run: RunWindow, channel: Channel) -> Window:
    """Run a window with the streams at once that the suite asks for, or of the most that the model serves.

    A pass is handed over together; one stream takes about ``pass_s`` for it.
    """
    steps, asked, stats = job.suite.protocol, job.suite.streaming, corpus.stats
    assert stats is not None

    def measure(n_streams: int, n_passes: int = 1) -> Window:
        at_once = 1 if asked.pace == scenarios.SIMULATED else n_streams  # the model computes one after the other
        about_s = max(steps.window_s, n_passes * pass_s / at_once)
        streams = f": {n_streams} streams" if n_streams > 1 else ""
        channel.ask("phase", text=f"measuring {repeat + 1}/{steps.repeats}{streams}, about {about_s:.0f} s")
        return run(Load("streaming", stats.n_utterances, steps.window_s, n_streams=n_streams, n_passes=n_passes))

    if asked.streams == "search":
        return most_streams.search(asked, stats.audio_s, len(next(corpus.chunks())), measure)
    return measure(asked.streams)


def _decode(cell: Cell, channel: Channel) -> Corpus:
    """Pass over the data set once: it is counted and hashed, and kept if it fits into memory."""
    channel.send("phase", text="decoding")
    corpus = corpus_of(cell.dataset)
    deque(corpus.chunks(), maxlen=0)  # keeps no chunk while the next is decoded
    return corpus


def _load(
    variant: Variant, cell: Cell, corpus: Corpus, channel: Channel
) -> tuple[Transcriber, dict[str, float | int | None]]:
    """Load the model and run its first utterance, cold.

    Raises:
        UnansweredError: the model does not answer the data set's task.
    """
    first = next(corpus.chunks())[0]
    channel.send("phase", text="loading")
    start = time.perf_counter()
    transcriber = variant.load(cell.device)
    loaded = time.perf_counter()
    size = sizes.size(transcriber)
    task = tasks.create(task_of(cell.dataset.use))
    transcriber = task.answering(transcriber, (clip.reference for clip in corpus.clips()))
    channel.send("phase", text="first utterance")
    first_start = time.perf_counter()
    transcribe(transcriber, [first])
    return transcriber, {
        "load_s": None if "load_s" in variant.unmeasured else loaded - start,
        "first_utterance_s": time.perf_counter() - first_start,
        **size,
        "n_nonzero_params": sizes.number("n_nonzero_params", transcriber.footprint.n_nonzero_params()),
        "macs_per_audio_s": sizes.number("macs", sizes.macs_per_audio_s(transcriber.footprint, corpus.stats)),
    }


def _idle_power_w(job: Job, meters: list[Meter], channel: Channel) -> float | None:
    channel.ask("phase", text="idle baseline")
    reading = Reading(trace=job.trace, device=job.cell.device)
    watts = idle_power_w(meters, job.suite.protocol.idle_s, reading, job.power_logged)
    if reading.segments:
        channel.send("window", row=rows.window_edges(job, None, reading))
    return watts


def main() -> None:
    """Read one job from standard input and run it; every exception becomes an ``error`` row."""
    channel = Channel()
    job = channel.job()
    try:
        run_cell(job, channel)
        channel.send("done")
    except BaseException as error:
        _explain(job, channel, error)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise SystemExit(1) from None


def _explain(job: Job, channel: Channel, error: BaseException) -> None:
    """Send the row of a failure; where the line is gone, the exit code says so."""
    with suppress(Exception):  # standard error may be closed, or anything else
        traceback.print_exception(error)
    try:
        channel.send("record", row=to_row(rows.failed(job, _reason(job, error))))
        channel.send("done")
    except (OSError, ValueError):
        os._exit(messages.LOST)


def _reason(job: Job, error: BaseException) -> str:
    """Say in one line what was raised, whatever its own words do."""
    of = f"{job.cell.variant.name}: " if isinstance(error, AnswerError) else ""
    kind = "" if isinstance(error, GreenbenchError) else f"{type(error).__name__}: "
    return visible(f"{kind}{of}{words(error)}".removesuffix(": "))[:MAX_REASON]


if __name__ == "__main__":
    main()
