"""Peaks: how fast a device multiplies and moves memory at most, measured in a process of its own and kept."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from greenbench import cache, environment, platforms, store
from greenbench.devices import synchronise, unusable
from greenbench.errors import GreenbenchError, MissingError
from greenbench.metrics import ratio
from greenbench.process import THREAD_VARIABLES, Observer
from greenbench.roofline import PRECISIONS, Peaks, of_run, read
from greenbench.unicode import IN_UTF8

FORM = 1
"""Version of how peaks are measured; those of another are not taken from the cache."""

FILE = "peaks.json"

LONG_S = 0.01
"""Larger matrices are tried until a product takes so long: overheads are small then, and nobody comes between."""

TRY_S = 0.1
"""How long each product is repeated; the fastest counts."""

SMALLEST, LARGEST = 256, 16_384
"""Rows of the square matrices."""

TIMEOUT_S = 60.0
"""A machine so busy that it takes longer has no peak to be held against."""


# --- once a run ------------------------------------------------------------------------------------------


def measured(folder: Path, devices: Iterable[str], threads: int | None, observe: Observer) -> Mapping[str, Peaks]:
    """Return the peaks of a run's devices; what ``run.json`` has not yet is looked up or measured, and added to it.

    Args:
        folder: of the run.
        devices: as its cells name them.
        threads: of its cells.
        observe: told where something is measured.
    """
    run = store.read_run(folder)
    found = of_run(run)
    new = [device for device in dict.fromkeys(devices) if device not in found]
    for device in new:
        found[device] = _known(about(run, device, threads), device, threads, observe)
    if new:
        store.amend_run(folder, peaks={device: asdict(peaks) for device, peaks in found.items()})
    return found


def about(run: Mapping[str, Any], device: str, threads: int | None) -> dict[str, Any]:
    """Return what decides on the peaks, by which they are kept: hardware, its clocks, the library, the threads."""
    machine, versions = run.get("machine") or {}, run.get("versions") or {}
    return {
        "build": "peaks",
        "settings": f"{device}, {threads} threads",
        "form": FORM,
        "hardware": platforms.hardware(run),
        "clocks": [machine.get("cpu_governor"), machine.get("turbo")],
        "torch": versions.get("torch"),
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }


def _known(key: Mapping[str, Any], device: str, threads: int | None, observe: Observer) -> Peaks:
    """Return kept peaks, or measure and keep them; those of a machine that others used are not kept."""
    try:
        path = cache.artefact(key, partial(_write, device, threads, observe))
        found = read(json.loads((path / FILE).read_text(encoding="utf-8")))
    except (GreenbenchError, OSError, ValueError) as error:
        return Peaks(threads=threads, reason=str(error))
    if found.is_spoilt:
        shutil.rmtree(path, ignore_errors=True)
    return found


def _write(device: str, threads: int | None, observe: Observer, folder: Path) -> None:
    observe("phase", {"text": f"measuring what {device} can do at most"})
    (folder / FILE).write_text(json.dumps(_elsewhere(device, threads)), encoding="utf-8")


def _elsewhere(device: str, threads: int | None) -> dict[str, Any]:
    """Measure in a process with the suite's threads, so that no memory of it stays in any other.

    Raises:
        MissingError: it failed; the message says why.
    """
    command = [sys.executable, "-m", "greenbench.peaks", device]
    how: dict[str, Any] = {"env": _variables(threads), "timeout": TIMEOUT_S}
    try:
        done = subprocess.run(command, **how, capture_output=True, encoding="utf-8", errors="replace", check=False)
    except subprocess.TimeoutExpired as error:
        raise MissingError(f"measuring the peaks of {device} took longer than {TIMEOUT_S:.0f} s") from error
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise MissingError(f"the peaks of {device} could not be measured: {last[0]}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def _variables(threads: int | None) -> dict[str, str]:
    """Return the environment of that process: the suite's threads, which sleep while they wait for each other.

    Threads that spin keep the one that they wait for from running where others use the CPUs, too: on two CPUs under
    heavy load products were hundreds of times slower so, and the peaks with them. On an idle machine a product of
    ``LONG_S`` does not tell the difference.
    """
    return {**os.environ, **IN_UTF8, **dict.fromkeys(THREAD_VARIABLES, str(threads)), "OMP_WAIT_POLICY": "PASSIVE"}


# --- in that process -------------------------------------------------------------------------------------


def measure(device: str) -> Peaks:
    """Measure a device's peaks with torch, in a few seconds.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    """
    import torch

    from greenbench.meters.clock import Clock
    from greenbench.meters.cputime import CpuTime
    from greenbench.plugins import Reading

    reading = Reading()
    with CpuTime().window(reading), Clock().window(reading), torch.inference_mode():
        rates = {name: rate for name in PRECISIONS if (rate := macs_per_s(name, device)) is not None}
        bytes_per_s = _bytes_per_s(device)
    foreign = ratio(reading.value("foreign_cpu_s"), (reading.value("wall_s") or 0.0) * (os.cpu_count() or 1))
    return Peaks(rates, bytes_per_s, torch.get_num_threads(), None if foreign is None else 100 * foreign)


