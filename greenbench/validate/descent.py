"""The ancestry that rows state: no less than the suite states of their variants, and without circles."""

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from greenbench.models import ancestry
from greenbench.results.record import key_of
from greenbench.validate.evidence import Evidence, Problem, ResultLine
from greenbench.validate.form import EDITED

_OWN = ("name", "builds", "teacher")
"""Keys of a suite's entry that do not decide on its weights."""


def descent(lines: Sequence[ResultLine], evidence: Evidence) -> Iterator[Problem]:
    """Find rows that hide what was built or distilled, by which a gate and ranks would find their model."""
    entries = {entry["name"]: entry for entry in evidence.run["suite"]["variants"]}
    weights: dict[str, tuple[str, Any]] = {}
    for line in lines:
        entry = entries.get(line.row["variant"])
        if entry is None or line.row.get("status") != "ok":
            continue
        for what in [*_hidden(line.row, entry), *_other_weights(line.row, entry, weights)]:
            yield Problem("error", line.where, what, EDITED, key_of(line.row))


def circles(lines: Sequence[ResultLine]) -> Iterator[Problem]:
    """Find models that descend from themselves, by what their rows state of each other."""
    rows = {line.row["variant"]: line for line in lines if line.row.get("status") == "ok"}
    names = {chain: name for name, line in rows.items() if (chain := ancestry.identity(line.row))}
    names |= {(f"{ancestry.NAMED}{name}",): name for name in rows}
    above = {name: [names[one] for one in ancestry.stated(line.row) if one in names] for name, line in rows.items()}
    try:
        deque(TopologicalSorter(above).static_order(), maxlen=0)
    except CycleError as error:
        circle = error.args[1][::-1]  # graphlib lists each node before those that descend from it
        line = rows[circle[0]]
        what = f"a model descends from itself: {' from '.join(f'{name!r:.60}' for name in circle[:5])}"
        yield Problem("error", line.where, what, EDITED, key_of(line.row))


def _hidden(row: Mapping[str, Any], entry: Mapping[str, Any]) -> Iterator[str]:
    """Say what a row does not say of its model's making."""
    builds, chain = entry.get("builds") or [], ancestry.identity(row)
    if builds and not row.get("steps"):
        yield f"steps is null, the suite has {len(builds)} builds of {entry['name']!r:.60}"
    if (builds or entry.get("teacher")) and not row.get("parent"):
        yield f"parent is null, but the suite states one for {entry['name']!r:.60}"
    if chain and len(chain) <= len(builds):
        yield f"identity has {len(chain) - 1} methods, the suite {len(builds)} builds of {entry['name']!r:.60}"
    if entry.get("teacher") and chain and not row.get("ancestors"):
        yield f"ancestors is null, the suite states a teacher of {entry['name']!r:.60}"


def _other_weights(
    row: Mapping[str, Any], entry: Mapping[str, Any], known: dict[str, tuple[str, Any]]
) -> Iterator[str]:
    """Say that entries which are alike but for builds have other weights, or some of them none that are known."""
    settings = json.dumps({name: value for name, value in entry.items() if name not in _OWN}, sort_keys=True)
    first = (ancestry.identity(row) or (None,))[0]
    name, weights = known.setdefault(settings, (str(entry["name"]), first))
    if weights != first:
        yield f"identity begins with {first}, that of {name!r:.60}, the same model in the suite, with {weights}"
