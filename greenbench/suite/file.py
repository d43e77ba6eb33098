"""The suite file as text: strict YAML, single values overridden, short forms brought into the long one."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from greenbench.errors import InputError, StoreError
from greenbench.files import readback, strictyaml
from greenbench.files.limits import limits

OPTIONAL = ("protocol", "carbon", "price", "meters", "server", "streaming")
"""Mappings that a suite may leave out and ``--set`` may still reach into."""


def read(path: Path) -> dict[str, Any]:
    """Read a suite file as plain data.

    Raises:
        InputError: it cannot be read, is larger than a suite is, is not YAML, gives a key twice, holds what is no
            setting (see ``strictyaml``), or is not a mapping; one line with the place.
    """
    try:
        data = strictyaml.parse(readback.read_whole(path).decode("utf-8-sig"))
    except StoreError as error:
        why = str(error).removeprefix(f"{path}: ").removeprefix("cannot be read: ")
        raise InputError(f"{path}: cannot read the suite: {why}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8") from error
    except yaml.YAMLError as error:
        number, what = strictyaml.problem(error)
        raise InputError(f"{path}{f':{number}' if number else ''}: not valid YAML: {what}") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: a suite is a mapping with name, datasets and variants at its top level")
    return without_notes(data)


def lines(path: Path) -> dict[tuple[int | str, ...], int]:
    """Return where in a suite file that ``read`` reads each value stands: its place in the data -> the line, from 1."""
    return strictyaml.lines(readback.read_whole(path).decode("utf-8-sig"))


def without_notes(data: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the top-level keys that begin with ``x-`` or a dot: they hold anchors and notes, and ask nothing."""
    return {key: value for key, value in data.items() if not str(key).startswith(("x-", "."))}


def check(data: Any, where: str) -> None:
    """Refuse data, however it was given, that is deeper or larger than a suite, and numbers that are no settings.

    Raises:
        InputError: the first such value, and where it is.
    """
    todo: list[tuple[Any, tuple[str, ...]]] = [(data, ())]
    n_values = 0
    while todo:
        value, place = todo.pop()
        n_values += 1
        items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
        problem = strictyaml.unsound_number(value)
        if len(place) > limits().max_depth or n_values > limits().max_nodes:
            problem = f"nested deeper than {limits().max_depth}, or more than {limits().max_nodes} values"
        if problem:
            raise InputError(f"{where}: {'.'.join(place[:8])}: {problem}")
        todo += [(one, (*place, str(key))) for key, one in items]


def change(data: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a suite's plain data with ``limit``, ``device``, ``protocol`` and ``estimate_energy`` as given."""
    changed = dict(data)
    if changes.get("limit") is not None:
        changed["datasets"] = [
            {**entry, "limit": changes["limit"]} if isinstance(entry, dict) else entry
            for entry in data.get("datasets") or []
        ]
    if changes.get("device") is not None:
        changed["devices"] = [changes["device"]]
    if changes.get("protocol") is not None:
        changed["protocol"] = {"use": changes["protocol"]}
    if changes.get("estimate_energy"):
        changed["estimate_energy"] = True
    return changed


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
        value = strictyaml.parse(text)
    except yaml.YAMLError as error:
        what = strictyaml.problem(error)[1]
        raise InputError(f"--set {assignment}: the value is not valid YAML: {what}") from error
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
    streaming = short.get("streaming")
    if isinstance(streaming, dict) and streaming.get("aligner") is not None:
        streaming["aligner"] = entry(streaming["aligner"], "variants")
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
    folder = use.removeprefix("file:")
    is_bare = not folder.startswith((".", "/", "~"))  # which may also be meant as a hub id
    return {"use": "wav2vec2", "model": f"./{folder}" if is_bare else folder, "name": name}
