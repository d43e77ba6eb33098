"""Peak memory is the window's own high-water mark over the process tree, and says how it was read."""

import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from greenbench.meters import memory
from greenbench.meters.memory import Memory
from greenbench.plugins import Reading

MIB = 2**20
BIG = 200 * MIB

CHILD = f"""
block = bytearray({BIG})
print("held", flush=True)
input()
"""

pytestmark = pytest.mark.measures  # the memory of this process, which other tests would fill

linux = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="high-water marks that can be set back are Linux's"
)


def _allocate():
    np.ones(BIG, np.uint8)


def _rss():
    return psutil.Process().memory_info().rss


@linux
def test_what_was_freed_before_the_window_does_not_count():
    """A large block freed before the window is not in peak_rss_bytes, though the lifetime maximum has it."""
    _allocate()
    before, reading = _rss(), Reading()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > before + BIG / 2
    with Memory().window(reading):
        pass
    assert reading.value("peak_rss_bytes") < before + BIG / 2
    assert reading.quantities["peak_rss_bytes"].source == "vmhwm"


@linux
def test_what_was_freed_inside_the_window_counts():
    """A large block that came and went inside the window is in peak_rss_bytes, though not in use at the end."""
    before, reading = _rss(), Reading()
    with Memory().window(reading):
        _allocate()
    assert _rss() < before + BIG / 2
    assert reading.value("peak_rss_bytes") >= before + 0.9 * BIG


@linux
def test_a_child_of_the_window_counts():
    """A child that appeared inside the window adds what it held."""
    before, reading = _rss(), Reading()
    command = [sys.executable, "-S", "-c", CHILD]
    with Memory().window(reading):
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        child.stdout.readline()
    with child:
        child.stdin.close()
    assert reading.value("peak_rss_bytes") >= before + 0.9 * BIG


@linux
def test_segments_give_the_largest_peak():
    """Over two windows the larger peak stays, whichever comes first."""
    before, reading = _rss(), Reading()
    for work in (_allocate, lambda: None):
        with Memory().window(reading):
            work()
    assert before + 0.9 * BIG <= reading.value("peak_rss_bytes") < before + 1.9 * BIG


def _fake_proc(root, *, vmhwm_kib):
    """Make a /proc for this process alone whose clear_refs takes no text."""
    (root / "self").mkdir(parents=True)
    process = root / str(psutil.Process().pid)
    (process / "clear_refs").mkdir(parents=True)
    mark = f"VmHWM:\t{vmhwm_kib:8d} kB\n" if vmhwm_kib else ""
    (process / "status").write_text(f"Name:\tpython\nVmPeak:\t 9 kB\n{mark}VmRSS:\t 5 kB\n")
    return root


def test_a_mark_that_cannot_be_set_back_says_so(tmp_path, monkeypatch):
    """Where clear_refs is not writable the lifetime mark is read, in bytes, under a source of its own."""
    monkeypatch.setattr(memory, "PROC", _fake_proc(tmp_path, vmhwm_kib=1234))
    reading = Reading()
    with Memory().window(reading):
        pass
    quantity = reading.quantities["peak_rss_bytes"]
    assert (quantity.value, quantity.source) == (1234 * 1024, "vmhwm-lifetime")
    assert "loading" in quantity.note


@pytest.mark.parametrize("has_proc", [True, False])
def test_without_a_mark_the_end_is_sampled(tmp_path, monkeypatch, has_proc):
    """Where the system keeps no high-water mark the memory at the end is given, and called a sample."""
    root = _fake_proc(tmp_path, vmhwm_kib=0) if has_proc else tmp_path / "absent"
    monkeypatch.setattr(memory, "PROC", root)
    reading = Reading()
    with Memory().window(reading):
        pass
    quantity = reading.quantities["peak_rss_bytes"]
    assert (quantity.method, quantity.source) == ("sampled", "rss-at-end")
    assert quantity.value == pytest.approx(_rss(), rel=0.2)


class _Cuda:
    """torch.cuda as far as the meter knows it, with two devices; ``peaks`` are reserved, half of it in use."""

    def __init__(self, *, initialized, held=10):
        self.initialized = initialized
        self.held = held
        self.peaks = [900, 800]

    def is_initialized(self):
        return self.initialized

    def device_count(self):
        return 2

    def reset_peak_memory_stats(self, device):
        self.peaks[device] = self.held

    def max_memory_reserved(self, device):
        return self.peaks[device]

    def max_memory_allocated(self, device):
        return self.peaks[device] // 2


def test_gpu_peaks_are_the_windows_and_add_over_devices(monkeypatch):
    """Both peaks sum what each GPU reserved and what tensors held at most inside the window, not before it."""
    cuda, reading = _Cuda(initialized=True), Reading()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    with Memory().window(reading):
        cuda.peaks[1] = 50
    assert reading.value("peak_gpu_bytes") == 10 + 50
    assert reading.value("peak_gpu_allocated_bytes") == 5 + 25


def test_segments_give_the_largest_gpu_peak(monkeypatch):
    """Over two windows the larger peak stays."""
    cuda, reading = _Cuda(initialized=True), Reading()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    for peak in (70, 30):
        with Memory().window(reading):
            cuda.peaks[0] = peak
    assert reading.value("peak_gpu_bytes") == 70 + 10


def test_another_engines_gpu_memory_is_unknown(monkeypatch):
    """Where torch has started CUDA but holds nothing there is no peak, rather than 0."""
    cuda, reading = _Cuda(initialized=True, held=0), Reading()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    with Memory().window(reading):
        pass
    assert set(reading.quantities) == {"peak_rss_bytes"}


def _metal(monkeypatch, *held):
    """A torch on an Apple chip whose process has so many bytes from Metal, one value a question."""
    answers = iter(held)
    mps = SimpleNamespace(driver_allocated_memory=lambda: next(answers))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=_Cuda(initialized=False), mps=mps))


@pytest.mark.parametrize("held", [(700, 900), (900, 700)])
def test_on_mps_the_edges_are_sampled(monkeypatch, held):
    """Metal keeps no peak: the larger of both edges is given, called a sample, with the reason."""
    _metal(monkeypatch, *held)
    reading = Reading(device="mps")
    with Memory().window(reading):
        pass
    quantity = reading.quantities["peak_gpu_bytes"]
    assert (quantity.value, quantity.method, quantity.source) == (900, "sampled", "torch-mps-driver-allocated")
    assert "no peak" in quantity.note
    assert "peak_gpu_allocated_bytes" not in reading.quantities


def test_a_cpu_cell_on_a_mac_has_no_gpu_peak(monkeypatch):
    """Where the model runs on the CPU Metal is not asked."""
    _metal(monkeypatch)
    reading = Reading(device="cpu")
    with Memory().window(reading):
        pass
    assert "peak_gpu_bytes" not in reading.quantities


def test_without_cuda_there_is_no_gpu_peak(monkeypatch):
    """A torch that does not use CUDA gives no peak_gpu_bytes at all, rather than 0."""
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=_Cuda(initialized=False)))
    reading = Reading()
    with Memory().window(reading):
        pass
    assert "peak_gpu_bytes" not in reading.quantities


def test_torch_is_not_imported_for_measuring():
    """A measurement of a process without torch does not import it."""
    code = (
        "import sys; from greenbench.meters.memory import Memory; from greenbench.plugins import Reading\n"
        "with Memory().window(Reading()): pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
