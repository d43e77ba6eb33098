"""Forged entries: one honest entry, changed in one way each as a forger would, and hashed anew; a board names each."""

import json
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from greenbench import leaderboard
from greenbench.leaderboard import history
from greenbench.meters import energy
from greenbench.results import store
from greenbench.sharing import submission
from greenbench.sharing.entry import FORMAT, MANIFEST, digest
from greenbench.sharing.submission import pack

Files = dict[str, bytes]
Row = dict[str, Any]

PEAK = 1e12
PROTOCOL = {"use": "quick", "rounds": 3, "repeats": 1, "window_s": 2, "idle_s": 0, "resamples": 200}
SUITE = {"protocol": PROTOCOL, "datasets": [{"use": "quickstart", "name": "said", "limit": 40}]}


def honest_round(wall_s: float) -> Row:
    """Figures of one process that agree: seconds, CPU seconds, joules, and the share of the peak."""
    rtfx = 80 / wall_s
    return {"wall_s": wall_s, "cpu_s": 4 * wall_s, "foreign_cpu_s": 0.4 * wall_s, "harness_cpu_s": 0.0,
            "energy_cpu_j": 20 * wall_s, "mfu_pct": 100 * 4e9 * rtfx / PEAK}  # fmt: skip


CELL: Row = {
    "variant": "a", "n_wrong": 3, "model_bytes": 4_000_000, "peak_rss_bytes": 10**9, "macs_per_audio_s": 4e9,
    "compute_dtype": "fp32", "rounds": [honest_round(3.2 + k / 100) for k in range(3)],
}  # fmt: skip
LOAD = 0.1 + 0.9 * (4.4 / 8) ** 3
GUESS: Row = CELL | {
    "variant": "guess", "method": "estimated", "source": "codecarbon-tdp",
    "note": "TDP 32 W (codecarbon's default of 4 W a thread: it does not know Test CPU); a model, off by up to 40 %",
    "rounds": [honest_round(2.2 + k / 100) | {"energy_cpu_j": 32 * LOAD * (2.2 + k / 100)} for k in range(3)],
}  # fmt: skip
PEAKS = {"cpu": {"macs_per_s": {"fp32": PEAK}, "bytes_per_s": 1e10, "threads": 2, "foreign_pct": 0.0, "reason": None}}


def read(entry: Path) -> Files:
    with zipfile.ZipFile(entry) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != MANIFEST}


def write(entry: Path, files: Files) -> None:
    import hashlib

    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    manifest = {"format": FORMAT, "digest": digest(hashes), "files": hashes}
    with zipfile.ZipFile(entry, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**files, MANIFEST: json.dumps(manifest).encode()}.items():
            archive.writestr(name, data)


FORGERIES: dict[str, tuple[Callable[[Files], Any], str]] = {}


def forgery(expected: str) -> Callable[[Callable[[Files], Any]], Callable[[Files], Any]]:
    """Keep a change of an entry's files, with what a board says of it."""

    def keep(change: Callable[[Files], Any]) -> Callable[[Files], Any]:
        FORGERIES[change.__name__] = (change, expected)
        return change

    return keep


def rows(
    files: Files, change: Callable[[Row], Any], file: str = store.RECORDS, of: Iterable[str] = ("a", "guess")
) -> None:
    """Change each row of some variants; None instead of a row takes it out."""
    told = [json.loads(line) for line in files[f"honest/{file}"].splitlines()]
    for row in told:
        if row.get("variant") in of:
            change(row)
    files[f"honest/{file}"] = "".join(json.dumps(row) + "\n" for row in told).encode()


def run_json(files: Files, change: Callable[[Row], Any]) -> None:
    content = json.loads(files["honest/run.json"])
    change(content)
    files["honest/run.json"] = json.dumps(content).encode()


def scale_joules(row: Row, share: float) -> None:
    """Scale a row's joules, and what derives from them, as a forger does who knows the formulas."""
    row["energy_cpu_j"] *= share
    row.update({name: value for name, value in energy.derived(
        "cpu", energy.reading_of(row), row["idle_power_w"], row["audio_s"], None).items() if name in row})  # fmt: skip


@forgery("the samples in power.jsonl give")
def a_quarter_of_the_counted_joules(files: Files) -> None:
    rows(files, lambda row: scale_joules(row, 0.25), of=["a"])


