"""Who of several is shown to recognise better: on the same utterances where texts are at hand, else by overlap."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from greenbench.analysis import error_rates
from greenbench.analysis.error_rates import Counted, RecountError
from greenbench.metrics import RATES
from greenbench.statistics.intervals import Difference
from greenbench.statistics.student import LEVEL


@dataclass(frozen=True)
class Contestant:
    """One cell among those that are ranked by their error rate.

    Attributes:
        low, high: the 95 % interval of its own error rate.
        counted: the errors of its texts; None where they are not at hand.
        metric: ``wer`` or ``cer``, the same for all that are ranked.
    """

    low: float
    high: float
    counted: Counted | None
    metric: str = RATES[0]


def ranks(entries: Sequence[Contestant]) -> list[int]:
    """Return each entry's rank: 1 + the number of entries that are shown to recognise better."""
    beaten = [loser for _, loser in shown(entries, combinations(range(len(entries)), 2))]
    return [1 + beaten.count(number) for number in range(len(entries))]


def shown(entries: Sequence[Contestant], pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return which of some pairs are shown to differ, the better one first.

    Two with texts of the same utterances are compared with each other as ``compare`` does: by the interval of the
    difference over speakers and, of words, by MAPSSWE, of which the larger p counts, adjusted after Holm over all
    pairs. Of two others only their own intervals are known: they differ where these do not overlap, which is a
    cautious test.

    Args:
        entries: measured on one data set, counted alike.
        pairs: of their positions.
    """
    from greenbench.statistics.multiple_testing import holm

    found: list[tuple[int, int]] = []
    tested: list[tuple[tuple[int, int], Difference, float]] = []
    for i, j in pairs:
        difference = paired(entries[i], entries[j])
        if difference is not None:
            tested.append(((i, j), difference, _p(entries[i], entries[j], difference)))
        elif entries[i].high < entries[j].low:
            found.append((i, j))
        elif entries[j].high < entries[i].low:
            found.append((j, i))
    adjusted = holm([p for *_, p in tested])
    for ((i, j), difference, _), p in zip(tested, adjusted, strict=True):
        if p <= LEVEL and not difference.low <= 0 <= difference.high:
            found.append((i, j) if difference.value > 0 else (j, i))
    return found


def paired(a: Contestant, b: Contestant) -> Difference | None:
    """Return how much the error rate of b exceeds that of a on the same utterances; None where that is not known."""
    if a.counted is None or b.counted is None:
        return None
    try:
        return error_rates.difference(a.counted, b.counted, a.metric)
    except RecountError:
        return None


def _p(a: Contestant, b: Contestant, found: Difference) -> float:
    """Return the larger p of both tests; the slower one, of words, is not asked where the first saw nothing."""
    if a.metric != RATES[0] or found.p > LEVEL or a.counted is None or b.counted is None:
        return found.p
    return max(found.p, error_rates.p_value(a.counted, b.counted, found))
