"""The errors of each build in each slice of a data set: a table a data set, the worst slices first."""

from collections import defaultdict
from collections.abc import Sequence

from greenbench.analysis.error_rates import Counted
from greenbench.report.figures import number
from greenbench.report.utterances import CellTexts
from greenbench.text.slices import Slice, by_slice, worst

N_SLICES, N_BUILDS = 12, 60
"""Slices of a data set that are shown, those with the highest error rates over all builds, and builds."""

TableRow = dict[str, str]


def tables(cells: Sequence[CellTexts]) -> list[tuple[str, list[TableRow]]]:
    """Return the slices of each data set that has any.

    Args:
        cells: from ``utterances.cell_texts``; of each variant the first counts.

    Returns:
        Name of the data set, and a line a build: its error rate in each slice in percent with its interval, or why the
        slice is not judged. Above them is a line with the words or characters of each slice.
    """
    sets = defaultdict[str, dict[str, list[Slice]]](dict)
    for cell in cells:
        if isinstance(cell.counted, Counted) and cell.variant not in sets[cell.dataset]:
            found = by_slice(cell.counts, cell.counted.speakers, cell.counted.slices)
            sets[cell.dataset] |= {cell.variant: found} if found else {}
    return [(name, _lines(dict([*builds.items()][:N_BUILDS]))) for name, builds in sets.items() if builds]


def _lines(builds: dict[str, list[Slice]]) -> list[TableRow]:
    edits, lengths = defaultdict[str, int](int), dict[str, int]()
    for one in (one for found in builds.values() for one in found):
        edits[one.name] += one.counts.edits
        lengths[one.name] = one.counts.n
    shown = sorted(lengths, key=lambda name: -edits[name] / max(lengths[name], 1))[:N_SLICES]
    heading = {"build": "length of the references", **{name: str(lengths[name]) for name in shown}}
    return [heading, *(_line(variant, found, shown) for variant, found in builds.items())]


def _line(variant: str, found: Sequence[Slice], shown: Sequence[str]) -> TableRow:
    texts, chosen = {one.name: _text(one) for one in found}, worst(found)
    if chosen is not None:
        texts[chosen.name] += " worst"
    return {"build": variant, **{name: texts.get(name, "–") for name in shown}}


def _text(one: Slice) -> str:
    if one.interval is None:
        return f"{number('wer', one.rate)} ({one.lacks or 'no interval'})"
    low, high = (number("wer", end) for end in one.interval)
    return f"{number('wer', one.rate)} [{low}, {high}]"
