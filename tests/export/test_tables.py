"""Tables: every row and column survives the way through CSV and Parquet, the missing ones as missing."""

import sys
from pathlib import Path

import pandas as pd
import pytest

from greenbench import store
from greenbench.errors import InputError
from greenbench.export import write
from greenbench.record import columns


def test_csv_has_every_row_and_column(results: Path, tmp_path: Path) -> None:
    """Numbers come back exactly, counts without a fraction, and what is unknown is empty, never 0."""
    (path,) = write(results, "csv", tmp_path / "out.csv")
    read, rows = pd.read_csv(path), store.load(results)
    assert list(read.columns) == columns()
    assert read["rtfx"].tolist()[:3] == rows["rtfx"].tolist()[:3]
    assert read["flags"].fillna("").tolist() == ["", "", "energy-estimated", ""]
    text = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert text["peak_rss_bytes"].tolist() == ["123456789"] * 3 + [""]
    assert text["energy_dram_j"].tolist() == ["9.0", "9.0", "", ""]
    assert text["reason"].tolist() == ["", "", "", "it broke"]


def test_parquet_keeps_types(results: Path, tmp_path: Path) -> None:
    """Counts are integers, flags are lists and what is unknown is null."""
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    (path,) = write(results, "parquet", tmp_path / "out.parquet")
    read, rows = pd.read_parquet(path), store.load(results)
    assert list(read.columns) == columns()
    assert read["peak_rss_bytes"].dtype == "Int64"
    assert read["peak_rss_bytes"].isna().tolist() == [False] * 3 + [True]
    assert [list(flags) for flags in read["flags"]] == rows["flags"].tolist()
    assert read["energy_j"].tolist()[:3] == [36.0, 36.0, 27.0]


def test_parquet_without_its_library_says_what_to_install(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library behind Parquet is optional; without it there is one line with the command."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'greenbench\[parquet\]'"):
        write(results, "parquet", tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()
