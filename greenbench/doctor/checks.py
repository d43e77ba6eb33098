"""The doctor's checks: what on this machine would disturb a measurement, the remedy, and the official protocol."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from greenbench import extras, meters
from greenbench.doctor import boards
from greenbench.doctor.finding import Finding
from greenbench.files import kernel
from greenbench.hardware import arithmetic, environment, gpus
from greenbench.meters import energy, thermal
from greenbench.meters.cputime import CpuTime
from greenbench.plugins import Quantity, Reading
from greenbench.results.flag_rules import MAX_FOREIGN_SHARE

MIN_FREE_BYTES = 5 * 2**30
"""Room for the largest wav2vec 2.0 model, a LibriSpeech test set and its archive."""

MIN_AVAILABLE_BYTES = 4 * 2**30
"""Memory for the largest wav2vec 2.0 model in float32, its batch and an hour of decoded speech."""

SLOW_CLOCKS = ("hpet", "acpi_pm", "pit", "jiffies", "refined-jiffies")
"""Linux falls back to one of these where the CPU's own counter is unstable: a read takes microseconds (or, of jiffies,
is exact to milliseconds only); Linux, ``Documentation/timers/timekeeping.rst``."""


def findings() -> list[Finding]:
    """Check what decides which metrics can be measured on this machine, and how well; takes about a second."""
    checks = (
        _energy, _device, _bf16, _fp16, _int8, _governor, _turbo, _threads, _quota, _clock_source, _power_supply,
        _load, _temperature, _memory, _swap, _disk, _compiler,
    )  # fmt: skip
    return [*_meters(), *(check() for check in checks), *boards.findings()]


def verdict(checked: list[Finding]) -> str:
    """Say in one line whether the official protocol can be met on this machine, and if not, what prevents it."""
    against = [finding.topic for finding in checked if finding.blocks_official]
    if not against:
        return "the official protocol can be met here"
    return f"the official protocol cannot be met here: {', '.join(against)}"


def _refuse(topic: str, message: str, remedy: str) -> Finding:
    return Finding(topic, False, message, remedy, blocks_official=True)


# --- what can be measured --------------------------------------------------------------------------------


def _meters() -> Iterator[Finding]:
    for name, reason in meters.survey().items():
        # A meter's reason ends with its own remedy; whether a meter is missing is said by the check of the energy.
        yield Finding(f"meter {name}", True if reason is None else None, reason or "can measure here")


def _energy() -> Finding:
    answered = {metric for meter in meters.select(estimate=False) for metric in meter.metrics}
    read = Reading({metric: Quantity(0.0, "counter", "") for metric in answered})
    scope = energy.scope(environment.accelerator(), read)
    missing = [part for part in scope if energy.part_column(part) not in answered]
    if not missing:
        return Finding("energy", True, f"joules are measured, scope {'+'.join(scope)}")
    message = f"no meter here measures joules of: {', '.join(missing)}. Rows rank by WER, speed and memory alone"
    return Finding("energy", False, message, "a meter's remedy above, --power-log, or --estimate-energy (labelled)")


def _device() -> Finding:
    if reason := extras.missing(["torch"]):
        lacking, _, command = reason.partition(": ")
        return Finding("device", False, f"wav2vec 2.0 models cannot run: {lacking}", command)
    names = [gpu["name"] for gpu in gpus.describe()]
    if names and not environment.torch_has_cuda():
        message = f"{', '.join(names)} is not used: the installed torch is built without CUDA"
        return Finding("device", False, message, "install torch for CUDA (https://pytorch.org/get-started)")
    return Finding("device", True, f"models run on {environment.accelerator()} by default")


def _bf16() -> Finding:
    return _arithmetic("bf16", "emulated, slowly; a run skips it unless its suite says `allow_emulated: true`")


def _fp16() -> Finding:
    return _arithmetic("fp16", "emulated, slowly; a run skips it unless its suite says `allow_emulated: true`")


def _int8() -> Finding:
    return _arithmetic("int8", "`int8-dynamic` builds gain less than on a CPU that has it")


def _arithmetic(precision: str, otherwise: str) -> Finding:
    if arithmetic.native(precision) is None:
        return Finding(precision, None, "unknown: the installed torch does not say whether this CPU has its arithmetic")
    reason = arithmetic.emulated(precision)
    return (
        Finding(precision, True, "this CPU has its arithmetic")
        if reason is None
        else Finding(precision, None, f"{reason}: {otherwise}")
    )


def _compiler() -> Finding:
    default = "clang++" if sys.platform == "darwin" else "g++"
    compiler = os.environ.get("CXX", default)
    if shutil.which(compiler):
        return Finding("C++ compiler", True, f"{compiler}: `+compile` builds can run on the CPU")
    message = f"{compiler} is not installed: `+compile` builds cannot run on the CPU"
    return Finding("C++ compiler", False, message, f"install {compiler}, or point CXX at a C++ compiler")


# --- a CPU and a clock of constant speed -----------------------------------------------------------------


def _governor() -> Finding:
    governor = environment.governor()
    if governor is None:
        return Finding("CPU governor", None, "unknown: the CPU's clock may follow the load")
    if governor == "performance":
        return Finding("CPU governor", True, governor)
    message = f"{governor}: the CPU's clock follows the load, and is slow after a pause"
    return _refuse("CPU governor", message, "sudo cpupower frequency-set -g performance")


def _turbo() -> Finding:
    turbo = environment.turbo()
    if turbo is None:
        return Finding("turbo", None, "unknown")
    if not turbo:
        return Finding("turbo", True, "off: the CPU keeps its base clock")
    return Finding("turbo", None, "on: the CPU's clock depends on its temperature; off is slower and steadier")


def _threads() -> Finding:
    n_threads, n_cores = psutil.cpu_count(), psutil.cpu_count(logical=False)
    if not n_threads or not n_cores:
        return Finding("SMT", None, "unknown: two CPUs may share one core")
    if n_threads <= n_cores:
        return Finding("SMT", True, "off: every CPU is a physical core")
    message = f"on: {n_threads} CPUs are {n_cores} cores; a suite's `threads` counts CPUs, and cores are often faster"
    return Finding("SMT", None, message)


def _quota() -> Finding:
    quota = environment.cpu_quota()
    if quota is None:
        return Finding("CPU quota", True, f"none; {environment.usable_cpus()} of {psutil.cpu_count()} CPUs are usable")
    message = f"the container may use {quota:g} CPUs' worth of time and is paused once that is spent"
    return _refuse("CPU quota", message, "pin it to whole CPUs instead (docker run --cpuset-cpus)")


def _clock_source() -> Finding:
    folder = environment.SYS / "devices/system/clocksource/clocksource0"
    source = kernel.text(folder / "current_clocksource")
    if source not in SLOW_CLOCKS:
        return Finding("clock source", True, source or time.get_clock_info("perf_counter").implementation)
    message = f"{source}: the CPU's own counter is unstable by the kernel's check, and every read of this clock is slow"
    choices = kernel.text(folder / "available_clocksource").split()
    better = next((name for name in choices if name not in SLOW_CLOCKS), None)
    remedy = f"echo {better} | sudo tee {folder}/current_clocksource" if better else "see why: sudo dmesg | grep -i tsc"
    return _refuse("clock source", message, remedy)


def _power_supply() -> Finding:
    with suppress(OSError, RuntimeError, AttributeError):
        battery = psutil.sensors_battery()
        if battery is not None and battery.power_plugged is False:
            return _refuse("power supply", "battery: the CPU's power is limited", "plug the machine in")
    return Finding("power supply", True, "not a battery")


def _temperature() -> Finding:
    now_c, n_throttles = thermal.hottest_c(environment.SYS), thermal.n_throttles(environment.SYS)
    if now_c is None and n_throttles is None:
        message = "cannot be read: cool-downs take their full time, and throttling is not detected"
        return Finding("temperature", None, message)
    parts = [f"{now_c:.0f} °C now"] if now_c is not None else []
    parts += [f"throttled {n_throttles} times since boot"] if n_throttles is not None else []
    remedy = "better cooling, or a lower power limit: long windows would be throttled again" if n_throttles else None
    return Finding("temperature", not n_throttles, ", ".join(parts), remedy)


# --- other load, memory and disk -------------------------------------------------------------------------


def _load() -> Finding:
    reading = Reading()
    with meters.measure([CpuTime()], reading):
        time.sleep(0.5)
    foreign_s, wall_s = reading.value("foreign_cpu_s"), reading.value("wall_s")
    if foreign_s is None or not wall_s:
        return Finding("foreign load", None, "the system does not report how busy the CPUs are")
    load = min(1.0, foreign_s / wall_s / (psutil.cpu_count() or 1))  # ticks are coarse over half a second
    message = f"other processes use {load:.0%} of all CPUs"
    if load <= MAX_FOREIGN_SHARE:
        return Finding("foreign load", True, message)
    return _refuse("foreign load", message, "stop other programs: they slow the model, and their energy is counted")


def _memory() -> Finding:
    available = min(psutil.virtual_memory().available, environment.memory_bytes())
    message = f"{available / 2**30:.1f} GiB available"
    if available >= MIN_AVAILABLE_BYTES:
        return Finding("memory", True, message)
    remedy = f"large models need up to {MIN_AVAILABLE_BYTES / 2**30:.0f} GiB: end other programs, or take smaller ones"
    return Finding("memory", False, message, remedy)


def _swap() -> Finding:
    with suppress(OSError, RuntimeError):
        used = psutil.swap_memory().used
        remedy = None if used == 0 else "free memory, then `sudo swapoff -a && sudo swapon -a`"
        return Finding("swap", used == 0, f"{used / 2**30:.1f} GiB in use", remedy)
    return Finding("swap", None, "the system does not report it")


def _disk() -> Finding:
    with suppress(OSError, RuntimeError):
        free = shutil.disk_usage(Path.home()).free
        ok = free >= MIN_FREE_BYTES
        remedy = None if ok else f"models and corpora need up to {MIN_FREE_BYTES / 2**30:.0f} GiB: make room"
        return Finding("disk", ok, f"{free / 2**30:.1f} GiB free in the home folder", remedy)
    return Finding("disk", False, "there is no home folder for models", "point HOME at a writable folder")
