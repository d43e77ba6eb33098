"""Ranking: which entries are ranked by which metric; only a difference that is shown gives another rank."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pandas as pd

from greenbench import metrics
from greenbench.analysis import contest, summary
from greenbench.analysis.contest import Contestant
from greenbench.analysis.error_rates import CellKey, Counted, RecountError, cell_of
from greenbench.analysis.summary import ENERGY
from greenbench.hardware import platforms
from greenbench.leaderboard import grades
from greenbench.leaderboard.board import (
    Board,
    BoardEntry,
    RankedPlace,
    Ranking,
    Score,
    SummaryLine,
    Unranked,
    costs,
    ranked,
)
from greenbench.metrics import METRICS, RATES
from greenbench.results import comparability
from greenbench.results.flags import barring, explain, flags_of
from greenbench.results.record import CELL
from greenbench.statistics.repeats import summarise, units

Description = Mapping[str, Any]

REPEATED = (ENERGY, "rtfx", "word_latency_p90_s", "max_streams")
"""The ranked metrics that vary from process to process."""

MIN_PROCESSES = 2
"""The fewest processes for a rank: with fewer, the difference between processes is unknown."""


def boards(
    rows: pd.DataFrame,
    runs: Sequence[Description],
    outside: Mapping[CellKey, str],
    counted: Mapping[CellKey, Counted | RecountError] = MappingProxyType({}),
    by_parent: bool = True,
) -> tuple[list[Board], list[SummaryLine]]:
    """Make the boards of all runs.

    Args:
        rows: from ``frames.load``.
        runs: the ``run.json`` of each run.
        outside: from ``gate.outside``.
        counted: the errors of cells' texts, by which their error rate is ranked.
        by_parent: whether cells are compared with their own parents, see ``Gate.by_parent``.

    Returns:
        The boards, platform by platform, and the lines of cells without a result.
    """
    lines = summary.summary(rows, outside, by_parent)
    homes = {run["run_id"]: platforms.platform_id(run) for run in runs}
    started = {str(run["run_id"]): str(run.get("started_utc") or "") for run in runs}
    platform = lines["run_id"].map(homes)
    scores = _scores(rows, lines)
    texts = {entry_id(dict(zip(CELL, cell, strict=True))): of_cell for cell, of_cell in counted.items()
             if isinstance(of_cell, Counted)}  # fmt: skip
    found: list[Board] = []
    for home in platform.unique():
        settings = summary.settings(lines[platform == home])
        own = [_board(home, setting, scores, started, texts) for setting in settings]
        found += sorted(own, key=lambda board: not board.rankings)  # those on which nothing is ranked come last
    failed = lines[lines["status"] != "ok"].to_dict("records")
    return found, [{str(k): v for k, v in line.items()} for line in failed]


def _board(
    home: str,
    setting: summary.Setting,
    scores: Mapping[str, dict[str, Score]],
    started: Mapping[str, str],
    texts: Mapping[str, Counted],
) -> Board:
    lines = [{str(k): v for k, v in line.items()} for line in setting.lines.to_dict("records")]
    ids = [entry_id(line) for line in lines]
    entries = [BoardEntry(id_, str(line["label"]), line, scores[id_], texts.get(id_))
               for id_, line in zip(ids, lines, strict=True)]  # fmt: skip
    values = {name: comparability.value(lines[0], name) for name in comparability.KEY}
    by = ranked(lines[0])
    # what every board had before a column was new is in no id, so that addresses stay
    usual = {*comparability.EARLIER.items(), *((name, None) for name in comparability.STREAMING)}
    unfit = {entry.id: reason for entry in entries if (reason := _unfit(entry))} | _superseded(entries, started)
    unranked = [Unranked(entry, by, unfit[entry.id]) for entry in entries if entry.id in unfit]
    field = _named([entry for entry in entries if entry.id not in unfit])
    rankings: list[Ranking] = []
    for metric in by:
        kept_out = {entry.id: reason for entry in field if (reason := _not_by(metric, entry))}
        unranked += [Unranked(entry, (metric,), kept_out[entry.id]) for entry in field if entry.id in kept_out]
        rankings += _rankings(metric, [entry for entry in field if entry.id not in kept_out])
    return Board(
        id=_slug(
            f"{setting.label}", home, *(str(value) for name, value in values.items() if (name, value) not in usual)
        ),
        label=setting.label,
        platform=home,
        setting=values,
        entries=tuple({entry.id: entry for entry in (*entries, *field)}.values()),
        rankings=tuple(rankings),
        unranked=tuple(_joined(unranked)),
    )


# --- entries that are not ranked -------------------------------------------------------------------------


def _unfit(entry: BoardEntry) -> str | None:
    """Say why an entry is in no ranking, or return None."""
    line = entry.line
    notes = flags_of(line)
    if against := barring(notes):
        return explain(against, [notes[flag] for flag in against])
    if line["n_params"] == 0:
        return "calibrates the harness and recognises no speech"
    if line["n_failed"]:
        return f"{line['n_failed']} of its rows failed: {line['reason']}"
    return None


def _superseded(entries: Iterable[BoardEntry], started: Mapping[str, str]) -> dict[str, str]:
    """Return for each entry that was measured again, without flags, that the later run replaces it."""
    same: dict[str, list[BoardEntry]] = {}
    for entry in entries:
        identity = [str(entry.line[name]) for name in ("variant", "steps", "n_params", "model_bytes")]
        identity.append(known_as(entry.line))
        if _unfit(entry) is None:
            same.setdefault(str(identity), []).append(entry)
    answers: dict[str, str] = {}
    for group in same.values():
        *earlier, last = sorted(group, key=lambda entry: (started[entry.line["run_id"]], entry.line["run_id"]))
        answers |= {entry.id: f"measured again in the run {last.line['run_id']}, which counts" for entry in earlier}
    return answers


def _not_by(metric: str, entry: BoardEntry) -> str | None:
    """Say why an entry is not ranked by a metric, or return None."""
    line = entry.line
    if metric in costs(line) and line["outside"]:
        return str(line["outside"])
    if comparability.primary(line) not in entry.scores:
        return f"no {METRICS[comparability.primary(line)].label}, so its accuracy is unknown"
    if metrics.missing(line[metric]):
        return "not measured"
    if metric not in entry.scores or (metric in REPEATED and line["n_rounds"] < MIN_PROCESSES):
        return "measured in one process, so how processes differ is unknown: use protocol standard, or rounds: 3"
    return None


def _joined(unranked: Iterable[Unranked]) -> list[Unranked]:
    """Join the metrics for which an entry has the same reason."""
    joined: dict[tuple[str, str], Unranked] = {}
    for one in unranked:
        key = (one.entry.id, one.reason)
        metrics = (*joined[key].metrics, *one.metrics) if key in joined else one.metrics
        joined[key] = Unranked(one.entry, metrics, one.reason)
    return list(joined.values())


# --- ranks -----------------------------------------------------------------------------------------------


def _rankings(metric: str, entries: Sequence[BoardEntry]) -> list[Ranking]:
    """Rank entries by a metric, energies within one scope and estimates among themselves."""
    groups: dict[tuple[str | None, str | None], list[BoardEntry]] = {}
    for entry in entries:
        groups.setdefault(energy_scope(entry.line) if metric == ENERGY else (None, None), []).append(entry)
    ordered = sorted(groups.items(), key=lambda group: (group[0][1] == "estimated", str(group[0][0])))
    return [Ranking(metric, covers, kind, _places(metric, field)) for (covers, kind), field in ordered]


def energy_scope(line: SummaryLine) -> tuple[str | None, str | None]:
    """Return the scope of a line's energy, and whether it was measured or estimated."""
    covers, gpu, kind = (comparability.value(line, name) for name in comparability.ENERGY)
    return (f"{covers} ({gpu})" if gpu not in (None, "device") else str(covers)), kind


