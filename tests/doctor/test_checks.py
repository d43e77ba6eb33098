"""The doctor finds what spoils a measurement, says what to do, and refuses official where it could not hold."""

import shutil
from contextlib import nullcontext
from types import SimpleNamespace

import psutil
import pytest
from typer.testing import CliRunner

from greenbench import meters
from greenbench.cli import app
from greenbench.doctor import checks
from greenbench.doctor.checks import findings, verdict
from greenbench.doctor.finding import Finding
from greenbench.hardware import arithmetic, environment, gpus
from greenbench.plugins import Quantity

GIB = 2**30


class FakeClock:
    """CPU accounts whose window shows a given foreign load over half a second."""

    metrics = ("cpu_s",)
    estimates = False

    def __init__(self, foreign_s: float | None) -> None:
        self.foreign_s = foreign_s

    def window(self, reading):
        reading.add("wall_s", Quantity(0.5, "counter", "fake"))
        reading.add("foreign_cpu_s", Quantity(self.foreign_s, "counter", "fake"))
        return nullcontext()


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine on which official can hold: idle, four cores, mains, one counter. Returns a writer of its /sys."""
    monkeypatch.setattr(environment, "SYS", tmp_path)
    monkeypatch.setattr(environment, "PROC", tmp_path / "proc")
    monkeypatch.setattr(gpus, "describe", list)
    monkeypatch.setattr(checks.time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(checks, "CpuTime", lambda: FakeClock(0.0))
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 4)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: None, raising=False)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=16 * GIB, available=8 * GIB))
    monkeypatch.setattr(psutil, "swap_memory", lambda: SimpleNamespace(used=0))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=50 * GIB))
    monkeypatch.setattr(meters, "survey", lambda: {"cpu-time": None, "rapl": "no counter: buy one"})
    answering(monkeypatch, "energy_cpu_j")

    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    write("devices/system/clocksource/clocksource0/current_clocksource", "tsc")
    write("devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance")
    return write


def answering(monkeypatch, *metrics):
    """Let one meter answer these metrics."""
    monkeypatch.setattr(meters, "select", lambda estimate: [SimpleNamespace(metrics=("cpu_s", *metrics))])


def finding(topic):
    return next(found for found in findings() if found.topic == topic)


def test_a_fit_machine_can_hold_official(machine):
    """Where nothing stands against it, the last line says so, and no finding is a problem of the machine."""
    found = findings()
    assert verdict(found) == "the official protocol can be met here"
    assert [f.topic for f in found if f.ok is False and f.topic != "C++ compiler"] == []


def test_there_is_one_finding_a_topic(machine):
    """Topics are unique, messages one line, what is fine needs no remedy, and only a problem blocks."""
    found = findings()
    assert len({f.topic for f in found}) == len(found)
    assert all(f.message and "\n" not in f.message for f in found)
    assert all(f.remedy is None for f in found if f.ok)
    assert all(f.ok is False for f in found if f.blocks_official)


def test_each_meter_has_its_reason(machine):
    """An unavailable meter is noted with its own reason; not every machine has every counter."""
    assert finding("meter cpu-time").ok is True
    assert finding("meter rapl") == Finding("meter rapl", None, "no counter: buy one")


@pytest.mark.parametrize(
    ("metrics", "device", "ok", "part"),
    [
        (["energy_cpu_j", "energy_dram_j"], "cpu", True, "scope cpu+dram"),
        (["energy_cpu_j", "energy_gpu_j"], "cuda", True, "scope cpu+gpu"),
        (["energy_system_j"], "cuda", True, "scope system"),
        (["energy_gpu_j"], "cuda", False, "joules of: cpu."),
        ([], "cpu", False, "joules of: cpu."),
    ],
)
def test_energy_needs_every_part_of_its_scope(machine, monkeypatch, metrics, device, ok, part):
    """A counter of the GPU alone makes no total; without a total rows still rank, so official is not blocked."""
    monkeypatch.setattr(environment, "accelerator", lambda: device)
    answering(monkeypatch, *metrics)
    found = finding("energy")
    assert (found.ok, found.blocks_official) == (ok, False)
    assert part in found.message


@pytest.mark.parametrize(("governor", "ok"), [("performance", True), ("powersave", False), ("schedutil", False)])
def test_only_the_performance_governor_keeps_the_clock(machine, governor, ok):
    """Every other governor lets the clock follow the load, and blocks official until it is changed."""
    machine("devices/system/cpu/cpu0/cpufreq/scaling_governor", governor)
    found = finding("CPU governor")
    assert (found.ok, found.blocks_official, bool(found.remedy)) == (ok, not ok, not ok)


def test_what_cannot_be_told_blocks_nothing(machine, monkeypatch, tmp_path):
    """An empty /sys, as in a container, is noted and not held against the machine."""
    monkeypatch.setattr(environment, "SYS", tmp_path / "nothing")
    monkeypatch.setattr(checks, "CpuTime", lambda: FakeClock(None))
    for topic in ("CPU governor", "turbo", "temperature", "foreign load"):
        assert finding(topic).ok is None
    assert verdict(findings()) == "the official protocol can be met here"


@pytest.mark.parametrize(
    ("capabilities", "ok", "says"),
    [
        ({"architecture": "x86_64", "avx2": True}, None, "no bfloat16 arithmetic: emulated, slowly"),
        ({"architecture": "x86_64", "amx_bf16": True}, True, "this CPU has its arithmetic"),
        ({}, None, "unknown"),
    ],
)
def test_a_precision_that_the_cpu_emulates_is_noted(machine, monkeypatch, capabilities, ok, says):
    """Who has no arithmetic for bfloat16 knows it before a run skips it; no official run is blocked by that."""
    monkeypatch.setattr(arithmetic, "capabilities", lambda: capabilities)
    found = finding("bf16")
    assert (found.ok, found.blocks_official) == (ok, False)
    assert says in found.message


@pytest.mark.parametrize(("no_turbo", "ok"), [(1, True), (0, None)])
def test_turbo_is_for_the_reader_to_judge(machine, no_turbo, ok):
    """Turbo off is steady; on is what most people run."""
    machine("devices/system/cpu/intel_pstate/no_turbo", no_turbo)
    assert finding("turbo").ok is ok


@pytest.mark.parametrize(("n_cores", "ok"), [(4, True), (2, None), (None, None)])
def test_smt_is_told(machine, monkeypatch, n_cores, ok):
    """Two CPUs a core are noted, since a suite's threads count CPUs; where the cores are not known it says so."""
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 4 if logical else n_cores)
    assert finding("SMT").ok is ok
    assert (n_cores is None) == ("unknown" in finding("SMT").message)


