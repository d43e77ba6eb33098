"""The history of a leaderboard: the changes against the previous publication, and their feed."""

import os
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from greenbench.errors import InputError, StoreError
from greenbench.files import readback
from greenbench.files.forms import TEXT, count, form, number, one_of, or_null, record, several
from greenbench.files.limits import limits
from greenbench.leaderboard.documents import FORMAT, HEADINGS, covers
from greenbench.report.figures import quantity

JSON = "leaderboard.json"

N_KEPT = 50
"""Publications that the history keeps."""

_ATOM = "http://www.w3.org/2005/Atom"
_OWN = ("published_utc", "history")

BoardDocument = Mapping[str, Any]
"""A publication as ``documents.plain`` gives it, with ``published_utc`` and ``history`` once it is dated."""


def previous(path: Path) -> BoardDocument | None:
    """Read the previous publication.

    Args:
        path: its JSON, or the folder of its site.

    Returns:
        None where there is none.

    Raises:
        InputError: the file is something else.
    """
    file = path / JSON if path.is_dir() else path
    if not os.path.lexists(file):
        return None
    try:
        return readback.read_object(file, _PUBLICATION, limits().max_bytes)
    except StoreError as error:
        why = str(error).removeprefix(f"{file}: ")
        raise InputError(
            f"{file}: not a publication that can be read: {why}. Name the previous one with --previous."
        ) from error


_PLACE = record({"label": TEXT, "rank": count(1), "value": number(), "grade": or_null(TEXT)})
_RANKING = record({
    "key": TEXT, "metric": one_of([*HEADINGS]), "scope": or_null(TEXT), "kind": or_null(TEXT),
    "places": several(_PLACE),
})  # fmt: skip
_UNRANKED = record({"label": TEXT, "not_ranked_by": several(TEXT), "reason": TEXT})
_BOARD = record({
    "id": TEXT, "label": TEXT, "platform": TEXT, "rankings": several(_RANKING), "apart": several(_UNRANKED),
})  # fmt: skip
_NEWS = record({"published_utc": TEXT, "changes": several(record({"board": TEXT, "what": TEXT}))})


def _on_known_platforms(content: BoardDocument) -> Iterator[str]:
    ids = {platform["id"] for platform in content["platforms"]}
    for at, board in enumerate(content["boards"]):
        if board["platform"] not in ids:
            yield f"boards.{at}.platform: {board['platform']!r:.60} is not among the platforms"


_PUBLICATION = form(
    record({
        "format": one_of([FORMAT]), "published_utc": TEXT, "history": several(_NEWS), "boards": several(_BOARD),
        "platforms": several(record({"id": TEXT, "name": TEXT})),
    }),
    _on_known_platforms,
)  # fmt: skip
"""The parts of a publication that the next one is compared with."""


def standing(site: Path) -> BoardDocument | None:
    """Read the publication that a new one is about to replace; where it is damaged the history starts anew.

    Args:
        site: the folder of the site.

    Returns:
        None where there is none, or it cannot be read, which a warning says.
    """
    try:
        return previous(site)
    except InputError as error:
        reason = str(error).partition(". Name ")[0]
        warnings.warn(f"{reason}. The site is written anew, and its history starts anew", stacklevel=2)
        return None


def dated(content: BoardDocument, before: BoardDocument | None, now_utc: str) -> dict[str, Any]:
    """Add the time of a publication, and its changes since the previous one.

    A publication with the content of the previous one keeps its date, so that publishing again changes no file.
    """
    if before is not None and {k: v for k, v in before.items() if k not in _OWN} == content:
        return {**content, **{name: before[name] for name in _OWN}}
    earlier = [] if before is None else before["history"]
    news = [{"published_utc": now_utc, "changes": list(changes(before, content))}]
    return {**content, "published_utc": now_utc, "history": [*news, *earlier][:N_KEPT]}


