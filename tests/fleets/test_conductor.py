"""The conductor: what nodes send is kept whatever becomes of them, and the table is that of all that was measured."""

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenbench.errors import BusyError, InputError
from greenbench.files import lock
from greenbench.fleets import conductor, roster
from greenbench.fleets.selection import select
from greenbench.plugins.engines import Node
from greenbench.results import store

SCRIPT = Path(__file__).with_name("simulated.py")
Engine = runpy.run_path(str(SCRIPT))["SimulatedEngine"]
PROTOCOL = {"use": "quick", "rounds": 2, "repeats": 1, "window_s": 0.1, "idle_s": 0, "resamples": 200}
HOLD = """
import time
from pathlib import Path
from greenbench.files import lock
with lock.writing(Path({folder!r})):
    print("held", flush=True)
    time.sleep(600)
"""


def measured(sound_run_in: Callable[..., Path], folder: Path, n: int, **data: Any) -> Path:
    """Write a run of two rounds for each of so many nodes, no two of which took equally long."""
    for number in range(n):
        rounds = [{"wall_s": 1 + number / 1000 + r / 10, "energy_cpu_j": 9.0} for r in range(2)]
        run = {"run_id": f"r{number}", "data": {"protocol": PROTOCOL}, **data.get(f"n{number:03}", {})}
        sound_run_in(folder / f"n{number:03}", {"variant": "a", "rounds": rounds}, **run)
    return folder


def suite_of(runs: Path) -> dict[str, Any]:
    """Return the suite of the first of these runs."""
    found: dict[str, Any] = json.loads((min(runs.iterdir()) / store.RUN).read_text())["suite"]
    return found


def rows(*folders: Path) -> set[tuple[Any, ...]]:
    """Return what identifies each measured row in folders of runs, by the files alone."""
    lines = (
        json.loads(line)
        for folder in folders
        for path in folder.glob("*/records.jsonl")
        for line in path.read_text().splitlines()
    )
    return {(row["run_id"], row["round"], row["wall_s"]) for row in lines}


@pytest.fixture
def five(sound_run_in: Callable[..., Path], tmp_path: Path) -> Path:
    """Runs of five nodes."""
    return measured(sound_run_in, tmp_path / "measured", 5)


