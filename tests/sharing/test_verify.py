"""Verification: a truthful entry is reproduced, invented texts, speed and energy are not, and boards say by whom."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from greenbench import validate
from greenbench.cli import app
from greenbench.errors import InputError
from greenbench.harness import runner
from greenbench.leaderboard import history, publish
from greenbench.results import store
from greenbench.sharing import places
from greenbench.sharing.entry import unpack
from greenbench.sharing.submission import pack
from greenbench.sharing.verify import Request, verify
from greenbench.suite import config
from greenbench.validate import verification
from greenbench.validate.verification import NOT_REPRODUCED, REPRODUCED, Verification, VerifiedCell

CELL: dict[str, Any] = {
    "variant": "a", "n_wrong": 2,
    "rounds": [{"wall_s": 2.0 + k / 50, "energy_cpu_j": 40.0 + k} for k in range(3)],
}  # fmt: skip

Entry = Callable[..., Path]


def faster(times: float) -> dict[str, Any]:
    """The cell with processes that are so many times faster, at the same power."""
    return CELL | {"rounds": [{"wall_s": (2.0 + k / 50) / times, "energy_cpu_j": (40.0 + k) / times} for k in range(3)]}


@pytest.fixture
def entry(sound_run_in: Callable[..., Path], tmp_path: Path) -> Entry:
    """Pack a run of one cell."""

    def packed(cell: dict[str, Any], **run: Any) -> Path:
        return pack([sound_run_in(tmp_path / "theirs" / "r1", cell, **run)], tmp_path / "entries" / "e.zip").path

    return packed


@pytest.fixture
def here(sound_run_in: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let what is measured here come to these figures, on the machine of sound runs."""

    def measured(cell: dict[str, Any], **run: Any) -> None:
        monkeypatch.setattr(
            runner, "run", lambda _suite, options, _observe: sound_run_in(options.out, cell, run_id="again", **run)
        )

    return measured


def test_what_measures_the_same_is_reproduced(entry: Entry, here: Callable[..., None]) -> None:
    """Equal texts, and speed and energy within the margin."""
    packed = entry(CELL)
    here(faster(1.1))
    found = verify(packed, Request("Jo"))
    (cell,) = found.cells
    assert (found.verdict, found.same_platform, cell.n_equal, cell.n_texts) == (REPRODUCED, True, 40, 40)
    assert cell.rtfx_ratio == pytest.approx(1 / 1.1)
    assert cell.energy_ratio == pytest.approx(1.1)


@pytest.mark.parametrize(
    ("theirs", "ours", "told"),
    [
        (CELL | {"n_wrong": 0}, CELL | {"n_wrong": 20}, "texts: 20 of 40 agree with the entry"),
        (CELL | {"n_wrong": 0}, CELL | {"n_wrong": 20}, "WER: here it is +"),
        (faster(2), CELL, "speed: the entry has 2.00 times the RTFx"),
        (faster(2), CELL, "energy: the entry has 2.00 times the audio seconds per joule"),
    ],
)
def test_what_was_invented_is_not_reproduced(
    theirs: dict[str, Any], ours: dict[str, Any], told: str, entry: Entry, here: Callable[..., None]
) -> None:
    """Texts, speed and joules that nobody gets are named, each by itself."""
    packed = entry(theirs)
    here(ours)
    found = verify(packed, Request("Jo"))
    assert found.verdict == NOT_REPRODUCED
    assert any(what.startswith(told) for what in verification.contradictions(found.cells[0], found.same_platform))


def test_slower_than_here_is_no_reproach(entry: Entry, here: Callable[..., None]) -> None:
    """An entry that claims less than what is measured here is reproduced."""
    packed = entry(CELL)
    here(faster(3))
    assert verify(packed, Request("Jo")).verdict == REPRODUCED


def test_another_platform_compares_texts_alone(entry: Entry, here: Callable[..., None]) -> None:
    """Speed and energy are only held against the same platform, and the record says so; a few texts may differ."""
    packed = entry(faster(5) | {"n_wrong": 3})
    machine = {**store.read_run(packed.parents[1] / "theirs" / "r1")["machine"], "cpu_model": "Other CPU"}
    here(CELL, machine=machine)
    found = verify(packed, Request("Jo"))
    (cell,) = found.cells
    assert (found.verdict, found.same_platform, cell.rtfx_ratio) == (REPRODUCED, False, None)
    assert (cell.n_texts, cell.n_equal) == (40, 39)
    assert "another platform" in " ".join(cell.notes)


