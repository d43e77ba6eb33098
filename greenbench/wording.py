"""Plain words for what is wrong with a value in a file or an option, in place of pydantic's own messages."""

from collections.abc import Mapping
from typing import Any

KINDS: Mapping[str, str] = {
    "list": "a list is expected",
    "dict": "a mapping is expected",
    "model": "a mapping is expected",
    "dataclass": "a mapping is expected",
    "string": "a text is expected",
    "path": "a path is expected",
    "int": "a whole number is expected",
    "float": "a number is expected",
    "finite": "a finite number is expected",
    "bool": "true or false is expected",
    "missing": "it is missing",
    "literal": "{expected} is expected",
    "greater_than_equal": "at least {ge} is expected",
    "greater_than": "more than {gt} is expected",
    "less_than_equal": "at most {le} is expected",
    "less_than": "less than {lt} is expected",
    "too_short": "at least {min_length} is expected",
    "too_long": "at most {max_length} are expected",
    "string_too_short": "a text that is not empty is expected",
    "string_pattern_mismatch": "letters, digits, '.', '_' and '-' are expected, a letter or digit first",
}
"""Kind of a problem, or the part of it before the first ``_`` -> its message, with the fields of its context."""


def describe(problem: Mapping[str, Any]) -> str:
    """Describe what is wrong with a value, and what it was.

    Args:
        problem: one of the ``errors()`` of pydantic's ``ValidationError``.
    """
    kind = str(problem["type"])
    text = KINDS.get(kind) or KINDS.get(kind.removesuffix("_type")) or KINDS.get(kind.partition("_")[0])
    if kind == "value_error" or text is None:
        text = problem["msg"].removeprefix("Value error, ")
        text = text[0].lower() + text[1:]
    else:
        context = (problem.get("ctx") or {}).items()
        text = text.format_map({name: f"{x:g}" if isinstance(x, float) else x for name, x in context})
    shows_value = kind not in ("missing", "value_error") and not isinstance(problem["input"], bytes)
    return f"{text} (got {problem['input']!r:.60})" if shows_value else text
