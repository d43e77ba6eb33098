"""NVML: which GPU boards a model uses, and their energy from the driver's own counter."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

from greenbench.devices import number
from greenbench.errors import MissingError
from greenbench.plugins import Quantity, Reading

UPDATE_S = 0.1
"""How often the counter moves (arXiv 2312.02741); what is shorter cannot be seen."""


@dataclass(frozen=True)
class Nvml:
    """Gross joules of the GPU boards that the model uses (Volta and newer).

    In use is the GPU of the window's CUDA device, identified by torch where it has started CUDA. Before that, and
    where no device is named, go by ``CUDA_VISIBLE_DEVICES``: by index in PCI order, by UUID or by its beginning.
    A slice of a GPU (MIG, vGPU) has no counter of its own: its joules are those of the whole board, and are
    marked as shared.
    """

    metrics: ClassVar[tuple[str, ...]] = ("energy_gpu_j",)
    estimates: ClassVar[bool] = False

    def unavailable(self) -> str | None:
        """Say why no visible GPU tells its energy and what to do about it, or return None."""
        with in_use(None) as used:
            if used.problem is None and not any(board.has_counter for board in used.boards):
                return "this GPU has no energy counter (older than Volta, or virtual): use another GPU"
            return used.problem

    @contextmanager
    def window(self, reading: Reading) -> Iterator[None]:
        """Read the counters before and after the ``with`` block, which must end with the GPUs at rest."""
        with in_use(reading.device) as used:
            start = time.perf_counter()
            before = _read_mj(used.boards)
            yield
            after = _read_mj(used.boards)
            window_s = time.perf_counter() - start
        if used.problem is not None:
            reading.add("energy_gpu_j", _unknown(used.problem))
        elif used.boards:
            shared = any(board.shared for board in used.boards)
            reading.add("energy_gpu_j", replace(_energy(before, after, window_s), shared=shared))


def _read_mj(used: Sequence["Board"]) -> list[int] | None:
    import pynvml

    try:
        return [pynvml.nvmlDeviceGetTotalEnergyConsumption(board.handle) for board in used]
    except pynvml.NVMLError:
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


# --- the boards ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Board:
    """One GPU as NVML knows it.

    Attributes:
        index: NVML's, in PCI order.
        handle: NVML's.
        shared: whether what it draws is drawn for others, too: it is cut up by MIG or lent out by vGPU.
        has_counter: whether it counts its energy.
    """

    index: int
    handle: Any
    shared: bool
    has_counter: bool


@dataclass(frozen=True)
class Used:
    """The boards that a model uses: none where it runs on another kind of device, or there is a problem."""

    boards: tuple[Board, ...] = ()
    problem: str | None = None


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


@contextmanager
def in_use(device: str | None) -> Iterator[Used]:
    """Yield the boards behind a device, with NVML started during the ``with`` block.

    Args:
        device: what the model runs on; None takes every GPU that CUDA may use.
    """
    import pynvml

    if device is not None and not device.startswith("cuda"):
        yield Used()
        return
    with ExitStack() as stack:
        try:
            found = Used(boards(stack.enter_context(session()), device))
        except (MissingError, pynvml.NVMLError) as error:
            found = Used(problem=_explain(error))
        yield found


def boards(nvml: Any, device: str | None = None) -> tuple[Board, ...]:
    """Return the boards behind a CUDA device, or those of all visible GPUs, each once.

    Raises:
        MissingError: there is none, or one is unknown to NVML.
        pynvml.NVMLError: the driver refuses.
    """
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    names = _torch_uuids() or visible(len(handles))
    if device is not None:
        names = names[number(device) :][:1]
    if not names:
        raise MissingError("no GPU is visible: CUDA_VISIBLE_DEVICES hides them all, or the machine has none")
    found = sorted({_index(nvml, handles, name) for name in names})
    return tuple(Board(i, handles[i], _is_shared(nvml, handles[i]), _counts(nvml, handles[i])) for i in found)


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


def _torch_uuids() -> list[str]:
    """Return the UUIDs of the GPUs that torch sees, in torch's order, without ``GPU-`` or ``MIG-``."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return []
    devices = range(torch.cuda.device_count())
    return [str(torch.cuda.get_device_properties(device).uuid) for device in devices]


def _index(nvml: Any, handles: Sequence[Any], name: str) -> int:
    """Return the board of an index, of a GPU's UUID, which may be abbreviated, or of a slice's UUID."""
    if name.isdigit():
        return int(name)
    for index, handle in enumerate(handles):
        if any(_is_called(uuid, name) for uuid in (nvml.nvmlDeviceGetUUID(handle), *_slices(nvml, handle))):
            return index
    raise MissingError(f"the GPU in use, '{name}', is none that NVML lists: correct CUDA_VISIBLE_DEVICES")


def _is_called(uuid: str, name: str) -> bool:
    """Compare a UUID with a mask's name, torch's form of it, or ``MIG-<the board's UUID>/<instance>/<instance>``."""
    return uuid.startswith(name) or uuid.partition("-")[2] == name or name.startswith(f"MIG-{uuid}/")


def _slices(nvml: Any, handle: Any) -> Iterator[str]:
    """Yield the UUIDs of the slices that MIG cut a board into; most boards cannot be cut."""
    with suppress(nvml.NVMLError):
        for place in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
            with suppress(nvml.NVMLError):  # an empty place
                yield nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place))


def _counts(nvml: Any, handle: Any) -> bool:
    """Say whether a board counts its energy: not before Volta, nor on some virtual GPUs."""
    try:
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound):
        return False
    return True


def _is_shared(nvml: Any, handle: Any) -> bool:
    with suppress(nvml.NVMLError):
        if nvml.nvmlDeviceGetMigMode(handle)[0]:
            return True
    with suppress(nvml.NVMLError):
        mode = nvml.nvmlDeviceGetVirtualizationMode(handle)
        return mode in (nvml.NVML_GPU_VIRTUALIZATION_MODE_VGPU, nvml.NVML_GPU_VIRTUALIZATION_MODE_HOST_VGPU)
    return False


def _explain(error: Exception) -> str:
    """Say in one line what keeps NVML from answering."""
    import pynvml

    if not isinstance(error, pynvml.NVMLError):
        return str(error)
    if not isinstance(error, pynvml.NVMLError_LibraryNotFound):
        return f"NVML answers '{error}': see whether `nvidia-smi` works here"
    if _torch_is_for_amd():
        return "the GPUs of this torch are AMD's (ROCm), not NVIDIA's, and NVML knows only those: use an external meter"
    return "no NVIDIA driver here: install it, or give the container the GPU (docker run --gpus all)"


def _torch_is_for_amd() -> bool:
    """Tell by the build's label, since a torch for ROCm calls its devices ``cuda``."""
    with suppress(PackageNotFoundError):
        return "+rocm" in version("torch")
    return False
