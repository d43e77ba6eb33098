"""The watts of a measured row: that what its joules, its idle power and its trace imply can be drawn at all."""

from collections.abc import Iterator, Mapping
from typing import Any

from greenbench.hardware.bounds import BOUNDS, domain_of, domain_of_sensor, implausible, impossible_w
from greenbench.meters import energy
from greenbench.plugins import meters
from greenbench.results import store
from greenbench.results.record import key_of
from greenbench.validate.evidence import Check, Evidence, Row

UNREAD = "The energy is wrong: the counter was reset, the sensor is faulty or the unit is another. Measure again."

SAMPLED = {"hwmon": "hwmon.", "battery": "battery.", "nvml-power": "nvml."}
"""Source of sampled joules -> how the names of its values begin in the trace."""

PER_COUNTER = "rapl.package-"
"""How the names of the counters of CPU packages begin in the trace."""


def _joules_can_be(row: Row, evidence: Evidence) -> Iterator[str]:
    """No part drew more, on average over the row's seconds or over its window's, than it can."""
    seconds = {"wall_s": row["wall_s"], store.WINDOWS: _window_s(row, evidence)}
    for part in energy.PARTS:
        joules, domain = row.get(energy.part_column(part)), domain_of(part, row.get(energy.part_column(part, "source")))
        for where, known_s in seconds.items():
            if joules is None or known_s is None:
                continue
            if why := implausible(domain, joules, known_s, _n_units(domain, evidence)):
                yield f"{energy.part_column(part)} is impossible by {where}: {why}"
                break


def _idle_power_can_be(row: Row, evidence: Evidence) -> Iterator[str]:
    """Idle power is that of the row's scope, so it is within what all its parts draw at most."""
    parts = [part for part in energy.PARTS if row.get(energy.part_column(part, "method")) is not None]
    domains = {part: domain_of(part, row.get(energy.part_column(part, "source"))) for part in parts}
    least_w = min((BOUNDS[domain].lowest_w for domain in domains.values()), default=0.0)
    most_w = sum(BOUNDS[domain].highest_w * _n_units(domain, evidence) for domain in domains.values())
    for name in ("idle_power_w", "idle_power_after_w"):
        watts = row.get(name)
        if watts is not None and domains and not least_w <= watts <= most_w:
            bounds = f"{least_w:g} to {most_w:,g} W"
            yield f"{name} is {watts:,.6g}, which {' + '.join(domains)} cannot draw: {bounds}"


def _samples_can_be(row: Row, evidence: Evidence) -> Iterator[str]:
    """Sampled joules are integrated from possible readings only."""
    for part in energy.PARTS:
        source = row.get(energy.part_column(part, "source"))
        prefix, domain = SAMPLED.get(str(source)), domain_of(part, source)
        if prefix is None or row.get(energy.part_column(part)) is None:
            continue
        found = (_impossible(one, prefix, domain) for samples in evidence.samples(row) for one in samples)
        if why := next(filter(None, found), None):
            yield f"{energy.part_column(part)} is integrated from an impossible sample in {store.POWER}: {why}"


def _impossible(sample: Mapping[str, Any], prefix: str, domain: str) -> str | None:
    """Say which power of a source in a sample cannot be, or return None."""
    for name, watts in sample.items():
        quantity = name.rpartition(".")[2] if name.startswith(prefix) else None
        if quantity == meters.FULL_SCALE:
            return f"{name}, {watts:,.6g} W: the sensor is at the end of its range"
        if quantity == meters.POWER and (why := impossible_w(domain_of_sensor(name, domain), watts)):
            return f"{name}, {why}"
    return None


def _window_s(row: Row, evidence: Evidence) -> float | None:
    segments = evidence.segments.get(key_of(row))
    return None if segments is None else sum(end - start for start, end in segments)


def _n_units(domain: str, evidence: Evidence) -> int:
    """Return how many units of a domain the machine has; of packages at least as many as the trace has counters."""
    machine = evidence.run["machine"]
    if domain == "gpu":
        return max(1, len(machine.get("gpus") or ()))
    if domain not in ("package", "dram"):
        return 1
    # A machine described by an earlier version does not say; packages of servers have four cores or more.
    n_packages = machine.get("n_cpu_packages") or max(1, (machine.get("n_cpus_physical") or 1) // 4)
    return max(n_packages, len(_counters(evidence)))


def _counters(evidence: Evidence) -> set[str]:
    """Return the names of the package counters in the first sample of each poller."""
    first = [session.samples[0] for session in evidence.trace if session.samples]
    names = {name for sample in first for name in sample if name.startswith(PER_COUNTER)}
    return {name for name in names if not name.endswith("-dram.energy_uj")}


POWER = (
    Check(_joules_can_be, UNREAD),
    Check(_idle_power_can_be, UNREAD),
    Check(_samples_can_be, UNREAD),
)
"""What holds for the watts of a measured row."""
