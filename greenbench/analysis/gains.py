"""What a compressed variant gained and lost: its cell against its teacher's, and when its training pays back."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenbench.analysis import error_rates
from greenbench.analysis.cells import CellSummary, by_unit, median_of, summaries
from greenbench.analysis.error_rates import CellKey, Counted, RecountError, cell_of
from greenbench.analysis.references import alike, teacher_of
from greenbench.metrics import RATES
from greenbench.plugins import METHODS
from greenbench.provenance import Mixed, as_text, each
from greenbench.results import comparability, store
from greenbench.results.comparability import describe
from greenbench.results.record import CELL
from greenbench.statistics.intervals import Difference
from greenbench.statistics.repeats import ratio_by_round

if TYPE_CHECKING:
    import pandas as pd

Count = Callable[[Collection[CellKey]], Mapping[CellKey, Counted | RecountError]]
"""Counts the texts of cells anew."""

ENERGY = "energy_j_per_audio_s"

GAINS = {"size": "model_bytes", "n_params": "n_params", "speed": "rtfx", "energy": ENERGY}
"""What a student may gain -> the metric behind it; every gain is a factor, above 1 where the student is better off."""

_FIGURES = (
    *(f"{name}_{part}" for name in GAINS for part in ("gain", "gain_low", "gain_high")),
    *(f"{rate}_difference{end}" for rate in RATES for end in ("", "_low", "_high")),
)
GAINED = ("teacher", *_FIGURES, "payback_audio_h", "payback_method")
"""The columns of ``table`` that its rows do not have themselves: only when all of a run is there can they be known."""

_NUMBERS = ("training_s", "training_energy_j", "payback_audio_h", *_FIGURES)
_TRAINING = ("training_s", "training_energy_j", "training_energy_method")
TABLE = (*CELL, "teacher", "steps", *_FIGURES, *_TRAINING, *GAINED[-2:])
"""The columns of ``table``."""


@dataclass(frozen=True)
class Gain:
    """How many times better off a student is than its teacher.

    Attributes:
        value: teacher / student for size, parameters and joules, student / teacher for speed; None where it is not
            known.
        low, high: its 95 % interval over rounds (over windows where there is one round); None where nothing varies.
        why: why it is not known.
        n: rounds that both were measured in, or windows where there is one round; None where nothing varies.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    why: str | None = None
    n: int | None = None


@dataclass(frozen=True)
class CellGains:
    """What one compressed cell gained and lost against its teacher's.

    Attributes:
        student: the cell.
        teacher: the cell it is compared with: of the variant furthest up its line that was measured alike.
        gains: by the names of ``GAINS``.
        error: of the primary error rate, that of the student less that of the teacher, a fraction, on the same
            utterances, with its 95 % interval over speakers; None where the texts do not tell it.
        payback_audio_h: hours of audio after which the joules of its training are earned back, see ``payback``.
        payback_method: how those joules are known, the weakest origin of all: ``counter``, ``sampled`` or
            ``estimated``.
    """

    student: CellSummary
    teacher: CellSummary
    gains: Mapping[str, Gain]
    error: Difference | None = None
    payback_audio_h: float | None = None
    payback_method: str | None = None

    @property
    def rate(self) -> str:
        """The error rate by which the student is judged."""
        return comparability.primary(self.student.shared)


def payback(training_j: float | None, teacher_j: float | None, student_j: float | None) -> float | None:
    """Return the hours of audio after which the energy of a training is earned back.

    Args:
        training_j: joules of the training.
        teacher_j: joules a second of audio of the teacher.
        student_j: the same of the student.

    Returns:
        training / (teacher - student) / 3600; None where a figure is missing or the student saves nothing.
    """
    if training_j is None or teacher_j is None or student_j is None or teacher_j <= student_j:
        return None
    return training_j / (teacher_j - student_j) / 3600


def all_gains(folders: Iterable[Path]) -> list[CellGains]:
    """Compare every measured cell that has a teacher with it.

    Args:
        folders: runs; a teacher may be in another than its student, if the two are comparable.
    """
    home = read(folders)
    return against_teachers([line for of_run in home.values() for line in of_run], partial(recount, home))


def against_teachers(cells: Iterable[CellSummary], count: Count, most: int | None = None) -> list[CellGains]:
    """Do the same with lines that were read already.

    Args:
        cells: of all runs.
        count: counts the texts of the cells that are compared with each other.
        most: compare no more than the first so many.
    """
    measured = [line for line in cells if line.rows]
    known = alike(measured, "rtfx")
    taught = ((line, teacher_of(line, known, "rtfx")) for line in measured)
    pairs = list(islice(((line, teacher) for line, teacher in taught if teacher is not None), most))
    scored = [line for pair in pairs for line in pair if all(x.spreads.keys() & set(RATES) for x in pair)]
    counted = count({cell_of(line.shared) for line in scored})
    return [_cell_gains(student, teacher, counted) for student, teacher in pairs]


def table(*results: str | Path) -> "pd.DataFrame":
    """Return what every compressed cell gained and lost, a line a cell.

    Args:
        results: folders of runs, or parents of such folders.

    Returns:
        The columns of ``record.CELL``, then ``teacher``, ``steps``, of each gain ``<name>_gain``, ``_low`` and
        ``_high`` (factors, above 1 is better), ``wer_difference`` or ``cer_difference`` (of the
        primary one) with ``_low`` and ``_high`` (fractions), the
        training's ``training_s``, ``training_energy_j`` and ``training_energy_method``, ``payback_audio_h`` and
        ``payback_method``. Numbers are float64 with NaN where they are not known, ``batch_size`` is Int64.
    """
    import pandas as pd

    lines = [_row(cell_gains) for cell_gains in all_gains(store.runs(*map(Path, results)))]
    found: pd.DataFrame = pd.DataFrame(lines, columns=list(TABLE))
    typed: pd.DataFrame = found.astype(dict.fromkeys(_NUMBERS, "float64") | {"batch_size": "Int64"})
    return typed