@forgery("W of design power (its note) at this load give")
def a_quarter_of_the_estimated_joules(files: Files) -> None:
    rows(files, lambda row: scale_joules(row, 0.25), of=["guess"])


@forgery("the machine has 8 threads")
def a_smaller_design_power(files: Files) -> None:
    def change(row: Row) -> None:
        scale_joules(row, 0.25)
        row["energy_cpu_note"] = row["energy_cpu_note"].replace("32 W", "8 W")

    rows(files, change, of=["guess"])


@forgery("under half of idle_power_w")
def idle_that_draws_more_than_work(files: Files) -> None:
    rows(files, lambda row: row.update(idle_power_w=90.0, energy_net_j=row["energy_j"] - 90 * row["wall_s"]), of=["a"])


@forgery("which could not measure there: it is not in the survey")
def a_meter_that_was_not_there(files: Files) -> None:
    run_json(files, lambda run: run["meters"].pop("rapl"))


@forgery("which could not measure there: no counter")
def a_meter_that_could_not_measure(files: Files) -> None:
    run_json(files, lambda run: run["meters"].update(rapl="no counter"))


@forgery("no meter in run.json is of that name")
def an_unknown_meter(files: Files) -> None:
    rows(files, lambda row: row.update(energy_cpu_source="wattomatic"), of=["a"])


@forgery("which is estimated there")
def an_estimate_called_a_counter(files: Files) -> None:
    def change(row: Row) -> None:
        row.update(energy_cpu_method="counter", energy_method="counter", flags=[], flag_notes=[])

    rows(files, change, of=["guess"])


@forgery("power.jsonl is missing")
def no_samples(files: Files) -> None:
    del files["honest/power.jsonl"]


@forgery("the row does not state what they read")
def joules_left_out(files: Files) -> None:
    def change(row: Row) -> None:
        row.update({name: None for name in row if name.startswith("energy_")})

    rows(files, change, of=["a"])


@forgery("can draw")
def more_watts_than_a_package_draws(files: Files) -> None:
    rows(files, lambda row: scale_joules(row, 1e4), of=["a"])


def renamed_data(files: Files, name: str) -> None:
    """Call the data otherwise everywhere."""
    from greenbench.suite import plan

    for file in (store.RECORDS, store.HYPOTHESES, store.WINDOWS):
        rows(files, lambda row: row.update(dataset=name), file)

    def change(run: Row) -> None:
        run["suite"]["datasets"][0].update(name=name, limit=None)
        run["suite_hash"] = plan.digest(run["suite"])

    run_json(files, change)
    suite_hash = json.loads(files["honest/run.json"])["suite_hash"]
    rows(files, lambda row: row.update(suite_hash=suite_hash))


@forgery("the data is not what it is called: librispeech/test-clean has 2620 utterances")
def quick_texts_under_a_known_name(files: Files) -> None:
    renamed_data(files, "librispeech/test-clean")


@forgery("is not an utterance of LibriSpeech")
def quick_texts_under_the_name_of_a_part(files: Files) -> None:
    renamed_data(files, "librispeech/test-clean[:40]")


@forgery("the suite's limit is 40")
def one_utterance(files: Files) -> None:
    """The easiest utterance alone, everything recounted from it."""
    from greenbench.datasets import corpus
    from greenbench.text import scorers

    told = [json.loads(line) for line in files["honest/hypotheses.jsonl"].splitlines()]
    kept = [row for row in told if row["utterance_id"] == "u010"]
    files["honest/hypotheses.jsonl"] = "".join(json.dumps(row) + "\n" for row in kept).encode()
    (heard,) = {(row["reference"], row["hypothesis"], None) for row in kept}
    figures, origin = scorers.accuracy([heard], scorers.create("none"))
    data_hash = corpus.data_hash([("u010", heard[0], 32000, kept[0]["audio_digest"])])

    def change(row: Row) -> None:
        row.update(figures, **origin, n_utterances=1, n_passes=40, data_hash=data_hash)

    rows(files, change)


@forgery("no window of its own in windows.jsonl")
def two_rows_of_one_cell(files: Files) -> None:
    first = json.loads(files["honest/records.jsonl"].splitlines()[0])
    files["honest/records.jsonl"] += json.dumps({**first, "load_s": 0.5}).encode() + b"\n"


