"""CPU time: which processes computed during a window; for the poller, the load and clocks of the CPUs."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import psutil

from greenbench.files import kernel
from greenbench.meters.poller import PIDS
from greenbench.metrics import RESOLVED_S
from greenbench.plugins import Quantity, Reading

HARNESS = "GREENBENCH_HARNESS_PID"
"""Variable of a worker's environment: the id of the process that waits for it."""

CPUS = Path("/sys/devices/system/cpu")

N_FREQUENCIES = 8
"""The most CPUs, evenly spread, whose frequency is sampled: reading hundreds ten times a second would be a load."""


@dataclass(frozen=True)
class CpuTime:
    """CPU seconds of the window by who used them, read outside of the energy counters since it walks over processes.

    ``cpu_s`` is the process tree's (ended descendants included, pollers not), ``harness_cpu_s`` the parent process's,
    ``poller_cpu_s`` that of the process which samples sensors (where there is one), ``foreign_cpu_s`` that of all other
    processes of the machine, time stolen by a hypervisor included. All are sums over cores, so they add up over
    segments; dividing by ``wall_s`` gives cores. ``foreign_cpu_s`` is unknown in a window so short that it could not
    be distinguished from the rounding of the kernel's ticks.
    """

    metrics: ClassVar[tuple[str, ...]] = ("cpu_s", "harness_cpu_s", "poller_cpu_s", "foreign_cpu_s")
    estimates: ClassVar[bool] = False

    def unavailable(self) -> str | None:
        """Return None: every system counts CPU time."""
        return None

    @contextmanager
    def window(self, reading: Reading) -> Iterator[None]:
        """Read the accounts before and after the ``with`` block."""
        harness, poller = harness_process(), _process(reading.trace.present_pid() if reading.trace else None)
        before = _account(harness, poller)
        yield
        after = _account(harness, poller)
        harness_s = _minus(after.harness_s, before.harness_s)
        if poller is not None:
            poller_s = _minus(after.poller_s, before.poller_s)
            reading.add("poller_cpu_s", Quantity(poller_s, "counter", "process-times"))
        reading.add("cpu_s", Quantity(after.tree_s - before.tree_s, "counter", "process-times"))
        reading.add("harness_cpu_s", Quantity(harness_s, "counter", "process-times"))
        reading.add("foreign_cpu_s", Quantity(_foreign_s(before, after), "counter", "system-times"))

    def sample(self) -> dict[str, float]:
        """Return how busy all CPUs were since the last call, in percent, and their mean frequency."""
        seen = {"cpu.utilisation_pct": psutil.cpu_percent(interval=None)}
        frequency_hz = _frequency_hz(CPUS)
        return seen if frequency_hz is None else {**seen, "cpu.frequency_hz": frequency_hz}


@dataclass(frozen=True)
class _Account:
    """CPU seconds used so far; ``idle_s`` and ``busy_s`` are the whole machine's."""

    tree_s: float
    harness_s: float | None
    poller_s: float | None
    busy_s: float
    idle_s: float


def _account(harness: psutil.Process | None, poller: psutil.Process | None) -> _Account:
    busy_s, idle_s = _system_cpu_s()
    poller_s = None if poller is None else process_cpu_s(poller)
    return _Account(tree_cpu_s(), process_cpu_s(harness), poller_s, busy_s, idle_s)


def _foreign_s(before: _Account, after: _Account) -> float | None:
    """Return the CPU seconds that neither the tree, the harness nor the poller used, or None where unknown."""
    harness_s = _minus(after.harness_s, before.harness_s)
    busy_s, idle_s = after.busy_s - before.busy_s, after.idle_s - before.idle_s
    # From an account that does not move (an empty /proc/stat), or by a few ticks of each CPU only, nothing follows.
    if harness_s is None or busy_s + idle_s < RESOLVED_S * (psutil.cpu_count() or 1):
        return None
    poller_s = _minus(after.poller_s, before.poller_s) or 0.0
    # The machine's account counts ticks and a process's own is exact: their difference may dip below zero.
    return max(0.0, busy_s - harness_s - poller_s - (after.tree_s - before.tree_s))


def tree_cpu_s() -> float:
    """Return the CPU seconds of this process and its descendants without pollers; ended ones are in ``children_*``."""
    own = os.times()
    total = time.process_time() + own.children_user + own.children_system
    for child in psutil.Process().children(recursive=True):
        if child.pid in PIDS:
            continue
        with suppress(psutil.Error):
            times = child.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def harness_process() -> psutil.Process | None:
    """Return the process of the harness: the one named in the environment, since a guard may be the parent."""
    named = os.environ.get(HARNESS, "")
    return _process(int(named) if named.isdecimal() else os.getppid())


def _process(pid: int | None) -> psutil.Process | None:
    with suppress(psutil.Error):
        return None if pid is None else psutil.Process(pid)
    return None


def process_cpu_s(process: psutil.Process | None) -> float | None:
    """Return the CPU seconds of one process without its children, or None where that is not allowed."""
    if process is None:
        return None
    with suppress(psutil.Error):
        times = process.cpu_times()
        return times.user + times.system
    return None


def _system_cpu_s() -> tuple[float, float]:
    """Return the machine's busy and idle CPU seconds; Linux counts guests in user and nice already."""
    times = psutil.cpu_times()._asdict()
    idle_s = times["idle"] + times.get("iowait", 0.0)
    twice = ("guest", "guest_nice")
    return sum(seconds for name, seconds in times.items() if name not in twice) - idle_s, idle_s


def _minus(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def _frequency_hz(cpus: Path) -> float | None:
    """Return the mean of the CPUs' present frequencies (Linux cpufreq, in kHz), or None where none can be read."""
    khz = []
    for path in _frequency_files(cpus):
        with suppress(OSError, ValueError):
            khz.append(kernel.integer(path))
    return 1e3 * sum(khz) / len(khz) if khz else None


@lru_cache
def _frequency_files(cpus: Path) -> tuple[Path, ...]:
    files = sorted(cpus.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    return tuple(files[:: -(-len(files) // N_FREQUENCIES) or 1])
