"""Which parts of the machine an energy total covers, and what the total may claim about itself."""

from typing import Any

from greenbench.plugins import METHODS, Reading

PARTS = ("cpu", "dram", "gpu")


def scope(device: str, reading: Reading) -> tuple[str, ...]:
    """Return the parts that a total must cover on ``device``.

    The CPU packages always count, and the GPU where the model runs on one; memory counts where the machine has
    a counter for it, since many have none.
    """
    required = ("cpu",) if device == "cpu" else ("cpu", "gpu")
    return tuple(p for p in PARTS if p in required or (p == "dram" and "energy_dram_j" in reading.quantities))


def total_j(device: str, reading: Reading) -> float | None:
    """Return gross joules over the scope, or None unless every part in it was read."""
    parts = [reading.value(f"energy_{part}_j") for part in scope(device, reading)]
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def provenance(device: str, reading: Reading) -> dict[str, Any]:
    """Return the origin columns: method, source and note of each part, scope and method of the total.

    The total's method is that of its weakest part: one estimated part makes an estimate.
    """
    columns: dict[str, Any] = {}
    for part in PARTS:
        quantity = reading.quantities.get(f"energy_{part}_j")
        if quantity is not None:
            columns[f"energy_{part}_method"] = quantity.method
            columns[f"energy_{part}_source"] = quantity.source
            columns[f"energy_{part}_note"] = quantity.note
    if total_j(device, reading) is not None:
        parts = scope(device, reading)
        methods = {columns[f"energy_{part}_method"] for part in parts}
        columns["energy_scope"] = "+".join(parts)
        columns["energy_method"] = max(methods, key=METHODS.index)
    return columns
