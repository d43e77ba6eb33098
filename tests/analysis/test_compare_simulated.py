"""The same suite run twice: no difference is found where there is none, and a real one of 10 % is.

The noise is that of a quiet machine: processes differ by 2 % (standard deviation), windows inside one by 1 %, the
machine drifts by up to 3 % in the course of a run, about the same mean; memory differs by 0.5 %; two recognisers err
as often, on other words. What a whole run shares is left out: no number of rounds shows it (were the drift not about
the same mean, 9.5 % of comparisons would find a difference of about 1 %).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench.analysis.compare import compare
from greenbench.analysis.findings import Comparison
from greenbench.analysis.selection import Side
from greenbench.results import store
from greenbench.results.record import KEYS, Record, to_row
from greenbench.text import scorers

N_PAIRS, N_CELLS = 20, 6
SPEED = {"rtfx": 100.0, "latency_p50_s": 0.02, "energy_j_per_audio_s": 0.05}
WORDS = [f"w{i}" for i in range(10)]
SHARED = {"data_hash": "abc", "protocol": "standard", "energy_method": "counter", "normalizer": "none@1"}


def keys(run: str, n_rounds: int, n_repeats: int) -> Iterator[dict[str, Any]]:
    for number in range(n_rounds):
        for cell in range(N_CELLS):
            for repeat in range(n_repeats):
                values = (run, f"v{cell}", "d", "cpu", "offline", 8, number, repeat)
                yield dict(zip(KEYS, values, strict=True))


def measure(rng: np.random.Generator, run: str, n_rounds: int = 5, factor: float = 1.0, spread: float = 0.02) -> Side:
    """Simulate a run of six cells whose seconds, and so joules, are ``factor`` times as many as they should be."""
    drift = np.linspace(-0.015, 0.015, n_rounds) * rng.uniform(-1, 1)
    process = rng.normal(0, spread, (n_rounds, N_CELLS))
    rows = []
    for key in keys(run, n_rounds, n_repeats=2):
        number, cell = key["round"], int(key["variant"][1:])
        slow = factor * np.exp(drift[number] + process[number, cell] + rng.normal(0, 0.01))
        figures = {name: value / slow if name == "rtfx" else value * slow for name, value in SPEED.items()}
        figures["peak_rss_bytes"] = 5e8 * np.exp(rng.normal(0, 0.005))
        rows.append(to_row(Record(key, "ok", metrics={n: float(v) for n, v in figures.items()}, provenance=SHARED)))
    return Side(run, tuple(rows), Path("nowhere", run))


def recognise(rng: np.random.Generator, folder: Path, difficulty: np.ndarray) -> Side:
    """Simulate what six cells heard: each word of an utterance is wrong with the utterance's own probability."""
    how, rows, texts = scorers.create("none"), [], []
    for key in keys(folder.name, 1, 1):
        wrong = rng.random((len(difficulty), len(WORDS))) < difficulty[:, None]
        heard = [" ".join("x" if bad else word for word, bad in zip(WORDS, row, strict=True)) for row in wrong]
        found, _ = scorers.accuracy([(" ".join(WORDS), text, None) for text in heard], how)
        rows.append(to_row(Record(key, "ok", metrics=found, provenance=SHARED | {"scorer": how.scorer})))
        texts += [
            key | {"utterance_id": f"u{i}", "speaker": None, "reference": " ".join(WORDS), "hypothesis": text}
            for i, text in enumerate(heard)
        ]
    folder.mkdir(parents=True)
    store.append(folder, texts, store.HYPOTHESES)
    return Side(folder.name, tuple(rows), folder / store.HYPOTHESES)


def n_found(comparisons: list[Comparison], metric: str, verdict: str) -> int:
    """Count the comparisons in which any cell has this verdict."""
    return sum(
        any(f.metric == metric and f.verdict == verdict for pair in compared.pairs for f in pair.findings)
        for compared in comparisons
    )


@pytest.fixture(scope="module")
def twice() -> list[Comparison]:
    """Twenty comparisons of a suite with itself, five rounds each."""
    rng = np.random.default_rng(1)
    return [compare(measure(rng, "a"), measure(rng, "b"), [*SPEED, "peak_rss_bytes"]) for _ in range(N_PAIRS)]


@pytest.mark.parametrize("metric", [*SPEED, "peak_rss_bytes"])
def test_a_run_does_not_differ_from_itself(twice: list[Comparison], metric: str) -> None:
    """In at least 19 of 20 comparisons of six cells no cell differs in this metric."""
    assert n_found(twice, metric, "better") + n_found(twice, metric, "worse") <= 1


def test_equally_good_recognisers_do_not_differ(tmp_path: Path) -> None:
    """In at least 19 of 20 comparisons of six cells on 60 utterances no cell differs in WER."""
    rng = np.random.default_rng(2)
    compared = []
    for number in range(N_PAIRS):
        difficulty = rng.beta(1, 9, size=60)
        sides = [recognise(rng, tmp_path / str(number) / name, difficulty) for name in "ab"]
        compared.append(compare(*sides, ["wer"]))
    assert n_found(compared, "wer", "better") + n_found(compared, "wer", "worse") <= 1


@pytest.mark.parametrize("metric", [*SPEED])
def test_a_slowdown_of_ten_per_cent_is_found(metric: str) -> None:
    """10 % more seconds in all six cells are found by five rounds of 2 % in each of 20 comparisons, and as worse."""
    rng = np.random.default_rng(3)
    slower = [compare(measure(rng, "a"), measure(rng, "b", factor=1.1), [metric]) for _ in range(N_PAIRS)]
    assert n_found(slower, metric, "worse") == N_PAIRS
    assert n_found(slower, metric, "better") == 0
    n_cells = sum(f.verdict == "worse" for c in slower for pair in c.pairs for f in pair.findings)
    assert n_cells >= 0.95 * N_PAIRS * N_CELLS


def test_memory_is_not_slower_for_it() -> None:
    """A slowdown is found where it is, and not in the memory."""
    rng = np.random.default_rng(4)
    slower = [compare(measure(rng, "a"), measure(rng, "b", factor=1.1), ["peak_rss_bytes"]) for _ in range(N_PAIRS)]
    assert n_found(slower, "peak_rss_bytes", "worse") <= 1
