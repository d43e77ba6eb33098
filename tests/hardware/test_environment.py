"""The environment is described without naming the machine."""

import getpass
import json
import os
import platform
import shutil
import socket
import subprocess
from types import SimpleNamespace

import psutil
import pynvml
import pytest

from greenbench import registry
from greenbench.hardware import environment
from greenbench.hardware.environment import accelerator, git_state, machine, usable_cpus, versions

GIB = 2**30


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Put an empty /proc and /sys in place; returns a function that writes files of it."""
    monkeypatch.setattr(environment, "PROC", tmp_path / "proc")
    monkeypatch.setattr(environment, "SYS", tmp_path / "sys")

    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    return write


@pytest.fixture
def affinity(monkeypatch):
    """Let the process be allowed on eight CPUs."""
    monkeypatch.setattr(environment.sys, "platform", "linux")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


def _gpus(monkeypatch, *names):
    """Let the driver list these GPUs; without any there is no driver."""

    def start():
        if not names:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(pynvml, "nvmlInit", start)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: len(names))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda handle: names[handle])
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda handle: SimpleNamespace(total=16 * GIB))
    monkeypatch.setattr(pynvml, "nvmlSystemGetDriverVersion", lambda: "570.1")


def _torch(monkeypatch, version):
    monkeypatch.setattr(environment, "versions", lambda: {"torch": version} if version else {})


# --- the machine -----------------------------------------------------------------------------------------


def test_the_description_is_json_and_names_nobody(tmp_path, monkeypatch):
    """A machine's description can be published: no host name, user, home or folder is in it."""
    for owner, name in ((platform, "node"), (socket, "gethostname"), (getpass, "getuser")):
        monkeypatch.setattr(owner, name, lambda: "secret")
    for variable in ("USER", "LOGNAME", "HOSTNAME", "HOME"):
        monkeypatch.setenv(variable, "/home/secret")
    (tmp_path / "secret").mkdir()
    monkeypatch.chdir(tmp_path / "secret")
    assert "secret" not in json.dumps(machine())


def test_the_description_is_of_this_machine():
    """The plain facts agree with what Python and psutil say."""
    facts = machine()
    assert facts["os"] == platform.system()
    assert facts["n_cpus_logical"] == psutil.cpu_count()
    assert 0 < facts["memory_bytes"] <= psutil.virtual_memory().total
    assert 1 <= facts["n_cpus_usable"] <= facts["n_cpus_logical"]


@pytest.mark.parametrize(("packages", "expected"), [((), None), ((0, 0, 0, 0), 1), ((0, 0, 1, 1), 2), ((-1, -1), None)])
def test_packages_are_counted_once(system, packages, expected):
    """Every CPU says which package it is in; a system that does not know says -1 or nothing."""
    for cpu, package in enumerate(packages):
        system(f"sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id", package)
    assert environment.cpu_packages() == expected


def test_what_is_unknown_is_none(system, monkeypatch):
    """Without /proc and /sys the governor, turbo and virtualisation are unknown, not guessed."""
    _gpus(monkeypatch)
    facts = machine()
    assert [facts[name] for name in ("cpu_governor", "turbo", "virtualised")] == [None, None, None]
    assert facts["gpus"] == []


def test_gpus_are_named_without_their_serials(monkeypatch):
    """Each GPU has what tells it from another product or setting, and no more; what the driver keeps is None."""
    _gpus(monkeypatch, "NVIDIA T4")
    (gpu,) = machine()["gpus"]
    assert {name: value for name, value in gpu.items() if value is not None} == {
        "name": "NVIDIA T4", "memory_bytes": 16 * GIB, "driver": "570.1",
    }  # fmt: skip
    assert not {"uuid", "serial", "index"} & set(gpu)


