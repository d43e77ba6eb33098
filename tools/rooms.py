"""Draws docs/explanation/rooms.svg: the folders of the package in the order in which they may import each other.

Run as ``python tools/rooms.py``. The order is that of tests/test_rooms.py, what each folder holds is said in the table
of CONTRIBUTING.md.
"""

import re
import runpy
import textwrap
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from greenbench.files import whole

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "explanation" / "rooms.svg"

WIDTH, MARGIN, GAP, TITLE, LINE = 920, 16, 12, 34, 16
"""Of the picture, around it, between two boxes, of a band's title and of a line of text, in pixels."""

BANDS = (
    ("the ground: no room's business, every room's tools", "#f3f3f3", "#9a9a9a"),
    ("contracts, plug-ins, and what they share", "#e8eefb", "#4a6fb5"),
    ("the way of the data", "#e4f3ea", "#2f7d4f"),
    ("what shows, checks and shares results", "#f7f0e2", "#b08a3c"),
    ("the commands", "#f2f7f4", "#8fb8a0"),
    ("the public face", "#f3f3f3", "#9a9a9a"),
)
"""Title, ground and line of each line of the order, first line first; the picture has the first at its foot."""


def order() -> list[list[str]]:
    """Return the lines of the order: folders and modules; what is within a room has no box of its own."""
    house: str = runpy.run_path(str(ROOT / "tests" / "test_rooms.py"))["HOUSE"]
    return [[name for name in line.split() if "." not in name] for line in house.strip().splitlines()]


def holds() -> dict[str, str]:
    """Return what each folder holds: its row in CONTRIBUTING.md up to a colon or semicolon, without brackets."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w ]+)/?` \| (.+?) \|$", text, flags=re.M)
    return {name: re.split(r"[;:]", re.sub(r" \([^)]*\)", "", about))[0] for name, about in rows}


def picture() -> str:
    """Return the picture."""
    lines = order()
    if len(lines) != len(BANDS):
        raise SystemExit(f"the order has {len(lines)} lines, and BANDS {len(BANDS)}: name the new one")
    parts, top = [], MARGIN
    for line, band in reversed(list(zip(lines, BANDS, strict=True))):
        drawn, top = _band(line, band, top)
        parts += drawn
    foot = "A room imports only from rooms below it, or before it in its own band."
    parts.append(_text(MARGIN, top + 20, foot, 13))
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top + 36}" role="img" '
            'aria-label="The rooms of the package" font-family="system-ui, sans-serif">')  # fmt: skip
    return "\n".join([head, f'<rect width="{WIDTH}" height="{top + 36}" fill="#ffffff"/>', *parts, "</svg>", ""])


def _band(names: Sequence[str], band: tuple[str, str, str], top: int) -> tuple[list[str], int]:
    """Draw a band with its folders in boxes and its modules in one box; return it, and where it ends."""
    title, ground, line = band
    parts = [_text(MARGIN, top + 20, title, 13)]
    top += TITLE
    boxes = list(_boxes(names))
    n_rows = -(-len(boxes) // 6)
    n_columns = -(-len(boxes) // n_rows)
    width = (WIDTH - 2 * MARGIN - (n_columns - 1) * GAP) // n_columns
    texts = [(name, textwrap.wrap(about, (width - 20) // 7, break_on_hyphens=False)) for name, about in boxes]
    height = 36 + LINE * max(len(wrapped) for _, wrapped in texts)
    for number, (name, wrapped) in enumerate(texts):
        row, column = divmod(number, n_columns)
        left, above = MARGIN + column * (width + GAP), top + row * (height + GAP)
        box = f'<rect x="{left}" y="{above}" width="{width}" height="{height}" rx="8"'
        parts += [f'{box} fill="{ground}" stroke="{line}"/>', _text(left + 12, above + 22, name, 15, "#14281d")]
        parts += [_text(left + 12, above + 42 + LINE * n, words, 12.5) for n, words in enumerate(wrapped)]
    return parts, top + n_rows * (height + GAP)


def _boxes(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield name and content of each box: the folders in their order, then all modules together."""
    known = holds()
    modules = [name for name in names if not (ROOT / "greenbench" / name).is_dir()]
    for name in names:
        if name not in modules:
            yield f"{name}/", known[name]
    if modules:
        yield "modules", ", ".join(modules)


def _text(left: int, base: int, words: str, size: float, fill: str = "#3c4f44") -> str:
    weight = ' font-weight="600"' if size > 14 else ""
    return f'<text x="{left}" y="{base}" font-size="{size:g}"{weight} fill="{fill}">{escape(words)}</text>'


if __name__ == "__main__":
    whole.write(PICTURE, picture())
