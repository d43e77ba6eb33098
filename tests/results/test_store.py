"""The store: what was measured is never lost, never mixed up and never changed by a failure."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from greenbench.errors import StoreError, UnsavedError
from greenbench.results import store
from greenbench.results.record import KEYS
from greenbench.results.store import RECORDS, append, current

from .cells import row


@contextmanager
def full_after(n_bytes: int) -> Iterator[None]:
    """Let the kernel take only so many bytes into any file, as a disk does that is nearly full."""
    resource = pytest.importorskip("resource", reason="this system cannot limit file sizes")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- appending -------------------------------------------------------------------------------------------


def test_rows_are_lines_in_order(run: Path) -> None:
    """Each row is one line of JSON after those that were there."""
    append(run, [row(1), row(2)])
    lines = (run / RECORDS).read_text().splitlines()
    assert [json.loads(line)["repeat"] for line in lines] == [0, 1, 2]


def test_nan_never_reaches_the_file(run: Path) -> None:
    """A number that JSON does not know is refused before anything is written."""
    before = (run / RECORDS).read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        append(run, [row(1), row(2, wer=float("nan"))])
    assert (run / RECORDS).read_bytes() == before


@pytest.mark.parametrize("torn", [b'{"run_id": "r", "va', '{"run_id": "é'.encode()[:-1]])
def test_a_torn_line_costs_nobody_else(run: Path, torn: bytes) -> None:
    """A line that a crash tore off, even inside a character, is ended first and skipped with its number."""
    with (run / RECORDS).open("ab") as stream:
        stream.write(torn)
    append(run, [row(1)])
    with pytest.warns(UserWarning, match=f"{RECORDS}:2: torn line skipped"):
        found = list(store.read_rows(run / RECORDS))
    assert [r["repeat"] for r in found] == [0, 1]


def test_a_line_without_its_end_is_kept(run: Path) -> None:
    """A whole row whose line end is missing still counts, and the next one gets a line of its own."""
    path = run / RECORDS
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    append(run, [row(1)])
    assert [r["repeat"] for r in store.read_rows(path)] == [0, 1]


@pytest.mark.parametrize("room", [0, 1, 500])
def test_a_full_disk_changes_nothing(run: Path, room: int) -> None:
    """Where the disk takes a part of the rows only, the file is as before and the error carries all rows."""
    before = (run / RECORDS).read_bytes()
    with full_after(len(before) + room), pytest.raises(UnsavedError, match=r"cannot append.*--resume") as caught:
        append(run, [row(1), row(2)])
    assert (run / RECORDS).read_bytes() == before
    assert [json.loads(line) for line in caught.value.unsaved.splitlines()] == [row(1), row(2)]


def test_a_disk_that_is_full_only_when_flushed(run: Path, monkeypatch) -> None:
    """Where the disk takes the bytes and refuses to flush them, the file is as before too."""
    before = (run / RECORDS).read_bytes()

    def refuse(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UnsavedError, match="No space left"):
        append(run, [row(1)])
    assert (run / RECORDS).read_bytes() == before


def test_after_a_full_disk_the_rows_can_still_go_in(run: Path) -> None:
    """What an error carries is what the file would have held."""
    with full_after(0), pytest.raises(UnsavedError) as caught:
        append(run, [row(1)])
    append(run, map(json.loads, caught.value.unsaved.splitlines()))
    assert [r["repeat"] for r in store.read_rows(run / RECORDS)] == [0, 1]


def test_rows_for_a_folder_that_is_gone(tmp_path: Path) -> None:
    """A results folder that vanished is an error that carries the rows."""
    with pytest.raises(UnsavedError) as caught:
        append(tmp_path / "gone", [row()])
    assert json.loads(caught.value.unsaved) == row()


# --- run.json --------------------------------------------------------------------------------------------


def test_run_json_comes_back(tmp_path: Path) -> None:
    """What describes a run is read back as written, with the schema's version, and no scratch file stays."""
    store.write_run(tmp_path / "a" / "b", {"run_id": "é"})
    assert store.read_run(tmp_path / "a" / "b") == {"schema": 1, "run_id": "é"}
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["run.json"]


def test_run_json_can_learn_more(tmp_path: Path) -> None:
    """What is known only later is added, and what was known stays."""
    store.write_run(tmp_path / "r", {"run_id": "r", "name": "n"})
    store.amend_run(store.open_run(tmp_path / "r"), harness_overhead={"s_per_batch": 1e-6})
    known = store.read_run(tmp_path / "r")
    assert (known["name"], known["harness_overhead"]) == ("n", {"s_per_batch": 1e-6})


def test_a_run_is_open_as_it_was_read(tmp_path: Path) -> None:
    """The handle knows the run without its file, and one that is amended states what is new; the old one does not."""
    store.write_run(tmp_path / "r", {"run_id": "r", "suite": {"protocol": {"use": "quick", "repeats": 2}}})
    run = store.open_run(tmp_path / "r")
    first = store.amend_run(run, harness_overhead={"s_per_batch": 1e-6})
    both = store.amend_run(first, control={})
    (tmp_path / "r" / store.RUN).rename(tmp_path / "kept.json")
    assert (run.id, run.folder, store.protocol_of(run).repeats) == ("r", tmp_path / "r", 2)
    assert ["harness_overhead" in one.description for one in (run, first, both)] == [False, True, True]
    assert json.loads((tmp_path / "kept.json").read_text()) == both.description


