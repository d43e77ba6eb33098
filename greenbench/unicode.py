"""Text that every file can hold: what is no character becomes an escape that people can read."""

import json
import re
from typing import Any

_LONE = re.compile("[\ud800-\udfff]+")
"""Halves of pairs without the other: bytes of a file name that Python could not read, or a character cut in two."""

_LONE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")

IN_UTF8 = {"PYTHONIOENCODING": "utf-8:backslashreplace"}
"""For the environment of each process of ours: what it prints is UTF-8, whatever the terminal's encoding is."""


def printable(text: str) -> str:
    r"""Return a text with its lone surrogates, which no encoding has, written as escapes: ``\udce9``.

    Bytes of a file name that are UTF-8 after all, under a locale that is not, become the characters that they are.
    """
    return text if text.isascii() else _LONE.sub(lambda found: _readable(found[0]), text)


def _readable(lone: str) -> str:
    try:
        return lone.encode("ascii", "surrogateescape").decode()
    except UnicodeError:
        return "".join(f"\\u{ord(half):04x}" for half in lone)


def to_json(value: Any, indent: int | None = None, allow_nan: bool = False) -> str:
    """Return JSON that can be encoded in UTF-8, its texts made ``printable``.

    Raises:
        ValueError: a number is not finite, and that is not allowed.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=allow_nan, indent=indent)
    return text if text.isascii() else _LONE.sub(lambda found: _readable(found[0]).replace("\\", "\\\\"), text)


def from_json(content: bytes) -> Any:
    """Return what JSON holds, its texts made ``printable``.

    Raises:
        ValueError: it is not JSON in UTF-8.
    """
    text = content.decode()
    value = json.loads(text)
    return json.loads(to_json(value, allow_nan=True)) if _LONE_ESCAPE.search(text) else value
