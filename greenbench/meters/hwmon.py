"""Hwmon: energy of the whole machine from the power sensor at its input, on boards with INA chips such as Jetson."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from greenbench.files import kernel
from greenbench.plugins import Reading, SampledPower

INPUT_RAILS = ("VDD_IN", "POM_5V_IN")
"""Labels of the input on NVIDIA's boards; the other rails are parts of it."""

INA3221_CHANNELS = (1, 2, 3)
"""Above these the chip shows shunt voltages and sums under the same file names (Linux, ``hwmon/ina3221.rst``)."""


@dataclass(frozen=True)
class Hwmon:
    """Joules at the input of the machine, integrated from a sensor that the kernel's hwmon shows.

    A rail is a ``power*_input`` (in uW), or on an INA3221 voltage times current (mV x mA). Only the input counts, since
    it includes the other rails: it is recognised by its label, or must be named in the suite.

    Attributes:
        root: where hwmon is mounted, e.g. ``/host/sys/class/hwmon`` inside a container.
        rail: the label of the board's input, or ``chip/sensor`` where it has none.
    """

    root: Path = Path("/sys/class/hwmon")
    rail: str | None = None

    metrics: ClassVar[tuple[str, ...]] = ("energy_system_j",)
    estimates: ClassVar[bool] = False

    def unavailable(self) -> str | None:
        """Say why the power at the input cannot be read and what to do about it, or return None."""
        rails = _rails(self.root)
        if not rails:
            return f"no power sensor under {self.root}: measure at the wall (--power-log), or on a board with INA chips"
        chosen = [rail for rail in rails if _is_input(rail, self.rail)]
        if len(chosen) != 1:
            which = "several rails are" if chosen else "no rail is"
            what = f"called '{self.rail}'" if self.rail else "known to be the machine's input"
            names = ", ".join(rail.name for rail in rails)
            return f"{which} {what}: where one of these is, give its name as rail in the suite: {names}"
        try:
            chosen[0].power_w()
        except (OSError, ValueError) as error:
            return f"the power of {chosen[0].name} cannot be read: {error}"
        return None

    @contextmanager
    def window(self, reading: Reading) -> Iterator[None]:
        """Leave the window's power to the poller."""
        yield
        rail = _input(self.root, self.rail)
        if rail is not None:
            reading.sampled["energy_system_j"] = SampledPower((_value(rail),), "hwmon", f"rail {rail.name}")

    def sample(self) -> dict[str, float]:
        """Return the power at the input at this moment."""
        rail = _input(self.root, self.rail)
        return {} if rail is None else {_value(rail): rail.power_w()}


@dataclass(frozen=True)
class _Rail:
    """A sensor: the files whose product is its power, and their product's unit in W."""

    name: str
    files: tuple[Path, ...]
    unit_w: float = 1e-6

    def power_w(self) -> float:
        product = 1
        for file in self.files:
            product *= kernel.integer(file)
        return product * self.unit_w


def _value(rail: _Rail) -> str:
    return f"hwmon.{rail.name}.power_w"


def _is_input(rail: _Rail, asked: str | None) -> bool:
    return rail.name == asked if asked else rail.name in INPUT_RAILS


@lru_cache
def _input(root: Path, asked: str | None) -> _Rail | None:
    """Return the input, which is looked up once: sensors do not change, and the poller asks ten times a second."""
    chosen = [rail for rail in _rails(root) if _is_input(rail, asked)]
    return chosen[0] if len(chosen) == 1 else None


def _rails(root: Path) -> list[_Rail]:
    """Return the sensors of power, those without a label under ``chip/sensor``."""
    rails = []
    for folder in sorted(root.glob("hwmon*")):
        chip = kernel.text(folder / "name") or folder.name
        for file in sorted(folder.glob("power*_input")):
            sensor = file.name.removesuffix("_input")
            rails.append(_Rail(kernel.text(folder / f"{sensor}_label") or f"{chip}/{sensor}", (file,)))
        for channel in INA3221_CHANNELS if chip == "ina3221" else ():
            files = (folder / f"in{channel}_input", folder / f"curr{channel}_input")
            if all(file.exists() for file in files):
                rails.append(_Rail(kernel.text(folder / f"in{channel}_label") or f"{chip}/{channel}", files))
    return rails