@forgery("in the future")
def rows_of_2099(files: Files) -> None:
    rows(files, lambda row: row.update(timestamp_utc="2099-01-02T03:04:05+00:00"))


@forgery("in the future")
def a_run_of_2099(files: Files) -> None:
    run_json(files, lambda run: run.update(started_utc="2099-01-02T03:04:05+00:00"))


@forgery("not an ISO 8601 time")
def a_run_at_no_time(files: Files) -> None:
    run_json(files, lambda run: run.update(started_utc="zzzz"))


@forgery("before greenbench existed")
def a_run_of_1999(files: Files) -> None:
    run_json(files, lambda run: run.update(started_utc="1999-01-02T03:04:05+00:00"))


@forgery("before the run began")
def rows_before_their_run(files: Files) -> None:
    rows(files, lambda row: row.update(timestamp_utc="2026-01-01T03:04:05+00:00"))


@forgery("it does not state when it was measured")
def rows_without_a_time(files: Files) -> None:
    rows(files, lambda row: row.update(timestamp_utc=None))


@forgery("less than a bit each")
def a_model_of_one_byte(files: Files) -> None:
    rows(files, lambda row: row.update(model_bytes=1))


@forgery("line 1 of the same model has")
def a_model_that_is_smaller_in_one_round(files: Files) -> None:
    rows(files, lambda row: row.update(model_bytes=row["model_bytes"] - row["round"]))


@forgery("in run.json the CPU is 'Other CPU'")
def another_machine(files: Files) -> None:
    run_json(files, lambda run: run["machine"].update(cpu_model="Other CPU"))


@forgery("its window begins")
def windows_all_at_once(files: Files) -> None:
    def change(row: Row) -> None:
        (start, end), row["segments"] = row["segments"][0], None
        row["segments"] = [[1001.0, 1001.0 + end - start]]

    rows(files, change, store.WINDOWS)


@forgery("segments: times are expected in order")
def a_window_that_ends_before_it_begins(files: Files) -> None:
    rows(files, lambda row: row.update(segments=[row["segments"][0][::-1]]), store.WINDOWS)


@forgery("windows.jsonl has 3.2")
def a_window_half_as_long(files: Files) -> None:
    def change(row: Row) -> None:
        row["wall_s"] -= 0.3
        row["rtfx"] = row["audio_s"] / row["wall_s"]
        row["mfu_pct"] = 100 * row["macs_per_audio_s"] * row["rtfx"] / PEAK
        scale_joules(row, 1)

    rows(files, change)


@forgery("not between the start of the run")
def windows_of_another_day(files: Files) -> None:
    rows(files, lambda row: row.update(utc_s=row["utc_s"] - 1e5), store.WINDOWS)


@forgery("windows.jsonl does not say when this window was")
def no_windows(files: Files) -> None:
    del files["honest/windows.jsonl"]


@forgery("some utterances have errors and others have none")
def an_interval_of_no_width(files: Files) -> None:
    rows(files, lambda row: row.update(wer_ci_low=row["wer"], wer_ci_high=row["wer"]))


@forgery("above wer")
def an_interval_beside_its_figure(files: Files) -> None:
    rows(files, lambda row: row.update(wer_ci_low=2 * row["wer"], wer_ci_high=3 * row["wer"]))


@forgery("8 CPUs have")
def more_cpu_seconds_than_there_are(files: Files) -> None:
    rows(files, lambda row: row.update(cpu_s=1e6))


@forgery("the machine has 1.7")
def more_memory_than_there_is(files: Files) -> None:
    rows(files, lambda row: row.update(peak_rss_bytes=64 * 2**30))


@forgery("more than any window can have")
def a_figure_beyond_all_bounds(files: Files) -> None:
    rows(files, lambda row: row.update(peak_rss_bytes=1e308))


@forgery("number is expected, not")
def a_figure_that_is_no_number(files: Files) -> None:
    rows(files, lambda row: row.update(peak_rss_bytes=float("nan")))


@forgery("number is expected, not")
def a_whole_number_too_long_to_calculate_with(files: Files) -> None:
    rows(files, lambda row: row.update(peak_rss_bytes=10**400))


@forgery("audio_s: a finite number is expected, not inf")
def a_text_of_no_length(files: Files) -> None:
    rows(
        files,
        lambda row: row.update(audio_s=float("inf")) if row["utterance_id"] == "u000" else None,
        store.HYPOTHESES,
    )


