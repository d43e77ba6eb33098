"""Peaks: how fast a device multiplies and moves memory at most, measured by this process."""

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Any

from greenbench import processes
from greenbench.files import kernel
from greenbench.hardware import environment
from greenbench.hardware.devices import synchronise, unusable
from greenbench.hardware.roofline import Peaks
from greenbench.harness import products
from greenbench.metrics import ratio
from greenbench.plugins.precisions import PRECISIONS

LONG_S = 0.01
"""Larger matrices are tried until a product takes so long: overheads and interruptions are small then."""

TRY_S = 0.1
"""How long each product is repeated; the fastest counts."""

SMALLEST, LARGEST = 256, 16_384
"""Rows of the square matrices."""


def measure(device: str, engine: str = "torch") -> Peaks:
    """Measure what one engine reaches on a device, in a few seconds.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        engine: from ``products.engines``; torch measures the memory, too.
    """
    from greenbench import meters
    from greenbench.meters.cputime import CpuTime
    from greenbench.plugins import Reading

    threads, reading = products.threads(engine), Reading()
    with meters.measure([CpuTime()], reading):
        rates = {name: rate for name in PRECISIONS if (rate := macs_per_s(name, device, engine)) is not None}
        bytes_per_s = _bytes_per_s(device) if engine == "torch" else None
    foreign = ratio(reading.value("foreign_cpu_s"), (reading.value("wall_s") or 0.0) * (os.cpu_count() or 1))
    foreign_pct = None if foreign is None else 100 * foreign
    return Peaks(rates, bytes_per_s, threads, foreign_pct, engines=dict.fromkeys(rates, engine))


def macs_per_s(precision: str, device: str, engine: str = "torch") -> float | None:
    """Return the multiply-accumulates a second of an engine's fastest product of two square matrices.

    Their size is doubled until one takes ``LONG_S``.

    Args:
        precision: one of ``PRECISIONS``.
        device: where.
        engine: from ``products.engines``.

    Returns:
        The rate, or None where the engine cannot multiply in this precision there.
    """
    fastest, n = None, SMALLEST
    while n <= LARGEST:
        ways = products.products(engine, precision, device)
        known = [seconds for way in ways if (seconds := _seconds(way, device, n)) is not None]
        if not known:
            break
        fastest = max(fastest or 0.0, n**3 / min(known))
        if min(known) >= LONG_S:
            break
        n *= 2
    return fastest


def _seconds(prepare: products.Prepare, device: str, n: int) -> float | None:
    """Time a product of ``n`` x ``n`` matrices; None where there is no kernel for it here, or no memory."""
    with suppress(RuntimeError, NotImplementedError, TypeError, AttributeError, ImportError, MemoryError):
        return _best_s(prepare(n), device)
    return None


def _best_s(run: Callable[[], Any], device: str) -> float:
    """Return the least seconds that something takes once it is warm, on a GPU of several in one go."""
    n_calls = 1 if device == "cpu" else 8
    run()
    synchronise(device)
    best, end = float("inf"), time.perf_counter() + TRY_S
    while True:
        start = time.perf_counter()
        for _ in range(n_calls):
            run()
        synchronise(device)
        now = time.perf_counter()
        best = min(best, (now - start) / n_calls)
        if now >= end:
            return best


def _bytes_per_s(device: str) -> float | None:
    """Return the bandwidth of memory by STREAM's triad, a = b + s c: two arrays are read and one is written.

    Each is four times the last cache, as STREAM's rules ask. The write's own read of the old line does not count.
    """
    import torch

    n_floats = array_bytes(device) // 4
    with suppress(RuntimeError):
        a, b, c = (torch.full((n_floats,), float(i), device=device) for i in range(3))
        return 3 * 4 * n_floats / _best_s(partial(torch.add, b, c, alpha=3.0, out=a), device)
    return None


def array_bytes(device: str) -> int:
    """Return the bytes of an array that no cache holds: 64 MiB to 1 GiB, and not more than memory has room for."""
    import torch

    room = environment.memory_bytes() // 16
    cached = _last_cache_bytes()
    if device.startswith("cuda"):
        board = torch.cuda.get_device_properties(device)
        room, cached = board.total_memory // 16, board.L2_cache_size
    return min(max(4 * cached, 2**26), 2**30, room)


def _last_cache_bytes() -> int:
    """Return the size of all last-level caches together (Linux), or 64 MiB where the system does not state it."""
    sizes: dict[tuple[str, str], int] = {}
    for folder in (environment.SYS / "devices/system/cpu").glob("cpu[0-9]*/cache/index*"):
        level, shared_by, size = (kernel.text(folder / name) for name in ("level", "shared_cpu_list", "size"))
        if size.endswith("K"):
            sizes[(level, shared_by)] = 1024 * int(size[:-1])
    last = max((level for level, _ in sizes), default="")
    return sum(size for (level, _), size in sizes.items() if level == last) or 2**26


def main() -> None:
    """Measure the device with the engine that are named and write the peaks to standard output; for ``kept_peaks``."""
    processes.follow_parent(sys.stdin.buffer)
    device, engine = sys.argv[1:]
    reason = unusable(device)
    if reason:
        raise SystemExit(reason)
    sys.stdout.write(json.dumps(asdict(measure(device, engine))) + "\n")


if __name__ == "__main__":
    main()
