"""The one summary of a cell: what its rows agree in, what is mixed, and the spread of each metric."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from greenbench.analysis import cells, summary
from greenbench.analysis.gains import CellGains, all_gains, weakest
from greenbench.analysis.summary import ENERGY
from greenbench.provenance import Mixed, agreed, each
from greenbench.report import compression, terminal
from greenbench.results import comparability
from greenbench.results.frames import frame

FakeRun = Callable[..., Path]
Rows = Callable[..., pd.DataFrame]

MIXED = Mixed(("counter", "estimated"))


def summed(row: Callable[..., dict[str, Any]], *changes: dict[str, Any]) -> cells.CellSummary:
    (cell,) = cells.summaries([row(**change) for change in changes])
    return cell


def test_agreed_says_what_is_mixed() -> None:
    """One value stays what it is, several are all named, in their order, and what is missing does not count."""
    assert (agreed([2, None, 2]), agreed([None, None])) == (2, None)
    assert agreed(["b", None, "a", "b"]) == Mixed(("b", "a"))
    assert str(Mixed(("b", "a"))) == "b / a"
    assert (each(Mixed((1, 2))), each(1), each(None), each(float("nan"))) == ((1, 2), (1,), (), ())


def test_a_summary_has_spreads_and_what_its_rows_agree_in(row: Callable[..., dict[str, Any]]) -> None:
    """The median of 1, 2 and 9 is 2; a metric has the windows in which it was measured; failures have reasons."""
    cell = summed(
        row,
        {"rtfx": 9.0, "wer": 0.1, "threads": 2},
        {"rtfx": 1.0, "repeat": 1, "threads": 4},
        {"rtfx": 2.0, "round": 1, "threads": 2},
        {"status": "error", "reason": "killed", "round": 2, "repeat": None, "rtfx": 99.0},
    )
    speed = cell.spreads["rtfx"]
    assert (speed.median, speed.low, speed.high, speed.values) == (2.0, 1.0, 9.0, (9.0, 1.0, 2.0))
    assert speed.windows == ((0, 0), (0, 1), (1, 0))
    assert cell.spreads["wer"].windows == ((0, 0),)
    assert ENERGY not in cell.spreads
    assert cells.median_of(cell, ENERGY) is None
    assert (cell.shared["threads"], cell.shared["device_name"]) == (Mixed((2, 4)), "Test CPU")
    assert (cells.status(cell), cells.failure(cell), len(cell.failed)) == ("ok", "killed", 1)


def test_frame_and_rows_have_one_summary(rows: Rows) -> None:
    """The frame says of each cell what the summary of its rows does, mixed values too, and no joined text."""
    line = summary.summary(rows({"rtfx": 1.0, "threads": 2}, {"rtfx": 4.0, "repeat": 1, "threads": 4})).iloc[0]
    assert (line["rtfx"], line["rtfx_values"], line["threads"]) == (2.5, (1.0, 4.0), Mixed((2, 4)))
    assert not [value for value in line if isinstance(value, str) and " / " in value]


def test_mixed_conditions_are_like_no_others() -> None:
    """What was not measured alike in itself is not compared with a cell that has the same mixture."""
    mixed = {"energy_scope": Mixed(("cpu", "cpu+dram")), "threads": 2}
    assert comparability.differing(mixed, mixed, ["energy_scope", "threads"]).keys() == {"energy_scope"}
    evidence = {"protocol": Mixed(("quick", "quick(rounds=3)"))}
    assert comparability.value(evidence, "protocol") == "quick"  # what differs there separates no rows


def test_lines_of_mixed_conditions_share_no_chart(rows: Rows) -> None:
    """Two cells whose windows each had 2 and 4 threads are two settings."""
    both = [{"variant": v, "threads": t, "repeat": t} for v in ("a", "b") for t in (2, 4)]
    assert len(summary.settings(summary.summary(rows(*both)))) == 2


@pytest.mark.parametrize(
    ("methods", "origin"),
    [
        (("counter", "counter"), "counter"),
        (("counter", MIXED), "estimated"),
        (("sampled", "counter"), "sampled"),
        (("counter", None), None),
        (("counter", Mixed(("counter", "a guess"))), None),
        ((), None),
    ],
)
def test_what_is_combined_is_as_weak_as_its_weakest_part(methods: tuple[Any, ...], origin: str | None) -> None:
    """An estimate in one window makes an estimate, and an origin that nobody states is not replaced by the others'."""
    assert weakest(*methods) == origin


def trained(fake_run: FakeRun, said: list[str], **student: Any) -> CellGains:
    """Return a student that needs 2 J less a second of audio than its teacher, after a training of 7200 J."""
    own = {"energy_scope": "cpu", "energy_method": "counter"}
    rounds = [{"rtfx": 10.0, ENERGY: joules} for joules in (4.0, 2.0)]
    folder = fake_run(
        "r",
        {"variant": "t", "heard": said, "rounds": rounds[:1] * 2, **own},
        {"variant": "s", "heard": said, "rounds": rounds[1:] * 2, **own, "parent": "t", "training_energy_j": 7200.0,
         "training_energy_method": "counter",
         **{name: value for name, value in student.items() if not isinstance(value, list)}},
    )  # fmt: skip
    for name, values in student.items():
        if isinstance(values, list):
            _vary(folder / "records.jsonl", name, values)
    (found,) = all_gains([folder])
    return found


def _vary(records: Path, name: str, values: list[Any]) -> None:
    """Give the rows of the student a value each."""
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    left = iter(values)
    lines = [line | {name: next(left)} if line["variant"] == "s" else line for line in lines]
    records.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_pay_back_of_mixed_origins_is_the_weakest(fake_run: FakeRun, said: list[str]) -> None:
    """A sampled window among counted ones makes the pay-back sampled; that of counters alone stays counted."""
    found = trained(fake_run, said, energy_method=["counter", "sampled"])
    assert (found.payback_audio_h, found.payback_method) == (pytest.approx(1.0), "sampled")
    assert compression.energy(found) == "2.00x [2.00, 2.00] (sampled)"


def test_pay_back_of_an_unknown_origin_says_so(fake_run: FakeRun, said: list[str]) -> None:
    """Joules of a training whose origin nobody states are not taken for counted ones."""
    found = trained(fake_run, said, training_energy_method=None)
    assert found.payback_method is None
    assert compression.pay_back(found) == "1 h of audio (origin not stated)"


def test_two_energies_of_one_training_are_none(fake_run: FakeRun, said: list[str]) -> None:
    """Rows that state different joules for one training give no pay-back point, and the table says why."""
    found = trained(fake_run, said, training_energy_j=[7200.0, 1.0])
    assert found.payback_audio_h is None
    assert compression.pay_back(found) == "not known: the rows state 7200.0 / 1.0 J for the training"


def test_mixed_values_can_be_written_as_json(row: Callable[..., dict[str, Any]]) -> None:
    """What a terminal prints as JSON has a mixed origin as text."""
    both = frame([row(energy_method="counter"), row(energy_method="estimated", repeat=1)])
    (line,) = terminal.figures(both)
    assert json.loads(json.dumps(line))["energy_method"] == "counter / estimated"