@pytest.mark.parametrize(
    ("lines", "limit"),
    [
        ({"proc/self/cgroup": "0::/job", "sys/fs/cgroup/job/memory.max": 4 * GIB}, 4 * GIB),
        ({"proc/self/cgroup": "0::/job", "sys/fs/cgroup/job/memory.max": "max"}, None),
        ({"proc/self/cgroup": "3:memory:/job", "sys/fs/cgroup/memory/memory.limit_in_bytes": GIB}, GIB),
        ({"proc/self/cgroup": "3:memory:/", "sys/fs/cgroup/memory/memory.limit_in_bytes": 2**63 - 4096}, None),
    ],
)
def test_memory_is_what_the_container_may_use(system, monkeypatch, lines, limit):
    """memory_bytes is the container's limit where it has one, in control groups v1 and v2."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=64 * GIB))
    for path, text in lines.items():
        system(path, text)
    assert environment.memory_bytes() == (limit or 64 * GIB)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "250000 100000"}, 2),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, 8),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "3200000 100000"}, 8),
        (
            {
                "proc/self/cgroup": "0::/slice/job",
                "sys/fs/cgroup/slice/cpu.max": "300000 100000",
                "sys/fs/cgroup/slice/job/cpu.max": "max 100000",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "5:cpuset:/x\n4:cpu,cpuacct:/docker/123",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            8,
        ),
    ],
)
def test_usable_cpus_keep_to_the_quota(system, affinity, lines, expected):
    """A container's time quota, its own or an ancestor's, bounds the CPUs that affinity allows."""
    for path, text in lines.items():
        system(path, text)
    assert usable_cpus() == expected


MOUNT = "33 31 0:30 {root} {at} rw,nosuid shared:9 - cgroup cgroup rw,{controllers}"
V2 = "41 31 0:38 {root} {at} rw - cgroup2 cgroup2 rw"


@pytest.mark.parametrize(
    ("line", "mount", "folder"),
    [
        ("4:cpu,cpuacct:/docker/ab", None, "cpu,cpuacct"),
        ("4:cpuacct,cpu:/docker/ab", None, "cpuacct,cpu"),
        ("4:cpu,cpuacct:/docker/ab", None, "cpuacct,cpu/docker/ab"),
        ("4:cpu,cpuacct:/a/b", ("/", "/sys/fs/cgroup/both", "cpu,cpuacct"), "both/a/b"),
        ("4:cpu,cpuacct:/a/b", ("/", "/sys/fs/cgroup/both", "cpu,cpuacct"), "both/a"),
        ("4:cpu:/a/b", ("/a", "/sys/fs/cgroup/c p u".replace(" ", "\\040"), "cpu"), "c p u/b"),
        ("4:cpu:/a/b", ("/a/b", "/sys/fs/cgroup/mine", "cpu"), "mine"),
        ("4:cpu:/../../x", ("/../..", "/sys/fs/cgroup/mine", "cpu"), "mine/x"),
    ],
)
def test_a_quota_is_found_wherever_its_controller_is_mounted(system, affinity, line, mount, folder):
    """By the name in the kernel's order, any other name that mountinfo has, with any group as the mount's root."""
    system("proc/self/cgroup", f"5:memory:/elsewhere\n{line}\n0::/")
    if mount:
        root, at, controllers = mount
        other = MOUNT.format(root="/", at="/sys/fs/cgroup/memory", controllers="memory")
        system("proc/self/mountinfo", f"{other}\n{MOUNT.format(root=root, at=at, controllers=controllers)}")
    system(f"sys/fs/cgroup/{folder}/cpu.cfs_quota_us", 300_000)
    system(f"sys/fs/cgroup/{folder}/cpu.cfs_period_us", 100_000)
    assert (environment.cpu_quota(), usable_cpus()) == (3.0, 3)


def test_the_smallest_limit_on_the_path_counts(system, affinity, monkeypatch):
    """Of nested groups each bounds those below it, in time, in CPUs and in memory; v2 may be mounted anywhere."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=64 * GIB))
    system("proc/self/cgroup", "0::/slice/job/step")
    system("proc/self/mountinfo", V2.format(root="/", at="/sys/fs/cgroup/unified"))
    limits = {"slice": ("500000 100000", "0-6", 8 * GIB), "slice/job": ("max 100000", "1-2,4", 2 * GIB),
              "slice/job/step": ("400000 100000", "0-6", "max")}  # fmt: skip
    for folder, (quota, cpus, memory) in limits.items():
        for name, text in (("cpu.max", quota), ("cpuset.cpus.effective", cpus), ("memory.max", memory)):
            system(f"sys/fs/cgroup/unified/{folder}/{name}", text)
    assert (environment.cpu_quota(), usable_cpus(), environment.memory_bytes()) == (4.0, 3, 2 * GIB)


@pytest.mark.parametrize("files", [{"cpu.cfs_quota_us": 300_000}, {"cpu.cfs_period_us": 100_000}, {"cpu.max": "max"},
                                   {"cpu.max": "1 0"}, {"cpu.max": ""}])  # fmt: skip
