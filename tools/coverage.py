"""Simulate what the intervals of error rates cover, and write the table into docs/explanation/measurement.md.

    python tools/coverage.py            # a few minutes

Every corpus has speakers of unequal length whose own rates scatter by a coefficient of variation, the "effect", around
a rate that is known. An interval that says 95 % must hold that rate in 95 % of corpora.
"""

import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from greenbench.files import whole
from greenbench.statistics.intervals import paired_difference, rate_interval

DOCS = Path(__file__).parents[1] / "docs" / "explanation" / "measurement.md"
BEGIN, END = "<!-- coverage: tools/coverage.py -->", "<!-- end -->"

SPEAKERS = (2, 3, 4, 5, 7, 9, 10, 20, 40, 100)
MARGIN = 0.01
UTTERANCES = 30  # of a speaker, on average


@dataclass(frozen=True)
class Column:
    """One thing to simulate.

    Attributes:
        kind: ``rate``, ``difference`` or ``gate``, of which the true difference is the margin.
        effect: coefficient of variation of the speakers' own rates.
        rate: the true error rate; of a pair the rate of errors that only the new system makes.
        other: of a pair the rate of errors that only the old system makes.
    """

    kind: str
    effect: float
    rate: float
    other: float = 0.0


COLUMNS = {
    "WER 20 %, no effect": Column("rate", 0.0, 0.2),
    "WER 20 %, effect 0.5": Column("rate", 0.5, 0.2),
    "WER 2 %, no effect": Column("rate", 0.0, 0.02),
    "WER 2 %, effect 0.5": Column("rate", 0.5, 0.02),
    "WER 0.2 %, effect 0.5": Column("rate", 0.5, 0.002),
    "difference, no effect": Column("difference", 0.0, 0.03, 0.02),
    "difference, effect 0.5": Column("difference", 0.5, 0.03, 0.02),
    "gate, no effect": Column("gate", 0.0, 0.012, 0.012 - MARGIN),
    "gate, effect 0.5": Column("gate", 0.5, 0.012, 0.012 - MARGIN),
    "gate, effect 1": Column("gate", 1.0, 0.012, 0.012 - MARGIN),
}


def simulate(column: Column, n_speakers: int, n_corpora: int, seed: int = 0) -> float:
    """Return the share of corpora whose interval holds the truth; of a gate the share that passes at its margin."""
    rng = np.random.default_rng([seed, n_speakers, n_corpora])
    return float(np.mean([_outcome(column, n_speakers, rng) for _ in range(n_corpora)]))


def _outcome(column: Column, n_speakers: int, rng: np.random.Generator) -> bool:
    sizes = 2 + rng.poisson((UTTERANCES - 2) * _scattered(0.6, n_speakers, rng))
    speakers = np.repeat(np.arange(n_speakers), sizes)
    words = 1 + rng.poisson(9, len(speakers))
    own = [rate * _scattered(column.effect, n_speakers, rng)[speakers] for rate in (column.rate, column.other)]
    more, fewer = (_errors(rate * words, rng) for rate in own)
    if column.kind == "rate":
        interval = rate_interval(more, words, speakers)
        return interval is not None and interval[0] <= column.rate <= interval[1]
    shared = _errors(0.1 * words, rng)  # what both systems get wrong must not matter
    found = paired_difference(shared + fewer, shared + more, words, speakers)
    truth = column.rate - column.other
    return found is not None and (found.high <= truth if column.kind == "gate" else found.low <= truth <= found.high)


def _scattered(cv: float, n: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw factors of mean 1 and this coefficient of variation."""
    return rng.gamma(1 / cv**2, cv**2, n) if cv else np.ones(n)


def _errors(expected: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw errors, which come in clusters: three in ten bring a second one."""
    first = rng.poisson(expected / 1.3)
    return first + rng.binomial(first, 0.3)


def table(n_corpora: int) -> Mapping[tuple[str, int], float]:
    """Simulate every column for every number of speakers."""
    cells = [(name, n) for name in COLUMNS for n in SPEAKERS]
    with ProcessPoolExecutor() as pool:
        shares = pool.map(
            simulate, [COLUMNS[name] for name, _ in cells], [n for _, n in cells], [n_corpora] * len(cells)
        )
        return dict(zip(cells, shares, strict=True))


def markdown(found: Mapping[tuple[str, int], float]) -> str:
    """Write the table: a line a number of speakers, in percent."""
    lines = [f"| speakers | {' | '.join(COLUMNS)} |", f"|{'---|' * (len(COLUMNS) + 1)}"]
    lines += [f"| {n} | {' | '.join(f'{100 * found[name, n]:.1f}' for name in COLUMNS)} |" for n in SPEAKERS]
    return "\n".join(lines)


def documented() -> dict[tuple[str, int], float]:
    """Return the table that stands in the documentation, as shares."""
    lines = DOCS.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    (_, *names), *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in (lines[0], *lines[2:])]
    return {(name, int(n)): float(cell) / 100 for n, *cells in rows for name, cell in zip(names, cells, strict=True)}


def main(n_corpora: int = 4000) -> None:
    """Write the table into the documentation."""
    before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    whole.write(DOCS, f"{before}{BEGIN}\n{markdown(table(n_corpora))}\n{END}{after}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
