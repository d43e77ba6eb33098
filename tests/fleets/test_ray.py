"""The engine ``ray`` on a real cluster of two nodes on this machine, and what each of Ray's errors means."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from greenbench.errors import InputError
from greenbench.fleets import conductor, engines, launch
from greenbench.fleets.selection import select
from greenbench.fleets.suites import portable
from greenbench.fleets.survey import survey
from greenbench.plugins.engines import Engine, Node
from greenbench.results import store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]

MIB = 2**20
PORTS = ("metrics_agent_port", "dashboard_agent_listen_port", "runtime_env_agent_port", "metrics_export_port")


def small() -> dict[str, Any]:
    """Return what a node has: a small object store, and free ports, for which it need not wait on a busy machine."""
    held = [socket.socket() for _ in PORTS]
    for one in held:
        one.bind(("127.0.0.1", 0))
    numbers = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return {"object_store_memory": 80 * MIB, **dict(zip(PORTS, numbers, strict=True))}


def started(begin: Callable[[], Any]) -> Any:
    """Start a part of a cluster: Ray gives it 15 s, which on a busy machine takes several tries, or never succeeds."""
    for _ in range(3):
        with suppress(Exception):
            return begin()
    pytest.skip("Ray does not start here within the time that it allows itself")


@dataclass
class TwoNodes:
    """A cluster whose head is not measured, and how it is reached."""

    cluster: Any
    engine: Engine

    def add(self, name: str) -> Any:
        """Let a node join."""
        given = {"num_cpus": 1, "num_gpus": 0, "resources": {"greenbench": 1}}
        labels = {"greenbench/name": name, "greenbench/tier": "edge" if name == "a" else "lab"}
        joined = started(lambda: self.cluster.add_node(**given, **small(), labels=labels))
        self.cluster.wait_for_nodes()
        return joined


@pytest.fixture(scope="module", autouse=True)
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Ray, which asks for AMD's boards by a library that does not import where it is installed without their driver."""
    folder = tmp_path_factory.mktemp("boards")
    (folder / "amdsmi.py").write_text("raise ImportError('no boards')")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "amdsmi", None)
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        import ray

        yield ray


@pytest.fixture(scope="module")
def two(ray: Any) -> Iterator[TwoNodes]:
    """Two nodes, ``a`` and ``b``, each with one CPU."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GREENBENCH_PYTHON", sys.executable)
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")
        head = {"num_cpus": 0, "include_dashboard": False}
        cluster = started(lambda: Cluster(initialize_head=True, head_node_args={**head, **small()}))
        nodes = TwoNodes(cluster, engines.create(f"ray://{cluster.address}"))
        nodes.engine.nodes()  # connects by the head: who is connected by a node ends with it
        nodes.add("a")
        nodes.add("b")
        yield nodes
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def slow_suite(suite_data: dict[str, Any]) -> dict[str, Any]:
    """A cell that is measured at once, and one that never ends."""
    variants = [{"use": "null/rtfx-100"}, {"use": "null", "rtfx": 0.0001, "name": "slow"}]
    return portable({**suite_data, "variants": variants, "protocol": {**suite_data["protocol"], "repeats": 1}})


def test_labels_choose_nodes_and_each_says_what_it_is(two: TwoNodes) -> None:
    """The head is none of them; the doctor runs on the node that was meant."""
    nodes = two.engine.nodes()
    assert {node.name: node.labels for node in nodes} == {"a": {"tier": "edge"}, "b": {"tier": "lab"}}
    (found,) = survey(two.engine, select(nodes, ["tier=lab"]))
    assert (found.node.name, found.reason) == ("b", None)
    assert found.hello is not None
    assert "energy" in [finding.topic for finding in found.findings]
    with pytest.raises(InputError, match="There are: name=a, name=b, tier=edge, tier=lab"):
        select(nodes, ["tier=cloud"])


def test_both_nodes_are_measured_in_turn_and_merged(two: TwoNodes, suite_data: dict[str, Any], tmp_path: Path) -> None:
    """They share a host, so that its lock lets one wait for the other: no two windows overlap; two runs are merged."""
    fleet = conductor.run(portable(suite_data), two.engine, conductor.FleetOptions(tmp_path / "out"))
    told = {name: (entry.status, entry.problems) for name, entry in fleet.nodes.items()}
    assert told == {"a": ("ok", ()), "b": ("ok", ())}
    assert len(store.runs(tmp_path / "out")) == 2
    windows = [
        [time for edges in store.read_rows(run / store.WINDOWS) for times in edges["segments"] for time in times]
        for run in store.runs(tmp_path / "out")
    ]
    (first, second) = sorted((min(times), max(times)) for times in windows)
    assert first[1] < second[0]
    assert all(entry.engine_cpu_s is not None and entry.run_s for entry in fleet.nodes.values())


def test_threads_and_boards_are_as_the_suite_says(two: TwoNodes, suite_data: dict[str, Any], tmp_path: Path) -> None:
    """Ray gives the task one CPU and sets OMP_NUM_THREADS; the cell has the suite's threads all the same."""
    suite = portable({**suite_data, "threads": 2})
    fleet = conductor.run(suite, two.engine, conductor.FleetOptions(tmp_path / "out", on=["name=a"]))
    frame = conductor.table(fleet)
    assert (set(frame["status"]), set(frame["threads"])) == ({"ok"}, {2})


def measuring(engine: Engine, suite: dict[str, Any], out: Path, name: str) -> tuple[threading.Thread, list[Any]]:
    """Start a fleet of one node in a thread; return once its second cell has begun."""
    begun, result = threading.Event(), list[Any]()

    def watch(news: conductor.News) -> None:
        if isinstance(news, conductor.NodeSaid) and "[2/2] slow" in news.text:
            begun.set()
        if isinstance(news, conductor.NodeEnded):
            begun.set()

    def conduct() -> None:
        result.append(conductor.run(suite, engine, conductor.FleetOptions(out, on=[f"name={name}"]), watch))

    thread = threading.Thread(target=conduct)
    thread.start()
    assert begun.wait(300)
    return thread, result


