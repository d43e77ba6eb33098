"""Tables: every row and column survives the way through CSV and Parquet, the missing ones as missing."""

import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from greenbench.analysis.gains import GAINED
from greenbench.errors import MissingError
from greenbench.export import write
from greenbench.results import frames
from greenbench.results.record import columns


def test_csv_has_every_row_and_column(results: Path, tmp_path: Path) -> None:
    """Numbers come back exactly, counts without a fraction, and what is unknown is empty, never 0."""
    (path,) = write(results, "csv", tmp_path / "out.csv")
    read, rows = pd.read_csv(path), frames.load(results)
    assert list(read.columns) == [*columns(), *GAINED]
    assert read["rtfx"].tolist()[:3] == rows["rtfx"].tolist()[:3]
    assert read["flags"].fillna("").tolist() == ["", "", "energy-estimated", ""]
    text = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert text["peak_rss_bytes"].tolist() == ["123456789"] * 3 + [""]
    assert text["energy_dram_j"].tolist() == ["9.0", "9.0", "", ""]
    assert text["reason"].tolist() == ["", "", "", "it broke"]


def test_csv_writes_values_as_the_rows_have_them(make: Callable[..., Path], tmp_path: Path) -> None:
    """Counts, times and what is true or false read as in ``records.jsonl``; a text that is no time is not there."""
    stated = {"threads": 2, "synthetic": True, "warmup_s": 0.25, "timestamp_utc": "2026-11-27T00:02:17+00:00"}
    unknown = dict.fromkeys(stated) | {"variant": "b", "timestamp_utc": "now"}
    (path,) = write(make(stated, unknown), "csv", tmp_path / "out.csv")
    text = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert text[list(stated)].to_numpy().tolist() == [["2", "True", "0.25", "2026-11-27T00:02:17+00:00"], [""] * 4]


def test_bytes_that_are_not_whole_are_written_as_they_are(make: Callable[..., Path], tmp_path: Path) -> None:
    """A foreign row may have half a byte, or more than an integer holds: neither ends an export."""
    rows = make({"model_bytes": 0.5, "peak_rss_bytes": 1e19}, {"variant": "b", "model_bytes": 400})
    (path,) = write(rows, "csv", tmp_path / "out.csv")
    assert pd.read_csv(path, dtype=str)[["model_bytes", "peak_rss_bytes"]].to_numpy().tolist() == [
        ["0.5", "1e+19"], ["400.0", "123456789.0"],
    ]  # fmt: skip


def test_rows_of_a_student_carry_what_it_gained(fake_run: Callable[..., Path], said: list[str], tmp_path: Path) -> None:
    """Each of its rows has its teacher, the factors and the difference of WER; the teacher's have none."""
    teacher = {"variant": "t", "heard": said, "rounds": [{"rtfx": 10.0, "model_bytes": 400}] * 3}
    student = {"variant": "s", "heard": said, "rounds": [{"rtfx": 20.0, "model_bytes": 100}] * 3, "parent": "t"}
    (path,) = write(fake_run("r", teacher, student), "csv", tmp_path / "out.csv")
    read = pd.read_csv(path).set_index("variant")
    assert (
        read.loc["s", ["teacher", "size_gain", "speed_gain", "wer_difference"]].values.tolist() == [["t", 4, 2, 0]] * 3
    )
    assert read.loc["t", list(GAINED)].isna().all(axis=None)


def test_parquet_keeps_types(results: Path, tmp_path: Path) -> None:
    """Counts are integers, flags are lists and what is unknown is null."""
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    (path,) = write(results, "parquet", tmp_path / "out.parquet")
    read, rows = pd.read_parquet(path), frames.load(results)
    assert list(read.columns) == [*columns(), *GAINED]
    assert read["peak_rss_bytes"].dtype == "Int64"
    assert read["peak_rss_bytes"].isna().tolist() == [False] * 3 + [True]
    assert [list(flags) for flags in read["flags"]] == rows["flags"].tolist()
    assert read["energy_j"].tolist()[:3] == [36.0, 36.0, 27.0]


def test_parquet_without_its_library_says_what_to_install(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library behind Parquet is optional; without it there is one line with the command."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingError, match=r"pip install 'greenbench\[parquet\]'"):
        write(results, "parquet", tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()
