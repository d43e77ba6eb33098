"""How edits are counted; a scoring is a normaliser and a scorer, each with its name and version."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from greenbench import registry
from greenbench.errors import did_you_mean
from greenbench.metrics import BY_ORTHOGRAPHY
from greenbench.plugins import TextPair
from greenbench.text import joining, normalizers, orthography, slices, terms, wer
from greenbench.text.wer import Counts

PLAIN = "words"
"""The scorer of a scoring that names none."""


def text_pair(row: Mapping[str, Any]) -> TextPair:
    """Return what a row of ``hypotheses.jsonl`` is scored by."""
    stated = slices.labels(row.get("slices")), tuple(row.get("terms") or ())
    return TextPair(
        row["reference"], row["hypothesis"], row["speaker"], *stated, row.get("audio_s"), row["utterance_id"]
    )


@dataclass(frozen=True)
class Scorer:
    """A way to count word edits (group ``greenbench.scorers``: functions that return one).

    A normaliser changes each text by itself; what depends on both texts, such as where a word may be joined,
    is the scorer's.

    Attributes:
        version: changes whenever any count could come out differently.
        count_words: normalised reference and hypothesis in, one space between words; counts out.
        is_orthographic: punctuation and case of the texts as they are written are counted, too, see ``orthography``.
    """

    version: str
    count_words: Callable[[str, str], Counts]
    is_orthographic: bool = False


def words() -> Scorer:
    """Return plain word counting: every word that differs is an edit."""
    return Scorer(f"jiwer-{version('jiwer')}", wer.count_words)


def compound() -> Scorer:
    """Return counting by which up to three words may be joined or split without error; N and CER stay plain."""

    def count(reference: str, hypothesis: str) -> Counts:
        sides = reference.split(), hypothesis.split()
        return joining.count(*sides) if joining.may_join(*sides) else wer.count_words(reference, hypothesis)

    return Scorer(f"1-jiwer-{version('jiwer')}", count)


def punctuation() -> Scorer:
    """Return plain word counting, and the F1 of punctuation marks and the case error rate beside it."""
    return Scorer(f"1-jiwer-{version('jiwer')}", wer.count_words, is_orthographic=True)


@dataclass(frozen=True)
class Scoring:
    """What makes word error rates comparable.

    Attributes:
        normalizer: the normaliser's identifier for rows, ``name@version``.
        scorer: the scorer's.
        normalize: applied to both texts.
        count_words: applied to the normalised texts.
        is_orthographic: whether punctuation and case are counted, too.
    """

    normalizer: str
    scorer: str
    normalize: Callable[[str], str]
    count_words: Callable[[str, str], Counts]
    is_orthographic: bool = False


def create(name: str) -> Scoring:
    """Return a scoring by its name: ``normalizer`` or ``normalizer+scorer``, e.g. ``whisper-english+compound``.

    Raises:
        InputError: there is no such normaliser or scorer; the message has the nearest one.
    """
    first, _, second = name.partition("+")
    normalizer_id, normalizer = normalizers.create(first)
    scorer: Scorer = registry.load("scorers", second or PLAIN)()
    scorer_id, counting = f"{second or PLAIN}@{scorer.version}", scorer.count_words
    return Scoring(normalizer_id, scorer_id, normalizer.apply, counting, scorer.is_orthographic)


def accuracy(texts: Sequence[TextPair], how: Scoring) -> tuple[dict[str, Any], dict[str, str | None]]:
    """Derive the accuracy metrics of a corpus from its texts.

    Args:
        texts: one per utterance.
        how: the scoring.

    Returns:
        Metrics by name from ``ACCURACY``, and the provenance that goes with them: whom intervals speak of, which slices
        are the worst, why punctuation or case cannot be judged.
    """
    references, hypotheses, speakers, stated, listed, *_ = zip(*(TextPair(*text) for text in texts), strict=True)
    counted = wer.score(references, hypotheses, how.normalize, how.count_words)
    figures, unit = wer.metrics(counted, speakers)
    of_slices, origin = slices.metrics(counted, speakers, stated)
    said = terms.count_all(zip(listed, references, hypotheses, strict=True), how.normalize)
    as_written = orthography.metrics(references, hypotheses, speakers) if how.is_orthographic else _NOT_COUNTED
    return (
        {**figures, **of_slices, **terms.metrics(said, speakers), **as_written[0]},
        {"wer_ci_unit": unit, **origin, "orthography_note": as_written[1]},
    )


_NOT_COUNTED: tuple[dict[str, Any], str | None] = dict.fromkeys(BY_ORTHOGRAPHY), None


def name_of(normalizer: str, scorer: str) -> str:
    """Return the name of a scoring from the identifiers in a row."""
    first, second = normalizer.partition("@")[0], scorer.partition("@")[0]
    return first if second == PLAIN else f"{first}+{second}"


def names() -> list[str]:
    """Return every name that ``create`` accepts, importing nothing."""
    others = [scorer for scorer in registry.names("scorers") if scorer != PLAIN]
    return [name for first in registry.names("normalizers") for name in (first, *(f"{first}+{s}" for s in others))]


def unknown(given: Iterable[str]) -> str | None:
    """Say which of these names is no scoring, and suggest the nearest one; None where all are valid."""
    valid = names()
    wrong = [name for name in given if name not in valid]
    return f"unknown normalizer '{wrong[0]}'. {did_you_mean(wrong[0], valid)}" if wrong else None
