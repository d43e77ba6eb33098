"""What the nodes of an engine are, and what each can measure, as the doctor finds on it."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from greenbench.errors import GreenbenchError, words
from greenbench.fleets import messages
from greenbench.fleets.messages import Checked, Hello
from greenbench.plugins.engines import Engine, Node


@dataclass(frozen=True)
class SurveyedNode:
    """One node.

    Attributes:
        node: as the engine has it.
        hello: its platform and versions; None where it did not answer.
        findings: of its doctor.
        reason: why it did not answer, or not to the end.
    """

    node: Node
    hello: Hello | None = None
    findings: tuple[Checked, ...] = ()
    reason: str | None = None

    @property
    def energy(self) -> str | None:
        """What it says of joules."""
        return next((finding.message for finding in self.findings if finding.topic == "energy"), None)

    @property
    def against_official(self) -> list[str]:
        """What keeps it from the official protocol."""
        return [finding.topic for finding in self.findings if finding.blocks_official]


def survey(engine: Engine, nodes: Sequence[Node]) -> list[SurveyedNode]:
    """Ask nodes what they are, side by side; it takes seconds."""
    with ThreadPoolExecutor(max(1, len(nodes))) as pool:
        try:
            return list(pool.map(lambda node: _ask(engine, node), nodes))
        except BaseException:
            engine.stop()
            raise


def _ask(engine: Engine, node: Node) -> SurveyedNode:
    hello, findings, reason = None, list[Checked](), "it sent no end: the node, or the line to it, is gone"
    try:
        with closing(engine.measure(node, None, {})) as lines:
            for message in map(messages.read, lines):
                if isinstance(message, Hello):
                    hello = message
                elif isinstance(message, Checked):
                    findings.append(message)
                elif isinstance(message, messages.RunEnd):
                    reason = message.reason or ""
    except GreenbenchError as error:
        reason = words(error)
    return SurveyedNode(node, hello, tuple(findings), reason or None)