def agents() -> list[psutil.Process]:
    """Return the processes of nodes, and all below them."""
    ours = [one for one in psutil.process_iter() if "greenbench.fleets.node" in " ".join(_command(one))]
    return [*ours, *(child for one in ours for child in one.children(recursive=True))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_node_that_is_removed_is_lost_and_resumed(
    two: TwoNodes, slow_suite: dict[str, Any], tmp_path: Path, patience: Callable[[float], float]
) -> None:
    """What had arrived is kept and merged, no process is left; once it is back only what is missing is measured."""
    lost = two.add("c")
    thread, result = measuring(two.engine, slow_suite, tmp_path / "out", "c")
    left = agents()
    assert len(left) >= 2
    two.cluster.remove_node(lost, allow_graceful=False)
    thread.join(patience(60))
    (fleet,) = result
    assert (fleet.nodes["c"].status, fleet.nodes["c"].attempts) == ("lost", 1)
    assert psutil.wait_procs(left, patience(20))[1] == []
    before = (fleet.copy_of("c", 1) / store.RECORDS).read_text()
    assert [json.loads(line)["variant"] for line in before.splitlines()] == ["null/rtfx-100"]
    assert len(conductor.table(fleet)) == 1

    back = two.add("c")
    options = conductor.FleetOptions(tmp_path / "out", on=["name=c"], resume=True)
    fleet = conductor.run({**slow_suite, "timeout_s": 1.0}, two.engine, options)
    after = (fleet.copy_of("c", 2) / store.RECORDS).read_text()
    assert after.startswith(before)
    assert [json.loads(line)["status"] for line in after.splitlines()] == ["ok", "error"]
    assert len(store.runs(tmp_path / "out")) == 1
    two.cluster.remove_node(back, allow_graceful=False)


def test_stopping_leaves_no_process(
    two: TwoNodes, slow_suite: dict[str, Any], tmp_path: Path, patience: Callable[[float], float]
) -> None:
    """The task is cancelled, and what it had started ends with it."""
    thread, result = measuring(two.engine, slow_suite, tmp_path / "out", "a")
    left = agents()
    two.engine.stop()
    thread.join(patience(60))
    assert result[0].nodes["a"].status == "lost"
    assert psutil.wait_procs(left, patience(20))[1] == []


def test_what_is_sent_needs_no_greenbench_on_the_node(two: TwoNodes, ray: Any) -> None:
    """Ray's Python there may be another than the one that measures: the task is sent by its content."""
    two.engine.nodes()  # connected
    content = ray.cloudpickle.dumps(launch.lines)
    code = (
        "import pickle, sys\n"
        "class Refused:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.partition('.')[0] == 'greenbench': raise ImportError(name)\n"
        "sys.meta_path.insert(0, Refused())\n"
        "lines = pickle.loads(sys.stdin.buffer.read())\n"
        "print(next(lines(None, {})))\n"
    )
    env = {**os.environ, "GREENBENCH_PYTHON": "/none"}
    done = subprocess.run([sys.executable, "-c", code], input=content, capture_output=True, check=True, env=env)
    assert "/none: cannot be started" in json.loads(done.stdout)["reason"]


def test_a_cluster_that_is_not_there_is_one_line(ray: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would start a cluster of its own: the address is asked, and nothing else."""
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def refuse(**given: Any) -> None:
        assert given["address"] == "10.255.255.1:6379"
        raise ConnectionError("no answer")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(InputError, match=r"ray://10.255.255.1:6379: no cluster answers here \(no answer\)"):
        engines.create("ray://10.255.255.1:6379").nodes()
    with pytest.raises(InputError, match="address"):
        engines.create("ray")


@pytest.mark.parametrize(
    ("error", "given", "fate", "words"),
    [
        ("WorkerCrashedError", (), "lost", "Ray's process on the node died (WorkerCrashedError"),
        ("NodeDiedError", ("n",), "lost", "the node died (NodeDiedError"),
        ("OutOfMemoryError", ("m",), "failed", "RAY_memory_monitor_refresh_ms=0"),
        ("TaskUnschedulableError", ("t",), "refused", "Ray cannot place it"),
        ("RuntimeEnvSetupError", ("e",), "failed", "cannot set up its environment"),
        ("TaskCancelledError", (), "lost", "it was stopped"),
        ("RaySystemError", ("s",), "lost", "Ray itself failed"),
    ],
)  # fmt: skip
def test_each_error_of_ray_becomes_a_status_and_a_reason(
    ray: Any, error: str, given: tuple[str, ...], fate: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever it is, it costs its own node."""

    class Task:
        def options(self, **_: Any) -> "Task":
            return self

        def remote(self, *_: Any) -> Iterator[str]:
            return iter([""])

    def get(_sent: Any) -> None:
        raise getattr(ray.exceptions, error)(*given)

    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "nodes", lambda: [{"NodeID": "n", "Alive": True, "Resources": {"CPU": 1}}])
    monkeypatch.setattr(ray, "remote", lambda **_: lambda _lines: Task())
    monkeypatch.setattr(ray, "wait", lambda sent, timeout: (sent, []))
    monkeypatch.setattr(ray, "get", get)
    monkeypatch.setattr(ray, "cancel", lambda _sent: None)
    engine = engines.create("ray://x:1")
    with pytest.raises(conductor.NodeError) as caught:
        list(engine.measure(Node("n", "n"), None, {}))
    assert caught.value.fate == fate
    assert words in str(caught.value)
