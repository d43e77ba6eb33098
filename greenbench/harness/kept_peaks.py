"""The peaks of a run's devices: measured in processes of their own, kept, and measured again where a row is above."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from greenbench import cache, processes
from greenbench.errors import GreenbenchError, MissingError
from greenbench.files import readback
from greenbench.hardware import platforms
from greenbench.hardware.roofline import Peaks, best, of_run, read, share
from greenbench.harness import products
from greenbench.harness.heartbeat import beating
from greenbench.harness.line import THREAD_VARIABLES
from greenbench.plugins.events import Observer, Preparing
from greenbench.results import store

FORM = 2
"""Version of how peaks are measured; those of another are not taken from the cache."""

FILE = "peaks.json"

TIMEOUT_S = 60.0
"""What all engines together may take: a machine so busy that torch takes longer has no peak to compare with."""


def measured(run: store.Run, devices: Iterable[str], threads: int | None, observe: Observer) -> store.Run:
    """Return a run with the peaks of its devices; what it does not state yet is looked up or measured, and added.

    Args:
        run: whose devices they are.
        devices: as its cells name them.
        threads: of its cells.
        observe: receives what is measured, as events.
    """
    found = of_run(run.description)
    new = [device for device in dict.fromkeys(devices) if device not in found]
    for device in new:
        found[device] = _known(about(run.description, device, threads), device, threads, observe)
    return _stated(run, found) if new else run


def _stated(run: store.Run, found: Mapping[str, Peaks]) -> store.Run:
    return store.amend_run(run, peaks={device: asdict(peaks) for device, peaks in found.items()})


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


def review(run: store.Run, threads: int | None, observe: Observer) -> None:
    """Measure peaks again that a row of the run was above, and compare the rows of these devices with the new ones.

    Args:
        run: whose rows they are.
        threads: of its cells.
        observe: receives what is measured, as events.

    Raises:
        StoreError: the run cannot be written.
    """
    found = of_run(run.description)
    above = dict.fromkeys(row["device"] for row in store.read_rows(run.folder / store.RECORDS) if row.get("mfu_note"))
    for device in [name for name in above if name in found]:
        text = f"measuring the peak rates of {device} again: a row exceeded them"
        with beating(observe, Preparing(text, at_most_s=TIMEOUT_S)):
            found[device] = _again(about(run.description, device, threads), device, threads, found[device])
    if above:
        _stated(run, found)
        store.amend_rows(run.folder, partial(_share_anew, found, above))


def _share_anew(found: Mapping[str, Peaks], devices: Iterable[str], row: dict[str, Any]) -> dict[str, Any] | None:
    """Return the share of a row, where it is of one of these devices and was measured."""
    if row["status"] != "ok" or row["device"] not in devices:
        return None
    of = found.get(row["device"])
    mfu_pct, note = share(row["macs_per_audio_s"], row["rtfx"], of, row["compute_dtype"])
    return {"mfu_pct": mfu_pct, "mfu_note": note}


def _again(key: Mapping[str, Any], device: str, threads: int | None, old: Peaks) -> Peaks:
    """Measure once more; what was reached once can be reached, so of each precision the faster counts and is kept."""
    try:
        both = best([old, read(measure(device, threads))])
        path: Path = cache.artefact(key, partial(_keep, asdict(old)))
        shutil.rmtree(path, ignore_errors=True)
        cache.artefact(key, partial(_keep, asdict(both)))
    except (GreenbenchError, OSError, ValueError):
        return old
    return both


def _known(key: Mapping[str, Any], device: str, threads: int | None, observe: Observer) -> Peaks:
    """Return kept peaks, or measure and keep them; those of a machine that others used, and none, are not kept."""
    try:
        path = cache.artefact(key, partial(_write, device, threads, observe))
        found = read(readback.read_object(path / FILE))
    except (GreenbenchError, OSError, ValueError) as error:
        return Peaks(threads=threads, reason=str(error))
    if found.is_spoilt or not found.macs_per_s:
        shutil.rmtree(path, ignore_errors=True)
    return found


def _write(device: str, threads: int | None, observe: Observer, folder: Path) -> None:
    with beating(observe, Preparing(f"measuring the peak rates of {device}", at_most_s=TIMEOUT_S)):
        _keep(measure(device, threads), folder)


def _keep(content: Mapping[str, Any], aside: Path) -> None:
    (aside / FILE).write_text(json.dumps(content), encoding="utf-8")


def measure(device: str, threads: int | None) -> dict[str, Any]:
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
            found.append(read(by_engine(engine, device, threads, end - time.monotonic())))
        except MissingError as error:
            if engine == "torch":
                raise
            failed[engine] = str(error)
    return asdict(best(found)) | {"failed": failed, "n_measured": 1}


def by_engine(engine: str, device: str, threads: int | None, timeout_s: float) -> dict[str, Any]:
    """Measure what one engine reaches, with the suite's threads.

    Raises:
        MissingError: it failed; the message says why.
    """
    command = [sys.executable, "-m", "greenbench.harness.peaks", device, engine]
    try:
        done = processes.run(command, _variables(threads), timeout_s=max(timeout_s, 0.1))
    except subprocess.TimeoutExpired as error:
        raise MissingError(f"measuring the peaks of {device} took longer than {TIMEOUT_S:.0f} s") from error
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    if done.returncode or not lines:
        raise MissingError(f"the peaks of {device} could not be measured: {processes.last_words(done)}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def _variables(threads: int | None) -> dict[str, str]:
    """Return the environment of that process: the suite's threads, which sleep while they wait for each other.

    Threads that spin keep the one that they wait for from running where others use the CPUs, too: on two CPUs under
    heavy load products were hundreds of times slower so, and the peaks with them. On an idle machine a product of
    ``LONG_S`` shows no difference.
    """
    return processes.environment(**dict.fromkeys(THREAD_VARIABLES, str(threads)), OMP_WAIT_POLICY="PASSIVE")