@forgery("power.jsonl has them 55% busy")
def a_flag_dropped_with_its_cause(files: Files) -> None:
    """What other processes used, taken for nothing in the row, is seen in the samples."""

    def busier(row: Row) -> None:
        row["foreign_cpu_s"] = 0.0
        row["cpu_s"] /= 2

    rows(files, busier, of=["a"])


@forgery("the protocol asks for at least 3")
def no_word_of_the_warm_up(files: Files) -> None:
    rows(files, lambda row: row.update(warmup_batches=None))


def times_ten(row: Row) -> None:
    row.update(n_passes=10 * row["n_passes"], audio_s=10 * row["audio_s"], rtfx=10 * row["rtfx"])
    row["mfu_pct"] = 100 * row["macs_per_audio_s"] * row["rtfx"] / PEAK
    scale_joules(row, 1)


@forgery("passes of 0.32 s would have ended it")
def ten_times_the_passes(files: Files) -> None:
    rows(files, times_ten)


def twice(files: Files) -> None:
    def change(row: Row) -> None:
        row.update(n_passes=2 * row["n_passes"], audio_s=2 * row["audio_s"], rtfx=2 * row["rtfx"])
        row["mfu_pct"] = 100 * row["macs_per_audio_s"] * row["rtfx"] / PEAK
        scale_joules(row, 1)

    rows(files, change)


@forgery("n_passes is 2, windows.jsonl has the seconds of 1 passes")
def twice_the_passes(files: Files) -> None:
    twice(files)


@forgery("the passes in windows.jsonl took 6.4")
def twice_the_passes_in_windows_too(files: Files) -> None:
    twice(files)
    rows(files, lambda row: row.update(pass_s=2 * row["pass_s"]), store.WINDOWS)


@forgery("some are missing")
def twice_the_passes_of_a_tenth(files: Files) -> None:
    twice(files)
    rows(files, lambda row: row.update(pass_s=2 * [row["pass_s"][0] / 20]), store.WINDOWS)


@forgery("the last one was not run")
def a_pass_after_the_window_was_long_enough(files: Files) -> None:
    twice(files)
    rows(files, lambda row: row.update(pass_s=[0.8 * row["pass_s"][0], 0.2 * row["pass_s"][0]]), store.WINDOWS)


@forgery("load_s is 0, where a time above 0 is expected")
def a_model_that_loads_in_no_time(files: Files) -> None:
    rows(files, lambda row: row.update(load_s=0))


@forgery("a model descends from itself: 'a' from 'guess' from 'a'")
def two_models_that_are_each_others_parent(files: Files) -> None:
    rows(files, lambda row: row.update(parent="guess" if row["variant"] == "a" else "a"))


@forgery("a model descends from itself: 'a' from 'a'")
def a_model_that_is_its_own_parent(files: Files) -> None:
    rows(files, lambda row: row.update(identity="d1gest", ancestors="other ; d1gest"), of=["a"])


@forgery("a model descends from itself: ")
def ancestors_in_a_circle(files: Files) -> None:
    """By the digests of their weights, whatever they are called."""
    rows(files, lambda row: row.update(identity="one", ancestors="two"), of=["a"])
    rows(files, lambda row: row.update(identity="two", ancestors="zero ; one"), of=["guess"])


@forgery("versions does not name greenbench, without which")
def versions_of_nothing(files: Files) -> None:
    run_json(files, lambda run: run.update(versions={}))


@forgery("audio_s, n_passes or macs_per_audio_s is more than was done")
def more_work_than_the_machine_can(files: Files) -> None:
    def change(row: Row) -> None:
        row["macs_per_audio_s"] = 4e11
        row["mfu_pct"] = 100 * 4e11 * row["rtfx"] / PEAK

    rows(files, change)


# --- what is left out, or contradicted by another file ----------------------------------------------------


def power_json(files: Files, change: Callable[[Row], Row | None]) -> None:
    """Change each sample; None takes it out."""
    told = [json.loads(line) for line in files["honest/power.jsonl"].splitlines()]
    kept = [row if "header" in row else change(row) for row in told]
    files["honest/power.jsonl"] = "".join(json.dumps(row) + "\n" for row in kept if row is not None).encode()


@forgery("power.jsonl has no samples of 3.2 s of this window, trace_lost_s is 0")
def joules_without_their_samples(files: Files) -> None:
    rows(files, lambda row: scale_joules(row, 0.25), of=["a"])
    power_json(files, lambda _row: None)


