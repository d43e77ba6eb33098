"""Words joined or split differently count as right: "everyone" for "every one", "ice cream" for "icecream"."""

from collections.abc import Iterator, Sequence

from greenbench.text.scoring import Counts

MAX_JOINED = 3
"""Most words that may stand for one; MLPerf Inference's Whisper benchmark takes the same
(``speech2text/helpers.py``, ``compute_wer_with_concatenation``)."""

_Cost = tuple[int, int, int, int, int]
"""Edits, deletions + insertions, substitutions, deletions, insertions: the least is the best alignment."""

_HIT, _SUBSTITUTION, _DELETION, _INSERTION = (0, 0, 0, 0, 0), (1, 0, 1, 0, 0), (1, 1, 0, 1, 0), (1, 1, 0, 0, 1)


def may_join(reference: Sequence[str], hypothesis: Sequence[str]) -> bool:
    """Whether neighbours on one side, written together, spell a word of the other side."""
    return not (_joined(reference).isdisjoint(hypothesis) and _joined(hypothesis).isdisjoint(reference))


def count(reference: Sequence[str], hypothesis: Sequence[str]) -> Counts:
    """Count the fewest word edits where neighbours may stand for the one word that they spell together.

    MLPerf's script walks once from left to right and joins what it meets; this takes the best of all
    alignments, so that there are never more edits than without joining. N stays the number of reference words.

    Args:
        reference: words.
        hypothesis: words.

    Returns:
        The counts; of alignments with equally many edits, one with the most substitutions.
    """
    rows: list[list[_Cost]] = []  # the last few; row i, entry j: the best alignment of the first i and j words
    for i in range(len(reference) + 1):
        rows = [*rows[-MAX_JOINED:], []]
        for j in range(len(hypothesis) + 1):
            ways = _ways(reference[max(0, i - MAX_JOINED) : i], hypothesis[max(0, j - MAX_JOINED) : j])
            rows[-1].append(min((_sum(rows[-1 - di][j - dj], edit) for di, dj, edit in ways), default=_HIT))
    return Counts(len(reference), *rows[-1][-1][2:])


def _ways(reference: Sequence[str], hypothesis: Sequence[str]) -> Iterator[tuple[int, int, _Cost]]:
    """Yield how an alignment can end, from the last words of both sides: words used of each, and the edit."""
    if reference and hypothesis:
        yield 1, 1, _HIT if reference[-1] == hypothesis[-1] else _SUBSTITUTION
        for k in range(2, MAX_JOINED + 1):
            if len(reference) >= k and "".join(reference[-k:]) == hypothesis[-1]:
                yield k, 1, _HIT
            if len(hypothesis) >= k and "".join(hypothesis[-k:]) == reference[-1]:
                yield 1, k, _HIT
    if reference:
        yield 1, 0, _DELETION
    if hypothesis:
        yield 0, 1, _INSERTION


def _sum(cost: _Cost, edit: _Cost) -> _Cost:
    a, b = cost, edit
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4]


def _joined(words: Sequence[str]) -> set[str]:
    return {"".join(words[i : i + k]) for k in range(2, MAX_JOINED + 1) for i in range(len(words) - k + 1)}
