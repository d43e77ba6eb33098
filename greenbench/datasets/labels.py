"""What is stated of an utterance: the keys and values by which its errors are counted apart."""

import json
from collections.abc import Mapping
from typing import Any

from greenbench.text.characters import as_read

MAX_SLICES, MAX_LABEL = 20, 80
"""Slices that are stated of an utterance, and characters of the key and value of one."""

_EXAMPLE = '{"accent": "scottish", "noisy": true}'


def labels(value: Any) -> dict[str, str]:
    """Return what a manifest states of an utterance as texts; what is null or blank is not stated.

    Args:
        value: an object whose values are texts, numbers, true or false; or null.

    Raises:
        ValueError: it is another value, or states too much.
    """
    if not isinstance(value, Mapping | None):
        raise ValueError(f"an object is expected, such as {_EXAMPLE}, not {value!r:.60}")  # noqa: TRY004 (pydantic's)
    texts = {as_read(key).strip(): _text(key, stated) for key, stated in (value or {}).items()}
    found = {key: text for key, text in texts.items() if text}
    if len(found) > MAX_SLICES or any(not key or len(key) + len(text) > MAX_LABEL for key, text in found.items()):
        raise ValueError(f"at most {MAX_SLICES} slices of {MAX_LABEL} characters are expected, not {value!r:.60}")
    return found


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str | bool | int | float | None):
        raise ValueError(f"{key}: a text, a number, or true or false is expected, not {value!r:.60}")  # noqa: TRY004
    return "" if value is None else as_read(value if isinstance(value, str) else json.dumps(value)).strip()
