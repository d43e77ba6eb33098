"""The level of evidence for an entry: self-reported, checked against its archive, or reproduced."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenbench import validate
from greenbench.datasets import known
from greenbench.errors import InputError
from greenbench.leaderboard import among
from greenbench.leaderboard.ranking import entry_id
from greenbench.meters import energy
from greenbench.power.log import EXTERNAL
from greenbench.results import store
from greenbench.results.record import KEYS
from greenbench.sharing.merge import Refused
from greenbench.validate import verification
from greenbench.validate.joules import SOURCES
from greenbench.validate.verification import NAMES, REPRODUCED, Verification

REPORTED, CHECKED = "self-reported", "checked"

LEVELS = {
    REPORTED: "some of its figures do not follow from the archive, such as joules from a log that is not in it",
    CHECKED: "its figures follow from its texts, windows, samples and hardware: the archive is consistent",
    REPRODUCED: "it was measured again by somebody else, and texts, and on the same platform speed and energy, agreed",
}  # fmt: skip
"""Level -> meaning, from the weakest to the strongest."""

Row = Mapping[str, Any]

__all__ = ["CHECKED", "LEVELS", "REPORTED", "REPRODUCED", "Standing", "read", "standings"]


@dataclass(frozen=True)
class Standing:
    """The level of evidence for one entry.

    Attributes:
        level: a name from ``LEVELS``.
        reproduced: by whom, when and on which platform, a line each.
        notes: figures that do not follow from the archive, and the warnings of `greenbench validate`.
    """

    level: str
    reproduced: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def standings(runs: Sequence[store.Run], records: Mapping[str, Sequence[Verification]]) -> dict[str, Standing]:
    """Return the standing of each entry of a board by its id.

    Args:
        runs: as they are published.
        records: valid verifications by the id of the verified run.
    """
    unbacked: dict[str, list[str]] = {}
    notes: dict[str, list[str]] = {}
    again: dict[str, list[str]] = {}
    for run in runs:
        rows = [row for row in store.current(store.read_rows(run.folder / store.RECORDS)) if row["status"] == "ok"]
        warnings = [problem for problem in validate.problems(run.folder) if problem.severity == "warning"]
        for row in rows:
            name = entry_id(row)
            unbacked.setdefault(name, []).extend(_unbacked(row, run.description))
            notes.setdefault(name, []).extend(_named_data(row))
            again.setdefault(name, _reproduced(row, records.get(str(row["run_id"]), ())))
        for problem in warnings:
            ids = [entry_id(dict(zip(KEYS, problem.key, strict=True)))] if problem.key else map(entry_id, rows)
            for name in dict.fromkeys(ids):
                notes.setdefault(name, []).append(f"{problem.what}. {problem.fix}")
    for odd, what in among.odd_sizes([run.folder for run in runs]):
        notes.setdefault(entry_id(odd), []).append(f"{what}: which one is right is unknown")
    return {name: _standing(again.get(name, []), why, notes.get(name, [])) for name, why in unbacked.items()}


def _standing(again: Sequence[str], unbacked: Iterable[str], notes: Iterable[str]) -> Standing:
    reasons = list(dict.fromkeys(unbacked))
    level = REPRODUCED if again else REPORTED if reasons else CHECKED
    return Standing(level, tuple(again), tuple(dict.fromkeys([*reasons, *notes])))


def _unbacked(row: Row, run: Row) -> Iterator[str]:
    """Yield the figures of a row that do not follow from its archive."""
    for part in energy.PARTS:
        source = row.get(energy.part_column(part, "source"))
        if row.get(energy.part_column(part)) is None:
            continue
        if source == EXTERNAL:
            yield "its joules are from a power log, which is not in the archive"
        elif source not in SOURCES:
            yield f"its joules are from a plug-in's meter ({source}), whose samples cannot be checked"
        elif not run["suite"].get("trace_hz"):
            yield "its joules have no samples to check them (trace_hz: 0)"


def _named_data(row: Row) -> Iterator[str]:
    if not known.is_pinned(str(row["dataset"])):
        yield f"the data set is named '{row['dataset']}' by the submitter: its content is not known to greenbench"


def _reproduced(row: Row, records: Iterable[Verification]) -> list[str]:
    """Describe who reproduced a row's cell, when, and on which platform."""
    key = tuple(row[name] for name in NAMES)
    return [
        f"{record.by}, {record.utc[:10]}, on {record.platform}: {cell.n_equal} of {cell.n_texts} texts equal"
        + ("" if record.same_platform else "; another platform, so speed and energy were not compared")
        for record in records
        for cell in record.cells
        if cell.key == key and verification.verdict(cell, record.same_platform) == REPRODUCED
    ]


def read(
    paths: Sequence[Path], digests: Mapping[str, Sequence[str]]
) -> tuple[dict[str, list[Verification]], list[Refused]]:
    """Read records of verifications, and refuse those that are invalid or of no published entry.

    Args:
        paths: of the records.
        digests: digest of each published entry -> the runs in it.

    Returns:
        The records by the id of the verified run, and the refused ones.
    """
    by_run: dict[str, list[Verification]] = {}
    refused = []
    for path in paths:
        try:
            record = verification.read(path)
        except InputError as error:
            refused.append(Refused(path.name, str(error).removeprefix(f"{path}: ")))
            continue
        if record.entry not in digests:
            reason = f"it is of an entry that is not published here (its digest is {record.entry[:16]}…)"
            refused.append(Refused(path.name, reason))
        for run_id in digests.get(record.entry, ()):
            by_run.setdefault(run_id, []).append(record)
    return by_run, refused
