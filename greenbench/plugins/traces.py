"""Traces: samples of the machine's state that a separate process takes at a fixed rate."""

import math
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from greenbench.errors import StoreError
from greenbench.files import readback
from greenbench.files.forms import both, each, form, number, record
from greenbench.statistics.integration import Numbers, area_j

Sample = Mapping[str, float]
"""The sensors' values between two moments: ``t_s``, before the first was read, and ``t_end_s``, after the last, on
``time.perf_counter`` (one clock for all processes of a machine), and values named
``<source>.<part>.<quantity>_<unit>``, e.g. ``nvml.0.power_w`` or ``rapl.package-0.energy_uj``. Samples of earlier
versions have ``t_s`` alone."""

TIME = "t_s"
TIME_END = "t_end_s"
PID = "poller.pid"
"""The id of the process that took a sample: a process that dies is replaced by another."""

MAX_MISSED = 10
"""Periods without a sample that make a gap, over which nothing is integrated."""

BLOCK_BYTES = 1 << 16
"""A stretch of a file of samples that is read at once, rather than halved further in search of a time."""

_STEP_S = 0.01


@dataclass(frozen=True)
class Trace:
    """A file of samples, one JSON object a line, that another process appends to while it is read.

    Attributes:
        path: of the file; lines of other kinds (without ``t_s``) are left out.
        begin: byte at which the samples on the present clock begin; earlier ones may be from before a reboot.
        period_s: between samples.
        pid: of the process that samples first.
    """

    path: Path
    begin: int = 0
    period_s: float = 0.1
    pid: int | None = None

    @property
    def max_gap_s(self) -> float:
        """The longest time between two samples over which may be integrated."""
        return MAX_MISSED * self.period_s

    def samples(self, start_s: float, end_s: float) -> list[Sample]:
        """Return the samples from the last one before ``start_s`` to the first one after ``end_s``, in order."""
        selected: list[Sample] = []
        with suppress(StoreError), readback.open_file(self.path) as stream:
            stream.seek(_last_before(stream, self.begin, start_s))
            for sample in _read(stream):
                if _ended_s(sample) < start_s:
                    selected.clear()
                selected.append(sample)
                if sample[TIME] > end_s:
                    break
        return selected

    def present_pid(self) -> int | None:
        """Return the process that samples now, by the latest sample."""
        latest = [sample[PID] for sample in self.samples(math.inf, math.inf) if PID in sample]
        return int(latest[-1]) if latest else self.pid

    def lost_s(self, segments: Iterable[Sequence[float]]) -> float:
        """Return how many seconds of these segments lie in gaps, longer than ``max_gap_s``, without any sample."""
        sampled = (([sample[TIME] for sample in self.samples(start, end)], start, end) for start, end in segments)
        return sum(lost_s(times, start, end, self.max_gap_s) for times, start, end in sampled)

    def await_sample(self, after_s: float) -> None:
        """Sleep until there is a sample later than ``after_s``, or one is overdue."""
        for _ in range(math.ceil(self.max_gap_s / _STEP_S)):
            latest = self.samples(after_s, after_s)[-1:]
            if latest and latest[0][TIME] > after_s:
                return
            time.sleep(_STEP_S)


def lost_s(times: Sequence[float], start_s: float, end_s: float, max_gap_s: float) -> float:
    """Return how many seconds of a window lie in gaps, longer than ``max_gap_s``, between the times of samples."""
    edges = [] if times and times[0] <= start_s else [-math.inf]
    # The sample after the window may not be written yet: until one is overdue nothing is lost.
    points = [*edges, *times, *([end_s] if not times or times[-1] < end_s else [])]
    gaps = [(a, b) for a, b in pairwise(points) if b - a > max_gap_s]
    return sum(max(0.0, min(b, end_s) - max(a, start_s)) for a, b in gaps)


def _read(stream: BinaryIO) -> Iterator[Sample]:
    """Yield the samples in whole lines; the last line may be half written, and a full disk tears one off."""
    for line in iter(partial(stream.readline, _LINE_BYTES), b""):
        if line.endswith(b"\n") and isinstance(sample := readback.judged(_SAMPLE, 0, line), dict):
            yield sample


_LINE_BYTES = 1 << 16
"""Longer than any sample."""