def test_a_disturbed_measurement_is_held_against_nobody(entry: Entry, here: Callable[..., None]) -> None:
    """Where others worked beside it, speed and energy are not compared."""
    packed = entry(faster(5))
    here(CELL | {"foreign_cpu_s": 8.0})
    found = verify(packed, Request("Jo"))
    assert found.verdict == REPRODUCED
    assert "flagged here: foreign-load" in " ".join(found.cells[0].notes)


def test_a_control_tells_a_slow_day_from_a_slow_model(entry: Entry, here: Callable[..., None]) -> None:
    """Both over their controls: a machine that is half as fast today contradicts nobody."""
    from greenbench.sharing.verify import _ratio

    then = [{"round": k, "repeat": 0, "rtfx": 100.0 + k, "control_rtfx": 50.0} for k in range(3)]
    now = [{"round": k, "repeat": 0, "rtfx": 50.0 + k / 2, "control_rtfx": 25.0} for k in range(3)]
    assert _ratio("rtfx", "control_rtfx", then, now).value == pytest.approx(1.0)
    assert _ratio("rtfx", "no_control", then, now).value == pytest.approx(2.0)


def test_an_entry_that_a_board_refuses_is_bad_input(entry: Entry, tmp_path: Path) -> None:
    """Nothing is measured for it: exit code 2, with the reason."""
    (tmp_path / "bad.zip").write_bytes(b"no archive")
    done = CliRunner().invoke(app, ["leaderboard", "verify", str(tmp_path / "bad.zip"), "--by", "Jo"])
    assert isinstance(done.exception, InputError)
    assert done.exception.exit_code == 2
    assert "cannot be read as an entry" in str(done.exception)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"variants": [{"use": "wav2vec2", "model": "/home/me/our-model", "name": "a"}]}, "our-model"),
        ({"datasets": [{"use": "manifest", "path": "/home/me/talks.jsonl", "name": "said"}]}, "talks.jsonl"),
    ],
)
def test_what_an_entry_names_without_its_folder_has_a_remedy(
    sound_run_in: Callable[..., Path], tmp_path: Path, data: dict[str, Any], name: str
) -> None:
    """A model or data that only the maker had is not here: the message names the option that says where they are."""
    versions = {"greenbench": "0.1.0", "torch": "2.9", "transformers": "5.0"}
    run = sound_run_in(tmp_path / "theirs" / "r1", CELL, data=data, versions=versions)
    packed = pack([run], tmp_path / "entries" / "e.zip").path
    with pytest.raises(InputError, match=f"--files FOLDER` in which folder {re.escape(name)} is"):
        verify(packed, Request("Jo"))


