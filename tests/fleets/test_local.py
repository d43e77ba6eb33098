"""The engine ``local``: a real process on this machine, from its order to the merged run, and its death."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

import greenbench
from greenbench import cache, guard
from greenbench.fleets import conductor, engines, launch, roster
from greenbench.fleets.suites import portable
from greenbench.results import store
from greenbench.suite import config
from greenbench.validate import problems

Start = Callable[..., "subprocess.Popen[Any]"]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_run_comes_home_whole(suite_data: dict[str, Any], tmp_path: Path) -> None:
    """The folder at home is the one on the node, file by file; it is sound, merged, and the node is known."""
    out = tmp_path / "out"
    frame = greenbench.fleet(suite_data, engine="local", out=out)
    assert (len(frame), set(frame["status"]), frame.attrs["shortfall"]) == (2, {"ok"}, None)
    fleet = roster.read(out)
    (entry,) = fleet.nodes.values()
    assert (entry.status, entry.attempts, entry.version) == ("ok", 1, greenbench.__version__)
    assert set(entry.seconds) == {"queued", "prepare", "doctor", "lock", "run", "fetch"}
    (home,) = fleet.copies(entry.name)
    (there,) = (cache.folder().parent / "fleets" / str(fleet.about["id"])).iterdir()
    for path in there.iterdir():
        if path.is_file() and path.name not in (store.REPORT, ".lock"):
            assert (home / path.name).read_bytes() == path.read_bytes(), path.name
    assert [problem for problem in problems(home) if problem.severity == "error"] == []
    assert entry.run_id == frame["run_id"].iloc[0]
    assert list(frame["exclusive"]) == [True, True]
    assert fleet.about["engine"] == {"use": "local", "settings": {}}


def test_the_number_of_threads_is_each_nodes_own(suite_data: dict[str, Any]) -> None:
    """It is filled in on the node, unless the suite or an override says it."""
    assert portable(suite_data)["threads"] is None
    assert portable({**suite_data, "threads": 3})["threads"] == 3
    assert portable(suite_data, ["threads=5"])["threads"] == 5


def test_what_ships_with_the_package_is_found_on_each_node() -> None:
    """The path of a registered model is the node's own: none of the head's goes along, and the suite means the same."""
    suite = {"name": "s", "datasets": ["quickstart"], "variants": ["wav2vec2/quickstart-2l+int8-dynamic"]}
    shipped = portable(suite)
    assert str(Path(launch.__file__).parents[1]) not in json.dumps(shipped)
    assert config.load(shipped) == config.load(suite)


def test_a_node_that_may_be_shared_is_not_ranked(suite_data: dict[str, Any], tmp_path: Path) -> None:
    """Where the engine cannot keep others away, its rows say so."""
    engine = engines.create("local")
    object.__setattr__(engine, "shared", True)
    fleet = conductor.run(portable(suite_data), engine, conductor.FleetOptions(tmp_path / "out"))
    frame = conductor.table(fleet)
    assert list(frame["exclusive"]) == [False, False]
    assert all("node-shared" in flags for flags in frame["flags"])


def test_what_is_wrong_on_the_node_is_a_refusal(suite_data: dict[str, Any], tmp_path: Path) -> None:
    """A glob that matches nothing is found by the node; nothing ran, and the table is empty."""
    frame = greenbench.fleet(suite_data, engine="local", out=tmp_path / "out", only="nothing")
    (entry,) = roster.read(tmp_path / "out").nodes.values()
    assert (entry.status, entry.run_id, len(frame)) == ("refused", None, 0)
    assert entry.reason == "--only nothing: no cell of suite 'tiny' matches; `--dry-run` lists the cells"


def test_a_python_without_greenbench_is_a_failure_with_its_words(
    suite_data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GREENBENCH_PYTHON names the node's own: what it says last is the reason."""
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    (tmp_path / "python").chmod(0o755)
    for value, words in ((tmp_path / "python", "No module named"), (tmp_path / "none", "cannot be started")):
        monkeypatch.setenv(launch.PYTHON, str(value))
        fleet = conductor.run(
            portable(suite_data), engines.create("local"), conductor.FleetOptions(tmp_path / value.name[:4])
        )
        (entry,) = fleet.nodes.values()
        assert entry.status == "failed"
        assert words in str(entry.reason)


def test_the_launcher_says_what_the_guard_does() -> None:
    """It imports nothing of ours, so it repeats the name by which a process ends with its parent."""
    assert launch.PARENT == guard.PARENT
    text = Path(launch.__file__).read_text()
    assert "from greenbench" not in text
    assert "import greenbench" not in text


