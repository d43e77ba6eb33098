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

from greenbench import cache, environment, platforms, products, store
from greenbench.devices import synchronise, unusable
from greenbench.errors import GreenbenchError, MissingError
from greenbench.metrics import ratio
from greenbench.process import THREAD_VARIABLES, Observer
from greenbench.roofline import PRECISIONS, Peaks, best, of_run, read, share
from greenbench.unicode import IN_UTF8

FORM = 2
"""Version of how peaks are measured; those of another are not taken from the cache."""

FILE = "peaks.json"

LONG_S = 0.01
"""Larger matrices are tried until a product takes so long: overheads are small then, and nobody comes between."""

TRY_S = 0.1
"""How long each product is repeated; the fastest counts."""

SMALLEST, LARGEST = 256, 16_384
"""Rows of the square matrices."""

TIMEOUT_S = 60.0
"""What all engines together may take: a machine so busy that torch takes longer has no peak to be held against."""


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
    """Return what decides on the peaks, by which they are kept: hardware, its clocks, the engines, the threads."""
    machine, versions = run.get("machine") or {}, run.get("versions") or {}
    return {
        "build": "peaks",
        "settings": f"{device}, {threads} threads",
        "form": FORM,
        "hardware": platforms.hardware(run),
        "clocks": [machine.get("cpu_governor"), machine.get("turbo")],
        "engines": {name: versions.get(name) for packages in products.NEEDS.values() for name in packages},
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }


def review(folder: Path, threads: int | None, observe: Observer) -> None:
    """Measure peaks again that a row of the run was above, and hold the rows of these devices against the new ones.

    Args:
        folder: of the run.
        threads: of its cells.
        observe: told where something is measured.

    Raises:
        StoreError: the run cannot be written.
    """
    run = store.read_run(folder)
    found = of_run(run)
    above = dict.fromkeys(row["device"] for row in store.read_rows(folder / store.RECORDS) if row.get("mfu_note"))
    for device in [name for name in above if name in found]:
        observe("stage", {"text": f"measuring again what {device} can do at most: a row was above it"})
        found[device] = _again(about(run, device, threads), device, threads, found[device])
    if above:
        store.amend_run(folder, peaks={device: asdict(peaks) for device, peaks in found.items()})
        store.amend_rows(folder, partial(_held_against, found, above))


def _held_against(found: Mapping[str, Peaks], devices: Iterable[str], row: dict[str, Any]) -> dict[str, Any] | None:
    """Return the share of a row, where it is of one of these devices and was measured."""
    if row["status"] != "ok" or row["device"] not in devices:
        return None
    of = found.get(row["device"])
    mfu_pct, note = share(row["macs_per_audio_s"], row["rtfx"], of, row["compute_dtype"])
    return {"mfu_pct": mfu_pct, "mfu_note": note}


def _again(key: Mapping[str, Any], device: str, threads: int | None, old: Peaks) -> Peaks:
    """Measure once more; what was reached once can be reached, so of each precision the faster counts and is kept."""
    try:
        both = best([old, read(_elsewhere(device, threads))])
        path: Path = cache.artefact(key, partial(_keep, asdict(old)))
        shutil.rmtree(path, ignore_errors=True)
        cache.artefact(key, partial(_keep, asdict(both)))
    except (GreenbenchError, OSError, ValueError):
        return old
    return both


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
    observe("stage", {"text": f"measuring what {device} can do at most"})
    _keep(_elsewhere(device, threads), folder)


def _keep(content: Mapping[str, Any], aside: Path) -> None:
    (aside / FILE).write_text(json.dumps(content), encoding="utf-8")


def _elsewhere(device: str, threads: int | None) -> dict[str, Any]:
    """Measure with each engine in a process of its own, so that neither their memory nor their signals are another's.

    Returns:
        The best of them, as JSON has ``Peaks``.

    Raises:
        MissingError: torch failed; the message says why. What another engine failed with is in ``failed``.
    """
    end = time.monotonic() + TIMEOUT_S
    found, failed = list[Peaks](), dict[str, str]()
    for engine in products.engines(device) or ("torch",):
        try:
            found.append(read(_by(engine, device, threads, end - time.monotonic())))
        except MissingError as error:
            if engine == "torch":
                raise
            failed[engine] = str(error)
    return asdict(best(found)) | {"failed": failed, "n_measured": 1}


def _by(engine: str, device: str, threads: int | None, timeout_s: float) -> dict[str, Any]:
    """Measure what one engine reaches, with the suite's threads.

    Raises:
        MissingError: it failed; the message says why.
    """
    command = [sys.executable, "-m", "greenbench.peaks", device, engine]
    how: dict[str, Any] = {"env": _variables(threads), "timeout": max(timeout_s, 0.1)}
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


def measure(device: str, engine: str = "torch") -> Peaks:
    """Measure what one engine reaches on a device, in a few seconds.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        engine: from ``products.engines``; torch measures the memory, too.
    """
    from greenbench.meters.clock import Clock
    from greenbench.meters.cputime import CpuTime
    from greenbench.plugins import Reading

    threads, reading = products.threads(engine), Reading()
    with CpuTime().window(reading), Clock().window(reading):
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
    """Return the size of all last-level caches together (Linux), or 64 MiB where that is not told."""
    sizes: dict[tuple[str, str], int] = {}
    for folder in (environment.SYS / "devices/system/cpu").glob("cpu[0-9]*/cache/index*"):
        level, shared_by, size = (environment.read(folder / name) for name in ("level", "shared_cpu_list", "size"))
        if size.endswith("K"):
            sizes[(level, shared_by)] = 1024 * int(size[:-1])
    last = max((level for level, _ in sizes), default="")
    return sum(size for (level, _), size in sizes.items() if level == last) or 2**26


def main() -> None:
    """Measure the device with the engine that are named and write the peaks to standard output; for ``measured``."""
    device, engine = sys.argv[1:]
    reason = unusable(device)
    if reason:
        raise SystemExit(reason)
    sys.stdout.write(json.dumps(asdict(measure(device, engine))) + "\n")


if __name__ == "__main__":
    main()
