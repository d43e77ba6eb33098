"""What a reader sees of a session: which word stood where in the text, and for how long."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from greenbench.streaming.latency import Texts


@dataclass(frozen=True)
class ShownWord:
    """One word at one place of the text, for as long as it stood there.

    Attributes:
        place: in the text, from 0.
        word: that stood there.
        since_s: when it was shown, on the clock of the texts.
        until_s: when it was replaced or gone; None for a word of the final text.
    """

    place: int
    word: str
    since_s: float
    until_s: float | None


def shown_words(texts: Texts) -> list[ShownWord]:
    """Return each word that was shown, by place and time; ``since_s`` of the final ones is ``latency.settled_s``.

    Args:
        texts: at least one, the final text last.
    """
    n_places = max(len(words) for _, words in texts)
    return [word for place in range(n_places) for word in _at(place, texts)]


def _at(place: int, texts: Texts) -> list[ShownWord]:
    stood = [(time_s, next(iter(words[place : place + 1]), None)) for time_s, words in texts]
    runs = [(word, next(times)[0]) for word, times in groupby(stood, lambda one: one[1])]
    ends: Sequence[float | None] = [*(since_s for _, since_s in runs[1:]), None]
    return [
        ShownWord(place, word, since_s, until_s)
        for (word, since_s), until_s in zip(runs, ends, strict=True)
        if word is not None
    ]
