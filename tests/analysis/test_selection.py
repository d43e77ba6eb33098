"""What a side of a comparison names, and what is said when it names nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from greenbench.analysis.selection import select
from greenbench.errors import InputError
from greenbench.results import store

FakeRun = Callable[..., Path]
TWO = [{"variant": "family/teacher"}, {"variant": "family/teacher+int8"}, {"variant": "file:models/x"}]


@pytest.fixture
def results(fake_run: FakeRun) -> Path:
    """Three runs; the one that began last sorts first by name."""
    fake_run("b-first", *TWO, started_utc="2025-01-01T00:00:00+00:00")
    fake_run("c-second", *TWO, started_utc="2025-01-02T00:00:00+00:00")
    return fake_run("a-third", *TWO, started_utc="2025-01-03T00:00:00+00:00").parent


def run_of(name: str, results: Path) -> str:
    return select(name, results).rows[0]["run_id"]


@pytest.mark.parametrize(
    ("name", "run"),
    [("latest", "a-third"), ("latest~0", "a-third"), ("latest~2", "b-first"), ("c-second", "c-second")],
)
def test_runs_are_named_by_start_or_name(results: Path, name: str, run: str) -> None:
    """`latest` goes by the time at which runs began, and a run under results needs no path."""
    assert run_of(name, results) == run


def test_a_place_is_a_run_a_parent_of_one_or_a_file(results: Path, tmp_path: Path) -> None:
    """A run's folder, a folder that holds one run somewhere, and its file of rows name the same."""
    (tmp_path / "parent").mkdir()
    (results / "c-second").rename(tmp_path / "parent" / "run")
    sides = [select(str(tmp_path / "parent" / rest)) for rest in ("run", "", "run/records.jsonl")]
    assert len({side.rows[0]["run_id"] for side in sides} | {side.texts for side in sides}) == 2
    assert all(len(side.rows) == 3 for side in sides)


@pytest.mark.parametrize(
    ("glob", "chosen", "named"),
    [
        ("family/teacher", {"family/teacher"}, "family/teacher"),
        ("*+int8", {"family/teacher+int8"}, "family/teacher+int8"),
        ("family/*", {"family/teacher", "family/teacher+int8"}, None),
        ("file:models/x", {"file:models/x"}, "file:models/x"),
    ],
)
def test_variants_are_chosen_by_name_or_glob(results: Path, glob: str, chosen: set[str], named: str | None) -> None:
    """A name means that variant alone, a glob all that match; only a single one can be the baseline of others."""
    side = select(f"latest~1:{glob}", results)
    assert {row["variant"] for row in side.rows} == chosen
    assert side.variant == named


def test_a_whole_run_names_no_variant(fake_run: FakeRun) -> None:
    """A run that holds one variant is not thereby the baseline of all others."""
    assert select(str(fake_run("one", {"variant": "a"}))).variant is None


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("latest~7", "latest~7: 3 runs are under"),
        ("lattest", "Did you mean 'latest'?"),
        ("c-secnd", "Did you mean 'c-second'?"),
        ("latest:family/techer", "Did you mean 'family/teacher'?"),
        (".", "3 runs are here, one was expected. Name one of:"),
    ],
)
def test_what_names_nothing_is_one_clear_line(results: Path, name: str, says: str) -> None:
    """A wrong name is refused, and the message has what there is."""
    with pytest.raises(InputError, match=".") as refused:
        select(name if name != "." else str(results), results)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_other_files_are_refused(results: Path, tmp_path: Path) -> None:
    """A file of something else, two runs in one file, or a run without rows are no side of a comparison."""
    run = results / "a-third"
    other = tmp_path / "other.jsonl"
    other.write_text('{"a": 1}\n')
    with pytest.raises(InputError, match="not rows of a run"):
        select(str(other))
    both = tmp_path / "both.jsonl"
    both.write_text("".join((results / name / store.RECORDS).read_text() for name in ("a-third", "b-first")))
    with pytest.raises(InputError, match="rows of 2 runs"):
        select(str(both))
    (run / store.RECORDS).unlink()
    with pytest.raises(InputError, match="holds no rows yet"):
        select(str(run))
