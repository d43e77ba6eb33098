"""A fleet that is not there: nodes that send runs from a folder, as the real process on a node does.

As a script it conducts that fleet: ``python simulated.py SUITE.json RUNS OUT LOST REFUSED [--resume]``, LOST and
REFUSED names separated by commas; it prints the most memory that it had, in bytes, and its CPU seconds.
"""

import json
import resource
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from greenbench.fleets import conductor, messages
from greenbench.fleets.messages import Appended, Begun, Hello, Replaced, RunEnd
from greenbench.fleets.sync import GROWING
from greenbench.plugins.engines import Node, NodeError
from greenbench.version import __version__

RUN = "run.json"


@dataclass(frozen=True)
class SimulatedEngine:
    """Nodes that have measured already.

    Attributes:
        runs: a folder with a run for each node, in a folder of its name.
        lost: names of nodes that are lost after the first round.
        refused: names of nodes of another version.
    """

    runs: Path
    lost: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    daemons: ClassVar = ()
    shared: ClassVar = False

    def nodes(self) -> list[Node]:
        places = sorted(self.runs.iterdir())
        return [Node(f"id-{n}", place.name, {"tier": ("edge", "lab")[n % 2]}) for n, place in enumerate(places)]

    def measure(self, node: Node, suite: Mapping[str, Any] | None, options: Mapping[str, Any]) -> Iterator[str]:
        assert options["node"] == node.name
        version = "999.0" if node.name in self.refused else __version__
        yield messages.write(Hello(version=version, rows=1, python="3.12", platform="p", platform_name="a board"))
        for stage in ("prepare", "doctor", "lock", "run"):
            yield messages.write(Begun(stage=stage))
        folder = self.runs / node.name
        yield messages.write(Replaced(file=RUN, text=(folder / RUN).read_text()))
        for number in range(1 if node.name in self.lost else 2):
            for file in GROWING:
                if text := "".join(lines_of(folder / file, number)):
                    yield messages.write(Appended(file=file, text=text))
        if node.name in self.lost:
            raise NodeError("lost", "the node died")
        yield messages.write(RunEnd(status="ok", run_s=2.0))

    def stop(self) -> None:
        pass


def lines_of(path: Path, number: int) -> Iterator[str]:
    """Yield the lines of a round; those that are of none come with the first."""
    for line in path.read_text().splitlines(keepends=True) if path.is_file() else ():
        if json.loads(line).get("round", 0) == number:
            yield line


def most_bytes() -> int:
    """Return the most memory that this process had; Linux counts in ``ru_maxrss`` that of who started it, too."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(
            int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM:")
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    suite, runs, out, lost, refused = sys.argv[1:6]
    engine = SimulatedEngine(Path(runs), frozenset(lost.split(",")), frozenset(refused.split(",")))
    conductor.run(
        json.loads(Path(suite).read_text()), engine, conductor.FleetOptions(Path(out), resume="--resume" in sys.argv)
    )
    used = resource.getrusage(resource.RUSAGE_SELF)
    sys.stdout.write(f"{most_bytes()} {used.ru_utime + used.ru_stime:.1f}\n")
