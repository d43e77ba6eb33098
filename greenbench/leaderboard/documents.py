"""A publication as data: JSON for programs and the next publication, CSV for spreadsheets, Markdown for people."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from greenbench.analysis.summary import ENERGY
from greenbench.files.unicode import for_csv, for_markdown
from greenbench.hardware.platforms import Platform
from greenbench.leaderboard import grades
from greenbench.leaderboard.board import Board, BoardEntry, RankedPlace, Ranking, SummaryLine
from greenbench.leaderboard.standing import LEVELS, Standing
from greenbench.metrics import METRICS
from greenbench.provenance import as_text
from greenbench.report.figures import number, scale
from greenbench.sharing.merge import Refused

FORMAT = "greenbench-leaderboard/1"

HEADINGS = {
    ENERGY: "Energy per second of audio", "rtfx": "Speed", "model_bytes": "Size", "wer": "Word error rate",
    "cer": "Character error rate", "eer": "Equal error rate",
    "word_latency_p90_s": "Latency of words", "max_streams": "Streams at once",
}  # fmt: skip

COVERS = {"cpu": "CPU packages", "dram": "memory", "gpu": "GPU boards", "system": "the whole machine"}
"""The parts of an energy's scope, for people."""

_SETTING = ("dataset", "device", "scenario", "batch_size", "protocol", "threads", "normalizer", "scorer", "data_hash")
_CSV = (
    "platform", "board", *_SETTING, "ranked_by", "energy_scope", "energy_kind", "rank", "shared", "variant", "value",
    "low", "high", "unit", "n", "grade", "note", "not_ranked_because", "level", "run_id", "entry",
)  # fmt: skip


@dataclass(frozen=True)
class Publication:
    """The content of a site.

    Attributes:
        title: of the site.
        gate: the condition on the error rate for rankings by the other metrics, in a sentence; None without a gate.
        boards: platform by platform.
        platforms: their cards by id.
        failed: lines of cells without a result.
        refused: runs and rows that were not accepted.
        hashes: SHA-256 of each run's files, by its id.
        standings: the level of evidence for each entry, by its id.
    """

    title: str
    gate: str | None
    boards: Sequence[Board]
    platforms: Mapping[str, Platform]
    failed: Sequence[SummaryLine]
    refused: Sequence[Refused]
    hashes: Mapping[str, str]
    standings: Mapping[str, Standing]


def plain(publication: Publication) -> dict[str, Any]:
    """Return a publication as JSON types; figures are in SI units, unrounded, None where unknown."""
    content = {
        "format": FORMAT,
        "title": publication.title,
        "gate": publication.gate,
        "grades": {"version": grades.VERSION, "unit": "J per second of audio", "up_to": grades.LIMITS},
        "platforms": [asdict(platform) for platform in publication.platforms.values()],
        "boards": [_board(board) for board in publication.boards],
        "levels": LEVELS,
        "standings": {name: asdict(one) for name, one in sorted(publication.standings.items())},
        "failed": [_identity(line) | {"reason": line["reason"]} for line in publication.failed],
        "refused": [asdict(refused) for refused in publication.refused],
        "runs": dict(sorted(publication.hashes.items())),
    }
    plain_types: dict[str, Any] = json.loads(json.dumps(content, default=_number))
    return plain_types


def _number(value: Any) -> Any:
    """Return numpy's number as Python's, and mixed values as text."""
    return value.item() if hasattr(value, "item") else as_text(value)


def _board(board: Board) -> dict[str, Any]:
    unranked = [{**_who(one.entry), "not_ranked_by": list(one.metrics), "reason": one.reason} for one in board.unranked]
    rankings = [{"key": ranking.key, "metric": ranking.metric, "unit": METRICS[ranking.metric].unit,
                 "scope": ranking.scope, "kind": ranking.kind, "places": [_place(p) for p in ranking.places]}
                for ranking in board.rankings]  # fmt: skip
    return {
        "id": board.id, "label": board.label, "platform": board.platform, "setting": dict(board.setting),
        "rankings": rankings, "apart": unranked,  # its name in the format
    }  # fmt: skip


def _place(place: RankedPlace) -> dict[str, Any]:
    score = asdict(place.score)
    return {"rank": place.rank, "is_shared": place.is_shared, **_who(place.entry), **score, "grade": place.grade,
            "note": place.entry.note}  # fmt: skip


def _who(entry: BoardEntry) -> dict[str, Any]:
    return {"label": entry.label, "variant": entry.line["variant"], "run_id": entry.line["run_id"], "entry": entry.id}


def _identity(line: SummaryLine) -> dict[str, Any]:
    return {name: line[name] for name in ("run_id", "variant", "dataset", "device", "scenario", "batch_size")}


def as_json(content: Mapping[str, Any]) -> str:
    """Write JSON for people and programs."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def as_csv(publication: Publication) -> str:
    """Write a line for each place of each ranking, and for each entry that is not ranked, with the reason."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _CSV, restval="", lineterminator="\n")
    writer.writeheader()
    for line in _lines(publication):
        writer.writerow({name: for_csv(value) for name, value in line.items()})
    return text.getvalue()


