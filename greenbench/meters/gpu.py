"""GPU: temperature of the boards in use, the time for which they were slowed down, and other processes on them."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import psutil

from greenbench.hardware.gpus import GpuBoard, in_use, polled_boards
from greenbench.plugins import Quantity, Reading
from greenbench.plugins.traces import Trace, series

PROC = Path("/proc")

FIRST_PID_NAMESPACE = "pid:[4026531836]"
"""The machine's own (Linux, ``PROC_PID_INIT_INO``); in a container's, NVML hides the processes of all others."""

SENSORS: dict[str, Callable[[Any, Any], float]] = {
    "temperature_c": lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
    "utilisation_pct": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu,
    "clock_hz": lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM) * 1_000_000,
    "throttle_reasons": lambda nvml, gpu: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu),
}
"""The values of a board that the poller samples."""


@dataclass(frozen=True)
class Gpu:
    """State of the GPU boards that the model uses, at the window's edges and, for slowdowns, in between.

    ``gpu_throttled_s`` is the time lost to heat, ``gpu_power_capped_s`` that at the board's power limit, which many
    boards reach under full load without anything being wrong. Both come from the driver's counters; where it has
    none, from the throttle reasons that the poller sampled, which include hardware brakes. Of several boards the
    hottest and the one slowed down for longest count. A process is foreign where it computes on the board and is not in
    this process's tree; that is unknown where the driver hides processes, as it does from containers.
    """

    metrics: ClassVar[tuple[str, ...]] = (
        "gpu_temp_start_c", "gpu_temp_end_c", "gpu_throttled_s", "gpu_power_capped_s", "n_gpu_foreign_processes",
    )  # fmt: skip
    estimates: ClassVar[bool] = False

    def unavailable(self) -> str | None:
        """Say why no visible GPU can be queried and what to do about it, or return None."""
        with in_use(None) as used:
            return used.problem

    @contextmanager
    def window(self, reading: Reading) -> Iterator[None]:
        """Read the boards' state before and after the ``with`` block."""
        with in_use(reading.device) as used:
            before, start_s = [_look(board) for board in used.boards], time.perf_counter()
            yield
            end_s, after = time.perf_counter(), [_look(board) for board in used.boards]
        if not used.boards:
            return
        reading.first("gpu_temp_start_c", Quantity(_hottest_c(before), "sampled", "nvml"))
        reading.last("gpu_temp_end_c", Quantity(_hottest_c(after), "sampled", "nvml"))
        for cause in CAUSES:
            counted_s = _counted_s(cause, before, after)
            if counted_s is not None:
                reading.add(cause.metric, Quantity(counted_s, "counter", "nvml-violation-time"))
            else:
                seen_s = _seen_s(cause, used.boards, reading.trace, (start_s, end_s))
                reading.add(cause.metric, Quantity(seen_s, "sampled", "nvml-throttle-reasons"))
        reading.peak("n_gpu_foreign_processes", Quantity(_n_foreign([*before, *after]), "sampled", "nvml"))

    def sample(self) -> dict[str, float]:
        """Return temperature, load, clock and the reasons for lower clocks (a bit mask) of every visible board."""
        import pynvml

        seen = {}
        for board in polled_boards():
            for name, ask in SENSORS.items():
                with suppress(pynvml.NVMLError):
                    seen[board.sampled(name)] = ask(pynvml, board.handle)
        return seen


@dataclass(frozen=True)
class _Cause:
    """Why a board slows down.

    Attributes:
        metric: the seconds.
        policy: NVML's number of the counter that counts them.
        bits: of NVML's reasons for lower clocks.
    """

    metric: str
    policy: int
    bits: int


CAUSES = (
    _Cause("gpu_throttled_s", 1, 0x08 | 0x20 | 0x40 | 0x80),  # hardware slowdown, both thermal ones, power brake
    _Cause("gpu_power_capped_s", 0, 0x04),
)