def begun(start: Start, suite_data: dict[str, Any], tmp_path: Path) -> "subprocess.Popen[Any]":
    """Start a fleet of one cell that is measured and one that never ends; return when that has begun."""
    suite = {**suite_data, "variants": [{"use": "null/rtfx-100"}, {"use": "null", "rtfx": 0.0001, "name": "slow"}],
             "protocol": {**suite_data["protocol"], "repeats": 1}}  # fmt: skip
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    command = [sys.executable, "-m", "greenbench", "fleet", "run", tmp_path / "suite.yaml", "--engine", "local",
               "--out", tmp_path / "out"]  # fmt: skip
    process = start(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    while "[2/2] slow" not in (line := process.stderr.readline()):
        assert line, "it ended early"
    return process


def descendants(process: "subprocess.Popen[Any]") -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def gone(processes: list[psutil.Process], seconds: float) -> bool:
    return psutil.wait_procs(processes, seconds)[1] == []


@pytest.mark.parametrize("how", ["kill", "interrupt", "stop"])
def test_nothing_outlives_the_head(
    how: str, start: Start, suite_data: dict[str, Any], tmp_path: Path, greenbench: Command,
    patience: Callable[[float], float],
) -> None:  # fmt: skip
    """Killed, interrupted or stopped from elsewhere, it leaves no process behind, and keeps the row."""
    process, out = begun(start, suite_data, tmp_path), tmp_path / "out"
    until = time.monotonic() + patience(20)
    while len(children := descendants(process)) < 2 and time.monotonic() < until:  # the node's process and a worker
        time.sleep(0.05)
    assert len(children) >= 2
    told = greenbench("fleet", "status", out)
    assert "measuring (run)" in told.stdout
    assert f"process {process.pid} on" in told.stderr
    if how == "stop":
        assert greenbench("fleet", "stop", out).returncode == 0
    else:
        process.send_signal({"kill": signal.SIGKILL, "interrupt": signal.SIGINT}[how])
    code = process.wait(patience(60))
    assert code == (-signal.SIGKILL if how == "kill" else 130)
    assert gone(children, patience(20))
    (copy,) = (out / "nodes").iterdir()
    assert [json.loads(line)["variant"] for line in (copy / "records.jsonl").read_text().splitlines()] == [
        "null/rtfx-100"
    ]
    if how == "kill":
        told = greenbench("fleet", "status", out)
        assert (told.returncode, "nobody conducts it" in told.stderr) == (1, True)
        assert greenbench("fleet", "stop", out).returncode == 2
        return
    assert roster.read(out).nodes.popitem()[1].reason == "stopped before it had ended"
    (run,) = (place for place in (out / "runs").iterdir() if place.is_dir())
    assert len(list(store.read_rows(run / store.RECORDS))) == 1


def test_resuming_measures_only_what_is_missing(
    start: Start, suite_data: dict[str, Any], tmp_path: Path, greenbench: Command, patience: Callable[[float], float]
) -> None:
    """The row that was measured before the head was killed stands as it was; the rest is measured in the same run."""
    process, out = begun(start, suite_data, tmp_path), tmp_path / "out"
    children = descendants(process)
    process.kill()
    process.wait()
    assert gone(children, patience(20))
    before = next((out / "nodes").glob("*-1/records.jsonl")).read_text()
    done = greenbench("fleet", "run", tmp_path / "suite.yaml", "--engine", "local", "--out", out, "--resume",
                      "--set", "timeout_s=1")  # fmt: skip
    assert done.returncode == 1
    assert "slow: " in done.stderr or "timeout_s" in done.stderr
    rows = next((out / "nodes").glob("*-2/records.jsonl")).read_text()
    assert rows.startswith(before)
    assert [json.loads(line)["status"] for line in rows.splitlines()] == ["ok", "error"]
    assert len(store.runs(out)) == 1


def test_the_commands_say_what_is_there(suite_data: dict[str, Any], tmp_path: Path, greenbench: Command) -> None:
    """`nodes` shows what each is, as JSON with the doctor's findings; a selector without a match exits with 2."""
    shown = json.loads(greenbench("fleet", "nodes", "--engine", "local", "--json").stdout)
    assert [row["greenbench"] for row in shown] == [__import__("greenbench").__version__]
    assert {"energy", "CPU load"} & {finding["topic"] for finding in shown[0]["findings"]}
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite_data))
    line = ("fleet", "run", tmp_path / "suite.yaml", "--engine")
    refused = greenbench(*line, "local", "--on", "tier=edge")
    assert refused.returncode == 2
    assert "no node has these labels. There are: machine=" in refused.stderr
    assert greenbench(*line, "locall").stderr == "error: unknown engine 'locall'. Did you mean 'local'?\n"
    assert "write it as NAME=VALUE" in greenbench(*line, "local", "--setting", "x").stderr
    assert "unknown key for engine 'local'" in greenbench(*line, "local", "--setting", "x=1").stderr
    assert greenbench("fleet", "status", tmp_path).returncode == 2


def test_the_head_imports_no_torch(suite_data: dict[str, Any], tmp_path: Path) -> None:
    """A suite of models is checked, sent and conducted without torch or an engine of models."""
    suite = {**suite_data, "variants": ["wav2vec2/quickstart"]}
    code = (
        "import json, sys\nfrom pathlib import Path\nfrom greenbench.fleets import conductor, engines, suites\n"
        "suite = suites.portable(json.loads(sys.argv[1]))\n"
        "conductor.run(suite, engines.create('local'), conductor.FleetOptions(Path(sys.argv[2]), only='nothing'))\n"
        "print([name for name in ('torch', 'transformers', 'onnxruntime') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, json.dumps(suite), tmp_path / "out"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
