"""How far the error rates of two cells differ: the same utterances, counted alike from the raw texts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from math import isclose, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenbench import tasks
from greenbench.errors import GreenbenchError, InputError
from greenbench.metrics import ratio
from greenbench.plugins import TRANSCRIBE, Decides
from greenbench.results import store
from greenbench.results.record import CELL
from greenbench.results.store import Row
from greenbench.statistics import detection, student
from greenbench.statistics.intervals import Difference, paired_difference
from greenbench.text.wer import Counts

if TYPE_CHECKING:
    from greenbench.statistics.detection import Trials
    from greenbench.text.alignment import Pair
    from greenbench.text.orthography import OrthographyCounts
    from greenbench.text.scorers import Scoring
    from greenbench.text.slices import Labels
    from greenbench.text.terms import TermCounts

CellKey = tuple[Any, ...]
"""The values of ``record.CELL``."""

Texts = Mapping[str, Row]
"""A cell's rows of ``hypotheses.jsonl`` by utterance, all of one window."""


class RecountError(GreenbenchError):
    """The utterances of a cell cannot be counted again as its row says; the message has the reason."""


@dataclass(frozen=True)
class Counted:
    """The utterances of a cell's first window, in the order of their ids.

    Attributes:
        ids: of the utterances.
        speakers: of each, where known.
        references: as the normaliser left them.
        hypotheses: as the normaliser left them.
        words: edits and reference words of each.
        chars: edits and reference characters of each.
        slices: of each, see ``slices.labels``.
        terms: of each, how many are said and recognised.
        orthography: of each, where the scorer counts punctuation and case.
        trials: of all of them, in tasks that are judged by decisions; they follow from references and hypotheses.
    """

    ids: tuple[str, ...]
    speakers: tuple[str | None, ...]
    references: tuple[str, ...]
    hypotheses: tuple[str, ...]
    words: tuple[Counts, ...]
    chars: tuple[Counts, ...]
    slices: tuple["Labels", ...] = ()
    terms: tuple["TermCounts", ...] = ()
    orthography: tuple["OrthographyCounts", ...] = ()
    trials: "Trials | None" = field(default=None, compare=False)


def cell_of(row: Mapping[Any, Any]) -> CellKey:
    """Return which cell a row belongs to."""
    return tuple(row.get(name) for name in CELL)


def first_windows(path: Path, cells: Iterable[CellKey]) -> dict[CellKey, Texts]:
    """Read the raw texts of each cell's first window; later ones say the same, or their row is flagged.

    Args:
        path: a ``hypotheses.jsonl``; where there is none, nothing is returned.
        cells: the cells in question.
    """
    wanted, texts, windows = set(cells), dict[CellKey, dict[str, Row]](), dict[CellKey, tuple[int, int]]()

    def is_asked_for(row: Row) -> bool:
        cell, window = cell_of(row), (row["round"], row["repeat"])
        return cell in wanted and window <= windows.get(cell, window)

    for row in filter(is_asked_for, store.read_texts(path, is_asked_for)):
        cell, window = cell_of(row), (row["round"], row["repeat"])
        if window < windows.setdefault(cell, window):
            windows[cell] = window
            texts[cell] = {}
        texts.setdefault(cell, {})[row["utterance_id"]] = row
    return dict(texts)


def count_all(path: Path, cells: Mapping[CellKey, Iterable[Row]]) -> dict[CellKey, Counted | RecountError]:
    """Count the texts of several cells again; what cannot be counted says why.

    Args:
        path: a run's ``hypotheses.jsonl``.
        cells: the rows of each cell in question.
    """
    return recounted(first_windows(path, cells) if cells else {}, cells)


def recounted(
    texts: Mapping[CellKey, Texts], cells: Mapping[CellKey, Iterable[Row]]
) -> dict[CellKey, Counted | RecountError]:
    """Do the same with texts that were read already."""
    found: dict[CellKey, Counted | RecountError] = {}
    for cell, rows in cells.items():
        try:
            found[cell] = count(texts.get(cell, {}), rows)
        except RecountError as error:
            found[cell] = error
    return found


