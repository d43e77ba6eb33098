"""The control: what a small fixed workload at the start and end of each round says of how the machine changed."""

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from statistics import geometric_mean
from typing import Any

from greenbench.metrics import change_pct

NAME = "control-1"
"""Version of the workload; figures of different versions say nothing of each other."""

INTERRUPTED = "the run was interrupted before the end of this round"

COLUMNS = (
    "control", "control_rtfx", "control_drift_pct", "control_energy_j_per_audio_s", "control_energy_method",
    "control_note",
)  # fmt: skip
"""The columns of a row that its round's controls fill once the round is over."""


def columns(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return ``COLUMNS`` by the two measurements of a bracket; where one is missing there is no figure but a reason.

    ``control_rtfx`` and ``control_energy_j_per_audio_s`` are geometric means, ``control_drift_pct`` is by how much
    the second RTFx is above the first.
    """
    by_edge = {line["edge"]: line for line in lines}
    start, end = by_edge.get("start"), by_edge.get("end")
    found: dict[str, Any] = dict.fromkeys(COLUMNS)
    reasons = {"start": _failure(start), "end": _failure(end)}
    if start is None or end is None or any(reasons.values()):
        note = "; ".join(f"{edge} of the round: {reason}" for edge, reason in reasons.items() if reason)
        return found | {"control_note": note}
    found |= {
        "control": start["control"],
        "control_rtfx": sqrt(start["rtfx"] * end["rtfx"]),
        "control_drift_pct": change_pct(start["rtfx"], end["rtfx"]),
    }
    energies = [line["energy_j_per_audio_s"] for line in (start, end)]
    methods = {(line["energy_method"], line["energy_scope"]) for line in (start, end)}
    if len(methods) == 1 and all(energy is not None and energy > 0 for energy in energies):
        found["control_energy_j_per_audio_s"] = sqrt(energies[0] * energies[1])
        found["control_energy_method"] = start["energy_method"]
    return found


def _failure(line: Mapping[str, Any] | None) -> str | None:
    """Say why there is no figure of a measurement; None where there is one."""
    if line is None:
        return "not measured"
    return line["reason"] or (None if line["rtfx"] else "it has no RTFx")


def summary(lines: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what ``run.json`` says of a run's controls under ``control``, by device.

    Returns:
        The version (``control``), the geometric mean, lowest and highest RTFx (``rtfx``, ``rtfx_min``, ``rtfx_max``),
        how many there were (``n_measured``), and the ``reasons`` of those that failed, each once.
    """
    by_device: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        by_device.setdefault(line["device"], []).append(line)
    return {device: _summed_up(of_device) for device, of_device in by_device.items()}


def _summed_up(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    rates = [line["rtfx"] for line in lines if line["rtfx"]]
    return {
        "control": lines[0]["control"],
        "rtfx": geometric_mean(rates) if rates else None,
        "rtfx_min": min(rates, default=None),
        "rtfx_max": max(rates, default=None),
        "n_measured": len(rates),
        "reasons": list(dict.fromkeys(line["reason"] for line in lines if line["reason"])),
    }


def describe(found: Any) -> str:
    """Say in one line what a device's controls were, from ``run.json``."""
    if not isinstance(found, Mapping) or not isinstance(found.get("rtfx"), (int, float)):
        reasons = found.get("reasons") if isinstance(found, Mapping) else None
        return f"not measured: {'; '.join(map(str, reasons or ['no reason recorded']))}"
    span = f", from {found['rtfx_min']:.4g} to {found['rtfx_max']:.4g} in {found['n_measured']} measurements"
    return f"RTFx {found['rtfx']:.4g}{span} ({found['control']})"
