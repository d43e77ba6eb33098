"""What the texts say beyond one error rate: latencies, errors by speaker and by length, and the worst utterances."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from greenbench.analysis.error_rates import CellKey, Counted, RecountError, Texts
from greenbench.metrics import TEXT_RATES
from greenbench.report.data import short
from greenbench.results.comparability import primary
from greenbench.results.record import CELL
from greenbench.results.store import Row
from greenbench.text.alignment import Pair, align, align_characters
from greenbench.text.characters import unsegmented, writes_no_spaces
from greenbench.text.wer import Counts, count_chars, count_words

SHARES = (0, 1, 2, 5, *range(10, 100, 10), 95, 98, 99, 100)
"""The percentiles that stand for a cell's latencies, however many utterances it has."""

N_GROUPS = 20
"""Speakers of a data set that are shown by themselves: those with most words; the others are one group."""

N_WORST, N_DATASETS, N_HYPOTHESES = 8, 6, 6
"""Utterances of a data set whose texts are shown, data sets, and different texts of an utterance."""

_LENGTHS = ("shortest quarter", "second quarter", "third quarter", "longest quarter")


@dataclass(frozen=True)
class CellTexts:
    """The texts of a cell's first window.

    Attributes:
        line: the cell's line in the summary.
        variant: of the cell.
        dataset: of the cell.
        rate: the error rate by which it is judged.
        rows: of ``hypotheses.jsonl``, in the order of their ids.
        counted: their errors, or why they cannot be counted.
    """

    line: int
    variant: str
    dataset: str
    rate: str
    rows: Sequence[Row]
    counted: Counted | RecountError

    @property
    def counts(self) -> Sequence[Counts]:
        """Errors and length of each text in what it is judged by: words or characters; none where not counted."""
        if isinstance(self.counted, RecountError):
            return ()
        return self.counted.words if self.rate == TEXT_RATES[0] else self.counted.chars


@dataclass(frozen=True)
class Hypothesis:
    """A text that one or several variants wrote for an utterance.

    Attributes:
        variants: their names.
        lines: their lines of the summary.
        steps: the alignment of the text with the reference: words, or runs of characters.
        between: what stands between two steps: a space, or nothing.
    """

    variants: tuple[str, ...]
    lines: tuple[int, ...]
    steps: tuple[Pair, ...]
    between: str


@dataclass(frozen=True)
class WorstUtterance:
    """An utterance with errors, with every different text; ``n_errors`` is their sum over the variants.

    ``unit`` says of what the errors are, ``word`` or ``character``: its data set is judged by these.
    """

    id: str
    speaker: str | None
    audio_s: float | None
    n_errors: int
    unit: str
    hypotheses: tuple[Hypothesis, ...]
    n_more: int


def cell_texts(
    lines: pd.DataFrame, texts: Mapping[CellKey, Texts], counted: Mapping[CellKey, Counted | RecountError]
) -> list[CellTexts]:
    """Bring the lines of a summary that have an error rate of texts together with what their cells wrote.

    Args:
        lines: from ``summary.summary``, with rows numbered from 0.
        texts: from ``error_rates.first_windows``.
        counted: from ``error_rates.count_all``.
    """
    rates = map(primary, lines[["primary"]].to_dict("records"))
    is_scored = lines[list(TEXT_RATES)].notna().any(axis=1)
    cells = zip(lines[list(CELL)].itertuples(index=False, name=None), rates, is_scored, strict=True)
    known = [(n, cell, rate, texts[cell]) for n, (cell, rate, scored) in enumerate(cells) if scored and texts.get(cell)]
    unknown = RecountError("it has no row to count by")
    return [
        CellTexts(
            line, str(cell[1]), str(cell[2]), rate, [of_cell[i] for i in sorted(of_cell)], counted.get(cell, unknown)
        )
        for line, cell, rate, of_cell in known
    ]


def latencies(cells: Iterable[CellTexts]) -> dict[int, list[float | int]]:
    """Return the percentiles ``SHARES`` of the seconds that each line's utterances took, where each was timed."""
    timed = {cell.line: [row.get("latency_s") for row in cell.rows] for cell in cells}
    known = {line: [s for s in seconds if s is not None] for line, seconds in timed.items()}
    complete = {line: seconds for line, seconds in known.items() if len(seconds) == len(timed[line]) > 1}
    return {line: [short(s) for s in np.percentile(seconds, SHARES)] for line, seconds in complete.items()}


def groups(cells: Sequence[CellTexts]) -> dict[str, dict[int, list[list[Any]]]]:
    """Count each line's errors by speaker and by length of the utterance.

    Returns:
        ``speaker`` and ``length`` -> line -> of each group ``[name, errors, words or characters, utterances]``.
    """
    found: dict[str, dict[int, list[list[Any]]]] = {"speaker": {}, "length": {}}
    for of_set in _by_dataset(cells):
        for kind, name_of in (("speaker", _by_speaker(of_set)), ("length", _by_length(of_set))):
            if name_of is not None:
                found[kind] |= {cell.line: _counts(cell, name_of) for cell in of_set}
    return {kind: lines for kind, lines in found.items() if lines}


def _by_dataset(cells: Iterable[CellTexts]) -> list[list[CellTexts]]:
    """Group the cells that could be counted."""
    sets = defaultdict[str, list[CellTexts]](list)
    for cell in cells:
        if isinstance(cell.counted, Counted):
            sets[cell.dataset].append(cell)
    return list(sets.values())


