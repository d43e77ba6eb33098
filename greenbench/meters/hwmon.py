"""Hwmon: energy of the whole machine from the power sensor at its input, on boards with INA chips such as Jetson."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from greenbench.files import kernel
from greenbench.hardware.bounds import BURST, MODULE_INPUTS
from greenbench.plugins import Reading, SampledPower
from greenbench.plugins.meters import FULL_SCALE, POWER

INA3221_CHANNELS = (1, 2, 3)
"""Above these the chip shows shunt voltages and sums under the same file names (Linux, ``hwmon/ina3221.rst``)."""

RANGES_MV = {
    "ina3221": (32_760, 163.8), "ina219": (32_000, 320), "ina220": (32_000, 320), "ina226": (40_958, 81.9175),
    "ina230": (40_958, 81.9175), "ina231": (40_958, 81.9175),
}  # fmt: skip
"""Chip -> the highest voltages that it shows on the bus and across its shunt, in mV (its maker's data sheets)."""


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
            watts, full = chosen[0].read()
        except (OSError, ValueError) as error:
            return f"the power of {chosen[0].name} cannot be read: {error}"
        end = f"{chosen[0].name} is at the end of its range ({watts:,.6g} W), where it does not measure"
        return f"{end}: measure at the wall (--power-log)" if full else None

    @contextmanager
    def window(self, reading: Reading) -> Iterator[None]:
        """Leave the window's power to the poller."""
        yield
        rail = _input(self.root, self.rail)
        if rail is not None:
            power = SampledPower((f"hwmon.{rail.name}.{POWER}",), "hwmon", f"rail {rail.name}")
            reading.sampled["energy_system_j"] = power

    def sample(self) -> dict[str, float]:
        """Return the power at the input at this moment, as that of its full scale where the sensor is at its end."""
        rail = _input(self.root, self.rail)
        if rail is None:
            return {}
        watts, full = rail.read()
        return {f"hwmon.{rail.name}.{FULL_SCALE if full else POWER}": watts}


@dataclass(frozen=True)
class _Rail:
    """A sensor: the files whose product is its power.

    Attributes:
        name: label of the rail.
        files: of its values.
        highest: what each file shows at most, infinite where that is not known; from there on it shows no more.
        unit_w: of their product, in W.
    """

    name: str
    files: tuple[Path, ...]
    highest: tuple[float, ...]
    unit_w: float = 1e-6

    def read(self) -> tuple[float, bool]:
        """Return the power in W, and whether a value is at the end of its range, so that it is none."""
        values = [kernel.integer(file) for file in self.files]
        at_end = any(abs(value) >= highest for value, highest in zip(values, self.highest, strict=True))
        return math.prod(values) * self.unit_w, at_end


def _is_input(rail: _Rail, asked: str | None) -> bool:
    return rail.name == asked if asked else rail.name in MODULE_INPUTS


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
            name = kernel.text(folder / f"{sensor}_label") or f"{chip}/{sensor}"
            rails.append(_Rail(name, (file,), (_highest_uw(folder, chip, sensor),)))
        for channel in INA3221_CHANNELS if chip == "ina3221" else ():
            files = (folder / f"in{channel}_input", folder / f"curr{channel}_input")
            if all(file.exists() for file in files):
                highest = (RANGES_MV[chip][0], _highest_ma(chip, folder / f"shunt{channel}_resistor"))
                rails.append(_Rail(kernel.text(folder / f"in{channel}_label") or f"{chip}/{channel}", files, highest))
    return rails


def _highest_ma(chip: str, shunt: Path) -> float:
    """Return the highest current that a chip shows, by its shunt in micro-ohm; infinite where that is not known."""
    ohm = _known(shunt)
    return math.floor(1e6 * RANGES_MV[chip][1] / ohm) if ohm and chip in RANGES_MV else math.inf


def _highest_uw(folder: Path, chip: str, sensor: str) -> float:
    """Return the highest power that a sensor can show, by its chip's ranges or by what it is rated for."""
    rated = _known(folder / f"{sensor}_rated_max")
    highest_mv = RANGES_MV.get(chip, (math.inf,))[0]
    return min(highest_mv * _highest_ma(chip, folder / "shunt_resistor"), BURST * rated if rated else math.inf)


def _known(file: Path) -> int | None:
    """Return the number in a file; None where there is none, or it is 0."""
    with suppress(OSError, ValueError):
        return kernel.integer(file) or None
    return None
