"""Environment: what machine this is, and which versions run on it."""

import os
import platform
import re
import subprocess
import sys
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from greenbench import registry
from greenbench.files import kernel
from greenbench.hardware import gpus

PROC = Path("/proc")
SYS = Path("/sys")

PACKAGES = (
    "greenbench", "torch", "torchao", "transformers", "faster-whisper", "ctranslate2",
    "onnx", "onnxruntime", "openvino", "nncf", "moonshine-voice", "pocketsphinx", "numpy", "soundfile", "soxr",
    "jiwer", "whisper-normalizer", "codecarbon", "nvidia-ml-py", "psutil",
)  # fmt: skip
"""The libraries whose version can change a number."""

# --- the machine -----------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """Describe the machine without naming it: no host, user, path, address or serial number.

    Returns:
        ``os kernel python cpu_model n_cpu_packages n_cpus_physical n_cpus_logical n_cpus_usable memory_bytes
        cpu_governor turbo virtualised gpus``; None where it is not known. ``memory_bytes`` is what the container
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
    return len({text for path in files if (text := kernel.text(path)).isdigit()}) or None


def usable_cpus() -> int:
    """Return how many CPUs this process can keep busy: its affinity, within its container's CPU set and quota."""
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    sets = [_n_cpus(text) for name in CPU_SETS for text in _cgroup("cpuset", name)]
    allowed, quota = min([allowed, *filter(None, sets)]), cpu_quota()
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def stated_threads() -> int:
    """Return how many threads an engine is to take: as many as the environment states, else one a usable CPU."""
    stated = os.environ.get("OMP_NUM_THREADS", "")
    return int(stated) if stated.isdecimal() else usable_cpus()


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


@lru_cache  # cpuinfo starts processes to ask the CPU, and a CPU stays what it is
def _cpu_model() -> str | None:
    from cpuinfo import get_cpu_info

    return get_cpu_info().get("brand_raw") or None


def memory_bytes() -> int:
    """Return the memory that the machine has, or that its container may use."""
    limits = [*_cgroup("memory", "memory.max"), *_cgroup("memory", "memory.limit_in_bytes")]
    return min([psutil.virtual_memory().total, *(int(limit) for limit in limits if limit.isdigit())])


def governor() -> str | None:
    """Return what decides on the CPUs' clocks, all names where they differ, or None where that is not stated."""
    files = sorted(SYS.glob("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"))
    return ", ".join(sorted({text for path in files if (text := kernel.text(path))})) or None


def turbo() -> bool | None:
    """Tell whether the CPU may exceed its base clock (Linux: intel_pstate, else cpufreq's boost)."""
    cpu = SYS / "devices/system/cpu"
    known = {"0": False, "1": True}
    is_off = known.get(kernel.text(cpu / "intel_pstate/no_turbo"))
    return known.get(kernel.text(cpu / "cpufreq/boost")) if is_off is None else not is_off


def _virtualised() -> bool | None:
    """Tell by the flag that a hypervisor sets on x86; elsewhere it is unknown."""
    for line in kernel.text(PROC / "cpuinfo").splitlines():
        if line.startswith("flags"):
            return "hypervisor" in line.split()
    return None


def cpu_quota() -> float | None:
    """Return the CPUs' worth of time that the container may use, or None where it is not limited."""
    quotas = [kernel.text(folder / "cpu.max").split() for folder in _cgroup_folders("cpu")]
    quotas += [
        [kernel.text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
        for folder in _cgroup_folders("cpu")
    ]
    known = [pair for pair in quotas if len(pair) == 2 and all(map(str.isdigit, pair))]
    return min((int(quota) / int(period) for quota, period in known if int(period)), default=None)


def _n_cpus(cpus: str) -> int:
    """Count the CPUs of a list as the kernel writes it, ``0-3,8``; 0 where it is none."""
    with suppress(ValueError):
        ends = [tuple(map(int, part.split("-"))) for part in cpus.split(",")]
        return sum(end[-1] - end[0] + 1 for end in ends)
    return 0


# --- control groups --------------------------------------------------------------------------------------

CPU_SETS = ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus")
"""Files with the CPUs of a group, of v2 and v1."""


def _cgroup(controller: str, name: str) -> list[str]:
    """Return what file ``name`` says in this process's control group and in each above it, v1 or v2."""
    return [text for folder in _cgroup_folders(controller) if (text := kernel.text(folder / name))]


def _cgroup_folders(controller: str) -> list[Path]:
    """Return the folders of this process's control group and of each above it, wherever the controller is mounted."""
    found: dict[Path, None] = {}
    for line in kernel.text(PROC / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        for mount, root in _cgroup_mounts(controller if controllers else None):
            names = [part for part in _below(path, root).split("/") if part not in ("", "..")]
            # A container often sees its own group as the mount's root, under a path that is only the host's.
            found |= dict.fromkeys(mount.joinpath(*names[:depth]) for depth in range(len(names) + 1))
    return list(found)


def _below(path: str, root: str) -> str:
    """Return a group's path below the group that is mounted, or the path itself where it is not below it."""
    prefix = root.rstrip("/")
    return path[len(prefix) :] if path == prefix or path.startswith(f"{prefix}/") else path


def _cgroup_mounts(controller: str | None) -> list[tuple[Path, str]]:
    """Return where a controller of v1 (None: all of v2) is mounted, each with the group that is mounted there.

    A hierarchy is mounted under any name, usually that of all its controllers in the kernel's order
    (``cpu,cpuacct``, ``cpuacct,cpu``); what is mounted stands in ``/proc/self/mountinfo`` (``proc_pid_mountinfo(5)``).
    """
    found = []
    for line in kernel.text(PROC / "self/mountinfo").splitlines():
        fields, _, (kind, *rest) = (part.split() for part in line.partition(" - "))
        is_it = kind == "cgroup2" if controller is None else kind == "cgroup" and controller in rest[-1].split(",")
        if is_it:
            found.append((_place(_unescaped(fields[4])), _unescaped(fields[3])))
    groups = SYS / "fs/cgroup"
    if controller is None:
        return found or [(groups, "/"), (groups / "unified", "/")]
    return found or [(folder, "/") for folder in sorted(groups.glob("*")) if controller in folder.name.split(",")]


def _place(mount: str) -> Path:
    return SYS / mount.removeprefix("/sys/") if mount.startswith("/sys/") else Path(mount)


def _unescaped(text: str) -> str:
    r"""Return a path as it is: mountinfo writes blanks and backslashes in octal, ``\040``."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)


# --- versions --------------------------------------------------------------------------------------------


def versions() -> dict[str, str]:
    """Return the installed versions of what can change a number, third parties' plug-ins included."""
    plugins = {entry.dist.name for group in registry.GROUPS for entry in registry.installed(group) if entry.dist}
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
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def product(device: str) -> str | None:
    """Return the product name of a device that torch can use."""
    if device == "cpu":
        return _cpu_model()
    import torch

    return str(torch.backends.mps.get_name() if device == "mps" else torch.cuda.get_device_name(device))
