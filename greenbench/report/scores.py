"""The primary error rate under every normaliser and scorer side by side: one line a cell, one column a scoring."""

from typing import Any

import pandas as pd

from greenbench.metrics import TEXT_RATES
from greenbench.report import terminal
from greenbench.report.data import primary
from greenbench.results.record import CELL, KEYS
from greenbench.text import scorers

SCORING = ["normalizer", "scorer"]
RATE = [f"{rate}{end}" for rate in TEXT_RATES for end in ("", "_ci_low", "_ci_high")]


def figures(rows: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Return the error rates of each cell under each scoring, the rows' own first.

    Args:
        rows: as ``frames.load`` gives them.
        scores: as ``frames.load_scores`` gives them; those of rows that are not there (any more) are left out.

    Returns:
        One row per cell and scoring: ``CELL``, ``normalizer``, ``scorer``, and ``wer`` and ``cer`` with the ends of
        their intervals, medians over the repeats.
    """
    measured = rows[(rows["status"] == "ok") & rows["wer"].notna()]
    others = scores.merge(measured[list(KEYS)].astype(object), on=list(KEYS))
    columns = [*KEYS, *SCORING, *RATE]
    both = pd.concat([measured[columns].astype(object), others[columns].astype(object)])
    both = both.drop_duplicates([*KEYS, *SCORING]).astype(dict.fromkeys(RATE, "float64"))
    found: pd.DataFrame = both.groupby([*CELL, *SCORING], sort=False)[RATE].median().reset_index()
    return found


def table(rows: pd.DataFrame, scores: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the same for reading: one line a cell, its rate in percent with its interval under each scoring's name."""
    found, rate = figures(rows, scores), primary(rows)
    names = _names(found)
    lines: list[dict[str, Any]] = []
    for _, cell in found.groupby(list(CELL), sort=False, dropna=False):
        scored = [{str(column): value for column, value in line.items()} for line in cell.to_dict("records")]
        rates = {names[line["normalizer"], line["scorer"]]: terminal.error_rate(line, rate) for line in scored}
        first = scored[0]
        key = {"variant": first["variant"], "dataset": first["dataset"], "scenario": terminal.scenario(first)}
        lines.append(key | {name: rates.get(name) for name in names.values()})
    return lines


def scorings(rows: pd.DataFrame, scores: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the scorings of ``table`` by name, each with the versions of its normaliser and scorer."""
    return [(name, ", ".join(pair)) for pair, name in _names(figures(rows, scores)).items()]


def _names(found: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return the name of each scoring by its identifiers, with its versions where one name has two."""
    ids = list(dict.fromkeys(zip(found["normalizer"], found["scorer"], strict=True)))
    named = [scorers.name_of(*pair) for pair in ids]
    return {pair: name if named.count(name) == 1 else " ".join(pair) for pair, name in zip(ids, named, strict=True)}
