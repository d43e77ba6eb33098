"""The doctor's look at the GPUs: what about them would spoil a measurement, and what to do about it."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from greenbench.doctor.finding import Finding
from greenbench.hardware.gpus import Board, describe, in_use
from greenbench.meters.gpu import processes, sees_all_processes

Boards = Sequence[tuple[Board, dict[str, Any]]]
"""The visible boards, each with what ``gpus.describe`` tells of it."""


def look() -> Iterator[Finding]:
    """Yield a finding a topic over all visible GPUs, and none where there is no GPU: its meter says why."""
    with in_use(None) as used:
        if not used.boards:
            return
        facts = describe()
        found = [(board, facts[board.index]) for board in used.boards]
        yield _persistence(found)
        yield _power_limit(found)
        yield _sharing(found)
        yield _others(found)
        yield _cuda()


def _persistence(found: Boards) -> Finding:
    topic, modes = "GPU persistence", [facts["persistence_mode"] for _, facts in found]
    if all(modes):
        return Finding(topic, True, "on")
    off = _names(board for board, facts in found if facts["persistence_mode"] is False)
    if not off:
        return Finding(topic, None, "the driver does not tell")
    message = f"off on {off}: the driver lets go of an idle GPU, which makes loading slower and resets its counters"
    return Finding(topic, False, message, "sudo nvidia-smi -pm 1")


def _power_limit(found: Boards) -> Finding:
    limits = {board.index: (facts["power_limit_w"], facts["power_limit_default_w"]) for board, facts in found}
    told = {index: limit for index, limit in limits.items() if None not in limit}
    lowered = {index: limit for index, limit in told.items() if limit[0] < limit[1]}
    if lowered:
        message = ", ".join(f"GPU {i} at {now:g} W, by default {default:g} W" for i, (now, default) in lowered.items())
        remedy = " && ".join(f"sudo nvidia-smi -i {i} -pl {default:g}" for i, (_, default) in lowered.items())
        return Finding("GPU power limit", False, f"{message}: it works slower, and at another efficiency", remedy)
    return Finding("GPU power limit", bool(told) or None, "the default" if told else "the driver does not tell")


def _sharing(found: Boards) -> Finding:
    shared = [board for board, _ in found if board.shared]
    if not shared:
        return Finding("GPU sharing", True, "every GPU is a whole board")
    message = (
        f"cut up (MIG) or lent out (vGPU): {_names(shared)}; joules are the whole board's, and rows are not ranked"
    )
    return Finding("GPU sharing", False, message, "measure on a whole board (`sudo nvidia-smi -mig 0` undoes MIG)")


def _others(found: Boards) -> Finding:
    running = {board.index: processes(board) for board, _ in found}  # the doctor itself computes on none
    busy = [f"{len(pids)} on GPU {index}" for index, pids in running.items() if pids]
    if busy:
        message = f"processes that compute: {', '.join(busy)}"
        return Finding(
            "GPU processes", False, message, "end them (`nvidia-smi` lists them), or wait", blocks_official=True
        )
    if None in running.values() or not sees_all_processes():
        return Finding("GPU processes", None, "whether others compute on a GPU cannot be seen from here")
    return Finding("GPU processes", True, "nobody computes on a GPU")


def _cuda() -> Finding:
    driver, torch = _cuda_of_driver(), _cuda_of_torch()
    if driver is None or torch is None:
        return Finding("CUDA driver", None, "which CUDA the driver or torch is for is not known, or torch is for none")
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


def _cuda_of_torch() -> tuple[int, int] | None:
    """Return the CUDA that torch is built for, from its file: importing torch takes seconds."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    with suppress(OSError):
        found = re.search(
            r"^cuda\b.*=\s*'(\d+)\.(\d+)", Path(spec.origin).with_name("version.py").read_text("utf-8", "replace"), re.M
        )
        return (int(found[1]), int(found[2])) if found else None
    return None


def _names(boards: Iterator[Board] | Sequence[Board]) -> str:
    return ", ".join(f"GPU {board.index}" for board in boards)
