"""What measured texts score under another normaliser or scorer, or under the present versions of their own."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from greenbench import tasks
from greenbench.errors import InputError, StoreError
from greenbench.files import lock, whole
from greenbench.files.unicode import to_json
from greenbench.metrics import ACCURACY
from greenbench.plugins import TRANSCRIBE, TextPair
from greenbench.results import store
from greenbench.results.flag_rules import Measured
from greenbench.results.flags import BY_ACCURACY, flags_anew, flags_of
from greenbench.results.record import KEYS, Key, key_of
from greenbench.suite.protocol import Protocol
from greenbench.text import normalizers, scorers


def rescore(folder: Path, names: Sequence[str]) -> int:
    """Score the texts of every run at or below a folder, and append what is new to its ``scores.jsonl``.

    Args:
        folder: a run's folder, or any parent of runs.
        names: scorings, ``normalizer`` or ``normalizer+scorer``.

    Returns:
        How many measured rows were scored; rows with random weights have no accuracy and are left out, and so are those
        of another task than to transcribe, which is scored in one way.

    Raises:
        InputError: an unknown normaliser or scorer.
        BusyError: a run is being written; nothing was scored.
        StoreError: there is no run, or no row of any run has its texts.
    """
    problem = scorers.unknown(names)
    if problem:
        raise InputError(problem)
    with _written(folder) as found:
        n_scored = sum(rescore_run(run, names) for run in found)
    if not n_scored:
        raise StoreError(f"{folder}: no measured row has its texts in {store.HYPOTHESES}, so nothing can be scored")
    return n_scored


@contextmanager
def _written(folder: Path) -> Iterator[list[Path]]:
    """Yield the runs at or below a folder, which are locked meanwhile."""
    found = store.runs(folder)
    if not found:
        raise StoreError(f"{folder}: no runs here (no {store.RUN} at or below it)")
    with ExitStack() as locks:
        for run in found:
            locks.enter_context(lock.writing(run))
        yield found


def rescore_run(folder: Path, names: Sequence[str]) -> int:
    """Score the texts of one run; return how many of its rows there were to score."""
    keys, texts = _to_score(folder)
    known = {_identity(line): line for line in store.read_rows(folder / store.SCORES)}
    lines = [line for line in _scored(keys, texts, names) if known.get(_identity(line)) != line]
    store.append(folder, lines, store.SCORES)
    return len(keys)


def _to_score(folder: Path) -> tuple[list[Key], dict[Key, list[TextPair]]]:
    """Return the keys of the transcribed rows that can be scored in several ways, and the texts of all rows."""
    texts = texts_by_row(store.read_rows(folder / store.HYPOTHESES))
    rows = store.current(store.read_rows(folder / store.RECORDS))
    written = [row for row in rows if has_accuracy(row) and tasks.name_of(row) == TRANSCRIBE]
    return [key for key in map(key_of, written) if key in texts], texts


def _scored(
    keys: Sequence[Key], texts: Mapping[Key, list[TextPair]], names: Iterable[str], task: str = TRANSCRIBE
) -> Iterator[dict[str, Any]]:
    for name in names:
        for key, found in zip(keys, _score_all([texts[key] for key in keys], name, task), strict=True):
            yield {**dict(zip(KEYS, key, strict=True)), **found}


# --- results of an earlier version -----------------------------------------------------------------------


def amend(folder: Path) -> int:
    """Score the texts of every run at or below a folder again, by the present versions of what its rows name.

    For results of an earlier version of greenbench, whose normalisers or intervals were others. The rows' counts,
    rates, intervals and flags of accuracy are replaced, and so are the lines of ``scores.jsonl``; what was measured
    stays. Rows with random weights have no accuracy, and get the names of the present versions.

    Args:
        folder: a run's folder, or any parent of runs.

    Returns:
        How many rows changed.

    Raises:
        InputError: a row names a normaliser or scorer that is not installed; that run was not changed.
        BusyError: a run is being written; nothing was scored.
        StoreError: there is no run, or a file cannot be written.
    """
    with _written(folder) as found:
        return sum(_amend_run(run) for run in found)


def _amend_run(folder: Path) -> int:
    rows = [row for row in store.read_rows(folder / store.RECORDS) if row["status"] == "ok"]
    also = list(dict.fromkeys(_name_of(line) for line in store.read_rows(folder / store.SCORES)))
    hows: dict[tuple[str, str], list[Key]] = {}
    for row in rows:
        hows.setdefault((tasks.name_of(row), _name_of(row)), []).append(key_of(row))
    problem = scorers.unknown([*(name for task, name in hows if task == TRANSCRIBE), *also])
    if problem:
        raise InputError(f"{folder}: {problem}")
    keys, texts = _to_score(folder)
    of_how = {how: [key for key in of if key in texts] for how, of in hows.items()}
    scores = {key_of(line): line for (task, name), of in of_how.items() for line in _scored(of, texts, [name], task)}
    steps, changed = store.protocol_of(store.open_run(folder)), set[Key]()

    def known(row: store.Row) -> store.Row | None:
        found = scores.get(key_of(row)) if row["status"] == "ok" else None
        new = row if found is None else _amended(row, found, steps)
        if new == row:
            return None
        changed.add(key_of(row))
        return new

    store.amend_rows(folder, known)
    if also:
        whole.write(folder / store.SCORES, "".join(f"{to_json(line)}\n" for line in _scored(keys, texts, also)))
    return len(changed)


def _name_of(line: Mapping[str, Any]) -> str:
    return tasks.of(line).scoring_of(line)


def _amended(row: store.Row, found: Mapping[str, Any], steps: Protocol) -> store.Row:
    """Return a row with the accuracy of its texts, and the flags that follow from it."""
    ids = {name: found[name] for name in ("normalizer", "scorer", "non_english_pct")}
    changed = {**row, **(found if has_accuracy(row) else ids)}
    now = Measured(changed, changed, steps, n_cpus=1)
    flags = flags_anew(now, flags_of(row), BY_ACCURACY)
    return {**changed, "flags": [*flags], "flag_notes": [*flags.values()]}


# --- texts and their keys --------------------------------------------------------------------------------


def texts_by_row(rows: Iterable[Mapping[str, Any]]) -> dict[Key, list[TextPair]]:
    """Group texts, as ``hypotheses.jsonl`` holds them, by the key of their row; of one utterance the last counts."""
    found: dict[Key, dict[str, TextPair]] = {}
    for row in rows:
        found.setdefault(key_of(row), {})[row["utterance_id"]] = scorers.text_pair(row)
    return {key: list(pairs.values()) for key, pairs in found.items()}


def has_accuracy(row: Mapping[str, Any]) -> bool:
    """Whether a row was measured with weights that mean something."""
    return row["status"] == "ok" and not row.get("synthetic")


def _identity(line: Mapping[str, Any]) -> Key:
    return (*key_of(line), line["normalizer"], line["scorer"])


def _score_all(texts: Sequence[list[TextPair]], name: str, task_name: str) -> Iterator[dict[str, Any]]:
    """Yield the score of each row's texts; repeats mostly have the same, which are scored once."""
    task = tasks.create(task_name)
    ids = task.counted_by(name)
    known: dict[Key, dict[str, Any]] = {}
    for pairs in texts:
        if tuple(pairs) not in known:
            metrics, origin = task.score(pairs, name)
            share = normalizers.non_english_pct(pair.reference for pair in pairs)
            absent = dict.fromkeys(ACCURACY)  # of other tasks and scorers, as a line that is read again has them
            known[tuple(pairs)] = {**absent, **ids, "non_english_pct": share, **origin, **metrics}
        yield known[tuple(pairs)]
