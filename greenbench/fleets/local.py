"""The engine ``local``: this machine as the only node."""

import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from greenbench.fleets import launch
from greenbench.plugins.engines import Lines, Node


@dataclass(frozen=True)
class Local:
    """This machine as the only node: what the other engines do elsewhere, done here."""

    daemons: ClassVar[Sequence[str]] = ()
    shared: ClassVar[bool] = False
    running: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)

    def nodes(self) -> list[Node]:
        """Return this machine."""
        labels = {"system": platform.system().lower(), "machine": platform.machine()}
        return [Node("local", platform.node() or "localhost", labels)]

    def measure(self, _node: Node, suite: Mapping[str, Any] | None, options: Mapping[str, Any]) -> Lines:
        """Measure here, in a process of its own."""
        return launch.lines(suite, options, self.running.append)

    def stop(self) -> None:
        """RunEnd the processes."""
        process: subprocess.Popen[bytes]
        for process in self.running:
            process.terminate()
