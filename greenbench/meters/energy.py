"""The energy total: which parts of the machine it covers, its origin, and the metrics that derive from it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from greenbench.metrics import co2e_g, energy_net_j, ratio
from greenbench.plugins import METHODS, Meter, Quantity, Reading

PARTS = ("system", "cpu", "dram", "gpu")
"""``system`` is the whole machine and contains the others, so it is never added to them."""


def part_column(part: str, what: str = "j") -> str:
    """Return the column of a part's joules, or of their ``method``, ``source`` or ``note``: all are named here.

    Args:
        part: from ``PARTS``.
        what: ``j`` for the joules.
    """
    return f"energy_{part}_{what}"


def reads_joules(meter: Meter) -> bool:
    """Say whether a meter reads the joules of any part."""
    return any(name.startswith("energy_") for name in meter.metrics)


SHARED = "device_shared"
"""Scope of the joules of a whole board of which the model has a slice."""


def scope(device: str, reading: Reading) -> tuple[str, ...]:
    """Return the parts that a total must cover on ``device``.

    Where the whole machine is metered its energy is the total, even when it is unknown for this window: rows of one
    cell must not mix two scopes. Otherwise the CPU packages always count, and the GPU where the model runs on one;
    memory counts where the machine has a counter for it, since many have none.
    """
    if "energy_system_j" in reading.quantities:
        return ("system",)
    required = ("cpu",) if device == "cpu" else ("cpu", "gpu")
    return tuple(p for p in PARTS if p in required or (p == "dram" and "energy_dram_j" in reading.quantities))


def total_j(device: str, reading: Reading) -> float | None:
    """Return gross joules over the scope, or None unless every part in it was read."""
    parts = [reading.value(part_column(part)) for part in scope(device, reading)]
    read = [part for part in parts if part is not None]
    return sum(read) if len(read) == len(parts) else None


MEASURED_SHARE = 0.9
"""A whole machine must show at least this share of its parts' energy: its meter and their counters may disagree."""


def less_than_parts(system_j: float | None, columns: Mapping[str, Any]) -> str | None:
    """Say that the whole machine's energy is below that of its parts by their counters, or return None.

    Args:
        system_j: joules of the whole machine.
        columns: of a row: joules and method of each part.
    """
    counted = [
        columns.get(part_column(part)) for part in PARTS[1:] if columns.get(part_column(part, "method")) == "counter"
    ]
    parts_j = sum(joules for joules in counted if joules is not None)
    if system_j is None or system_j >= MEASURED_SHARE * parts_j:
        return None
    return (
        f"{system_j:.4g} J of the machine are less than the {parts_j:.4g} J of its parts by their counters: "
        "is it this machine's meter, and in W?"
    )


def reject_low_system(reading: Reading) -> None:
    """Set the whole machine's joules in a reading to None where the counters of its parts show more."""
    quantities = {part: quantity for part in PARTS if (quantity := reading.quantities.get(part_column(part)))}
    columns: dict[str, Any] = {part_column(part): quantity.value for part, quantity in quantities.items()}
    columns |= {part_column(part, "method"): quantity.method for part, quantity in quantities.items()}
    if why := less_than_parts(reading.value("energy_system_j"), columns):
        system = reading.quantities["energy_system_j"]
        reading.quantities["energy_system_j"] = replace(system, value=None, note=why)


def provenance(device: str, reading: Reading) -> dict[str, Any]:
    """Return the origin columns: method, source and note of each part, scope and method of the total.

    A part of the scope without joules has a note with the reason, and is listed as unread where it has a meter.
    The total's method is that of its weakest part: one estimated part makes an estimate. Its scope names a part
    ``gpu-shared`` where the model has a slice of the GPU and the joules are the whole board's.
    """
    parts = scope(device, reading)
    columns = {name: value for part in PARTS for name, value in _origin(part, reading).items()}
    columns |= {part_column(part, "note"): why for part in parts if (why := reading.absent.get(part_column(part)))}
    columns["energy_unread"] = "+".join(part for part in parts if _is_unread(reading, part)) or None
    if reading.value("energy_gpu_j") is not None:
        columns["energy_gpu_scope"] = SHARED if _is_shared(reading, "gpu") else "device"
    if total_j(device, reading) is not None:
        methods = {columns[part_column(part, "method")] for part in parts}
        columns["energy_scope"] = "+".join(f"{part}-shared" if _is_shared(reading, part) else part for part in parts)
        columns["energy_method"] = max(methods, key=METHODS.index)
    return columns


def _origin(part: str, reading: Reading) -> dict[str, Any]:
    quantity = reading.quantities.get(part_column(part))
    if quantity is None:
        return {}
    origin = {"method": quantity.method, "source": quantity.source, "note": quantity.note}
    return {part_column(part, column): value for column, value in origin.items()}


def _is_unread(reading: Reading, part: str) -> bool:
    quantity = reading.quantities.get(part_column(part))
    return quantity is not None and quantity.value is None


def _is_shared(reading: Reading, part: str) -> bool:
    quantity = reading.quantities.get(part_column(part))
    return quantity is not None and quantity.shared


def derived(
    device: str, reading: Reading, idle_power_w: float | None, audio_s: float | None, factor: tuple[float, float] | None
) -> dict[str, float | None]:
    """Return the metrics that follow from the parts that were read.

    Args:
        device: decides the scope.
        reading: of the window, ``wall_s`` included.
        idle_power_w: of the same scope.
        audio_s: transcribed in the window.
        factor: grams of CO2e per kWh and PUE, or None where none is stated.
    """
    gross_j = total_j(device, reading)
    return {
        "energy_j": gross_j,
        "energy_net_j": energy_net_j(gross_j, idle_power_w, reading.value("wall_s")),
        "energy_j_per_audio_s": ratio(gross_j, audio_s),
        "co2e_g": co2e_g(gross_j, *factor) if factor else None,
    }


def reading_of(row: Mapping[str, Any]) -> Reading:
    """Rebuild the readings of the energy meters and the clock from a row: the inverse of ``provenance``."""
    reading = Reading()
    for part in PARTS:
        method = row.get(part_column(part, "method"))
        if method is not None:
            source, note = row[part_column(part, "source")], row[part_column(part, "note")]
            shared = row.get(part_column(part, "scope")) == SHARED
            reading.add(part_column(part), Quantity(row[part_column(part)], method, source, note, shared))
    reading.add("wall_s", Quantity(row["wall_s"], "counter", "perf_counter"))
    return reading
