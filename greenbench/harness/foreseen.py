"""One thing that is known of a run before its first cell: which cells it concerns, and how it is reported."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from greenbench.errors import InputError
from greenbench.suite.plan import Cell

ForeseenKind = Literal["wrong", "missing", "lacking", "inapplicable", "emulated", "fetch", "doubt", "note"]


@dataclass(frozen=True)
class Foreseen:
    """One thing that is known before anything runs, and the cells that it concerns.

    Attributes:
        kind: ``wrong``: the suite asks for what cannot be, and nothing is run; ``missing``: data or weights are not
            here, and the cells are errors; ``lacking``, ``inapplicable`` and ``emulated``: the cells are skipped, as
            ``shortfall.SKIPS`` says; ``fetch``: it is downloaded first; ``doubt``: it is measured all the same;
            ``note``: what to expect of it, which only a dry run says.
        reason: why, and what to do.
        variant: of the cells; all where None.
        dataset: theirs.
        device: theirs.
        scenario: theirs.
    """

    kind: ForeseenKind
    reason: str
    variant: str | None = None
    dataset: str | None = None
    device: str | None = None
    scenario: str | None = None

    @property
    def what(self) -> str:
        """What it is about, in words."""
        named = {
            "variant": self.variant, "data set": self.dataset, "device": self.device, "scenario": self.scenario,
        }  # fmt: skip
        return ", ".join(f"{kind} {name}" for kind, name in named.items() if name is not None)

    @property
    def stops(self) -> bool:
        """Whether its cells cannot be measured."""
        return self.kind not in ("fetch", "doubt", "note")

    def concerns(self, cell: Cell) -> bool:
        """Say whether a cell is one of these."""
        key = cell.key
        named = {
            "variant": self.variant, "dataset": self.dataset, "device": self.device, "scenario": self.scenario,
        }  # fmt: skip
        return all(name is None or key[part] == name for part, name in named.items())

    def __str__(self) -> str:
        """Return both in one line."""
        return f"{self.what}: {self.reason}"


def obstacle(cell: Cell, foreseen: Iterable[Foreseen]) -> Foreseen | None:
    """Return what keeps a cell from being measured, or None."""
    return next((one for one in foreseen if one.stops and one.concerns(cell)), None)


def stops(foreseen: Iterable[Foreseen]) -> list[Foreseen]:
    """Return what is wrong or not here, for people to read."""
    return joined(one for one in foreseen if one.kind in ("wrong", "missing", "lacking"))


def refuse(foreseen: Iterable[Foreseen]) -> None:
    """Refuse a suite that asks for what cannot be.

    Raises:
        InputError: a line for each thing that is wrong, and for each that would be missing besides.
    """
    found = stops(foreseen)
    if any(one.kind == "wrong" for one in found):
        raise InputError("\n".join(map(str, found)))


def joined(foreseen: Iterable[Foreseen]) -> list[Foreseen]:
    """Return the same with packages that several variants lack named once, for people to read."""
    by_reason: dict[object, list[Foreseen]] = {}
    for number, one in enumerate(foreseen):
        by_reason.setdefault((one.kind, one.reason, one.device) if _is_about_packages(one) else number, []).append(one)
    return [replace(same[0], variant=_names([str(one.variant) for one in same])) if len(same) > 1 else same[0]
            for same in by_reason.values()]  # fmt: skip


def _is_about_packages(one: Foreseen) -> bool:
    return one.kind == "lacking" and one.variant is not None


def _names(variants: Sequence[str]) -> str:
    return f"{variants[0]} and {len(variants) - 1} more"