@pytest.mark.slow
def test_a_fleet_of_200_nodes_loses_nothing(sound_run_in: Callable[..., Path], tmp_path: Path) -> None:
    """Of 10 % lost nodes the first round is kept, 5 % are refused; resumed, all is there; the head stays small."""
    runs, out, suite = measured(sound_run_in, tmp_path / "measured", 200), tmp_path / "out", tmp_path / "suite.json"
    suite.write_text(json.dumps(suite_of(runs)))
    lost, refused = [f"n{n:03}" for n in range(0, 200, 10)], [f"n{n:03}" for n in range(5, 200, 20)]

    def conduct(lost: list[str], refused: list[str], *options: str) -> dict[str, list[str]]:
        command = [sys.executable, SCRIPT, suite, runs, out, ",".join(lost), ",".join(refused), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert int(done.stdout.split()[0]) < 300e6
        fates: dict[str, list[str]] = {}
        for entry in json.loads((out / "fleet.json").read_text())["nodes"]:
            fates.setdefault(entry["status"], []).append(entry["name"])
        return fates

    fates = conduct(lost, refused)
    assert (fates["lost"], fates["refused"], len(fates["ok"])) == (lost, refused, 170)
    everything = rows(runs)
    gone = {f"r{int(name[1:])}" for name in lost}, {f"r{int(name[1:])}" for name in refused}
    kept = {row for row in everything if row[0] not in gone[1] and not (row[0] in gone[0] and row[1] == 1)}
    assert rows(out / "runs") == kept
    assert len(kept) == 170 * 2 + 20
    fates = conduct(lost[:1], refused[:1], "--resume")
    assert (fates["lost"], fates["refused"], len(fates["ok"])) == (lost[:1], refused[:1], 198)
    fates = conduct([], [], "--resume")
    assert len(fates["ok"]) == 200
    assert rows(out / "runs") == everything
    assert len(everything) == 400


def test_results_are_read_once(five: Path, tmp_path: Path) -> None:
    """A fleet's folder, and any parent of it, is read as its merged runs; the copy of a node by its own name."""
    out = tmp_path / "results" / "fleet"
    fleet = conductor.run(suite_of(five), Engine(five), conductor.FleetOptions(out))
    assert store.runs(tmp_path / "results") == store.runs(out) == [out / "runs" / f"r{n}" for n in range(5)]
    assert fleet.copies("n001") == store.runs(out / "nodes" / "n001-1") == [out / "nodes" / "n001-1"]
    frame = conductor.table(fleet)
    assert (len(frame), frame.attrs) == (10, {"folder": str(out), "shortfall": None})


def test_who_is_refused_and_lost_is_told_with_the_reason(five: Path, tmp_path: Path) -> None:
    """The version is named; each attempt and its seconds are counted; the shortfall names the first."""
    engine = Engine(five, frozenset({"n002"}), frozenset({"n001"}))
    fleet = conductor.run(suite_of(five), engine, conductor.FleetOptions(tmp_path / "out"))
    entries = roster.read(tmp_path / "out").nodes
    assert entries["n001"].reason == "n001 has greenbench 999.0, and " + (
        f"{fleet.about['version']} is here: install the same on both"
    )
    assert (entries["n002"].status, entries["n002"].reason, entries["n002"].attempts) == ("lost", "the node died", 1)
    assert set(entries["n000"].seconds) == {"queued", "prepare", "doctor", "lock", "run"}
    assert (entries["n000"].run_id, entries["n000"].run_s) == ("r0", 2.0)
    assert conductor.shortfall(fleet) == (
        f"2 of 5 nodes not measured to the end; n001: refused: {entries['n001'].reason}"
    )
    again = conductor.run(suite_of(five), Engine(five), conductor.FleetOptions(tmp_path / "out", resume=True))
    assert [again.nodes[name].attempts for name in ("n000", "n001", "n002")] == [1, 2, 2]
    assert conductor.shortfall(again) is None


def test_another_speech_is_refused(five: Path, tmp_path: Path) -> None:
    """What one node heard is not what the others did: its rows are kept, and not among the merged ones."""
    file = five / "n003" / "records.jsonl"
    file.write_text(file.read_text().replace('"data_hash": "', '"data_hash": "x'))
    fleet = conductor.run(suite_of(five), Engine(five), conductor.FleetOptions(tmp_path / "out"))
    assert fleet.nodes["n003"].status == "refused"
    assert "its speech is not that of the others: said is x" in str(fleet.nodes["n003"].reason)
    assert {row[0] for row in rows(tmp_path / "out" / "runs")} == {"r0", "r1", "r2", "r4"}
    assert {row[0] for row in rows(tmp_path / "out" / "nodes")} == {"r0", "r1", "r2", "r3", "r4"}


def test_an_unsound_row_is_left_out_with_its_reason(five: Path, tmp_path: Path) -> None:
    """What `validate` refuses is not merged, and the node's entry says what and why."""
    file = five / "n003" / "records.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[0]["rtfx"] *= 2
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    fleet = conductor.run(suite_of(five), Engine(five), conductor.FleetOptions(tmp_path / "out"))
    (problem,) = fleet.nodes["n003"].problems
    assert problem.startswith("r3 (a, said, cpu, offline, 8, 0, 0): rtfx")
    assert len(rows(tmp_path / "out" / "runs")) == 9
    assert "n003" in str(conductor.shortfall(fleet))


class NonsenseEngine(Engine):  # type: ignore[misc, valid-type]
    """Nodes that send what is no message, name files outside of the run, break, or fall silent."""

    def measure(self, node: Node, suite: Any, options: Any) -> Any:
        if node.name == "n000":
            yield "hello\n"
        elif node.name == "n001":
            yield json.dumps({"kind": "replaced", "file": "../../outside.json", "text": "x"})
        elif node.name == "n002":
            yield from [*super().measure(node, suite, options)][:3]
        elif node.name == "n003":
            raise ZeroDivisionError("of the engine")
        else:
            yield from super().measure(node, suite, options)


def test_a_node_that_sends_nonsense_costs_itself(five: Path, tmp_path: Path) -> None:
    """Each has its status and reason, nothing is written outside, and the others are measured."""
    fleet = conductor.run(suite_of(five), NonsenseEngine(five), conductor.FleetOptions(tmp_path / "out"))
    told = [(entry.status, str(entry.reason)) for entry in fleet.nodes.values()]
    assert told[0] == ("failed", "the node sent something that is no message (no JSON): hello\\n")
    assert told[1][0] == "failed"
    assert "no run has a file '../../outside.json'" in told[1][1]
    assert told[2] == ("lost", "it sent no end: the node, or the line to it, is gone")
    assert told[3] == ("failed", "ZeroDivisionError: of the engine")
    assert told[4] == ("ok", "None")
    assert not list(tmp_path.rglob("outside.json"))


def test_selectors_choose_nodes(five: Path) -> None:
    """All must hold, * stands for anything, the name is a label; none that matches is told with what there is."""
    nodes = Engine(five).nodes()
    assert [node.name for node in select(nodes, ["tier=edge"])] == ["n000", "n002", "n004"]
    assert [node.name for node in select(nodes, ["tier=*", "name=n00[12]"])] == ["n001", "n002"]
    assert select(nodes, []) == nodes
    with pytest.raises(
        InputError, match=r"--on tier=cloud: no node has these labels. There are: name=n000, .*tier=edge"
    ):
        select(nodes, ["tier=cloud"])
    with pytest.raises(InputError, match="write it as LABEL=VALUE"):
        select(nodes, ["edge"])
    with pytest.raises(InputError, match="two nodes are called x: give each a name of its own"):
        select([Node("1", "x"), Node("2", "x")], [])
    with pytest.raises(InputError, match="the engine has no node"):
        select([], [])


def test_a_folder_is_not_written_over(five: Path, tmp_path: Path) -> None:
    """A fleet, a run, and a fleet of another suite are refused; so is what another process conducts."""
    suite, out = suite_of(five), tmp_path / "out"
    with pytest.raises(InputError, match="no fleet is in"):
        conductor.run(suite, Engine(five), conductor.FleetOptions(out, resume=True))
    with pytest.raises(InputError, match="something else is here"):
        conductor.run(suite, Engine(five), conductor.FleetOptions(five))
    conductor.run(suite, Engine(five), conductor.FleetOptions(out, on=["name=n000"]))
    with pytest.raises(InputError, match="a fleet is here already"):
        conductor.run(suite, Engine(five), conductor.FleetOptions(out))
    with pytest.raises(InputError, match="the suite, or --only, has changed"):
        conductor.run({**suite, "batch_sizes": [4]}, Engine(five), conductor.FleetOptions(out, resume=True))
    holder = HOLD.format(folder=str(out))
    with subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE, env=os.environ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(BusyError):
            conductor.run(suite, Engine(five), conductor.FleetOptions(out, resume=True))
        assert lock.writer_here(out) == other.pid
        other.kill()
    joined = conductor.run(suite, Engine(five), conductor.FleetOptions(out, resume=True))
    assert [entry.status for entry in joined.nodes.values()] == ["ok"] * 5
    assert joined.nodes["n000"].attempts == 1