def macs_per_s(precision: str, device: str) -> float | None:
    """Return the multiply-accumulates a second of the fastest product of two square matrices.

    Their size is doubled until one takes ``LONG_S``.

    Args:
        precision: one of ``PRECISIONS``.
        device: where.

    Returns:
        The rate, or None where torch cannot multiply in this precision there.
    """
    best, n = None, SMALLEST
    while n <= LARGEST:
        tried = [_seconds(prepare, device, n) for prepare in _products(precision, device)]
        known = [seconds for seconds in tried if seconds is not None]
        if not known:
            break
        best = max(best or 0.0, n**3 / min(known))
        if min(known) >= LONG_S:
            break
        n *= 2
    return best


def _seconds(prepare: Callable[[int], Callable[[], Any]], device: str, n: int) -> float | None:
    """Time a product of ``n`` x ``n`` matrices; None where there is no kernel for it here, or no memory."""
    with suppress(RuntimeError, NotImplementedError, TypeError):
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


def _products(precision: str, device: str) -> list[Callable[[int], Callable[[], Any]]]:
    """Return what prepares the ways to multiply two matrices of random numbers, by their number of rows.

    Of int8 there are two on the CPU, of which neither is the faster everywhere.
    """
    import torch

    if precision == "int8":
        return [partial(_int_mm, device), *([_quantized_linear] if device == "cpu" else [])]
    if precision == "tf32" and not (device.startswith("cuda") and torch.cuda.get_device_capability(device)[0] >= 8):
        return []
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    return [partial(_mm, precision, device)]


def _mm(precision: str, device: str, n: int) -> Callable[[], Any]:
    import torch

    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision, torch.float32)
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    return partial(torch.mm, a, b, out=torch.empty_like(a))


def _int_mm(device: str, n: int) -> Callable[[], Any]:
    import torch

    a, b = (torch.randint(-64, 64, (n, n), device=device).to(torch.int8) for _ in range(2))
    return partial(torch._int_mm, a, b.t())  # both contiguous along what is summed over


def _quantized_linear(n: int) -> Callable[[], Any]:
    """Prepare what ``int8-dynamic`` runs, without the quantisation of its inputs."""
    import torch

    x = torch.quantize_per_tensor(torch.randn(n, n), 0.05, 64, torch.quint8)
    weight = torch.quantize_per_tensor(torch.randn(n, n), 0.05, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(weight, None)
    return partial(torch.ops.quantized.linear, x, packed, 0.1, 64)


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
    """Return the size of all last-level caches together (Linux), or 64 MiB where that is not told."""
    sizes: dict[tuple[str, str], int] = {}
    for folder in (environment.SYS / "devices/system/cpu").glob("cpu[0-9]*/cache/index*"):
        level, shared_by, size = (environment.read(folder / name) for name in ("level", "shared_cpu_list", "size"))
        if size.endswith("K"):
            sizes[(level, shared_by)] = 1024 * int(size[:-1])
    last = max((level for level, _ in sizes), default="")
    return sum(size for (level, _), size in sizes.items() if level == last) or 2**26


def main() -> None:
    """Measure the device that is named and write its peaks to standard output; for ``measured``."""
    reason = unusable(sys.argv[1])
    if reason:
        raise SystemExit(reason)
    sys.stdout.write(json.dumps(asdict(measure(sys.argv[1]))) + "\n")


if __name__ == "__main__":
    main()
