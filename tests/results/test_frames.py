"""Frames: what runs hold as tidy tables, with times in UTC and what was not measured as NaN."""

import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from greenbench.errors import StoreError
from greenbench.metrics import METRICS
from greenbench.provenance import PROVENANCE
from greenbench.results import frames, store
from greenbench.results.frames import load, load_hypotheses
from greenbench.results.record import columns
from greenbench.results.store import HYPOTHESES, append

from .cells import row


def test_load_is_tidy_and_typed(run: Path) -> None:
    """A frame has every column; what was not measured is NaN and numbers are numbers even if all are missing."""
    append(run, [row(None, "error")])
    frame = load(run)
    assert list(frame.columns) == columns()
    assert set(frame[list(METRICS)].dtypes.astype(str)) == {"float64"}
    assert set(frame[["batch_size", "round", "repeat"]].dtypes.astype(str)) == {"Int64"}
    assert frame["repeat"].isna().tolist() == [False, True]
    assert frame["wer"].isna().tolist() == [False, True]
    assert frame["energy_j"].isna().all()


def test_no_column_is_an_object_unless_text_or_list(run: Path) -> None:
    """Numbers, counts, times and what is true or false have types of their own, even where all are missing."""
    load_as = {"number": "float64", "whole": "Int64", "flag": "boolean", "time": "datetime64[ns, UTC]"}
    named = {name: load_as.get(column.kind, "object") for name, column in PROVENANCE.items()}
    keys = dict.fromkeys(("batch_size", "round", "repeat"), "Int64")
    expected = dict.fromkeys(columns(), "object") | dict.fromkeys(METRICS, "float64") | named | keys
    for frame in (load(run), load(run)[:0], frames.frame([])):
        assert frame.dtypes.astype(str).to_dict() == expected
    texts = [*("run_id", "variant", "dataset", "device", "scenario", "status", "reason"), "flags", "flag_notes"]
    assert {name for name in expected if expected[name] == "object"} - {*texts} == {
        name for name, column in PROVENANCE.items() if column.kind == "text"
    }


@pytest.mark.parametrize("text", ["now", "yesterday", "2026-11-27T00:02:17", "9999-12-31T23:59:59+00:00", None])
def test_what_is_no_time_is_missing(text: str | None) -> None:
    """A time without its zone, one out of reach, and a word that pandas reads as the present are no times."""
    told = [{**row(), "timestamp_utc": when} for when in (text, "2026-11-27T01:02:17+01:00")]
    assert frames.frame(told)["timestamp_utc"].tolist() == [pd.NaT, pd.Timestamp("2026-11-27T00:02:17", tz="UTC")]


ENTRIES = Path(__file__).parents[2] / "results" / "entries"


@pytest.mark.parametrize("entry", sorted(path.name for path in ENTRIES.glob("*.zip")))
def test_committed_rows_read_back_as_they_were_written(entry: str, tmp_path: Path) -> None:
    """From rows and from their frame the same bytes are written again; columns that came later are missing."""
    with zipfile.ZipFile(ENTRIES / entry) as archive:
        archive.extractall(tmp_path)
    (path,) = tmp_path.glob("*/records.jsonl")
    written = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = list(store.read_rows(path))
    append(tmp_path, ({name: row[name] for name in own} for row, own in zip(rows, written, strict=True)))
    assert (tmp_path / store.RECORDS).read_bytes() == path.read_bytes()
    found = frames.frame(rows)
    texts = found.assign(timestamp_utc=found["timestamp_utc"].map(pd.Timestamp.isoformat)).astype(object)
    again = texts.where(found.notna(), None).to_dict("records")
    assert again == [dict.fromkeys(columns()) | own for own in written]
    exact = [*store.KEYS, *(name for name in PROVENANCE if name in written[0])]
    assert json.dumps([[row[name] for name in exact] for row in again]) == json.dumps(
        [[own[name] for name in exact] for own in written]
    )


def test_load_a_parent_of_runs(run: Path) -> None:
    """A parent's frame holds the rows of every run below it, however deep, each run's replaced rows left out."""
    deeper = run.parent / "deep" / "run-2"
    store.write_run(deeper, {"run_id": "r"})
    append(deeper, [row(0, wer=0.5), row(0, wer=0.6)])
    assert sorted(load(run.parent)["wer"]) == [0.1, 0.6]
    assert load(str(deeper))["wer"].tolist() == [0.6]


