"""Names to plug-ins, lazily: a name is looked up in the entry points, and only its own module is imported."""

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from greenbench import wording
from greenbench.errors import GreenbenchError, InputError, did_you_mean

GROUPS = ("variants", "datasets", "meters", "methods", "tasks", "normalizers", "scorers", "engines")


class PluginError(GreenbenchError):
    """A plug-in cannot be imported, or two of them claim one name."""


def installed(group: str) -> Iterable[EntryPoint]:
    """Return the entry points of a group, of all packages on the import path; a name can be there twice.

    Args:
        group: one of ``GROUPS``.
    """
    found: Iterable[EntryPoint] = _read(tuple(sys.path)).select(group=f"greenbench.{group}")
    return found


@lru_cache
def _read(_path: tuple[str, ...]) -> Any:
    """Return all entry points on an import path: the files of all packages are read, which one group takes as well."""
    return entry_points()


@lru_cache
def entries(group: str) -> Mapping[str, EntryPoint]:
    """Return the group's entry points by name."""
    by_name: dict[str, EntryPoint] = {}
    for entry in sorted(installed(group), key=lambda e: (e.name, e.value)):
        if entry.name in by_name and by_name[entry.name].value != entry.value:
            raise PluginError(
                f"two plug-ins are registered as '{entry.name}' in greenbench.{group}: "
                f"{by_name[entry.name].value} and {entry.value}. Uninstall or rename one of them."
            )
        by_name[entry.name] = entry
    return by_name


def names(group: str) -> list[str]:
    """Return the names registered in ``group`` (one of ``GROUPS``), sorted, without importing any."""
    return sorted(entries(group))


def name_of(group: str, plugin: Any) -> str:
    """Return the name that a plug-in instance's class is registered as in ``group``, else the class's own.

    Args:
        group: one of ``GROUPS``.
        plugin: an instance; nothing is imported.
    """
    kind = type(plugin)
    written = f"{kind.__module__}:{kind.__qualname__}"
    return next((entry.name for entry in entries(group).values() if entry.value == written), kind.__name__)


def load(group: str, name: str) -> Any:
    """Import the plug-in registered as ``name``.

    Args:
        group: one of ``GROUPS``.
        name: the entry point's name.

    Returns:
        The plug-in: a settings class, or a function for normalisers and scorers.

    Raises:
        InputError: no such name; the message has the nearest one.
        PluginError: the plug-in fails to import, or its name is taken twice.
    """
    known = entries(group)
    if name not in known:
        raise InputError(f"unknown {group[:-1]} '{name}'. {did_you_mean(name, known)}")
    try:
        return known[name].load()
    except Exception as error:
        raise PluginError(
            f"the {group[:-1]} plug-in '{name}' ({known[name].value}) does not import: {type(error).__name__}: {error}"
        ) from error


def create(group: str, name: str, options: Mapping[str, Any], base: Path | None = None) -> Any:
    """Import a plug-in and give it its settings, strictly checked.

    Args:
        group: one of ``GROUPS`` but ``normalizers`` and ``scorers``.
        name: the entry point's name.
        options: settings by field name, JSON types only.
        base: folder that relative paths are tried against first.

    Returns:
        An instance of the plug-in's settings class.

    Raises:
        InputError: unknown name, unknown setting or wrong type; ``path: message`` with the setting's name.
    """
    from pydantic import ValidationError

    plugin = load(group, name)
    valid = [f.name for f in fields(plugin) if f.init]
    for key in options:
        if key not in valid:
            raise InputError(f"{key}: unknown key for {group[:-1]} '{name}'. {did_you_mean(key, valid)}")
    try:
        return _checked(adapter(plugin), dict(options), {"base": base})
    except ValidationError as error:
        is_missing = error.errors()[0]["type"] == "missing"
        whose = f"; {group[:-1]} '{name}' needs it" if is_missing else ""
        raise InputError(f"{first_problem(error)}{whose}") from error


@lru_cache
def adapter(kind: Any) -> Any:
    """Return pydantic's ``TypeAdapter`` of a class; one takes milliseconds to build, and a suite asks for many."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _checked(form: Any, options: dict[str, Any], context: Mapping[str, Any]) -> Any:
    """Check as strictly as JSON allows; a path with bytes that are not UTF-8 is no JSON, and is taken as it is."""
    try:
        text = json.dumps(options, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return form.validate_python(options, context=context)
    return form.validate_json(text, strict=True, context=context)


def settings(plugin: Any) -> dict[str, Any]:
    """Return a plug-in instance's settings as JSON types, defaults included."""
    kind: Any = type(plugin)
    dumped: dict[str, Any] = adapter(kind).dump_python(plugin, mode="json")
    return dumped


def first_problem(error: Any) -> str:
    """Return the first problem of a pydantic ``ValidationError`` as ``path: what is wrong (got ...)``."""
    problem = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in problem["loc"])
    return f"{path}: {wording.describe(problem)}" if path else wording.describe(problem)
