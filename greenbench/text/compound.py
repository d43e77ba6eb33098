"""Words joined or split differently count as right: "everyone" for "every one", "ice cream" for "icecream"."""

from collections.abc import Sequence

from greenbench.text.scoring import Counts

MAX_JOINED = 3
"""Most words that may stand for one; MLPerf Inference's Whisper benchmark takes the same
(``speech2text/helpers.py``, ``compute_wer_with_concatenation``)."""

_BITS = 24
_SUBSTITUTION, _DELETION, _INSERTION = (
    1 << 4 * _BITS | indels << 3 * _BITS | 1 << kind * _BITS for indels, kind in ((0, 2), (1, 1), (1, 0))
)
"""The cost of an edit, as one number that sums fast: edits, of those deletions and insertions, then each kind."""


def may_join(reference: Sequence[str], hypothesis: Sequence[str]) -> bool:
    """Whether neighbours on one side, written together, spell a word of the other side."""
    sides = ((reference, hypothesis), (hypothesis, reference))
    return any(not set(other).isdisjoint(text for spelt in _joined(words) for text in spelt) for words, other in sides)


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
    in_reference, in_hypothesis = _joined(reference), _joined(hypothesis)
    rows = [[j * _INSERTION for j in range(len(hypothesis) + 1)]]  # the last few; entry j: the first j words are done
    for i, expected in enumerate(reference, start=1):
        above, row = rows[-1], [i * _DELETION]
        for j, heard in enumerate(hypothesis, start=1):
            same = above[j - 1] if expected == heard else above[j - 1] + _SUBSTITUTION
            cost = min(same, above[j] + _DELETION, row[j - 1] + _INSERTION)
            if heard in in_reference[i]:
                cost = min(cost, rows[-in_reference[i][heard]][j - 1])
            if expected in in_hypothesis[j]:
                cost = min(cost, above[j - in_hypothesis[j][expected]])
            row.append(cost)
        rows = [*rows[-MAX_JOINED + 1 :], row]
    total = rows[-1][-1]
    return Counts(len(reference), *(total >> kind * _BITS & (1 << _BITS) - 1 for kind in (2, 1, 0)))


def _joined(words: Sequence[str]) -> list[dict[str, int]]:
    """Return what the last words of each beginning of a text spell together, and how many they are."""
    lengths = range(2, MAX_JOINED + 1)
    return [{"".join(words[end - n : end]): n for n in lengths if n <= end} for end in range(len(words) + 1)]
