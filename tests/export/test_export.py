"""Exporting: a table of formats, one file or several, and one line for every mistake."""

from collections.abc import Callable
from pathlib import Path

import pytest

from greenbench.errors import InputError, StoreError
from greenbench.export import FORMATS, write

FILES = [name for name, form in FORMATS.items() if not form.is_store]


@pytest.mark.parametrize("form", FILES)
def test_every_format_writes_something(form: str, results: Path, tmp_path: Path) -> None:
    """Each format of the table makes files of the name given, in a folder that need not be there."""
    pytest.importorskip("pyarrow") if form == "parquet" else None
    paths = write(results, form, tmp_path / "new" / "out.json")
    assert paths
    assert all(path.parent.name == "new" and path.name.startswith("out") and path.suffix == ".json" for path in paths)
    assert all(path.stat().st_size > 0 for path in paths)


@pytest.mark.parametrize("form", FILES)
def test_failed_rows_are_no_numbers(form: str, make: Callable[..., Path], tmp_path: Path) -> None:
    """Results of failures alone have rows, and nothing in any format that is about a figure."""
    pytest.importorskip("pyarrow") if form == "parquet" else None
    results = make({"status": "error", "repeat": None})
    if form in ("csv", "parquet"):
        assert write(results, form, tmp_path / "out")
    else:
        with pytest.raises(InputError, match=f"no row here has what --format {form} needs"):
            write(results, form, tmp_path / "out")


@pytest.mark.parametrize("form", FILES)
def test_several_runs_make_several_files_where_a_file_is_of_one_run(
    form: str, make: Callable[..., Path], tmp_path: Path
) -> None:
    """Tables take all runs together; what describes one session is a file for each."""
    pytest.importorskip("pyarrow") if form == "parquet" else None
    make({}, run_id="r1")
    names = {path.name for path in write(make({}, run_id="r2"), form, tmp_path / "out.x")}
    expected = {"out.r1.x", "out.r2.x"} if FORMATS[form].per_run else {"out.x"}
    parts = [f"out.{run}.{part}.x" for run in ("r1", "r2") for part in ("smaller", "bigger")]
    assert names == (set(parts) if form == "github-benchmark" else expected)


def test_bad_input_is_one_line(results: Path, tmp_path: Path) -> None:
    """An unknown format, a folder without runs and a file that cannot be written each say so."""
    with pytest.raises(InputError, match="--format pytest-bench: unknown. Did you mean 'pytest-benchmark'"):
        write(results, "pytest-bench", tmp_path / "out")
    with pytest.raises(StoreError, match="no runs here"):
        write(tmp_path / "nowhere", "csv", tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        write(results, "csv", tmp_path / "file" / "out.csv")
