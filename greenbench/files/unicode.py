"""Text that every file can hold: what is no character becomes an escape that people can read."""

import re
from collections.abc import Callable
from functools import cache
from json import JSONDecoder, dumps, loads  # by name: a plug-in may replace the module's
from typing import Any

_LONE = re.compile("[\ud800-\udfff]+")
"""Halves of pairs without the other: bytes of a file name that Python could not read, or a character cut in two."""

_LONE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")

_CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff"
"""What steers a terminal or turns the order of letters: control characters but tab and newline, and bidi marks."""

_CONTROL, _CONTROL_OR_BREAK = re.compile(f"[{_CONTROLS}]"), re.compile(f"[{_CONTROLS}\t\n]")

_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What begins a formula in a spreadsheet, in either width."""

_MARKS = {sign: f"\\{sign}" for sign in "\\`*_{}[]#|!~"} | {"<": "&lt;", ">": "&gt;"}

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
    text = dumps(value, ensure_ascii=False, allow_nan=allow_nan, indent=indent)
    return text if text.isascii() else _LONE.sub(lambda found: _readable(found[0]).replace("\\", "\\\\"), text)


def from_json(content: bytes, to_object: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Return what JSON holds, its texts made ``printable``.

    Args:
        content: JSON in UTF-8.
        to_object: makes an object of its keys and values; by default a key's last value counts.

    Raises:
        ValueError: it is not JSON in UTF-8.
    """
    text = content.decode()
    value = _decoder(to_object).decode(text)
    return loads(to_json(value, allow_nan=True)) if _LONE_ESCAPE.search(text) else value


@cache
def _decoder(to_object: Callable[[list[tuple[str, Any]]], Any] | None) -> JSONDecoder:
    """Return the one decoder of a kind; ``loads`` would make a new one for each line that is read."""
    return JSONDecoder(object_pairs_hook=to_object)


# --- text for people: one function for each medium -------------------------------------------------------


def for_terminal(text: str) -> str:
    r"""Return a text that steers no terminal: its control characters as JSON's escapes, lines and tabs as they are."""
    return _CONTROL.sub(_escape, printable(text))


def visible(text: str) -> str:
    r"""Return the same in one line, for a name or a reason within one: newlines and tabs are escapes, too."""
    return _CONTROL_OR_BREAK.sub(_escape, printable(text))


def for_csv(value: Any) -> Any:
    """Return a cell of a CSV file: a text is ``visible``, and no spreadsheet takes it for a formula."""
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if value.startswith(("\t", "\r", "\n")) or text.lstrip().startswith(_FORMULA) else text


def for_markdown(text: str) -> str:
    """Return a text in one line that Markdown shows as it is."""
    return "".join(_MARKS.get(letter, letter) for letter in visible(" ".join(text.split())))


def _escape(found: re.Match[str]) -> str:
    short = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return short.get(found[0]) or f"\\u{ord(found[0]):04x}"
