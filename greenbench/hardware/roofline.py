"""Roofline: what a machine can do at most, and which of its limits a row is compared with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from greenbench.metrics import mfu_pct
from greenbench.plugins.precisions import PRECISIONS

MAX_FOREIGN_PCT = 10.0
"""Above this share of the CPUs used by others the peaks are too low to compare rows with, and are not kept."""


@dataclass(frozen=True)
class Peaks:
    """What a device reached at most with the suite's threads, as ``run.json`` has it under ``peaks``.

    Attributes:
        macs_per_s: by precision, multiply-accumulates a second of the fastest product of two large matrices.
        bytes_per_s: of memory read and written, as STREAM's triad counts them; None where not measured.
        threads: of the CPU.
        foreign_pct: share of all CPUs that other processes used meanwhile; None where that is not known.
        reason: why nothing was measured.
        engines: by precision, which engine was the fastest; nothing where an earlier version measured.
        failed: engine -> why it gave nothing.
        n_measured: how often they were measured: again where a row was above them.
    """

    macs_per_s: Mapping[str, float] = field(default_factory=dict)
    bytes_per_s: float | None = None
    threads: int | None = None
    foreign_pct: float | None = None
    reason: str | None = None
    engines: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    n_measured: int = 1

    @property
    def is_spoilt(self) -> bool:
        """Whether other processes used the CPUs meanwhile."""
        return (self.foreign_pct or 0.0) > MAX_FOREIGN_PCT


def of_run(run: Mapping[str, Any]) -> dict[str, Peaks]:
    """Return a run's peaks by device; what is of another form counts as not measured."""
    peaks = run.get("peaks")
    return {name: read(content) for name, content in peaks.items()} if isinstance(peaks, Mapping) else {}


def read(content: Any) -> Peaks:
    """Return the peaks that JSON holds; what is no number that can be is not measured."""
    if not isinstance(content, Mapping):
        return Peaks()
    rates, reason = content.get("macs_per_s"), content.get("reason")
    rates = rates if isinstance(rates, Mapping) else {}
    known = {name: rate for name in PRECISIONS if (rate := _number(rates.get(name)))}
    numbers: dict[str, Any] = {name: _number(content.get(name)) for name in ("bytes_per_s", "threads", "foreign_pct")}
    n_measured = content.get("n_measured")
    return Peaks(
        known,
        **numbers,
        reason=reason if isinstance(reason, str) else None,
        engines=_texts(content.get("engines")),
        failed=_texts(content.get("failed")),
        n_measured=n_measured if isinstance(n_measured, int) and n_measured > 0 else 1,
    )


def _texts(value: Any) -> dict[str, str]:
    given = value if isinstance(value, Mapping) else {}
    return {str(name): text for name, text in given.items() if isinstance(text, str)}


def _number(value: Any) -> Any:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e30 else None


def best(found: Sequence[Peaks]) -> Peaks:
    """Return the first of several measurements of one device with the fastest of each precision.

    A rate that was reached can be reached, whatever else ran: what is not the fastest was only too low.
    """
    rates, engines = dict[str, float](), dict[str, str]()
    for one in found:
        faster = {name: rate for name, rate in one.macs_per_s.items() if rate > rates.get(name, 0.0)}
        rates |= faster
        engines |= {name: engine for name, engine in one.engines.items() if name in faster}
    ordered = {name: rates[name] for name in PRECISIONS if name in rates}
    n_measured = sum(one.n_measured for one in found)
    return replace(found[0], macs_per_s=ordered, engines=engines, n_measured=n_measured)


def share(
    macs_per_audio_s: float | None, rtfx: float | None, peaks: Peaks | None, compute_dtype: str | None
) -> tuple[float | None, str | None]:
    """Return a row's share of the peak in percent, and why there is none where it would be above 100.

    More than the machine does at most is a fault of the peak, and no figure.
    """
    peak = ceiling(peaks, compute_dtype)
    found = mfu_pct(macs_per_audio_s, rtfx, peak)
    if found is None or found <= 100:
        return found, None
    return None, f"{found:.0f} % of the peak that was measured, {2e-12 * (peak or 0.0):.3g} TFLOP/s: it is too low"


def ceiling(peaks: Peaks | None, compute_dtype: str | None) -> float | None:
    """Return the multiply-accumulates a second that a row is compared with: its share of them is never overstated.

    Args:
        peaks: of its device.
        compute_dtype: the precisions that take part in the model's work, as the row has them.

    Returns:
        The peak of the fastest of these; None where one of them is not known, or other processes used the CPUs.
    """
    if peaks is None or peaks.is_spoilt or not isinstance(compute_dtype, str):
        return None
    rates = [peaks.macs_per_s.get(name) for name in compute_dtype.split("+")]
    known = [rate for rate in rates if rate]
    return max(known) if len(known) == len(rates) else None


def describe(peaks: Peaks) -> str:
    """Say in one line what a device reached; an operation is a multiplication or an addition."""
    if peaks.reason or not peaks.macs_per_s:
        return f"not measured: {peaks.reason or 'no reason recorded'}"
    by = {name: f" by {engine}" for name, engine in peaks.engines.items()}
    rates = ", ".join(f"{name} {2e-12 * rate:.3g}{by.get(name, '')}" for name, rate in peaks.macs_per_s.items())
    parts = [f"{rates} TFLOP/s"]
    parts += [f"memory {1e-9 * peaks.bytes_per_s:.3g} GB/s"] if peaks.bytes_per_s else []
    parts += [f"{peaks.threads} threads"] if peaks.threads else []
    parts += [f"{engine} gave nothing: {why}" for engine, why in peaks.failed.items()]
    if peaks.n_measured > 1:
        parts.append(f"measured {peaks.n_measured} times, since a row was above it")
    if peaks.is_spoilt:
        parts.append(f"too low: other processes used {peaks.foreign_pct:.0f} % of the CPUs during the measurement")
    return "; ".join(parts)