def _by_speaker(cells: Sequence[CellTexts]) -> Callable[[Row], str] | None:
    """Return how speakers are named, None where fewer than two are known."""
    words = defaultdict[str, int](int)
    for row in {row["utterance_id"]: row for cell in cells for row in cell.rows}.values():
        words[str(row.get("speaker") or "")] += len(row["reference"].split())
    words.pop("", None)
    if len(words) < 2:
        return None
    shown = set(sorted(words, key=lambda name: -words[name])[: N_GROUPS if len(words) > N_GROUPS + 1 else len(words)])
    rest = f"{len(words) - len(shown)} others"
    return lambda row: str(row["speaker"]) if str(row.get("speaker")) in shown else rest


def _by_length(cells: Sequence[CellTexts]) -> Callable[[Row], str] | None:
    """Return the quarter of the data set that an utterance is in by its length, None where lengths are not known."""
    lengths = {row["utterance_id"]: row.get("audio_s") for cell in cells for row in cell.rows}
    known = [length for length in lengths.values() if length is not None]
    if len(known) < len(lengths) or len(set(known)) < len(_LENGTHS):
        return None
    edges = np.percentile(known, (25, 50, 75))
    ends = [f"{a:.1f}–{b:.1f} s" for a, b in zip([min(known), *edges], [*edges, max(known)], strict=True)]
    names = [f"{name}, {end}" for name, end in zip(_LENGTHS, ends, strict=True)]
    return lambda row: names[int(np.searchsorted(edges, row["audio_s"]))]


def _counts(cell: CellTexts, name_of: Callable[[Row], str]) -> list[list[Any]]:
    sums = defaultdict[str, list[int]](lambda: [0, 0, 0])
    for row, counts in zip(cell.rows, cell.counts, strict=True):
        total = sums[name_of(row)]
        total[0], total[1], total[2] = total[0] + counts.edits, total[1] + counts.n, total[2] + 1
    return [[name, *total] for name, total in sorted(sums.items())]


# --- the worst utterances --------------------------------------------------------------------------------


def worst(cells: Sequence[CellTexts]) -> list[tuple[str, bool, list[WorstUtterance]]]:
    """Return of each data set the utterances with the most errors, over one cell of each variant.

    Returns:
        Name of the data set, whether its texts are as the normaliser left them, and the utterances, worst first.
    """
    sets = defaultdict[str, dict[str, CellTexts]](dict)
    for cell in cells:
        sets[cell.dataset].setdefault(cell.variant, cell)
    return [
        (name, all(isinstance(cell.counted, Counted) for cell in of_set.values()), _worst(list(of_set.values())))
        for name, of_set in list(sets.items())[:N_DATASETS]
    ]


def _worst(cells: Sequence[CellTexts]) -> list[WorstUtterance]:
    """Bring each utterance's texts together, and keep those with the most errors."""
    by_utterance = defaultdict[str, list[tuple[CellTexts, Row, str, str, int]]](list)
    for cell in cells:
        for row, reference, hypothesis, errors in _texts(cell):
            by_utterance[row["utterance_id"]].append((cell, row, reference, hypothesis, errors))
    totals = {utterance: sum(text[-1] for text in texts) for utterance, texts in by_utterance.items()}
    most = sorted((i for i in by_utterance if totals[i]), key=lambda i: -totals[i])[:N_WORST]
    return [_utterance(i, totals[i], by_utterance[i]) for i in most]


def _texts(cell: CellTexts) -> Iterable[tuple[Row, str, str, int]]:
    """Return reference, text and errors of each utterance; as they were written where they cannot be counted."""
    if isinstance(cell.counted, Counted):
        counted = cell.counted
        errors = [counts.edits for counts in cell.counts]
        return zip(cell.rows, counted.references, counted.hypotheses, errors, strict=True)
    pairs = [(row, str(row["reference"]), str(row["hypothesis"])) for row in cell.rows]
    count = count_words if cell.rate == TEXT_RATES[0] else _count_characters
    return [(*pair, count(_spaced(pair[1]), _spaced(pair[2])).edits) for pair in pairs]


def _count_characters(reference: str, hypothesis: str) -> Counts:
    return count_chars(unsegmented(reference), unsegmented(hypothesis))


def _spaced(text: str) -> str:
    return " ".join(text.split())


@lru_cache(maxsize=2**14)
def _aligned(reference: str, hypothesis: str, rate: str) -> tuple[tuple[Pair, ...], str]:
    """Align the words of two texts, or their characters where these decide, or words cannot be seen."""
    if rate == TEXT_RATES[0] and not writes_no_spaces(reference):
        return tuple(align(reference.split(), hypothesis.split())), " "
    return tuple(align_characters(unsegmented(_spaced(reference)), unsegmented(_spaced(hypothesis)))), ""


def _utterance(name: str, n_errors: int, texts: Sequence[tuple[CellTexts, Row, str, str, int]]) -> WorstUtterance:
    different = defaultdict[tuple[str, str, str], list[CellTexts]](list)
    for cell, _, reference, hypothesis, _ in texts:
        different[reference, hypothesis, cell.rate].append(cell)
    hypotheses = [
        Hypothesis(tuple(cell.variant for cell in of), tuple(cell.line for cell in of), *_aligned(*pair))
        for pair, of in list(different.items())[:N_HYPOTHESES]
    ]
    first, row = texts[0][:2]
    unit = "word" if first.rate == TEXT_RATES[0] else "character"
    audio_s, n_more = row.get("audio_s"), len(different) - len(hypotheses)
    return WorstUtterance(name, row.get("speaker"), audio_s, n_errors, unit, tuple(hypotheses), n_more)
