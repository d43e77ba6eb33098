"""Rows: a window becomes metrics that agree with each other, and a failure never looks like a result."""

from dataclasses import replace

import pytest

from greenbench.datasets.corpus import DatasetStats
from greenbench.hardware.roofline import Peaks
from greenbench.harness import rows
from greenbench.harness.idle import WarmUp
from greenbench.harness.rows import CellFacts, Job
from greenbench.harness.window import Probe, UtteranceFacts, Window
from greenbench.metrics import METRICS
from greenbench.plugins import Quantity, Reading
from greenbench.results.record import KEYS, to_row
from greenbench.streaming.log import ChunkLog, StreamLog
from greenbench.suite import config
from greenbench.suite.carbon import Carbon
from greenbench.suite.entries import build_variant
from greenbench.suite.plan import plan
from greenbench.suite.price import Price

TEXTS = {"a": "RED GREEN", "b": "BLUE", "c": ""}
MODEL = {"synthetic": False}
FACTS = CellFacts(
    MODEL, DatasetStats(3, 5.0, [], "hash"), "padded", "a CPU", {"load_s": 1.5, "idle_power_w": 2.0, "n_params": 7}
)
ACCURACY = [name for name in METRICS if name.startswith(("wer", "cer", "n_ref_", "n_word_", "n_char_"))]


@pytest.fixture
def job(suite_data: dict) -> Job:
    """The one cell of the tiny suite, with a grid factor."""
    loaded = config.load({**suite_data, "carbon": {"g_per_kwh": 56, "source": "RTE", "year": 2023, "pue": 1.5}})
    return Job("run-1", 4, loaded, plan(loaded)[0])


@pytest.fixture
def window() -> Window:
    """Two passes of three utterances in eight seconds at 25 W, none of them a batch by itself."""
    quantities = {
        "wall_s": Quantity(8.0, "counter", "perf_counter"),
        "energy_cpu_j": Quantity(200.0, "counter", "rapl"),
        "peak_rss_bytes": Quantity(1e9, "counter", "vmhwm"),
        "foreign_cpu_s": Quantity(0.0, "counter", "system-times"),
    }
    said = [("a", "RED GREEN", 2.0), ("b", "BLUE", 1.0), ("c", "WHITE", 2.0)]
    spoken = [UtteranceFacts(name, None, text, seconds, f"digest of {name}") for name, text, seconds in said]
    return Window(Reading(quantities), spoken, dict(TEXTS), audio_s=10.0, padded_s=12.5, n_passes=2)


def measured(job: Job, window: Window, facts: CellFacts = FACTS) -> dict:
    return to_row(rows.measured(job, 1, facts, window))


