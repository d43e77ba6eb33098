"""Physical bounds: the least and the most that each domain of power can draw, and whether joules can be true."""

from dataclasses import dataclass

REVERSED = "the power is negative: is the clamp reversed? Turn the clamp round, or the sign"


@dataclass(frozen=True)
class Bound:
    """What one unit of a domain can draw.

    Attributes:
        lowest_w: less than this on average over seconds is a source that does not count.
        highest_w: more than this on average is no power of this domain.
        update_s: how often its counter or sensor moves: so stale may a reading at an edge be.
        unit: what one unit is.
        reason: where the highest comes from.
    """

    lowest_w: float
    highest_w: float
    update_s: float
    unit: str
    reason: str


BOUNDS = {
    "package": Bound(0.01, 1000, 0.001, "CPU package", "the largest are rated 500 W, and bursts are under twice that"),
    "dram": Bound(0.001, 500, 0.001, "memory of a CPU package", "24 modules of at most 20 W"),
    "gpu": Bound(0.1, 2000, 0.1, "GPU board", "the largest are rated 1,400 W"),
    "module": Bound(0.01, 500, 0.1, "module", "the largest is rated 130 W, and its kit's adapter 240 W"),
    "rail": Bound(0.01, 20_000, 0.1, "input rail", "it may feed a whole server, see system"),
    "battery": Bound(0.01, 500, 0.1, "battery", "laptops' chargers end at 330 W, and batteries give less"),
    "system": Bound(0.01, 20_000, 0.1, "machine", "the largest single servers, with eight GPU boards, are rated 15 kW"),
}  # fmt: skip
"""Domain -> its bound: ratings of 2025 with room to spare, so that what lies beyond is a fault and no large machine."""

DOMAINS = {"cpu": "package", "dram": "dram", "gpu": "gpu"}
"""Part of an energy total -> domain; the system's depends on its source."""

MODULE_INPUTS = ("VDD_IN", "POM_5V_IN")
"""Labels of the input rail of NVIDIA's modules (Jetson)."""

BURST = 2
"""For a moment, what is rated may draw so many times its rating."""

SYSTEM_DOMAINS = {"battery": "battery", "hwmon": "rail"}
"""Source of the system's joules -> domain; any other is a meter outside."""


def domain_of(part: str, source: str | None) -> str:
    """Return the domain of a part of an energy total (``cpu dram gpu system``) that was read from ``source``."""
    return DOMAINS.get(part) or SYSTEM_DOMAINS.get(source or "", "system")


def domain_of_sensor(name: str, domain: str) -> str:
    """Return the domain of a value in samples (``hwmon.VDD_IN.power_w``): that given, or a narrower one."""
    return "module" if name.partition(".")[2].rpartition(".")[0] in MODULE_INPUTS else domain


def implausible(domain: str, joules: float, seconds: float, n_units: int = 1, may_rest: bool = False) -> str | None:
    """Say why joules cannot be those of a domain over a time, or return None where they can.

    Args:
        domain: a name in ``BOUNDS``.
        joules: drawn.
        seconds: in which they were drawn; an edge that is stale by one update each is allowed for.
        n_units: packages, boards ... that drew them together.
        may_rest: nothing was asked of the domain meanwhile, so that there is no least that it draws.
    """
    bound = BOUNDS[domain]
    if joules < 0:
        return f"{joules:g} J: {REVERSED}"
    drawn = f"{joules:.6g} J in {seconds:.3g} s"
    if joules > bound.highest_w * n_units * (seconds + 2 * bound.update_s):
        mean = f" are {joules / seconds:,.0f} W" if seconds > 0 else ""
        return f"{drawn}{mean}, more than {_most(domain, n_units)} can draw"
    if not may_rest and joules < bound.lowest_w * n_units * (seconds - 2 * bound.update_s):
        return f"{drawn} are less than {_units(bound, n_units)} draws ({bound.lowest_w * n_units:g} W)"
    return None


def impossible_w(domain: str, watts: float, n_units: int = 1) -> str | None:
    """Say why one reading of power, or a mean of it, cannot be a domain's; None where it can, 0 W included."""
    if watts < 0:
        return f"{watts:g} W: {REVERSED}"
    if watts > BOUNDS[domain].highest_w * n_units:
        return f"{watts:,.10g} W are more than {_most(domain, n_units)} can draw: is the unit right?"
    return None


def _most(domain: str, n_units: int) -> str:
    bound = BOUNDS[domain]
    return f"{_units(bound, n_units)} ({bound.highest_w * n_units:,g} W)"


def _units(bound: Bound, n_units: int) -> str:
    return f"a {bound.unit}" if n_units == 1 else f"{n_units} x a {bound.unit}"
