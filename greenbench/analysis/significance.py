"""Whether two systems' errors on the same utterances differ beyond chance: the matched-pair test of NIST's sc_stats.

A difference is always of system a less system b, p is two-tailed, and systems that never differ have p = 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean, stdev

from greenbench.text.alignment import Pair

MIN_CORRECT = 2
"""So many words in a row that both systems have right make the errors on either side independent."""


@dataclass(frozen=True)
class Segment:
    """A stretch of one utterance with errors of at least one system, and the correct words that bound it."""

    n_ref_words: int
    errors_a: int
    errors_b: int


@dataclass(frozen=True)
class MatchedPairs:
    """The matched-pair sentence-segment word error test.

    Attributes:
        n_segments: with errors of at least one system.
        n_ref_words: in them; bounding words count with the segment on either side.
        errors_a, errors_b: all errors of each system.
        mean: errors of a - errors of b per segment.
        std: sample deviation of that difference.
        z: mean / (std / sqrt(n_segments)); 0 where std is.
        p: two-tailed, of z under the normal distribution.
    """

    n_segments: int
    n_ref_words: int
    errors_a: int
    errors_b: int
    mean: float
    std: float
    z: float
    p: float


def mapsswe(segments: Sequence[Segment]) -> MatchedPairs:
    """Test whether two systems make the same number of errors per segment (MAPSSWE).

    Gillick & Cox, "Some statistical issues in the comparison of speech recognition algorithms" (ICASSP 1989),
    in the form of NIST SCTK's ``sc_stats``. The normal distribution is an approximation for many segments, say
    fifty; where every segment differs by the same, so that there is no deviation, ``sc_stats`` sees no
    difference, and so does this.

    Args:
        segments: of all utterances, from ``segments``.
    """
    differences = [s.errors_a - s.errors_b for s in segments]
    mean = fmean(differences) if differences else 0.0
    std = stdev(differences) if len(differences) > 1 else 0.0
    z = mean / (std / math.sqrt(len(differences))) if std else 0.0
    n_ref_words, errors_a, errors_b = (
        sum(getattr(s, name) for s in segments) for name in ("n_ref_words", "errors_a", "errors_b")
    )
    p = math.erfc(abs(z) / math.sqrt(2))
    return MatchedPairs(len(segments), n_ref_words, errors_a, errors_b, mean, std, z, p)


def segments(a: Sequence[Pair], b: Sequence[Pair]) -> list[Segment]:
    """Cut one utterance where both systems have ``MIN_CORRECT`` or more words right in a row.

    An insertion in either system ends such a run. What lies before the first run and after the last counts
    like what lies between two; stretches without errors are left out.

    Args:
        a: the first system's alignment, from ``alignment.align``.
        b: the second's, with the same reference.

    Raises:
        ValueError: the references differ.
    """
    if _reference(a) != _reference(b):
        raise ValueError("the two alignments are not of the same reference")
    errors_a, errors_b, n_words = _errors(a), _errors(b), len(_reference(a))
    runs = _correct_runs([not (x or y) for x, y in zip(errors_a, errors_b, strict=True)])
    found = []
    for (_, before), (after, _) in zip([(-1, -1), *runs], [*runs, (n_words, n_words)], strict=True):
        between = slice(2 * before + 2, 2 * after + 1)
        first, last = max(0, before - MIN_CORRECT + 1), min(n_words, after + MIN_CORRECT) - 1
        segment = Segment(last - first + 1, sum(errors_a[between]), sum(errors_b[between]))
        if segment.errors_a or segment.errors_b:
            found.append(segment)
    return found


def _reference(alignment: Sequence[Pair]) -> list[str]:
    return [pair.reference for pair in alignment if pair.reference is not None]


def _errors(alignment: Sequence[Pair]) -> list[int]:
    """Count errors at each place: ``2 k`` is the gap before word k, ``2 k + 1`` word k itself."""
    errors = [0]
    for pair in alignment:
        if pair.kind == "insertion":
            errors[-1] += 1
        else:
            errors += [int(pair.kind != "correct"), 0]
    return errors


def _correct_runs(clean: Sequence[bool]) -> list[tuple[int, int]]:
    """Find the runs of words, first and last, that bound segments, in ``_errors``' places without error."""
    runs = []
    for is_clean, places in groupby(range(len(clean)), key=clean.__getitem__):
        words = [place // 2 for place in places if place % 2]
        if is_clean and len(words) >= MIN_CORRECT:
            runs.append((words[0], words[-1]))
    return runs
