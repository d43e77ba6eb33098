"""Strict YAML: plain data of bounded size, or one line that says what is wrong and where."""

import math
import re
from collections.abc import Hashable, Iterator
from typing import Any

import yaml

from greenbench.files.limits import limits

_TAG = "tag:yaml.org,2002:"
_TAGS = {None, "!", *(_TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge"))}
MOST = 2**63
"""No number is larger: what is, no counter and no setting holds."""


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, where YAML would silently keep the last, and keys that are no text.

    Depth and values are counted as the events pass, aliases as often as they repeat what they name: before a value is
    built of any of them.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._most = limits()
        self._n_values: dict[str, int] = {}  # by anchor, once what it names is whole
        self._begun: list[tuple[str | None, int]] = []
        self._total = 0

    def get_event(self) -> yaml.Event:
        event: yaml.Event = super().get_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            self._repeat(event)
        elif isinstance(event, yaml.NodeEvent):
            self._begin(event)
        if self._begun and isinstance(event, (yaml.ScalarEvent, yaml.CollectionEndEvent)):
            anchor, before = self._begun.pop()
            if anchor is not None:
                self._n_values[anchor] = self._total - before
        if len(self._begun) > self._most.max_depth:
            raise _error(f"nested deeper than {self._most.max_depth}", event.start_mark)
        if self._total > self._most.max_nodes:
            what = f"more than {self._most.max_nodes} values, counting what aliases repeat"
            raise _error(what, event.start_mark)
        return event

    def _repeat(self, event: yaml.AliasEvent) -> None:
        if any(anchor == event.anchor for anchor, _ in self._begun):
            raise _error(f"*{event.anchor} is within &{event.anchor} itself", event.start_mark)
        self._total += self._n_values.get(str(event.anchor), 1)

    def _begin(self, event: yaml.NodeEvent) -> None:
        tag = getattr(event, "tag", None)
        if tag not in _TAGS:
            raise _error(f"the tag {str(tag).removeprefix(_TAG)} is not allowed here", event.start_mark)
        self._begun.append((event.anchor, self._total))
        self._total += 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key_node.tag == f"{_TAG}merge":  # `<<: *anchor`, whose keys may be given again
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _error(f"a key is a text, not {key!r:.60}: write it in quotes", key_node.start_mark)
            if key in seen:
                raise _error(f"key '{key}' is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep=deep)
        except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
            kind = node.tag.removeprefix(_TAG)
            raise _error(f"{str(node.value)!r:.60} is no {kind}", node.start_mark) from error
        problem = unsound_number(value)
        if problem:
            raise _error(problem, node.start_mark)
        return value


# YAML 1.1 takes 5e-4, 1e3 and -1E+2 for texts, since it asks for a point and a sign; YAML 1.2 and everybody does not
_Loader.add_implicit_resolver(
    f"{_TAG}float", re.compile(r"^[-+]?(\.\d+|\d+(\.\d*)?)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _error(problem: str, mark: Any) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, mark)


def unsound_number(value: Any) -> str | None:
    """Say why a number is no setting, or return None; so it is for what is no number."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a finite number, or is too large for one"
    if isinstance(value, int) and abs(value) >= MOST:
        return "a whole number of at most 18 digits is expected: this is too large"
    return None


def parse(text: str) -> Any:
    """Return the plain data that YAML holds: mappings with texts as keys, lists, texts, numbers, true, false, null.

    Raises:
        yaml.YAMLError: it is not YAML, holds anything else, or is larger than ``Limits`` allow.
    """
    return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)


def lines(text: str) -> dict[tuple[int | str, ...], int]:
    """Return where each value of YAML that ``parse`` takes stands: the keys and indices to it -> the line, from 1."""
    found: dict[tuple[int | str, ...], int] = {}
    todo: list[tuple[tuple[int | str, ...], Any]] = [((), yaml.compose(text, Loader=_Loader))]
    while todo:
        place, node = todo.pop()
        for name, key, value in _inside(node):
            inner = (*place, name)
            found[inner] = key.start_mark.line + 1
            todo.append((inner, value))
    return found


def _inside(node: Any) -> Iterator[tuple[int | str, Any, Any]]:
    """Yield the key or index of each value, where it begins, and the value."""
    if isinstance(node, yaml.MappingNode):
        yield from ((str(key.value), key, value) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        yield from ((index, value, value) for index, value in enumerate(node.value))


def problem(error: yaml.YAMLError) -> tuple[int | None, str]:
    """Return the line of an error, from 1, and what is wrong there."""
    mark = getattr(error, "problem_mark", None)
    what = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    return (mark.line + 1 if mark else None), " ".join(what.split())
