"""Who is ranked by what, and who stands apart: only what is comparable, fit and shown to differ gets another rank."""

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
from greenbench.analysis.error_rates import Cell, Counted, RecountError, cell_of
from greenbench.analysis.summary import ENERGY
from greenbench.hardware import platforms
from greenbench.leaderboard import grades
from greenbench.leaderboard.board import RANKED, Apart, Board, Entry, Line, Place, Ranking, Score
from greenbench.metrics import METRICS
from greenbench.results import comparability
from greenbench.results.flags import RANKABLE, explain
from greenbench.results.record import CELL
from greenbench.statistics.repeats import summarise, units

Run = Mapping[str, Any]

REPEATED = (ENERGY, "rtfx")
"""Those of them that vary from process to process."""

MIN_PROCESSES = 2
"""Below, nobody knows how far processes differ, so a rank would be luck."""


def boards(
    rows: pd.DataFrame,
    runs: Sequence[Run],
    outside: Mapping[Cell, str],
    counted: Mapping[Cell, Counted | RecountError] = MappingProxyType({}),
    by_parent: bool = True,
) -> tuple[list[Board], list[Line]]:
    """Rank what there is.

    Args:
        rows: as ``frames.load`` gives them.
        runs: the ``run.json`` of each run.
        outside: from ``gate.outside``.
        counted: the errors of cells' texts, by which their WER is ranked.
        by_parent: whether cells are held against their own parents, see ``Gate.by_parent``.

    Returns:
        The boards, platform by platform, and the lines of cells that gave no result.
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
    entries = [Entry(id_, str(line["label"]), line, scores[id_], texts.get(id_))
               for id_, line in zip(ids, lines, strict=True)]  # fmt: skip
    values = {name: comparability.value(lines[0], name) for name in comparability.KEY}
    unfit = {entry.id: reason for entry in entries if (reason := _unfit(entry))} | _superseded(entries, started)
    apart = [Apart(entry, RANKED, unfit[entry.id]) for entry in entries if entry.id in unfit]
    field = _named([entry for entry in entries if entry.id not in unfit])
    rankings: list[Ranking] = []
    for metric in RANKED:
        kept_out = {entry.id: reason for entry in field if (reason := _not_by(metric, entry))}
        apart += [Apart(entry, (metric,), kept_out[entry.id]) for entry in field if entry.id in kept_out]
        rankings += _rankings(metric, [entry for entry in field if entry.id not in kept_out])
    return Board(
        id=_slug(f"{setting.label}", home, *map(str, values.values())),
        label=setting.label,
        platform=home,
        setting=values,
        entries=tuple({entry.id: entry for entry in (*entries, *field)}.values()),
        rankings=tuple(rankings),
        apart=tuple(_joined(apart)),
    )


# --- who stands apart ------------------------------------------------------------------------------------


def _unfit(entry: Entry) -> str | None:
    """Say why an entry is in no ranking, or return None."""
    line = entry.line
    notes = {flag: note for flag, note in zip(line["flags"], line["flag_notes"], strict=True) if flag not in RANKABLE}
    if notes:
        return explain([*notes], [*notes.values()])
    if line["n_params"] == 0:
        return "calibrates the harness, and recognises nothing"
    if line["n_failed"]:
        return f"{line['n_failed']} of its rows failed: {line['reason']}"
    return None


def _superseded(entries: Iterable[Entry], started: Mapping[str, str]) -> dict[str, str]:
    """Say of each entry that was measured again, and is fit, that the later run stands for it."""
    same: dict[str, list[Entry]] = {}
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


def _not_by(metric: str, entry: Entry) -> str | None:
    """Say why an entry is not ranked by a metric, or return None."""
    line = entry.line
    if metric != "wer" and line["outside"]:
        return str(line["outside"])
    if "wer" not in entry.scores:
        return "no WER, so nobody knows what it recognises"
    if metrics.missing(line[metric]):
        return "not measured"
    if metric not in entry.scores or (metric in REPEATED and line["n_rounds"] < MIN_PROCESSES):
        return "measured in one process, which does not tell how processes differ: use protocol standard, or rounds: 3"
    return None


def _joined(apart: Iterable[Apart]) -> list[Apart]:
    """Bring together what is the same reason for several metrics."""
    found: dict[tuple[str, str], Apart] = {}
    for one in apart:
        key = (one.entry.id, one.reason)
        metrics = (*found[key].metrics, *one.metrics) if key in found else one.metrics
        found[key] = Apart(one.entry, metrics, one.reason)
    return list(found.values())


# --- ranks -----------------------------------------------------------------------------------------------


def _rankings(metric: str, entries: Sequence[Entry]) -> list[Ranking]:
    """Rank entries by a metric, energies within one scope and estimates among themselves."""
    contests: dict[tuple[str | None, str | None], list[Entry]] = {}
    for entry in entries:
        contests.setdefault(energy_scope(entry.line) if metric == ENERGY else (None, None), []).append(entry)
    ordered = sorted(contests.items(), key=lambda contest: (contest[0][1] == "estimated", str(contest[0][0])))
    return [Ranking(metric, covers, kind, _places(metric, field)) for (covers, kind), field in ordered]


def energy_scope(line: Line) -> tuple[str | None, str | None]:
    """Return what a line's energy covers and whether it was measured or estimated."""
    covers, gpu, kind = (comparability.value(line, name) for name in comparability.ENERGY)
    return (f"{covers} ({gpu})" if gpu not in (None, "device") else str(covers)), kind