def test_half_a_quota_is_none(system, affinity, files):
    """A group whose files are missing, cut or of no period limits nothing and crashes nothing."""
    system("proc/self/cgroup", "4:cpu:/\n0::/")
    for name, text in files.items():
        system(f"sys/fs/cgroup/cpu/{name}", text)
        system(f"sys/fs/cgroup/{name}", text)
    assert environment.cpu_quota() is None


@pytest.mark.parametrize(
    ("governors", "expected"),
    [(["performance"] * 2, "performance"), (["powersave", "performance"], "performance, powersave")],
)
def test_governors_are_summed_up(system, governors, expected):
    """The governor is one word where all CPUs agree, else all the words."""
    for cpu, governor in enumerate(governors):
        system(f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor", governor)
    assert environment.governor() == expected


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("intel_pstate/no_turbo", "0", True),
        ("intel_pstate/no_turbo", "1", False),
        ("cpufreq/boost", "1", True),
        ("cpufreq/boost", "0", False),
    ],
)
def test_turbo_is_read_the_right_way_round(system, file, text, expected):
    """Intel's file says that turbo is off, the other that it is on."""
    system(f"sys/devices/system/cpu/{file}", text)
    assert environment.turbo() is expected


@pytest.mark.parametrize(("flags", "expected"), [("fpu hypervisor sse2", True), ("fpu sse2", False)])
def test_a_virtual_machine_is_told_by_its_flag(system, flags, expected):
    """The x86 flag of a hypervisor tells a virtual machine."""
    system("proc/cpuinfo", f"processor\t: 0\nmodel name\t: x\nflags\t\t: {flags}")
    assert environment._virtualised() is expected


# --- device, versions and commit -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gpus", "torch", "mask", "expected"),
    [
        (["T4"], "2.9.0", None, "cuda"),
        (["T4"], "2.9.0+cu128", None, "cuda"),
        (["T4"], "2.9.0+cpu", None, "cpu"),
        (["T4"], "2.9.0+rocm6.4", None, "cpu"),
        (["T4"], "2.9.0+cu128", "", "cpu"),
        (["T4"], "2.9.0+cu128", "-1", "cpu"),
        (["T4"], None, None, "cpu"),
        ([], "2.9.0", None, "cpu"),
    ],
)
def test_the_device_needs_a_gpu_and_a_torch_for_it(monkeypatch, gpus, torch, mask, expected):
    """cuda is chosen only where a visible GPU meets a torch built for CUDA."""
    _gpus(monkeypatch, *gpus)
    _torch(monkeypatch, torch)
    if mask is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mask)
    assert accelerator() == expected


@pytest.mark.parametrize(
    ("system", "chip", "torch", "expected"),
    [
        ("darwin", "arm64", "2.9.0", "mps"),
        ("darwin", "x86_64", "2.9.0", "cpu"),
        ("darwin", "arm64", None, "cpu"),
        ("linux", "arm64", "2.9.0", "cpu"),
    ],
)
def test_the_device_of_an_apple_chip_is_its_gpu(monkeypatch, system, chip, torch, expected):
    """mps is chosen only on Apple's own chips, for which every torch is built."""
    _gpus(monkeypatch)
    _torch(monkeypatch, torch)
    monkeypatch.setattr(environment.sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: chip)
    assert accelerator() == expected


def test_versions_are_those_installed():
    """Versions have greenbench and the installed engines, and nothing that is not installed."""
    found = versions()
    assert {"greenbench", "torch", "psutil"} <= set(found)
    assert found["psutil"] == psutil.__version__
    assert all(isinstance(text, str) and text for text in found.values())


def test_versions_have_third_party_plugins(monkeypatch):
    """The distribution of a third party's plug-in is among the versions."""
    entry = SimpleNamespace(dist=SimpleNamespace(name="pytest"))
    monkeypatch.setattr(registry, "installed", lambda group: [entry] if group == "meters" else [])
    assert versions()["pytest"] == pytest.__version__


def _git(folder, *arguments):
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_state_tells_commit_and_changes(tmp_path):
    """A working tree has its commit; it is dirty once a file differs or is new."""
    assert git_state(tmp_path) is None
    _git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    _git(tmp_path, "add", "a")
    _git(tmp_path, "commit", "-q", "-m", "a")
    clean = git_state(tmp_path)
    assert clean["dirty"] is False
    assert len(clean["commit"]) >= 40
    (tmp_path / "b").write_text("1")
    assert git_state(tmp_path) == {"commit": clean["commit"], "dirty": True}


def test_without_git_the_state_is_unknown(tmp_path, monkeypatch):
    """A machine without git leaves the commit unknown and does not fail."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) is None
