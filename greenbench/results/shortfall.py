"""In what a run fell short of what it was asked for."""

from typing import TYPE_CHECKING

from greenbench.plugins.events import PowerAttached

if TYPE_CHECKING:
    import pandas as pd

SKIPS = {
    "lacking": "a device, an extra or a tool that the suite asks for is not here",
    "inapplicable": "there is no such build for such a device",
    "emulated": "the CPU has no arithmetic for its precision, and the suite does not allow it to be emulated",
    "unservable": "scenario server: it is too slow for any rate, which is a result",
}
"""Why a cell was skipped, the column ``skipped_for`` -> what that means; only the first is a fault of the run."""


def shortfall(rows: "pd.DataFrame", logged: PowerAttached | None = None) -> str | None:
    """Say in what a run fell short of what it was asked for, or return None: then its exit code is 0, else 1.

    A cell that failed counts, one that was skipped for want of something, a run in which nothing was measured, and a
    power log that does not give the energy of every window.
    What a suite asks for only where it is available (``devices: [auto]``, ``weights: available``) is never wanting.

    Args:
        rows: as ``frames.load`` gives them.
        logged: what was found in the power log that the run was asked to attach; None where it was asked for none.
    """
    failed, skipped = rows[rows["status"] == "error"], rows[rows["status"] == "skipped"]
    lacking = skipped[~skipped["skipped_for"].isin([name for name in SKIPS if name != "lacking"])]
    counts = {"failed": failed, "skipped for want of what the suite asks for": lacking}
    parts = [f"{_n_cells(some)} {fate}: {some['reason'].iloc[0]}" for fate, some in counts.items() if len(some)]
    parts += [] if logged is None or logged.is_whole else [str(logged)]
    return "; ".join([*([] if anything(rows) else ["nothing was measured"]), *parts]) or None


def anything(rows: "pd.DataFrame") -> bool:
    """Say whether rows have anything that was measured; that a model cannot serve any rate is a result."""
    return bool(((rows["status"] == "ok") | (rows["skipped_for"] == "unservable")).any())


def _n_cells(rows: "pd.DataFrame") -> str:
    from greenbench.results.record import CELL

    n = len(rows[list(CELL)].drop_duplicates())
    return f"{n} cell{'s' if n != 1 else ''}"