@forgery("power.jsonl has no samples of")
def joules_with_a_hole_in_their_samples(files: Files) -> None:
    rows(files, lambda row: scale_joules(row, 0.25), of=["a"])
    power_json(files, lambda row: row if row["t_s"] % 3 >= 2.5 else None)


@forgery("the samples in power.jsonl give")
def joules_under_a_poller_that_began_anew(files: Files) -> None:
    """As in a resumed run there are two pollers on one clock: the samples of both count."""
    rows(files, lambda row: scale_joules(row, 0.25), of=["a"])
    lines = files["honest/power.jsonl"].splitlines(keepends=True)
    header = json.loads(lines[0])
    header["header"]["utc_s"] -= 1e-3
    files["honest/power.jsonl"] = b"".join([*lines, json.dumps(header).encode() + b"\n"])


@forgery("none of them of rapl")
def joules_without_their_counter(files: Files) -> None:
    rows(files, lambda row: scale_joules(row, 0.25), of=["a"])
    power_json(files, lambda row: {name: value for name, value in row.items() if not name.startswith("rapl")})


def metered(files: Files, watts: float) -> None:
    """Add a log of the whole machine's power."""

    def change(row: Row) -> None:
        row.update(energy_system_j=watts * row["wall_s"], energy_system_method="sampled", energy_scope="system",
                   energy_system_source="external", energy_system_note="log.csv, clock skew 0 s",
                   energy_method="sampled")  # fmt: skip
        scale_joules(row, 1)

    rows(files, change, of=["a"])


@forgery("less than the 64 J of its parts by their counters")
def a_machine_that_draws_less_than_its_cpu(files: Files) -> None:
    metered(files, 5)


def rests(files: Files, watts: float) -> None:
    rows(files, lambda row: row.update(idle_power_w=watts, energy_net_j=row["energy_j"] - watts * row["wall_s"]),
         of=["a"])  # fmt: skip


@forgery("windows.jsonl has no idle baseline before this window")
def idle_power_of_no_baseline(files: Files) -> None:
    rests(files, 19.9)


@forgery("which cpu cannot draw: 0.01 to 1,000 W")
def idle_power_of_nothing(files: Files) -> None:
    rests(files, 0.0)


@forgery("the samples in power.jsonl give 8.82 to 12.24 W at rest")
def idle_power_beside_its_samples(files: Files) -> None:
    """The machine rested for 2 s at 10 W before its first window; it is said to have drawn 19 W, for a small net."""
    windows = [json.loads(line) for line in files["honest/windows.jsonl"].splitlines()]
    start_s = windows[0]["segments"][0][0] - 3
    idle = windows[0] | {"kind": "idle", "repeat": None, "segments": [[start_s, start_s + 2]]}
    files["honest/windows.jsonl"] = b"".join(json.dumps(row).encode() + b"\n" for row in [idle, *windows])
    samples = [{"t_s": start_s + n / 10, "rapl.package-0.energy_uj": 10**6 * n} for n in range(-2, 24)]
    lines = files["honest/power.jsonl"].splitlines(keepends=True)
    files["honest/power.jsonl"] = b"".join([lines[0], *(json.dumps(s).encode() + b"\n" for s in samples), *lines[1:]])
    rests(files, 19.0)


@forgery("run.json does not say what memory_bytes the machine has")
def a_machine_that_is_silent_about_its_memory(files: Files) -> None:
    rows(files, lambda row: row.update(peak_rss_bytes=10**14))
    run_json(files, lambda run: run["machine"].pop("memory_bytes"))


@forgery("run.json does not say how many CPUs the machine has")
def a_machine_that_is_silent_about_its_cpus(files: Files) -> None:
    rows(files, lambda row: row.update(cpu_s=1e4))
    run_json(files, lambda run: run["machine"].pop("n_cpus_logical"))


@forgery("power.jsonl has them 55% busy")
def a_machine_of_more_cpus(files: Files) -> None:
    """Among 512 CPUs what others used is no tenth."""
    run_json(files, lambda run: run["machine"].update(n_cpus_logical=512))


@forgery("cpu_s is null, and its meter, cpu-time, could measure")
def no_cpu_seconds(files: Files) -> None:
    run_json(files, lambda run: run["meters"].update({"cpu-time": None}))
    rows(files, lambda row: row.update(cpu_s=None))