def test_a_quota_blocks(machine, monkeypatch):
    """A time quota pauses the model in the middle of a window."""
    monkeypatch.setattr(environment, "cpu_quota", lambda: 1.5)
    found = finding("CPU quota")
    assert (found.ok, found.blocks_official) == (False, True)
    assert "1.5 CPUs" in found.message


@pytest.mark.parametrize(
    ("source", "choices", "remedy"),
    [
        ("tsc", "tsc hpet acpi_pm", None),
        ("kvm-clock", "kvm-clock", None),
        ("arch_sys_counter", "arch_sys_counter", None),
        ("hpet", "tsc hpet acpi_pm", "echo tsc | sudo tee"),
        ("acpi_pm", "acpi_pm", "dmesg"),
        ("jiffies", "jiffies", "dmesg"),
    ],
)
def test_a_slow_clock_blocks(machine, source, choices, remedy):
    """The fallbacks of a kernel that gave the CPU's counter up are found, with the way back where there is one."""
    folder = "devices/system/clocksource/clocksource0"
    machine(f"{folder}/current_clocksource", source)
    machine(f"{folder}/available_clocksource", choices)
    found = finding("clock source")
    assert (found.ok, found.blocks_official) == (remedy is None, remedy is not None)
    assert source in found.message
    assert remedy is None or remedy in found.remedy