def test_a_program_that_an_entry_names_is_not_run(
    sound_run_in: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code in the suite of somebody else's entry is never imported or started; its other variants are measured."""
    ours = {"use": "null", "name": "b"}
    program = {"use": "python", "call": "theirs:transcribe", "name": "a"}
    monkeypatch.setattr(runner, "run", lambda *_: pytest.fail("something is run"))
    run = sound_run_in(tmp_path / "theirs" / "r1", CELL, data={"variants": [program]})
    with pytest.raises(InputError, match="nothing of it can be measured here: its suite names a program or a server"):
        verify(pack([run], tmp_path / "entries" / "e.zip").path, Request("Jo"))
    suites = []
    run = sound_run_in(tmp_path / "both" / "r1", CELL, CELL | {"variant": "b"}, data={"variants": [program, ours]})
    packed = pack([run], tmp_path / "entries" / "f.zip").path

    def measured(suite: config.Suite, options: runner.Options, _observe: object) -> None:
        suites.append(suite)
        sound_run_in(options.out, CELL | {"variant": "b"}, run_id="again")

    monkeypatch.setattr(runner, "run", measured)
    reasons = {cell.variant: cell.reason for cell in verify(packed, Request("Jo")).cells}
    assert [one.name for one in suites[0].variants] == ["b"]
    assert reasons["a"].startswith("its suite names a program or a server, which is not run for an entry")


def test_files_are_looked_for_in_every_part_of_an_entry(tmp_path: Path) -> None:
    """The speech that a build is calibrated by is in a list of builds, and is found like a model."""
    (tmp_path / "our-model").mkdir()
    (tmp_path / "talks.jsonl").touch()
    build = {"use": "openvino-int8", "calibration": {"use": "manifest", "path": "talks.jsonl"}}
    item = {"use": "wav2vec2", "model": "our-model", "name": "our-model", "builds": [build]}
    suite = {"variants": [item], "datasets": [{"use": "librispeech", "root": "LibriSpeech"}]}
    suite["streaming"] = {"chunk_s": 0.5, "aligner": {"use": "wav2vec2", "model": "our-model"}}
    here = places.here(suite, tmp_path)
    (found,) = here["variants"]
    assert here["streaming"] == {"chunk_s": 0.5, "aligner": {"use": "wav2vec2", "model": str(tmp_path / "our-model")}}
    assert (found["model"], found["name"]) == (str(tmp_path / "our-model"), "our-model")
    assert found["builds"][0]["calibration"]["path"] == str(tmp_path / "talks.jsonl")
    assert places.unfound(suite, tmp_path) == ["LibriSpeech"]
    assert places.unfound(suite, None) == ["LibriSpeech", "our-model", "talks.jsonl"]
    assert places.with_remedy("onnxruntime is not installed", ["onnx"]) == "onnxruntime is not installed"


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_writes_a_record_that_a_board_shows(
    entry: Entry, here: Callable[..., None], tmp_path: Path
) -> None:
    """`verify` writes beside the entries and exits 0 or 3; the board says checked, then reproduced, and by whom."""
    packed = entry(CELL)
    site = publish([packed.parent], tmp_path / "site").index.parent
    assert [one["level"] for one in standings(site)] == ["checked"]
    assert "Not reproduced by anyone so far" in entry_page(site)
    here(CELL | {"n_wrong": 30})
    done = call("leaderboard", "verify", packed, "--by", "Jo")
    assert done.exit_code == 3
    assert "texts: 12 of 40 agree with the entry" in done.stdout
    publish([packed.parent], tmp_path / "site")
    assert [one["level"] for one in standings(site)] == ["checked"]
    here(CELL)
    done = call("leaderboard", "verify", packed, "--by", "Jo <b>")
    assert done.exit_code == 0
    assert done.stdout.endswith(f"{packed.parent / 'verified' / 'e.json'}: reproduced\n")
    publish([packed.parent], tmp_path / "site")
    (standing,) = standings(site)
    assert standing["level"] == "reproduced"
    assert standing["reproduced"][0].startswith("Jo <b>, 20")
    assert "Reproduced by Jo &lt;b&gt;, 20" in entry_page(site)
    board = next((site / "boards").glob("*.html")).read_text()
    assert '<tr data-level="reproduced">' in board
    assert 'type="checkbox" value="self-reported"' in board


def standings(site: Path) -> list[dict[str, Any]]:
    return list(json.loads((site / history.JSON).read_text())["standings"].values())


def entry_page(site: Path) -> str:
    return next((site / "entries").glob("*.html")).read_text()


RECORD = Verification(
    "0" * 64, "e.zip", "Jo", "2026-11-02T03:04:05+00:00", "0.1.0", "Test CPU", "abc", True,
    (VerifiedCell("a", "said", "cpu", "offline", 8, 40, 40),),
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, "not published here"),
        ({"verdict": NOT_REPRODUCED}, "verdict: 'reproduced' follows from the figures"),
        ({"utc": "2099-01-01T00:00:00+00:00"}, "in the future"),
        ({"by": ""}, "by: "),
        ({"cells": [{"variant": "a"}]}, "cells.0.dataset: missing"),
        ({"cells": [7]}, "cells.0: a valid dictionary is expected, not 7"),
    ],
)
def test_a_record_that_does_not_hold_is_refused_by_name(
    change: dict[str, Any], told: str, entry: Entry, tmp_path: Path
) -> None:
    """Records are checked like entries, and one that is bad stops nothing."""
    packed = entry(CELL)
    content = json.loads(verification.as_json(RECORD)) | change
    (packed.parent / "v.json").write_text(json.dumps(content))
    published = publish([packed.parent], tmp_path / "site")
    (refused,) = published.refused
    assert refused.what == "v.json"
    assert told in refused.reason
    assert [one["level"] for one in standings(published.index.parent)] == ["checked"]