# --- the edges -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _BoardState:
    """One board at one edge of a window; None where the driver does not report a value.

    Attributes:
        celsius: its temperature.
        slowed_ns: by policy, for how long it has been slowed down since the driver was loaded.
        pids: of the processes that compute on it.
        tree: this process and its descendants.
    """

    celsius: float | None
    slowed_ns: dict[int, int]
    pids: frozenset[int] | None
    tree: frozenset[int]


def _look(board: GpuBoard) -> _BoardState:
    import pynvml

    celsius, slowed_ns = None, {}
    with suppress(pynvml.NVMLError):
        celsius = SENSORS["temperature_c"](pynvml, board.handle)
    for cause in CAUSES:
        with suppress(pynvml.NVMLError):
            slowed_ns[cause.policy] = pynvml.nvmlDeviceGetViolationStatus(board.handle, cause.policy).violationTime
    me = psutil.Process()
    tree = frozenset([me.pid, *(child.pid for child in me.children(recursive=True))])
    return _BoardState(celsius, slowed_ns, processes(board), tree)


def processes(board: GpuBoard) -> frozenset[int] | None:
    """Return the ids of the processes on a board that the driver shows; None where it refuses."""
    import pynvml

    with suppress(pynvml.NVMLError):
        return frozenset(process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(board.handle))
    return None


def _hottest_c(edges: Sequence[_BoardState]) -> float | None:
    return max((edge.celsius for edge in edges if edge.celsius is not None), default=None)


def _counted_s(cause: _Cause, before: Sequence[_BoardState], after: Sequence[_BoardState]) -> float | None:
    """Return the seconds of the board that was slowed down for longest, or None where a board does not count them."""
    slowed_s = []
    for start, end in zip(before, after, strict=True):
        a_ns, b_ns = start.slowed_ns.get(cause.policy), end.slowed_ns.get(cause.policy)
        if a_ns is None or b_ns is None or b_ns < a_ns:
            return None
        slowed_s.append((b_ns - a_ns) / 1e9)
    return max(slowed_s)


def _n_foreign(edges: Sequence[_BoardState]) -> int | None:
    """Count the processes of others on the boards, or return None where the driver may hide some."""
    listed = [edge.pids for edge in edges if edge.pids is not None]
    pids, tree = frozenset[int]().union(*listed), frozenset[int]().union(*(edge.tree for edge in edges))
    if len(listed) < len(edges) or not pids & tree:  # not even ours: the numbers are of another namespace
        return None
    return len(pids - tree) or (0 if sees_all_processes() else None)


def sees_all_processes() -> bool:
    """Say whether this process sees those of the whole machine, and not only those of its container."""
    try:
        return (PROC / "self/ns/pid").readlink() == Path(FIRST_PID_NAMESPACE)
    except OSError:
        return True  # no namespaces, no containers


# --- in between ------------------------------------------------------------------------------------------


def _seen_s(
    cause: _Cause, boards: Sequence[GpuBoard], trace: Trace | None, window: tuple[float, float]
) -> float | None:
    """Return the seconds of the board slowed down for longest by the poller's samples, or None without samples."""
    if trace is None:
        return None
    samples, slowed_s = trace.samples(*window), []
    for board in boards:
        times, reasons = series(samples, board.sampled("throttle_reasons"))
        moments = [*zip(times, reasons, strict=True), (window[1], 0)]
        if len(times) == 0 or times[0] > window[0] or max(b[0] - a[0] for a, b in pairwise(moments)) > trace.max_gap_s:
            return None
        slowed_s.append(sum(_overlap_s(a[0], b[0], window) for a, b in pairwise(moments) if int(a[1]) & cause.bits))
    return max(slowed_s)


def _overlap_s(start_s: float, end_s: float, window: tuple[float, float]) -> float:
    return max(0.0, min(end_s, window[1]) - max(start_s, window[0]))