def _places(metric: str, entries: Sequence[Entry]) -> tuple[Place, ...]:
    scores = [entry.scores[metric] for entry in entries]
    if metric == "wer":
        found = contest.ranks([Contestant(e.scores[metric].low, e.scores[metric].high, e.counted) for e in entries])
    else:
        found = ranks(scores, METRICS[metric].better == "higher")
    places = [
        Place(rank, found.count(rank) > 1, entry, score, _grade(metric, score))
        for rank, entry, score in zip(found, entries, scores, strict=True)
    ]
    sign = -1 if METRICS[metric].better == "higher" else 1
    return tuple(sorted(places, key=lambda place: (place.rank, sign * place.score.value, place.entry.label)))


def ranks(scores: Sequence[Score], higher_is_better: bool = False) -> list[int]:
    """Return each score's rank: 1 + the number of scores whose interval is wholly better.

    Scores whose intervals overlap are not shown to differ, so neither pushes the other down. That is cautious:
    intervals that overlap a little can belong to values that differ.
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
    found = {}
    for line in lines.to_dict("records"):
        own = windows.get(entry_id(line), [])
        scored = {metric: _score(metric, line, own) for metric in RANKED}
        found[entry_id(line)] = {metric: score for metric, score in scored.items() if score is not None}
    return found


def _score(metric: str, line: Mapping[Any, Any], windows: Iterable[Mapping[Any, Any]]) -> Score | None:
    value = line[metric]
    if pd.isna(value):
        return None
    if metric == "wer":
        low, high = summary.interval(line, metric)
        return Score(float(value), float(low), float(high), int(line["n_utterances"]))
    if metric not in REPEATED:
        return Score(float(value), float(value), float(value), 1)
    known = [(int(w["round"]), int(w["repeat"]), float(w[metric])) for w in windows if pd.notna(w[metric])]
    over = summarise(list(units(known).values()))
    if over is None or over.low is None or over.high is None:
        return None
    return Score(over.mean, max(over.low, 0.0), over.high, over.n)


def _named(entries: Sequence[Entry]) -> list[Entry]:
    """Name entries by their variant alone where no other on the board is called so."""
    names = [str(entry.line["variant"]) for entry in entries]
    return [
        replace(entry, label=name if names.count(name) == 1 else entry.label)
        for name, entry in zip(names, entries, strict=True)
    ]


def known_as(line: Line) -> str:
    """Return what tells a line's model from another of its name: its weights, by the name of its parent if unknown."""
    return str(line["parent"] if metrics.missing(line["identity"]) else line["identity"])


def entry_id(row: Mapping[Any, Any]) -> str:
    """Return the id of a row's cell."""
    return _slug(str(row["variant"]), *map(str, cell_of(row)))


def _slug(name: str, *parts: str) -> str:
    """Make a name for files: what can be read of a text, and a digest that tells it from others."""
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:48].strip("-")
    return f"{readable}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:8]}".lstrip("-")