def test_figures_that_contradict_make_no_reproduction(entry: Entry, tmp_path: Path) -> None:
    """A verdict follows from the figures of its record, whatever the record says of each cell."""
    wrong = VerifiedCell("a", "said", "cpu", "offline", 8, 40, 4)
    content = json.loads(verification.as_json(RECORD))
    content["cells"] = [{**content["cells"][0], "n_equal": wrong.n_equal, "verdict": REPRODUCED}]
    (tmp_path / "v.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="verdict: 'not reproduced' follows from the figures"):
        verification.read(tmp_path / "v.json")


@pytest.mark.slow
def test_a_truthful_entry_of_a_bundled_model_is_reproduced(tmp_path: Path) -> None:
    """The 2-layer student on a few utterances, through the real program; the same with invented texts is not."""
    loaded = config.load({
        "name": "small", "protocol": {"use": "quick", "rounds": 1, "repeats": 1, "window_s": 0.1, "idle_s": 0},
        "datasets": [{"use": "quickstart", "limit": 8}], "variants": ["wav2vec2/quickstart-2l"], "trace_hz": 0,
        "control": False,
    })  # fmt: skip
    runner.run(loaded, runner.Options(out=tmp_path / "run"))
    run = store.read_run(tmp_path / "run")
    run["machine"]["cpu_model"] = "Another CPU"  # so that speed, which hangs on who else works here, is not compared
    store.write_run(tmp_path / "run", run)
    rename_device(tmp_path / "run", "Another CPU")
    packed = pack([tmp_path / "run"], tmp_path / "e.zip").path
    done = call("leaderboard", "verify", packed, "--by", "Jo", "--limit", "4")
    assert done.exit_code == 0, done.output
    assert "4 of 4 texts equal" in done.stdout
    forged = Path(shutil.copytree(tmp_path / "run", tmp_path / "forged"))
    invent_texts(forged)
    packed = pack([forged], tmp_path / "forged.zip").path
    done = call("leaderboard", "verify", packed, "--by", "Jo")
    assert done.exit_code == 3
    assert "texts: " in done.stdout


def rename_device(run: Path, name: str) -> None:
    rewrite(run, store.RECORDS, lambda row: row.update(device_name=name))


def rewrite(run: Path, file: str, change: Callable[[dict[str, Any]], Any]) -> None:
    told = list(store.read_rows(run / file))
    for row in told:
        change(row)
    (run / file).write_text("".join(json.dumps(row) + "\n" for row in told))


def invent_texts(run: Path) -> None:
    """Let a run have recognised everything, with figures that follow from that."""
    from greenbench.text import scorers

    rewrite(run, store.HYPOTHESES, lambda row: row.update(hypothesis=row["reference"]))
    said = [scorers.text_pair(row) for row in store.read_rows(run / store.HYPOTHESES)]
    figures, origin = scorers.accuracy(said, scorers.create("whisper-english"))
    rewrite(run, store.RECORDS, lambda row: row.update(figures, **origin))


def test_a_damaged_record_among_runs_is_a_problem(entry: Entry, tmp_path: Path) -> None:
    """What a board refuses of the records beside its runs, ``validate`` names, and nothing of a sound one."""
    unpack(entry(CELL), tmp_path / "runs")
    path = tmp_path / "runs" / "v.json"
    path.write_text(verification.as_json(RECORD))
    assert [problem for problem in validate.problems(tmp_path / "runs") if problem.severity == "error"] == []
    path.write_text(verification.as_json(RECORD).replace('"utc": "20', '"utc": "x20'))
    (problem,) = (one for one in validate.problems(tmp_path / "runs") if one.severity == "error")
    assert problem.where == str(path)
    assert "utc: " in problem.what
