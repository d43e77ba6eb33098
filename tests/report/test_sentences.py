"""What the numbers say in words: how a cell was repeated, why it does not rank, what the harness cost."""

from collections.abc import Callable

import pandas as pd
import pytest

from greenbench.analysis import references, summary
from greenbench.report import sentences, terminal

Rows = Callable[..., pd.DataFrame]


@pytest.mark.parametrize(
    ("n_rounds", "n_windows", "expected"),
    [
        (5, 5, "5 processes x 1 window"),
        (1, 3, "1 process x 3 windows"),
        (2, 6, "2 processes x 3 windows"),
        (2, 5, "5 windows in 2 processes"),
        (1, 1, "1 process x 1 window"),
    ],
)
def test_repeats_tell_processes_from_windows(n_rounds: int, n_windows: int, expected: str) -> None:
    """Fresh processes and windows inside one are told apart; an uneven cell, of which one died, says so."""
    assert sentences.repeats({"n_rounds": n_rounds, "n_repeats": n_windows}) == expected


def test_the_table_is_titled_with_what_its_medians_are_over(rows: Rows) -> None:
    """Cells that were repeated alike say how; others do not pretend."""
    alike = [{"round": n, "variant": v} for n in range(5) for v in "ab"]
    assert terminal.title(rows(*alike)) == "medians over 5 processes x 1 window"
    assert terminal.title(rows(*alike, {"variant": "c"})) == "medians over repeats"
    assert terminal.title(rows({"status": "error", "repeat": None})) == "nothing was measured"


def test_the_tally_says_how_cells_were_repeated(rows: Rows) -> None:
    """The page's first sentence has the structure of the repeats."""
    lines = summary.summary(rows(*({"repeat": n} for n in range(3))))
    assert sentences.tally(lines) == "Of 1 cell (1 process x 3 windows each), 1 can be ranked."


def test_a_line_that_does_not_rank_says_by_how_much(rows: Rows) -> None:
    """The small print has each flag's figures; a flag that has none stands alone."""
    frame = rows({"flags": ("not-warm", "unstable-text"), "flag_notes": ("CV 7.1 %", "")})
    (line,) = summary.summary(frame).to_dict("records")
    assert sentences.standing(line) == ("not ranked", "not-warm (CV 7.1 %), unstable-text")


def test_the_harness_tells_its_cost() -> None:
    """One line in units people read; a run of which it is not known has none."""
    known = {"harness_overhead": {"s_per_batch": 3.1e-7, "s_per_window": 0.0123}}
    assert sentences.harness(known) == (
        "adds 0.31 µs to the time of each batch; its meters take 12 ms at the edges of a window, outside its time"
    )
    assert sentences.harness({}) is None


def test_a_machine_tells_what_its_devices_reached() -> None:
    """A line a device; an earlier run has none."""
    told = {"peaks": {"cpu": {"macs_per_s": {"fp32": 1e11}}, "cuda": {"reason": "there is no cuda"}}}
    assert sentences.peaks(told) == [("cpu", "fp32 0.2 TFLOP/s"), ("cuda", "not measured: there is no cuda")]
    assert sentences.peaks({}) == []


def test_a_server_shows_the_rate_it_held_and_keeps_its_name(rows: Rows) -> None:
    """The table has the utterances a second beside the scenario; the cell's name, which runs share, has not."""
    frame = rows({"scenario": "server", "batch_size": 1, "server_rate_hz": 12.345}, {"scenario": "server"})
    held, missed = terminal.table(frame)[0], terminal.table(rows({"scenario": "server"}))[0]
    assert (held["scenario"], missed["scenario"]) == ("server 12.3/s", "server")
    assert {terminal.scenario(line) for line in summary.summary(frame).to_dict("records")} == {"server"}


def test_streaming_shows_the_median_of_the_final_text(rows: Rows) -> None:
    """Where there is no latency of an utterance, p50 is that from the last sample to the final text."""
    (line,) = terminal.table(rows({"scenario": "streaming", "batch_size": 1, "final_p50_s": 0.1204}))
    assert (line["scenario"], line["p50 ms"]) == ("streaming", "120")


@pytest.mark.parametrize(
    ("streams", "most", "shown"),
    [
        ("1", None, "streaming"),
        ("4", None, "streaming, 4 at once"),
        ("the most, p99 of chunks within 0.32 s", 12.0, "streaming, at most 12 at once"),
        ("the most, p99 of chunks within 0.32 s", None, "streaming"),
    ],
)
def test_streams_at_once_are_beside_the_scenario(rows: Rows, streams: str, most: float | None, shown: str) -> None:
    """As many as a suite asks for, or a search found; one stream is not worth a word, and an unknown number none."""
    row = {"scenario": "streaming", "batch_size": 1, "streams": streams, "max_streams": most}
    assert terminal.table(rows(row))[0]["scenario"] == shown


def test_servers_of_different_bounds_are_apart(rows: Rows) -> None:
    """What was asked of a server is part of the setting: another bound is another chart, and the label says which."""
    asked = [
        {"scenario": "server", "variant": v, "run_id": f"r{p}", "arrivals": f"p{p}"} for v in "ab" for p in (90, 99)
    ]
    labels = [setting.label for setting in summary.settings(summary.summary(rows(*asked)))]
    assert len(labels) == 2
    assert all("arrivals p9" in label for label in labels)


@pytest.mark.parametrize(
    ("steps", "told"),
    [("int8-dynamic", "base model"), (None, "base model"), ("layer-drop(keep=6)+distill", "teacher"),
     ("layer-drop+distill+int8-dynamic", "teacher"), ("undistilled", "base model")],
)  # fmt: skip
def test_a_teacher_is_only_of_what_was_distilled(steps: str | None, told: str) -> None:
    """What a quantised build is held against is its base model; a student's build has its student for one."""
    base = {"variant": "base", "steps": None, "parent": None}
    assert references.relation({"variant": "x", "steps": steps, "parent": "base"}, base) == told
    assert (
        references.relation({"variant": "y", "steps": "distill+bf16"}, {"variant": "x", "steps": "distill"})
        == "base model"
    )
