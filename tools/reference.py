"""The generated tables of docs/reference: what the program's own tables declare, in Markdown."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

DEFAULT = "publish"
"""The command of a group that may be left out."""


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; what would be HTML or end a cell is escaped."""
    lines = [headings, ["---"] * len(headings), *([_escaped(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _escaped(cell: str) -> str:
    parts = cell.replace("|", "\\|").split("`")  # every second part is code
    return "`".join(part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts))


# --- the command line ------------------------------------------------------------------------------------


def commands() -> dict[str, Any]:
    """Return the program's commands by name, those of groups as ``group command``."""
    import typer.main

    from greenbench.cli import app

    found: dict[str, Any] = {}
    for name, command in typer.main.get_command(app).commands.items():
        inner = getattr(command, "commands", None) or {"": command}
        found |= {f"{name} {part}".strip() if part != DEFAULT else name: c for part, c in inner.items()}
    return found


def program_options() -> list[str]:
    """Return the options of the program itself."""
    import typer.main

    from greenbench.cli import app

    return [option for parameter in typer.main.get_command(app).params for option in parameter.opts]


def command_help() -> str:
    """Return a section for each command: how it is called, what it does, its options."""
    return "\n\n".join(_command(name, command) for name, command in sorted(commands().items()))


def _command(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join(["greenbench", name, *(_argument(p) for p in arguments)])
    parts = [f"## `greenbench {name}`", f"`{usage}`", command.help]
    if options:
        rows = [(" ".join(f"`{one}`" for one in (*p.opts, *p.secondary_opts)), f"{p.help}{_shown(p)}") for p in options]
        parts.append(table(("option", "meaning"), rows))
    return "\n\n".join(parts)


def _argument(parameter: Any) -> str:
    name = parameter.name.upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _shown(option: Any) -> str:
    """Return what an option's help adds about a default that is not a value."""
    return f" [default: {option.show_default}]" if isinstance(option.show_default, str) else ""


# --- columns, flags, files -------------------------------------------------------------------------------


def metrics_table() -> str:
    """Return the table of METRICS."""
    from greenbench.metrics import METRICS

    rows = [(f"`{name}`", m.unit, m.better, m.about) for name, m in METRICS.items()]
    return table(("metric", "unit", "better", "meaning"), rows)


def provenance_table() -> str:
    """Return the table of PROVENANCE."""
    from greenbench.provenance import PROVENANCE

    kinds = {"flag": "true or false", "whole": "whole number", "time": "time, ISO 8601"}
    rows = [(f"`{name}`", kinds.get(column.kind, column.kind), column.about) for name, column in PROVENANCE.items()]
    return table(("column", "holds", "meaning"), rows)


def flags_table() -> str:
    """Return the table of FLAGS."""
    from greenbench.results.flags import FLAGS

    return table(("flag", "meaning"), [(f"`{name}`", about) for name, about in FLAGS.items()])


def files_table() -> str:
    """Return the table of what a run's folder holds."""
    from greenbench.results.runfiles import FILES

    return table(("file", "content"), [(f"`{name}`", about) for name, about in FILES.items()])


# --- keys of suites and recipes, settings of plug-ins ----------------------------------------------------


def suite_keys() -> str:
    """Return the keys of a suite."""
    from greenbench.suite.config import Suite

    return keys(Suite)


def carbon_keys() -> str:
    """Return the keys of ``carbon``."""
    from greenbench.suite.carbon import Carbon

    return keys(Carbon)


def price_keys() -> str:
    """Return the keys of ``price``."""
    from greenbench.suite.price import Price

    return keys(Price)


def server_keys() -> str:
    """Return the keys of ``server``."""
    from greenbench.suite.scenarios import Server

    return keys(Server)


def streaming_keys() -> str:
    """Return the keys of ``streaming``."""
    from greenbench.suite.scenarios import Streaming

    return keys(Streaming)


def protocol_keys() -> str:
    """Return the steps of a protocol with the value that each named protocol gives them."""
    from greenbench.suite.protocol import PROTOCOLS, Protocol

    about = attributes(Protocol)
    rows = [
        (f"`{f.name}`", *(_value(getattr(steps, f.name)) for steps in PROTOCOLS.values()), about[f.name])
        for f in fields(Protocol)
        if f.name != "use"
    ]
    return table(("step", *PROTOCOLS, "meaning"), rows)


def dataset_keys() -> str:
    """Return the keys that every entry of ``datasets`` takes."""
    from greenbench.suite.entries import DatasetEntry

    return keys(DatasetEntry)


def variant_keys() -> str:
    """Return the keys that every entry of ``variants`` takes."""
    from greenbench.suite.entries import VariantEntry

    return keys(VariantEntry)


def recipe_keys() -> str:
    """Return the keys of a recipe."""
    from greenbench.recipes.recipe import Recipe

    return keys(Recipe)


def pseudo_label_keys() -> str:
    """Return the keys of ``pseudo_labels`` of a recipe."""
    from greenbench.recipes.pseudo_labels import PseudoLabels

    return keys(PseudoLabels)


def plugins(group: str) -> str:
    """Return a section for each built-in of a group: what it does, and its settings."""
    from greenbench import registry

    built_in = [
        name for name in registry.names(group) if registry.load(group, name).__module__.startswith("greenbench")
    ]
    return "\n\n".join(_plugin(name, registry.load(group, name)) for name in built_in)


def _plugin(name: str, plugin: Any) -> str:
    about = (inspect.getdoc(plugin) or "").partition("\nAttributes:")[0].strip()
    presets = ", ".join(f"`{name}/{preset}`" for preset in getattr(plugin, "presets", ()))
    parts = [f"### `{name}`", literals(about), f"Registered names: {presets}." if presets else ""]
    settings = keys(plugin) if is_dataclass(plugin) and any(f.init for f in fields(plugin)) else ""
    return "\n\n".join(part for part in (*parts, settings) if part)


def keys(model: Any) -> str:
    """Return the table of a model's or a plug-in's keys: name, default, meaning as its docstring has it."""
    about, defaults = attributes(model), _defaults(model)
    order = sorted(defaults, key=[*about, *defaults].index)  # the docstring's: inherited fields come first otherwise
    return table(("key", "default", "meaning"), [(f"`{k}`", defaults[k], about.get(k, "")) for k in order])


def _defaults(model: Any) -> dict[str, str]:
    if not is_dataclass(model):
        named = {f.alias or name: f for name, f in model.model_fields.items()}
        given = {n: f.get_default(call_default_factory=True) for n, f in named.items() if not f.is_required()}
        return {name: _value(given[name]) if name in given else "required" for name in named}
    return {f.name: _default(f) for f in fields(model) if f.init}


def _default(field: Any) -> str:
    if field.default_factory is not MISSING:
        return _value(field.default_factory())
    return "required" if field.default is MISSING else _value(field.default)


def _value(value: Any) -> str:
    """Write a default as a suite would."""
    import json

    from greenbench.suite.protocol import Protocol, short_form

    if value is None:
        return "–"
    if hasattr(value, "model_dump"):
        return "see below"
    if isinstance(value, Protocol):
        value = short_form(value)
    plain = dict(value) if isinstance(value, Mapping) else list(value) if isinstance(value, tuple) else value
    return f"`{json.dumps(plain, default=str)}`".replace('"', "") if plain != "" else "empty"


def attributes(model: Any) -> dict[str, str]:
    """Return what a docstring in Google style says of each attribute, in one line, with Markdown's code marks."""
    _, _, section = (inspect.getdoc(model) or "").partition("Attributes:\n")
    entries = re.findall(r"^    (\w+): (.*(?:\n      .*)*)", section, flags=re.M)
    return {name: literals(" ".join(text.split())) for name, text in entries}


def literals(text: str) -> str:
    """Turn reStructuredText's literals into Markdown's, and Python's None into YAML's null."""
    return re.sub(r"\bNone\b", "`null`", text.replace("``", "`"))


PARTS: Mapping[str, Callable[[], str]] = {
    "help": command_help,
    "metrics": metrics_table,
    "provenance": provenance_table,
    "flags": flags_table,
    "files": files_table,
    "suite-keys": suite_keys,
    "dataset-keys": dataset_keys,
    "variant-keys": variant_keys,
    "server-keys": server_keys,
    "streaming-keys": streaming_keys,
    "carbon-keys": carbon_keys,
    "price-keys": price_keys,
    "protocols": protocol_keys,
    "recipe-keys": recipe_keys,
    "pseudo-label-keys": pseudo_label_keys,
    "builds": lambda: plugins("methods"),
    "datasets": lambda: plugins("datasets"),
    "variants": lambda: plugins("variants"),
    "meters": lambda: plugins("meters"),
    "engines": lambda: plugins("engines"),
}
"""Parts of documents that the program itself declares, by name."""