def _lines(publication: Publication) -> Iterable[dict[str, Any]]:
    for board in publication.boards:
        where: dict[str, Any] = {"platform": publication.platforms[board.platform].name, "board": board.id}
        where |= {name: board.setting.get(name) for name in _SETTING}
        for ranking in board.rankings:
            by = {"ranked_by": ranking.metric, "energy_scope": ranking.scope, "energy_kind": ranking.kind}
            for place in ranking.places:
                yield {**where, **by, **_own(publication, place.entry), "rank": place.rank, "shared": place.is_shared,
                       **asdict(place.score), "unit": METRICS[ranking.metric].unit, "grade": place.grade,
                       "note": place.entry.note}  # fmt: skip
        for unranked in board.unranked:
            for metric in unranked.metrics:
                yield {
                    **where,
                    "ranked_by": metric,
                    **_own(publication, unranked.entry),
                    "not_ranked_because": unranked.reason,
                }
    for line in publication.failed:
        yield {**{name: line.get(name) for name in (*_SETTING[:4], "variant", "run_id")},
               "not_ranked_because": f"{line['status']}: {line['reason']}"}  # fmt: skip


def _own(publication: Publication, entry: BoardEntry) -> dict[str, Any]:
    standing = publication.standings.get(entry.id)
    level = {"level": standing.level} if standing else {}
    return {"variant": entry.line["variant"], "run_id": entry.line["run_id"], "entry": entry.id, **level}


# --- Markdown --------------------------------------------------------------------------------------------


def as_markdown(publication: Publication, published_utc: str) -> str:
    """Write the rankings as tables of Markdown."""
    parts = [f"# {for_markdown(publication.title)}", f"Published {published_utc}."]
    parts += [publication.gate] if publication.gate else []
    for name, platform in publication.platforms.items():
        parts.append(f"## {for_markdown(platform.name)}")
        for board in (board for board in publication.boards if board.platform == name):
            parts.append(f"### {for_markdown(board.label)}")
            for ranking in board.rankings:
                parts += [f"**{for_markdown(heading(ranking))}**", _table(ranking, publication.standings)]
            lines = [f"- {for_markdown(u.entry.label)}, by {metric_names(u.metrics)}: {for_markdown(u.reason)}"
                     for u in board.unranked]  # fmt: skip
            parts += ["Not ranked:", "\n".join(lines)] if lines else []
    return "\n\n".join(parts) + "\n"


def heading(ranking: Ranking) -> str:
    """Return a ranking's heading; one by energy has its scope, and whether it is measured or estimated."""
    if ranking.metric != ENERGY:
        return HEADINGS[ranking.metric]
    return f"{HEADINGS[ENERGY]}: {covers(ranking.scope)}, {ranking.kind}"


def covers(scope: str | None) -> str:
    """Name the parts of the machine in an energy's scope: ``cpu+dram`` is ``CPU packages + memory``."""
    parts = str(scope).split("+")
    return " + ".join(COVERS.get(part, part) for part in parts)


def metric_names(metrics: Iterable[str]) -> str:
    """Return the names of metrics for people."""
    return ", ".join(HEADINGS[metric].lower() for metric in metrics)


def _table(ranking: Ranking, standings: Mapping[str, Standing]) -> str:
    unit = scale(ranking.metric)[1]
    named = f"{METRICS[ranking.metric].label} ({unit})" if unit else METRICS[ranking.metric].label
    graded = ranking.metric == ENERGY
    lines = [f"| rank | variant | {named} | 95 % interval |" + (" grade |" if graded else "") + " level |",
             "|---:|---|---:|---|" + ("---|" if graded else "") + "---|"]  # fmt: skip
    for place in ranking.places:
        rank = f"{place.rank}=" if place.is_shared else str(place.rank)
        value, span = number(ranking.metric, place.score.value), interval(ranking.metric, place)
        grade = f" {place.grade} |" if graded else ""
        note = f" ({for_markdown(place.entry.note)})" if place.entry.note else ""
        level = standings[place.entry.id].level
        lines.append(f"| {rank} | {for_markdown(place.entry.label)}{note} | {value} | {span or ''} |{grade} {level} |")
    return "\n".join(lines)


def interval(metric: str, place: RankedPlace) -> str | None:
    """Write a place's interval without its unit; None where nothing varies."""
    low, high = place.score.low, place.score.high
    return None if low == high else f"{number(metric, low)}–{number(metric, high)}"


def span(ranking: Ranking, place: RankedPlace) -> tuple[float, float, float]:
    """Return a place's low end, value and high end in percent of the ranking's largest high end."""
    largest = max(other.score.high for other in ranking.places) or 1.0
    low, value, high = (100 * end / largest for end in (place.score.low, place.score.value, place.score.high))
    return low, value, high
