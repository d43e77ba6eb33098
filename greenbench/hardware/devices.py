"""Devices: which ones a suite may name, whether torch can use one here, what it is called, when it has finished."""

import sys
from collections.abc import Iterable

from greenbench import extras

PATTERN = r"^(cpu|auto|mps|cuda(:\d+)?)$"
VALID = "auto, cpu, cuda, cuda:0, cuda:1, ..., mps"


def number(device: str) -> int:
    """Return which of its kind a device is: 0 of ``cuda``, 1 of ``cuda:1``."""
    return int(device.partition(":")[2] or 0)


def distinct(names: Iterable[str]) -> list[str]:
    """Return each device once, by the first of its names: ``cuda`` and ``cuda:0`` are one."""
    known: dict[tuple[str, int], str] = {}
    for name in names:
        known.setdefault((name.partition(":")[0], number(name)), name)
    return list(known.values())


def unusable(device: str) -> str | None:
    """Say why torch cannot use a device here, or return None."""
    if device == "cpu":
        return None
    if reason := extras.missing(["torch"]):
        return reason
    import torch

    if device == "mps":
        why = f"torch {torch.__version__} sees no Apple GPU (MPS)"
        return None if torch.backends.mps.is_available() else why
    if not torch.cuda.is_available():
        remedy = "install a build of torch with CUDA" if torch.version.cuda is None else "check the NVIDIA driver"
        return f"torch {torch.__version__} sees no CUDA device: {remedy}"
    n_devices = torch.cuda.device_count()
    return f"there is no {device}: torch sees {n_devices} CUDA device(s)" if number(device) >= n_devices else None


def synchronise(device: str | None) -> None:
    """Wait until a device has finished what torch gave it; do nothing where torch does not use that device.

    A ``Transcriber`` has waited already: this is for one that forgot, whose last batch would otherwise still run
    when the clock stops.
    """
    torch = sys.modules.get("torch")
    if torch is None or device is None:
        return
    if device == "mps":
        torch.mps.synchronize()
    elif device.startswith("cuda") and torch.cuda.is_initialized():
        torch.cuda.synchronize(device)