for size in (1, 1_900_000):

    def _small(files: Files, size: int = size) -> None:
        rows(files, lambda row: row.update(peak_rss_bytes=size))

    _small.__name__ = f"a_process_of_{size}_bytes"
    forgery("less than a process needs for a model of 4e+06 bytes")(_small)


@forgery("hypotheses.jsonl has no latencies of this row")
def latencies_of_batches(files: Files) -> None:
    rows(files, lambda row: row.update(dict.fromkeys([f"latency_p{n}_s" for n in (50, 90, 95, 99)], 1e-6)))


@forgery("the latencies in hypotheses.jsonl give")
def latencies_beside_those_of_the_texts(files: Files) -> None:
    """80 ms an utterance by the texts, 1 ms by the row."""
    rows(files, lambda row: row.update(latency_s=0.08), store.HYPOTHESES)
    rows(files, lambda row: row.update(latency_p50_s=0.001))


@forgery("server_rate_hz is 100000, and the scenario is offline")
def a_rate_of_no_server(files: Files) -> None:
    rows(files, lambda row: row.update(server_rate_hz=1e5))


@forgery("max_streams is 7, stream_probes None: the suite asks for no search of streams here")
def streams_that_nobody_searched_for(files: Files) -> None:
    rows(files, lambda row: row.update(max_streams=7))


@forgery("stream_rtf: the scenario is offline, which has none")
def a_stream_that_was_none(files: Files) -> None:
    rows(files, lambda row: row.update(stream_rtf=0.1))


@forgery("word_latency_mean_s is 0.9, its formula gives 1 ")
def parts_of_word_latency_that_do_not_add_up(files: Files) -> None:
    parts = {"buffer_s": 0.1, "wait_s": 0.2, "word_compute_s": 0.3, "emission_delay_s": 0.4}
    rows(files, lambda row: row.update(parts, word_latency_mean_s=0.9))


@forgery("pace is 'real-time', in run.json None")
def a_pace_of_no_stream(files: Files) -> None:
    rows(files, lambda row: row.update(pace="real-time"))


@forgery("and the speech was streamed at a simulated pace")
def joules_of_a_simulated_pace(files: Files) -> None:
    rows(files, lambda row: row.update(pace="simulated"))


@forgery("in what was shown, and its hypothesis is another text")
def a_text_that_nobody_was_shown(files: Files) -> None:
    rows(files, lambda row: row.update(shown=[{"time_s": 9.0, "text": "abracadabra"}]), store.HYPOTHESES)


@forgery("has its final text 9 s after its audio, and a latency of 0.5 s")
def a_text_that_was_shown_later_than_its_latency(files: Files) -> None:
    def show(row: Row) -> None:
        row.update(shown=[{"time_s": row["audio_s"] + 9.0, "text": row["hypothesis"]}], latency_s=0.5)

    rows(files, show, store.HYPOTHESES)


@forgery("training_energy_j: greater than or equal to 0 is expected")
def a_training_that_gave_energy(files: Files) -> None:
    rows(files, lambda row: row.update(training_energy_j=-1e6, training_energy_method="counter"))


for number, alike in enumerate(
    ["LibriSpeech/test-clean", "librispeech\u2215test-clean", "librisp\u0435ech/test-clean", "librispeech test_clean",
     "\uff2cibriSpeech/test-clean\u200b", "librispeech//test-clean.", "Quickstart/Seen"]
):  # fmt: skip

    def _alike(files: Files, name: str = alike) -> None:
        renamed_data(files, name)

    _alike.__name__ = f"a_name_that_reads_alike_{number}"
    forgery("utterances, this has 40: other data needs another name")(_alike)


def under_the_id(files: Files, run_id: str) -> None:
    """Give the run, and its folder, another id."""
    for file in (store.RECORDS, store.HYPOTHESES, store.WINDOWS):
        rows(files, lambda row: row.update(run_id=run_id), file)
    run_json(files, lambda run: run.update(run_id=run_id))
    for name in [*files]:
        files[name.replace("honest/", f"{run_id}/")] = files.pop(name)


for number, hostile in enumerate(["merge.json", "con", "nul.x", "x" * 200, "run.", "records.jsonl"]):

    def _hostile(files: Files, run_id: str = hostile) -> None:
        under_the_id(files, run_id)

    _hostile.__name__ = f"a_hostile_id_{number}"
    forgery("no run can be called so")(_hostile)