@pytest.mark.parametrize(("plugged", "ok"), [(True, True), (None, True), (False, False)])
def test_a_machine_on_battery_blocks(machine, monkeypatch, plugged, ok):
    """A discharging battery limits the CPU; one that is charging, or says nothing, does not."""
    monkeypatch.setattr(psutil, "sensors_battery", lambda: SimpleNamespace(power_plugged=plugged), raising=False)
    found = finding("power supply")
    assert (found.ok, found.blocks_official) == (ok, not ok)


@pytest.mark.parametrize(("foreign_s", "ok"), [(0.2, True), (0.21, False), (None, None)])
def test_the_load_is_a_share_of_all_cpus(machine, monkeypatch, foreign_s, ok):
    """On four CPUs 0.2 s in half a second is a tenth and fine, more is too much for official."""
    monkeypatch.setattr(checks, "CpuTime", lambda: FakeClock(foreign_s))
    found = finding("foreign load")
    assert (found.ok, found.blocks_official) == (ok, ok is False)


def test_no_load_is_above_all_cpus(machine, monkeypatch):
    """The system counts in ticks, which over half a second may add up to more than there is."""
    monkeypatch.setattr(checks, "CpuTime", lambda: FakeClock(2.1))
    assert finding("foreign load").message == "other processes use 100% of all CPUs"


@pytest.mark.parametrize(("n_throttles", "ok"), [(0, True), (3, False)])
def test_past_throttling_is_a_warning(machine, n_throttles, ok):
    """What was too hot since boot will be again; rows are flagged when it happens, so official is not blocked."""
    machine("class/thermal/thermal_zone0/type", "x86_pkg_temp")
    machine("class/thermal/thermal_zone0/temp", "51000")
    machine("devices/system/cpu/cpu0/topology/physical_package_id", 0)
    machine("devices/system/cpu/cpu0/thermal_throttle/package_throttle_count", n_throttles)
    found = finding("temperature")
    assert found.message == f"51 °C now, throttled {n_throttles} times since boot"
    assert (found.ok, found.blocks_official, bool(found.remedy)) == (ok, False, not ok)


@pytest.mark.parametrize(("available", "ok"), [(4 * GIB, True), (4 * GIB - 1, False)])
def test_little_memory_is_found(machine, monkeypatch, available, ok):
    """Less memory than the largest model needs is found."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=16 * GIB, available=available))
    assert finding("memory").ok is ok


@pytest.mark.parametrize(("used", "ok"), [(0, True), (GIB, False)])
def test_swapping_is_found(machine, monkeypatch, used, ok):
    """Swap in use is found."""
    monkeypatch.setattr(psutil, "swap_memory", lambda: SimpleNamespace(used=used))
    assert finding("swap").ok is ok


@pytest.mark.parametrize(("free", "ok"), [(50 * GIB, True), (GIB, False)])
def test_disk_space_is_judged(machine, monkeypatch, free, ok):
    """Too little room for models and corpora is found."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    assert finding("disk").ok is ok


def test_a_gpu_that_torch_cannot_use_is_found(machine, monkeypatch):
    """A GPU beside a CPU build of torch is found, and named."""
    monkeypatch.setattr(gpus, "describe", lambda: [{"name": "NVIDIA T4"}])
    monkeypatch.setattr(environment, "torch_has_cuda", lambda: False)
    found = finding("device")
    assert found.ok is False
    assert "NVIDIA T4" in found.message


def test_a_missing_compiler_is_found(machine, monkeypatch):
    """A CXX that is not there is found by name."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    found = finding("C++ compiler")
    assert found.ok is False
    assert "no-such-compiler" in found.remedy


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_command_ends_with_the_verdict_and_its_exit_code(machine, monkeypatch, options):
    """Where official cannot hold the last line names what stands against it, and the exit code is 1."""
    assert CliRunner().invoke(app, ["doctor", *options]).exit_code == 0
    monkeypatch.setattr(environment, "cpu_quota", lambda: 1.5)
    machine("devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave")
    done = CliRunner().invoke(app, ["doctor", *options])
    assert done.exit_code == 1
    if not options:
        assert done.stdout.splitlines()[-1] == "the official protocol cannot be met here: CPU governor, CPU quota"
