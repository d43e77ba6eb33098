"""Orthography: punctuation marks and case, counted on reference and hypothesis as they are written."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from greenbench.metrics import BY_ORTHOGRAPHY
from greenbench.statistics.intervals import rate_interval
from greenbench.text.alignment import align
from greenbench.text.characters import APOSTROPHES, WITHOUT_SPACES, as_read
from greenbench.text.population import population
from greenbench.text.wer import Counts, total

MARKS = {
    ".": "\u2026.\u3002\uff0e\uff61\u0964\u0965\u06d4\u1362",
    ",": ",\uff0c\u3001\uff64\u060c\u1363",
    "?": "?\uff1f\u061f\u2e2e\u1367",
    "!": "!\uff01",
    ";": ";\uff1b\u061b\u1364",
    ":": ":\uff1a\u1365",
}
"""The marks that part sentences and clauses -> how Latin, Chinese, Japanese, Indic, Arabic and Ethiopic scripts write
them. Quotes, brackets and dashes are not counted: they follow a transcript's convention more than the speech."""

_CLASS = {written: mark for mark, forms in MARKS.items() for written in forms}
_ANY = re.escape("".join(_CLASS))

_LETTER = rf"(?:(?!{WITHOUT_SPACES})\w)"

_TOKEN = re.compile(
    rf"[{_ANY}]+"
    rf"|{WITHOUT_SPACES}"
    rf"|{_LETTER}+(?:(?:[^\w\s{_ANY}]+|\.|(?<=\d)[,:](?=\d)){_LETTER}+)*"
)
"""Marks side by side, which count as the first of them; a character of a script that writes no spaces; or a word, with
the signs within it (``don't``, ``U.S``, ``3,000``)."""

_MARK = "."
"""The key by which any mark is aligned with any other."""


@dataclass(frozen=True)
class OrthographyCounts:
    """Counts of one utterance.

    Attributes:
        marks: of its punctuation marks; ``n`` is those of the reference.
        n_words: words recognised, whatever their case, that have letters of two cases.
        n_case_errors: those of them that are written in another case than in the reference.
    """

    marks: Counts
    n_words: int
    n_case_errors: int

    @property
    def punctuation(self) -> tuple[int, int]:
        """Numerator and denominator of 1 - F1: D + I + 2 S, and 2 C + D + I + 2 S, the marks of both texts."""
        m = self.marks
        wrong = m.deletions + m.insertions + 2 * m.substitutions
        return wrong, wrong + 2 * (m.n - m.substitutions - m.deletions)

    @property
    def case(self) -> tuple[int, int]:
        """Numerator and denominator of the case error rate."""
        return self.n_case_errors, self.n_words


@lru_cache(maxsize=2**16)  # builds of one model say the same most of the time, and so do repeats
def count(reference: str, hypothesis: str) -> OrthographyCounts:
    """Count the punctuation and the case of one pair of texts, as they are given.

    Words, whatever their case, and marks are aligned in one sequence, in which any mark may be aligned with any other:
    Meister et al., "LibriSpeech-PC: Benchmark for evaluation of punctuation and capitalization capabilities of
    end-to-end ASR models" (2023), section 3. A mark that is another in the hypothesis is substituted.
    """
    said, heard = _tokens(reference), _tokens(hypothesis)
    left, right = iter(said), iter(heard)
    n_right = n_other = n_words = n_case_errors = 0
    for pair in align([_key(token) for token in said], [_key(token) for token in heard]):
        expected = "" if pair.reference is None else next(left)
        found = "" if pair.hypothesis is None else next(right)
        if pair.kind != "correct":
            continue
        if _key(expected) == _MARK:
            n_right += expected == found
            n_other += expected != found
        elif expected.lower() != expected.upper():
            n_words += 1
            n_case_errors += expected != found
    n_said, n_heard = (sum(_key(token) == _MARK for token in side) for side in (said, heard))
    n_both = n_right + n_other
    return OrthographyCounts(Counts(n_said, n_other, n_said - n_both, n_heard - n_both), n_words, n_case_errors)


def _tokens(text: str) -> list[str]:
    """Return words as they are written, and marks by their class."""
    found = _TOKEN.finditer(as_read(text).translate(APOSTROPHES))
    return [_CLASS.get(match[0][0], match[0]) for match in found]


def _key(token: str) -> str:
    return _MARK if token in MARKS else token.lower()


def metrics(
    references: Sequence[str], hypotheses: Sequence[str], speakers: Sequence[str | None]
) -> tuple[dict[str, Any], str | None]:
    """Derive the F1 of punctuation marks and the case error rate of a corpus.

    The F1 is that of all marks together (micro-averaged): C right marks, S, D and I have a precision of C / (C + S + I)
    and a recall of C / (C + S + D). Case is judged on the words that were recognised, so that it is no second word
    error rate: those that differ in nothing but case, a kind of their own in Kuhn et al., "Beyond Levenshtein" (2024),
    over all that were recognised. Both are ratios of sums, with the interval of an error rate.

    Args:
        references: one text an utterance, as the corpus gives it.
        hypotheses: one text an utterance, as the model gives it.
        speakers: of each, where known.

    Returns:
        Metrics by name from ``BY_ORTHOGRAPHY``, and why some are None; None where all are known.
    """
    counted = [count(*pair) for pair in zip(references, hypotheses, strict=True)]
    blocks, figures, reasons = population(speakers).blocks, dict[str, Any](dict.fromkeys(BY_ORTHOGRAPHY)), list[str]()
    marks, n_words = total([one.marks for one in counted]), sum(one.n_words for one in counted)
    if marks.n:
        wrong, low, high = _rate([one.punctuation for one in counted], blocks)
        figures |= {
            "punct_f1": 1 - wrong,
            "punct_f1_ci_low": None if high is None else max(1 - high, 0.0),
            "punct_f1_ci_high": None if low is None else 1 - low,
            "n_ref_marks": marks.n,
            "n_mark_substitutions": marks.substitutions,
            "n_mark_deletions": marks.deletions,
            "n_mark_insertions": marks.insertions,
        }
    else:
        reasons.append("the references have no punctuation")
    if n_words and _has_two_cases(references):
        rate, low, high = _rate([one.case for one in counted], blocks)
        figures |= {
            "case_error_rate": rate,
            "case_error_rate_ci_low": low,
            "case_error_rate_ci_high": high,
            "n_case_words": n_words,
            "n_case_errors": sum(one.n_case_errors for one in counted),
        }
    else:
        is_written = _has_two_cases(references)
        reasons.append("no word was recognised" if is_written else "the references are not in upper and lower case")
    return figures, "; ".join(reasons) or None


def _rate(parts: Sequence[tuple[int, int]], blocks: Sequence[str] | None) -> tuple[float, float | None, float | None]:
    """Return a ratio of sums, of which the denominators are not all 0, with its interval where there is one."""
    errors, of = zip(*parts, strict=True)
    low, high = rate_interval(errors, of, blocks) or (None, None)
    return sum(errors) / sum(of), low, high


def _has_two_cases(texts: Iterable[str]) -> bool:
    """Say whether the texts have letters of both cases."""
    text = "".join(texts)
    return text != text.upper() and text != text.lower()
