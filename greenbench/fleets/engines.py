"""Which engine is meant: its name, its address and its settings, as the command line has them."""

from collections.abc import Mapping, Sequence
from typing import Any

from greenbench import registry
from greenbench.errors import InputError
from greenbench.files import strictyaml
from greenbench.plugins.engines import Engine


def create(name: str, settings: Mapping[str, Any] | None = None) -> Engine:
    """Return an engine.

    Args:
        name: as registered, such as ``slurm``; what follows ``://`` is its setting ``address``: ``ray://HOST:6379``.
        settings: by name.

    Raises:
        InputError: there is no such engine, or no such setting.
    """
    kind, _, address = name.partition("://")
    engine: Engine = registry.create("engines", kind, {**({"address": address} if address else {}), **(settings or {})})
    return engine


def parsed(settings: Sequence[str]) -> dict[str, Any]:
    """Return settings from ``NAME=VALUE`` texts, each value in YAML.

    Raises:
        InputError: one has another form.
    """
    found = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not (name and equals):
            raise InputError(f"--setting {setting}: write it as NAME=VALUE")
        found[name] = strictyaml.parse(value)
    return found