def _places(metric: str, entries: Sequence[BoardEntry]) -> tuple[RankedPlace, ...]:
    scores = [entry.scores[metric] for entry in entries]
    if metric in RATES:
        field = [Contestant(e.scores[metric].low, e.scores[metric].high, e.counted, metric) for e in entries]
        numbers = contest.ranks(field)
    else:
        numbers = ranks(scores, METRICS[metric].better == "higher")
    places = [
        RankedPlace(rank, numbers.count(rank) > 1, entry, score, _grade(metric, score))
        for rank, entry, score in zip(numbers, entries, scores, strict=True)
    ]
    sign = -1 if METRICS[metric].better == "higher" else 1
    return tuple(sorted(places, key=lambda place: (place.rank, sign * place.score.value, place.entry.label)))


def ranks(scores: Sequence[Score], higher_is_better: bool = False) -> list[int]:
    """Return each score's rank: 1 + the number of scores whose interval is wholly better.

    Scores whose intervals overlap are not shown to differ, so neither lowers the other's rank. This is cautious:
    values with slightly overlapping intervals can differ.
    """
    if higher_is_better:
        return [1 + sum(other.low > score.high for other in scores) for score in scores]
    return [1 + sum(other.high < score.low for other in scores) for score in scores]


def _grade(metric: str, score: Score) -> str | None:
    return grades.graded(score.value, score.low, score.high) if metric == ENERGY else None


