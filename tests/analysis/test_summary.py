"""The summary and the ranking rules."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from greenbench.analysis import summary
from greenbench.analysis.summary import ENERGY
from greenbench.report import leaders

Rows = Callable[..., pd.DataFrame]


def test_summary_takes_medians_over_repeats_and_rounds(rows: Rows) -> None:
    """One line a cell: median, least and most over repeats and rounds, and not the mean."""
    lines = summary.summary(rows({"rtfx": 1.0}, {"rtfx": 2.0, "repeat": 1}, {"rtfx": 9.0, "round": 1}))
    assert len(lines) == 1
    line = lines.iloc[0]
    assert (line["rtfx"], line["rtfx_min"], line["rtfx_max"], line["n_repeats"]) == (2.0, 1.0, 9.0, 3)
    assert line["rtfx_values"] == (1.0, 2.0, 9.0)


def test_summary_keeps_missing_missing(rows: Rows) -> None:
    """What no repeat measured stays missing and does not become 0."""
    line = summary.summary(rows({"wer": 0.1})).iloc[0]
    assert np.isnan(line[ENERGY])
    assert line[f"{ENERGY}_values"] == ()


def test_summary_ignores_failed_rows_but_tells_of_them(rows: Rows) -> None:
    """A round that died changes no median, and is counted with its reason."""
    lines = summary.summary(
        rows({"rtfx": 2.0}, {"status": "error", "reason": "killed", "round": 1, "repeat": None, "rtfx": 99.0})
    )
    line = lines.iloc[0]
    assert (line["status"], line["rtfx"], line["n_failed"], line["reason"]) == ("ok", 2.0, 1, "killed")


def test_summary_of_a_cell_that_never_worked_has_its_reason(rows: Rows) -> None:
    """A skipped cell stays skipped, and one that died is an error, each with its reason."""
    lines = summary.summary(
        rows(
            {"variant": "a", "status": "skipped", "reason": "no GPU", "repeat": None},
            {"variant": "b", "status": "error", "reason": "killed", "repeat": None},
        )
    )
    assert lines["status"].tolist() == ["skipped", "error"]
    assert lines["reason"].tolist() == ["no GPU", "killed"]


def test_summary_unites_flags(rows: Rows) -> None:
    """A flag on one repeat flags the cell."""
    lines = summary.summary(rows({"flags": ("short-window",)}, {"repeat": 1}))
    assert lines.iloc[0]["flags"] == ["short-window"]
    assert not summary.rankable(lines).iloc[0]


def test_summary_tells_the_figures_behind_a_flag(rows: Rows) -> None:
    """Each flag has the first figures that raised it, and in how many windows where that is not all of them."""
    lines = summary.summary(
        rows(
            {"flags": ("short-window", "foreign-load"), "flag_notes": ("1 s", "20 %")},
            {"flags": ("short-window",), "flag_notes": ("1.5 s",), "repeat": 1},
            {"flags": ("short-window",), "repeat": 2},
        )
    )
    line = lines.iloc[0]
    assert line["flags"] == ["foreign-load", "short-window"]
    assert line["flag_notes"] == ["in 1 of 3 windows: 20 %", "1 s"]


@pytest.mark.parametrize(("second", "flags"), [(1.15, []), (1.16, ["spread"])])
def test_summary_flags_repeats_that_disagree(rows: Rows, second: float, flags: list[str]) -> None:
    """A coefficient of variation over 10 % makes a cell unfit, although each row by itself is fit."""
    frame = rows({"rtfx": 1.0}, {"rtfx": second, "round": 1})
    line = summary.summary(frame).iloc[0]
    assert line["flags"] == flags
    assert summary.rankable(frame).all()


def test_summary_flags_a_cell_of_too_few_windows(rows: Rows) -> None:
    """A cell of which a round died, or is still to come, has not met its protocol; one that gave nothing has failed."""
    lost = {"status": "error", "reason": "killed", "repeat": None, "round": 2}
    line = summary.summary(rows({"n_windows": 3}, {"n_windows": 3, "round": 1}, lost)).iloc[0]
    assert (line["flags"], line["flag_notes"]) == (["few-repeats"], ["2 of 3 windows"])
    assert summary.summary(rows(lost | {"n_windows": 3})).iloc[0]["flags"] == []


def test_summary_keeps_rounds_and_repeats_apart(rows: Rows) -> None:
    """Two processes of two windows are not four processes: both counts are kept."""
    line = summary.summary(rows(*({"round": r, "repeat": n, "rtfx": 1.0} for r in (0, 1) for n in (0, 1)))).iloc[0]
    assert (line["n_rounds"], line["n_repeats"]) == (2, 4)


def test_summary_keeps_data_sets_apart(rows: Rows) -> None:
    """Cells that differ in one key column are not averaged."""
    assert len(summary.summary(rows({"wer": 0.1, "dataset": "x"}, {"wer": 0.3, "dataset": "y"}))) == 2


def test_rankable_takes_estimates_and_no_other_flag(rows: Rows) -> None:
    """Only ok rows without a flag, or with that of an estimate alone, may be ranked."""
    frame = rows(
        {},
        {"flags": ("energy-estimated",)},
        {"flags": ("energy-estimated", "short-window")},
        {"flags": ("made-up-tomorrow",)},
        {"status": "error"},
    )
    assert summary.rankable(frame).tolist() == [True, True, False, False, False]


def test_rankable_bears_rows_without_flags() -> None:
    """A row whose flags were stored as null is clean."""
    frame = pd.DataFrame({"status": ["ok", "ok"], "flags": [None, float("nan")]})
    assert summary.rankable(frame).all()


def lead(rows: pd.DataFrame, metric: str) -> list[tuple[str, int]]:
    (setting,) = summary.settings(summary.summary(rows))
    return [(str(x.line["variant"]), x.n_ranked) for x in leaders.leaders(setting.lines, metric)]


def test_leader_is_not_a_flagged_row(rows: Rows) -> None:
    """The best number does not lead where its row carries a flag."""
    frame = rows(
        {"wer": 0.01, "flags": ("synthetic-weights",)}, {"variant": "b", "wer": 0.2}, {"variant": "c", "wer": 0.3}
    )
    assert lead(frame, "wer") == [("b", 2)]


def test_leader_in_rtfx_is_the_highest(rows: Rows) -> None:
    """Where higher is better, the highest leads."""
    assert lead(rows({"rtfx": 5.0}, {"variant": "b", "rtfx": 7.0}), "rtfx") == [("b", 2)]


def test_measured_and_estimated_energy_have_leaders_apart(
    rows: Rows, measured: dict[str, str], estimate: dict[str, str]
) -> None:
    """A lower estimate does not beat a measurement: each kind has its own leader."""
    frame = rows({ENERGY: 5.0, **measured}, {"variant": "b", ENERGY: 1.0, "flags": ("energy-estimated",), **estimate})
    assert lead(frame, ENERGY) == [("a", 1), ("b", 1)]


def test_energies_of_different_scope_have_leaders_apart(rows: Rows, measured: dict[str, str]) -> None:
    """An energy without the memory's share does not beat one with it."""
    frame = rows({ENERGY: 5.0, **measured, "energy_scope": "cpu+dram"}, {"variant": "b", ENERGY: 4.0, **measured})
    assert lead(frame, ENERGY) == [("a", 1), ("b", 1)]


