"""The population that an error rate's interval describes: speakers like these, or more utterances of the same kind."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

FEW_SPEAKERS = 5
"""Below, intervals are conservative: wider than 95 % needs, since so few show little of how speakers differ."""

EARLIER = ("speaker", "utterance")
"""The units in rows of earlier versions, whose intervals are bootstrap intervals over them."""

_UNNAMED = ", those not known as one"

_SPEAKERS = re.compile(rf"speakers like these (\d+)(?:{_UNNAMED})?(?:, conservative)?")
_ONE = "utterances of this 1 speaker"


@dataclass(frozen=True)
class Population:
    """The population that an interval describes.

    Attributes:
        blocks: the speaker of each utterance; None where utterances are the units.
        unit: in words, for the column ``wer_ci_unit``: ``speakers like these 40``, with ``, conservative`` below
            ``FEW_SPEAKERS``; ``utterances of this 1 speaker``; ``utterances like these 300, speakers unknown``.
    """

    blocks: tuple[str, ...] | None
    unit: str


def population(speakers: Sequence[str | None]) -> Population:
    """Return the population that the utterances of these speakers represent.

    Args:
        speakers: of each utterance, None where unknown. Where only some are unknown, their utterances count as one
            more speaker: as units of their own they would make few speakers look like many.
    """
    if all(speaker is None for speaker in speakers):
        return Population(None, f"utterances like these {len(speakers)}, speakers unknown")
    n = len(set(speakers))
    if n == 1:
        return Population(None, _ONE)
    blocks = tuple("" if speaker is None else f"={speaker}" for speaker in speakers)
    qualifiers = _UNNAMED * (None in speakers) + ", conservative" * (n < FEW_SPEAKERS)
    return Population(blocks, f"speakers like these {n}{qualifiers}")


def n_speakers(unit: str | None) -> int | None:
    """Return the number of speakers behind an interval; None where its row does not state it."""
    if unit == _ONE:
        return 1
    match = _SPEAKERS.fullmatch(unit or "")
    return int(match[1]) if match else None
