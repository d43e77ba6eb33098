"""GPUs: NVIDIA's boards as their driver knows them, and which of them a model uses."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from greenbench.errors import MissingError
from greenbench.hardware.devices import number

SAMPLED = "nvml."
"""How the names of boards' values begin in samples."""


@dataclass(frozen=True)
class GpuBoard:
    """One GPU board.

    Attributes:
        index: NVML's, in PCI order.
        handle: NVML's.
        shared: whether it works for others, too: it is cut up by MIG or lent out by vGPU.
    """

    index: int
    handle: Any
    shared: bool

    def sampled(self, quantity: str) -> str:
        """Return how samples name a quantity of this board, such as ``nvml.0.power_w``."""
        return f"{SAMPLED}{self.index}.{quantity}"


@dataclass(frozen=True)
class Used:
    """The boards that a model uses: none where it runs on another kind of device, or where there is a problem."""

    boards: tuple[GpuBoard, ...] = ()
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


def describe() -> list[dict[str, Any]]:
    """Describe every GPU that NVML lists, without what would name this one.

    Returns:
        ``name memory_bytes driver persistence_mode mig power_limit_w power_limit_default_w`` of each; what the driver
        does not tell is None.
    """
    import pynvml

    with suppress(pynvml.NVMLError), session() as nvml:
        return [_facts(nvml, nvml.nvmlDeviceGetHandleByIndex(i)) for i in range(nvml.nvmlDeviceGetCount())]
    return []


def _facts(nvml: Any, handle: Any) -> dict[str, Any]:
    questions: dict[str, Callable[[], Any]] = {
        "name": lambda: nvml.nvmlDeviceGetName(handle),
        "memory_bytes": lambda: nvml.nvmlDeviceGetMemoryInfo(handle).total,
        "driver": nvml.nvmlSystemGetDriverVersion,
        "persistence_mode": lambda: bool(nvml.nvmlDeviceGetPersistenceMode(handle)),
        "mig": lambda: bool(nvml.nvmlDeviceGetMigMode(handle)[0]),
        "power_limit_w": lambda: nvml.nvmlDeviceGetPowerManagementLimit(handle) / 1e3,
        "power_limit_default_w": lambda: nvml.nvmlDeviceGetPowerManagementDefaultLimit(handle) / 1e3,
    }
    facts: dict[str, Any] = dict.fromkeys(questions)
    for name, ask in questions.items():
        with suppress(nvml.NVMLError):
            facts[name] = ask()
    return facts


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
            found = Used(problem=explain(error))
        yield found


def boards(nvml: Any, device: str | None = None) -> tuple[GpuBoard, ...]:
    """Return the boards behind a CUDA device, or those of all GPUs that CUDA may use, each once.

    A device is what torch says where it has started CUDA. Before that, and where no device is named, go by
    ``CUDA_VISIBLE_DEVICES``: by index in PCI order, by UUID or by its beginning.

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
    return tuple(GpuBoard(index, handles[index], _is_shared(nvml, handles[index])) for index in found)


@lru_cache(maxsize=1)
def polled_boards() -> tuple[GpuBoard, ...]:
    """Return the visible boards with NVML started for as long as this process lives: starting it takes too long."""
    import pynvml

    pynvml.nvmlInit()
    return boards(pynvml)


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


def _is_shared(nvml: Any, handle: Any) -> bool:
    with suppress(nvml.NVMLError):
        if nvml.nvmlDeviceGetMigMode(handle)[0]:
            return True
    with suppress(nvml.NVMLError):
        mode = nvml.nvmlDeviceGetVirtualizationMode(handle)
        return mode in (nvml.NVML_GPU_VIRTUALIZATION_MODE_VGPU, nvml.NVML_GPU_VIRTUALIZATION_MODE_HOST_VGPU)
    return False


def explain(error: Exception) -> str:
    """Say in one line what keeps NVML from answering."""
    import pynvml

    if not isinstance(error, pynvml.NVMLError):
        return str(error)
    if not isinstance(error, pynvml.NVMLError_LibraryNotFound):
        return f"NVML answers '{error}': see whether `nvidia-smi` works here"
    if _torch_is_for_amd():
        return "torch is built for AMD's GPUs (ROCm), which NVML does not know: measure at the wall"
    return "no NVIDIA driver here: install it, or give the container the GPU (docker run --gpus all)"


def _torch_is_for_amd() -> bool:
    """Tell by the build's label, since a torch for ROCm calls its devices ``cuda``."""
    with suppress(PackageNotFoundError):
        return "+rocm" in version("torch")
    return False