_SAMPLE = form(both(each(number()), record({TIME: number()})))
_HEADER = form(record({"header": record({TIME: number(), "utc_s": number(), "period_s": number(0)})}))


def line_faults(content: Any) -> list[str]:
    """Describe what is wrong with a line of a trace: a poller's header, or a sample."""
    return _HEADER(content) if isinstance(content, dict) and "header" in content else _SAMPLE(content)


def _last_before(stream: BinaryIO, begin: int, t_s: float) -> int:
    """Return the byte from which to read so as to include the last sample before ``t_s``, by bisection."""
    low, high = begin, stream.seek(0, 2)
    while high - low > BLOCK_BYTES:
        middle = (low + high) // 2
        stream.seek(middle)
        stream.readline()  # the rest of a line
        at = stream.tell()
        sample = next(_read(stream), None)
        if sample is not None and _ended_s(sample) < t_s:
            low = at
        else:
            high = middle
    return low


def _ended_s(sample: Sample) -> float:
    """Return the time at which a sample's last sensor had been read; of a sample with one time, that time."""
    return sample.get(TIME_END, sample[TIME])


def inside(samples: Sequence[Sample], start_s: float, end_s: float) -> list[tuple[float, float, Sample]]:
    """Return the samples that were read wholly inside a window, each with the times before and after its read.

    A sample with a single time had been read by the time of the next one, so it counts only if that is inside, too.
    """
    following = [sample[TIME] for sample in samples[1:]] + [math.inf]
    reads = [(s[TIME], s.get(TIME_END, next_s), s) for s, next_s in zip(samples, following, strict=False)]
    return [read for read in reads if start_s <= read[0] and read[1] <= end_s]


@dataclass(frozen=True)
class Session:
    """The samples of one poller, from its header to the next one's.

    Attributes:
        offset_s: UTC minus the samples' clock, in seconds, when the poller began.
        period_s: between samples.
        samples: in the order of their times.
    """

    offset_s: float
    period_s: float
    samples: Sequence[Sample]

    def over(self, start_s: float, end_s: float) -> list[Sample]:
        """Return the samples from the last one before ``start_s`` to the first one after ``end_s``."""
        first = bisect_left(self.samples, start_s, key=_time) - 1
        last = bisect_right(self.samples, end_s, key=_time) + 1
        return list(self.samples[max(first, 0) : last])


def together(several: Sequence[Session], start_s: float, end_s: float) -> Session:
    """Merge the samples that pollers on one clock took around a period of time into one session."""
    samples = sorted((sample for session in several for sample in session.over(start_s, end_s)), key=_time)
    return Session(several[0].offset_s, max(session.period_s for session in several), samples)


def sessions(rows: Iterable[Mapping[str, Any]]) -> list[Session]:
    """Group the lines of a file of samples by the poller that wrote them.

    Lines of other kinds are left out, and so is a poller that wrote no sample before the next began.
    """
    groups: list[tuple[Mapping[str, Any], list[Sample]]] = []
    for row in rows:
        if "header" in row:
            if groups and not groups[-1][1]:
                groups.pop()
            groups.append((row["header"], []))
        elif groups and TIME in row:
            groups[-1][1].append(row)
    return [
        Session(header["utc_s"] - header[TIME], header["period_s"], sorted(samples, key=_time))
        for header, samples in groups
    ]


def _time(sample: Sample) -> float:
    return sample[TIME]


def integrate_j(samples: Sequence[Sample], name: str, start_s: float, end_s: float) -> float | None:
    """Integrate a sampled power over a window by the trapezoid rule, with values interpolated at its edges.

    Args:
        samples: as ``Trace.samples`` returns them.
        name: of a value in W.
        start_s: start of the window on the samples' clock.
        end_s: its end.

    Returns:
        Joules, or None where fewer than two samples have the value or they do not reach over both edges.
    """
    times, watts = series(samples, name)
    if len(times) < 2 or times[0] > start_s or times[-1] < end_s:
        return None
    return area_j(times, watts, start_s, end_s)


def series(samples: Sequence[Sample], name: str) -> tuple[Numbers, Numbers]:
    """Return the times at which a value was sampled, each the middle of its sample's reads, and the values."""
    points = [((sample[TIME] + _ended_s(sample)) / 2, sample[name]) for sample in samples if name in sample]
    times, values = np.array(points, dtype=np.float64).reshape(-1, 2).T
    return times, values