@pytest.mark.parametrize(
    ("suite", "why"),
    [
        ({}, "suite.protocol: it is not stated"),
        ({"suite": {}}, "suite.protocol: it is not stated"),
        ({"suite": {"protocol": {"use": "qick"}}}, "suite.protocol: unknown protocol 'qick'"),
    ],
)
def test_a_run_without_a_protocol_is_refused_by_place(tmp_path: Path, suite: dict[str, Any], why: str) -> None:
    """What run.json does not state, or states in words that this version does not know, is an error of the file."""
    store.write_run(tmp_path / "r", {"run_id": "r", **suite})
    with pytest.raises(StoreError, match=re.escape(f"{tmp_path / 'r' / store.RUN}: {why}")):
        store.protocol_of(store.open_run(tmp_path / "r"))


def test_runs_are_ordered_by_their_start(tmp_path: Path) -> None:
    """Wherever a run lies and whatever it is called, the one that began last is the latest; names settle a tie."""
    for name, started in (("z", "2026-01-01"), ("deep/a", "2026-03-01"), ("b", "2026-03-01"), ("m", "2026-02-01")):
        store.write_run(tmp_path / name, {"run_id": name.replace("/", "-"), "started_utc": started})
    assert [run.folder for run in store.by_start(tmp_path)] == [tmp_path / name for name in ("z", "m", "b", "deep/a")]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A run that cannot be created is one line with the remedy."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file: cannot write run.json: .* Choose another --out"):
        store.write_run(tmp_path / "file", {})


@pytest.mark.parametrize("content", [None, b"{", b"\xff"])
def test_a_folder_that_is_no_run(tmp_path: Path, content: bytes | None) -> None:
    """A folder without a readable run.json is refused by name."""
    if content is not None:
        (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(StoreError, match="not a run"):
        store.read_run(tmp_path)


# --- which rows stand ------------------------------------------------------------------------------------

OLD, NEW, FIRST, ERROR = row(0, wer=0.1), row(0, wer=0.2), row(1, wer=0.3), row(None, "error")


@pytest.mark.parametrize(
    ("rows", "standing"),
    [
        ([OLD, FIRST], [OLD, FIRST]),
        ([OLD, FIRST, NEW], [FIRST, NEW]),
        ([OLD, ERROR], [OLD, ERROR]),
        ([ERROR, ERROR], [ERROR]),
        ([ERROR, NEW], [NEW]),
        ([OLD, ERROR, NEW], [NEW]),
        ([ERROR, NEW, ERROR], [NEW, ERROR]),
        ([row(None, "skipped"), NEW], [NEW]),
        ([], []),
    ],
)
def test_the_last_word_on_a_cell_stands(rows: list[dict], standing: list[dict]) -> None:
    """A resumed repeat replaces the old one, and a failure stands until a later success of its cell."""
    assert current(rows) == standing


def test_a_success_elsewhere_mends_nothing() -> None:
    """A failed cell stays failed when another variant, or another round of it, succeeds."""
    others = [{**NEW, "variant": "w"}, {**NEW, "round": 1}]
    assert current([ERROR, *others]) == [ERROR, *others]


def test_texts_of_unwanted_windows_are_not_parsed(tmp_path: Path) -> None:
    """Only wanted windows are yielded, each is asked for once in a row, and a line in another form is kept."""
    key = {name: OLD[name] for name in store.KEYS}
    said = {"reference": "x", "hypothesis": "x"}
    texts = [key | {"repeat": repeat, "utterance_id": f"u{i}", **said} for repeat in (0, 1) for i in (0, 1)]
    store.append(tmp_path, texts, store.HYPOTHESES)
    other = {"utterance_id": "u9", **said, **key, "repeat": 1}
    store.append(tmp_path, [other], store.HYPOTHESES)
    asked: list[int] = []
    wanted = store.read_texts(
        tmp_path / store.HYPOTHESES, lambda row: asked.append(row["repeat"]) or row["repeat"] == 0
    )
    assert [row["utterance_id"] for row in wanted] == ["u0", "u1", "u9"]
    assert asked == [0, 1]


def test_a_share_above_the_peak_that_an_earlier_version_wrote_is_unknown() -> None:
    """166 % is a fault of the peak; the row stands without it, and 99 % stays."""
    rows = [dict.fromkeys(KEYS) | {"variant": name, "status": "ok", "mfu_pct": pct} for name, pct in
            (("a", 166.0), ("b", 99.0), ("c", None))]  # fmt: skip
    assert [row["mfu_pct"] for row in store.current(rows)] == [None, 99.0, None]
    assert rows[0]["mfu_pct"] == 166.0, "the file's own row is not changed"


def test_rows_are_amended_in_one_step(tmp_path: Path) -> None:
    """Only what is known of a row changes, torn lines and all others stay byte for byte, and nothing is left behind."""
    whole = [json.dumps(row(repeat)).encode() + b"\n" for repeat in (1, 3)]
    lines = [whole[0], b'{"a": 2', b"\n", whole[1].replace(b", ", b",   "), b"[1]\n"]
    (tmp_path / store.RECORDS).write_bytes(b"".join(lines))
    store.amend_rows(tmp_path, lambda row: {"licence": "é"} if row["repeat"] == 1 else None)
    amended = json.dumps(row(1) | {"licence": "é"}, ensure_ascii=False).encode() + b"\n"
    assert (tmp_path / store.RECORDS).read_bytes() == amended + b"".join(lines[1:])
    assert [path.name for path in tmp_path.iterdir()] == [store.RECORDS]


def test_rows_that_cannot_be_amended_are_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is one line that says how to go on; the rows are whole."""
    store.append(tmp_path, [row()])

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
    with pytest.raises(store.StoreError, match="No space left on device. Rows are intact; continue with --resume"):
        store.amend_rows(tmp_path, lambda _row: {"licence": "MIT"})
    assert list(store.read_rows(tmp_path / store.RECORDS)) == [row()]
    assert [path.name for path in tmp_path.iterdir()] == [store.RECORDS]
