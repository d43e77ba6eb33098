"""Battery: energy of the whole machine from the fuel gauge of a laptop that runs on its battery."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from greenbench.files import kernel
from greenbench.plugins import Reading, SampledPower

POWER = "battery.all.power_w"

OUTSIDE = ("Mains", "USB", "Wireless")
"""Types of supplies that are no batteries (Linux, ``Documentation/ABI/testing/sysfs-class-power``)."""

GIVES, TAKES, RESTS = "Discharging", "Charging", ("Not charging", "Full")
"""Statuses of a battery (the same document); of any other, as of ``Unknown``, nobody knows what it gives."""


@dataclass(frozen=True)
class Battery:
    """Joules drawn from the batteries, integrated from their gauges' power (``power_now``, or volts x amperes).

    Gauges are slow, with a new value every 1 to 30 seconds on many laptops: the note states how many different values
    there were; a window should have many.

    Attributes:
        root: where the power supplies are, e.g. ``/host/sys/class/power_supply`` inside a container.
    """

    root: Path = Path("/sys/class/power_supply")

    metrics: ClassVar[tuple[str, ...]] = ("energy_system_j",)
    estimates: ClassVar[bool] = False

    def unavailable(self) -> str | None:
        """Say why the batteries' power cannot be read and what to do about it, or return None."""
        batteries = _batteries(self.root)
        if not batteries:
            return f"no battery under {self.root}: measure at the wall (--power-log)"
        try:
            return _why_not(self.root) if _power_w(self.root) is None else None
        except (OSError, ValueError) as error:
            return f"the battery's power cannot be read: {error}"

    @contextmanager
    def window(self, reading: Reading) -> Iterator[None]:
        """Leave the window's power to the poller."""
        yield
        reading.sampled["energy_system_j"] = SampledPower((POWER,), "battery")

    def sample(self) -> dict[str, float]:
        """Return the present power of the batteries; nothing while mains or an unknown battery may give a part."""
        power_w = _power_w(self.root)
        return {} if power_w is None else {POWER: power_w}


def _batteries(root: Path) -> list[Path]:
    return [path for path in sorted(root.glob("*")) if kernel.text(path / "type") == "Battery" and _is_systems(path)]


def _is_systems(path: Path) -> bool:
    """Say whether a supply is the machine's own, and not the battery of a mouse or headset, or an empty bay."""
    return kernel.text(path / "scope") != "Device" and kernel.text(path / "present") != "0"


def _feeding(root: Path) -> list[Path]:
    """Return the connected external supplies: with a weak one connected, a battery gives only a part of the power."""
    outside = [path for path in sorted(root.glob("*")) if kernel.text(path / "type") in OUTSIDE and _is_systems(path)]
    return [path for path in outside if kernel.text(path / "online") not in ("", "0")]


def _power_w(root: Path) -> float | None:
    """Return the power of all batteries; None where none is known to give, or something else may give a part.

    That is mains, a battery that charges, which mains feed, and one that does not say whether it gives. The sum is 0,
    and so unusable, where the gauge of a discharging battery shows 0.
    """
    states = {battery: kernel.text(battery / "status") for battery in _batteries(root)}
    giving = [battery for battery, state in states.items() if state == GIVES]
    if not giving or not {GIVES, *RESTS}.issuperset(states.values()) or _feeding(root):
        return None
    watts = [_battery_w(battery) for battery in giving]
    return sum(watts) if all(watts) else 0.0


def _why_not(root: Path) -> str:
    """Say why the power of all batteries is not the machine's."""
    states = {battery.name: kernel.text(battery / "status") or "without a status" for battery in _batteries(root)}
    unknown = [name for name, state in states.items() if state not in (GIVES, TAKES, *RESTS)]
    told = [f"{name} {state.lower()}" for name, state in states.items()]
    told += [f"{supply.name} online" for supply in _feeding(root)]
    if unknown and len(told) == len(states) and TAKES not in states.values():
        return f"{unknown[0]} does not say whether it discharges ({', '.join(told)}): measure at the wall (--power-log)"
    return f"the machine runs on mains ({', '.join(told)}): unplug it to measure by its battery"


def _battery_w(battery: Path) -> float:
    """Return one battery's power; the kernel gives uW, or uV and uA, and some drivers give a discharge a minus sign.

    A controller may refuse ``power_now`` and still give voltage and current.
    """
    try:
        return abs(kernel.integer(battery / "power_now")) * 1e-6
    except (OSError, ValueError) as refused:
        try:
            volts, amperes = (kernel.integer(battery / f"{name}_now") * 1e-6 for name in ("voltage", "current"))
        except (OSError, ValueError):
            raise refused from None
    return abs(volts * amperes)
