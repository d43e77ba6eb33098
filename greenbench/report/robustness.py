"""How error rates grow where speech is made worse: a table a data set, a column for each thing that is done to it."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pandas as pd

from greenbench.metrics import missing
from greenbench.report.terminal import error_rate
from greenbench.results.comparability import primary

CLEAN = "clean"

TableRow = dict[str, str]


def tables(lines: pd.DataFrame) -> list[tuple[str, list[TableRow]]]:
    """Return the error rates of each data set that was measured as it is or in one way, and in another.

    Args:
        lines: a summary; of each variant, data set and corruption the first line that has an error rate counts.

    Returns:
        Name of the data set, and a line a variant: its error rate in percent with its interval under each corruption,
        and by how many percentage points it is above that of the clean speech, where that was measured.
    """
    sets = defaultdict[str, dict[str, dict[str, Mapping[Any, Any]]]](dict)
    for line in lines[lines["status"] == "ok"].to_dict("records"):
        done = line["corruption"] if isinstance(line["corruption"], str) else None
        if not missing(line[primary(line)]):
            name = str(line["dataset"]).replace(f"({done})", "") if done else str(line["dataset"])
            sets[name].setdefault(str(line["variant"]), {}).setdefault(done or CLEAN, line)
    found = ((name, _conditions(variants), variants) for name, variants in sets.items())
    return [
        (name, [_line(variant, of, conditions) for variant, of in variants.items()])
        for name, conditions, variants in found
        if len(conditions) > 1
    ]


def _conditions(variants: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what is done to the speech in the order in which it was measured, nothing first."""
    found = dict.fromkeys(condition for of in variants.values() for condition in of)
    return sorted(found, key=lambda condition: condition != CLEAN)


def _line(variant: str, of: Mapping[str, Mapping[Any, Any]], conditions: list[str]) -> TableRow:
    texts = {condition: _text(of[condition], of.get(CLEAN)) for condition in conditions if condition in of}
    return {"variant": variant, **{condition: texts.get(condition, "–") for condition in conditions}}


def _text(line: Mapping[Any, Any], clean: Mapping[Any, Any] | None) -> str:
    rate = primary(line)
    shown = error_rate(line, rate) or "–"
    if clean is None or clean is line or primary(clean) != rate:
        return shown
    return f"{shown} {100 * (line[rate] - clean[rate]):+.2f}"
