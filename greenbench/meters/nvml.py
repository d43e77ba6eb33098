"""NVML: energy of the GPUs in use, from the driver's own counter."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from greenbench.errors import MissingError
from greenbench.plugins import Quantity, Reading

UPDATE_S = 0.1
"""How often the counter moves (arXiv 2312.02741); what is shorter cannot be seen."""


@dataclass(frozen=True)
class Nvml:
    """Gross joules of the GPU boards that this process uses (Volta and newer).

    In use are the GPUs that torch sees once it has started CUDA; before that those that
    ``CUDA_VISIBLE_DEVICES`` leaves, by index in PCI order or by UUID; without it all of them.
    """

    metrics: ClassVar[tuple[str, ...]] = ("energy_gpu_j",)
    estimates: ClassVar[bool] = False

    def unavailable(self) -> str | None:
        """Say why the GPUs in use have no readable energy counter and what to do about it, or return None."""
        import pynvml

        try:
            with session() as nvml:
                for gpu in _gpus_in_use(nvml):
                    _check(nvml, gpu)
        except MissingError as error:
            return str(error)
        except pynvml.NVMLError_LibraryNotFound:
            return "no NVIDIA driver here: install it, or give the container the GPU (docker run --gpus all)"
        except pynvml.NVMLError as error:
            return f"NVML answers '{error}': see whether `nvidia-smi` works here"
        return None

    @contextmanager
    def window(self, reading: Reading) -> Iterator[None]:
        """Read the counters before and after the ``with`` block, which must end with the GPUs at rest."""
        with session() as nvml:
            gpus = _gpus_in_use(nvml)
            start = time.perf_counter()
            before = _read_mj(nvml, gpus)
            yield
            after = _read_mj(nvml, gpus)
            reading.add("energy_gpu_j", _energy(before, after, time.perf_counter() - start))


@contextmanager
def session() -> Iterator[Any]:
    """Yield the ``pynvml`` module with NVML started.

    Raises:
        pynvml.NVMLError: there is no driver, or it refuses.
    """
    import pynvml

    pynvml.nvmlInit()
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def visible(n_gpus: int) -> list[str]:
    """Return what ``CUDA_VISIBLE_DEVICES`` leaves of ``n_gpus``: indexes, UUIDs or their beginnings."""
    mask = os.environ.get("CUDA_VISIBLE_DEVICES")
    if mask is None:
        return [str(index) for index in range(n_gpus)]
    names: list[str] = []
    for name in (part.strip() for part in mask.split(",")):
        # CUDA takes the entries up to the first that is no device, so that -1 or nothing hides all.
        if not name or (name.lstrip("-").isdigit() and not 0 <= int(name) < n_gpus):
            break
        names.append(name)
    return names


def _gpus_in_use(nvml: Any) -> list[Any]:
    """Return the NVML handles of the GPUs in use.

    Raises:
        MissingError: there is none, or one is a slice or unknown to NVML.
    """
    n_gpus = nvml.nvmlDeviceGetCount()
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(n_gpus)]
    names = _torch_uuids() or visible(n_gpus)
    if not names:
        raise MissingError("no GPU is visible: CUDA_VISIBLE_DEVICES hides them all, or the machine has none")
    return [_handle(nvml, handles, name) for name in names]


def _torch_uuids() -> list[str]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return []
    devices = range(torch.cuda.device_count())
    return [f"GPU-{torch.cuda.get_device_properties(device).uuid}" for device in devices]


def _handle(nvml: Any, handles: Sequence[Any], name: str) -> Any:
    """Return the handle of an index or of a UUID, which CUDA lets one abbreviate."""
    if name.isdigit():
        return handles[int(name)]
    for handle in handles:
        if nvml.nvmlDeviceGetUUID(handle).startswith(name):
            return handle
    raise MissingError(
        f"the GPU in use, '{name}', is none that NVML lists: a MIG slice has no energy counter of its own; "
        "use a whole GPU, or correct CUDA_VISIBLE_DEVICES"
    )


def _check(nvml: Any, gpu: Any) -> None:
    """Raise ``MissingError`` where a GPU's counter is absent or counts for others, too."""
    try:
        if nvml.nvmlDeviceGetMigMode(gpu)[0]:
            raise MissingError("this GPU is split by MIG, its counter is the whole board's: use a whole GPU")
    except nvml.NVMLError:
        pass  # GPUs that cannot be split answer so with an error
    try:
        nvml.nvmlDeviceGetTotalEnergyConsumption(gpu)
    except nvml.NVMLError_NotSupported as error:
        raise MissingError("this GPU has no energy counter (older than Volta, or virtual): use another GPU") from error


def _read_mj(nvml: Any, gpus: Sequence[Any]) -> list[int] | None:
    try:
        return [nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) for gpu in gpus]
    except nvml.NVMLError:
        return None


def _energy(before: list[int] | None, after: list[int] | None, window_s: float) -> Quantity:
    """Return the joules of all boards, or None with the reason where one of them cannot be told."""
    if before is None or after is None:
        return _unknown("a counter could not be read at an edge of the window")
    if window_s < UPDATE_S:
        return _unknown(f"the window of {window_s:.3f} s is under the counter's update of {UPDATE_S} s")
    used_mj = [b - a for a, b in zip(before, after, strict=True)]
    if min(used_mj) <= 0:
        return _unknown("a counter did not move forward: the window is too short, or the driver was reloaded")
    return Quantity(sum(used_mj) / 1e3, "counter", "nvml-total-energy")


def _unknown(note: str) -> Quantity:
    return Quantity(None, "counter", "nvml-total-energy", note)
