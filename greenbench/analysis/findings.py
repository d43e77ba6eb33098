"""What a comparison finds: of each pair of cells what came of each metric, and the cells that have no partner."""

from dataclasses import dataclass
from typing import Literal

from greenbench.analysis.cells import CellSummary
from greenbench.analysis.steadiness import Control

Verdict = Literal[
    "better", "worse", "no difference shown", "too few repeats", "too few utterances", "not comparable"
]  # fmt: skip


@dataclass(frozen=True)
class MetricFinding:
    """What a pair of cells says of one metric.

    Attributes:
        metric: name from METRICS; an error rate of the worst slice is of the slice that ``tails.shared_worst`` chooses.
        baseline, new: of a rate over the first window, of what varies the geometric mean over the rounds that both
            have, so that ``difference`` is their quotient; otherwise the median over rounds and repeats.
        difference: of a rate new - baseline, a fraction of the words; of another metric new / baseline - 1.
        low, high: its 95 % interval.
        p: that so large a difference comes by chance, adjusted over all pairs after Holm: of ``wer`` MAPSSWE's, of
            ``cer`` that of a t test over speakers, of the others of one on the logarithms; None where nothing varies.
        smallest: the smallest difference that so much evidence resolves with a power of 80 % (in one pair).
        n: utterances, or rounds.
        verdict: what follows.
        why: what is missing or differs, for verdicts that need a reason; where interval and p disagree, that.
        control: what the control cells of the rounds say of the machine; None where that does not matter.
        unit: whom the interval of a rate speaks of, see ``text.population``; None for other metrics.
    """

    metric: str
    baseline: float | None
    new: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    smallest: float | None = None
    n: int | None = None
    verdict: Verdict = "no difference shown"
    why: str | None = None
    control: Control | None = None
    unit: str | None = None


@dataclass(frozen=True)
class CellComparison:
    """A cell of each side and what came of each metric; ``failure`` is set where one of them never worked."""

    a: CellSummary
    b: CellSummary
    findings: tuple[MetricFinding, ...] = ()
    failure: str | None = None


@dataclass(frozen=True)
class Comparison:
    """The whole: all pairs, and the cells of either side that have no partner."""

    pairs: tuple[CellComparison, ...]
    only_a: tuple[CellSummary, ...]
    only_b: tuple[CellSummary, ...]
