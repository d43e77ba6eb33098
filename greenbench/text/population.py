"""Whom an interval of an error rate speaks of: speakers like these, or only more utterances of the same kind."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

FEW_SPEAKERS = 5
"""Below, intervals are conservative: wider than 95 % would ask, since so few tell little of how speakers differ."""

EARLIER = ("speaker", "utterance")
"""What rows of earlier versions say, whose intervals are bootstrap intervals over these."""

_UNNAMED = ", those not known as one"

_SPEAKERS = re.compile(rf"speakers like these (\d+)(?:{_UNNAMED})?(?:, conservative)?")
_ONE = "utterances of this 1 speaker"


@dataclass(frozen=True)
class Population:
    """Whom an interval speaks of.

    Attributes:
        blocks: the speaker of each utterance; None where utterances are the units.
        unit: in words, for the column ``wer_ci_unit``: ``speakers like these 40``, with ``, conservative`` below
            ``FEW_SPEAKERS``; ``utterances of this 1 speaker``; ``utterances like these 300, speakers unknown``.
    """

    blocks: tuple[str, ...] | None
    unit: str


def population(speakers: Sequence[str | None]) -> Population:
    """Return whom the utterances of these speakers stand for.

    Args:
        speakers: of each utterance, None where not known. Where only some are not known these are taken for one more
            speaker: as units of their own a single one of them would make many of few speakers.
    """
    if all(speaker is None for speaker in speakers):
        return Population(None, f"utterances like these {len(speakers)}, speakers unknown")
    n = len(set(speakers))
    if n == 1:
        return Population(None, _ONE)
    blocks = tuple("" if speaker is None else f"={speaker}" for speaker in speakers)
    told = _UNNAMED * (None in speakers) + ", conservative" * (n < FEW_SPEAKERS)
    return Population(blocks, f"speakers like these {n}{told}")


def n_speakers(unit: str | None) -> int | None:
    """Return how many speakers an interval rests on; None where its row does not say."""
    if unit == _ONE:
        return 1
    found = _SPEAKERS.fullmatch(unit or "")
    return int(found[1]) if found else None
