"""Merging: runs of many machines come together, each once and sound, and what is left out has a reason."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenbench.errors import InputError, StoreError
from greenbench.files import whole
from greenbench.hardware import platforms
from greenbench.results import record, store
from greenbench.sharing import merge as merging
from greenbench.sharing.merge import merge

CELL: dict[str, Any] = {"variant": "a", "rounds": [{"wall_s": 1.0 + i / 100, "energy_cpu_j": 9.0} for i in range(3)]}


def edit(folder: Path, file: str, change: Callable[[dict[str, Any]], Any], number: int = 0) -> None:
    """Change one line of a file in place."""
    lines = [json.loads(line) for line in (folder / file).read_text().splitlines()]
    change(lines[number])
    (folder / file).write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_real_run_arrives_whole_and_clean(whole_run: Path, tmp_path: Path) -> None:
    """All rows, texts, scores and windows are there, nothing is refused, and no path is left in any file."""
    from greenbench.validate import problems

    merged = merge([whole_run], tmp_path / "out")
    (taken,) = merged.runs.values()
    target = tmp_path / "out" / taken.run_id
    assert merged.refused == []
    assert list(problems(target)) == []
    for file in (store.RECORDS, store.HYPOTHESES, store.SCORES, store.WINDOWS, store.POWER):
        assert len(list(store.read_rows(target / file))) == len(list(store.read_rows(whole_run / file)))
    everything = "".join(path.read_text() for path in (tmp_path / "out").rglob("*.json*"))
    assert str(whole_run.parent) not in everything
    assert "/tmp" not in everything


def test_merging_what_was_merged_gives_the_same_bytes(whole_run: Path, tmp_path: Path) -> None:
    """The hash of a run is that of its content as shared, so it holds however often it is passed on."""
    first = merge([whole_run], tmp_path / "first")
    second = merge([tmp_path / "first", whole_run], tmp_path / "second")
    assert second.runs == first.runs
    assert second.duplicates == [*first.runs]


def test_private_things_stay_where_they_are_asked_for(whole_run: Path, tmp_path: Path) -> None:
    """With keep_private the suite's paths go along."""
    merged = merge([whole_run], tmp_path / "out", keep_private=True)
    (run_id,) = merged.runs
    assert store.read_run(tmp_path / "out" / run_id)["suite"] == store.read_run(whole_run)["suite"]


def test_machines_become_platforms(sound_run: Callable[..., Path], tmp_path: Path) -> None:
    """Runs of one kind of machine share a card, with every version seen on it; memory may differ by a little."""
    first = sound_run("r1", CELL)
    machine = store.read_run(first)["machine"]
    second = sound_run(
        "r2", CELL | {"n_wrong": 1}, machine={**machine, "kernel": "6.2", "memory_bytes": 16 * 2**30 - 9}
    )
    third = sound_run("r3", CELL | {"n_wrong": 2}, machine={**machine, "cpu_model": "Other CPU"})
    merged = merge([first, second, third], tmp_path / "out")
    assert merged.runs["r1"].platform == merged.runs["r2"].platform != merged.runs["r3"].platform
    card = platforms.platforms(store.read_run(run) for run in (first, second))[merged.runs["r1"].platform]
    assert (card.name, card.software["kernel"], card.meters) == ("Test CPU (8 CPUs), 16 GiB", ("6.1", "6.2"),
                                                                 ("clock", "codecarbon", "rapl"))  # fmt: skip
    told = json.loads((tmp_path / "out" / merging.MERGED).read_text())
    assert [run["run_id"] for run in told["runs"]] == ["r1", "r2", "r3"]
    assert len(told["platforms"]) == 2


def test_what_a_machine_reached_goes_along_and_stands_on_its_card(
    sound_run: Callable[..., Path], tmp_path: Path
) -> None:
    """Peaks are shared, a share of them holds against them, and the platform's card tells them."""
    peaks = {"cpu": {"macs_per_s": {"fp32": 1e11, "int8": 4e11}, "bytes_per_s": 2e10, "threads": 2, "foreign_pct": 0.0,
                     "reason": None}}  # fmt: skip
    figures = {"macs_per_audio_s": 1e8, "compute_dtype": "fp32+int8", "mfu_pct": 2.0}  # 80 s in 1 s: 8 GMAC/s
    run = sound_run("r1", {"variant": "a", "rounds": [{"wall_s": 1.0}] * 3, **figures}, peaks=peaks)
    merged = merge([run], tmp_path / "out")
    assert merged.refused == []
    told = store.read_run(tmp_path / "out" / "r1")
    assert told["peaks"] == peaks
    (card,) = platforms.platforms([told]).values()
    assert card.software["peaks"] == ("cpu: fp32 0.2, int8 0.8 TFLOP/s; memory 20 GB/s; 2 threads",)
    forged = sound_run("r2", {"variant": "a", "rounds": [{"wall_s": 1.0}] * 3, **figures, "mfu_pct": 9.0}, peaks=peaks)
    (refused, *_) = merge([forged], tmp_path / "other").refused
    assert "mfu_pct is 9, its formula gives 2" in refused.reason


