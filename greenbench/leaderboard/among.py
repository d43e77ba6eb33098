"""Conflicts between entries: data sets of one name that differ, and models of one name that differ."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from greenbench.results import store
from greenbench.sharing.merge import Refused

Row = Mapping[str, Any]

SIZE_SHARE = 0.05
"""The bytes of one model may differ by this share between versions of the library that stores it."""


def conflicts(folders: Sequence[Path], published: Sequence[str]) -> dict[Path, Refused]:
    """Find runs whose data set has the name of another's, and not as many utterances.

    Args:
        folders: of the runs.
        published: ids of runs in the previous publication: they keep the name; otherwise the larger set does.

    Returns:
        By folder, why a run is refused.
    """
    first: dict[str, tuple[int, str]] = {}
    refused: dict[Path, Refused] = {}
    sizes = {folder: dict(_sizes(folder)) for folder in folders}
    for folder in sorted(folders, key=lambda f: (f.name not in published, -max(sizes[f].values(), default=0), f.name)):
        for name, n_utterances in sizes[folder].items():
            n_first, owner = first.setdefault(name, (n_utterances, folder.name))
            if n_first != n_utterances:
                reason = (
                    f"its data set '{name}' has {n_utterances} utterances, that of the run {owner} has {n_first}: "
                    "other data needs another name"
                )
                refused.setdefault(folder, Refused(folder.name, reason))
    return refused


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield the number of utterances of each data set of a run, those in bad files included."""
    for row in _measured(folder):
        yield str(row["dataset"]), int(row["n_utterances"]) + int(row.get("n_skipped") or 0)


def _measured(folder: Path) -> list[Row]:
    return [row for row in store.current(store.read_rows(folder / store.RECORDS)) if row["status"] == "ok"]


def odd_sizes(folders: Sequence[Path]) -> Iterator[tuple[Row, str]]:
    """Yield rows of a model whose size differs from that of the same name, steps and parameters in another run."""
    first: dict[tuple[Any, ...], Row] = {}
    for row in (row for folder in folders for row in _measured(folder)):
        if not row.get("model_bytes"):
            continue
        names = tuple(row.get(name) for name in ("variant", "parent", "steps", "n_params", "compute_dtype"))
        earlier = first.setdefault(names, row)
        if abs(row["model_bytes"] - earlier["model_bytes"]) > SIZE_SHARE * earlier["model_bytes"]:
            sizes = f"{row['model_bytes']:,} bytes, and {earlier['model_bytes']:,} in the run {earlier['run_id']}"
            yield row, f"the model of this name has {sizes}"
