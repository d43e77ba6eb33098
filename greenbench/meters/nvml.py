"""NVML: energy of the GPUs in use, from the driver's own counter or, on boards without one, from samples of power."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

from greenbench.hardware.bounds import BURST, implausible
from greenbench.hardware.gpus import SAMPLED, GpuBoard, explain, in_use, polled_boards
from greenbench.plugins import Quantity, Reading, SampledPower
from greenbench.plugins.meters import FULL_SCALE, POWER
from greenbench.plugins.traces import Sample, Trace, inside

UPDATE_S = 0.1
"""The period in which the counter and the power are updated (arXiv 2312.02741); a shorter window cannot be measured."""

AVERAGED_SINCE = (8, 6)
"""Compute capability from which on the driver's power is a mean over 1 s: Ampere without GA100, and newer (NVML's
manual, ``nvmlDeviceGetPowerUsage``)."""

COMPARED_S, MIN_READS = 3.0, 10
"""The shortest window in s, and the fewest samples in it, in which counter and power sensor are compared: the sensor
lags by up to a second."""

MAX_FACTOR = 3.0
"""The largest ratio between the mean power by the counter and by the sensor that both can show of the same board."""

COUNTER = "energy_mj"
"""What samples call a board's energy."""

Read = tuple[float, float, Sample]
"""The times before and after a sample's read, and the sample."""

NEITHER = "the GPU reports neither energy nor power (some virtual ones do not): use another one, or measure at the wall"


@dataclass(frozen=True)
class Nvml:
    """Gross joules of the GPU boards that the model uses.

    A slice of a GPU (MIG, vGPU) has no counter of its own: its joules are those of the whole board, and are
    marked as shared. Boards older than Volta have no counter: the poller samples their power, at half the driver's
    update so that no level of it is missed.
    """

    metrics: ClassVar[tuple[str, ...]] = ("energy_gpu_j",)
    estimates: ClassVar[bool] = False

    @property
    def period_s(self) -> float | None:
        """How often the power must be sampled, in seconds; None where every board counts its energy."""
        return None if all(map(_counts, polled_boards())) else UPDATE_S / 2

    def unavailable(self) -> str | None:
        """Say why no visible GPU reports energy or power and what to do about it, or return None."""
        with in_use(None) as used:
            reasons = [_mute(board) for board in used.boards]
            return used.problem or next((reason for reason in reasons if all(reasons)), None)

    @contextmanager
    def window(self, reading: Reading) -> Iterator[None]:
        """Read the counters before and after the ``with`` block, or leave the power to the poller."""
        with in_use(reading.device) as used:
            begun_s, before, opened_s = time.perf_counter(), _read_mj(used.boards), time.perf_counter()
            yield
            closing_s, after, closed_s = time.perf_counter(), _read_mj(used.boards), time.perf_counter()
            shared = any(board.shared for board in used.boards)
            if used.problem is not None:
                reading.add("energy_gpu_j", _unknown(used.problem))
            elif not all(map(_counts, used.boards)):
                reading.sampled["energy_gpu_j"] = replace(_sampled(used.boards), shared=shared)
            elif used.boards:
                energy = _energy(before, after, closed_s - begun_s)
                seen = _contradiction(reading.trace, used.boards, (opened_s, closing_s), energy.value)
                reading.add("energy_gpu_j", replace(_unknown(seen) if seen else energy, shared=shared))

    def sample(self) -> dict[str, float]:
        """Return the power in W and the energy counter in mJ of every visible board that has them."""
        powers = [(board, watts) for board in polled_boards() if (watts := _power_w(board)) is not None]
        seen = {board.sampled(POWER if _can_be(board, watts) else FULL_SCALE): watts for board, watts in powers}
        counted = {board.sampled(COUNTER): _read_mj([board]) for board in polled_boards()}
        return seen | {name: mj[0] for name, mj in counted.items() if mj is not None}


def is_counter(name: str) -> bool:
    """Say whether a value of a sample is a board's energy counter, in mJ."""
    return name.startswith(SAMPLED) and name.endswith(f".{COUNTER}")


# --- the counter -----------------------------------------------------------------------------------------


def _mute(board: GpuBoard) -> str | None:
    """Say why a board reports neither energy nor power, or return None."""
    import pynvml

    if not _counts(board):
        return NEITHER if _power_w(board) is None else None
    try:
        pynvml.nvmlDeviceGetTotalEnergyConsumption(board.handle)
    except pynvml.NVMLError as error:
        return explain(error)
    return None


def _counts(board: GpuBoard) -> bool:
    """Say whether a board counts its energy, readable or not: boards before Volta and some virtual ones do not."""
    import pynvml

    try:
        pynvml.nvmlDeviceGetTotalEnergyConsumption(board.handle)
    except pynvml.NVMLError as error:
        return not isinstance(error, (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound))
    return True


def _read_mj(used: Sequence[GpuBoard]) -> list[int] | None:
    import pynvml

    try:
        return [pynvml.nvmlDeviceGetTotalEnergyConsumption(board.handle) for board in used]
    except pynvml.NVMLError:
        return None


