"""What is registered, as rows for people: the content of ``greenbench list``."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from greenbench import registry
from greenbench.errors import InputError, did_you_mean
from greenbench.metrics import METRICS

Row = dict[str, Any]

KINDS = ("variants", "datasets", "meters", "methods", "tasks", "normalizers", "scorers", "engines", "metrics")
"""What `greenbench list` lists."""


def rows(what: str) -> list[Row]:
    """Return what is registered of one kind.

    Args:
        what: one of ``KINDS``.

    Raises:
        InputError: there is no such kind.
    """
    if what not in KINDS:
        raise InputError(f"list {what}: nothing of that kind. {did_you_mean(what, KINDS)}")
    own = {"variants": _variants, "meters": _meters, "metrics": _metrics}
    return list(own[what]() if what in own else _described(what))


def _variants() -> Iterator[Row]:
    """Yield the presets of every family, then the family's mapping form."""
    from greenbench.suite.entries import VariantEntry, build_variant, presets

    for family in registry.names("variants"):
        for name in presets(family):
            info = build_variant(VariantEntry(use=name)).info
            yield {"variant": name, "parameters": info.n_params, "licence": info.licence, "settings": None}
        yield {
            "variant": f"{{use: {family}, ...}}",
            "parameters": None,
            "licence": None,
            "settings": _settings("variants", family),
        }


def _described(group: str) -> Iterator[Row]:
    for name in registry.names(group):
        about = _about(registry.load(group, name).__doc__ or "")
        settings = None if group in ("normalizers", "scorers") else _settings(group, name)
        yield {group[:-1]: name, "about": about, "settings": settings}


def _about(docstring: str) -> str:
    """Return the first line of a docstring as people read it: what a function returns, without markup."""
    line = docstring.strip().partition("\n")[0].replace("``", "").removeprefix("Return ")
    return f"{line[:1].upper()}{line[1:]}"


def _meters() -> Iterator[Row]:
    from greenbench.meters import survey

    for name, reason in survey().items():
        meter = registry.load("meters", name)
        yield {
            "meter": name,
            "metrics": ", ".join(meter.metrics),
            "estimates": "yes" if meter.estimates else "no",
            "here": reason or "yes",
        }


def _metrics() -> Iterator[Row]:
    for name, metric in METRICS.items():
        yield {"metric": name, **asdict(metric)}


def _settings(group: str, name: str) -> str | None:
    from dataclasses import fields

    return ", ".join(f.name for f in fields(registry.load(group, name)) if f.init) or None
