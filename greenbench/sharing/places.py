"""The models and data of an entry, which it names by the last part of their paths: where they are here."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from greenbench import registry
from greenbench.sharing import privacy

SETTINGS = ("model", "path", "root")
"""Settings that name a folder or a file."""

_KEPT = ("use", "name", "revision")


def here(suite: Mapping[str, Any], files: Path | None) -> dict[str, Any]:
    """Return the data sets, variants and aligner of an entry's suite with the paths that they have on this machine.

    Args:
        suite: of the entry.
        files: a folder with what the entry names; None where there is none.
    """
    return {kind: _resolved(entries, files) for kind, entries in _bundled(suite).items()}


def unfound(suite: Mapping[str, Any], files: Path | None) -> list[str]:
    """Return the names of folders and files of an entry's suite that are neither bundled nor in ``files``."""
    named = dict.fromkeys(_named(here(suite, files)))
    return [name for name in named if not Path(name).exists()]


def with_remedy(why: str, unfound: Iterable[str]) -> str:
    """Add to a reason that concerns one of these names how it is given here."""
    name = next((name for name in unfound if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", why)), None)
    if name is None:
        return why
    return f"{why.rstrip('.')}. If you have it, say with `--files FOLDER` in which folder {name} is."


def _bundled(suite: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries with the paths of their presets, which a shared suite has by their last names only."""
    bundled = {"datasets": suite["datasets"], "variants": [{**item, **_preset(item)} for item in suite["variants"]]}
    streaming = suite.get("streaming") or {}
    if aligner := streaming.get("aligner"):
        bundled["streaming"] = {**streaming, "aligner": {**aligner, **_preset(aligner)}}
    return bundled


def _preset(item: Mapping[str, Any]) -> dict[str, str]:
    family, _, preset = str(item["use"]).partition("/")
    settings = registry.load("variants", family).presets.get(preset, {}) if preset else {}
    return {name: str(value) for name, value in settings.items() if privacy.text(str(value)) == item.get(name)}


def _resolved(item: Any, files: Path | None) -> Any:
    """Return an entry of a suite in which each text that names something in ``files`` is replaced by its path."""
    if isinstance(item, dict):
        return {name: value if name in _KEPT else _resolved(value, files) for name, value in item.items()}
    if isinstance(item, list):
        return [_resolved(part, files) for part in item]
    if isinstance(item, str) and files is not None and item not in ("", ".", "..") and (files / item).exists():
        return str((files / item).resolve())
    return item


def _named(item: Any) -> Iterator[str]:
    """Yield the folders and files that a part of a suite names."""
    for name, value in item.items() if isinstance(item, dict) else enumerate(item):
        if isinstance(value, dict | list):
            yield from _named(value)
        elif name in SETTINGS and isinstance(value, str):
            yield value
