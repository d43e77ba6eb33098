"""The site's pages: self-contained HTML, in which all text from results is escaped."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pandas as pd

from greenbench.analysis import summary
from greenbench.assets import style
from greenbench.hardware.platforms import Platform
from greenbench.leaderboard import grades, history
from greenbench.leaderboard.board import COSTS, Board, BoardEntry, RankedPlace, Ranking
from greenbench.leaderboard.cross_platform import comparisons
from greenbench.leaderboard.documents import Publication, heading, interval, metric_names, span
from greenbench.leaderboard.ranking import Description
from greenbench.leaderboard.standing import LEVELS, REPRODUCED
from greenbench.meters.energy import PARTS, part_column
from greenbench.metrics import INTERVALS, METRICS
from greenbench.provenance import PROVENANCE
from greenbench.report.figures import quantity
from greenbench.report.sections import flat
from greenbench.report.sentences import repeats
from greenbench.results.flags import FLAGS
from greenbench.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

_SETTING = {
    "protocol": "protocol", "device_name": "device", "threads": "threads", "batching": "batching",
    "arrivals": "arrivals", "chunk_s": "seconds of a chunk", "pace": "pace of speech", "streams": "streams at once",
    "finalise": "final text at", "onset_source": "onset of speech", "word_times_source": "times of words",
    "normalizer": "normaliser", "scorer": "scorer", "primary": "judged by",
    "timed_region": "timed region", "data_hash": "digest of the data",
}  # fmt: skip
"""The conditions of measurement that a board shows below its name: column -> label."""

_RUN = ("run_id", "started_utc", "protocol", "versions", "git")
_N_NEWS = 5


def pages(
    publication: Publication, content: history.BoardDocument, runs: Sequence[Description]
) -> Iterator[tuple[str, str]]:
    """Yield every page of a site: its path, and its HTML.

    Args:
        publication: what is published.
        content: the same as data, with its date and history.
        runs: the ``run.json`` of each run, as shared.
    """
    environment = _environment(publication, content)
    boards, cards = publication.boards, publication.platforms
    homes = [(card, [board for board in boards if board.platform == name]) for name, card in cards.items()]
    news = [n for n in content["history"] if n["changes"]][:_N_NEWS]
    ranked = {place.entry.id for board in boards for ranking in board.rankings for place in ranking.places}
    yield "index.html", environment.get_template("index.html.jinja").render(
        root="", by_platform=homes, platforms=cards, bands=grades.bands(), grades_version=grades.VERSION, news=news,
        gate=publication.gate, n_ranked=len(ranked),
        n_reproduced=sum(one.level == REPRODUCED for one in publication.standings.values()),
        n_entries=sum(len(board.entries) for board in boards),
    )  # fmt: skip
    yield (
        "platforms.html",
        environment.get_template("platforms.html.jinja").render(
            root="", comparisons=comparisons(boards, cards), cards=[(card, *_card(card), own) for card, own in homes]
        ),
    )
    yield (
        "apart.html",  # an address that others link to
        environment.get_template("unranked.html.jinja").render(
            root="", boards=boards, platforms=cards, failed=publication.failed, refused=publication.refused
        ),
    )
    homes_of_runs = {str(run["run_id"]): run for run in runs}
    for board in boards:
        card = cards[board.platform]
        setting = [(name, board.setting[key]) for key, name in _SETTING.items() if board.setting[key] is not None]
        page = environment.get_template("board.html.jinja")
        yield f"boards/{board.id}.html", page.render(root="../", board=board, platform=card, setting=setting)
        for entry in board.entries:
            run = homes_of_runs[str(entry.line["run_id"])]
            page = environment.get_template("entry.html.jinja")
            shown = _entry(board, entry, run, publication.hashes[str(run["run_id"])])
            yield f"entries/{entry.id}.html", page.render(root="../", board=board, platform=card, **shown)


def _environment(publication: Publication, content: history.BoardDocument) -> "Environment":
    """Return jinja with the globals of every page; only the project's own style and script are not escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("greenbench.leaderboard", "pages"),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    script, own = (files("greenbench.leaderboard").joinpath(f"pages/{name}").read_text("utf-8") for name in _OURS)
    environment.globals.update(
        title=publication.title, published_utc=content["published_utc"], version=__version__,
        style=Markup(style() + own), script=Markup(script),  # noqa: S704
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        heading=heading, interval=interval, span=span, metric_names=metric_names, quantity=quantity,
        n_metrics=len(COSTS) + 1, label=lambda metric: METRICS[metric].label, levels=LEVELS,
        standings=publication.standings,
    )  # fmt: skip
    return environment


_OURS = ("sort.js", "site.css")


def _card(card: Platform) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return a platform's hardware, and the software and meters of its runs, as (name, text)."""
    hardware = [(name.replace(" gib", " (GiB)").replace("n cpus", "CPUs,"), text) for name, text in flat(card.hardware)]
    seen = [(name.replace("_", " "), ", ".join(values)) for name, values in card.software.items()]
    return hardware, [
        *seen,
        ("meters that answered", ", ".join(card.meters) or "none"),
        ("runs", str(len(card.run_ids))),
    ]


# --- an entry --------------------------------------------------------------------------------------------


def _entry(board: Board, entry: BoardEntry, run: Description, sha256: str) -> dict[str, Any]:
    """Return the content of an entry's page."""
    line = entry.line
    command = run.get("command")
    facts = [pair for name in _RUN if run.get(name) for pair in flat(run[name], name)]
    return {
        "entry": entry,
        "places": _places(board, entry),
        "unranked": [one for one in board.unranked if one.entry.id == entry.id],
        "flags": [(flag, FLAGS.get(flag, "unknown to this version of greenbench")) for flag in line["flags"]],
        "repeats": repeats(line),
        "figures": [_figure(line, name) for name in METRICS if name not in INTERVALS and not pd.isna(line[name])],
        "energy": summary.energy_details(line) if pd.notna(line[summary.ENERGY]) else _unread(line),
        "provenance": [(n.replace("_", " "), line[n]) for n in PROVENANCE if n in line and _is_stated(line[n])],
        "run_facts": [*facts, ("SHA-256 of the run", sha256)],
        "command": command if isinstance(command, str) else None,
        "suite": json.dumps(run.get("suite"), indent=2, ensure_ascii=False),
    }


def _places(board: Board, entry: BoardEntry) -> list[tuple[Ranking, RankedPlace]]:
    return [(r, place) for r in board.rankings for place in r.places if place.entry.id == entry.id]


def _unread(line: Mapping[str, Any]) -> str:
    """Say why there is no energy."""
    notes = [str(line[part_column(part, "note")]) for part in PARTS if _is_stated(line[part_column(part, "note")])]
    return "; ".join(["No energy was read", *notes])


def _figure(line: Mapping[str, Any], metric: str) -> tuple[str, str, str | None, str]:
    """Return a metric's label, value, range and meaning."""
    low, high = summary.interval(line, metric)
    shown = _count if metric.startswith("n_") and metric != "n_params" else partial(quantity, metric)
    varies = f"{shown(low)} – {shown(high)}" if low != high else None
    return METRICS[metric].label, shown(line[metric]), varies, METRICS[metric].about


def _count(value: float) -> str:
    return f"{value:,g}"


def _is_stated(value: Any) -> bool:
    return value is not None and str(value) not in ("nan", "<NA>", "")
