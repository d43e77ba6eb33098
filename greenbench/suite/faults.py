"""All that is wrong with a suite: each fault with its place, and what is left to be checked without it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from greenbench.text.characters import as_read

Place = tuple[int | str, ...]
"""Keys and indices that lead to a value, as the file has it; empty for the whole."""

ENTRIES = ("datasets", "variants")
"""The lists of a suite whose entries are plug-ins."""

STAND_INS: Mapping[str, Any] = {"name": "suite", "datasets": [{"use": "quickstart"}], "variants": [{"use": "null"}]}
"""What is needed in a suite -> something sound, in place of what cannot be looked at, so that the rest can be."""


@dataclass(frozen=True)
class Fault:
    """One fault of a suite.

    Attributes:
        place: where it is.
        message: what is wrong, and how to fix it.
    """

    place: Place
    message: str

    def __str__(self) -> str:
        """Return both in one line."""
        return ": ".join(filter(None, (".".join(map(str, self.place)), self.message)))


@dataclass(frozen=True)
class Draft:
    """A suite's plain data while it is checked.

    Attributes:
        data: in the long form, each entry one data set or variant.
        indices: ``datasets`` and ``variants`` -> where each entry stands in the file.
        is_whole: whether nothing has been left out.
    """

    data: Mapping[str, Any]
    indices: Mapping[str, Sequence[int]]
    is_whole: bool = True

    def place(self, given: Place) -> Place:
        """Return a place in the data as the file has it."""
        if len(given) > 1 and given[0] in self.indices and isinstance(given[1], int):
            return (given[0], self.indices[str(given[0])][given[1]], *given[2:])
        return given

    def without(self, faults: Sequence[Fault]) -> "Draft | None":
        """Return what is left without the entries and top-level keys at fault; None where the whole is."""
        if not all(fault.place for fault in faults):
            return None
        entries = {fault.place[:2] for fault in faults if fault.place[0] in self.indices and len(fault.place) > 1}
        keys = {fault.place[0] for fault in faults if fault.place[:2] not in entries}
        data = {key: value for key, value in self.data.items() if key not in keys}
        indices = dict(self.indices)
        for group in (group for group in ENTRIES if group in data):
            kept = [n for n, index in enumerate(self.indices[group]) if (group, index) not in entries]
            data[group] = [data[group][n] for n in kept]
            indices[group] = [self.indices[group][n] for n in kept]
        needed = {key: value for key, value in STAND_INS.items() if not data.get(key)}
        return Draft({**data, **needed}, {**indices, **{key: [0] for key in ENTRIES if key in needed}}, is_whole=False)


def line(lines: Mapping[Place, int], place: Place) -> str:
    """Return, to be put behind a file's name, the line of the innermost part of a place that has one."""
    found = (lines.get(place[:n]) for n in range(len(place), 0, -1))
    return next((f":{line}" for line in found if line), "")


def duplicates(names: Sequence[str], places: Sequence[Place]) -> list[Fault]:
    """Return a fault for each name that an earlier entry has, too; ``places`` are those of the entries, in order."""
    read = [as_read(name).strip() for name in names]  # what looks the same is one name to whoever reads a table
    twice = {name: place for n, (name, place) in enumerate(zip(names, places, strict=True)) if read[n] in read[:n]}
    return [
        Fault(place, f"two entries are named '{name}'. Give one another `name`.")
        for name, place in sorted(twice.items())
    ]
