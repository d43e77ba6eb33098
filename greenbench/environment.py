"""Environment: what machine this is, and which versions run on it."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

import psutil

from greenbench import gpus
from greenbench.registry import GROUPS

PROC = Path("/proc")
SYS = Path("/sys")

PACKAGES = (
    "greenbench", "torch", "torchao", "transformers", "faster-whisper", "ctranslate2",
    "onnx", "onnxruntime", "openvino", "nncf", "numpy", "soundfile", "soxr",
    "jiwer", "whisper-normalizer", "codecarbon", "nvidia-ml-py", "psutil",
)  # fmt: skip
"""The libraries whose version can change a number."""

# --- the machine -----------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """Describe the machine without naming it: no host, user, path, address or serial number.

    Returns:
        ``os kernel python cpu_model n_cpu_packages n_cpus_physical n_cpus_logical n_cpus_usable memory_bytes
        cpu_governor turbo virtualised gpus``; None where it cannot be told. ``memory_bytes`` is what the container
        may use, and each of ``gpus`` has what ``gpus.describe`` tells.
    """
    return {
        "os": platform.system(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpu_model": _cpu_model(),
        "n_cpu_packages": cpu_packages(),
        "n_cpus_physical": psutil.cpu_count(logical=False),
        "n_cpus_logical": psutil.cpu_count(),
        "n_cpus_usable": usable_cpus(),
        "memory_bytes": memory_bytes(),
        "cpu_governor": governor(),
        "turbo": turbo(),
        "virtualised": _virtualised(),
        "gpus": gpus.describe(),
    }


def cpu_packages() -> int | None:
    """Return how many CPU packages (sockets) the machine has, or None where that is not known."""
    files = SYS.glob("devices/system/cpu/cpu[0-9]*/topology/physical_package_id")
    return len({text for path in files if (text := read(path)).isdigit()}) or None


def usable_cpus() -> int:
    """Return how many CPUs this process can keep busy: its affinity, within its container's quota."""
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quota = cpu_quota()
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def accelerator() -> str:
    """Return ``cuda`` or ``mps`` where there is such a GPU and the installed torch is built for it, else ``cpu``."""
    import pynvml

    try:
        with gpus.session():
            n_visible = len(gpus.visible(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError:
        n_visible = 0
    if n_visible and torch_has_cuda():
        return "cuda"
    return "mps" if _torch_has_mps() else "cpu"


def _torch_has_mps() -> bool:
    """Tell by the machine: every torch for Apple's own chips has MPS."""
    return sys.platform == "darwin" and platform.machine() == "arm64" and "torch" in versions()


def torch_has_cuda() -> bool:
    """Tell by the build's label: none (PyPI's Linux wheels) or ``cu…``, against ``cpu``, ``rocm…``, ``xpu``."""
    build = versions().get("torch", "+cpu").partition("+")[2]
    return not build or build.startswith("cu")


def _cpu_model() -> str | None:
    from codecarbon.core.util import detect_cpu_model

    return detect_cpu_model() or None


def memory_bytes() -> int:
    """Return the memory that the machine has, or that its container may use."""
    limits = [*_cgroup("memory", "memory.max"), *_cgroup("memory", "memory.limit_in_bytes")]
    return min([psutil.virtual_memory().total, *(int(limit) for limit in limits if limit.isdigit())])


def governor() -> str | None:
    """Return what decides on the CPUs' clocks, all names where they differ, or None where that is not told."""
    files = sorted(SYS.glob("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"))
    return ", ".join(sorted({text for path in files if (text := read(path))})) or None


def turbo() -> bool | None:
    """Tell whether the CPU may exceed its base clock (Linux: intel_pstate, else cpufreq's boost)."""
    cpu = SYS / "devices/system/cpu"
    known = {"0": False, "1": True}
    is_off = known.get(read(cpu / "intel_pstate/no_turbo"))
    return known.get(read(cpu / "cpufreq/boost")) if is_off is None else not is_off


def _virtualised() -> bool | None:
    """Tell by the flag that a hypervisor sets on x86; elsewhere it is unknown."""
    for line in read(PROC / "cpuinfo").splitlines():
        if line.startswith("flags"):
            return "hypervisor" in line.split()
    return None


def cpu_quota() -> float | None:
    """Return the CPUs' worth of time that the container may use, or None where it is not limited."""
    quotas = [line.split() for line in _cgroup("cpu", "cpu.max")]
    budgets = _cgroup("cpu", "cpu.cfs_quota_us")
    quotas += [[a, b] for a, b in zip(budgets, _cgroup("cpu", "cpu.cfs_period_us"), strict=True)]
    return min((int(quota) / int(period) for quota, period in quotas if quota.isdigit()), default=None)


def _cgroup(controller: str, name: str) -> list[str]:
    """Return what file ``name`` says in this process's control group and in each above it, v1 or v2."""
    return [text for folder in _cgroup_folders(controller) if (text := read(folder / name))]


def _cgroup_folders(controller: str) -> Iterator[Path]:
    for line in read(PROC / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = SYS / "fs/cgroup" / (controller if controllers else "")
        names = [part for part in path.split("/") if part]
        # A container often sees its own group as the mount's root, under a path that is only the host's.
        yield from (base.joinpath(*names[:depth]) for depth in range(len(names) + 1))


def read(path: Path) -> str:
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
