"""What measured texts score under another normaliser or scorer, without a model; measured rows stay as they are."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from greenbench import store
from greenbench.errors import InputError, StoreError
from greenbench.record import KEYS
from greenbench.text import normalizers, scorers
from greenbench.text.scorers import Heard

Key = tuple[Any, ...]
"""The values of ``KEYS``."""


def rescore(folder: Path, names: Sequence[str]) -> int:
    """Score the texts of every run at or below a folder, and append what is new to its ``scores.jsonl``.

    Args:
        folder: a run's folder, or any parent of runs.
        names: scorings, ``normalizer`` or ``normalizer+scorer``.

    Returns:
        How many measured rows were scored; rows with random weights have no accuracy and are left out.

    Raises:
        InputError: an unknown normaliser or scorer.
        StoreError: there is no run, or no row of any run has its texts.
    """
    problem = scorers.unknown(names)
    if problem:
        raise InputError(problem)
    found = store.runs(folder)
    if not found:
        raise StoreError(f"{folder}: no runs here (no {store.RUN} at or below it)")
    n_scored = sum(rescore_run(run, names) for run in found)
    if not n_scored:
        raise StoreError(f"{folder}: no measured row has its texts in {store.HYPOTHESES}, so nothing can be scored")
    return n_scored


def rescore_run(folder: Path, names: Sequence[str]) -> int:
    """Score the texts of one run; return how many of its rows there were to score."""
    texts = texts_by_row(store.read_rows(folder / store.HYPOTHESES))
    rows = [key_of(row) for row in store.current(store.read_rows(folder / store.RECORDS)) if has_accuracy(row)]
    keys = [key for key in rows if key in texts]
    known = {_identity(line): line for line in store.read_rows(folder / store.SCORES)}
    lines = [
        {**dict(zip(KEYS, key, strict=True)), **found}
        for name in names
        for key, found in zip(keys, _score_all([texts[key] for key in keys], name), strict=True)
    ]
    store.append(folder, [line for line in lines if known.get(_identity(line)) != line], store.SCORES)
    return len(keys)


def texts_by_row(rows: Iterable[Mapping[str, Any]]) -> dict[Key, list[Heard]]:
    """Group texts, as ``hypotheses.jsonl`` holds them, by the key of their row; of one utterance the last counts."""
    found: dict[Key, dict[str, Heard]] = {}
    for row in rows:
        pair = (row["reference"], row["hypothesis"], row["speaker"])
        found.setdefault(key_of(row), {})[row["utterance_id"]] = pair
    return {key: list(pairs.values()) for key, pairs in found.items()}


def key_of(row: Mapping[str, Any]) -> Key:
    """Return the key of a row."""
    return tuple(row.get(name) for name in KEYS)


def has_accuracy(row: Mapping[str, Any]) -> bool:
    """Whether a row was measured with weights that mean something."""
    return row["status"] == "ok" and not row.get("synthetic")


def _identity(line: Mapping[str, Any]) -> Key:
    return (*key_of(line), line["normalizer"], line["scorer"])


def _score_all(texts: Sequence[list[Heard]], name: str) -> Iterator[dict[str, Any]]:
    """Yield the score of each row's texts; repeats mostly have the same, which are scored once."""
    how = scorers.create(name)
    known: dict[Key, dict[str, Any]] = {}
    for heard in texts:
        if tuple(heard) not in known:
            metrics, unit = scorers.accuracy(heard, how)
            share = normalizers.non_english_pct(reference for reference, _, _ in heard)
            ids = {"normalizer": how.normalizer, "scorer": how.scorer, "non_english_pct": share}
            known[tuple(heard)] = {**ids, "wer_ci_unit": unit, **metrics}
        yield known[tuple(heard)]
