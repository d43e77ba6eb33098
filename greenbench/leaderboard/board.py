"""The types of a board: entries with their scores, and the place of each, or why it has none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from greenbench.analysis.error_rates import Counted
from greenbench.analysis.summary import ENERGY
from greenbench.results.comparability import primary
from greenbench.suite.scenarios import is_search

SummaryLine = Mapping[str, Any]
"""A line of ``summary.summary``."""

COSTS = (ENERGY, "rtfx", "model_bytes")
"""The metrics that a board ranks by among entries that pass the gate; all are ranked by primary error rate, too."""


STREAMED_COSTS = (ENERGY, "word_latency_p90_s", "model_bytes")
"""The same of streaming, in which the speech has a pace of its own: not how fast it is, but how long words take."""

SEARCHED_COSTS = (ENERGY, "max_streams", "model_bytes")
"""The same of searches for the most streams, whose latencies are those under loads that differ."""


def costs(line: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return the metrics by which the board of a line ranks among entries that pass the gate."""
    if line["scenario"] != "streaming":
        return COSTS
    return SEARCHED_COSTS if is_search(line.get("streams")) else STREAMED_COSTS


def ranked(line: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return the metrics that the board of a line ranks by."""
    return (*costs(line), primary(line))


@dataclass(frozen=True)
class Score:
    """One figure of an entry.

    Attributes:
        value: of energy and speed the mean over processes, of error rates the median of the windows.
        low, high: the 95 % interval: Student's t over processes, for error rates that over speakers; equal to the value
            where nothing varies.
        n: processes, utterances for error rates, 1 for what does not vary.
    """

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class BoardEntry:
    """One cell of a run on a board.

    Attributes:
        id: digest of the cell, fit for a file's name.
        label: the variant, and the run where the variant alone is ambiguous.
        line: of ``summary.summary``.
        scores: by metric of ``ranked``; without those that were not measured or are unknown.
        counted: the errors of its texts, by which its error rate is ranked; None where they are not available.
    """

    id: str
    label: str
    line: SummaryLine
    scores: Mapping[str, Score]
    counted: Counted | None = None

    @property
    def note(self) -> str | None:
        """A note next to its rank: that it has no reference here, or that the suite states its reference."""
        note: str | None = self.line["reference_note"]
        return note


@dataclass(frozen=True)
class RankedPlace:
    """An entry's place in a ranking.

    Attributes:
        rank: 1 + the number of entries that are shown to be better: by error rate on the same utterances, see
            ``contest``, by other metrics where the interval ends before this one's begins.
        is_shared: whether another entry has the same rank.
        entry: whose place it is.
        score: what it is ranked by.
        grade: of a ranking by energy.
    """

    rank: int
    is_shared: bool
    entry: BoardEntry
    score: Score
    grade: str | None = None


@dataclass(frozen=True)
class Ranking:
    """Entries ranked by one metric.

    Attributes:
        metric: from ``ranked``.
        scope: what the energy covers; None for other metrics.
        kind: ``measured`` or ``estimated``; None for other metrics.
        places: from the first to the last.
    """

    metric: str
    scope: str | None
    kind: str | None
    places: tuple[RankedPlace, ...]

    @property
    def key(self) -> str:
        """The ranking's name within its board."""
        return " ".join(part for part in (self.metric, self.scope, self.kind) if part)


@dataclass(frozen=True)
class Unranked:
    """An entry that is not ranked by some metrics, and the reason."""

    entry: BoardEntry
    metrics: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Board:
    """The entries that were measured alike on one platform.

    Attributes:
        id: digest of platform and setting, fit for a file's name.
        label: data set, device, scenario and batch size; more only where that would be ambiguous.
        platform: see ``platforms``.
        setting: the values of ``comparability.KEY``.
        entries: all, ranked or not.
        rankings: by each metric; by energy one per scope, with estimates in a ranking of their own.
        unranked: the entries that are not ranked by some or all metrics, and why.
    """

    id: str
    label: str
    platform: str
    setting: Mapping[str, Any]
    entries: tuple[BoardEntry, ...]
    rankings: tuple[Ranking, ...]
    unranked: tuple[Unranked, ...]