def count(texts: Texts, rows: Iterable[Row]) -> Counted:
    """Count a cell's edits again, utterance by utterance, with the normaliser and scorer of its row.

    Args:
        texts: from ``first_windows``.
        rows: the cell's rows; that of the same window tells how it was counted, and what came out.

    Raises:
        RecountError: there are no texts, or they no longer give the counts of the row.
    """
    from greenbench.text import orthography, slices, terms, wer

    spoken = [texts[i] for i in sorted(texts)]
    windows = {(row["round"], row["repeat"]): row for row in rows}
    row = windows.get((spoken[0]["round"], spoken[0]["repeat"])) if spoken else None
    if row is None:
        raise RecountError(f"its texts are not in {store.HYPOTHESES}")
    if tasks.name_of(row) != TRANSCRIBE:
        return _decided(spoken, row)
    how = scoring_of(row)
    references = tuple(how.normalize(one["reference"]) for one in spoken)
    hypotheses = tuple(how.normalize(one["hypothesis"]) for one in spoken)
    score = wer.score(references, hypotheses, str, how.count_words)
    for unit, kind, counts in (("words", "word", score.words), ("characters", "char", score.chars)):
        total, stated, edits = wer.total(counts), row[f"n_ref_{kind}s"], _edits(row, kind)
        if (total.n, total.edits) != (stated, edits):
            raise RecountError(
                f"its texts count {total.edits} errors in {total.n} {unit} here, its row {edits} in "
                f"{stated} (by {row['normalizer']}, {row['scorer']}){_remedy(spoken)}"
            )
    speakers = tuple(one["speaker"] for one in spoken)
    stated = tuple(slices.labels(one.get("slices")) for one in spoken)
    ids, words, chars = tuple(sorted(texts)), tuple(score.words), tuple(score.chars)
    listed = ((one.get("terms") or (), one["reference"], one["hypothesis"]) for one in spoken)
    said = tuple(terms.count_all(listed, how.normalize))
    written = (orthography.count(one["reference"], one["hypothesis"]) for one in spoken if how.is_orthographic)
    return Counted(ids, speakers, references, hypotheses, words, chars, stated, said, tuple(written))


def _decided(spoken: Sequence[Row], row: Row) -> Counted:
    """Return the trials of a cell whose task is judged by decisions.

    Raises:
        RecountError: it is of another task, or its answers no longer give the equal error rate of the row.
    """
    from greenbench.text import scorers

    ids, speakers, asked, answers = (tuple(one[name] for one in spoken) for name in _TRIED)
    try:
        task = tasks.of(row)
        if not isinstance(task, Decides):
            raise RecountError(f"task {row['task']} is not compared utterance by utterance")
        trials = task.trials(list(map(scorers.text_pair, spoken)))
    except InputError as error:
        raise RecountError(str(error)) from error
    counted = Counted(ids, speakers, asked, answers, (), (), trials=trials)
    found, stated = rate(counted, "eer"), row["eer"]
    if found is None or stated is None or not isclose(found, stated, rel_tol=1e-6):
        raise RecountError(f"its answers give an EER of {found}, its row {stated}")
    return counted


_TRIED = ("utterance_id", "speaker", "reference", "hypothesis")


def _trials(counted: Counted) -> "Trials":
    assert counted.trials is not None, "EER is of tasks that are judged by decisions"
    return counted.trials


def _remedy(spoken: Iterable[Row]) -> str:
    """Say what helps where an earlier version counted other characters."""
    from greenbench.text.characters import recount

    why = recount(row[side] for row in spoken for side in ("reference", "hypothesis"))
    return f": {why}" if why else ""


def _edits(row: Row, unit: str) -> int | None:
    parts = [row[f"n_{unit}_{kind}"] for kind in ("substitutions", "deletions", "insertions")]
    return None if None in parts else sum(parts)


