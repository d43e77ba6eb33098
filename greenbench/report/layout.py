"""Tables of plain text that fit a width: words are never broken, and what is too wide stands below its name."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

GAP = 2
"""Spaces between columns."""

_MIN_TEXT = 16
_NUMBER = re.compile(r"[-+~<]?\d|$|–")
_MARK = re.compile(r" \(([^()]*)\)$")

Row = Mapping[str, str]


@dataclass(frozen=True)
class Laid:
    """A table as lines.

    Attributes:
        heading: its first lines.
        blocks: by block, the lines of each row.
    """

    heading: list[str]
    blocks: list[list[list[str]]]


def table(rows: Sequence[Row], width: int) -> list[str]:
    """Return rows that share their columns as lines, the heading first; see ``lay``."""
    laid = lay([rows], width)
    return [*laid.heading, *(line for block in laid.blocks for row in block for line in row)]


def lay(blocks: Sequence[Sequence[Row]], width: int) -> Laid:
    """Lay out blocks of rows that share their columns.

    Where columns do not fit side by side, headings and texts are wrapped between words; then each row's first column
    gets a line of its own; then intervals go below their figures; and at last every column gets a line.

    Args:
        blocks: text by column; what begins with a digit is a figure, which is never wrapped but before its interval.
        width: characters in a line. Only a word that is longer goes beyond.
    """
    rows = [row for block in blocks for row in block]
    names = list(rows[0]) if rows else []
    if not names:
        return Laid([], [[[] for _ in block] for block in blocks])
    for is_split in (False, True):
        widths = _fitting(rows, names, width, is_split)
        if widths is not None:
            return _side_by_side(blocks, widths)
        below = _fitting(rows, names[1:], width - GAP, is_split) if names[1:] else None
        if below is not None:
            return _below_name(blocks, names[0], below, width)
    return Laid([], [[_listed(row, names, width) for row in block] for block in blocks])


def folded(rows: Sequence[Row], names: Sequence[str]) -> tuple[list[str], list[dict[str, str]]]:
    """Take columns that are the same in all rows out of them.

    Args:
        rows: text by column.
        names: the columns that may go.

    Returns:
        What those columns say, and the rows without them.
    """
    same = [name for name in names if len({row.get(name) for row in rows}) == 1]
    shared = [value for name in same if (value := rows[0].get(name))]
    return shared, [{name: value for name, value in row.items() if name not in same} for row in rows]


def unmarked(rows: Sequence[Row], names: Sequence[str]) -> tuple[str | None, list[dict[str, str]]]:
    """Take the bracket out with which all figures of some columns end, such as ``(estimated)``; return it too."""
    found = {match[1] if (match := _MARK.search(row[name])) else "" for row in rows for name in names if row.get(name)}
    if len(found) != 1 or "" in found:
        return None, [dict(row) for row in rows]
    return found.pop(), [{k: _MARK.sub("", v) if k in names else v for k, v in row.items()} for row in rows]


def paragraph(text: str, width: int) -> list[str]:
    """Return a text as lines, further ones indented; words are not broken."""
    return _wrap(text, max(width, 20), further=" " * GAP)


def _wrap(text: str, width: int, first: str = "", further: str = "") -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=further, break_long_words=False, break_on_hyphens=False
    )


def _fitting(rows: Sequence[Row], names: Sequence[str], width: int, is_split: bool) -> dict[str, int] | None:
    """Return the width of each column, wrapped where needed, or None where that is not enough."""
    least = {name: max(_longest_word(name), _least([row[name] for row in rows], is_split)) for name in names}
    widths = {name: max(least[name], len(name), *(len(row[name]) for row in rows)) for name in names}
    room = width - GAP * (len(names) - 1)
    while sum(widths.values()) > room:
        spare = {name: widths[name] - least[name] for name in names if widths[name] > least[name]}
        if not spare:
            return None
        widest = max(spare, key=lambda name: widths[name])
        widths[widest] -= min(spare[widest], sum(widths.values()) - room, max(1, spare[widest] // 8))
    return widths


def _least(texts: Sequence[str], is_split: bool) -> int:
    """Return the least width of a column: of figures all of it, of texts the longest word and room for a few."""
    longest = max(map(len, texts))
    if all(_NUMBER.match(text) for text in texts):
        return max(len(part) for text in texts for part in _parts(text)) if is_split else longest
    return max(min(longest, _MIN_TEXT), *map(_longest_word, texts))


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _parts(figure: str) -> list[str]:
    """Return a figure and its interval apart."""
    value, bracket, interval = figure.partition(" [")
    return [value, f"[{interval}"] if bracket else [figure]


def _cell(text: str, width: int) -> list[str]:
    """Return the lines of a cell; an interval stays whole."""
    parts = _parts(text) if _NUMBER.match(text) else []
    if len(text) <= width or len(parts) < 2 or max(map(len, parts)) > width:
        return _wrap(text, width) or [""]
    return parts


def _wrapped(cells: Mapping[str, str], widths: Mapping[str, int], indented: str = "") -> list[str]:
    """Return a row's lines."""
    parts = [_cell(cells[name], width) for name, width in widths.items()]
    rows = [zip(line, widths.values(), strict=True) for line in zip_longest(*parts, fillvalue="")]
    return [(indented + (" " * GAP).join(part.ljust(width) for part, width in row)).rstrip() for row in rows]


def _side_by_side(blocks: Sequence[Sequence[Row]], widths: Mapping[str, int]) -> Laid:
    heading = _wrapped({name: name for name in widths}, widths)
    return Laid(heading, [[_wrapped(row, widths) for row in block] for block in blocks])


def _below_name(blocks: Sequence[Sequence[Row]], first: str, widths: Mapping[str, int], width: int) -> Laid:
    """Put the first column above the others, once where rows of a block that follow each other share it."""
    indented = " " * GAP
    heading = [first, *_wrapped({name: name for name in widths}, widths, indented)]
    named = [zip([None, *(row[first] for row in block)], block, strict=False) for block in blocks]
    return Laid(heading, [
        [[*(paragraph(row[first], width) if row[first] != last else []), *_wrapped(row, widths, indented)]
         for last, row in block]
        for block in named
    ])  # fmt: skip


def _listed(row: Row, names: Sequence[str], width: int) -> list[str]:
    """Put each column on a line of its own."""
    lines = paragraph(row[names[0]], width)
    for name in names[1:]:
        lines += _wrap(f"{name}: {row[name]}", max(width, 20), " " * GAP, " " * 2 * GAP) if row[name] else []
    return lines