def with_gains(rows: "pd.DataFrame", *results: Path) -> "pd.DataFrame":
    """Return rows with the columns ``GAINED`` of their cells, empty where a variant has no teacher here.

    Args:
        rows: as ``frames.load`` gives them.
        results: where they are from.
    """
    keys = list(CELL)
    gained = table(*results).reindex(columns=[*keys, *GAINED]).astype(rows[keys].dtypes)
    joined: pd.DataFrame = rows.merge(gained, on=keys, how="left")
    return joined


def read(folders: Iterable[Path]) -> dict[Path, list[CellSummary]]:
    """Return the cells of each run."""
    return {folder: summaries(store.current(store.read_rows(folder / store.RECORDS))) for folder in folders}


def recount(
    home: Mapping[Path, Sequence[CellSummary]], wanted: Collection[CellKey]
) -> dict[CellKey, Counted | RecountError]:
    """Count the texts of cells that are compared with each other, each cell once.

    Args:
        home: from ``read``.
        wanted: the cells.
    """
    counted: dict[CellKey, Counted | RecountError] = {}
    for folder, of_run in home.items():
        texts = {cell_of(line.shared): line.rows for line in of_run if cell_of(line.shared) in wanted}
        counted |= error_rates.count_all(folder / store.HYPOTHESES, texts)
    return counted


def _cell_gains(
    student: CellSummary, teacher: CellSummary, counted: Mapping[CellKey, Counted | RecountError]
) -> CellGains:
    gains = {name: _gain(student, teacher, metric) for name, metric in GAINS.items()}
    error = _error(student, teacher, counted)
    joules = (median_of(teacher, ENERGY), median_of(student, ENERGY)) if gains["energy"].value else (None, None)
    hours = payback(_number(student, "training_energy_j"), *joules)
    methods = [student.shared["training_energy_method"], *(x.shared["energy_method"] for x in (student, teacher))]
    return CellGains(student, teacher, gains, error, hours, None if hours is None else weakest(*methods))


def _number(cell: CellSummary, name: str) -> float | None:
    """Return a number that all rows of a cell state; None where they state several."""
    value = cell.shared[name]
    return None if isinstance(value, Mixed) else value


def weakest(*methods: Any) -> str | None:
    """Return the weakest origin of what is combined, all that a cell has; None where one is not known."""
    known = [method for of_one in methods for method in each(of_one)]
    complete = all(each(of_one) for of_one in methods) and set(known) <= set(METHODS)
    return max(known, key=METHODS.index) if complete and known else None


def _gain(student: CellSummary, teacher: CellSummary, metric: str) -> Gain:
    differences = comparability.differing(teacher.shared, student.shared, comparability.columns(metric))
    if differences:
        return Gain(why=describe(differences))
    better_high = metric == "rtfx"
    if metric in comparability.FIXED:
        theirs, ours = median_of(teacher, metric), median_of(student, metric)
        return Gain(theirs / ours) if theirs and ours else Gain(why="not measured")
    over, under = (student, teacher) if better_high else (teacher, student)
    ratio = ratio_by_round(by_unit(under, metric), by_unit(over, metric))
    return Gain(ratio.value, ratio.low, ratio.high, n=ratio.n) if ratio else Gain(why="not measured")


def _error(
    student: CellSummary, teacher: CellSummary, counted: Mapping[CellKey, Counted | RecountError]
) -> Difference | None:
    """Return the difference of the primary error rates; None where the texts, or the two suites, do not allow it."""
    ours, theirs = (counted.get(cell_of(cell.shared)) for cell in (student, teacher))
    rates = {comparability.primary(cell.shared) for cell in (student, teacher)}
    if not isinstance(ours, Counted) or not isinstance(theirs, Counted) or len(rates) > 1:
        return None
    try:
        return error_rates.difference(theirs, ours, rates.pop())
    except RecountError:
        return None


def _differences(cell_gains: CellGains) -> dict[str, float | None]:
    """Return the difference of each error rate with the ends of its interval; only the primary one is told."""
    found = cell_gains.error and (cell_gains.error.value, cell_gains.error.low, cell_gains.error.high)
    return {
        f"{rate}_difference{end}": value if rate == cell_gains.rate else None
        for rate in RATES
        for end, value in zip(("", "_low", "_high"), found or (None, None, None), strict=True)
    }


def _row(cell_gains: CellGains) -> dict[str, Any]:
    shared = cell_gains.student.shared
    gains = {
        f"{name}_{part}": getattr(gain, field)
        for name, gain in cell_gains.gains.items()
        for part, field in (("gain", "value"), ("gain_low", "low"), ("gain_high", "high"))
    }
    return {
        **{name: shared[name] for name in CELL},
        "teacher": cell_gains.teacher.shared["variant"],
        "steps": as_text(shared["steps"]),
        **gains,
        **_differences(cell_gains),
        **{name: _number(cell_gains.student, name) for name in ("training_s", "training_energy_j")},
        "training_energy_method": as_text(shared["training_energy_method"]),
        "payback_audio_h": cell_gains.payback_audio_h,
        "payback_method": cell_gains.payback_method,
    }
