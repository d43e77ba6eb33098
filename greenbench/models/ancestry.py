"""Who descends from whom: found by what was measured, whatever a row is called; by name where a row does not say.

An identity is a chain: the digest of the weights, then each method that was applied to them, with its settings. The
same weights with fewer of these methods are an ancestor; so is every model that a student's folder or the suite states.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from greenbench.metrics import missing
from greenbench.provenance import Mixed

Identity = tuple[str, ...]
"""A model's weights, by their content, and the methods that were applied to them in order; empty if it is not known."""

Row = Mapping[Any, Any]
"""A row or a line that sums rows up, with ``variant``, ``parent``, ``identity`` and ``ancestors``."""

T = TypeVar("T")

NAMED = "name:"
"""Begins an identity of which only the name of its row is known."""

NO_REFERENCE = "no reference among these results"
"""The note at the rank of a cell that is compared with no other as its teacher or student."""

STATED = "its teacher is stated by the suite"
"""The note at the rank of a cell whose own files do not name the model that it is compared with."""

_STEP, _NEXT = " > ", " ; "


def written(identities: Iterable[Identity]) -> str | None:
    """Return identities as the text of a column, the nearest first; None where there is none."""
    return _NEXT.join(_STEP.join(identity) for identity in identities if identity) or None


def plain(step: str) -> str:
    """Return the text of one method without what stands between methods in a column."""
    return step.replace(_STEP, ">").replace(_NEXT, ";")


@lru_cache(maxsize=65536)
def read(text: str) -> tuple[Identity, ...]:
    """Return the identities that a column holds."""
    return tuple(tuple(identity.split(_STEP)) for identity in text.split(_NEXT) if identity)


def identity(row: Row) -> Identity:
    """Return what a row measured; empty where it does not say, as rows before this column do not."""
    found = _column(row, "identity")
    return found[0] if found else ()


def stated(row: Row) -> tuple[Identity, ...]:
    """Return what a row says that it descends from, the nearest first; by its name where nothing else is known."""
    found = _column(row, "ancestors")
    if found or identity(row) or missing(row.get("parent")):
        return found
    return ((f"{NAMED}{row['parent']}",),)


def _column(row: Row, name: str) -> tuple[Identity, ...]:
    value = row.get(name)
    return () if missing(value) or isinstance(value, Mixed) else read(str(value))


def handles(row: Row) -> tuple[str, ...]:
    """Return the keys under which a row is found by what descends from it: its weights and its name."""
    return tuple(dict.fromkeys([*identity(row)[:1], f"{NAMED}{row['variant']}"]))


def sought(row: Row) -> tuple[str, ...]:
    """Return the keys under which whatever a row may descend from is found."""
    stated = [ancestor[0] for ancestor in _column(row, "ancestors")]
    parent = [] if missing(row.get("parent")) else [f"{NAMED}{row['parent']}"]
    return tuple(dict.fromkeys([*identity(row)[:1], *stated, *parent]))


def distance(row: Row, other: Row) -> tuple[int, int, bool] | None:
    """Return how far above a row another is, least for its parent; None where it is no ancestor.

    Returns:
        0 for the same weights, else the place among the stated ancestors, from 1; how many methods fewer; and whether
        other than the last ones are missing, so that of two the one that a chain went through is nearer.
    """
    own, theirs = identity(row), identity(other)
    if own and theirs:
        chains = [own, *_column(row, "ancestors")]
        found = (_above(place, chain, other, theirs) for place, chain in enumerate(chains))
        return next((one for one in found if one is not None), None)
    is_parent = row.get("parent") == other["variant"] != row["variant"]
    return (0, 0, False) if is_parent else None


def _above(place: int, chain: Identity, other: Row, theirs: Identity) -> tuple[int, int, bool] | None:
    """Return the distance by one of a row's chains; its own (place 0) is no ancestor of itself."""
    if place and chain == (f"{NAMED}{other['variant']}",):
        return place, 0, False
    fewer = len(chain) - len(theirs)
    is_part = chain[0] == theirs[0] and fewer >= (place == 0) and _in_order(theirs[1:], chain[1:])
    return (place, fewer, chain[: len(theirs)] != theirs) if is_part else None


def _in_order(part: Sequence[str], whole: Sequence[str]) -> bool:
    """Say whether all of a part is found in the whole, in its order."""
    rest = iter(whole)
    return all(step in rest for step in part)


def is_stated(row: Row, ancestor: Row) -> bool:
    """Say whether the suite states that a row descends from an ancestor, which its weights do not show."""
    far = distance(row, ancestor)
    return row.get("ancestors_from") == "suite" and (far is None or far[0] > 0)


def nearest(row: Row, others: Iterable[T], columns: Callable[[T], Row]) -> T | None:
    """Return the nearest ancestor among others: of the same run and decoding where several are as near.

    Args:
        row: the descendant.
        others: where to look.
        columns: gives the columns of one of them.
    """
    found = [(far, other) for other in others if (far := distance(row, columns(other))) is not None]

    def order(one: tuple[tuple[int, int, bool], T]) -> tuple[Any, ...]:
        far, theirs = one[0], columns(one[1])
        return (*far, *(theirs.get(name) != row.get(name) for name in ("decoding", "run_id")))

    return min(found, key=order)[1] if found else None