def _energy(before: list[int] | None, after: list[int] | None, window_s: float) -> Quantity:
    """Return the joules of all boards, or None with the reason where that of one is unknown."""
    if before is None or after is None:
        return _unknown("a counter could not be read at an edge of the window")
    if window_s < UPDATE_S:
        return _unknown(f"the window of {window_s:.3f} s is under the counter's update of {UPDATE_S} s")
    used_mj = [b - a for a, b in zip(before, after, strict=True)]
    if min(used_mj) <= 0:
        return _unknown("a counter did not move forward: the window is too short, or the driver was reloaded")
    for mj in used_mj:
        if why := implausible("gpu", mj / 1e3, window_s):
            return _unknown(f"{why}: the counter was reset, or is not to be trusted")
    return Quantity(sum(used_mj) / 1e3, "counter", "nvml-total-energy")


def _contradiction(
    trace: Trace | None, used: Sequence[GpuBoard], window: tuple[float, float], joules: float | None
) -> str | None:
    """Say in what the samples within the window contradict the joules of the counters, or return None."""
    reads = [] if trace is None else inside(trace.samples(*window), *window)
    found = filter(None, (_jump(reads, board.sampled(COUNTER)) for board in used))
    return next(found, None) or _other_power(reads, _powers(used), joules, window[1] - window[0])


def _jump(reads: Sequence[Read], name: str) -> str | None:
    """Say that a counter of 64 bits stepped back, or forward by more than a board can draw; or return None."""
    for (begun_s, _, earlier), (_, ended_s, later) in pairwise(read for read in reads if name in read[2]):
        step_j = (later[name] - earlier[name]) / 1e3
        if step_j < 0:
            return f"a counter stepped back from {earlier[name] / 1e3:.6g} to {later[name] / 1e3:.6g} J: it was reset"
        if why := implausible("gpu", step_j, ended_s - begun_s, may_rest=True):
            return f"a counter jumped: {why}"
    return None


def _other_power(reads: Sequence[Read], names: Sequence[str], joules: float | None, window_s: float) -> str | None:
    """Say that the mean power by the counters and by the sensors differ by more than ``MAX_FACTOR``, or return None."""
    seen = [[sample[name] for _, _, sample in reads if name in sample] for name in names]
    if joules is None or window_s < COMPARED_S or not seen or min(map(len, seen)) < MIN_READS:
        return None
    counted_w, sensed_w = joules / window_s, sum(sum(watts) / len(watts) for watts in seen)
    if sensed_w / MAX_FACTOR <= counted_w <= sensed_w * MAX_FACTOR:
        return None
    return f"mean power is {counted_w:.3g} W by the counter and {sensed_w:.3g} W by the sensor: one of them is wrong"


def _unknown(note: str) -> Quantity:
    return Quantity(None, "counter", "nvml-total-energy", note)


# --- the power -------------------------------------------------------------------------------------------


def _sampled(used: Sequence[GpuBoard]) -> SampledPower:
    """Return the names of the boards' power in the poller's samples, and what the driver means by it."""
    kinds = sorted({_meaning(board) for board in used})
    return SampledPower(tuple(_powers(used)), "nvml-power", "no energy counter: " + " and ".join(kinds))


def _powers(used: Sequence[GpuBoard]) -> list[str]:
    return [board.sampled(POWER) for board in used]


def _power_w(board: GpuBoard) -> float | None:
    """Return a board's present power where the driver reports it, else its mean, else None."""
    import pynvml

    milliwatts = _instant_mw(board)
    if milliwatts is None:
        with suppress(pynvml.NVMLError):
            milliwatts = pynvml.nvmlDeviceGetPowerUsage(board.handle)
    return None if milliwatts is None else milliwatts / 1e3


def _can_be(board: GpuBoard, watts: float) -> bool:
    """Say whether a board can draw so much, by what it is rated: a sensor that is stuck at its end shows more."""
    import pynvml

    rated_mw = 0
    with suppress(pynvml.NVMLError):
        rated_mw = pynvml.nvmlDeviceGetPowerManagementDefaultLimit(board.handle)
    return rated_mw == 0 or watts < BURST * rated_mw / 1e3


def _instant_mw(board: GpuBoard) -> int | None:
    import pynvml

    with suppress(pynvml.NVMLError):
        (answer,) = pynvml.nvmlDeviceGetFieldValues(board.handle, [pynvml.NVML_FI_DEV_POWER_INSTANT])
        if answer.nvmlReturn == pynvml.NVML_SUCCESS:
            return int(answer.value.uiVal)
    return None


def _meaning(board: GpuBoard) -> str:
    """Describe what the driver's power value is."""
    import pynvml

    averaged = False
    with suppress(pynvml.NVMLError):
        averaged = pynvml.nvmlDeviceGetCudaComputeCapability(board.handle) >= AVERAGED_SINCE
    return "power averaged by the driver over 1 s" if averaged and _instant_mw(board) is None else "instantaneous power"
