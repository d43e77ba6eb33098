"""The doctor's checks of the GPU boards: what about them would disturb a measurement, with remedies."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from greenbench.doctor.finding import Finding
from greenbench.hardware.gpus import GpuBoard, describe, in_use
from greenbench.meters.gpu import processes, sees_all_processes

GpuBoards = Sequence[tuple[GpuBoard, dict[str, Any]]]
"""The visible boards, each with its description by ``gpus.describe``."""


def findings() -> Iterator[Finding]:
    """Yield one finding per topic over all visible GPUs; none without a GPU, whose meter says why."""
    with in_use(None) as used:
        if not used.boards:
            return
        facts = describe()
        described = [(board, facts[board.index]) for board in used.boards]
        yield _persistence(described)
        yield _power_limit(described)
        yield _sharing(described)
        yield _others(described)
        yield _cuda()


def _persistence(boards: GpuBoards) -> Finding:
    topic, modes = "GPU persistence", [facts["persistence_mode"] for _, facts in boards]
    if all(modes):
        return Finding(topic, True, "on")
    off = _names(board for board, facts in boards if facts["persistence_mode"] is False)
    if not off:
        return Finding(topic, None, "the driver does not report it")
    message = (
        f"off on {off}: the driver is unloaded while a GPU is idle, which makes loading slower and resets its counters"
    )
    return Finding(topic, False, message, "sudo nvidia-smi -pm 1")


def _power_limit(boards: GpuBoards) -> Finding:
    limits = {board.index: (facts["power_limit_w"], facts["power_limit_default_w"]) for board, facts in boards}
    stated = {index: limit for index, limit in limits.items() if None not in limit}
    lowered = {index: limit for index, limit in stated.items() if limit[0] < limit[1]}
    if lowered:
        message = ", ".join(f"GPU {i} at {now:g} W, by default {default:g} W" for i, (now, default) in lowered.items())
        remedy = " && ".join(f"sudo nvidia-smi -i {i} -pl {default:g}" for i, (_, default) in lowered.items())
        return Finding("GPU power limit", False, f"{message}: it runs slower, and with another efficiency", remedy)
    return Finding(
        "GPU power limit", bool(stated) or None, "the default" if stated else "the driver does not report it"
    )


def _sharing(boards: GpuBoards) -> Finding:
    shared = [board for board, _ in boards if board.shared]
    if not shared:
        return Finding("GPU sharing", True, "every GPU is a whole board")
    message = f"divided (MIG, vGPU): {_names(shared)}; joules are the whole board's, and rows are not ranked"
    return Finding("GPU sharing", False, message, "measure on a whole board (`sudo nvidia-smi -mig 0` undoes MIG)")


def _others(boards: GpuBoards) -> Finding:
    running = {board.index: processes(board) for board, _ in boards}  # the doctor itself computes on none
    busy = [f"{len(pids)} on GPU {index}" for index, pids in running.items() if pids]
    if busy:
        remedy = "end them (`nvidia-smi` lists them), or wait"
        return Finding("GPU processes", False, f"other processes: {', '.join(busy)}", remedy, blocks_official=True)
    if None in running.values() or not sees_all_processes():
        return Finding("GPU processes", None, "other processes on a GPU cannot be seen from here")
    return Finding("GPU processes", True, "no process computes on a GPU")


def _cuda() -> Finding:
    driver, torch = _cuda_of_driver(), cuda_of_torch()
    if driver is None or torch is None:
        return Finding("CUDA driver", None, "the CUDA version of the driver or of torch is unknown, or torch has none")
    message = f"the driver is for CUDA {driver[0]}.{driver[1]}, torch for {torch[0]}.{torch[1]}"
    if driver[0] >= torch[0]:  # within a major version an older driver will do (CUDA's minor version compatibility)
        return Finding("CUDA driver", True, message)
    remedy = f"update the driver, or install torch for CUDA {driver[0]} (https://pytorch.org/get-started)"
    return Finding("CUDA driver", False, f"{message}: torch cannot use the GPU", remedy)


def _cuda_of_driver() -> tuple[int, int] | None:
    import pynvml

    with suppress(pynvml.NVMLError):
        version = pynvml.nvmlSystemGetCudaDriverVersion_v2()
        return version // 1000, version % 1000 // 10
    return None


def cuda_of_torch() -> tuple[int, int] | None:
    """Return the CUDA version that torch is built for, from its file: importing torch takes seconds."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    with suppress(OSError):
        match = re.search(
            r"^cuda\b.*=\s*'(\d+)\.(\d+)", Path(spec.origin).with_name("version.py").read_text("utf-8", "replace"), re.M
        )
        return (int(match[1]), int(match[2])) if match else None
    return None


def _names(boards: Iterator[GpuBoard] | Sequence[GpuBoard]) -> str:
    return ", ".join(f"GPU {board.index}" for board in boards)
