"""Memory: the peak of the process tree, and of torch on its GPUs, within the window."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

import psutil

from greenbench.files import kernel
from greenbench.meters.poller import PIDS
from greenbench.plugins import Quantity, Reading

PROC = Path("/proc")


@dataclass(frozen=True)
class Memory:
    """High-water marks of resident and of GPU memory.

    ``peak_rss_bytes`` is the sum over the process tree of the kernel's ``VmHWM``, which is reset by writing 5 to
    ``clear_refs`` (Linux, ``proc_pid_clear_refs(5)``). It is an upper bound: pages shared by two processes count twice,
    and their peaks may occur at different times. A descendant that ends within the window is not included. Where the
    mark cannot be reset the source is ``vmhwm-lifetime``, and where there is none it is ``rss-at-end``.

    ``peak_gpu_bytes`` is the memory that torch's caching allocator reserved, and ``peak_gpu_allocated_bytes`` the part
    in use by tensors, each summed over the GPUs on which torch has memory. An engine with its own allocator has
    neither. Apple's GPUs record no peak: there ``peak_gpu_bytes`` is the larger of the process's memory from Metal at
    the window's edges, which misses what torch released in between.
    """

    metrics: ClassVar[tuple[str, ...]] = ("peak_rss_bytes", "peak_gpu_bytes", "peak_gpu_allocated_bytes")
    estimates: ClassVar[bool] = False

    def unavailable(self) -> str | None:
        """Return None: resident memory can be read everywhere."""
        return None

    @contextmanager
    def window(self, reading: Reading) -> Iterator[None]:
        """Reset the marks, run the ``with`` block, read the marks."""
        with _within(reading) as was_reset:
            before = _metal_bytes(reading.device)
            yield
            _note(reading, was_reset)
        for metric, quantity in _metal_peak(before, _metal_bytes(reading.device)).items():
            reading.peak(metric, quantity)


_OPEN: list[tuple[Reading, bool]] = []
"""The open windows of this process, and whether the marks were reset as each began."""

_LOCK = Lock()


@contextmanager
def _within(reading: Reading) -> Iterator[bool]:
    """Reset the marks and say whether that worked; windows that are open already record the marks first."""
    with _LOCK:
        for outer, was_reset in _OPEN:
            _note(outer, was_reset)
        opened = (reading, _reset_rss_peaks())
        _reset_cuda_peaks()
        _OPEN.append(opened)
    try:
        yield opened[1]
    finally:
        with _LOCK:
            _OPEN[:] = [other for other in _OPEN if other is not opened]


def _note(reading: Reading, was_reset: bool) -> None:
    """Record the present marks in a reading, where they are above its values."""
    for metric, quantity in {"peak_rss_bytes": _peak_rss(was_reset), **_cuda_peaks()}.items():
        reading.peak(metric, quantity)


def _tree() -> list[int]:
    """Return the ids of this process and its descendants without pollers, its own first."""
    me = psutil.Process()
    return [me.pid, *(child.pid for child in me.children(recursive=True) if child.pid not in PIDS)]


def _put(file: Path, value: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    try:
        os.write(descriptor, value)
    finally:
        os.close(descriptor)


def _reset_rss_peaks() -> bool:
    """Reset every process's high-water mark to its present memory; say whether that worked."""
    for pid in _tree():
        try:
            _put(PROC / str(pid) / "clear_refs", b"5")
        except OSError:
            # A process that has just ended has no mark to reset; any other failure makes the sum wrong.
            if (PROC / str(pid)).exists():
                return False
    return (PROC / "self").exists()


def _peak_rss(was_reset: bool) -> Quantity:
    peaks = [_vmhwm_bytes(pid) for pid in _tree()]
    if peaks[0] is None:
        return Quantity(_rss_bytes(), "sampled", "rss-at-end", "no high-water mark on this system")
    total = sum(peak for peak in peaks if peak is not None)
    if was_reset:
        return Quantity(total, "counter", "vmhwm")
    return Quantity(total, "counter", "vmhwm-lifetime", "clear_refs is not writable: includes loading")


def _vmhwm_bytes(pid: int) -> int | None:
    """Return a process's high-water mark (the kernel gives KiB), or None where there is none."""
    lines = kernel.text(PROC / str(pid) / "status").splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def _rss_bytes() -> int:
    total = 0
    for pid in _tree():
        with suppress(psutil.Error):
            total += psutil.Process(pid).memory_info().rss
    return total


def _cuda() -> Any:
    """Return torch's CUDA module (of ROCm as well), or None where torch does not use it yet."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _reset_cuda_peaks() -> None:
    cuda = _cuda()
    for device in range(cuda.device_count() if cuda else 0):
        cuda.reset_peak_memory_stats(device)


def _cuda_peaks() -> dict[str, Quantity]:
    """Return torch's peaks over all CUDA devices; where it reserved nothing, another engine runs the model."""
    cuda = _cuda()
    devices = range(cuda.device_count() if cuda else 0)
    reserved = sum(cuda.max_memory_reserved(device) for device in devices)
    if not reserved:
        return {}
    allocated = sum(cuda.max_memory_allocated(device) for device in devices)
    return {
        "peak_gpu_bytes": Quantity(reserved, "counter", "torch-max-reserved"),
        "peak_gpu_allocated_bytes": Quantity(allocated, "counter", "torch-max-allocated"),
    }


def _metal_bytes(device: str | None) -> int | None:
    """Return the process's memory from Metal, torch's cache included, or None where it uses no Apple GPU."""
    torch = sys.modules.get("torch")
    return None if torch is None or device != "mps" else int(torch.mps.driver_allocated_memory())


def _metal_peak(before: int | None, after: int | None) -> dict[str, Quantity]:
    if before is None or after is None:
        return {}
    note = "torch keeps no peak on MPS: this was read at the window's edges"
    return {"peak_gpu_bytes": Quantity(max(before, after), "sampled", "torch-mps-driver-allocated", note)}
