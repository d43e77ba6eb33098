"""What must hold among the rows of a run: each once, none missing, and the same WER whatever the batch size."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from greenbench import plan, record, store
from greenbench.attach import EXTERNAL
from greenbench.record import KEYS
from greenbench.rescore import Key, key_of
from greenbench.suite import Suite
from greenbench.validate.evidence import Evidence, Line, Problem

MAX_BATCH_WER_CHANGE = 0.001
"""Largest difference of WER between batch sizes that padding is forgiven: 0.1 percentage points."""

RESUME = "Continue the run with --resume."
"""What to do about a run that is not whole: a cell, a repeat or a row is missing."""


def columns(lines: Sequence[Line]) -> Iterator[Problem]:
    """Find columns that another version of greenbench has; rows that lack the same are one problem."""
    declared, first = set(record.columns()), dict[tuple[str, ...], Line]()
    for line in lines:
        lacking, unknown = declared - set(line.row), set(line.row) - declared
        told = (f"lacks {', '.join(sorted(lacking))}", f"has also {', '.join(sorted(unknown))}")
        names = tuple(text for text, found in zip(told, (lacking, unknown), strict=True) if found)
        if names and names not in first:
            first[names] = line
            fix = "Read it with the version that wrote it (versions in run.json)."
            yield Problem("warning", line.where, f"the row, as maybe others, {' and '.join(names)}", fix)


def repeated(lines: Sequence[Line]) -> Iterator[Problem]:
    """Find measured keys that stand twice: a copied line has the same figures, a resumed run new ones."""
    latest: dict[Key, Line] = {}
    for line in lines:
        earlier = latest.get(key_of(line.row))
        latest[key_of(line.row)] = line
        if earlier is None or line.row.get("status") != "ok":
            continue
        if earlier.row == line.row:
            yield Problem("error", line.where, f"a copy of line {earlier.number}", "Take one of them out.")
        elif line.row.get("energy_system_source") != EXTERNAL:  # a log that was attached wrote the row anew
            what = f"has the key of line {earlier.number}, and other figures"
            yield Problem("warning", line.where, what, "Nothing if the run was resumed: the later line counts.")


def incomplete(lines: Sequence[Line], evidence: Evidence) -> Iterator[Problem]:
    """Find the cells, rounds and repeats that the suite asks for and no row accounts for."""
    by_cell: dict[Key, list[Mapping[str, Any]]] = {}
    for row in store.current(dict(line.row) for line in lines):
        by_cell.setdefault(tuple(row[name] for name in KEYS[1:-1]), []).append(row)
    planned = [(cell.label, cell.round, tuple(cell.key.values())) for cell in _planned(evidence, by_cell)]
    begun = {label for label, _, key in planned if key in by_cell}
    where = str(evidence.folder / store.RECORDS)
    for label in dict.fromkeys(label for label, _, _ in planned if label not in begun):
        yield Problem("warning", where, f"no row of the cell {label}", RESUME)
    for label, number, key in planned:
        rows = by_cell.get(key, [])
        absent = sorted(set(range(evidence.steps.repeats)) - {row["repeat"] for row in rows})
        if label in begun and absent and all(row.get("status") == "ok" for row in rows):
            repeats = ", ".join(map(str, absent))
            yield Problem("error", where, f"round {number} of the cell {label} has no repeat {repeats}", RESUME)


def _planned(evidence: Evidence, seen: Iterable[Key]) -> list[plan.Cell]:
    """List the run's cells; what ``auto`` was is what the rows say."""
    suite = Suite.model_validate(evidence.run["suite"])
    if "auto" in suite.devices:
        devices = list(dict.fromkeys(str(key[KEYS.index("device") - 1]) for key in seen))
        suite = suite.model_copy(update={"devices": devices or ["cpu"]})
    return plan.plan(suite, evidence.run.get("only"))


def orphans(texts: Sequence[Line], evidence: Evidence) -> Iterator[Problem]:
    """Find texts whose row was not written, as when a run is killed in between."""
    for key, line in {key_of(line.row): line for line in texts}.items():
        if key not in evidence.rows:
            yield Problem("warning", line.where, "texts of a row that is not there", RESUME)


def batches(lines: Iterable[Line], folder: Path) -> Iterator[Problem]:
    """Compare WER at batch size 1 with the others: padding must not change what a model hears."""
    wers: dict[tuple[str, str, str], dict[int, list[float]]] = {}
    for row in (line.row for line in lines):
        if row.get("wer") is not None:
            sizes = wers.setdefault((row["variant"], row["dataset"], row["device"]), {})
            sizes.setdefault(row["batch_size"], []).append(row["wer"])
    for names, sizes in wers.items():
        for size in sorted(set(sizes) - {1}):
            if 1 in sizes and abs(median(sizes[size]) - median(sizes[1])) > MAX_BATCH_WER_CHANGE:
                alone, together = (100 * median(sizes[n]) for n in (1, size))
                what = f"WER is {alone:.2f} % at batch size 1 and {together:.2f} % at {size}"
                fix = "The batch changes what this model hears: quote its WER with the batch size, or run it at 1."
                yield Problem("warning", f"{folder / store.RECORDS} ({', '.join(names)})", what, fix)
