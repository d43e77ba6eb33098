"""What a machine drew at rest: an idle power has an idle baseline, and is that of the samples over it."""

from collections.abc import Iterator, Sequence

from greenbench.meters.energy import part_column
from greenbench.power.log import EXTERNAL
from greenbench.results import store
from greenbench.results.record import KEYS, key_of
from greenbench.validate.evidence import Check, Evidence, Row
from greenbench.validate.form import EDITED
from greenbench.validate.joules import Spans, bounds_j, local, reach

SHORTEST_S = 1.0
"""A baseline that is shorter is not compared with samples."""


def _before(row: Row, evidence: Evidence) -> Row | None:
    """Return the line of ``windows.jsonl`` of the idle baseline before a row's window, in the same process."""
    at = evidence.at.get(key_of(row), 0)
    for line in reversed(evidence.edges[:at]):
        if any(line.row[name] != row[name] for name in KEYS[:-1]):
            return None
        if line.row["kind"] == "idle":
            return line.row
    return None


def _has_its_baseline(row: Row, evidence: Evidence) -> Iterator[str]:
    """Idle power was measured in an idle baseline, whose edges are kept as a window's are."""
    if row.get("idle_power_w") is not None and _before(row, evidence) is None:
        yield f"idle_power_w is {row['idle_power_w']:g}, {store.WINDOWS} has no idle baseline before this window"


def _agrees_with_its_samples(row: Row, evidence: Evidence) -> Iterator[str]:
    """Idle power is that of the samples over the baseline, within what sampling leaves open."""
    edges, watts, parts = _before(row, evidence), row.get("idle_power_w"), local(row)
    if edges is None or watts is None or not parts or row.get("energy_system_source") == EXTERNAL:
        return
    spans = reach(edges, evidence.samples_over(edges))
    seconds = sum(end - start for start, end, _ in spans)
    known = _sum_j([(part, str(row[part_column(part, "source")])) for part in parts], spans)
    if seconds < SHORTEST_S or known is None:
        return
    low, high = (joules / seconds for joules in known)
    if not low <= watts <= high:
        yield f"idle_power_w is {watts:.4g}, the samples in power.jsonl give {low:.4g} to {high:.4g} W at rest"


def _sum_j(parts: Sequence[tuple[str, str]], spans: Spans) -> tuple[float, float] | None:
    """Return between what the samples have the joules of several parts together; None where one is not known."""
    bounds = [bounds_j(part, source, spans) for part, source in parts] if spans else [None]
    known = [bound for bound in bounds if bound is not None]
    return (sum(low for low, _ in known), sum(high for _, high in known)) if len(known) == len(bounds) else None


RESTING = (Check(_has_its_baseline, EDITED), Check(_agrees_with_its_samples, EDITED, dependent=True))
"""What holds of a row's idle power."""