for number, odd in enumerate(["..", "-rf", "h\uff4fnest", " honest"]):

    def _odd(files: Files, run_id: str = odd) -> None:
        under_the_id(files, run_id)

    _odd.__name__ = f"an_odd_id_{number}"
    forgery("which is not a file of an entry")(_odd)


@forgery("a copy of honest: 6 of its 6 windows")
def a_copy_under_another_id(files: Files) -> None:
    """Texts and times of another run, a little later and a little smaller."""
    rows(files, lambda row: row.update(load_s=1.5, peak_rss_bytes=10**8))
    under_the_id(files, "mine")


@forgery("a copy of honest: 6 of its 6 windows")
def a_copy_that_says_it_was_first(files: Files) -> None:
    from datetime import datetime, timedelta

    earlier = timedelta(hours=1)

    def shift(text: str) -> str:
        return (datetime.fromisoformat(text) - earlier).isoformat()

    rows(files, lambda row: row.update(load_s=1.5, timestamp_utc=shift(row["timestamp_utc"])))
    run_json(files, lambda run: run.update(started_utc=shift(run["started_utc"])))
    rows(files, lambda row: row.update(utc_s=row["utc_s"] - 3600), store.WINDOWS)
    power = [json.loads(line) for line in files["honest/power.jsonl"].splitlines()]
    power[0]["header"]["utc_s"] -= 3600
    files["honest/power.jsonl"] = "".join(json.dumps(row) + "\n" for row in power).encode()
    under_the_id(files, "elder")


