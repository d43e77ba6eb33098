"""What the parent hands to the process of one cell."""

import time
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from greenbench.hardware.roofline import Peaks
from greenbench.harness.cooldown import Cooldown
from greenbench.plugins.traces import Trace
from greenbench.suite.config import Suite
from greenbench.suite.plan import Cell


@dataclass(frozen=True)
class Job:
    """One cell of one run: what the parent sends to its process, as JSON, and all that its rows share.

    Attributes:
        run_id: of the run.
        order_index: the cell's place in the order of the run.
        suite: resolved.
        cell: what to measure.
        trace: what the poller sees meanwhile; None where none runs.
        power_logged: whether a meter outside logs the machine's power, so that an idle baseline is of use.
        rest: how the machine cooled down before.
        measure_overhead: whether its process also measures what the harness costs.
        exclusive: whether others are kept from the machine meanwhile.
        peaks: what the cell's device does at most; None where that was not measured.
        grid: columns of the grid factor that was asked for, see ``grid.asked``; none where the suite states one.
        word_times: file of the times of words that were aligned (``word_times.read``); None where none were.
        started_s: when its process was started, on the clock of all processes of the machine (``time.perf_counter``).
    """

    run_id: str
    order_index: int
    suite: Suite
    cell: Cell
    trace: Trace | None = None
    power_logged: bool = False
    rest: Cooldown = Cooldown()
    measure_overhead: bool = False
    exclusive: bool = True
    peaks: Peaks | None = None
    grid: dict[str, Any] = Field(default_factory=dict)
    word_times: Path | None = None
    started_s: float = Field(default_factory=time.perf_counter)

    def key(self, repeat: int | None) -> dict[str, Any]:
        """Return the key columns of one row; ``repeat`` is None where no window was measured."""
        return {"run_id": self.run_id, **self.cell.key, "repeat": repeat}
