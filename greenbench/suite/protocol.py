"""How carefully a cell is measured: the named protocols, each a set of steps that can be overridden one by one."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from greenbench import registry, wording
from greenbench.errors import did_you_mean


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Protocol:
    """The steps of a measurement.

    Attributes:
        use: the named protocol, whose steps hold unless the suite overrides them.
        warmup_batches: least number of batches before each window.
        warmup_cv_pct: go on warming up until the last three batches' seconds per audio second vary by less
            than this coefficient of variation; None does not ask.
        warmup_max_batches: most batches of a warm-up, whether or not the pace has become steady.
        warmup_s: least seconds under load before each window.
        idle_s: seconds of the idle baseline, model loaded (left out where no energy can be read).
        idle_drift_pct: idle again after each window, and once more where the power has changed by more than this;
            None does not check.
        window_s: least seconds of a window, which always ends after a whole pass over the data set.
        repeats: windows inside one process.
        rounds: fresh processes per cell.
        order: order of the processes: ``as-written``, or ``interleaved``: every round in its own seeded shuffle.
        seed: seed of that shuffle.
        cooldown_s: seconds of rest before each process but the first.
        resamples: without effect; intervals in rows of earlier versions came from so many resamples of a bootstrap.
        cooldown_within_c: end that rest as soon as no temperature is more than so many degrees above what it was
            at the run's start (``cooldown_s`` is then the most; where no temperature can be read it stays as it
            is); None does not ask.
    """

    use: Literal["quick", "standard", "official"] = "quick"
    warmup_batches: int = Field(ge=0)
    warmup_cv_pct: float | None = Field(gt=0)
    warmup_max_batches: int = Field(ge=1)
    warmup_s: float = Field(ge=0)
    idle_s: float = Field(ge=0)
    idle_drift_pct: float | None = Field(gt=0)
    window_s: float = Field(ge=0)
    repeats: int = Field(ge=1, le=100_000)
    rounds: int = Field(ge=1, le=100_000)
    order: Literal["as-written", "interleaved"]
    seed: int = 0
    cooldown_s: float = Field(ge=0)
    resamples: int = Field(ge=1, le=1_000_000)
    cooldown_within_c: float | None = Field(ge=0)

    def __post_init__(self) -> None:
        """Refuse a warm-up that would have to end before it may."""
        if self.warmup_max_batches < self.warmup_batches:
            raise ValueError(
                f"warmup_max_batches ({self.warmup_max_batches}) is below warmup_batches ({self.warmup_batches})"
            )


PROTOCOLS: dict[str, Protocol] = {
    "quick": Protocol(
        warmup_batches=3, warmup_cv_pct=None, warmup_max_batches=50, warmup_s=0, idle_s=5, idle_drift_pct=None,
        window_s=2, repeats=3, rounds=1, order="as-written", cooldown_s=0, cooldown_within_c=None, resamples=1_000,
    ),
    "standard": Protocol(
        use="standard",
        warmup_batches=10, warmup_cv_pct=5, warmup_max_batches=50, warmup_s=0, idle_s=30, idle_drift_pct=None,
        window_s=10, repeats=1, rounds=5, order="interleaved", cooldown_s=10, cooldown_within_c=None, resamples=1_000,
    ),
    "official": Protocol(
        use="official",
        warmup_batches=10, warmup_cv_pct=5, warmup_max_batches=50, warmup_s=60, idle_s=30, idle_drift_pct=10,
        window_s=60, repeats=1, rounds=10, order="interleaved", cooldown_s=60, cooldown_within_c=5, resamples=10_000,
    ),
}  # fmt: skip


def least_s(steps: Protocol, idles: bool) -> float:
    """Return the seconds that the process of a cell takes at least, whatever the model.

    Args:
        steps: of the protocol.
        idles: whether an energy can be read, without which there is no idle baseline.
    """
    n_idles = 1 if steps.idle_drift_pct is None else 1 + steps.repeats
    rest_s = steps.cooldown_s if steps.cooldown_within_c is None else 0.0  # a rest that may end early may take nothing
    idle_s = n_idles * steps.idle_s if idles else 0.0
    return idle_s + steps.repeats * (steps.warmup_s + steps.window_s) + rest_s


def steps_of(protocol: Protocol) -> dict[str, Any]:
    """Return every step of a protocol with its value, without the protocol's name."""
    steps = asdict(protocol)
    del steps["use"]
    return steps


def short_form(protocol: Protocol) -> dict[str, Any]:
    """Return what a suite states to get a protocol: ``{use: name, step: value, ...}``."""
    return {"use": protocol.use, **overrides(protocol)}


def overrides(protocol: Protocol) -> dict[str, Any]:
    """Return the steps that differ from those of the named protocol, whole numbers as integers."""
    named = asdict(PROTOCOLS[protocol.use])
    return {step: _whole(value) for step, value in asdict(protocol).items() if value != named[step]}


def label(protocol: Protocol) -> str:
    """Name a protocol in a row: its name, and every step that differs from it, e.g. ``quick(repeats=1)``."""
    changed = [f"{step}={_short(value)}" for step, value in overrides(protocol).items()]
    return f"{protocol.use}({', '.join(changed)})" if changed else protocol.use


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def build_protocol(given: Any) -> Protocol:
    """Build a protocol from ``{use: name, step: value, ...}``; what is built already is returned as it is.

    Raises:
        ValueError: no mapping, unknown protocol, unknown step or wrong value.
    """
    if isinstance(given, Protocol):
        return given
    if not isinstance(given, Mapping):
        raise ValueError(f"{wording.KINDS['dict']} (got {given!r:.60})")  # noqa: TRY004 (pydantic's validators raise it)
    steps = dict(given)
    use = steps.pop("use", "quick")
    if not isinstance(use, str) or use not in PROTOCOLS:
        raise ValueError(f"unknown protocol '{use}'. {did_you_mean(str(use), PROTOCOLS)}")
    merged = asdict(PROTOCOLS[use])
    wrong = [f"unknown step '{key}'. {did_you_mean(str(key), merged)}" for key in steps if key not in merged]
    known = {key: value for key, value in steps.items() if key in merged}
    try:
        built: Protocol = TypeAdapter(Protocol).validate_json(json.dumps(merged | known), strict=True)
    except ValidationError as error:
        raise ValueError(" ".join([*wrong, registry.first_problem(error)])) from error
    if wrong:
        raise ValueError(" ".join(wrong))
    return built
