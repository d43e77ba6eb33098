"""Short forms of variants: builds put onto one that has a name, and alternatives that make one variant a build."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from greenbench import registry
from greenbench.suite.entries import Builds

BUILDS: TypeAdapter[Any] = TypeAdapter(Builds)


def expand(variants: Any) -> list[list[Any]]:
    """Return for each entry the variants that it stands for, in the form in which each is one, with a name of its own.

    ``{use: NAME, builds: [...]}``, which ``NAME+build`` stands for, takes the settings of the entry with that name.
    ``each: [fp32, onnx, [layer-drop, openvino]]`` makes one variant a build or chain, after ``builds`` where there are
    any; ``builds: {each: [...]}`` says the same. A name that is given gets the builds as suffixes.

    Args:
        variants: of a suite, in the long form of ``suite.file``; of what is no list nothing is returned, and what is
            no mapping in it stands for itself.
    """
    if not isinstance(variants, list):
        return []
    entries = [one for one in variants if isinstance(one, dict)]
    named = {one["name"]: one for one in entries if isinstance(one.get("name"), str) and one["name"] != one.get("use")}
    return [_alternatives(_based(one, named)) if isinstance(one, dict) else [one] for one in variants]


def _based(entry: Mapping[str, Any], named: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return an entry with the settings of the one that it names, where that is none that is registered."""
    use = entry.get("use")
    base = named.get(use) if isinstance(use, str) else None
    if base is None or base is entry or _has_family(str(use)):
        return dict(entry)
    inherited = {key: value for key, value in base.items() if key not in ("each", "name", "builds")}
    own = {key: value for key, value in entry.items() if key != "use"}
    chain = [*_chain(base.get("builds", [])), *_chain(entry.get("builds", []))]
    name = entry.get("name") or "+".join([str(use), *_labels(_chain(entry.get("builds", [])))])
    return {**inherited, **own, "builds": chain, "name": name}


def _chain(builds: Any) -> list[Any]:
    return list(builds) if isinstance(builds, list) else []


def _has_family(use: str) -> bool:
    return use.partition("/")[0] in registry.names("variants")


def _alternatives(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one entry for each alternative; the entry itself where there are none, or are none that can be read."""
    builds = entry.get("builds")
    if isinstance(builds, Mapping) and set(builds) == {"each"}:
        entry = {**entry, "builds": [], "each": builds["each"]}
    each = entry.get("each")
    if not isinstance(each, list) or not each:
        return [entry]
    rest = {key: value for key, value in entry.items() if key != "each"}
    return [_one(rest, rest.get("builds", []), _parts(alternative)) for alternative in each]


def _parts(alternative: Any) -> list[Any]:
    """Return the chain that an alternative is: ``a+b``, a list, or one build with its settings."""
    if isinstance(alternative, str):
        return list(alternative.split("+"))
    return list(alternative) if isinstance(alternative, list) else [alternative]


def _one(entry: Mapping[str, Any], before: list[Any], builds: list[Any]) -> dict[str, Any]:
    named = {"name": "+".join([str(entry["name"]), *_labels(builds)])} if entry.get("name") else {}
    return {**entry, **named, "builds": [*before, *builds]}


def _labels(builds: list[Any]) -> list[str]:
    """Return what builds are called in a name; of those that are none, which is said later, what is written there."""
    try:
        return [build.label for build in BUILDS.validate_python(builds)]
    except ValidationError:
        return [str(build) for build in builds]