def test_a_run_without_rows_is_an_empty_frame(tmp_path: Path) -> None:
    """A run that was just begun loads as no rows with every column."""
    store.write_run(tmp_path, {})
    assert load(tmp_path).empty
    assert list(load(tmp_path).columns) == columns()


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_load_where_no_run_is(tmp_path: Path, name: str) -> None:
    """A folder without runs, or none at all, is an error, not an empty result."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match=f"{name}: no runs here"):
        load(tmp_path / name)


def test_hypotheses_of_a_resumed_run(run: Path) -> None:
    """Texts come back with the row's keys; those of a repeat that was measured again are the later ones."""
    key = {name: row()[name] for name in store.KEYS}
    for text in ("OLD", "NEW"):
        append(run, [{**key, "utterance_id": u, "reference": "R", "hypothesis": text} for u in ("a", "b")], HYPOTHESES)
    append(run, [{**key, "repeat": 1, "utterance_id": "a", "reference": "R", "hypothesis": "OTHER"}], HYPOTHESES)
    frame = load_hypotheses(run.parent)
    assert list(frame.columns[: len(key)]) == list(key)
    assert frame[["repeat", "utterance_id", "hypothesis"]].to_numpy().tolist() == [
        [0, "a", "NEW"],
        [0, "b", "NEW"],
        [1, "a", "OTHER"],
    ]
    assert load_hypotheses(run.parent / "none").empty


def sampled(folder: Path, *lines: dict | str) -> None:
    """Append lines to a run's trace as the poller does."""
    with (folder / store.POWER).open("a") as stream:
        stream.writelines((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)


def test_samples_are_in_utc_whatever_clock_they_were_on(run: Path) -> None:
    """Each poller of a run maps its own clock; a sensor that was silent is NaN."""
    sampled(
        run, {"header": {"t_s": 100.0, "utc_s": 1e9, "period_s": 0.1}}, {"t_s": 101.0, "a.power_w": 5.0}, {"t_s": 102.5}
    )
    sampled(
        run, {"header": {"t_s": 3.0, "utc_s": 2e9, "period_s": 0.1}}, {"t_s": 3.0, "a.power_w": 7.0}
    )  # started anew
    frame = frames.load_power(run.parent)
    assert frame["utc_s"].tolist() == [1e9 + 1, 1e9 + 2.5, 2e9]
    assert frame["session"].tolist() == [1, 1, 2]
    assert set(frame["run_id"]) == {"r"}
    assert frame["a.power_w"].fillna(-1).tolist() == [5, -1, 7]


def test_power_is_derived_from_counters(run: Path) -> None:
    """Watts are microjoules over seconds, within one poller; at a wrap they are unknown, not negative."""
    counter = "rapl.package-0.energy_uj"
    joules = [(10.0, 1.0), (10.5, 6.0), (11.0, 8.0), (11.5, 0.5), (12.5, 20.5)]
    header = {"header": {"t_s": 0.0, "utc_s": 1e9, "period_s": 0.1}}
    sampled(run, header, *({"t_s": t, counter: int(j * 1e6)} for t, j in joules), header, {"t_s": 13.0, counter: 10**9})
    watts = frames.load_power(run)["rapl.package-0.power_w"]
    assert watts.fillna(-1).tolist() == pytest.approx([-1, 10, 4, -1, 20, -1])


def test_a_run_without_samples_has_an_empty_trace(run: Path) -> None:
    """Where nothing was sampled the frame is empty and has its columns."""
    assert frames.load_power(run).columns.tolist() == ["run_id", "session", "utc_s"]
    assert len(frames.load_windows(run)) == 0


def test_every_segment_of_a_window_is_a_row(run: Path) -> None:
    """Windows come back in UTC, each stretch by itself, with the key of its row."""
    key = {name: row()[name] for name in store.KEYS}
    edges = {"kind": "window", **key, "segments": [[10, 12], [20, 21.5]], "t_s": 30.0, "utc_s": 1e9 + 30}
    append(run, [edges], store.WINDOWS)
    frame = frames.load_windows(run)
    assert frame[["start_utc_s", "end_utc_s"]].to_numpy().tolist() == [[1e9 + 10, 1e9 + 12], [1e9 + 20, 1e9 + 21.5]]
    assert frame[list(key)].iloc[0].to_dict() == key
