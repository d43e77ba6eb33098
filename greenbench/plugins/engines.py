"""Engines: what carries a run to other machines provides."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from greenbench.errors import GreenbenchError

Lines: TypeAlias = Generator[str, None, None]
"""What a node sends, line by line."""

Fate = Literal["failed", "lost", "refused"]
"""What became of a node that was not measured to the end, see ``NodeError``."""


@dataclass(frozen=True)
class Node:
    """A machine that an engine can measure on.

    Attributes:
        id: by which the engine finds it; it may differ each time the machine joins.
        name: for people; it stays the same, and no two nodes share it.
        labels: by which nodes are chosen, such as ``{"tier": "edge"}``.
    """

    id: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


class NodeError(GreenbenchError):
    """A node was not measured to the end.

    Attributes:
        fate: ``failed``: its process ended with an error; ``lost``: the node, or the line to it, is gone; ``refused``:
            it was not begun.
    """

    def __init__(self, fate: Fate, reason: str) -> None:
        super().__init__(reason)
        self.fate: Fate = fate


class Engine(Protocol):
    """Reaches machines and starts one process of greenbench on each: a frozen dataclass of settings.

    An engine moves text only. On the node it calls ``greenbench.fleets.launch.lines``, which needs nothing but Python
    there, and hands on each line that this yields, unread.
    """

    @property
    def daemons(self) -> Sequence[str]:
        """Parts of the command lines of the engine's own processes on a node, whose CPU seconds are told."""

    @property
    def shared(self) -> bool:
        """Whether a node may get work of others while it is measured: then its rows are not ranked."""

    def nodes(self) -> Sequence[Node]:
        """Return the nodes that are there.

        Raises:
            InputError: the engine cannot be reached with these settings.
        """

    def measure(self, node: Node, suite: Mapping[str, Any] | None, options: Mapping[str, Any]) -> Lines:
        """Start greenbench on a node, and yield each line that it sends, until it has ended.

        It is called for several nodes at once, each from a thread of its own. Closing the generator ends the process on
        the node, and all that it has started.

        Args:
            node: one of ``nodes``.
            suite: its plain data; None where the node is only to say what it is.
            options: for the process on the node, JSON types only.

        Raises:
            NodeError: the node is gone, or was never reached.
        """

    def stop(self) -> None:
        """End what is being measured: each generator of ``measure`` ends, or raises ``NodeError``."""