def changes(before: BoardDocument | None, after: BoardDocument) -> Iterator[dict[str, str]]:
    """Yield the changes, each with its ``board`` and ``what``, a sentence; none for a first publication."""
    if before is None:
        return
    old, new = ({board["id"]: board for board in content["boards"]} for content in (before, after))
    names = {platform["id"]: platform["name"] for content in (before, after) for platform in content["platforms"]}
    for name, board in {**old, **new}.items():
        title = f"{board['label']} on {names[board['platform']]}"
        if name not in old:
            yield {"board": title, "what": "a new board"}
        elif name not in new:
            yield {"board": title, "what": "is no longer published"}
        for what in _on_board(old.get(name), new.get(name)) if name in old and name in new else ():
            yield {"board": title, "what": what}


def _on_board(old: Any, new: Any) -> Iterator[str]:
    """Yield what changed in each ranking of a board."""
    before, after = ({ranking["key"]: ranking for ranking in board["rankings"]} for board in (old, new))
    reasons = {(one["label"], metric): one["reason"] for one in new["apart"] for metric in one["not_ranked_by"]}
    for key, ranking in {**before, **after}.items():
        places = [_by_label(rankings.get(key)) for rankings in (before, after)]
        by = f"by {_named(ranking)}"
        for label in dict.fromkeys([*places[0], *places[1]]):
            was, now = (by_label.get(label) for by_label in places)
            if was is None and now is not None:
                yield f"{label} enters {by} at rank {now['rank']} ({quantity(ranking['metric'], now['value'])})"
            elif now is None:
                reason = reasons.get((label, ranking["metric"]))
                yield f"{label} is no longer ranked {by}" + (f": {reason}" if reason else "")
            elif was is not None:
                yield from _moved(label, by, ranking["metric"], was, now)


def _moved(label: str, by: str, metric: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    parts = [f"from rank {was['rank']} to {now['rank']}"] if was["rank"] != now["rank"] else []
    parts += [f"from grade {was['grade']} to {now['grade']}"] if was["grade"] != now["grade"] else []
    values = quantity(metric, was["value"]), quantity(metric, now["value"])
    parts += [f"from {values[0]} to {values[1]}"] if values[0] != values[1] else []
    if parts:
        yield f"{label} {by}: {', '.join(parts)}"


def _by_label(ranking: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    return {place["label"]: place for place in ranking["places"]} if ranking else {}


def _named(ranking: Mapping[str, Any]) -> str:
    name = HEADINGS[ranking["metric"]].lower()
    return f"{name} ({covers(ranking['scope'])}, {ranking['kind']})" if ranking["scope"] else name


# --- the feed --------------------------------------------------------------------------------------------


def feed(content: BoardDocument) -> str:
    """Write the Atom feed (RFC 4287) of the publications that changed something; links are relative."""
    own = uuid.uuid5(uuid.NAMESPACE_URL, f"greenbench leaderboard {content['title']}")
    root = ElementTree.Element("feed", xmlns=_ATOM)
    _add(root, "title", content["title"])
    _add(root, "id", own.urn)
    _add(root, "updated", content["published_utc"])
    _add(_add(root, "author"), "name", content["title"])
    _add(root, "link", href="feed.xml", rel="self")
    _add(root, "link", href="index.html", rel="alternate")
    for news in content["history"]:
        if news["changes"]:
            _entry(root, own, news)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _entry(root: ElementTree.Element, own: uuid.UUID, news: Mapping[str, Any]) -> None:
    entry = _add(root, "entry")
    n_changes = len(news["changes"])
    _add(entry, "title", f"{n_changes} change{'s' if n_changes > 1 else ''} on {news['published_utc'][:10]}")
    _add(entry, "id", uuid.uuid5(own, news["published_utc"]).urn)
    _add(entry, "updated", news["published_utc"])
    _add(entry, "link", href="index.html", rel="alternate")
    _add(entry, "content", _as_text(news["changes"]), type="text")


def _as_text(news: Sequence[Mapping[str, str]]) -> str:
    return "\n".join(f"{change['board']}: {change['what']}" for change in news)


def _add(parent: ElementTree.Element, name: str, text: str | None = None, **attributes: str) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, name, attributes)
    child.text = _printable(text)
    return child


def _printable(text: str | None) -> str | None:
    """Leave out the characters that XML does not allow."""
    return None if text is None else "".join(c for c in text if c in "\t\n" or ord(c) >= 32)
