"""YAML files for the model repositories of the Hugging Face hub, one a variant."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from greenbench.export import Documents

PERCENT = ("wer", "cer", "eer")
"""What is a percentage there."""


def by_variant(contents: Mapping[str, Any]) -> Documents:
    """Return a YAML document a variant, named after it where there are several.

    Args:
        contents: by the variant's name.
    """
    found: dict[str, bytes] = {}
    for variant, content in contents.items():
        found[_part(variant, found)] = yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode()
    return {"": found.popitem()[1]} if len(found) == 1 else found


def shown(name: str, value: float) -> float:
    """Return a figure as the hub has it: error rates in percent."""
    return round((100 if name in PERCENT else 1) * float(value), 9)


def _part(variant: str, taken: Mapping[str, Any]) -> str:
    """Return what a variant's file is called, other than those before."""
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", variant).strip("-.") or "variant"
    return name if name not in taken else f"{name}-{len(taken)}"
