"""The engine ``slurm``: real jobs by submitit on this machine, and what it asks of Slurm by programs that stand in."""

import gc
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from greenbench.errors import InputError
from greenbench.fleets import conductor, engines
from greenbench.fleets.suites import portable
from greenbench.plugins.engines import Node, NodeError
from greenbench.results import store

submitit = pytest.importorskip("submitit", reason="submitit is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Let what submitit drops be warned of here, where it is ignored, and not in whatever test runs later."""
    yield
    gc.collect()


SINFO = """\
gpu01|batch*|64|gpu:a100:4(S:0-1)|skylake,ib|idle
gpu01|debug|64|gpu:a100:4(S:0-1)|skylake,ib|idle
cpu01|batch*|128|(null)|(null)|mix
cpu02|batch*|128|(null)|(null)|down*
cpu03|batch*|128|gpu:2|rome|drain
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs of Slurm that say what they were asked; returns the folder in which ``asked`` is written."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (tmp_path / "listing").write_text(SINFO)
    for name, does in {
        "sinfo": f'echo "$@" > {tmp_path}/asked; cat {tmp_path}/listing',
        "sbatch": f'cp "$1" {tmp_path}/script; echo "Submitted batch job 7"',
        "srun": "true", "scancel": f'echo "$@" > {tmp_path}/cancelled',
        "sacct": 'echo "JobID|State"; echo "7|NODE_FAIL"',
    }.items():  # fmt: skip
        (programs / name).write_text(f"#!/bin/sh\n{does}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_nodes_that_are_up_have_labels(slurm: Path) -> None:
    """Each once, by partition, features and GPU; those that are down or drained are left out."""
    nodes = {node.name: dict(node.labels) for node in engines.create("slurm", {"partition": "batch"}).nodes()}
    assert nodes == {
        "gpu01": {"partition": "batch", "cpus": "64", "state": "idle", "skylake": "yes", "ib": "yes",
                  "gres": "gpu:a100:4", "gpu": "a100"},
        "cpu01": {"partition": "batch", "cpus": "128", "state": "mix"},
    }  # fmt: skip
    assert (slurm / "asked").read_text().endswith("--partition batch\n")


def asked(slurm: Path, **settings: Any) -> set[str]:
    """Return the options of the job that a node gets."""
    engine = engines.create("slurm", {"folder": str(slurm / "jobs"), **settings})
    node = next(node for node in engine.nodes() if node.name == "gpu01")
    with pytest.raises(NodeError) as caught:
        list(engine.measure(node, None, {"fleet": "f-1"}))
    assert (caught.value.fate, str(caught.value)) == ("lost", "the node failed")
    return set(re.findall(r"^#SBATCH --(.*)$", (slurm / "script").read_text(), flags=re.M))


def test_a_job_has_the_whole_node(slurm: Path) -> None:
    """All CPUs, memory and GPUs, nobody beside it, no requeue; what the user sets passes through."""
    options = asked(slurm, account="speech", constraint="skylake", timeout_min=90, additional={"qos": "long"})
    assert {
        "exclusive", "nodelist=gpu01", "mem=0", "no-requeue", "cpus-per-task=64", "gres=gpu:a100:4", "account=speech",
        "constraint=skylake", "time=90", "qos=long", "job-name=f-1",
    } <= options  # fmt: skip


def test_where_jobs_cannot_be_alone_the_rows_say_so(slurm: Path) -> None:
    """The job does not ask for it, and the engine says that its nodes are shared."""
    assert "exclusive" not in asked(slurm, exclusive=False)
    assert engines.create("slurm", {"exclusive": False}).shared
    assert not engines.create("slurm").shared


def test_without_slurm_it_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The program that is missing is named."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"slurm: `sinfo` does not answer here .*Run it where jobs are submitted"):
        engines.create("slurm").nodes()


LOCAL = {"cluster": "local", "timeout_min": 30}


def test_a_job_measures_and_its_rows_come_home(suite_data: dict[str, Any], tmp_path: Path) -> None:
    """A real job of submitit, in a process of its own, from its order to the merged run."""
    engine = engines.create("slurm", {**LOCAL, "folder": str(tmp_path / "jobs"), "exclusive": False})
    fleet = conductor.run(portable(suite_data), engine, conductor.FleetOptions(tmp_path / "out"))
    frame = conductor.table(fleet)
    assert (fleet.nodes["local"].status, fleet.nodes["local"].reason) == ("ok", None)
    assert (len(frame), set(frame["status"]), set(frame["exclusive"])) == (2, {"ok"}, {False})
    assert all("node-shared" in flags for flags in frame["flags"])
    assert len(store.runs(tmp_path / "out")) == 1


def test_a_job_that_is_stopped_leaves_no_process(
    suite_data: dict[str, Any], tmp_path: Path, patience: Callable[[float], float]
) -> None:
    """What it had measured is at home; the generator that is closed cancels its job."""
    variants = [{"use": "null/rtfx-100"}, {"use": "null", "rtfx": 0.0001, "name": "slow"}]
    suite = portable({**suite_data, "variants": variants, "protocol": {**suite_data["protocol"], "repeats": 1}})
    engine = engines.create("slurm", {**LOCAL, "folder": str(tmp_path / "jobs")})
    lines = engine.measure(Node("local", "local"), suite, {"fleet": "stopped", "node": "local"})
    seen = []
    for line in lines:
        seen.append(json.loads(line))
        if "[2/2] slow" in seen[-1].get("text", ""):
            break
    assert any(one.get("file") == store.RECORDS for one in seen)
    left = psutil.Process().children(recursive=True)
    assert len(left) >= 3
    lines.close()
    assert psutil.wait_procs(left, patience(30))[1] == []
