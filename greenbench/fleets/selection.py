"""Which nodes are meant: those whose labels match every selector."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from greenbench.errors import InputError
from greenbench.plugins.engines import Node


def select(nodes: Sequence[Node], selectors: Iterable[str]) -> list[Node]:
    """Return the nodes that match.

    Args:
        nodes: those that there are.
        selectors: ``LABEL=VALUE`` each, in which ``*`` stands for anything; all must hold. ``name`` is a label, too.

    Raises:
        InputError: there is no such node, two share a name, or a selector has another form.
    """
    wanted = [_parsed(selector) for selector in selectors]
    if not nodes:
        raise InputError("the engine has no node to measure on: start some, and look with `greenbench fleet nodes`")
    names = [node.name for node in nodes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"two nodes are called {twice[0]}: give each a name of its own, by which it is resumed")
    chosen = [node for node in nodes if all(_matches(labels(node), *one) for one in wanted)]
    if not chosen:
        found = sorted({f"{label}={value}" for node in nodes for label, value in labels(node).items()})
        asked = " ".join(f"--on {label}={value}" for label, value in wanted)
        raise InputError(f"{asked}: no node has these labels. There are: {', '.join(found)}")
    return chosen


def labels(node: Node) -> dict[str, str]:
    """Return the labels of a node, its name among them."""
    return {**node.labels, "name": node.name}


def _parsed(selector: str) -> tuple[str, str]:
    label, equals, value = selector.partition("=")
    if not (label and equals):
        raise InputError(f"--on {selector}: write it as LABEL=VALUE, in which * stands for anything")
    return label, value


def _matches(known: Mapping[str, str], label: str, value: str) -> bool:
    return label in known and fnmatchcase(known[label], value)
