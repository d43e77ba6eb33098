"""The suite that goes to each node: checked here, in the form in which every machine reads it the same."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from greenbench.suite import config, file
from greenbench.suite.config import Suite


def portable(
    source: str | Path | Mapping[str, Any] | Suite,
    overrides: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a suite's plain data for other machines.

    Names and settings are checked here; paths are made absolute, and must lead to the same files on every node. The
    number of threads is left to each node, unless the suite says it.

    Args:
        source: as ``config.load`` takes it.
        overrides: the same.
        changes: the same.

    Raises:
        InputError: it has faults.
    """
    suite = config.load(source, overrides, changes)
    written = dict(source) if isinstance(source, (Mapping, Suite)) else file.read(Path(source))
    is_given = "threads" in written or any(one.partition("=")[0] == "threads" for one in overrides)
    return {**suite.model_dump(mode="json"), **({} if is_given else {"threads": None})}
