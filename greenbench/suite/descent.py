"""What the variants of a suite are whatever they are called, and which of them descends from which."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from greenbench import registry
from greenbench.errors import GreenbenchError, did_you_mean
from greenbench.models import ancestry
from greenbench.models.ancestry import NAMED, Identity
from greenbench.plugins import Calibrated, Step, Variant
from greenbench.suite.entries import (
    Build,
    VariantEntry,
    build_family,
    build_variant,
    is_registered,
    names_plugin,
    registered,
)


def origin(entry: VariantEntry, variant: Variant, suite: Sequence[VariantEntry]) -> dict[str, Any]:
    """Return the columns by which rows of a variant and of its ancestors find each other, see ``ancestry``.

    Args:
        entry: the variant's.
        variant: that it comes to.
        suite: all variants of its suite, which name its parent where that is one of them.
    """
    own = _origin(entry, variant, suite)
    others = [other for other in suite if other.name != entry.name]
    has_parent = len(ancestry.identity(own)) > 1 or own["ancestors"]
    known = [_origin(other, build_variant(other), suite) for other in others] if has_parent else []
    found = ancestry.nearest(own, known, lambda row: row)
    return {**own, "parent": found["variant"] if found else own["parent"]}


def _origin(entry: VariantEntry, variant: Variant, suite: Sequence[VariantEntry]) -> dict[str, Any]:
    recorded, stated = tuple(variant.ancestors()), _stated(entry, suite)
    return {
        "variant": variant.name,
        "identity": ancestry.written([identity(entry, variant)]),
        "parent": variant.parent or entry.teacher,
        "ancestors": ancestry.written(dict.fromkeys([*recorded, *stated])),
        "ancestors_from": "suite" if stated else "lineage" if recorded else None,
    }


def _stated(entry: VariantEntry, suite: Sequence[VariantEntry]) -> list[Identity]:
    """Return the teacher that the suite states, and its teachers in turn."""
    if entry.teacher is None:
        return []
    teacher = _teacher(entry.teacher, suite)
    variant = build_variant(teacher)
    return [identity(teacher, variant) or (f"{NAMED}{entry.teacher}",), *variant.ancestors(), *_stated(teacher, suite)]


def _teacher(name: str, suite: Sequence[VariantEntry]) -> VariantEntry:
    """Return the entry of a stated teacher: the suite's, or that of the registered variant."""
    return next((other for other in suite if other.name == name), VariantEntry(use=name))


def identity(entry: VariantEntry, variant: Variant) -> Identity:
    """Return what an entry measures whatever it is called; empty where its weights are not here.

    Args:
        entry: the variant's.
        variant: that it comes to.
    """
    try:
        base = variant.identity() if variant.identity else _by_settings(entry)
        return (*base, *map(_step, entry.builds)) if base else ()
    except (GreenbenchError, OSError):  # not here, or not readable: the cell says so
        return ()


def _by_settings(entry: VariantEntry) -> Identity:
    name = entry.use.partition("/")[0]
    settings = json.dumps(registry.settings(build_family(entry)), sort_keys=True)
    return (f"{name}:{hashlib.sha256(settings.encode()).hexdigest()[:32]}",)


def _step(build: Build) -> str:
    """Return a build by its method and the settings that are not the defaults, whatever it is called."""
    method = registry.create("methods", build.use, build.settings)
    given = registry.settings(method)
    default = {f.name: f.default_factory() if f.default_factory is not MISSING else f.default for f in fields(method)}
    changed = {name: value for name, value in given.items() if _text(value) != _text(default[name])}
    changed = by_content(method, changed)
    return ancestry.plain(build.use + (_text(changed) if changed else ""))


def by_content(method: Step, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of a method in which calibration speech is its digest wherever it lies, None where unused."""
    if not isinstance(method, Calibrated):
        return dict(settings)
    data = method.calibrated_on()
    return {name: data and data.digest if names_plugin(value) else value for name, value in settings.items()}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def wrong_teacher(entry: VariantEntry, suite: Sequence[VariantEntry]) -> str | None:
    """Say why the teacher that a suite states for a variant cannot be meant, or return None."""
    if entry.teacher is None:
        return None
    names = {str(other.name): other for other in suite}
    if own := _own_ancestor(entry, names):
        return f"teacher: '{own}' would descend from itself"
    if entry.teacher not in names and not is_registered(entry.teacher):
        valid = [name for name in [*names, *registered()] if name != entry.name]
        nearest = did_you_mean(entry.teacher, valid)
        return f"teacher: '{entry.teacher}' is neither a variant of this suite nor a registered one. {nearest}"
    if _model(entry) == _model(_teacher(entry.teacher, suite)):
        return f"teacher: '{entry.teacher}' is the same model with the same settings. Leave `teacher` out"
    return None


def _own_ancestor(entry: VariantEntry, names: Mapping[str, VariantEntry]) -> str | None:
    line, teacher = [entry.name], entry.teacher
    while teacher is not None and teacher not in line:
        line.append(teacher)
        teacher = names[teacher].teacher if teacher in names else None
    return teacher


def _model(entry: VariantEntry) -> list[Any]:
    return [_by_settings(entry), *(build.model_dump(exclude={"name"}) for build in entry.builds)]
