"""Whether results can be believed: every file of a run is read again, and what does not agree is a problem."""

from collections.abc import Iterator
from pathlib import Path

from greenbench.errors import InputError
from greenbench.results import store
from greenbench.results.record import columns, key_of
from greenbench.validate import files, together
from greenbench.validate.descent import circles, descent
from greenbench.validate.evidence import Evidence, Problem, ResultLine, ask
from greenbench.validate.figures import FIGURES, rates
from greenbench.validate.form import FORM, SENSE
from greenbench.validate.hardware import HARDWARE
from greenbench.validate.joules import JOULES
from greenbench.validate.latencies import TIMES
from greenbench.validate.moments import MOMENTS
from greenbench.validate.power import POWER
from greenbench.validate.resting import RESTING
from greenbench.validate.texts import TEXTS, has_its_intervals, recounted

__all__ = ["Problem", "problems"]


def problems(results: Path) -> Iterator[Problem]:
    """Yield every problem of the runs at or below a folder; a clean run has none.

    Args:
        results: a run's folder, or any parent of runs.

    Raises:
        InputError: there is no run.
    """
    found = store.runs(results)
    if not found:
        raise InputError(f"{results}: no runs here (no {store.RUN} at or below it)")
    for folder in found:
        yield from _judged(folder)
    yield from _records(results)


def _records(results: Path) -> Iterator[Problem]:
    """Read the verifications that lie among runs."""
    from greenbench.validate import verification

    for path in verification.records([results]):
        try:
            verification.read(path)
        except InputError as error:
            what = str(error).removeprefix(f"{path}: ")
            yield Problem("error", str(path), what, "Delete the file, or verify the entry again.")


def _judged(folder: Path) -> list[Problem]:
    """Check one run; what was made, or damaged, so that a check cannot even be asked is an error of the whole run."""
    try:
        return list(_run(folder))
    except Exception as error:
        what = f"cannot be judged: {type(error).__name__}: {error}"
        return [Problem("error", str(folder / store.RUN), what, "Restore the files, or measure again.")]


def _run(folder: Path) -> Iterator[Problem]:
    """Check one run; without a sound ``run.json`` nothing else can be judged."""
    described, unsound = files.read_run(folder)
    yield from unsound
    if described is None:
        return
    run, suite = described
    lines, malformed = files.read_lines(folder)
    yield from malformed
    yield from files.uncontrolled(run, lines[store.CONTROL], folder)
    evidence = files.evidence(folder, run, suite.protocol, lines)
    sound: list[ResultLine] = []
    for line in lines[store.RECORDS]:
        found = list(_row(line, evidence))
        yield from found
        if not any(problem.severity == "error" for problem in found):
            sound.append(line)
    yield from together.columns(lines[store.RECORDS])
    rows = list(map(_completed, lines[store.RECORDS]))
    yield from together.earlier_intervals(rows)
    yield from together.repeated(rows, evidence)
    yield from together.alike(rows)
    yield from together.unnamed(rows, evidence)
    yield from together.untimed(evidence)
    yield from together.whole(rows, evidence)
    yield from together.incomplete(rows, evidence)
    yield from descent(rows, evidence)
    yield from circles(rows)
    yield from together.orphans(lines[store.HYPOTHESES], evidence)
    yield from together.batches(sound, folder)
    for line in lines[store.SCORES]:
        yield from _score(line, evidence)


def _row(line: ResultLine, evidence: Evidence) -> Iterator[Problem]:
    """Check a row's form and sense, and in a measured one its figures and texts."""
    unreadable = list(ask(FORM, line, evidence))
    yield from unreadable
    if unreadable:
        return
    whole = _completed(line)
    yield from ask(SENSE, whole, evidence)
    if line.row["status"] == "ok":
        yield from ask((*FIGURES, *POWER, *HARDWARE), whole, evidence)
        if evidence.rows[key_of(line.row)] is line.row:  # the texts are those of the last row with this key
            yield from ask((*TEXTS, *TIMES), whole, evidence)
            moments = list(ask(MOMENTS, whole, evidence))
            yield from moments
            yield from (
                ask((*JOULES, *RESTING), whole, evidence) if not any(p.severity == "error" for p in moments) else ()
            )


def _completed(line: ResultLine) -> ResultLine:
    """Return a line with every column of a row, null where it has none."""
    return ResultLine(line.file, line.number, {**dict.fromkeys(columns()), **line.row})


def _score(line: ResultLine, evidence: Evidence) -> Iterator[Problem]:
    """Check a line of ``scores.jsonl``."""
    fix = f"Delete {store.SCORES} and rescore."
    if key_of(line.row) not in evidence.rows:
        yield Problem("warning", line.where, "a score of a row that does not exist", fix)
    for rule in (rates, recounted, has_its_intervals):
        yield from (Problem("error", line.where, what, fix) for what in rule(line.row, evidence))
