"""The engine ``slurm``: nodes of a cluster that Slurm gives to one job at a time, by submitit."""

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal
from uuid import uuid4

from greenbench import cache, extras
from greenbench.errors import InputError, words
from greenbench.fleets import launch
from greenbench.fleets.sync import file_name
from greenbench.plugins import SuitePath
from greenbench.plugins.engines import Fate, Lines, Node, NodeError

LOOK_S = 1.0
"""So often what a job has sent is looked for."""

STATES: dict[str, tuple[Fate, str]] = {
    "NODE_FAIL": ("lost", "the node failed"),
    "CANCELLED": ("lost", "its job was cancelled"),
    "PREEMPTED": ("lost", "its job was preempted"),
    "TIMEOUT": ("failed", "its job took longer than timeout_min"),
    "OUT_OF_MEMORY": ("failed", "its job had too little memory"),
    "BOOT_FAIL": ("lost", "the node did not start"),
}
"""State of a job -> what it means for its node."""

DOWN = ("down", "drain", "drng", "fail", "maint", "boot", "unk", "inval", "powe")
"""How states of nodes begin that take no job."""


@dataclass(frozen=True)
class Slurm:
    """The nodes of a Slurm cluster: a job each, that has the whole node.

    Attributes:
        partition: of the nodes; None takes every node that is up, and Slurm's default for jobs.
        account: that the jobs are booked on.
        constraint: features that a node must have, as ``sbatch --constraint`` takes them.
        timeout_min: time limit of a job, in minutes.
        exclusive: whether a job has its node to itself; where a site forbids that, ``false``: rows have the flag
            ``node-shared``, are kept, and not ranked.
        additional: other options of ``sbatch``, by name.
        folder: seen by all nodes, for what jobs send; by default in greenbench's cache.
        cluster: ``slurm``; ``local`` runs the job on this machine, without Slurm.
    """

    partition: str | None = None
    account: str | None = None
    constraint: str | None = None
    timeout_min: int = 24 * 60
    exclusive: bool = True
    additional: dict[str, Any] = field(default_factory=dict)
    folder: SuitePath | None = None
    cluster: Literal["slurm", "local"] = "slurm"

    daemons: ClassVar[Sequence[str]] = ("slurmd", "slurmstepd")
    running: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def shared(self) -> bool:
        """Whether Slurm may place others' jobs on a node meanwhile."""
        return not self.exclusive

    def nodes(self) -> list[Node]:
        """Return the nodes that take jobs; their features are labels with the value ``yes``, ``gpu`` is their GPU.

        Raises:
            InputError: Slurm does not answer here.
            MissingError: submitit is not installed.
        """
        extras.need("fleet")
        if self.cluster == "local":
            return [Node("local", "local")]
        command = ["sinfo", "--noheader", "--Node", "--format", "%N|%P|%c|%G|%f|%t"]
        command += ["--partition", self.partition] if self.partition else []
        try:
            told = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            why = str(getattr(error, "stderr", "") or error).strip()
            raise InputError(
                f"slurm: `sinfo` does not answer here ({why:.200}). Run it where jobs are submitted."
            ) from error
        return list(_nodes(told))

    def measure(self, node: Node, suite: Mapping[str, Any] | None, options: Mapping[str, Any]) -> Lines:
        """Measure on a node, in a job that Slurm does not requeue; what it sends passes through a file that both see.

        Raises:
            NodeError: the job came to another end.
        """
        fleet = str(options.get("fleet") or "greenbench")
        folder = self.folder or cache.folder().parent / "slurm"
        sent = folder / file_name(fleet) / f"{file_name(node.name)}-{uuid4().hex[:8]}.jsonl"
        sent.parent.mkdir(parents=True, exist_ok=True)
        job = self._executor(folder / file_name(fleet), fleet, node).submit(launch.into_file, suite, options, str(sent))
        self.running.append(job)
        try:
            yield from _followed(job, sent)
        finally:
            if not job.done():
                job.cancel(check=False)

    def stop(self) -> None:
        """Cancel the jobs."""
        for job in self.running:
            if not job.done():
                job.cancel(check=False)

    def _executor(self, folder: Path, fleet: str, node: Node) -> Any:
        """Return what submits a job for the whole of one node."""
        import submitit

        executor = submitit.AutoExecutor(folder=folder, cluster=self.cluster)
        executor.update_parameters(timeout_min=self.timeout_min, name=fleet, **self._whole(node))
        return executor

    def _whole(self, node: Node) -> dict[str, Any]:
        """Return the options of a job that has a whole node: its CPUs, memory and GPUs."""
        if self.cluster == "local":
            return {}
        whole = {"nodelist": node.id, "mem": 0, "no_requeue": True, "account": self.account}
        options = {
            "exclusive": self.exclusive or None, "partition": self.partition, "constraint": self.constraint,
            "gres": node.labels.get("gres"),
            "additional_parameters": {**{k: v for k, v in whole.items() if v is not None}, **self.additional},
        }  # fmt: skip
        cpus = {"cpus_per_task": int(node.labels["cpus"])} if "cpus" in node.labels else {}
        return cpus | {f"slurm_{name}": value for name, value in options.items() if value is not None}


def _nodes(told: str) -> Iterator[Node]:
    """Yield each node of a listing once, that is up."""
    seen = set[str]()
    for line in told.splitlines():
        name, partition, cpus, gres, features, state = (*line.split("|"), *[""] * 6)[:6]
        if name in seen or state.startswith(DOWN):
            continue
        seen.add(name)
        labels = {"partition": partition.rstrip("*"), "cpus": cpus.rstrip("+"), "state": state}
        labels |= {feature: "yes" for feature in features.split(",") if feature not in ("", "(null)")}
        gpus = [part.partition("(")[0] for part in gres.split(",") if part.startswith("gpu")]
        if gpus:
            labels |= {"gres": ",".join(gpus), "gpu": gpus[0].split(":")[1] if gpus[0].count(":") > 1 else "yes"}
        yield Node(name, name, labels)


def _followed(job: Any, sent: Path) -> Lines:
    """Yield what a job writes into a file, until it has ended.

    Raises:
        NodeError: it came to another end than its process.
    """
    with sent.open("a+", encoding="utf-8") as stream:
        stream.seek(0)
        torn, has_ended = "", False
        while not has_ended:
            has_ended = job.done()  # before the last look: what it wrote until then is read
            while line := stream.readline():
                torn += line
                if torn.endswith("\n"):
                    yield torn
                    torn = ""
            time.sleep(0 if has_ended else LOOK_S)
    fate = STATES.get(str(job.state).split(" ")[0])
    if fate:
        raise NodeError(*fate)
    failure = None
    with suppress(Exception):  # what it left cannot be read: its state says the rest
        failure = job.exception()
    if failure is not None:
        raise NodeError("failed", f"its job failed: {words(failure).rpartition(' ')[0]:.300}")
