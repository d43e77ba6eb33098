"""The JSON Schema of suite files, plug-in settings included, for editors."""

from collections.abc import Mapping
from typing import Any

from greenbench import registry
from greenbench.hardware.devices import PATTERN
from greenbench.suite.carbon import Carbon
from greenbench.suite.config import Suite
from greenbench.suite.entries import Build, DatasetEntry, PluginEntry, VariantEntry
from greenbench.suite.price import Price
from greenbench.suite.protocol import PROTOCOLS, Protocol
from greenbench.suite.scenarios import Server, Streaming
from greenbench.text import scorers


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of suite files, plug-in settings included, for editors."""
    schema = Suite.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    mapping = {"type": "object", "properties": _properties(Protocol), "additionalProperties": False}
    schema["properties"]["protocol"] = {"anyOf": [{"enum": list(PROTOCOLS)}, mapping]}
    schema["properties"]["normalizer"]["enum"] = scorers.names()
    schema["properties"]["also_score"]["items"]["enum"] = scorers.names()
    schema["properties"]["devices"]["items"]["pattern"] = PATTERN
    for group, model in (("datasets", DatasetEntry), ("variants", VariantEntry)):
        schema["properties"][group]["items"] = _one_of(group, model)
    schema["patternProperties"] = {r"^(x-|\.)": {"description": "anchors and notes, which ask for nothing"}}
    schema.pop("$defs", None)
    for name, stated in (("carbon", Carbon.model_json_schema()), ("price", Price.model_json_schema())):
        schema["properties"][name]["anyOf"] = [stated, {"type": "null"}]
    schema["properties"]["server"] = Server.model_json_schema()
    streaming = Streaming.model_json_schema()
    streaming["properties"]["aligner"] |= {"anyOf": [*_one_of("variants", VariantEntry)["anyOf"], {"type": "null"}]}
    streaming.pop("$defs")
    schema["properties"]["streaming"] = streaming
    return schema


def _one_of(group: str, model: type[PluginEntry]) -> dict[str, Any]:
    """Describe an entry of a group: a name, or one plug-in's mapping form."""
    return {"anyOf": [{"type": "string"}, *(_entry_schema(group, name, model) for name in registry.names(group))]}


def _properties(plugin: Any) -> dict[str, Any]:
    from pydantic import TypeAdapter

    schema = TypeAdapter(plugin).json_schema()
    properties: dict[str, Any] = _inlined(schema.get("properties", {}), schema.get("$defs", {}))
    return properties


def _inlined(part: Any, definitions: Mapping[str, Any]) -> Any:
    """Return a part of a schema with what it refers to in its place; settings within settings are referred to."""
    if isinstance(part, list):
        return [_inlined(one, definitions) for one in part]
    if not isinstance(part, dict):
        return part
    referred = definitions[part["$ref"].rpartition("/")[2]] if "$ref" in part else {}
    return {key: _inlined(value, definitions) for key, value in (referred | part).items() if key != "$ref"}


def _entry_schema(group: str, name: str, model: type[PluginEntry]) -> dict[str, Any]:
    """Describe the mapping form of one plug-in: the entry's own keys and the plug-in's settings."""
    plugin = registry.load(group, name)
    presets = [f"{name}/{preset}" for preset in (plugin.presets if group == "variants" else ())]
    properties = {**model.model_json_schema()["properties"], **_properties(plugin)}
    unquoted = [None] if name == "null" else []  # YAML reads a bare null as None, and a suite may say so
    properties["use"] = {"enum": [name, *unquoted, *presets]}
    if model is VariantEntry:
        chain = {"type": "array", "items": _one_of("methods", Build)}
        properties["each"] = {"type": "array", "minItems": 1, "items": {"anyOf": [chain, _one_of("methods", Build)]}}
        either = {"type": "object", "properties": {"each": properties["each"]}, "additionalProperties": False}
        properties["builds"] = {"anyOf": [chain, either]}
    return {"type": "object", "properties": properties, "required": ["use"], "additionalProperties": False}
