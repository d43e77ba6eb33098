"""Plain data as YAML in one line, which reads back as what it was."""

import re
from typing import Any

import yaml

from greenbench.files import strictyaml


def line(entry: Any) -> str:
    """Return an entry in one line of YAML."""
    if isinstance(entry, str):
        return value(entry)
    return "{" + ", ".join(f"{key}: {value(plain)}" for key, plain in entry.items()) + "}"


def value(plain: Any) -> str:
    """Return a value as YAML, in quotes where it could be read as something else or break the line."""
    text = str(plain)
    is_word = re.fullmatch(r"[A-Za-z][\w./+-]*", text) is not None and strictyaml.parse(f"x: {text}") == {"x": text}
    if isinstance(plain, int | float) or is_word:
        return text
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10**6).strip()
