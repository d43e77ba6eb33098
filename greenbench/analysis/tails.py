"""Where two cells are compared in their tail: the slice in which both together make the most errors per word."""

from dataclasses import fields, replace

from greenbench.analysis.error_rates import Counted, RecountError
from greenbench.text import slices
from greenbench.text.wer import Counts


def shared_worst(a: Counted, b: Counted, rate: str) -> str:
    """Return the name of the slice with the most errors per word (or character), those of both cells together.

    Chosen by both, the slice favours neither: errors that are exchanged between the cells leave the choice as it is, so
    that a difference in the slice is tested as that of the whole.

    Args:
        a: of the baseline.
        b: of the other, of the same utterances.
        rate: ``wer`` or ``cer``.

    Raises:
        RecountError: the slices are not the same, or none can be judged.
    """
    if (a.ids, a.slices) != (b.ids, b.slices):
        raise RecountError("the slices of the utterances are not the same")
    sides = (a.words, b.words) if rate == "wer" else (a.chars, b.chars)
    together = [Counts(x.n, x.edits + y.edits) for x, y in zip(*sides, strict=True)]
    found = slices.by_slice(together, a.speakers, a.slices)
    chosen = slices.worst(found)
    if chosen is None:
        raise RecountError(slices.why_none(found))
    return chosen.name


def within(counted: Counted, name: str) -> Counted:
    """Return the utterances of one slice, in the same order."""
    places = slices.places(counted.slices)[name]
    kept = {part.name: tuple(getattr(counted, part.name)[place] for place in places) for part in fields(counted)}
    return replace(counted, **kept)
