"""How carefully a cell is measured: the named protocols, each a set of steps that can be overridden one by one."""

from dataclasses import asdict
from typing import Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Protocol:
    """The steps of a measurement.

    Attributes:
        warmup_batches: batches run before anything counts, at least.
        warmup_cv_pct: go on warming up until the last three batches' seconds per audio second vary by less
            than this coefficient of variation; None does not ask.
        warmup_max_batches: and stop warming up after so many batches in any case.
        warmup_s: seconds under load before the first window, at least.
        idle_s: seconds of the idle baseline, model loaded (left out where no energy can be read).
        window_s: seconds a window lasts at least; it always ends after a whole pass over the data set.
        repeats: windows inside one process.
        rounds: fresh processes a cell.
        order: of the processes: ``as-written``, or ``interleaved``: every round in its own seeded shuffle.
        seed: of that shuffle.
        cooldown_s: seconds of rest before each process but the first.
        resamples: of the bootstrap behind the interval of WER.
    """

    warmup_batches: int = Field(ge=0)
    warmup_cv_pct: float | None = Field(gt=0)
    warmup_max_batches: int = Field(ge=1)
    warmup_s: float = Field(ge=0)
    idle_s: float = Field(ge=0)
    window_s: float = Field(ge=0)
    repeats: int = Field(ge=1)
    rounds: int = Field(ge=1)
    order: Literal["as-written", "interleaved"]
    seed: int = 0
    cooldown_s: float = Field(ge=0)
    resamples: int = Field(ge=1)


PROTOCOLS: dict[str, Protocol] = {
    "quick": Protocol(
        warmup_batches=3, warmup_cv_pct=None, warmup_max_batches=50, warmup_s=0, idle_s=5, window_s=2,
        repeats=3, rounds=1, order="as-written", cooldown_s=0, resamples=1_000,
    ),
    "standard": Protocol(
        warmup_batches=10, warmup_cv_pct=5, warmup_max_batches=50, warmup_s=0, idle_s=30, window_s=10,
        repeats=1, rounds=5, order="interleaved", cooldown_s=10, resamples=1_000,
    ),
    "official": Protocol(
        warmup_batches=10, warmup_cv_pct=5, warmup_max_batches=50, warmup_s=60, idle_s=30, window_s=60,
        repeats=1, rounds=10, order="interleaved", cooldown_s=60, resamples=10_000,
    ),
}  # fmt: skip


def label(use: str, protocol: Protocol) -> str:
    """Name a protocol in a row: its name, and every step that differs from it, e.g. ``quick(repeats=1)``."""
    standard = asdict(PROTOCOLS[use])
    changed = [f"{k}={_short(v)}" for k, v in asdict(protocol).items() if v != standard[k]]
    return f"{use}({', '.join(changed)})" if changed else use


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
