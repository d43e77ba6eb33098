"""The process that writes cells by the library trackio, into the folder that ``TRACKIO_DIR`` names."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from greenbench import processes


def write(cells: list[dict[str, Any]]) -> None:
    """Write the cells that are not there.

    Args:
        cells: of ``tracking.TrackedCell``, as mappings.

    Raises:
        SystemExit: the library, which only warns of what fails, does not have them all.
    """
    for project in dict.fromkeys(cell["project"] for cell in cells):
        known = _known(project)
        for cell in cells:
            if cell["project"] == project and cell["name"] not in known:
                _log(cell)
        lost = {cell["name"] for cell in cells if cell["project"] == project} - _known(project)
        if lost:
            raise SystemExit(f"{len(lost)} cells did not arrive, the first is {min(lost)}")


def _known(project: str) -> set[str]:
    import trackio

    try:
        return {run.name for run in trackio.Api().runs(project)}
    except ValueError:  # there is no such project yet
        return set()


def _log(cell: Mapping[str, Any]) -> None:
    import trackio

    first = cell["rows"][0]
    config = {**first["params"], **first["tags"]}
    trackio.init(cell["project"], cell["name"], config=config, embed=False, auto_log_gpu=False, auto_log_cpu=False)
    for step, row in enumerate(cell["rows"]):
        trackio.log(row["metrics"], step=step)
    trackio.finish()


if __name__ == "__main__":
    write(json.loads(processes.follow_parent(sys.stdin.buffer)()))
