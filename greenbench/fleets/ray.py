"""The engine ``ray``: machines that have joined a Ray cluster; one task has a whole machine."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from greenbench import extras
from greenbench.errors import InputError, MissingError, words
from greenbench.fleets import launch
from greenbench.plugins.engines import Fate, Lines, Node, NodeError

RESOURCE = "greenbench"
"""What machines are measured have: ``ray start --resources '{"greenbench": 1}'``; the cluster's head has none."""

OWN = f"{RESOURCE}/"
"""Prefix of the labels that people give: ``--labels greenbench/tier=edge`` is chosen by ``--on tier=edge``."""

NODE_ID, ACCELERATOR = "ray.io/node-id", "ray.io/accelerator-type"
"""Labels that Ray sets itself."""

LOOK_S = 5.0
"""So often a node is looked for while it sends nothing."""

SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
"""Of the environment of the head: nothing is sent to Ray's makers, and workers run in the Python that they have."""

FATES: tuple[tuple[str, Fate, str], ...] = (
    ("TaskCancelledError", "lost", "it was stopped"),
    ("NodeDiedError", "lost", "the node died"),
    ("WorkerCrashedError", "lost", "Ray's process on the node died"),
    (
        "OutOfMemoryError",
        "failed",
        "Ray's memory monitor ended it: start the node with RAY_memory_monitor_refresh_ms=0",
    ),
    ("TaskUnschedulableError", "refused", "Ray cannot place it on the node"),
    ("RuntimeEnvSetupError", "failed", "Ray cannot set up its environment on the node"),
    ("ObjectLostError", "lost", "what it sent was lost with the node"),
    ("RaySystemError", "lost", "Ray itself failed"),
    ("RayError", "failed", "Ray"),
)
"""Each error of ``ray.exceptions`` -> what it means for the node; the first that fits counts."""


@dataclass(frozen=True)
class Ray:
    """The machines of a Ray cluster that have the resource ``greenbench``: tasks, each with a whole machine.

    Attributes:
        address: ``HOST:PORT`` of the cluster's head, where the command is run; never guessed, for Ray would start a
            cluster of its own.
    """

    address: str

    shared: ClassVar[bool] = False
    daemons: ClassVar[Sequence[str]] = ("raylet", "gcs_server", "ray::", "ray/_private/", "ray/dashboard/")
    running: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)

    def nodes(self) -> list[Node]:
        """Return the machines that have joined, by their labels ``greenbench/...``.

        Raises:
            InputError: there is no cluster at the address.
            MissingError: Ray is not installed.
        """
        alive = [node for node in _connected(self.address).nodes() if node["Alive"] and RESOURCE in node["Resources"]]
        hosts = [str(node["NodeManagerHostname"]) for node in alive]
        return [_node(node, hosts) for node in alive]

    def measure(self, node: Node, suite: Mapping[str, Any] | None, options: Mapping[str, Any]) -> Lines:
        """Measure on a machine, in a task that is never repeated by Ray.

        Raises:
            NodeError: the machine or its task is gone.
        """
        ray = _connected(self.address)
        resources = {one["NodeID"]: one["Resources"] for one in ray.nodes() if one["Alive"]}.get(node.id)
        if resources is None:
            raise NodeError("lost", "the node has left the cluster")
        task = ray.remote(max_retries=0, max_calls=1)(launch.lines).options(
            num_cpus=resources.get("CPU", 0), num_gpus=resources.get("GPU", 0), resources={RESOURCE: 1},
            label_selector={NODE_ID: node.id},
        )  # fmt: skip
        sent = task.remote(suite, options)
        self.running.append(sent)
        try:
            while True:
                _await_next(ray, sent, node)
                yield ray.get(next(sent))
        except StopIteration:
            return
        except ray.exceptions.RayError as error:
            raise _fate(error) from None
        finally:
            ray.cancel(sent)

    def stop(self) -> None:
        """Cancel the tasks; each ends its process in order."""
        for sent in self.running:
            _connected(self.address).cancel(sent)


def _connected(address: str) -> Any:
    """Return Ray, connected to a cluster.

    Raises:
        InputError: there is none.
        MissingError: Ray is not installed, or does not import.
    """
    extras.need("fleet")
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        from ray import cloudpickle
    except Exception as error:  # Ray imports bindings of boards, which fail in their own ways where no driver is
        raise MissingError(
            f"ray does not import here ({type(error).__name__}: {words(error):.200}): conduct from an environment of "
            "its own (pip install 'greenbench[fleet]'), and name that of the models by GREENBENCH_PYTHON on each node."
        ) from error

    if not ray.is_initialized():
        cloudpickle.register_pickle_by_value(launch)  # so that Ray's Python on a node needs no greenbench
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
            raise InputError(
                f"ray://{address}: no cluster answers here ({words(error):.300}). Start one with `ray start --head`, "
                "and give the address that it prints."
            ) from error
    return ray


def _node(node: Mapping[str, Any], hosts: Sequence[str]) -> Node:
    """Return a machine by its label ``name``, or its host's name, with a part of its id where two share that."""
    given = {name.removeprefix(OWN): value for name, value in node["Labels"].items() if name.startswith(OWN)}
    if ACCELERATOR in node["Labels"]:
        given.setdefault("gpu", node["Labels"][ACCELERATOR])
    host = str(node["NodeManagerHostname"])
    name = given.pop("name", None) or (host if hosts.count(host) == 1 else f"{host}-{node['NodeID'][:6]}")
    return Node(node["NodeID"], name, given)


def _await_next(ray: Any, sent: Any, node: Node) -> None:
    """Wait for what a task sends next, as long as its machine is there.

    Raises:
        NodeError: it has left the cluster.
    """
    while not ray.wait([sent], timeout=LOOK_S)[0]:
        if not any(one["Alive"] and one["NodeID"] == node.id for one in ray.nodes()):
            raise NodeError("lost", "the node has left the cluster")


def _fate(error: Exception) -> NodeError:
    from ray import exceptions

    for name, fate, reason in FATES:
        if isinstance(error, getattr(exceptions, name)):
            return NodeError(fate, f"{reason} ({name}: {words(error):.300})")
    return NodeError("failed", words(error))