@pytest.fixture(scope="module")
def entries(sound_run_in: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two honest entries of different machines, and every forgery of the first."""
    folder = tmp_path_factory.mktemp("forgeries")
    run = sound_run_in(folder / "runs" / "honest", CELL, GUESS, data=SUITE, peaks=PEAKS)
    machine = store.read_run(run)["machine"] | {"cpu_model": "Elsewhere"}
    peer = CELL | {"rounds": [honest_round(4.2 + k / 100) for k in range(3)]}
    other = sound_run_in(folder / "runs" / "other", peer, data=SUITE, peaks=PEAKS, machine=machine)
    (folder / "entries").mkdir()
    honest = pack([run], folder / "entries" / "honest.zip").path
    pack([other], folder / "entries" / "other.zip")
    for name, (change, _) in FORGERIES.items():
        files = read(honest)
        change(files)
        write(folder / "entries" / f"{name}.zip", files)
    return folder / "entries"


@pytest.fixture(scope="module")
def site(entries: Path, tmp_path_factory: pytest.TempPathFactory) -> leaderboard.Published:
    """A board on which the honest entries stood before the forgeries came."""
    out = tmp_path_factory.mktemp("site")
    leaderboard.publish([entries / "honest.zip", entries / "other.zip"], out)
    return leaderboard.publish([entries], out)


def test_the_honest_entries_are_published_and_nothing_else(site: leaderboard.Published) -> None:
    """No forgery stops a publication, replaces an entry or gets a rank."""
    content = json.loads((site.index.parent / history.JSON).read_text())
    assert [*content["runs"]] == ["honest", "other"]
    assert {place["run_id"] for b in content["boards"] for r in b["rankings"] for place in r["places"]} == {
        "honest", "other",
    }  # fmt: skip
    assert {one.what.removesuffix(".zip") for one in site.refused} >= FORGERIES.keys() - {
        "a_copy_under_another_id", "a_copy_that_says_it_was_first",
    }  # fmt: skip


NAMES = {"a_copy_under_another_id": "mine", "a_copy_that_says_it_was_first": "elder"}
"""What is refused by the run's id, since only beside another run anything is wrong with it."""


@pytest.mark.parametrize("name", FORGERIES)
def test_each_forgery_is_refused_by_name_with_its_reason(name: str, site: leaderboard.Published) -> None:
    """What does not agree is told, of this entry."""
    reasons = [one.reason for one in site.refused if one.what in (f"{name}.zip", NAMES.get(name))]
    assert any(FORGERIES[name][1] in reason for reason in reasons), reasons


def test_what_a_board_refuses_validate_reports(entries: Path, tmp_path: Path) -> None:
    """The two are one door: of a run whose folder is its id, each refusal is an error of `greenbench validate`."""
    from greenbench.validate import problems

    for name in (
        "a_quarter_of_the_counted_joules",
        "windows_all_at_once",
        "no_windows",
        "rows_of_2099",
        "one_utterance",
    ):
        with zipfile.ZipFile(entries / f"{name}.zip") as archive:
            archive.extractall(tmp_path / name)
        assert any(FORGERIES[name][1] in p.what and p.severity == "error" for p in problems(tmp_path / name)), name


@pytest.mark.parametrize("entry", sorted((Path(__file__).parents[1] / "results" / "entries").glob("*.zip")), ids=str)
def test_committed_entries_hold(entry: Path, tmp_path: Path) -> None:
    """What this project publishes itself passes its own check."""
    assert submission.check(entry, tmp_path / "unpacked") == []


def pack_said(folder: Path, sound_run_in: Callable[..., Path], run_id: str, cell: Row, n: int) -> Path:
    """Pack a run of the first so many utterances of a data set of the same name."""
    from greenbench.datasets import corpus
    from greenbench.text import scorers

    run = sound_run_in(folder / "runs" / run_id, cell)
    texts = [row for row in store.read_rows(run / store.HYPOTHESES) if row["utterance_id"] < f"u{n:03}"]
    (run / store.HYPOTHESES).write_text("".join(json.dumps(row) + "\n" for row in texts))
    first = [row for row in texts if row["round"] == 0]
    heard = [(row["reference"], row["hypothesis"], row["speaker"]) for row in first]
    figures, origin = scorers.accuracy(heard, scorers.create("none"))
    found = corpus.data_hash((r["utterance_id"], r["reference"], 32000, r["audio_digest"]) for r in first)
    rows_ = list(store.read_rows(run / store.RECORDS))
    for row in rows_:
        row.update(figures, **origin, n_utterances=n, audio_s=2.0 * n, data_hash=found)
        row["rtfx"] = row["audio_s"] / row["wall_s"]
    (run / store.RECORDS).write_text("".join(json.dumps(row) + "\n" for row in rows_))
    return pack([run], folder / "entries" / f"{run_id}.zip").path


PLAIN: Row = {"variant": "a", "n_wrong": 2, "rounds": [{"wall_s": 3 + k / 100} for k in range(3)]}


def test_one_name_of_data_has_one_size(sound_run_in: Callable[..., Path], tmp_path: Path) -> None:
    """One utterance under the name of forty is refused, and who was published first keeps the name."""
    small = pack_said(tmp_path, sound_run_in, "small", PLAIN | {"n_wrong": 0}, 1)
    whole = pack_said(tmp_path, sound_run_in, "whole", PLAIN, 40)
    published = leaderboard.publish([small, whole], tmp_path / "site")
    (refused,) = published.refused
    assert refused.what == "small"
    assert "its data set 'said' has 1 utterances, that of the run whole has 40" in refused.reason
    leaderboard.publish([small], tmp_path / "other")
    (refused,) = leaderboard.publish([small, whole], tmp_path / "other").refused
    assert refused.what == "whole"


def test_what_is_only_odd_is_shown_beside_the_entry(sound_run_in: Callable[..., Path], tmp_path: Path) -> None:
    """Texts that are their references, letter by letter, and a model of another size are told, and ranked."""
    perfect = pack_said(tmp_path, sound_run_in, "perfect", PLAIN | {"n_wrong": 0}, 40)
    rounds = [{"wall_s": 4 + k / 100} for k in range(3)]
    packed = pack_said(
        tmp_path, sound_run_in, "zipped", PLAIN | {"rounds": rounds, "n_params": 1000, "model_bytes": 3000}, 40
    )
    site = leaderboard.publish([perfect, packed], tmp_path / "site")
    assert (site.n_ranked, site.refused) == (2, ())
    content = json.loads((site.index.parent / history.JSON).read_text())
    notes = [note for one in content["standings"].values() for note in one["notes"]]
    assert any("all 40 texts are their references, letter by letter" in note for note in notes)
    assert any("the model of this name has 3,000 bytes, and 4,000 in the run perfect" in note for note in notes)
    assert any("is named 'said' by the submitter" in note for note in notes)
    pages = [page.read_text() for page in (site.index.parent / "entries").glob("*.html")]
    assert any("letter by letter" in page for page in pages)
