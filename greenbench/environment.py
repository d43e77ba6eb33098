"""Environment: what machine this is, which versions run on it, and what here would spoil a measurement."""

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

import psutil

from greenbench import gpus, meters
from greenbench.meters.clock import Clock
from greenbench.plugins import Reading
from greenbench.registry import GROUPS
from greenbench.validity import MAX_FOREIGN_SHARE

PROC = Path("/proc")
SYS = Path("/sys")

PACKAGES = (
    "greenbench", "torch", "torchao", "transformers", "faster-whisper", "ctranslate2",
    "onnx", "onnxruntime", "openvino", "nncf", "numpy", "soundfile", "soxr",
    "jiwer", "whisper-normalizer", "codecarbon", "nvidia-ml-py", "psutil",
)  # fmt: skip
"""The libraries whose version can change a number."""

MIN_FREE_BYTES = 5 * 2**30
"""Room for the largest wav2vec 2.0 model, a LibriSpeech test set and its archive."""


# --- the machine -----------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """Describe the machine without naming it: no host, user, path, address or serial number.

    Returns:
        ``os kernel python cpu_model n_cpus_physical n_cpus_logical n_cpus_usable memory_bytes cpu_governor turbo
        virtualised gpus``; None where it cannot be told. ``memory_bytes`` is what the container may use, and
        each of ``gpus`` has what ``gpus.describe`` tells.
    """
    return {
        "os": platform.system(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpu_model": _cpu_model(),
        "n_cpus_physical": psutil.cpu_count(logical=False),
        "n_cpus_logical": psutil.cpu_count(),
        "n_cpus_usable": usable_cpus(),
        "memory_bytes": _memory_bytes(),
        "cpu_governor": _governor(),
        "turbo": _turbo(),
        "virtualised": _virtualised(),
        "gpus": gpus.describe(),
    }


def usable_cpus() -> int:
    """Return how many CPUs this process can keep busy: its affinity, within its container's quota."""
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quota = _cpu_quota()
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def accelerator() -> str:
    """Return ``cuda`` or ``mps`` where there is such a GPU and the installed torch is built for it, else ``cpu``."""
    import pynvml

    try:
        with gpus.session():
            n_visible = len(gpus.visible(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError:
        n_visible = 0
    if n_visible and _torch_has_cuda():
        return "cuda"
    return "mps" if _torch_has_mps() else "cpu"


def _torch_has_mps() -> bool:
    """Tell by the machine: every torch for Apple's own chips has MPS."""
    return sys.platform == "darwin" and platform.machine() == "arm64" and "torch" in versions()


def _torch_has_cuda() -> bool:
    """Tell by the build's label: none (PyPI's Linux wheels) or ``cu…``, against ``cpu``, ``rocm…``, ``xpu``."""
    build = versions().get("torch", "+cpu").partition("+")[2]
    return not build or build.startswith("cu")


def _cpu_model() -> str | None:
    from codecarbon.core.util import detect_cpu_model

    return detect_cpu_model() or None


def _memory_bytes() -> int:
    limits = [*_cgroup("memory", "memory.max"), *_cgroup("memory", "memory.limit_in_bytes")]
    return min([psutil.virtual_memory().total, *(int(limit) for limit in limits if limit.isdigit())])


def _governor() -> str | None:
    files = sorted(SYS.glob("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"))
    return ", ".join(sorted({text for path in files if (text := _text(path))})) or None


def _turbo() -> bool | None:
    """Tell whether the CPU may exceed its base clock (Linux: intel_pstate, else cpufreq's boost)."""
    cpu = SYS / "devices/system/cpu"
    known = {"0": False, "1": True}
    is_off = known.get(_text(cpu / "intel_pstate/no_turbo"))
    return known.get(_text(cpu / "cpufreq/boost")) if is_off is None else not is_off


def _virtualised() -> bool | None:
    """Tell by the flag that a hypervisor sets on x86; elsewhere it is unknown."""
    for line in _text(PROC / "cpuinfo").splitlines():
        if line.startswith("flags"):
            return "hypervisor" in line.split()
    return None


def _cpu_quota() -> float | None:
    """Return the CPUs' worth of time that the container may use, or None where it is not limited."""
    quotas = [line.split() for line in _cgroup("cpu", "cpu.max")]
    budgets = _cgroup("cpu", "cpu.cfs_quota_us")
    quotas += [[a, b] for a, b in zip(budgets, _cgroup("cpu", "cpu.cfs_period_us"), strict=True)]
    return min((int(quota) / int(period) for quota, period in quotas if quota.isdigit()), default=None)


def _cgroup(controller: str, name: str) -> list[str]:
    """Return what file ``name`` says in this process's control group and in each above it, v1 or v2."""
    return [text for folder in _cgroup_folders(controller) if (text := _text(folder / name))]


def _cgroup_folders(controller: str) -> Iterator[Path]:
    for line in _text(PROC / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = SYS / "fs/cgroup" / (controller if controllers else "")
        names = [part for part in path.split("/") if part]
        # A container often sees its own group as the mount's root, under a path that is only the host's.
        yield from (base.joinpath(*names[:depth]) for depth in range(len(names) + 1))


def _text(path: Path) -> str:
    """Return a small file's text, empty where it cannot be read."""
    with suppress(OSError):
        return path.read_text().strip()
    return ""


# --- versions --------------------------------------------------------------------------------------------


def versions() -> dict[str, str]:
    """Return the installed versions of what can change a number, third parties' plug-ins included."""
    plugins = {entry.dist.name for group in GROUPS for entry in entry_points(group=f"greenbench.{group}") if entry.dist}
    found = {}
    for name in sorted({*PACKAGES, *plugins}):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return the ``commit`` that a folder is at and whether files differ from it (``dirty``), or None.

    Args:
        folder: any folder of a working tree.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain")
    return None if commit is None or changes is None else {"commit": commit, "dirty": bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


# --- the doctor ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """One thing that ``greenbench doctor`` looked at.

    Attributes:
        topic: what was looked at.
        ok: whether it is fit for measuring; None where that cannot be told.
        message: what was found.
        remedy: what to do about it, where something can be done.
    """

    topic: str
    ok: bool | None
    message: str
    remedy: str | None = None


def findings() -> list[Finding]:
    """Look at everything here that decides what can be measured, and how well; takes about a second."""
    from greenbench import gpu_health  # which makes findings, too

    looks = (_look_at_governor, _look_at_quota, _look_at_load, _look_at_swap, _look_at_disk, _look_at_compiler)
    return [*_look_at_meters(), _look_at_accelerator(), *gpu_health.look(), *(look() for look in looks)]


def _look_at_meters() -> Iterator[Finding]:
    for name, reason in meters.survey().items():
        # A meter's reason ends with its own remedy.
        yield Finding(f"meter {name}", reason is None, reason or "can measure here")


def _look_at_accelerator() -> Finding:
    names = [gpu["name"] for gpu in gpus.describe()]
    if names and not _torch_has_cuda():
        message = f"{', '.join(names)} stays idle: the installed torch is built without CUDA"
        return Finding("device", False, message, "install torch for CUDA (https://pytorch.org/get-started)")
    return Finding("device", True, f"models run on {accelerator()} by default")


def _look_at_governor() -> Finding:
    governor = _governor()
    if governor is None:
        return Finding("CPU governor", None, "not known here: the CPU's clock may follow the load")
    remedy = None if governor == "performance" else "sudo cpupower frequency-set -g performance"
    return Finding("CPU governor", governor == "performance", governor, remedy)


def _look_at_quota() -> Finding:
    quota = _cpu_quota()
    if quota is None:
        return Finding("CPU quota", True, f"none; {usable_cpus()} of {psutil.cpu_count()} CPUs are usable")
    message = f"the container may use {quota:g} CPUs' worth of time and is paused once that is spent"
    return Finding("CPU quota", False, message, "pin it to whole CPUs instead (docker run --cpuset-cpus)")


def _look_at_load() -> Finding:
    reading = Reading()
    with Clock().window(reading):
        time.sleep(0.5)
    foreign_s, wall_s = reading.value("foreign_cpu_s"), reading.value("wall_s")
    if foreign_s is None or not wall_s:
        return Finding("foreign load", None, "the system does not tell how busy the CPUs are")
    load = foreign_s / wall_s / (psutil.cpu_count() or 1)
    ok = load <= MAX_FOREIGN_SHARE
    remedy = None if ok else "stop what else is running: it slows the model, and its energy is counted"
    return Finding("foreign load", ok, f"other processes use {load:.0%} of all CPUs", remedy)


def _look_at_swap() -> Finding:
    with suppress(OSError, RuntimeError):
        used = psutil.swap_memory().used
        remedy = None if used == 0 else "free memory, then `sudo swapoff -a && sudo swapon -a`"
        return Finding("swap", used == 0, f"{used / 2**30:.1f} GiB in use", remedy)
    return Finding("swap", None, "the system does not tell")


def _look_at_disk() -> Finding:
    with suppress(OSError, RuntimeError):
        free = shutil.disk_usage(Path.home()).free
        ok = free >= MIN_FREE_BYTES
        remedy = None if ok else f"models and corpora need up to {MIN_FREE_BYTES / 2**30:.0f} GiB: make room"
        return Finding("disk", ok, f"{free / 2**30:.1f} GiB free in the home folder", remedy)
    return Finding("disk", False, "there is no home folder to keep models in", "point HOME at a writable folder")


def _look_at_compiler() -> Finding:
    default = "clang++" if sys.platform == "darwin" else "g++"
    compiler = os.environ.get("CXX", default)
    if shutil.which(compiler):
        return Finding("C++ compiler", True, f"{compiler}: `+compile` builds can run on the CPU")
    message = f"{compiler} is not here: `+compile` builds cannot run on the CPU"
    return Finding("C++ compiler", False, message, f"install {compiler}, or point CXX at a C++ compiler")
