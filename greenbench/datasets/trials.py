"""Trials of speaker verification: pairs of utterances of one speaker, and as many of two."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Annotated, ClassVar, TypeVar

from pydantic import Field

from greenbench.datasets.nested import MadeOfSpeech, NamedSpeech
from greenbench.errors import InputError
from greenbench.files.unicode import to_json
from greenbench.plugins import Asks, Clip
from greenbench.text.characters import as_read

DRAWS = 10
"""Pairs of two speakers that are drawn for each that is wanted, before there are taken to be no more."""

_One = TypeVar("_One")

Compared = tuple[int, int]
"""The places of two utterances in their data set, the earlier first."""


@dataclass(frozen=True)
class SpeakerTrials(MadeOfSpeech):
    """Utterances of a data set with speakers, each with others to be told by the voice (task ``verify``).

    For each speaker there are pairs of own utterances, and as many of an own one with one of somebody else, drawn
    evenly from all others. The two of a pair say different things wherever there are transcripts, so that what is said
    decides nothing. Utterances whose speaker is not known, and those in no pair, are left out.

    Attributes:
        of: the data set, by its name or as ``{use: NAME, ...}``.
        n_per_speaker: pairs of one speaker at most; as many with others. More cost nothing: each utterance is computed
            once.
        seed: draws the pairs.
    """

    of: NamedSpeech
    n_per_speaker: Annotated[int, Field(ge=1, le=10_000)] = 50
    seed: Annotated[int, Field(ge=0)] = 0
    task: ClassVar[str] = "verify"
    made: ClassVar[str] = "trials"

    def __post_init__(self) -> None:
        """Refuse what is trials already.

        Raises:
            ValueError: the data set is for another task itself.
        """
        if isinstance(self._speech, Asks):
            raise ValueError(f"of: {self.of['use']} is made of speech itself: name that speech")  # noqa: TRY004

    def __call__(self) -> Iterator[Clip]:
        """Yield the utterances of all pairs, in the order of their data set.

        The later of a pair has the trial in its reference, so that the first utterances have the trials among them.

        Raises:
            InputError: there is no pair.
        """
        clips = list(self._speech())
        pairs = self._pairs(clips)
        if not pairs:
            what = "no two speakers are known of whom one says two different things"
            raise InputError(f"{self.label}: {what}: name a data set that says who speaks, such as a manifest "
                             "with `speaker`")  # fmt: skip
        asked: dict[int, dict[str, bool]] = {place: {} for pair in pairs for place in pair}
        for first, second in pairs:
            asked[second][clips[first].id] = clips[first].speaker == clips[second].speaker
        for place in sorted(asked):
            yield replace(clips[place], reference=to_json(dict(sorted(asked[place].items()))), terms=(), words=())

    def _pairs(self, clips: Sequence[Clip]) -> set[Compared]:
        """Return the pairs that are compared."""
        texts = [" ".join(as_read(clip.reference).lower().split()) for clip in clips]
        of_speaker: dict[str, list[int]] = {}
        for place, clip in enumerate(clips):
            if clip.speaker is not None:
                of_speaker.setdefault(clip.speaker, []).append(place)
        found: set[Compared] = set()
        for speaker, own in of_speaker.items():
            same = [pair for pair in combinations(own, 2) if _may_be_compared(pair, texts)]
            same = self._shuffled(same, speaker)[: self.n_per_speaker]
            drawn = [pair for pair in self._with_others(speaker, of_speaker, len(same)) if pair not in found]
            others = [pair for pair in dict.fromkeys(drawn) if _may_be_compared(pair, texts)][: len(same)]
            found.update(others, same[: len(others)])
        return found

    def _with_others(self, speaker: str, of_speaker: Mapping[str, list[int]], n: int) -> Iterator[Compared]:
        """Draw pairs of a speaker's utterances and those of others, each of whom comes as often."""
        own, others = of_speaker[speaker], self._shuffled([other for other in of_speaker if other != speaker], speaker)
        for draw in range(DRAWS * n if others else 0):
            sides = own, of_speaker[others[draw % len(others)]]
            first, second = sorted(of[self._number(speaker, draw, n) % len(of)] for n, of in enumerate(sides))
            yield first, second

    def _shuffled(self, what: Sequence[_One], speaker: str) -> list[_One]:
        """Return what is given in an order that follows from the seed alone, on every machine."""
        return sorted(what, key=lambda one: self._number(speaker, one))

    def _number(self, *of: object) -> int:
        """Return a number that looks random and follows from the seed and what it is of."""
        text = "\0".join(map(str, (self.seed, *of)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _may_be_compared(pair: Compared, texts: Sequence[str]) -> bool:
    """Say whether two utterances say different things, as far as is known."""
    first, second = (texts[place] for place in pair)
    return first != second or not first
