"""Single figures of a run: the right one, or a line that says why there is none."""

from pathlib import Path

import pandas as pd
import pytest

from greenbench.analysis.outcome import Outcome
from greenbench.errors import InputError, MissingError
from greenbench.results import frames, store
from greenbench.results.record import Record, to_row

KEY = {
    "run_id": "r",
    "variant": "v",
    "dataset": "d",
    "device": "cpu",
    "scenario": "offline",
    "batch_size": 8,
    "round": 0,
}


def outcome(folder: Path, *rows: Record) -> Outcome:
    store.write_run(folder, {"run_id": "r"})
    store.append(folder, [to_row(row) for row in rows])
    return Outcome(frames.load(folder), folder)


def ok(repeat: int, wer: float | None, **key) -> Record:
    return Record({**KEY, "repeat": repeat, **key}, "ok", metrics={"wer": wer, "rtfx": 10.0 + repeat})


@pytest.fixture
def found(tmp_path: Path) -> Outcome:
    """Two variants on one data set, and one of them on another; one repeat failed, and one thing is unknown."""
    return outcome(
        tmp_path, ok(0, 0.1), ok(1, 0.3), ok(2, 0.2), ok(0, 0.5, dataset="e"), ok(0, None, variant="w"),
        Record({**KEY, "repeat": None, "variant": "x"}, "error", "out of memory"),
    )  # fmt: skip


def test_a_metric_is_the_median_over_repeats(found: Outcome) -> None:
    """The figure is that of the one cell asked for."""
    assert found.metric("wer", variant="v", dataset="d") == 0.2
    assert found.metric("wer", dataset="e") == 0.5
    assert found.metric("rtfx", variant="v", dataset="d") == 11.0
    assert isinstance(found.cells, pd.DataFrame)
    assert len(found.cells) == 4


def test_several_cells_are_told_apart_or_refused(found: Outcome) -> None:
    """A key that fits several cells, or none, is refused with the cells there are; so is a key that no cell has."""
    with pytest.raises(InputError, match=r"2 cells fit \{'variant': 'v'\}. The cells of this run:\n.*'dataset': 'd'"):
        found.metric("wer", variant="v")
    with pytest.raises(InputError, match="no cell fits"):
        found.cell(variant="none")
    with pytest.raises(InputError, match="varaint: a cell has no such key. Did you mean 'variant'"):
        found.cell(varaint="v")


def test_what_is_not_known_is_never_a_number(found: Outcome) -> None:
    """An unmeasured metric and a failed cell raise; a gate like `energy < 5` cannot pass on nothing."""
    with pytest.raises(MissingError, match=r"w on d: wer was not measured; see the meters in .*run.json"):
        found.metric("wer", variant="w")
    with pytest.raises(MissingError, match="x on d: 1 of its rows failed: out of memory"):
        found.metric("wer", variant="x")


def test_a_failed_repeat_spoils_the_median(tmp_path: Path) -> None:
    """A cell of which a round failed has no median that a gate may trust."""
    failed = Record({**KEY, "round": 1, "repeat": None}, "error", "killed")
    with pytest.raises(MissingError, match="1 of its rows failed: killed"):
        outcome(tmp_path, ok(0, 0.1), failed).metric("wer")
