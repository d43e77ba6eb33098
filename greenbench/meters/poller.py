"""The poller: one nearly idle process per run that samples power, temperature, frequency and load at a fixed rate.

``python -m greenbench.meters.poller`` reads its settings as one JSON line from standard input and ends when that is
closed, after its sample, or at once when its run has died. The timed process samples nothing itself.
"""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from greenbench import guard, processes
from greenbench.files.unicode import to_json
from greenbench.plugins import Paced, Polled
from greenbench.plugins.traces import PID, TIME, TIME_END, Trace

CPU = "poller.cpu_s"
"""The CPU seconds of the poller itself so far, in every sample."""


READY_S = 10.0
"""Time limit for the first sample, longer than finding all sensors takes; after it the run continues without."""


N_RESTARTS = 5
"""Restarts of the poller in a run: one that dies more often dies for a reason that a restart does not remove."""

LOOK_S = 1.0
"""Period in which the waiting parent checks whether the poller is alive, which takes a microsecond."""

END_S = 2.0
"""A poller whose sensor hangs in the driver is ended so long after its time."""

PIDS: set[int] = set()
"""Ids of the running pollers of this process: they are not part of the measured process tree."""

N_TRIES = 3
"""Attempts to read a sensor at the start: one that fails once must not be missing from the whole run."""


# --- the parent's end ------------------------------------------------------------------------------------


@contextmanager
def polling(path: Path, hz: float, options: Mapping[str, Mapping[str, Any]]) -> Iterator[Trace | None]:
    """Sample the machine during the ``with`` block, from a separate process that is restarted where it dies.

    The time until then is a gap in the trace: energy that needs it is unknown, and ``Trace.lost_s`` gives its length.

    Args:
        path: JSON lines are appended here.
        hz: samples a second; 0 samples nothing.
        options: settings by meter name.

    Yields:
        The trace, or None where nothing is to be sampled.
    """
    if not hz:
        yield None
        return
    begin = path.stat().st_size if path.exists() else 0
    orders = json.dumps({"path": str(path), "period_s": 1 / hz, "options": options}).encode()
    process, stopped = _start(orders), threading.Event()
    keeper = threading.Thread(target=_keep, args=[process, orders, stopped], daemon=True)
    try:
        _await_growth(path, begin, process)
        keeper.start()
        yield Trace(path, begin, 1 / hz, process.pid)
    finally:
        stopped.set()
        _end(process)
        if keeper.ident is not None:
            keeper.join()


def _start(orders: bytes) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-m", "greenbench.meters.poller"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=processes.environment(),
        start_new_session=True,  # Ctrl-C is for the run; the end of the pipe is for the poller
    )
    PIDS.add(process.pid)
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write(orders + b"\n")
        process.stdin.flush()
    return process


def _keep(process: "subprocess.Popen[bytes]", orders: bytes, stopped: threading.Event) -> None:
    """Restart the poller where it dies, ``N_RESTARTS`` times at most; checks every ``LOOK_S``."""
    for _ in range(N_RESTARTS):
        while process.poll() is None and not stopped.is_set():
            stopped.wait(LOOK_S)
        if stopped.is_set():
            break
        _end(process)
        process = _start(orders)
    stopped.wait()
    _end(process)


def _await_growth(path: Path, size: int, process: "subprocess.Popen[bytes]") -> None:
    """Sleep until the first lines are written, the poller has died, or ``READY_S`` have passed."""
    deadline = time.perf_counter() + READY_S
    while process.poll() is None and time.perf_counter() < deadline:
        if path.exists() and path.stat().st_size > size:
            return
        time.sleep(0.02)


def _end(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(timeout=END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    PIDS.discard(process.pid)


# --- the poller's end ------------------------------------------------------------------------------------


def sensors(options: Mapping[str, Mapping[str, Any]]) -> dict[str, Polled]:
    """Return the registered meters by name that can be polled and return a value on this machine.

    Args:
        options: settings by meter name; meters that are not named get their defaults.
    """
    from greenbench import registry

    polled = {}
    for name in registry.names("meters"):
        with suppress(Exception):  # ``meters.survey`` reports a meter that fails here
            meter = registry.create("meters", name, options.get(name, {}))
            if isinstance(meter, Polled) and any(_sees(meter) for _ in range(N_TRIES)):
                polled[name] = meter
    return polled


def _sees(meter: Polled) -> bool:
    with suppress(Exception):
        return bool(meter.sample())
    return False


def pace_s(period_s: float, polled: Mapping[str, Polled]) -> float:
    """Return the run's period, or the shortest that a meter needs on this machine: joules may depend on it."""
    needed = [meter.period_s for meter in polled.values() if isinstance(meter, Paced)]
    return min([period_s, *(seconds for seconds in needed if seconds is not None)])


def sample(polled: Mapping[str, Polled]) -> dict[str, float]:
    """Read every sensor once, between two reads of the clock; a value that fails or is not finite is left out."""
    begin_s, values = time.perf_counter(), dict[str, float]()
    for meter in polled.values():
        with suppress(Exception):
            values.update({name: _short(value) for name, value in meter.sample().items() if math.isfinite(value)})
    end_s = time.perf_counter()
    # To the microsecond, outwards: whether a read lay inside a window must not hang on rounding.
    times = {TIME: math.floor(begin_s * 1e6) / 1e6, TIME_END: math.ceil(end_s * 1e6) / 1e6}
    return {**times, **values, CPU: round(time.process_time(), 3), PID: os.getpid()}


def _short(value: float) -> float:
    """Round a measured value to six digits, to keep the trace of a long run small; counters stay exact."""
    return value if isinstance(value, int) else float(f"{value:.6g}")


def poll(path: Path, period_s: float, polled: Mapping[str, Polled], stopped: threading.Event) -> None:
    """Append a sample every ``period_s`` to ``path`` until ``stopped`` is set.

    Each sample has its place on the clock, so delays do not add up; one that is late leaves out those it missed.
    """
    start = time.perf_counter()
    header = {TIME: start, "utc_s": time.time(), "period_s": period_s, "pid": os.getpid(), "meters": [*polled]}
    with path.open("ab", buffering=0) as stream:
        _write(stream, {"header": header}, before="\n")  # ends a line that an earlier poller could not finish
        number, waited = 0, False
        while not waited:
            _write(stream, sample(polled))
            elapsed_s = time.perf_counter() - start
            number = max(number + 1, math.ceil(elapsed_s / period_s))
            waited = stopped.wait(number * period_s - elapsed_s)


def _write(stream: Any, line: Mapping[str, Any], before: str = "") -> None:
    """Write one line in one call; where the disk is full this sample is lost, and the run continues."""
    with suppress(OSError):
        stream.write(f"{before}{to_json(line)}\n".encode())


def main() -> None:
    """Poll with the settings on standard input until that is closed."""
    if processes.BY_KERNEL:
        guard.end_with_parent(signal.SIGKILL)
    orders = json.loads(sys.stdin.readline())
    stopped = threading.Event()
    threading.Thread(target=_await_end, args=[stopped], daemon=True).start()
    polled = sensors(orders["options"])
    poll(Path(orders["path"]), pace_s(orders["period_s"], polled), polled, stopped)


def _await_end(stopped: threading.Event) -> None:
    sys.stdin.read()
    stopped.set()
    time.sleep(END_S)
    os._exit(1)


if __name__ == "__main__":
    main()
