"""Slices: the parts of a data set that what is stated of its utterances makes, and the error rate in each of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from greenbench.metrics import TEXT_RATES, ratio
from greenbench.statistics.intervals import rate_interval
from greenbench.statistics.student import LEVEL
from greenbench.text.population import FEW_SPEAKERS, n_speakers, population
from greenbench.text.wer import Counts, EditCounts, total

Labels = tuple[tuple[str, str], ...]
"""What is stated of one utterance, sorted: ``(("accent", "scottish"), ("noise", "street"))``."""

MIN_LENGTH = 100
"""Words of the references (of CER characters) that a slice needs before it can be the worst: one error is 1 point."""

MIN_SPEAKERS = 2
"""Of one speaker it is not known whether the slice is hard or the speaker."""

_NONE = "the data set states no slices"
_TOLD = 3


@dataclass(frozen=True)
class Slice:
    """The utterances of which one thing is stated.

    Attributes:
        name: key and value, ``accent=scottish``.
        places: of its utterances in the data set.
        counts: edits and length of its references, in words or characters.
        rest: of all other utterances.
        unit: whom the interval speaks of, see ``population``.
        lacks: why it is not judged; None where it is.
        interval: of its error rate; together the intervals of all slices that are judged hold with 95 %. None below
            ``FEW_SPEAKERS`` known speakers, of whom it would allow anything.
    """

    name: str
    places: tuple[int, ...]
    counts: Counts
    rest: Counts
    unit: str
    lacks: str | None = None
    interval: tuple[float, float] | None = None

    @property
    def rate(self) -> float | None:
        """Its error rate, a fraction; None without words."""
        return ratio(self.counts.edits, self.counts.n)

    @property
    def gap(self) -> float | None:
        """Its error rate less that of all other utterances; None where either is unknown."""
        rest = ratio(self.rest.edits, self.rest.n)
        return None if self.rate is None or rest is None else self.rate - rest


def labels(stated: Mapping[str, str] | None) -> Labels:
    """Return what is stated of an utterance in an order of its own, fit to be a key."""
    return tuple(sorted((stated or {}).items()))


def places(stated: Sequence[Labels]) -> dict[str, tuple[int, ...]]:
    """Return where the utterances of each slice are; what is stated of all utterances makes no slice.

    Args:
        stated: of each utterance.
    """
    found: dict[str, list[int]] = {}
    for place, of_one in enumerate(stated):
        for key, value in of_one:
            found.setdefault(f"{key}={value}", []).append(place)
    return {name: tuple(own) for name, own in sorted(found.items()) if len(own) < len(stated)}


def by_slice(counts: Sequence[Counts], speakers: Sequence[str | None], stated: Sequence[Labels]) -> list[Slice]:
    """Count errors by slice.

    The values of one key part the utterances; those of which the key is not stated are in none of its slices.

    Args:
        counts: of each utterance, in words or characters.
        speakers: of each, where known.
        stated: of each.

    Returns:
        The slices by name. Intervals are those of ``rate_interval``, with its level divided by the number of the slices
        that are judged (Bonferroni), so that the worst of them may be picked; those that are not judged have none, nor
        have those of few speakers.
    """
    whole = total(counts)
    found = [_slice(name, own, whole, counts, speakers) for name, own in places(stated).items()]
    n_judged = sum(one.lacks is None for one in found)
    return [one if one.lacks else _with_interval(one, counts, speakers, LEVEL / n_judged) for one in found]


def worst(found: Sequence[Slice]) -> Slice | None:
    """Return the slice with the highest error rate among those that are judged; of equal ones the longest."""
    judged = [one for one in found if one.lacks is None]
    return max(judged, key=lambda one: (one.rate, one.counts.n, one.name), default=None)


def why_none(found: Sequence[Slice]) -> str:
    """Say why no slice is judged."""
    told = "; ".join(f"{one.name}: {one.lacks}" for one in found[:_TOLD])
    more = f"; and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
    return f"no slice can be judged: {told}{more}" if found else _NONE


def metrics(
    counted: EditCounts, speakers: Sequence[str | None], stated: Sequence[Labels]
) -> tuple[dict[str, Any], dict[str, str | None]]:
    """Derive the metrics of the worst slice.

    Args:
        counted: edits per utterance.
        speakers: of each utterance, where known.
        stated: of each utterance.

    Returns:
        Metrics by name from ``BY_SLICE``, and provenance: which slices they are of, and why there is none.
    """
    figures, origin = dict[str, Any](), dict[str, str | None](dict.fromkeys(("wer_slice", "cer_slice", "slice_note")))
    for rate, counts in zip(TEXT_RATES, (counted.words, counted.chars), strict=True):
        found = by_slice(counts, speakers, stated)
        chosen = worst(found)
        figures |= dict(_columns(rate, chosen))
        origin[f"{rate}_slice"] = None if chosen is None else chosen.name
        origin["slice_note"] = origin["slice_note"] or (why_none(found) if chosen is None else _why_no_interval(chosen))
    return figures, origin


def _why_no_interval(chosen: Slice) -> str | None:
    """Say why a slice that is judged has no interval."""
    n = n_speakers(chosen.unit)
    return f"{chosen.name}: {n} speakers, too few for an interval" if chosen.interval is None and n else None


def _columns(rate: str, chosen: Slice | None) -> Iterator[tuple[str, float | None]]:
    low, high = (None if chosen is None else chosen.interval) or (None, None)
    yield f"{rate}_worst_slice", None if chosen is None else chosen.rate
    yield f"{rate}_worst_slice_ci_low", low
    yield f"{rate}_worst_slice_ci_high", high
    yield f"{rate}_slice_gap", None if chosen is None else chosen.gap


def _slice(
    name: str, own: tuple[int, ...], whole: Counts, counts: Sequence[Counts], speakers: Sequence[str | None]
) -> Slice:
    summed, said_by = total([counts[place] for place in own]), [speakers[place] for place in own]
    rest = Counts(*(getattr(whole, part) - getattr(summed, part) for part in Counts.__match_args__))
    return Slice(name, own, summed, rest, population(said_by).unit, _lacks(summed, said_by))


def _lacks(summed: Counts, said_by: Sequence[str | None]) -> str | None:
    """Say what keeps a slice from being judged."""
    if summed.n < MIN_LENGTH:
        return f"{summed.n} reference words or characters, fewer than {MIN_LENGTH}"
    is_unknown = all(speaker is None for speaker in said_by)
    if not is_unknown and len(set(said_by)) < MIN_SPEAKERS:
        return "one speaker"
    return "one utterance" if len(said_by) < MIN_SPEAKERS else None


def _with_interval(one: Slice, counts: Sequence[Counts], speakers: Sequence[str | None], level: float) -> Slice:
    n = n_speakers(one.unit)
    if n is not None and n < FEW_SPEAKERS:
        return one
    own = [counts[place] for place in one.places]
    blocks = population([speakers[place] for place in one.places]).blocks
    return replace(one, interval=rate_interval([c.edits for c in own], [c.n for c in own], blocks, level))
