"""Tables of plain text that fit a width: words are never broken, and what is too wide stands below its name."""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

GAP = 2
"""Spaces between columns."""

_MIN_TEXT = 16
_NUMBER = re.compile(r"[-+~<]?\d|$|–")

Row = Mapping[str, str]


def table(rows: Sequence[Row], width: int) -> list[str]:
    """Return rows that share their columns as lines, the heading first.

    Where columns do not fit side by side, headings and texts are wrapped between words; then each row's first column
    gets a line of its own; and at last every column does.

    Args:
        rows: text by column; what begins with a digit is a figure, which is never wrapped.
        width: characters in a line. Only a word that is longer goes beyond.
    """
    if not rows:
        return []
    names = list(rows[0])
    widths = _fitting(rows, names, width)
    if widths is not None:
        return _side_by_side(rows, names, widths)
    rest = names[1:]
    below = _fitting(rows, rest, width - GAP) if rest else None
    return _below_name(rows, names[0], rest, below) if below is not None else _listed(rows, names, width)


def paragraph(text: str, width: int) -> list[str]:
    """Return a text as lines, further ones indented; words are not broken."""
    return _wrap(text, max(width, 20), further=" " * GAP)


def _wrap(text: str, width: int, first: str = "", further: str = "") -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=further, break_long_words=False, break_on_hyphens=False
    )


def _fitting(rows: Sequence[Row], names: Sequence[str], width: int) -> dict[str, int] | None:
    """Return the width of each column, wrapped where needed, or None where that is not enough."""
    least = {name: max(_longest_word(name), _least(row[name] for row in rows)) for name in names}
    widths = {name: max(least[name], len(name), *(len(row[name]) for row in rows)) for name in names}
    room = width - GAP * (len(names) - 1)
    while sum(widths.values()) > room:
        spare = {name: widths[name] - least[name] for name in names if widths[name] > least[name]}
        if not spare:
            return None
        widest = max(spare, key=lambda name: widths[name])
        widths[widest] -= min(spare[widest], sum(widths.values()) - room, max(1, spare[widest] // 8))
    return widths


def _least(texts: Iterator[str]) -> int:
    """Return the least width of a column: of figures all of it, of texts the longest word and room for a few."""
    known = list(texts)
    longest = max(map(len, known))
    if all(_NUMBER.match(text) for text in known):
        return longest
    return max(min(longest, _MIN_TEXT), *map(_longest_word, known))


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _side_by_side(rows: Sequence[Row], names: Sequence[str], widths: Mapping[str, int]) -> list[str]:
    heading = {name: name for name in names}
    return [line for row in (heading, *rows) for line in _wrapped(row, widths)]


def _wrapped(row: Row, widths: Mapping[str, int]) -> Iterator[str]:
    """Yield a row's lines."""
    cells = [_wrap(row[name], width) or [""] for name, width in widths.items()]
    for parts in zip_longest(*cells, fillvalue=""):
        gap = " " * GAP
        yield gap.join(part.ljust(width) for part, width in zip(parts, widths.values(), strict=True)).rstrip()


def _below_name(rows: Sequence[Row], first: str, rest: Sequence[str], widths: Mapping[str, int]) -> list[str]:
    """Put the first column above the others, once where rows that follow each other share it."""
    indented = " " * GAP
    lines = [first, *(indented + line for line in _wrapped({name: name for name in rest}, widths))]
    last = None
    for row in rows:
        lines += [row[first]] if row[first] != last else []
        lines += [indented + line for line in _wrapped(row, widths)]
        last = row[first]
    return lines


def _listed(rows: Sequence[Row], names: Sequence[str], width: int) -> list[str]:
    """Put each column on a line of its own."""
    lines = []
    for row in rows:
        lines.append(row[names[0]])
        for name in names[1:]:
            lines += _wrap(f"{name}: {row[name]}", max(width, 20), " " * GAP, " " * 2 * GAP) if row[name] else []
    return lines
