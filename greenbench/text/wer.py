"""WER and CER: edits counted over the whole corpus by jiwer, rates derived from the counts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from greenbench.metrics import ratio
from greenbench.statistics.intervals import rate_interval
from greenbench.text.characters import unsegmented
from greenbench.text.population import population


@dataclass(frozen=True)
class Counts:
    """Edits of one utterance or one corpus; ``n`` is the reference length."""

    n: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def edits(self) -> int:
        """S + D + I."""
        return self.substitutions + self.deletions + self.insertions


@dataclass(frozen=True)
class EditCounts:
    """Counts of edits per utterance, in the order given."""

    words: list[Counts]
    chars: list[Counts]


@lru_cache(maxsize=2**16)  # builds of one model say the same most of the time, and so do repeats
def count_words(reference: str, hypothesis: str) -> Counts:
    """Count the word edits of one pair by Levenshtein's alignment."""
    import jiwer

    return _counts(jiwer.process_words(reference, hypothesis))


@lru_cache(maxsize=2**16)
def count_chars(reference: str, hypothesis: str) -> Counts:
    """Count the character edits of one pair by Levenshtein's alignment."""
    import jiwer

    return _counts(jiwer.process_characters(reference, hypothesis))


def score(
    references: Sequence[str],
    hypotheses: Sequence[str],
    normalize: Callable[[str], str],
    count: Callable[[str, str], Counts] = count_words,
) -> EditCounts:
    """Count edits, utterance by utterance.

    An empty reference adds its insertions to the numerator and nothing to the denominator. Any white space
    separates words, and counts as one character, except in scripts that write none, see ``unsegmented``.

    Args:
        references: one text an utterance, as the corpus gives it.
        hypotheses: one text an utterance, as the model gives it.
        normalize: applied to both.
        count: counts the word edits of a normalised pair.
    """
    pairs = [(_spaced(normalize(r)), _spaced(normalize(h))) for r, h in zip(references, hypotheses, strict=True)]
    return EditCounts([count(*pair) for pair in pairs], [count_chars(*map(unsegmented, pair)) for pair in pairs])


def _spaced(text: str) -> str:
    """Put one space between words; jiwer splits at spaces only, so a tab would join two words."""
    return " ".join(text.split())


def _counts(alignment: Any) -> Counts:
    return Counts(
        alignment.hits + alignment.substitutions + alignment.deletions,
        alignment.substitutions,
        alignment.deletions,
        alignment.insertions,
    )


def total(counts: Sequence[Counts]) -> Counts:
    """Sum counts over utterances."""
    return Counts(*(sum(getattr(c, f.name) for c in counts) for f in fields(Counts)))


def metrics(result: EditCounts, speakers: Sequence[str | None]) -> tuple[dict[str, Any], str | None]:
    """Derive the accuracy metrics of a corpus.

    Args:
        result: counts per utterance.
        speakers: of each utterance, where known.

    Returns:
        Metrics by name from METRICS, and the population that the intervals describe, see ``population``; None where
        there is no interval.
    """
    sampled, figures = population(speakers), dict[str, Any]()
    for name, unit, counts in (("wer", "word", result.words), ("cer", "char", result.chars)):
        summed = total(counts)
        interval = rate_interval([c.edits for c in counts], [c.n for c in counts], sampled.blocks)
        figures[name] = ratio(summed.edits, summed.n)
        figures[f"{name}_ci_low"], figures[f"{name}_ci_high"] = interval or (None, None)
        figures[f"n_ref_{unit}s"] = summed.n
        for kind in ("substitutions", "deletions", "insertions"):
            figures[f"n_{unit}_{kind}"] = getattr(summed, kind)
    return figures, None if figures["wer_ci_low"] is None else sampled.unit