def scoring_of(row: Row) -> "Scoring":
    """Return the installed scoring that a row's words were counted by.

    Raises:
        RecountError: the row does not name it, or it is not installed.
    """
    if row["normalizer"] is None or row["scorer"] is None:
        raise RecountError("its row does not say how its words were counted (normalizer, scorer)")
    return _scoring(row["normalizer"], row["scorer"])


@cache
def _scoring(normalizer: str, scorer: str) -> "Scoring":
    """Return the installed scoring of a row; each text is normalised once, however many cells hold it.

    Raises:
        RecountError: it is not installed.
    """
    from greenbench.text import scorers

    try:
        how = scorers.create(scorers.name_of(normalizer, scorer))
    except InputError as error:
        raise RecountError(f"its scoring ({normalizer}, {scorer}) is not installed here") from error
    return replace(how, normalize=lru_cache(maxsize=2**18)(how.normalize))


def known(counted: Counted | RecountError) -> Counted:
    """Return what was counted; raise why it could not be."""
    if isinstance(counted, RecountError):
        raise counted
    return counted


@lru_cache(maxsize=2**10)  # one model's texts are often the same on several machines
def difference(a: Counted, b: Counted, metric: str) -> Difference | None:
    """Return how much the error rate of b exceeds that of a on the same utterances, with its interval over speakers.

    Args:
        a: of the reference.
        b: the other, of the same utterances.
        metric: ``wer``, ``cer`` or ``eer``.

    Returns:
        The difference as a fraction, or None where fewer than two utterances have words, or fewer than two speakers
        trials.

    Raises:
        RecountError: the utterances are not the same.
    """
    from greenbench.text.population import population

    if (a.ids, a.references) != (b.ids, b.references):
        raise RecountError("the utterances are not the same")
    if metric == "eer":
        return detection.difference(_trials(a), _trials(b))
    counts_a, counts_b = (a.words, b.words) if metric == "wer" else (a.chars, b.chars)
    errors_a, errors_b = ([count.edits for count in counts] for counts in (counts_a, counts_b))
    return paired_difference(errors_a, errors_b, [count.n for count in counts_a], population(a.speakers).blocks)


def unit(counted: Counted) -> str:
    """Say whom an interval over these utterances speaks of."""
    from greenbench.text.population import population

    return population(counted.speakers).unit


def rate(counted: Counted, metric: str) -> float | None:
    """Return the error rate over all utterances, ``wer``, ``cer`` or ``eer``."""
    if metric == "eer":
        trials = _trials(counted)
        return float(detection.equal_error_rate(detection.roc(trials))[0]) if trials.can_be_judged else None
    counts = counted.words if metric == "wer" else counted.chars
    return ratio(sum(count.edits for count in counts), sum(count.n for count in counts))


def p_value(a: Counted, b: Counted, found: Difference) -> float:
    """Return the p of the matched-pair sentence-segment word error test (MAPSSWE).

    Where all segments differ by the same, the test has no deviation to judge by, and the p over speakers stands in.

    Args:
        a: of the reference.
        b: the other, of the same utterances.
        found: their difference.
    """
    from greenbench.analysis.significance import mapsswe, segments

    if a.hypotheses == b.hypotheses:
        return 1.0
    texts = zip(a.references, a.hypotheses, b.hypotheses, strict=True)
    tested = mapsswe([s for said, x, y in texts for s in segments(_aligned(said, x), _aligned(said, y))])
    return tested.p if tested.std else found.p


@lru_cache(maxsize=2**16)
def _aligned(reference: str, hypothesis: str) -> "list[Pair]":
    """Align the words of two normalised texts; builds of one model say the same most of the time."""
    from greenbench.text.alignment import align

    return align(reference.split(), hypothesis.split())


def smallest_difference(found: Difference) -> float:
    """Return the smallest difference that a sample like this finds with a power of 80 %, see ``student.resolvable``.

    The errors that make up a difference d vary too, as a count does: c^2 (error^2 + d / n_words) = d^2 is solved for d.
    """
    c = student.resolvable(found.freedom)
    half = c * c / 2 / found.n_words
    return half + sqrt(half * half + (c * found.error) ** 2)