def test_a_line_outside_the_gate_leads_in_wer_alone(rows: Rows) -> None:
    """A student whose WER the gate rejects is ranked by its WER, and not by its speed or energy."""
    lines = summary.summary(
        rows({"rtfx": 1.0, "wer": 0.2}, {"variant": "b", "rtfx": 9.0, "wer": 0.1}),
        {("r1", "b", "d", "cpu", "offline", 1): "outside the WER margin"},
    )
    (setting,) = summary.settings(lines)
    leads = {m: [(x.line["variant"], x.n_ranked) for x in leaders.leaders(setting.lines, m)] for m in ("wer", "rtfx")}
    assert leads == {"wer": [("b", 2)], "rtfx": [("a", 1)]}


def test_overlapping_intervals_are_named_as_rivals(rows: Rows) -> None:
    """A leader by less than the intervals' overlap has its rival named; one clearly behind is not."""
    frame = rows(
        {"wer": 0.10, "wer_ci_low": 0.08, "wer_ci_high": 0.12},
        {"variant": "b", "wer": 0.11, "wer_ci_low": 0.09, "wer_ci_high": 0.13},
        {"variant": "c", "wer": 0.30, "wer_ci_low": 0.28, "wer_ci_high": 0.32},
    )
    (setting,) = summary.settings(summary.summary(frame))
    assert leaders.leaders(setting.lines, "wer")[0].rivals == ("b",)


@pytest.mark.parametrize(
    "column", ["scorer", "normalizer", "timed_region", "data_hash", "batching", "device_name", "protocol"]
)
def test_rows_measured_differently_are_never_in_one_setting(rows: Rows, column: str) -> None:
    """Rows that differ in how they were measured are apart, and the settings' names say in what."""
    found = summary.settings(summary.summary(rows({column: "one"}, {"variant": "b", column: "two"})))
    assert [setting.lines["variant"].tolist() for setting in found] == [["a"], ["b"]]
    name = column.replace("_", " ")
    assert [setting.label.split(" · ")[-1] for setting in found] == [f"{name} one", f"{name} two"]


def test_threads_keep_rows_apart_and_repeats_do_not(rows: Rows) -> None:
    """Two threads never share a chart with four, three repeats may with five; integers stay integers."""
    apart = summary.settings(summary.summary(rows({"threads": 2}, {"variant": "b", "threads": 4})))
    assert [setting.label.split(" · ")[-1] for setting in apart] == ["threads 2", "threads 4"]
    other = {"variant": "b", "protocol": "quick(repeats=5)"}
    assert len(summary.settings(summary.summary(rows({}, other)))) == 1


def test_a_variant_of_two_runs_has_two_names(rows: Rows) -> None:
    """The same variant from two runs is two lines that can be told apart."""
    (setting,) = summary.settings(summary.summary(rows({}, {"run_id": "r2"})))
    assert setting.lines["label"].tolist() == ["a · r1", "a · r2"]


def test_energy_origin_names_method_and_source(rows: Rows, estimate: dict[str, str]) -> None:
    """An energy says how and from what it was read; its details add scope and note."""
    line = summary.summary(rows({ENERGY: 1.0, **estimate})).iloc[0].to_dict()
    assert summary.energy_origin(line) == "CPU estimated (codecarbon-tdp)"
    assert summary.energy_details(line) == "CPU estimated (codecarbon-tdp); scope cpu; CPU: TDP 65 W"
