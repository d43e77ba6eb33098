"""The suite file as text: strict YAML, single values overridden, short forms brought into the long one."""

import math
import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from greenbench.errors import InputError

OPTIONAL = ("protocol", "carbon", "meters", "server")
"""Mappings that a suite may leave out and ``--set`` may still reach into."""


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, where YAML would silently keep the last, and reads ``5e-4``."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # `<<: *anchor`, whose keys may be given again
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _number(loader: _StrictLoader, node: yaml.ScalarNode) -> float:
    """Return a number that is not whole; one that no float holds is refused."""
    value = float(yaml.constructor.SafeConstructor.construct_yaml_float(loader, node))
    if not math.isfinite(value):
        problem = f"{node.value} is no finite number, or too large for one"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    return value


# YAML 1.1 takes 5e-4, 1e3 and -1E+2 for texts, since it asks for a point and a sign; YAML 1.2 and everybody does not
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\.\d+|\d+(\.\d*)?)[eE][-+]?\d+$"), list("-+.0123456789")
)
_StrictLoader.add_constructor("tag:yaml.org,2002:float", _number)


def read(path: Path) -> dict[str, Any]:
    """Read a suite file as plain data.

    Raises:
        InputError: it cannot be read, is not YAML, gives a key twice, or is not a mapping; one line with the place.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 (a SafeLoader)
    except OSError as error:
        raise InputError(f"{path}: cannot read the suite: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: a suite is a mapping with name, datasets and variants at its top level")
    return without_notes(data)


def without_notes(data: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the top-level keys that begin with ``x-`` or a dot: they hold anchors and notes, and ask nothing."""
    return {key: value for key, value in data.items() if not str(key).startswith(("x-", "."))}


def override(data: Any, assignment: str) -> None:
    """Set one value in a suite's plain data, in place.

    Args:
        data: from ``read``.
        assignment: ``path.to.value=VALUE`` with VALUE in YAML; the last key may be new, what is above it may not.

    Raises:
        InputError: it hits nothing, or is not of that form.
    """
    path, equals, text = assignment.partition("=")
    if not equals:
        raise InputError(f"--set {assignment}: write it as path.to.value=VALUE")
    *parents, last = path.split(".")
    node = data
    for part in parents:
        node = _child(node, part, assignment)
    try:
        value = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise InputError(f"--set {assignment}: the value is not valid YAML: {problem}") from error
    if isinstance(node, list):
        _child(node, last, assignment)
        node[int(last)] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise InputError(f"--set {assignment}: there is no mapping or list above '{last}'")


def _child(node: Any, part: str, assignment: str) -> Any:
    if isinstance(node, list) and part.isdigit() and int(part) < len(node):
        return node[int(part)]
    if isinstance(node, dict) and part in OPTIONAL:
        return node.setdefault(part, {})
    if isinstance(node, dict) and part in node:
        return node[part]
    raise InputError(f"--set {assignment}: the suite has no '{part}' there")


def long_form(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy with short forms brought into the long one: a name as ``{use: name}``, ``a+b`` with its builds."""
    short = without_notes(deepcopy(dict(data)))
    if isinstance(short.get("protocol"), str):
        short["protocol"] = {"use": short["protocol"]}
    for group in ("datasets", "variants"):
        if isinstance(short.get(group), list):
            short[group] = [entry(given, group) for given in short[group]]
    return short


def entry(given: Any, group: str) -> Any:
    """Return the long form of one entry of ``datasets`` or ``variants``."""
    if isinstance(given, str):
        use, *builds = given.split("+") if group == "variants" else [given]
        named = _folder(use, given) if group == "variants" and use.startswith("file:") else {"use": use}
        return {**named, "builds": builds} if builds else named
    if isinstance(given, dict) and group == "variants" and "use" in given and given["use"] is None:
        return {**given, "use": "null"}  # `use: null` is YAML's None, and a variant's name here
    return given


def _folder(use: str, name: str) -> dict[str, Any]:
    """Return the long form of ``file:FOLDER``: a wav2vec 2.0 model in a folder, called as it is written."""
    return {"use": "wav2vec2", "model": use.removeprefix("file:"), "name": name}
