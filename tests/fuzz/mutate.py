"""Mutations of a sound file: bytes that flip, are cut, doubled or put in, and values of JSON or YAML that change."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

DEEP = "[" * 3_000 + "]" * 3_000
HOSTILE_BYTES = (
    b"\x00", b"\xff\xfe", b"\n\n", b"\xed\xa0\x80", b'"', b"}", b"{", b"NaN", b"null", b"1e999", b"\r", DEEP.encode(),
    b"{}\n", b"[1, 2]\n", b"null\n", b'"text"\n', b"7\n", b"\x1b[31m", b"\\ud800", b'{"run_id": "r"}\n',
    b'{"header": {}}\n', b"&a [*a, *a]\n", b"<<: *x\n", b"? [a]\n", b"!!int abc\n",
)  # fmt: skip
"""What is put into a file, or instead of it."""

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 10**400, 2**63, -(2**63), 1e308, 5e-324, float("nan"), float("inf"), "", "x",
    "\ud800", "\x00", "\x1b[31mred", "=cmd|' /C calc'!A0", "../../etc/passwd", "9", "nan", "é" * 5_000, [], {},
    [None], [[]],
    {"a": {"b": []}}, [0, [1, [2]]], "2026-13-45T99:99:99", 10**9, 10**6, ["x", 1], {"name": None}, 1e18,
)  # fmt: skip
"""Values that stand where another was."""

KINDS = ("flip", "cut", "drop", "double", "insert", "replace", "value", "delete", "rename", "twice", "line", "shape")


@dataclass(frozen=True)
class Mutation:
    """One change of one of several files.

    Attributes:
        file: which of the files, a share of their number.
        kind: one of ``KINDS``.
        at: where, a share of the file, or of its values.
        n: how much, or which hostile thing.
        two: the same once more, for changes that need two numbers.
    """

    file: float
    kind: str
    at: float
    n: int
    two: float

    def __call__(self, content: bytes) -> bytes | None:
        """Return the changed content; None where the file is to become what is no file."""
        if self.kind == "shape":
            return None
        if self.kind in ("value", "delete", "rename", "twice", "line"):
            return self._of_values(content)
        return self._of_bytes(content)

    def _of_bytes(self, content: bytes) -> bytes:
        at, hostile = int(self.at * len(content)), HOSTILE_BYTES[self.n % len(HOSTILE_BYTES)]
        end = min(len(content), at + 1 + int(self.two * 200))
        changed = {
            "flip": lambda: content[:at] + bytes(b ^ 1 << self.n % 8 for b in content[at : at + 1]) + content[at + 1 :],
            "cut": lambda: content[:at],
            "drop": lambda: content[:at] + content[end:],
            "double": lambda: content[:end] + content[at:],
            "insert": lambda: content[:at] + hostile + content[at:],
            "replace": lambda: hostile,
        }  # fmt: skip
        return changed[self.kind]()

    def _of_values(self, content: bytes) -> bytes:
        """Change a value of a JSON file, or of one line of JSON lines; other files have a line changed."""
        try:
            return self._changed(content)
        except ValueError:
            pass
        lines = content.splitlines(keepends=True)
        if not lines:
            return content
        which = int(self.at * len(lines)) % len(lines)
        if self.kind == "line":
            lines.insert(int(self.two * len(lines)), lines[which])
        else:
            try:
                lines[which] = self._changed(lines[which]) + b"\n"
            except ValueError:
                lines[which] = self._of_text(lines[which])
        return b"".join(lines)

    def _changed(self, text: bytes) -> bytes:
        value = json.loads(text)
        found = list(places(value))
        if not found:
            raise ValueError
        parent, key = found[int(self.two * len(found)) % len(found)]
        hostile = HOSTILE[self.n % len(HOSTILE)]
        if self.kind == "delete":
            del parent[key]
        elif self.kind == "rename" and isinstance(parent, dict):
            parent[f"{key}x"] = parent.pop(key)
        elif self.kind == "twice" and isinstance(value, dict):
            return b'{"run_id": "first", "name": "first", "wer": 0.5, ' + text.lstrip()[1:]
        else:
            parent[key] = hostile
        return json.dumps(value).encode()

    def _of_text(self, line: bytes) -> bytes:
        """Change the value of a line of YAML."""
        key, colon, _ = line.partition(b":")
        if self.kind == "delete" or not colon:
            return b""
        hostile = HOSTILE_YAML[self.n % len(HOSTILE_YAML)]
        return (hostile + b": x\n") if self.kind == "rename" else key + b": " + hostile + b"\n"


HOSTILE_YAML = (
    b"!!int abc", b"!!float x", b"!!timestamp x", b"2026-01-01", b"[a]", b"{a: b}", b"? [a]", b"&a [*a]",
    b"&a {b: *a}",
    b".inf", b".nan", b"-.inf", b"1000000000", b"~", b"", b"null", b"true", b"!!binary xx", b"!!set {a}", b"!!omap [a]",
    b"!!python/object:os.system x", b"1e999", b"0x" + b"f" * 200, b"'\xed\xa0\x80'", b'"\\ud800"', b"*missing",
    b"<<: *a",
    b"!!pairs [a, b]", b"12:30:45", b"!!str [a]", b"!!map x", b"!!seq x", b"!!bool x", b"!!null x", b"- a", b"|\n  x",
    b"1_000", b"-0", b"99999999999999999999", b"1e18", b"!!merge x", DEEP.encode(),
)  # fmt: skip


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place of a value below another: the list or mapping, and the index or key in it."""
    todo = [value]
    while todo:
        one = todo.pop()
        for key in list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ():
            yield one, key
            todo.append(one[key])


def mutations() -> st.SearchStrategy[Mutation]:
    """Return the strategy of all mutations."""
    share = st.floats(0, 1, exclude_max=True)
    return st.builds(Mutation, share, st.sampled_from(KINDS), share, st.integers(0, 10_000), share)


def write(path: Path, content: bytes | None, n: int = 0) -> None:
    """Put a content where a file was, or what is no file: nothing, a folder, a pipe, a link to nowhere."""
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
        return
    shapes: tuple[Callable[[], Any], ...] = (
        lambda: None, path.mkdir, lambda: os.mkfifo(path),
        lambda: path.symlink_to("nowhere"), lambda: path.symlink_to(path.name),
    )  # fmt: skip
    shapes[n % len(shapes)]()


def restore(path: Path, content: bytes) -> None:
    """Put a sound file back."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.write_bytes(content)
