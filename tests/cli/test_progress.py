"""What a run says while it goes on: each kind of event, its line, and the time left."""

import time
from pathlib import Path
from typing import get_args

import pytest

from greenbench.cli.output import print_training
from greenbench.cli.progress import ProgressDisplay
from greenbench.plugins.events import (
    CellStarted,
    Event,
    PageWritten,
    Phase,
    Planned,
    PowerAttached,
    Preparing,
    RowStored,
    StepStarted,
    StudentFound,
    TrainingLogged,
    Unavailable,
    Warned,
)

FAILED = {"status": "error", "reason": "no such folder"}

SHOWN: list[tuple[Event, str]] = [
    (
        Planned(Path("results/a"), "a", 3, 2, 90.0),
        "2 cells to run, 1 done before: at least 90 s, more if a pass over the data is slow",
    ),
    (Preparing("fetching 1/2: the model"), "fetching 1/2: the model"),
    (Preparing("exporting 2/2: the model", 60.0, 180.0), "exporting 2/2: the model  (60 s spent, about 3 min left)"),
    (Preparing("measuring what cpu can do", at_most_s=60.0), "measuring what cpu can do  (at most 60 s)"),
    (
        Preparing("fetching 1/1: speech", 0.0, 60.0, elapsed_s=20.0, n_bytes=50_000_000, of_bytes=200_000_000),
        "fetching 1/1: speech  (20 s so far, 50 of 200 MB, about 60 s left)",
    ),
    (Preparing("making 1/2: it", 0.0, elapsed_s=20.0), "making 1/2: it  (20 s so far)"),
    (Preparing("peaks", at_most_s=60.0, elapsed_s=20.0), "peaks  (20 s so far, at most 60 s)"),
    (Phase("warm-up"), "    warm-up"),
    (Unavailable("data set speech", "no such folder"), "missing data set speech: no such folder"),
    (Warned("the log lags"), "warning: the log lags"),
    (CellStarted("null/instant | tone", 1, 2), "[1/2] null/instant | tone"),
    (RowStored(FAILED), "    error: missing, see above"),
    (RowStored(FAILED | {"reason": "it was killed"}), "    error: it was killed"),
    (
        PowerAttached(3, 2, ("it ended",)),
        "power log: the energy of 2 of 3 windows is known; not of the others: it ended",
    ),
]

OF_RECIPES: list[tuple[Event, str]] = [
    (StepStarted(1, 2, "layer-drop(keep=6)"), "[1/2] layer-drop(keep=6)"),
    (Phase("the teacher transcribes 2 h"), "    the teacher transcribes 2 h"),
    (TrainingLogged({"step": 100, "loss": 0.25, "best_wer": 0.1}), "    step 100: loss 0.25"),
    (
        TrainingLogged({"step": 9, "energy_j": 12.5, "energy_method": "estimated"}),
        "    step 9: energy_j 12.5 (estimated)",
    ),
    (StudentFound(Path("models/a")), "models/a: already made by this recipe; nothing was changed"),
]


def test_every_event_of_a_run_is_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    """Each is shown once, in order; a second warning of the same text is not."""
    with ProgressDisplay() as progress:
        for event, _ in SHOWN:
            progress.observe(event)
        progress.observe(Warned("the log lags"))
        progress.observe(PageWritten(Path("results/a/report.html")))
    assert list(filter(None, capfd.readouterr().err.splitlines())) == [line for _, line in SHOWN]
    assert (progress.folder, progress.page) == (Path("results/a"), Path("results/a/report.html"))


def test_a_cell_says_what_is_left(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """With what was spent since the first one; where the run cannot tell what is left, neither does the line."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with ProgressDisplay() as progress:
        for cell in (CellStarted("a", 1, 3), CellStarted("b", 2, 3), CellStarted("c", 3, 3, 90.0)):
            progress.observe(cell)
            now[0] += 20.0
    assert capfd.readouterr().err.splitlines() == ["[1/3] a", "[2/3] b", "[3/3] c  (40 s spent, about 90 s left)"]


def test_every_event_of_a_recipe_is_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    """The lines that `greenbench compress` prints."""
    for event, _ in OF_RECIPES:
        print_training(event)
    assert capfd.readouterr().err.splitlines() == [line for _, line in OF_RECIPES]


def test_no_kind_of_event_is_forgotten() -> None:
    """A new kind of event gets a line of its own in one of the two."""
    shown = {type(event) for event, _ in [*SHOWN, *OF_RECIPES]}
    assert shown | {PageWritten} == set(get_args(Event))
