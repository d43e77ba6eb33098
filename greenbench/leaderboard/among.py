"""What entries say of each other: data of one name that is not the same, and models of one name that are not."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from greenbench.results import store
from greenbench.sharing.merge import Refused

Row = Mapping[str, Any]

SIZE_SHARE = 0.05
"""The bytes of one model may differ by so much between versions of what packs it."""


def conflicts(folders: Sequence[Path], published: Sequence[str]) -> dict[Path, Refused]:
    """Find runs whose data set has the name of another's, and not as many utterances.

    Args:
        folders: of the runs.
        published: ids of runs that stood in the previous publication: they keep the name; else the larger set does.

    Returns:
        Why a run is not taken in, by its folder.
    """
    held: dict[str, tuple[int, str]] = {}
    found: dict[Path, Refused] = {}
    sizes = {folder: dict(_sizes(folder)) for folder in folders}
    for folder in sorted(folders, key=lambda f: (f.name not in published, -max(sizes[f].values(), default=0), f.name)):
        for name, n_utterances in sizes[folder].items():
            n_held, holder = held.setdefault(name, (n_utterances, folder.name))
            if n_held != n_utterances:
                reason = (
                    f"its data set '{name}' has {n_utterances} utterances, that of the run {holder} has {n_held}: "
                    "other data needs another name"
                )
                found.setdefault(folder, Refused(folder.name, reason))
    return found


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield the utterances of each data set of a run, those in bad files among them."""
    for row in _measured(folder):
        yield str(row["dataset"]), int(row["n_utterances"]) + int(row.get("n_skipped") or 0)


def _measured(folder: Path) -> list[Row]:
    return [row for row in store.current(store.read_rows(folder / store.RECORDS)) if row["status"] == "ok"]


def odd_sizes(folders: Sequence[Path]) -> Iterator[tuple[Row, str]]:
    """Yield rows of a model that takes other bytes than what has its name, steps and parameters in another run."""
    first: dict[tuple[Any, ...], Row] = {}
    for row in (row for folder in folders for row in _measured(folder)):
        if not row.get("model_bytes"):
            continue
        names = tuple(row.get(name) for name in ("variant", "parent", "steps", "n_params", "compute_dtype"))
        known = first.setdefault(names, row)
        if abs(row["model_bytes"] - known["model_bytes"]) > SIZE_SHARE * known["model_bytes"]:
            told = f"{row['model_bytes']:,} bytes, and {known['model_bytes']:,} in the run {known['run_id']}"
            yield row, f"the model of this name takes {told}"
