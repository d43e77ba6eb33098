"""Events: what a run, a recipe or a method reports to its observer while it runs; matched by type."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Planned:
    """The cells of a run are known, and nothing has run yet.

    Attributes:
        folder: of the run.
        run_id: its id.
        n_cells: of the whole plan.
        n_todo: of them, those that are not measured yet.
        least_s: seconds that these take at least by the protocol, controls included.
    """

    folder: Path
    run_id: str
    n_cells: int
    n_todo: int
    least_s: float


@dataclass(frozen=True)
class Preparing:
    """Something that takes long begins or goes on before, between or after cells: fetching, exporting, measuring peaks.

    Attributes:
        text: what.
        spent_s: seconds that tasks of the same kind have taken so far; None where it is the only one.
        left_s: expected seconds until all of its kind are done, by those that are; None where none is done.
        at_most_s: seconds after which it is aborted; None where there is no limit.
        elapsed_s: seconds since it began; None where it begins now.
        n_bytes: of a download: what is here; None where that is not known.
        of_bytes: of a download: what there will be; None where that is not known.
    """

    text: str
    spent_s: float | None = None
    left_s: float | None = None
    at_most_s: float | None = None
    elapsed_s: float | None = None
    n_bytes: int | None = None
    of_bytes: int | None = None


@dataclass(frozen=True)
class Unavailable:
    """Something that some cells need is not available; they are recorded with this reason.

    Attributes:
        name: the data set, variant or device.
        reason: why, and what to do.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Warned:
    """A warning: the user should know it, and the run continues.

    Attributes:
        text: one line.
    """

    text: str


@dataclass(frozen=True)
class CellStarted:
    """A cell begins.

    Attributes:
        label: of the cell.
        number: its place among those to be run, from 1.
        n_cells: that are to be run.
        left_s: expected seconds until all are done, by those that are; None until one of each data set, device,
            scenario and batch size is.
    """

    label: str
    number: int
    n_cells: int
    left_s: float | None = None


@dataclass(frozen=True)
class Phase:
    """A part of a cell or of a training begins.

    Attributes:
        text: which part, with its seconds where they are known.
    """

    text: str


@dataclass(frozen=True)
class RowStored:
    """A row has been written: a measured repeat, or the reason why a cell was not measured.

    Attributes:
        row: as ``store.RECORDS`` holds it.
    """

    row: Mapping[str, Any]


@dataclass(frozen=True)
class PowerAttached:
    """A power log was attached to a run.

    Attributes:
        n_windows: measured windows.
        n_covered: of them, those whose energy follows from the log.
        reasons: why that of the others does not, each once.
    """

    n_windows: int
    n_covered: int
    reasons: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether the log gives the energy of every window."""
        return self.n_covered == self.n_windows and not self.reasons

    def __str__(self) -> str:
        """Say it in one line."""
        if not self.n_windows:
            return f"power log: not attached: {'; '.join(self.reasons)}"
        line = f"power log: the energy of {self.n_covered} of {self.n_windows} windows is known"
        return f"{line}; not of the others: {'; '.join(self.reasons)}" if self.reasons else line


@dataclass(frozen=True)
class PageWritten:
    """The run's page is written.

    Attributes:
        path: of the page.
    """

    path: Path


@dataclass(frozen=True)
class StepStarted:
    """A step of a recipe begins.

    Attributes:
        number: its place, from 1.
        n_steps: of the recipe.
        label: the method with its settings.
    """

    number: int
    n_steps: int
    label: str


@dataclass(frozen=True)
class TrainingLogged:
    """A training wrote a row into its log.

    Attributes:
        row: as the log has it: the step, the losses, the learning rate, the WER where it was computed.
    """

    row: Mapping[str, Any]


@dataclass(frozen=True)
class StudentFound:
    """The recipe's student exists already; nothing is made.

    Attributes:
        folder: of the student.
    """

    folder: Path


Event: TypeAlias = (
    Planned
    | Preparing
    | Unavailable
    | Warned
    | CellStarted
    | Phase
    | RowStored
    | PowerAttached
    | PageWritten
    | StepStarted
    | TrainingLogged
    | StudentFound
)

Observer: TypeAlias = Callable[[Event], None]
"""Receives each event when it occurs, from whichever thread; it may print, and must not raise."""


def unobserved(_event: Event) -> None:
    """Ignore an event: the default observer."""
