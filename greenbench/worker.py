"""The child process of one cell: load, warm up, measure, score, and hand each row over the moment it exists."""

import json
import os
import sys
import time
import traceback
from collections import deque
from typing import Any

from pydantic import TypeAdapter

from greenbench import rows
from greenbench.corpus import Corpus
from greenbench.measurement import Load, idle_after_w, idle_power_w, run_window, warm_up
from greenbench.meters import select
from greenbench.plan import Cell, Job
from greenbench.plugins import Transcriber, Variant
from greenbench.record import to_row
from greenbench.scenarios import batches
from greenbench.suite import build_dataset, build_protocol, build_variant


class Channel:
    """The line to the parent: JSON lines out, and one acknowledgement in for each ``ask``.

    Whatever libraries print goes to standard error, so that it cannot garble the messages.
    """

    def __init__(self) -> None:
        """Take over standard output."""
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def send(self, kind: str, **content: Any) -> None:
        """Send one message."""
        self._out.write(json.dumps({"kind": kind, **content}, allow_nan=False) + "\n")
        self._out.flush()

    def ask(self, kind: str, **content: Any) -> None:
        """Send a message and wait until the parent has dealt with it and gone back to sleep."""
        self.send(kind, ack=True, **content)
        if not sys.stdin.readline():
            raise SystemExit("the parent is gone")


def run_cell(job: Job, channel: Channel) -> None:
    """Measure one cell: a row, and the texts behind it, for each repeat."""
    variant = build_variant(job.cell.variant)
    reason = unusable(job.cell.device) or variant.unsupported(job.cell.device)
    if reason:
        channel.send("record", row=to_row(rows.not_measured(job, "skipped", reason)))
        return
    corpus = _decode(job.cell, channel)
    transcriber, metrics = _load(variant, job.cell, corpus, channel)
    assert corpus.census is not None
    setting = rows.Setting(corpus.census, transcriber.batching, device_name(job.cell.device), metrics)
    _measure(job, transcriber, corpus, setting, channel)


def _measure(job: Job, transcriber: Transcriber, corpus: Corpus, setting: rows.Setting, channel: Channel) -> None:
    """Measure the cell's windows; idling comes before the warm-up, for a model that has rested is not warm."""
    steps, device = build_protocol(job.suite.protocol), job.cell.device
    load = Load(job.cell.scenario, job.cell.batch_size, steps.window_s)
    meters = select(job.suite.estimate_energy, job.suite.meters)
    channel.ask("phase", text="idle baseline")
    idle_w = idle_power_w(meters, device, steps.idle_s)
    for repeat in range(steps.repeats):
        channel.send("phase", text="warming up")
        warmth = warm_up(transcriber, batches(load.scenario, next(corpus.chunks()), load.batch_size), steps)
        channel.ask("phase", text=f"measuring {repeat + 1}/{steps.repeats}")
        window = run_window(transcriber, corpus, load, meters)
        if steps.idle_drift_pct is not None:
            channel.ask("phase", text="idle baseline again")
        after_w = idle_after_w(meters, device, steps, idle_w)
        told = rows.beside(setting, warmth, idle_w, after_w)
        channel.send("hypotheses", rows=rows.hypotheses(job, repeat, window))
        channel.send("record", row=to_row(rows.measured(job, repeat, told, window)))
        idle_w = idle_w if after_w is None else after_w


def _decode(cell: Cell, channel: Channel) -> Corpus:
    """Pass over the data set once: it is counted and hashed, and kept if it fits into memory."""
    channel.send("phase", text="decoding")
    entry = cell.dataset
    corpus = Corpus(build_dataset(entry), entry.limit, entry.on_bad_audio)
    deque(corpus.chunks(), maxlen=0)  # keeps no chunk while the next is decoded
    return corpus


def _load(
    variant: Variant, cell: Cell, corpus: Corpus, channel: Channel
) -> tuple[Transcriber, dict[str, float | int | None]]:
    """Load the model and run its first utterance, cold."""
    first = next(corpus.chunks())[0]
    channel.send("phase", text="loading")
    start = time.perf_counter()
    transcriber = variant.load(cell.device)
    loaded = time.perf_counter()
    channel.send("phase", text="first utterance")
    first_start = time.perf_counter()
    transcriber([first.audio])
    return transcriber, {
        "load_s": loaded - start,
        "first_utterance_s": time.perf_counter() - first_start,
        "n_params": transcriber.footprint.n_params,
        "model_bytes": transcriber.footprint.model_bytes,
    }


def unusable(device: str) -> str | None:
    """Say why a device cannot be used here, or return None."""
    if device == "cpu":
        return None
    import torch

    if not torch.cuda.is_available():
        return f"torch {torch.__version__} sees no CUDA device"
    index, n_devices = int(device.partition(":")[2] or 0), torch.cuda.device_count()
    return f"there is no {device}: torch sees {n_devices} CUDA device(s)" if index >= n_devices else None


def device_name(device: str) -> str | None:
    """Return the product name of a device."""
    if device == "cpu":
        from greenbench.environment import machine

        name: str | None = machine()["cpu_model"]
        return name
    import torch

    return str(torch.cuda.get_device_name(device))


def main() -> None:
    """Read one job from standard input and run it; every exception becomes an ``error`` row."""
    job = TypeAdapter(Job).validate_json(sys.stdin.readline())
    channel = Channel()
    try:
        run_cell(job, channel)
    except Exception as error:
        traceback.print_exc()
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        channel.send("record", row=to_row(rows.not_measured(job, "error", reason)))
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
