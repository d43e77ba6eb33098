"""The poller: a nearly idle process, one a run, that writes down what the machine draws and does at a steady pace.

``python -m greenbench.meters.poller`` takes its orders as one JSON line on standard input and ends when that closes, so
it outlives no run, however that ends. The timed process never samples anything itself.
"""

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from greenbench.files.unicode import to_json
from greenbench.plugins import Paced, Polled
from greenbench.plugins.traces import PID, TIME, TIME_END, Trace

CPU = "poller.cpu_s"
"""What the poller itself has used so far, in every sample."""


READY_S = 10.0
"""Longer than it takes to find all sensors; the run goes on without the first samples rather than wait more."""


N_RESTARTS = 5
"""A poller that dies more often in a run does so for a reason that another one would meet, too."""

LOOK_S = 1.0
"""How often the waiting parent looks whether the poller is alive: a microsecond's work."""

PIDS: set[int] = set()
"""The pollers that this process has started and that still run: no part of the process tree that is measured."""

N_TRIES = 3
"""A sensor refuses to answer now and then; that must not cost it the whole run."""


# --- the parent's end ------------------------------------------------------------------------------------


@contextmanager
def polling(path: Path, hz: float, options: Mapping[str, Mapping[str, Any]]) -> Iterator[Trace | None]:
    """Sample the machine during the ``with`` block, from a process of its own that is started again where it dies.

    What is not sampled meanwhile is a gap in the trace: energy that needs it is unknown, and ``Trace.lost_s`` says
    how much is missing.

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
        start_new_session=True,  # Ctrl-C is for the run; the end of the pipe is for the poller
    )
    PIDS.add(process.pid)
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write(orders + b"\n")
        process.stdin.flush()
    return process


def _keep(process: "subprocess.Popen[bytes]", orders: bytes, stopped: threading.Event) -> None:
    """Start the poller again where it dies, ``N_RESTARTS`` times at most; looks once in ``LOOK_S``."""
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
    """Sleep until the first lines are there, or will not come."""
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
        process.wait(timeout=2)
    except subprocess.TimeoutExpired:  # a sensor hangs in the driver
        process.kill()
        process.wait()
    PIDS.discard(process.pid)


# --- the poller's end ------------------------------------------------------------------------------------


def sensors(options: Mapping[str, Mapping[str, Any]]) -> dict[str, Polled]:
    """Return the registered meters by name that can be polled and see something here.

    Args:
        options: settings by meter name; meters that are not named get their defaults.
    """
    from greenbench import registry

    found = {}
    for name in registry.names("meters"):
        with suppress(Exception):  # a meter that fails here is told of by the survey of the meters
            meter = registry.create("meters", name, options.get(name, {}))
            if isinstance(meter, Polled) and any(_sees(meter) for _ in range(N_TRIES)):
                found[name] = meter
    return found


def _sees(meter: Polled) -> bool:
    with suppress(Exception):
        return bool(meter.sample())
    return False


def pace_s(period_s: float, polled: Mapping[str, Polled]) -> float:
    """Return the run's period, or the shortest that a meter needs here: joules may depend on it."""
    needed = [meter.period_s for meter in polled.values() if isinstance(meter, Paced)]
    return min([period_s, *(seconds for seconds in needed if seconds is not None)])


def sample(polled: Mapping[str, Polled]) -> dict[str, float]:
    """Ask every sensor once, between two looks at the clock; what one cannot tell, or is no number, is left out."""
    begin_s, values = time.perf_counter(), dict[str, float]()
    for meter in polled.values():
        with suppress(Exception):
            values.update({name: _short(value) for name, value in meter.sample().items() if math.isfinite(value)})
    end_s = time.perf_counter()
    # To the microsecond, outwards: whether a read lay inside a window must not hang on rounding.
    times = {TIME: math.floor(begin_s * 1e6) / 1e6, TIME_END: math.ceil(end_s * 1e6) / 1e6}
    return {**times, **values, CPU: round(time.process_time(), 3), PID: os.getpid()}


def _short(value: float) -> float:
    """Round what was measured to six digits, for a long run has many; counters stay exact."""
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
    """Write one line in one go; where the disk is full this sample is lost, and the run goes on."""
    with suppress(OSError):
        stream.write(f"{before}{to_json(line)}\n".encode())


def main() -> None:
    """Poll as standard input says until it closes."""
    orders = json.loads(sys.stdin.readline())
    stopped = threading.Event()
    threading.Thread(target=_await_end, args=[stopped], daemon=True).start()
    polled = sensors(orders["options"])
    poll(Path(orders["path"]), pace_s(orders["period_s"], polled), polled, stopped)


def _await_end(stopped: threading.Event) -> None:
    sys.stdin.read()
    stopped.set()


if __name__ == "__main__":
    main()