# --- figures and names -----------------------------------------------------------------------------------


def _scores(rows: pd.DataFrame, lines: pd.DataFrame) -> dict[str, dict[str, Score]]:
    """Return each cell's scores by the id of its entry."""
    windows: dict[str, list[dict[Any, Any]]] = {}
    for row in rows[rows["status"] == "ok"].to_dict("records"):
        windows.setdefault(entry_id(row), []).append(row)
    by_entry = {}
    for line in lines.to_dict("records"):
        own = windows.get(entry_id(line), [])
        scored = {metric: _score(metric, line, own) for metric in ranked(line)}
        by_entry[entry_id(line)] = {metric: score for metric, score in scored.items() if score is not None}
    return by_entry


def _score(metric: str, line: Mapping[Any, Any], windows: Iterable[Mapping[Any, Any]]) -> Score | None:
    value = line[metric]
    if pd.isna(value):
        return None
    if metric in RATES:
        low, high = summary.interval(line, metric)
        return Score(float(value), float(low), float(high), int(line["n_utterances"]))
    if metric not in REPEATED:
        return Score(float(value), float(value), float(value), 1)
    values = [(int(w["round"]), int(w["repeat"]), float(w[metric])) for w in windows if pd.notna(w[metric])]
    over = summarise(list(units(values).values()))
    if over is None or over.low is None or over.high is None:
        return None
    return Score(over.mean, max(over.low, 0.0), over.high, over.n)


def _named(entries: Sequence[BoardEntry]) -> list[BoardEntry]:
    """Label entries by their variant alone where no other on the board has that name."""
    names = [str(entry.line["variant"]) for entry in entries]
    return [
        replace(entry, label=name if names.count(name) == 1 else entry.label)
        for name, entry in zip(names, entries, strict=True)
    ]


def known_as(line: SummaryLine) -> str:
    """Return what distinguishes a line's model from others of its name: its weights, else the name of its parent."""
    return str(line["parent"] if metrics.missing(line["identity"]) else line["identity"])


def entry_id(row: Mapping[Any, Any]) -> str:
    """Return the id of a row's cell."""
    return _slug(str(row["variant"]), *map(str, cell_of(row)))


def _slug(name: str, *parts: str) -> str:
    """Make a file name: the readable part of a text, and a digest that makes it unique."""
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:48].strip("-")
    return f"{readable}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:8]}".lstrip("-")
