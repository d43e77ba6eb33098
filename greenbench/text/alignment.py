"""The alignment of a hypothesis with its reference, as NIST's sclite does it: which word was recognised as which."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

EditKind = Literal["correct", "substitution", "deletion", "insertion"]

SUBSTITUTION, GAP = 4, 3
"""Costs of a substitution and of an insertion or deletion; sclite's own."""


@dataclass(frozen=True)
class Pair:
    """One step of an alignment; ``reference`` is None for an insertion, ``hypothesis`` for a deletion."""

    reference: str | None
    hypothesis: str | None
    kind: EditKind


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Pair]:
    """Align two sequences of words at the least cost, as sclite does.

    Traced back from the end, a tie goes to the substitution, then to the insertion (NIST SCTK, ``net_dp.c``).
    As a substitution costs more than a gap, there can be more edits than the least number, which ``wer`` counts. Time
    and memory grow with the product of the lengths: four bytes per cell.

    Args:
        reference: the words of one utterance.
        hypothesis: the recogniser's words.

    Returns:
        The pairs in the order of speech.
    """
    costs = _costs(reference, hypothesis)
    row, column, pairs = len(reference), len(hypothesis), list[Pair]()
    while row or column:
        expected = reference[row - 1] if row else None
        recognised = hypothesis[column - 1] if column else None
        kind = _last_step(costs[max(row - 1, 0) : row + 1, max(column - 1, 0) : column + 1], expected == recognised)
        pairs.append(Pair(expected if kind != "insertion" else None, recognised if kind != "deletion" else None, kind))
        row, column = row - (kind != "insertion"), column - (kind != "deletion")
    return pairs[::-1]


def align_characters(reference: str, hypothesis: str) -> list[Pair]:
    """Align two texts character by character with the fewest edits, as CER counts them.

    Args:
        reference: the text of one utterance, without spaces around it.
        hypothesis: the recogniser's text.

    Returns:
        The runs of one kind in the order of speech, each as a pair of texts of equal length, or one text.
    """
    import jiwer

    (runs,) = jiwer.process_characters(reference, hypothesis).alignments
    return [
        Pair(
            reference[run.ref_start_idx : run.ref_end_idx] or None,
            hypothesis[run.hyp_start_idx : run.hyp_end_idx] or None,
            _KINDS[run.type],
        )
        for run in runs
    ]


_KINDS: dict[str, EditKind] = {
    "equal": "correct", "substitute": "substitution", "delete": "deletion", "insert": "insertion",
}  # fmt: skip
"""jiwer's words for the kinds."""


def _costs(reference: Sequence[str], hypothesis: Sequence[str]) -> npt.NDArray[np.int32]:
    """Return the least cost of aligning every prefix of one text with every prefix of the other."""
    number = {word: index for index, word in enumerate({*reference, *hypothesis})}
    hypothesis_numbers = np.array([number[word] for word in hypothesis], np.int32)
    inserted = GAP * np.arange(len(hypothesis) + 1, dtype=np.int32)
    costs = np.empty((len(reference) + 1, len(hypothesis) + 1), np.int32)
    costs[0] = inserted
    for above, row, word in zip(costs[:-1], costs[1:], reference, strict=True):
        row[:] = above + GAP
        np.minimum(row[1:], above[:-1] + SUBSTITUTION * (hypothesis_numbers != number[word]), out=row[1:])
        # each word further to the right may be reached by insertions from any cell to its left
        np.add(np.minimum.accumulate(row - inserted), inserted, out=row)
    return costs


def _last_step(corner: npt.NDArray[np.int32], same: bool) -> EditKind:
    """Say how the last cell of a corner of the table, shape ``(2, 2)`` or at a margin less, was reached."""
    if corner.shape != (2, 2):
        return "deletion" if len(corner) == 2 else "insertion"
    (diagonal, above), (left, cost) = corner.tolist()
    if same:
        return "correct"
    if cost == diagonal + SUBSTITUTION:
        return "substitution"
    return "deletion" if above < left else "insertion"
