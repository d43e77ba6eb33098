"""What a large results folder costs to show. Run with: pytest tests/benchmarks --benchmark-only."""

import json
import random
from pathlib import Path

import pytest

from greenbench.assets import plotly_js
from greenbench.metrics import METRICS
from greenbench.report.pages import write_page
from greenbench.results import store
from greenbench.results.record import Record, to_row
from greenbench.text import scorers

N_RUNS, N_VARIANTS, DATASETS, N_ROUNDS, N_UTTERANCES = 10, 20, ("clean", "other"), 10, 50
SCENARIOS = (("offline", 1), ("offline", 8), ("offline", 16), ("single-stream", 1), ("server", 1))
"""10 runs of 20 variants on 2 data sets in 5 settings are 2000 cells: of 10 rounds 20,000 rows, 1,000,000 texts."""

WORDS = (
    "cat",
    "mat",
    "ship",
    "timber",
    "harbour",
    "quiet",
    "seven",
    "sailed",
    "the",
    "of",
    "old",
    "while",
    "on",
    "past",
)
GOAL_S, GOAL_OPEN_S, GOAL_BYTES = 10.0, 3.0, 2_000_000


def big_folder(folder: Path) -> Path:
    """Write the folder; every second variant is a student of the one before."""
    rng = random.Random(1)
    said = {d: [" ".join(rng.choices(WORDS, k=rng.randint(6, 20))) for _ in range(N_UTTERANCES)] for d in DATASETS}
    how = scorers.create("whisper-english")
    heard = {(v, d): _heard(rng, said[d], v, how) for v in range(N_VARIANTS) for d in DATASETS}
    for run in range(N_RUNS):
        here = folder / f"run-{run}"
        store.write_run(here, {"run_id": here.name, "name": "big", "machine": {"cpu": {"model": f"CPU {run}"}}})
        cells = [_cell(rng, (v, d, s), said[d], heard[v, d], f"run-{run}") for v, d in heard for s in SCENARIOS]
        store.append(here, (row for rows, _ in cells for row in rows))
        (here / store.HYPOTHESES).write_text("".join(texts for _, texts in cells))
    return folder


def _heard(rng: random.Random, said: list[str], number: int, how: scorers.Scoring) -> tuple[list[str], dict]:
    """Return what a variant wrote on every machine, and what of its rows follows from that."""
    heard = [" ".join(w if rng.random() > 0.02 + number / 400 else rng.choice(WORDS) for w in text.split())
             for text in said]  # fmt: skip
    texts = [(r, h, f"s{i % 12}") for i, (r, h) in enumerate(zip(said, heard, strict=True))]
    scored, origin = scorers.accuracy(texts, how)
    return heard, scored | origin | {"normalizer": how.normalizer, "scorer": how.scorer}


def _cell(rng, cell, said, heard, run_id) -> tuple[list[dict], str]:
    """Return one cell's rows, and its texts as JSON lines."""
    (number, dataset, setting), (texts, scored) = cell, heard
    key = {"run_id": run_id, "variant": f"family/variant-{number:02}", "dataset": dataset, "device": "cpu",
           "scenario": setting[0], "batch_size": setting[1]}  # fmt: skip
    origin = {"parent": f"family/variant-{number - 1:02}" if number % 2 else None, "device_name": f"CPU {run_id}",
              "data_hash": dataset, "protocol": "official", "threads": 2, "batching": "sorted",
              "timed_region": "waveform-to-text", "suite": "big", "suite_hash": "f00d", "n_windows": N_ROUNDS,
              "energy_scope": "cpu", "energy_method": "counter", "energy_cpu_method": "counter",
              "energy_cpu_source": "rapl"}  # fmt: skip
    metrics = {name: value for name, value in scored.items() if name in METRICS}
    origin |= {name: value for name, value in scored.items() if name not in METRICS}
    rows, lines = [], []
    for round_ in range(N_ROUNDS):
        at = key | {"round": round_, "repeat": 0}
        rows.append(to_row(Record(at, "ok", None, (), metrics | _speed(rng, number), origin)))
        lines += [json.dumps(at | {"utterance_id": f"u{i:03}", "speaker": f"s{i % 12}", "reference": r, "hypothesis": h,
                                   "audio_s": 2.0 + i / 10, "latency_s": 0.1 * rng.lognormvariate(0, 0.3) if
                                   setting[1] == 1 else None}) + "\n"
                  for i, (r, h) in enumerate(zip(said, texts, strict=True))]  # fmt: skip
    return rows, "".join(lines)


def _speed(rng: random.Random, number: int) -> dict[str, float]:
    """Return figures that vary by a hundredth from round to round, as many as a real row has."""
    names = ("rtfx", "wall_s", "latency_p50_s", "latency_p90_s", "load_s", "first_utterance_s", "peak_rss_bytes",
             "energy_j", "energy_cpu_j", "energy_net_j", "energy_j_per_audio_s", "idle_power_w", "cpu_s")  # fmt: skip
    fixed = {"model_bytes": 4e8 / (1 + number), "n_params": 9.5e7 / (1 + number), "audio_s": 225.0, "n_passes": 1}
    return fixed | {name: (number + 1) * (i + 1) * rng.gauss(1, 0.01) for i, name in enumerate(names)}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The large folder, written once."""
    return big_folder(tmp_path_factory.mktemp("big"))


def test_a_large_folder_is_shown_in_under_ten_seconds(benchmark, results: Path, tmp_path: Path) -> None:
    """20,000 rows and 1,000,000 texts become a page of under 2 MB beside plotly.js."""
    page = benchmark.pedantic(write_page, (results, tmp_path / "page.html"), rounds=3)
    assert page.stat().st_size - len(plotly_js().encode()) < GOAL_BYTES
    assert benchmark.stats.stats.median < GOAL_S


def test_the_page_of_a_large_folder_opens_in_under_three_seconds(
    benchmark, browser, results: Path, tmp_path: Path
) -> None:
    """From the address to the first charts, filters and table: what a reader waits for."""
    page = write_page(results, tmp_path / "page.html").as_uri()

    def visit() -> None:
        browser.get("about:blank")
        browser.get(page)
        while not browser.execute_script("return document.documentElement.dataset.drawn"):
            pass

    benchmark.pedantic(visit, rounds=5, warmup_rounds=1)
    assert benchmark.stats.stats.median < GOAL_OPEN_S