def test_a_row_that_does_not_hold_is_left_out_with_the_reason(sound_run: Callable[..., Path], tmp_path: Path) -> None:
    """A faster row than its seconds allow is refused; the others of its run are taken."""
    run = sound_run("r1", CELL)
    edit(run, store.RECORDS, lambda row: row.update(rtfx=1e6), 1)
    merged = merge([run], tmp_path / "out")
    assert merged.runs["r1"].n_rows == 2
    (refused,) = merged.refused
    assert refused.what.startswith("r1 (a, said, cpu")
    assert "rtfx is 1e+06" in refused.reason


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda run: run.update(schema=99), "written as schema 99"),
        (lambda run: run.update(suite_hash="forged"), "suite_hash"),
        (lambda run: run.update(run_id="../up"), "not a valid folder name"),
        (lambda run: run.update(run_id=".."), "not a valid folder name"),
        (lambda run: run.pop("machine"), "machine: missing"),
    ],
)
def test_a_run_that_does_not_hold_is_refused(
    sound_run: Callable[..., Path], tmp_path: Path, change: Callable[[dict[str, Any]], Any], told: str
) -> None:
    """A run of a newer schema, of another suite than it says or with a dangerous name is left out with the reason."""
    run = sound_run("r1", CELL)
    content = store.read_run(run)
    change(content)
    (run / store.RUN).write_text(json.dumps(content))
    merged = merge([run], tmp_path / "out")
    assert not merged.runs
    assert told in merged.refused[0].reason


def test_a_run_that_went_on_replaces_its_shorter_copy(sound_run: Callable[..., Path], tmp_path: Path) -> None:
    """Of two copies of one run the longer stays, in whichever order they come."""
    whole = sound_run("r1", CELL)
    short = Path(shutil.copytree(whole, tmp_path / "short"))
    lines = (short / store.RECORDS).read_text().splitlines(keepends=True)
    (short / store.RECORDS).write_text("".join(lines[:2]))
    for number, sources in enumerate(([short, whole], [whole, short])):
        merged = merge(sources, tmp_path / f"out{number}")
        assert (merged.runs["r1"].n_rows, merged.duplicates, merged.refused) == (3, ["r1"], [])


def test_rows_under_another_id_are_refused(sound_run: Callable[..., Path], tmp_path: Path) -> None:
    """A copy whose run id was changed does not count twice, and an id belongs to one run."""
    first = sound_run("r1", CELL)
    copied = sound_run("r2", CELL)
    merged = merge([first, copied], tmp_path / "out")
    assert [*merged.runs] == ["r1"]
    assert "3 of its rows are those of r1" in merged.refused[0].reason
    other = write_elsewhere(sound_run, tmp_path)
    merged = merge([first, other], tmp_path / "out2")
    assert "another run of this id" in merged.refused[0].reason


def write_elsewhere(sound_run: Callable[..., Path], tmp_path: Path) -> Path:
    """Write another run with the id r1."""
    kept = tmp_path / "results" / "kept"
    (tmp_path / "results" / "r1").rename(kept)
    other = sound_run("r1", CELL | {"n_wrong": 3})
    moved = other.rename(tmp_path / "elsewhere")
    kept.rename(tmp_path / "results" / "r1")
    return moved


def test_utterances_that_are_named_by_paths_are_not_shared(sound_run: Callable[..., Path], tmp_path: Path) -> None:
    """Their ids are hashed and cannot be cut, so the run is refused, with what to do."""
    run = sound_run("r1", CELL)
    edit(run, store.HYPOTHESES, lambda row: row.update(utterance_id="/home/jane/u1"))
    merged = merge([run], tmp_path / "out")
    assert "are paths outside their manifest's folder" in merged.refused[0].reason


def test_variants_that_only_their_paths_tell_apart_are_refused(sound_run: Callable[..., Path], tmp_path: Path) -> None:
    """Two students of one name in different folders would become one."""
    run = sound_run("r1", *(CELL | {"variant": f"file:/home/{who}/student"} for who in ("jane", "joe")))
    assert "both called 'file:student'" in merge([run], tmp_path / "out").refused[0].reason


def test_older_rows_are_brought_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row passes every migration from its version on, and has null where it had no column; a newer is refused."""
    monkeypatch.setattr(record, "SCHEMA", 3)
    monkeypatch.setattr(record, "MIGRATIONS", {1: lambda row: row | {"wer": row["wer"] / 100},
                                               2: lambda row: row | {"reason": "seen"}})  # fmt: skip
    row = record.migrate({"schema": 1, "wer": 25.0})
    assert (row["wer"], row["reason"], row["schema"], row["rtfx"]) == (0.25, "seen", 3, None)
    assert record.migrate({"schema": 3, "wer": 0.5})["wer"] == 0.5
    with pytest.raises(StoreError, match="schema 4, this version reads up to 3"):
        record.migrate({"schema": 4})


def test_a_folder_in_use_is_not_merged_into(sound_run: Callable[..., Path], tmp_path: Path) -> None:
    """What is there already stays as it is, and a folder without runs is an error."""
    run = sound_run("r1", CELL)
    with pytest.raises(InputError, match="contains something else"):
        merge([run], tmp_path / "results")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no runs here"):
        merge([tmp_path / "empty"], tmp_path / "out")


def test_a_merge_that_was_killed_can_be_repeated(whole_run: Path, tmp_path: Path) -> None:
    """What a killed one left in or beside the folder is no result: it is cleared away."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / "out" / ".merging-abc").mkdir(parents=True)
    left = tmp_path / f".out.{whole._here()}-{gone.pid}-00000000.tmp"
    left.mkdir()
    merged = merge([whole_run], tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {*merged.runs, merging.MERGED}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_merge_that_was_killed_when_it_was_done_can_be_repeated(
    whole_run: Path, sound_run: Callable[..., Path], tmp_path: Path
) -> None:
    """The same merge into the folder that holds it already changes nothing; another one into it is refused."""
    first = merge([whole_run], tmp_path / "out")
    before = {p: (p.stat().st_ino, p.read_bytes()) for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert merge([whole_run], tmp_path / "out") == first
    with pytest.raises(InputError, match="contains something else"):
        merge([whole_run, sound_run("r2", CELL)], tmp_path / "out")
    assert {p: (p.stat().st_ino, p.read_bytes()) for p in (tmp_path / "out").rglob("*") if p.is_file()} == before
