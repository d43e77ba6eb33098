"""What must hold among the rows of a run: each once, none missing, and the same WER whatever the batch size."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from greenbench.datasets.known import KNOWN
from greenbench.extras import PACKAGES
from greenbench.power.log import EXTERNAL
from greenbench.results import record, store
from greenbench.results.record import KEYS, Key, key_of
from greenbench.suite import plan
from greenbench.suite.config import Suite
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.text.population import EARLIER
from greenbench.validate.evidence import Evidence, Problem, ResultLine

MAX_BATCH_WER_CHANGE = 0.001
"""Largest difference of WER between batch sizes that padding is forgiven: 0.1 percentage points."""

RESUME = "Continue the run with --resume."
"""What to do about a run that is not whole: a cell, a repeat or a row is missing."""


def columns(lines: Sequence[ResultLine]) -> Iterator[Problem]:
    """Find columns that another version of greenbench has; rows that lack the same are one problem."""
    declared, first = set(record.columns()), dict[tuple[str, ...], ResultLine]()
    for line in lines:
        lacking, unknown = declared - set(line.row), set(line.row) - declared
        both = (f"lacks {', '.join(sorted(lacking))}", f"has also {', '.join(sorted(unknown))}")
        names = tuple(text for text, found in zip(both, (lacking, unknown), strict=True) if found)
        if names and names not in first:
            first[names] = line
            fix = "Read it with the version that wrote it (versions in run.json)."
            yield Problem("warning", line.where, f"this row, and maybe others, {' and '.join(names)}", fix)


def earlier_intervals(lines: Sequence[ResultLine]) -> Iterator[Problem]:
    """Say once that a run's intervals are an earlier version's: they stand, and cover less than they say."""
    earlier = [line for line in lines if line.row.get("wer_ci_unit") in EARLIER]
    if earlier:
        what = f"the intervals of {len(earlier)} rows are an earlier version's bootstrap, too narrow for few speakers"
        fix = "Measure again; `greenbench rescore` adds what they are by this version."
        yield Problem("warning", str(earlier[0].file), what, fix)


def unnamed(lines: Sequence[ResultLine], evidence: Evidence) -> Iterator[Problem]:
    """Find packages that variants were measured with and ``run.json`` does not name."""
    measured = {line.row["variant"] for line in lines if line.row.get("status") == "ok"}
    needed = {"greenbench"} if measured else set[str]()
    for entry in evidence.run["suite"]["variants"]:
        if entry["name"] in measured:
            needed |= _packages(entry)
    if absent := sorted(needed - evidence.run["versions"].keys()):
        what = f"versions does not name {', '.join(absent)}, without which these variants cannot be measured"
        yield Problem("error", str(evidence.folder / store.RUN), what, "Restore run.json, or measure again.")


def _packages(entry: Mapping[str, Any]) -> set[str]:
    """Return the packages that a variant does not run without; none of one that cannot be built on this machine."""
    try:
        needed = build_variant(VariantEntry.model_validate(entry)).extras
    except Exception:  # of a plug-in, too: it may be another version, or look for files of the machine of the run
        return set()
    return {module.replace("_", "-") for extra in needed for module in PACKAGES[extra]}


def untimed(evidence: Evidence) -> Iterator[Problem]:
    """Warn once where windows of an earlier version have no seconds per pass, by which ``n_passes`` is checked."""
    windows = [line for line in evidence.edges if line.row["kind"] == "window" and line.row["scenario"] != "server"]
    if any(line.row.get("pass_s") is None for line in windows):
        what = "windows without the seconds of their passes (pass_s), by which n_passes is checked"
        yield Problem("warning", str(evidence.folder / store.WINDOWS), what, "Measure again, with this version.")


def repeated(lines: Sequence[ResultLine], evidence: Evidence) -> Iterator[Problem]:
    """Find keys that stand twice: a resumed run measured each in a window of its own, a copied line did not."""
    latest: dict[Key, ResultLine] = {}
    n_windows = Counter(key_of(line.row) for line in evidence.edges if line.row["kind"] == "window")
    n_rows = Counter(key_of(line.row) for line in lines if not _is_written_anew(line))
    for line in lines:
        key = key_of(line.row)
        earlier, latest[key] = latest.get(key), line
        if earlier is None or line.row.get("status") != "ok" or _is_written_anew(line):
            continue
        if earlier.row == line.row:
            yield Problem("error", line.where, f"a copy of line {earlier.number}", "Remove one of them.", key)
        elif n_windows[key] < n_rows[key]:
            what = f"has the key of line {earlier.number}, other figures, and no window of its own in {store.WINDOWS}"
            yield Problem("error", line.where, what, "Remove the one that was not measured.", key)
        else:
            what = f"has the key of line {earlier.number}, and other figures"
            yield Problem(
                "warning", line.where, what, "Nothing to do if the run was resumed: the later line counts.", key
            )


def _is_written_anew(line: ResultLine) -> bool:
    """Whether a power log was attached to a row, which stands in the file as it was measured, too."""
    return line.row.get("energy_system_source") == EXTERNAL


def alike(lines: Iterable[ResultLine]) -> Iterator[Problem]:
    """Find rows of one data set, or of one model, that are not of the same size."""
    first: dict[tuple[Any, ...], ResultLine] = {}
    for line in lines:
        row = line.row
        for of, names in _ALIKE.items():
            if row.get("status") != "ok":
                continue
            known = first.setdefault((of, *(row.get(name) for name in names[0])), line)
            for name in names[1]:
                if row.get(name) != known.row.get(name):
                    what = (
                        f"{name} is {row.get(name)!r}, line {known.number} of the same {of} has {known.row.get(name)!r}"
                    )
                    yield Problem(
                        "error", line.where, what, "Restore the row from its run, or measure again.", key_of(row)
                    )


_ALIKE = {
    "data set": (("dataset",), ("data_hash", "n_utterances", "n_skipped")),
    "model": (("variant", "device"), ("model_bytes", "n_params", "n_nonzero_params", "bits_per_weight")),
}
"""What rows have in common by which columns, and what is then the same in all of them."""


def whole(lines: Iterable[ResultLine], evidence: Evidence) -> Iterator[Problem]:
    """Find data sets that lack utterances of those that the suite takes."""
    limits = {entry["name"]: entry.get("limit") for entry in evidence.run["suite"]["datasets"]
              if not entry.get("length_buckets")}  # fmt: skip
    for line in lines:
        limit = limits.get(line.row["dataset"])
        counts = [line.row.get(name) or 0 for name in ("n_utterances", "n_skipped")]
        published = KNOWN.get(str(line.row["dataset"]).partition("[")[0])
        most = limit if published is None or limit is None else min(limit, published.n_utterances)
        is_whole = not all(isinstance(n, int) for n in counts) or sum(counts) == most
        if line.row.get("status") == "ok" and limit is not None and not is_whole:
            what = f"n_utterances is {line.row['n_utterances']}, the suite's limit is {limit}"
            yield Problem(
                "error",
                line.where,
                what,
                "Set the limit to what the data set has, and measure again.",
                key_of(line.row),
            )


def incomplete(lines: Sequence[ResultLine], evidence: Evidence) -> Iterator[Problem]:
    """Find the cells, rounds and repeats that the suite asks for and no row accounts for."""
    by_cell: dict[Key, list[Mapping[str, Any]]] = {}
    for row in store.current(dict(line.row) for line in lines):
        by_cell.setdefault(tuple(row[name] for name in KEYS[1:-1]), []).append(row)
    planned = [(cell.label, cell.round, tuple(cell.key.values())) for cell in _planned(evidence, by_cell)]
    begun = {label for label, _, key in planned if key in by_cell}
    where = str(evidence.folder / store.RECORDS)
    for label in dict.fromkeys(label for label, _, _ in planned if label not in begun):
        yield Problem("error", where, f"no row of the cell {label}", RESUME)
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


def orphans(texts: Sequence[ResultLine], evidence: Evidence) -> Iterator[Problem]:
    """Find texts whose row was not written, as when a run is killed in between."""
    for key, line in {key_of(line.row): line for line in texts}.items():
        if key not in evidence.rows:
            yield Problem("error", line.where, "texts of a row that does not exist", RESUME)


def batches(lines: Iterable[ResultLine], folder: Path) -> Iterator[Problem]:
    """Compare WER at batch size 1 with the others: padding must not change a model's texts."""
    wers: dict[tuple[str, str, str], dict[int, list[float]]] = {}
    keys: dict[tuple[Any, ...], Key] = {}
    for row in (line.row for line in lines):
        if row.get("wer") is not None:
            sizes = wers.setdefault((row["variant"], row["dataset"], row["device"]), {})
            sizes.setdefault(row["batch_size"], []).append(row["wer"])
            keys[row["variant"], row["dataset"], row["device"], row["batch_size"]] = key_of(row)
    for names, sizes in wers.items():
        for size in sorted(set(sizes) - {1}):
            if 1 in sizes and abs(median(sizes[size]) - median(sizes[1])) > MAX_BATCH_WER_CHANGE:
                alone, together = (100 * median(sizes[n]) for n in (1, size))
                what = f"WER is {alone:.2f} % at batch size 1 and {together:.2f} % at {size}"
                fix = "The batch size changes this model's texts: quote its WER with the batch size, or run it at 1."
                where, at = f"{folder / store.RECORDS} ({', '.join(names)})", (*names, size)
                yield Problem("warning", where, what, fix, keys[at])
