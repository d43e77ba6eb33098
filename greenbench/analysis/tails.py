"""Where two cells are compared in a part: the slice that is hardest for both, listed terms, punctuation and case."""

from dataclasses import fields, replace
from typing import Any

from greenbench.analysis.error_rates import Counted, RecountError
from greenbench.statistics.intervals import Difference, paired_difference, rates_difference
from greenbench.text import slices
from greenbench.text.population import population
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
    columns = {part.name: getattr(counted, part.name) for part in fields(counted) if part.name != "trials"}
    chosen: dict[str, Any] = {name: tuple(own[place] for place in places) for name, own in columns.items() if own}
    return replace(counted, **chosen)


def recall_difference(a: Counted, b: Counted) -> Difference | None:
    """Return how much the recall of listed terms of b exceeds that of a, on the same occurrences.

    Args:
        a: of the baseline.
        b: of the other, of the same utterances.

    Returns:
        The difference as a fraction of the occurrences, or None where fewer than two units have any.

    Raises:
        RecountError: the terms are not the same.
    """
    said = [one.said for one in a.terms]
    if (a.ids, said) != (b.ids, [one.said for one in b.terms]):
        raise RecountError("the terms of the utterances are not the same")
    missed_a, missed_b = ([one.said - one.recognised for one in side.terms] for side in (a, b))
    return _reversed(paired_difference(missed_a, missed_b, said, population(a.speakers).blocks))


def orthography_difference(a: Counted, b: Counted, metric: str) -> Difference | None:
    """Return how much the F1 of punctuation, or the case error rate, of b exceeds that of a on the same utterances.

    Args:
        a: of the baseline.
        b: of the other, of the same utterances.
        metric: one of ``ORTHOGRAPHIC``.

    Returns:
        The difference as a fraction, or None where fewer than two units have any marks, or words with case.

    Raises:
        RecountError: the utterances are not the same.
    """
    if (a.ids, a.references) != (b.ids, b.references):
        raise RecountError("the utterances are not the same")
    is_f1 = metric == "punct_f1"
    of_a, of_b = ([one.punctuation if is_f1 else one.case for one in side.orthography] for side in (a, b))
    found = rates_difference(of_a, of_b, population(a.speakers).blocks)
    return _reversed(found) if is_f1 else found


def _reversed(found: Difference | None) -> Difference | None:
    """Return the difference of what is right from that of what is wrong."""
    return found and replace(found, value=-found.value, low=-found.high, high=-found.low)
