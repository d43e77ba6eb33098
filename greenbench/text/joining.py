"""Word counts without errors for joined or split words: "everyone" for "every one", "ice cream" for "icecream"."""

from collections.abc import Sequence

import numpy as np

from greenbench.text.wer import Counts

MAX_JOINED = 3
"""Most words that may be joined to one; MLPerf Inference's Whisper benchmark uses the same limit
(``speech2text/helpers.py``, ``compute_wer_with_concatenation``)."""

_BITS = 21
_SUBSTITUTION, _DELETION, _INSERTION = (
    1 << 2 * _BITS | is_indel << _BITS | is_deletion for is_indel, is_deletion in ((0, 0), (1, 1), (1, 0))
)
"""The cost of an edit in 63 bits that sum fast: edits, of those deletions and insertions, of those deletions."""


def may_join(reference: Sequence[str], hypothesis: Sequence[str]) -> bool:
    """Say whether adjacent words of one side, joined, spell a word of the other side."""
    sides = ((reference, hypothesis), (hypothesis, reference))
    return any(not set(other).isdisjoint(text for spelt in _joined(words) for text in spelt) for words, other in sides)


def count(reference: Sequence[str], hypothesis: Sequence[str]) -> Counts:
    """Count the fewest word edits where adjacent words may match the one word that they spell when joined.

    MLPerf's script goes once from left to right and joins greedily; this takes the best of all alignments, so that
    there are never more edits than without joining. N stays the number of reference words.

    Args:
        reference: words.
        hypothesis: words.

    Returns:
        The counts; of alignments with equally many edits, one with the most substitutions. Time grows with the product
        of the lengths, about a second for ten thousand words a side.
    """
    in_reference, joined_at = _joined(reference), _places(_joined(hypothesis))
    number = {word: index for index, word in enumerate({*reference, *hypothesis})}
    hypothesis_numbers = np.array([number[word] for word in hypothesis], np.int64)
    inserted = _INSERTION * np.arange(len(hypothesis) + 1, dtype=np.int64)
    rows = [inserted]  # the last few; entry j: the first j words are done
    for i, expected in enumerate(reference, start=1):
        above = rows[-1]
        row = above + _DELETION
        np.minimum(row[1:], above[:-1] + _SUBSTITUTION * (hypothesis_numbers != number[expected]), out=row[1:])
        for spelt, n in in_reference[i].items():
            if spelt in number:
                ends = np.flatnonzero(hypothesis_numbers == number[spelt])
                row[ends + 1] = np.minimum(row[ends + 1], rows[-n][ends])
        for end, n in joined_at.get(expected, ()):
            row[end] = min(row[end], above[end - n])
        # each word further to the right may be reached by insertions from any cell to its left
        row = np.minimum.accumulate(row - inserted) + inserted
        rows = [*rows[-MAX_JOINED + 1 :], row]
    edits, indels, deletions = (int(rows[-1][-1]) >> kind * _BITS & (1 << _BITS) - 1 for kind in (2, 1, 0))
    return Counts(len(reference), edits - indels, deletions, indels - deletions)


def _places(joined: Sequence[dict[str, int]]) -> dict[str, list[tuple[int, int]]]:
    """Return where each word is spelt by adjacent words: the end of each place, and the number of words."""
    places: dict[str, list[tuple[int, int]]] = {}
    for end, spelt in enumerate(joined):
        for word, n in spelt.items():
            places.setdefault(word, []).append((end, n))
    return places


def _joined(words: Sequence[str]) -> list[dict[str, int]]:
    """Return for each prefix of a text what its last words spell when joined, with their number."""
    lengths = range(2, MAX_JOINED + 1)
    return [{"".join(words[end - n : end]): n for n in lengths if n <= end} for end in range(len(words) + 1)]
