"""Keywords to be found: words of transcripts, each with utterances that have it and others that have not."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Annotated, ClassVar, TypeVar

from pydantic import Field

from greenbench.datasets.nested import MadeOfSpeech, NamedSpeech
from greenbench.errors import InputError
from greenbench.files.unicode import to_json
from greenbench.plugins import Asks, Clip
from greenbench.text.characters import as_read

ABSENT = 2
"""Utterances without a keyword for each with it; half of them have a word near it, where there are so many."""

_One = TypeVar("_One", str, int)

Asked = dict[str, bool]
"""The keywords that are asked for in an utterance, each with whether it is said."""


@dataclass(frozen=True)
class Keywords(MadeOfSpeech):
    """Utterances of a data set with transcripts, each with keywords to be found or not (task ``detect``).

    For each keyword twice as many utterances lack it as have it. Half of those that lack it have another word whose
    spelling is near, as in MOCKS (Pudo et al., Interspeech 2023), where there are so many. An utterance that has the
    keyword's letters within or across its words is not among them. Words that only sound alike are not known as such.

    Attributes:
        of: the data set, by its name or as ``{use: NAME, ...}``.
        n_keywords: keywords at most; those come first that some other word is near to.
        min_letters: of a keyword.
        n_present: utterances with a keyword at most.
        near: letters that differ at most (Levenshtein distance) between a keyword and a word that is near.
        seed: chooses keywords and utterances.
    """

    of: NamedSpeech
    n_keywords: Annotated[int, Field(ge=1, le=1_000)] = 40
    min_letters: Annotated[int, Field(ge=1, le=100)] = 4
    n_present: Annotated[int, Field(ge=1)] = 10
    near: Annotated[int, Field(ge=1, le=10)] = 2
    seed: Annotated[int, Field(ge=0)] = 0
    task: ClassVar[str] = "detect"
    made: ClassVar[str] = "keywords"

    def __post_init__(self) -> None:
        """Refuse what has no transcripts by its nature.

        Raises:
            ValueError: the data set is for another task itself.
        """
        if isinstance(self._speech, Asks):
            raise ValueError(f"of: {self.of['use']} has no transcripts: name speech, such as quickstart")  # noqa: TRY004

    def __call__(self) -> Iterator[Clip]:
        """Yield the utterances in which some keyword is asked for, in the order of their data set.

        Raises:
            InputError: no word can be a keyword.
        """
        clips = list(self._speech())
        asked = self._trials([_Transcript.of(clip) for clip in clips])
        if not any(asked):
            what = f"no word of {self.min_letters} letters or more is in some transcripts and not in others"
            raise InputError(f"{self.label}: {what}: name a larger data set, or set a smaller min_letters")
        for clip, own in zip(clips, asked, strict=True):
            if own:
                yield replace(clip, reference=to_json(dict(sorted(own.items()))), terms=(), words=())

    def _trials(self, said: Sequence["_Transcript"]) -> list[Asked]:
        """Return the keywords that are asked for in each utterance."""
        where: dict[str, list[int]] = {}
        for place, one in enumerate(said):
            for word in dict.fromkeys(one.words):
                where.setdefault(word, []).append(place)
        words = [word for word in where if word.isalpha() and len(word) >= self.min_letters]
        asked: list[Asked] = [{} for _ in said]
        for keyword, others, near in self._chosen(self._shuffled(words), where, said):
            present = self._shuffled(where[keyword], keyword)[: self.n_present]
            n_absent = ABSENT * len(present)
            close = self._shuffled(near, keyword)[: n_absent // 2]
            absent = [*close, *self._shuffled(others, keyword)][:n_absent]
            for place in (*present, *absent):
                asked[place][keyword] = place in present
        return asked

    def _chosen(
        self, words: Sequence[str], where: Mapping[str, list[int]], said: Sequence["_Transcript"]
    ) -> list[tuple[str, list[int], list[int]]]:
        """Return keywords with the utterances that lack them: those without and those with a word that is near."""
        found: list[tuple[str, list[int], list[int]]] = []
        last: list[tuple[str, list[int], list[int]]] = []
        for keyword in words:
            absent = [place for place, one in enumerate(said) if keyword not in one.letters]
            with_near = {place for word in _near(keyword, where, self.near) for place in where[word]}
            near = [place for place in absent if place in with_near]
            others = [place for place in absent if place not in with_near]
            if absent:
                (found if near else last).append((keyword, others, near))
            if len(found) == self.n_keywords:
                break
        return list(islice((*found, *last), self.n_keywords))

    def _shuffled(self, what: Sequence[_One], keyword: str = "") -> list[_One]:
        """Return what is given in an order that follows from the seed alone, on every machine."""
        return sorted(what, key=lambda one: hashlib.sha256(f"{self.seed}\0{keyword}\0{one}".encode()).digest())


@dataclass(frozen=True)
class _Transcript:
    """What a transcript says: its words, and their letters one after the other."""

    words: tuple[str, ...]
    letters: str

    @classmethod
    def of(cls, clip: Clip) -> "_Transcript":
        words = re.findall(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*", as_read(clip.reference).lower())
        return cls(tuple(words), "".join(filter(str.isalpha, "".join(words))))


def _near(keyword: str, words: Mapping[str, object], most: int) -> list[str]:
    """Return the other words whose spelling differs in few letters."""
    from rapidfuzz.distance import Levenshtein

    return [
        word for word in words if word != keyword and Levenshtein.distance(keyword, word, score_cutoff=most) <= most
    ]
