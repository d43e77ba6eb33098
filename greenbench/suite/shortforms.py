"""Short forms of variants: builds put onto one that has a name, and alternatives that make one variant a build."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from greenbench import registry
from greenbench.errors import InputError
from greenbench.suite.entries import Builds

BUILDS: TypeAdapter[Any] = TypeAdapter(Builds)


def expand(variants: Any) -> Any:
    """Bring variants into the form in which each is one, with a name of its own.

    ``{use: NAME, builds: [...]}``, which ``NAME+build`` stands for, takes the settings of the entry with that name.
    ``each: [fp32, onnx, [layer-drop, openvino]]`` makes one variant a build or chain, after ``builds`` where there are
    any; ``builds: {each: [...]}`` says the same. A name that is given gets the builds as suffixes.

    Args:
        variants: of a suite, in the long form of ``suite.file``; what is no list of mappings is returned as it is.

    Raises:
        InputError: alternatives that are none.
    """
    if not isinstance(variants, list) or not all(isinstance(one, dict) for one in variants):
        return variants
    named = {one["name"]: one for one in variants if isinstance(one.get("name"), str) and one["name"] != one.get("use")}
    return [single for index, one in enumerate(variants) for single in _alternatives(_based(one, named), index)]


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


def _alternatives(entry: dict[str, Any], index: int) -> list[dict[str, Any]]:
    """Return one entry for each alternative; the entry itself where there are none."""
    builds = entry.get("builds")
    if isinstance(builds, Mapping) and set(builds) == {"each"}:
        entry = {**entry, "builds": [], "each": builds["each"]}
    if "each" not in entry:
        return [entry]
    each, before = entry.pop("each"), entry.get("builds", [])
    if not isinstance(each, list) or not each:
        raise InputError(f"variants.{index}: each: a list of builds is expected, e.g. [fp32, onnx] (got {each!r:.60})")
    return [_one(entry, before, _parts(alternative)) for alternative in each]


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