def test_a_row_says_what_it_is_a_row_of(job: Job, window: Window) -> None:
    """A measured row has the cell's key and repeat, its origin, and no flag where nothing is wrong."""
    row = measured(job, window)
    assert [row[name] for name in KEYS] == ["run-1", "null/rtfx-100", job.cell.dataset.name, "cpu", "offline", 8, 0, 1]
    expected = {
        "status": "ok", "flags": [], "suite": "tiny", "protocol": "quick(idle_s=0, window_s=0.2, repeats=2)",
        "order_index": 4, "batching": "sorted", "engine_batching": "padded",
        "device_name": "a CPU", "data_hash": "hash", "synthetic": False,
        "timed_region": "waveform-to-text", "peak_rss_source": "vmhwm", "n_utterances": 3, "n_skipped": 0,
        "load_s": 1.5,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    assert row["normalizer"].startswith("whisper-english@")


def test_rates_derive_from_what_was_counted(job: Job, window: Window) -> None:
    """Throughput, net energy, energy per audio second and CO2e follow from the row's own seconds and joules."""
    row = measured(job, window)
    assert row["rtfx"] == row["audio_s"] / row["wall_s"] == 1.25
    assert row["energy_j"] == row["energy_cpu_j"] == 200.0
    assert row["energy_net_j"] == 200.0 - 2.0 * 8.0
    assert row["energy_j_per_audio_s"] == 20.0
    assert row["co2e_g"] == pytest.approx(200.0 / 3.6e6 * 56 * 1.5)
    assert (row["energy_scope"], row["energy_method"]) == ("cpu", "counter")
    assert (row["carbon_g_per_kwh"], row["carbon_source"], row["carbon_year"], row["carbon_pue"]) == (
        56,
        "RTE",
        2023,
        1.5,
    )


@pytest.mark.parametrize(
    ("macs", "compute_dtype", "peaks", "expected"),
    [
        (2e9, "fp32", Peaks({"fp32": 5e9}), 50.0),
        (2e9, "fp32+int8", Peaks({"fp32": 5e9, "int8": 2e10}), 12.5),
        (2e10, "fp32", Peaks({"fp32": 5e9}), None),
        (4e9, "fp32", Peaks({"fp32": 5e9}), 100.0),
        (None, "fp32", Peaks({"fp32": 5e9}), None),
        (2e9, None, Peaks({"fp32": 5e9}), None),
        (2e9, "bf16", Peaks({"fp32": 5e9}), None),
        (2e9, "fp32", None, None),
    ],
)
def test_the_share_of_the_peak_is_of_the_precision_that_ran(
    job: Job, window: Window, macs: float | None, compute_dtype: str | None, peaks: Peaks | None, expected: float | None
) -> None:
    """10 s of audio in 8 s at 2 GMAC each are 2.5 GMAC/s; without work, precision or peak there is no share.

    Nor is there one above 100 %, which would be a fault of the peak; the row says so.
    """
    facts = replace(FACTS, metrics={**FACTS.metrics, "macs_per_audio_s": macs}, compute_dtype=compute_dtype)
    row = measured(replace(job, peaks=peaks), window, facts)
    assert row["mfu_pct"] == (None if expected is None else pytest.approx(expected))
    assert row["compute_dtype"] == compute_dtype
    assert (row["mfu_note"] is not None) == (macs == 2e10)


def test_accuracy_is_of_the_first_pass_over_the_corpus(job: Job, window: Window) -> None:
    """WER has the words of each utterance once, however many passes there were."""
    row = measured(job, window)
    assert (row["n_ref_words"], row["n_word_deletions"], row["wer"]) == (4, 1, 0.25)
    assert row["wer_ci_unit"] == "utterances like these 3, speakers unknown"


def test_no_energy_counter_no_energy(job: Job, window: Window) -> None:
    """Without a counter every energy figure is None, never 0."""
    del window.reading.quantities["energy_cpu_j"]
    row = measured(job, window)
    assert {row[name] for name in METRICS if "energy" in name or name == "co2e_g"} == {None}
    assert row["energy_method"] is None


def test_no_grid_factor_no_co2(job: Job, window: Window) -> None:
    """A suite without a grid factor has no CO2 figure."""
    assert measured(replace(job, suite=job.suite.model_copy(update={"carbon": None})), window)["co2e_g"] is None


def test_the_grid_factor_of_the_hour_gives_the_grams(job: Job, window: Window) -> None:
    """Where the suite has a zone, the factor is the one that was asked for; without an answer there are no grams."""
    asked = job.suite.model_copy(update={"carbon": Carbon(zone="DE", pue=1.5)})
    known = {"carbon_g_per_kwh": 302.0, "carbon_source": "Electricity Maps", "carbon_year": 2026}
    row = measured(replace(job, suite=asked, grid=known), window)
    assert row["co2e_g"] == pytest.approx(200.0 / 3.6e6 * 302 * 1.5)
    assert (row["carbon_zone"], row["carbon_year"], row["carbon_pue"]) == ("DE", 2026, 1.5)
    row = measured(replace(job, suite=asked, grid={"carbon_note": "no answer"}), window)
    assert (row["co2e_g"], row["carbon_note"]) == (None, "no answer")


def test_a_price_gives_a_cost_and_where_it_is_from(job: Job, window: Window) -> None:
    """At 1.25 hours of audio in an hour an hour of audio costs 0.8 of the price; without one there is no cost."""
    price = Price(per_hour=0.5, currency="EUR", source="a list")
    row = measured(replace(job, suite=job.suite.model_copy(update={"price": price})), window)
    assert row["cost_per_audio_hour"] == pytest.approx(0.4)
    assert (row["price_per_hour"], row["price_currency"], row["price_source"]) == (0.5, "EUR", "a list")
    free = measured(job, window)
    assert {free[name] for name in free if name.startswith(("cost_", "price_"))} == {None}


def test_random_weights_have_no_wer(suite_data: dict, window: Window) -> None:
    """Synthetic weights are measured and flagged, and their accuracy is None."""
    loaded = config.load({**suite_data, "variants": [{"use": "wav2vec2", "config": "large", "weights": "random"}]})
    job = Job("run-1", 0, loaded, plan(loaded)[0])
    row = measured(job, window, replace(FACTS, model=rows.described(job, build_variant(job.cell.variant))))
    assert row["flags"] == ["synthetic-weights"]
    assert row["synthetic"] is True
    assert {row[name] for name in ACCURACY} == {None}
    assert row["energy_j"] == 200.0


def test_a_row_describes_the_model_that_was_loaded(
    suite_data: dict, window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights that come to be here while random ones are measured do not give the random ones a WER."""
    entry = {"use": "wav2vec2", "config": "large", "model": "some/model", "weights": "available"}
    loaded = config.load({**suite_data, "variants": [entry]})
    job, are_here = Job("run-1", 0, loaded, plan(loaded)[0]), [False]
    monkeypatch.setattr("greenbench.models.hub.is_here", lambda *_: are_here[0])
    facts = replace(FACTS, model=rows.described(job, build_variant(job.cell.variant)))
    are_here[0] = True
    assert not build_variant(job.cell.variant).info.synthetic  # built anew, it would be the trained model
    row = measured(job, window, facts)
    assert (row["synthetic"], row["wer"], row["flags"]) == (True, None, ["synthetic-weights"])


def test_a_row_tells_what_was_done_around_its_window(job: Job, window: Window) -> None:
    """Warm-up and idle baselines of the row's own window, and how many windows the protocol asks for."""
    facts = rows.with_idle_power(FACTS, WarmUp(12, 3.4, 7.1), 2.5, 2.6)
    row = measured(job, window, facts)
    expected = {"warmup_batches": 12, "warmup_s": 3.4, "warmup_cv_pct": 7.1, "n_windows": 2, "load_s": 1.5}
    assert {name: row[name] for name in expected} == expected
    assert (row["idle_power_w"], row["idle_power_after_w"], row["energy_net_j"]) == (2.5, 2.6, 200.0 - 2.5 * 8.0)


def test_a_protocol_that_was_not_met_says_by_how_much(job: Job, window: Window) -> None:
    """The row names the step that failed, with the figures, beside the flag."""
    steady = job.suite.model_copy(update={"protocol": replace(job.suite.protocol, warmup_cv_pct=5)})
    row = measured(replace(job, suite=steady), window, rows.with_idle_power(FACTS, WarmUp(50, 3.4, 7.1), 2.0, None))
    assert row["flags"] == ["not-warm"]
    (note,) = row["flag_notes"]
    assert note == "CV of the last 3 warm-up batches 7.1 % after 50 batches, the protocol asks for < 5 %"


def test_flags_see_the_protocols_window_and_the_data_set(job: Job, window: Window) -> None:
    """A window under the protocol's, a skipped file and a changing text are flagged in the row."""
    window.reading.quantities["wall_s"] = Quantity(0.19, "counter", "perf_counter")
    window.unstable = True
    facts = replace(FACTS, stats=DatasetStats(3, 5.0, ["x.wav: bad audio"], "hash"))
    row = measured(job, window, facts)
    assert row["flags"] == ["short-window", "unstable-text", "audio-skipped"]
    assert row["n_skipped"] == 1


@pytest.mark.parametrize(("engine_batching", "padding_pct"), [("padded", 20.0), ("sequential", None)])
def test_padding_of_engines_that_pad(job: Job, window: Window, engine_batching: str, padding_pct: float | None) -> None:
    """Of 12.5 s computed, 2.5 s were padding; an engine that takes one utterance at a time has no such figure."""
    row = measured(job, window, replace(FACTS, engine_batching=engine_batching))
    assert row["padding_pct"] == (None if padding_pct is None else pytest.approx(padding_pct))


@pytest.mark.parametrize(("held", "rate_hz"), [((True, True, False), 6.0), ((False, False, False), None)])
def test_a_server_says_which_rate_held(suite_data: dict, window: Window, held: tuple[bool, ...], rate_hz) -> None:
    """The highest rate that held is in the row, with what was asked and every probe; without one a flag says so."""
    loaded = config.load({**suite_data, "scenarios": ["server"], "server": {"percentile": 90}})
    window.probes = tuple(Probe(hz, 100, 2, good) for hz, good in zip((4.0, 6.0, 7.0), held, strict=True))
    row = measured(Job("run-1", 0, loaded, plan(loaded)[0]), window)
    assert row["server_rate_hz"] == rate_hz
    assert row["arrivals"] == "poisson at the highest rate, p90 within 0.5 s + 0.1 x audio"
    assert row["server_probes"].startswith(f"4 Hz {'held' if held[0] else 'missed'} (2 of 100 late); 6 Hz")
    assert row["flags"] == ([] if rate_hz else ["bound-missed"])
    assert row["batching"] == "single"


@pytest.mark.parametrize(
    ("held", "most", "flags"),
    [
        ((True, True, False), 2, []),
        ((True, True, True), None, ["few-utterances"]),
        ((False, False, False), None, ["bound-missed"]),
    ],
)
def test_a_search_for_streams_says_which_number_held(
    suite_data: dict, window: Window, held: tuple[bool, ...], most: int | None, flags: list[str]
) -> None:
    """The highest that held is in the row where a higher one was missed, else a flag says why not; it has no rate."""
    loaded = config.load({**suite_data, "scenarios": ["streaming"], "streaming": {"streams": "search"}})
    window.probes = tuple(Probe(n, 500, 0, good, 9.0 * n) for n, good in zip((1, 2, 3), held, strict=True))
    final_s = [(spoken.utterance_id, 0.1) for spoken in window.spoken]
    logs = [StreamLog((ChunkLog(0.3, 0.3, 0.4, None),), "", 0.4, 4_800, None) for _ in final_s]
    streamed = replace(window, latencies_s=final_s, streams=tuple(logs))
    row = measured(Job("run-1", 0, loaded, plan(loaded)[0]), streamed, replace(FACTS, streamed_by="itself"))
    assert (row["max_streams"], row["server_rate_hz"], row["server_probes"]) == (most, None, None)
    assert row["stream_probes"].startswith(f"1 at once {'held' if held[0] else 'missed'} (0 of 500 chunks late, ut")
    assert row["streams"] == "the most, p99 of chunks within 0.32 s"
    assert [flag for flag in ("bound-missed", "few-utterances") if flag in row["flags"]] == flags


def test_only_servers_have_arrivals(job: Job, window: Window) -> None:
    """The other scenarios have neither a rate nor a bound to miss."""
    row = measured(job, window)
    assert [row[name] for name in ("server_rate_hz", "arrivals", "server_probes")] == [None, None, None]
    assert row["flags"] == []


@pytest.mark.parametrize(("n_latencies", "known"), [(0, False), (2, False), (59, False), (60, True)])
def test_latency_only_where_every_utterance_has_one(job: Job, window: Window, n_latencies: int, known: bool) -> None:
    """A last batch of one is no sample of latency: percentiles need a time for every utterance of every pass."""
    window.n_passes = 20
    window.latencies_s = [("abc"[i % 3], 1.0 + i) for i in range(n_latencies)]
    row = measured(job, window)
    assert [row[f"latency_p{pct}_s"] is not None for pct in (50, 90, 95, 99)] == [known, known, False, False]
    assert row["latency_p50_s"] == (30.5 if known else None)
    assert row["latency_p90_s"] == (60.0 if known else None)  # none of sixty may lie beyond the bound


@pytest.mark.parametrize("status", ["error", "skipped"])
def test_a_failure_has_no_numbers(job: Job, status) -> None:
    """A cell that died has its reason, its plan and no metric at all: its energy is null, not the best of all."""
    row = to_row(rows.not_measured(job, status, "it broke"))
    assert (row["status"], row["reason"], row["repeat"]) == (status, "it broke", None)
    assert {row[name] for name in METRICS} == {None}
    assert row["protocol"] == "quick(idle_s=0, window_s=0.2, repeats=2)"


def test_hypotheses_have_the_rows_key(job: Job, window: Window) -> None:
    """The texts of the first pass carry the key of their row, in the order of the data set, with first latencies."""
    window.latencies_s = [("a", 0.1), ("b", 0.2), ("a", 9.0), ("b", 9.0)]
    found = rows.hypotheses(job, 1, window)
    row = measured(job, window)
    assert [{name: line[name] for name in KEYS} for line in found] == [{name: row[name] for name in KEYS}] * 3
    kept = ("utterance_id", "speaker", "reference", "hypothesis", "audio_s", "audio_digest", "latency_s")
    assert [tuple(line[name] for name in kept) for line in found] == [
        ("a", None, "RED GREEN", "RED GREEN", 2.0, "digest of a", 0.1),
        ("b", None, "BLUE", "BLUE", 1.0, "digest of b", 0.2),
        ("c", None, "WHITE", "", 2.0, "digest of c", None),
    ]
    assert all(set(line) == {*KEYS, *kept, "slices", "terms", "words", "shown"} for line in found)


def test_slices_go_with_the_texts_and_into_the_row(job: Job, window: Window) -> None:
    """What is stated of each utterance is kept with its text, and the row says what follows from it, or why nothing."""
    stated = [{"noise": "street"}, {}, {"noise": "none"}]
    window.spoken = [replace(one, slices=of) for one, of in zip(window.spoken, stated, strict=True)]
    assert [line["slices"] for line in rows.hypotheses(job, 1, window)] == stated
    window.spoken = [replace(one, terms=("Blue",) if one.reference == "BLUE" else ()) for one in window.spoken]
    assert [line["terms"] for line in rows.hypotheses(job, 1, window)] == [(), ("Blue",), ()]
    row = measured(job, window)
    assert row["wer_worst_slice"] is row["wer_slice"] is None
    assert (row["term_recall"], row["n_ref_terms"]) == (1.0, 1)
    assert row["slice_note"].startswith("no slice can be judged: noise=none: 1 reference words or characters")
    window.spoken = [
        replace(one, reference="RED " * 100, slices=of) for one, of in zip(window.spoken, stated, strict=True)
    ]
    window.spoken += [replace(one, utterance_id=f"{one.utterance_id}2") for one in window.spoken]
    window.texts = {one.utterance_id: "RED " * (90 if one.slices == stated[0] else 100) for one in window.spoken}
    row = measured(job, window)
    assert (row["wer_slice"], row["wer_worst_slice"], row["slice_note"]) == ("noise=street", 0.1, None)
    assert row["wer_slice_gap"] == 0.1
    assert row["wer_worst_slice_ci_low"] < 0.1 < row["wer_worst_slice_ci_high"]


@pytest.mark.parametrize(
    ("doubts", "told"), [([], None), (["a: x"], "a: x"), (["a: x", "b: y", "c: z"], "a: x (and 2 more)")]
)
def test_doubts_about_audio_are_told_and_flagged(job: Job, window: Window, doubts: list[str], told: str | None) -> None:
    """What audio was warned of is in the row, the first with the number of others, and keeps it from ranks."""
    row = measured(job, window, replace(FACTS, stats=DatasetStats(3, 5.0, [], "hash", doubts)))
    assert row["audio_doubts"] == told
    assert row["flags"] == (["audio-doubtful"] if told else [])
