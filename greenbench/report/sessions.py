"""Utterances that were streamed, word by word: when each was spoken, shown, replaced and final."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from greenbench.plugins import WordTime
from greenbench.report.data import short
from greenbench.report.utterances import CellTexts
from greenbench.results.store import Row
from greenbench.streaming import words
from greenbench.streaming.shown import shown_words

N_UTTERANCES = 24
"""Utterances that a page offers."""


def drawn(cells: Sequence[CellTexts]) -> dict[str, dict[str, Any]]:
    """Return what the chart of an utterance needs, by the utterance's name, which has the data set's where several are.

    Returns:
        ``audio_s``, and ``lines``: line of the summary -> of each word that was shown ``[place, word, since_s,
        until_s, end_s]``, where ``until_s`` is None for final words and ``end_s``, of these alone, when it was spoken.
    """
    several = len({cell.dataset for cell in cells if any(row.get("shown") for row in cell.rows)}) > 1
    found = defaultdict[str, dict[str, Any]](dict)
    for name, cell, row in _streamed(cells, several):
        of = found[name]
        of["audio_s"] = row.get("audio_s")
        of.setdefault("lines", {})[cell.line] = _words(row)
    return dict(list(found.items())[:N_UTTERANCES])


def _streamed(cells: Iterable[CellTexts], several: bool) -> Iterable[tuple[str, CellTexts, Row]]:
    for cell in cells:
        for row in cell.rows:
            if row.get("shown"):
                yield f"{cell.dataset}: {row['utterance_id']}" if several else row["utterance_id"], cell, row


def _words(row: Row) -> list[list[Any]]:
    texts = [(one["time_s"], one["text"].split()) for one in row["shown"]]
    spoken = [WordTime(**one) for one in row.get("words") or ()]
    final = " ".join(texts[-1][1])
    ends = words.ends_s(final, spoken) if spoken else [None] * len(texts[-1][1])
    return [
        [
            one.place,
            one.word,
            short(one.since_s),
            _short(one.until_s),
            _short(ends[one.place] if one.until_s is None else None),
        ]
        for one in shown_words(texts)
    ]


def _short(seconds: float | None) -> float | int | None:
    return None if seconds is None else short(seconds)
