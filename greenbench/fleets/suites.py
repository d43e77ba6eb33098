"""The suite that goes to each node: checked here, in the form in which every machine reads it the same."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from greenbench import registry
from greenbench.suite import config, file
from greenbench.suite.config import Suite


def portable(
    source: str | Path | Mapping[str, Any] | Suite,
    overrides: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a suite's plain data for other machines.

    Names and settings are checked here; paths are made absolute, and must lead to the same files on every node. What a
    registered name stands for is left to each node, and so is the number of threads, unless the suite says it.

    Args:
        source: as ``config.load`` takes it.
        overrides: the same.
        changes: the same.

    Raises:
        InputError: it has faults.
    """
    suite = config.load(source, overrides, changes)
    written = dict(source) if isinstance(source, (Mapping, Suite)) else file.read(Path(source))
    is_given = "threads" in written or any(one.partition("=")[0] == "threads" for one in overrides)
    data: dict[str, Any] = {**suite.model_dump(mode="json"), **({} if is_given else {"threads": None})}
    aligner = data["streaming"].get("aligner")
    if aligner is not None:
        data["streaming"] = {**data["streaming"], "aligner": _as_named(aligner)}
    return {**data, "variants": [_as_named(variant) for variant in data["variants"]]}


def _as_named(variant: Mapping[str, Any]) -> dict[str, Any]:
    """Return a variant without what its registered name stands for: each node fills that in, with paths of its own."""
    family, _, preset = str(variant["use"]).partition("/")
    known = registry.load("variants", family).presets.get(preset, {})
    return {key: value for key, value in variant.items() if key not in known or str(known[key]) != str(value)}
