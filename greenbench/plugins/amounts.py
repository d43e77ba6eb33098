"""How much of a download is done: from what downloads, such as a data set's ``prepare``, to what shows it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(eq=False)
class Amount:
    """How much there is of something so far.

    Attributes:
        n_bytes: that are here.
        of_bytes: that there will be; 0 where that is not known.
    """

    n_bytes: int = 0
    of_bytes: int = 0


_WATCHED: list[Amount] = []


@contextmanager
def watched() -> Iterator[Amount]:
    """Yield an amount that ``report`` changes, from whichever thread."""
    amount = Amount()
    _WATCHED.append(amount)
    try:
        yield amount
    finally:
        _WATCHED.remove(amount)


def is_watched() -> bool:
    """Say whether somebody shows what is reported."""
    return bool(_WATCHED)


def report(n_bytes: int, of_bytes: int = 0) -> None:
    """Report how many bytes are here, and how many there will be where that is known."""
    for amount in _WATCHED:
        amount.n_bytes, amount.of_bytes = n_bytes, of_bytes
