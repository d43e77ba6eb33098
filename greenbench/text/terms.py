"""Terms: listed words and phrases, such as names and codes, and how many of them were recognised as a whole."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from greenbench.metrics import ratio
from greenbench.statistics.intervals import rate_interval
from greenbench.text.alignment import align
from greenbench.text.characters import as_read
from greenbench.text.population import population


@dataclass(frozen=True)
class TermCounts:
    """Of one utterance: how often its terms are said, and how often each word of one was recognised in its place."""

    said: int = 0
    recognised: int = 0


def spoken(terms: Iterable[str], text: str) -> tuple[str, ...]:
    """Return which terms a transcript has, whatever their case and the punctuation between words.

    Args:
        terms: words and phrases.
        text: the transcript as the corpus gives it.
    """
    words = f" {' '.join(_words(text))} "
    return tuple(term for term in terms if (sought := " ".join(_words(term))) and f" {sought} " in words)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", as_read(text).casefold())


def count(terms: Iterable[str], reference: str, hypothesis: str) -> TermCounts:
    """Count the occurrences of terms in a reference, and those of which the alignment has each word as correct.

    A word that is inserted between the words of a phrase breaks it. Phrases that overlap count each.

    Args:
        terms: normalised as the texts are; each once.
        reference: of one utterance, normalised.
        hypothesis: likewise.
    """
    said, right, joined = reference.split(), list[bool](), list[bool]()
    for pair in align(said, hypothesis.split()):
        if pair.kind == "insertion":
            joined[-1:] = [False] * bool(joined)
        else:
            right.append(pair.kind == "correct")
            joined.append(True)
    n_said = n_right = 0
    for words in {tuple(term.split()) for term in terms} - {()}:
        n = len(words)
        for at in (at for at in range(len(said) - n + 1) if tuple(said[at : at + n]) == words):
            n_said += 1
            n_right += all(right[at : at + n]) and all(joined[at : at + n - 1])
    return TermCounts(n_said, n_right)


def count_all(texts: Iterable[tuple[Sequence[str], str, str]], normalize: Callable[[str], str]) -> list[TermCounts]:
    """Count the terms of each utterance.

    Args:
        texts: terms, reference and hypothesis of each, as they are given.
        normalize: applied to all three.
    """
    return [
        count(map(normalize, terms), normalize(said), normalize(heard)) if terms else TermCounts()
        for terms, said, heard in texts
    ]


def metrics(counted: Sequence[TermCounts], speakers: Sequence[str | None]) -> dict[str, Any]:
    """Derive the recall of terms, with the interval of an error rate: that of the occurrences that were missed.

    Args:
        counted: of each utterance.
        speakers: of each, where known.

    Returns:
        Metrics by name from METRICS; None where no term is said.
    """
    said, right = sum(one.said for one in counted), sum(one.recognised for one in counted)
    missed = [one.said - one.recognised for one in counted]
    ends = rate_interval(missed, [one.said for one in counted], population(speakers).blocks) if said else None
    low, high = (None, None) if ends is None else (max(1 - ends[1], 0.0), 1 - ends[0])
    return {
        "term_recall": ratio(right, said),
        "term_recall_ci_low": low,
        "term_recall_ci_high": high,
        "n_ref_terms": said or None,
        "n_terms_recognised": right if said else None,
    }
