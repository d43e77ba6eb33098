"""The same work on several platforms, side by side: nothing is ranked, and no two energy scopes share a column."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from greenbench.analysis.summary import ENERGY
from greenbench.hardware.platforms import Platform
from greenbench.leaderboard.board import Board, BoardEntry, Score, ranked
from greenbench.leaderboard.documents import covers
from greenbench.leaderboard.ranking import energy_scope, known_as
from greenbench.metrics import METRICS
from greenbench.report.figures import number, quantity
from greenbench.results import comparability

VARYING = ("device", "device_name", "threads")
"""The columns that belong to the platform, and so may differ between the rows of a comparison."""


@dataclass(frozen=True)
class PlatformRow:
    """An entry's line: its platform, and per heading the text and the number by which it is sorted."""

    entry: str
    platform: str
    cells: tuple[tuple[str, float | None], ...]


@dataclass(frozen=True)
class PlatformComparison:
    """One variant, data set and protocol on several platforms."""

    label: str
    headings: tuple[str, ...]
    rows: tuple[PlatformRow, ...]


def comparisons(boards: Iterable[Board], platforms: Mapping[str, Platform]) -> list[PlatformComparison]:
    """Return the entries that were measured under equal conditions, without flags, on at least two platforms."""
    groups: dict[str, list[tuple[Board, BoardEntry]]] = {}
    for board in boards:
        unfit = {one.entry.id for one in board.unranked if one.metrics == ranked(one.entry.line)}
        for entry in board.entries:
            if entry.id not in unfit:
                groups.setdefault(_key(entry), []).append((board, entry))
    several = [group for group in groups.values() if len({board.platform for board, _ in group}) > 1]
    return [_comparison(group, platforms) for group in several]


def _key(entry: BoardEntry) -> str:
    names = [name for name in comparability.KEY if name not in VARYING]
    identity = [*(str(entry.line[name]) for name in ("variant", "steps", "n_params")), known_as(entry.line)]
    return str([*identity, *(str(comparability.value(entry.line, name)) for name in names)])


def _comparison(group: Sequence[tuple[Board, BoardEntry]], platforms: Mapping[str, Platform]) -> PlatformComparison:
    scopes = list(dict.fromkeys(energy_scope(entry.line) for _, entry in group if ENERGY in entry.scores))
    line = group[0][1].line
    rate = comparability.primary(line)
    named = [str(line["variant"]), str(line["dataset"]), str(line["scenario"]), f"batch size {line['batch_size']}"]
    return PlatformComparison(
        label=" · ".join([*named, str(comparability.value(line, "protocol"))]),
        headings=("device", "threads", METRICS["rtfx"].label, *_energies(scopes), METRICS[rate].label),
        rows=tuple(
            PlatformRow(entry.id, platforms[board.platform].name, tuple(_cells(entry, scopes)))
            for board, entry in group
        ),
    )  # fmt: skip


def _energies(scopes: Iterable[tuple[str | None, str | None]]) -> list[str]:
    return [f"J per audio s, {covers(scope)}, {kind}" for scope, kind in scopes]


def _cells(entry: BoardEntry, scopes: Sequence[tuple[str | None, str | None]]) -> Iterable[tuple[str, float | None]]:
    line, scores = entry.line, entry.scores
    threads = comparability.value(line, "threads")
    yield str(comparability.value(line, "device")), None
    yield str(threads), threads
    yield _figure("rtfx", scores.get("rtfx"))
    for one in scopes:
        yield _figure(ENERGY, scores.get(ENERGY) if energy_scope(line) == one else None)
    yield _figure(comparability.primary(line), scores.get(comparability.primary(line)))


def _figure(metric: str, score: Score | None) -> tuple[str, float | None]:
    if score is None:
        return "–", None
    span = f" [{number(metric, score.low)}, {number(metric, score.high)}]" if score.low != score.high else ""
    return f"{quantity(metric, score.value)}{span}", score.value
