"""Validation: what a run wrote is clean, and every kind of tampering with it is found, where it is and by its name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenbench.errors import InputError
from greenbench.hardware import control
from greenbench.harness.runner import Options, run
from greenbench.metrics import METRICS
from greenbench.power import log as power_log
from greenbench.results import attach, frames, store
from greenbench.results.record import KEYS
from greenbench.results.rescore import rescore
from greenbench.statistics.bootstrap import bootstrap_rate
from greenbench.suite import config
from greenbench.text import characters, normalizers
from greenbench.validate import Problem, problems
from greenbench.validate.form import MOST

Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def fresh(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every kind of figure: both scenarios, rounds and repeats, energy, CO2e and several scorers."""
    folder = tmp_path_factory.mktemp("fresh") / "run"
    loaded = config.load({
        "name": "tiny",
        "protocol": {"use": "quick", "rounds": 2, "repeats": 2, "window_s": 0.15, "idle_s": 0.15},
        "datasets": [{"use": "manifest", "path": str(manifest)}],
        "variants": ["null/rtfx-100"],
        "scenarios": ["offline", "single-stream"],
        "batch_sizes": [4],
        "also_score": ["librispeech", "whisper-english+compound"],
        "estimate_energy": True,
        "meters": {"codecarbon": {"tdp_w": 20}},
        "carbon": {"g_per_kwh": 56, "source": "RTE", "year": 2023},
        "price": {"per_hour": 0.53, "currency": "USD", "source": "a list"},
        "trace_hz": 0,
    })  # fmt: skip
    run(loaded, Options(out=folder))
    return folder


@pytest.fixture
def copy(fresh: Path, tmp_path: Path) -> Path:
    """A copy of the run to tamper with."""
    return Path(shutil.copytree(fresh, tmp_path / "run"))


def tamper(folder: Path, file: str, edit: Edit, number: int = 1) -> None:
    """Edit one line of a file in place; what is no JSON object any more is written as text."""
    lines = (folder / file).read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[number - 1])
    answer = edit(row)
    lines[number - 1] = answer if isinstance(answer, str) else json.dumps(row)
    (folder / file).write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def found(folder: Path) -> list[Problem]:
    return list(problems(folder))


def changed(**values: Any) -> Edit:
    """Set columns, or change them where the value is a function of the old one."""

    def edit(row: dict[str, Any]) -> None:
        row.update({name: value(row[name]) if callable(value) else value for name, value in values.items()})

    return edit


def test_the_intervals_of_an_earlier_version_are_told_from_forged_ones(copy: Path) -> None:
    """Rows whose unit names the bootstrap are checked by the bootstrap, warned of once, and found where they differ."""
    texts = [row for row in store.read_rows(copy / store.HYPOTHESES) if row["scenario"] == "offline"][:8]
    words, chars = (np.array([count(row["reference"]) for row in texts]) for count in (lambda t: len(t.split()), len))
    drawn = [bootstrap_rate(n, n, None, 1_000) for n in (words, chars)]  # the null model writes nothing at all
    ends = {f"{rate}_ci_{end}": v for rate, pair in zip(("wer", "cer"), drawn, strict=True)
            for end, v in zip(("low", "high"), pair, strict=True)}  # fmt: skip

    def to_earlier(row: dict[str, Any]) -> None:
        flags = [flag for flag in row["flags"] if flag != "few-speakers"]
        row.update(ends, wer_ci_unit="utterance", flags=flags, flag_notes=[""] * len(flags))

    for number in range(1, 9):
        tamper(copy, store.RECORDS, to_earlier, number)
    (problem,) = found(copy)
    assert problem.severity == "warning"
    assert problem.what.startswith("the intervals of 8 rows are an earlier version's bootstrap")
    tamper(copy, store.RECORDS, changed(wer_ci_high=1.2))
    assert "wer_ci_high is 1.2, its formula gives 1 (counted again)" in [problem.what for problem in found(copy)]
    run = json.loads((copy / store.RUN).read_text())
    (copy / store.RUN).write_text(json.dumps(run | {"versions": run["versions"] | {"numpy": "0"}}))
    assert "wer_ci_high is 1.2, a bootstrap of the texts gives 1" in [problem.what for problem in found(copy)]


def test_a_fresh_run_is_clean(fresh: Path) -> None:
    """Nothing that greenbench wrote is a problem, and every row has what the checks are about."""
    assert found(fresh) == []
    rows = list(store.read_rows(fresh / store.RECORDS))
    assert len(rows) == 8
    assert all(row[name] is not None for row in rows for name in ("wer", "energy_j", "energy_net_j", "co2e_g"))
    assert len(list(store.read_rows(fresh / store.SCORES))) == 16


def test_what_explains_a_wrong_count_is_looked_for_only_where_one_is(
    fresh: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a look at every letter of the texts: a sound run is judged without, and a row by its wrong counts."""
    looks: list[int] = []
    monkeypatch.setattr(characters, "recount", lambda _texts: looks.append(1))
    assert (found(fresh), looks) == ([], [])
    tamper(copy, store.RECORDS, changed(n_ref_words=25, wer=24 / 25, wer_ci_low=0))
    assert "n_ref_words is 25, its formula gives 24 (counted again)" in [problem.what for problem in found(copy)]
    assert 1 <= len(looks) <= 3


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (changed(wer=0.5), "wer is 0.5, its formula gives 1"),
        (changed(cer=0.5), "cer is 0.5"),
        (changed(n_word_deletions=3, wer=3 / 24, wer_ci_low=0), "n_word_deletions is 3, its formula gives 24 (counted"),
        (changed(n_ref_words=25, wer=24 / 25, wer_ci_low=0), "n_ref_words is 25"),
        (changed(wer=None), "wer is None, its formula gives 1"),
        (changed(wer_ci_low=0.9), "wer_ci_low is 0.9"),
        (changed(wer_ci_low=1.5), "wer_ci_low is 1.5, above wer, 1"),
        (changed(wer_ci_low=1.0, wer_ci_high=1.0), "wer_ci_high is 1, its formula gives"),
        (changed(cer_ci_low=lambda old: old / 2), "cer_ci_low is"),
        (changed(wer_ci_unit="speakers like these 40"), "wer_ci_unit is 'speakers like these 40', the speakers of"),
        (changed(wer_ci_unit=None), "wer_ci_unit is None, the speakers of the texts give 'speakers like these 2"),
        (changed(wer_ci_unit="utterance"), "wer_ci_high is"),
        (changed(wer_worst_slice=0.9), "wer_worst_slice is 0.9, its formula gives None"),
        (changed(wer_slice="noise=street"), "wer_slice is 'noise=street', the texts give None"),
        (changed(rtfx=lambda old: 1.01 * old), "rtfx is"),
        (changed(wall_s=lambda old: 50 + old, rtfx=lambda old: old / 50), "wall_s is"),
        (changed(audio_s=lambda old: 2 * old, rtfx=lambda old: 2 * old), "audio_s is"),
        (changed(n_passes=lambda old: old + 1), "n_passes x the data set's audio"),
        (changed(n_utterances=9), "n_utterances is 9, hypotheses.jsonl has 8"),
        (changed(energy_j=1.0), "energy_j is 1, its formula gives"),
        (changed(energy_j=None), "energy_j is None"),
        (changed(energy_j=0.0), "energy_j is 0, its formula gives"),
        (changed(energy_cpu_j=lambda old: old / 2), "energy_j is"),
        (changed(energy_net_j=0.0), "energy_net_j is 0"),
        (changed(idle_power_w=lambda old: old * 2), "energy_net_j is"),
        (changed(energy_j_per_audio_s=1e-3), "energy_j_per_audio_s is 0.001"),
        (changed(co2e_g=lambda old: old * 1000), "co2e_g is"),
        (changed(energy_scope="cpu+gpu"), "energy_scope is 'cpu+gpu', the parts in the row give 'cpu"),
        (changed(energy_method="sampled"), "energy_method is 'sampled', the parts in the row give"),
        (changed(energy_cpu_method="guessed"), "energy_cpu_j has no origin (method 'guessed'"),
        (changed(energy_cpu_source=None), "energy_cpu_j has no origin"),
        (changed(energy_system_method="counter", energy_system_source="wall"), "energy_j is"),
        (changed(flags=["harness-busy", "audio-skipped"], flag_notes=["", ""]), "flag audio-skipped is raised without"),
        (changed(n_skipped=3), "flag audio-skipped is missing"),
        (changed(flags=["fine"], flag_notes=[""]), "flag fine, which this version does not know, is raised"),
        (changed(flags="short-window"), "flags: a valid list is expected, not 'short-window'"),
        (changed(flag_notes=["a", "b", "c", "d"]), "notes on the flags are expected, not 4"),
        (changed(synthetic=True), "random weights have no wer"),
        (changed(normalizer=normalizers.create("librispeech")[0]), "n_ref_chars is"),
        (changed(data_hash="0" * 16), "data_hash is 0000000000000000, the texts' is"),
        (changed(protocol="official"), "protocol is 'official', in run.json 'quick("),
        (changed(suite_hash="f00d"), "suite_hash is 'f00d'"),
        (changed(suite="other"), "suite is 'other', in run.json 'tiny'"),
        (changed(threads=64), "threads is 64"),
        (changed(n_windows=1), "n_windows is 1, in run.json 4"),
        (changed(carbon_g_per_kwh=5), "carbon_g_per_kwh is 5, in run.json 56"),
        (changed(price_currency="EUR"), "price_currency is 'EUR', in run.json 'USD'"),
        (changed(cost_per_audio_hour=lambda old: old / 2), "cost_per_audio_hour is"),
        (changed(run_id="other"), "run_id is 'other'"),
        (changed(variant="other"), "variant 'other' is not in the suite"),
        (changed(dataset="other"), "dataset 'other' is not in the suite"),
        (changed(scenario="server"), "scenario 'server' is not in the suite"),
        (changed(batch_size=16), "batch_size 16 is not in the suite"),
        (changed(batching="single"), "batching is 'single', in run.json 'sorted'"),
        (changed(arrivals="any"), "arrivals is 'any', in run.json None"),
        (changed(timed_region="forward"), "timed_region is 'forward'"),
        (changed(task="detect"), "task is 'detect', the data set in run.json is for 'transcribe'"),
        (changed(task="guess"), "task is 'guess', the data set in run.json is for 'transcribe'"),
        (changed(repeat=7), "round 0, repeat 7: the protocol has 2 x 2"),
        (changed(round=7), "round 7, repeat 0: the protocol has 2 x 2"),
        (changed(batch_size="4"), "batch_size: a valid integer is expected, not '4'"),
        (changed(status="done"), "status: 'ok', 'error' or 'skipped' is expected, not 'done'"),
        (changed(status="error", reason="killed"), "status is error, and there are figures or flags: wer,"),
        (changed(status="ok", reason="well"), "there is a reason: well"),
        (changed(wall_s=None), "status is ok, and wall_s is null"),
        (changed(rtfx=float("nan")), "rtfx: a finite number is expected, not nan"),
        (changed(load_s=float("inf")), "load_s: a finite number is expected, not inf"),
        (changed(load_s="3.4"), "load_s: a valid number is expected, not '3.4'"),
        (changed(peak_rss_bytes=-1), "peak_rss_bytes: greater than or equal to 0 is expected, not -1"),
        (changed(n_ref_words=24.5), "n_ref_words: a count, which is whole, is expected, not 24.5"),
        (changed(latency_p50_s=2.0, latency_p90_s=1.0), "latency_p50_s is 2, above latency_p90_s, 1"),
        (changed(device_name=["a"]), "device_name: a valid string is expected, not ['a']"),
        (changed(warmup_s="long"), "warmup_s: a valid number is expected, not 'long'"),
        (changed(mfu_pct=50.0), "mfu_pct is 50.0, its formula gives None"),
        (changed(macs_per_audio_s=1e9, compute_dtype="fp32"), "mfu_pct is None, its formula gives"),
        (lambda row: row.pop("rtfx") and None, "lacks the columns rtfx"),
    ],
)  # fmt: skip
def test_a_changed_row_is_found(edit: Edit, told: str, copy: Path) -> None:
    """A field that was edited is an error in its line, which says what does not hold and what to do."""
    tamper(copy, store.RECORDS, edit, number=1)
    errors = [problem for problem in found(copy) if problem.severity == "error"]
    here = [problem for problem in errors if f"{store.RECORDS}:1" in problem.where and told in problem.what]
    assert here, [problem.what for problem in errors]
    assert all(problem.fix.endswith(".") for problem in errors)


@pytest.mark.parametrize(
    ("file", "edit", "severity", "told"),
    [
        (store.HYPOTHESES, changed(hypothesis="TONE NUMBER 0"), "error", "counted again"),
        (store.HYPOTHESES, changed(reference="TONE"), "error", "data_hash is"),
        (store.HYPOTHESES, changed(audio_s=9.0), "error", "audio_s is"),
        (store.HYPOTHESES, changed(audio_s="9"), "error", "audio_s: a valid number is expected, not '9'"),
        (store.HYPOTHESES, changed(utterance_id="other"), "error", "data_hash is"),
        (store.HYPOTHESES, changed(audio_digest="0" * 16), "error", "data_hash is"),
        (store.HYPOTHESES, lambda row: row.pop("audio_digest") and None, "error", "data_hash is"),
        (store.HYPOTHESES, changed(variant="other"), "error", "texts of a row that does not exist"),
        (store.HYPOTHESES, lambda row: json.dumps(row)[:-9], "error", "n_utterances is 8, hypotheses.jsonl has 7"),
        (store.HYPOTHESES, lambda row: json.dumps(row)[:-9], "warning", "torn line"),
        (store.RECORDS, lambda row: json.dumps(row)[:-9], "warning", "torn line"),
        (store.RECORDS, lambda row: json.dumps(row)[:-9], "error", "has no repeat 0"),
        (store.RECORDS, lambda _row: "[1, 2]", "error", "a JSON object is expected, not a list"),
        (store.RECORDS, changed(normalizer="whisper-english@0"), "error", "is not installed, so nothing was counted"),
        (store.RECORDS, lambda row: row.pop("licence") and None, "warning", "lacks licence"),
        (store.RECORDS, lambda row: row.update(mood="good"), "warning", "has also mood"),
        (store.SCORES, changed(wer=0.1), "error", "wer is 0.1"),
        (store.SCORES, changed(n_word_deletions=1, wer=1 / 24), "error", "n_word_deletions is 1"),
        (store.SCORES, changed(repeat=9), "warning", "a score of a row that does not exist"),
        (store.SCORES, changed(cer="0.1"), "error", "cer: a valid number is expected, not '0.1'"),
        (store.WINDOWS, changed(segments=[[0.0, 100.0]]), "error", "windows.jsonl has 100 s between the edges"),
    ],
)  # fmt: skip
def test_a_changed_file_is_found(file: str, edit: Edit, severity: str, told: str, copy: Path) -> None:
    """What is torn, missing or edited in any file of a run is found, as an error where a figure hangs on it."""
    rows = [json.loads(line) for line in (copy / file).read_text().splitlines()]
    number = next(n for n, row in enumerate(rows, start=1) if row.get("kind", "window") == "window")
    tamper(copy, file, edit, number)
    seen = found(copy)
    assert any(problem.severity == severity and told in problem.what for problem in seen), seen


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda run: run.update(suite_hash="f00d"), "suite_hash is f00d, the suite's digest is"),
        (lambda run: run["suite"].update(threads=64), "the suite's digest is"),
        (lambda run: run["protocol"].update(window_s=9.0), "protocol.window_s is 9.0, the suite says 0.15"),
        (lambda run: run["protocol"].update(name="official"), "protocol.name is 'official', the suite says 'quick'"),
        (lambda run: run.pop("machine"), "machine: missing"),
        (lambda run: run.update(run_id=7), "run_id: a valid string is expected, not 7"),
        (lambda run: run.update(schema=99), "schema is 99, this version of greenbench reads 1"),
        (lambda run: run.update(schema=99, machine=[]), "schema is 99, this version of greenbench reads 1"),
        (lambda run: run["suite"].update(normalizer="gone"), "the suite does not load: normalizer: unknown"),
        (lambda run: run["suite"].pop("server"), "suite.server: missing"),
        (lambda run: run["suite"]["protocol"].pop("use"), "suite.protocol.use: missing"),
        (lambda run: run["suite"].update(protocol=None), "the suite does not load: protocol: a mapping is expected"),
        (lambda run: run.update(meters=None), "meters: a valid dictionary is expected, not None"),
    ],
)
def test_a_changed_run_json_is_found(edit: Edit, told: str, copy: Path) -> None:
    """What `run.json` says of itself is checked before any row is judged by it."""
    run_json = json.loads((copy / store.RUN).read_text())
    edit(run_json)
    (copy / store.RUN).write_text(json.dumps(run_json))
    errors = [problem for problem in found(copy) if problem.where.endswith(store.RUN)]
    assert any(told in problem.what and problem.severity == "error" for problem in errors), errors


@pytest.mark.parametrize("error", [OSError("no such folder"), InputError("no such family")], ids=str)
def test_a_variant_that_cannot_be_built_here_is_no_fault_of_the_run(
    sound_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Its plug-in may be missing on this machine, or look for a folder of another: the run is judged without it."""

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr("greenbench.validate.together.build_variant", refuse)
    folder = sound_run("r1", {"variant": "a", "rounds": [{"wall_s": 1.0 + n / 100} for n in range(3)]})
    assert [problem.what for problem in found(folder) if problem.severity == "error"] == []


def test_a_broken_run_json_is_an_error_not_a_crash(copy: Path) -> None:
    """A run whose `run.json` cannot be read is one problem."""
    for text in ("{", "[]"):
        (copy / store.RUN).write_text(text)
        (problem,) = found(copy)
        assert (problem.severity, problem.where) == ("error", str(copy / store.RUN))


def test_what_a_training_took_is_a_number(copy: Path) -> None:
    """Rows of a distilled student are clean, and a training's joules as text are not."""
    took = {"training_s": 420.5, "training_energy_j": 3364.0, "training_energy_method": "estimated"}
    n_rows = len((copy / store.RECORDS).read_text(encoding="utf-8").splitlines())
    for number in range(1, n_rows + 1):
        tamper(copy, store.RECORDS, lambda row: row.update(took), number)
    assert found(copy) == []
    tamper(copy, store.RECORDS, lambda row: row.update(training_energy_j="3.4 kJ"))
    assert "training_energy_j: a valid number is expected, not '3.4 kJ'" in [problem.what for problem in found(copy)]


def drew(watts: float, idle_w: float = 20.0, **provenance: Any) -> Edit:
    """Let a row's package have drawn so much, and everything that derives from it agree."""

    def edit(row: dict[str, Any]) -> None:
        joules = watts * row["wall_s"]
        row.update(provenance, energy_cpu_j=joules, energy_j=joules, idle_power_w=idle_w)
        row.update(energy_cpu_method="counter", energy_cpu_source="rapl", energy_cpu_note=None, energy_method="counter")
        kept = [pair for pair in zip(row["flags"], row["flag_notes"], strict=True) if pair[0] != "energy-estimated"]
        row["flags"], row["flag_notes"] = [flag for flag, _ in kept], [note for _, note in kept]
        row["energy_net_j"] = joules - idle_w * row["wall_s"]
        row["energy_j_per_audio_s"], row["co2e_g"] = joules / row["audio_s"], joules / 3.6e6 * 56

    return edit


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (drew(900.0), None),
        (drew(1.3e9), "energy_cpu_j is impossible by wall_s: "),
        (drew(5_337.0), "more than a CPU package (1,000 W) can draw"),
        (drew(1e-4, idle_w=0.0), "are less than a CPU package draws (0.01 W)"),
        (drew(40.0, idle_w=131_035.0), "idle_power_w is 131,035, which cpu cannot draw: 0.01 to 1,000 W"),
    ],
)
def test_watts_that_nothing_draws_are_an_error(edit: Edit, told: str | None, copy: Path) -> None:
    """A row that agrees with itself and implies watts beyond its domain's bound is found, and one below it is not."""
    run = store.read_run(copy)
    run["machine"]["n_cpu_packages"], run["meters"]["rapl"] = 1, None
    (copy / store.RUN).write_text(json.dumps(run))
    tamper(copy, store.RECORDS, edit)
    problems_found = found(copy)
    assert bool(problems_found) is (told is not None)
    assert told is None or any(p.severity == "error" and told in p.what for p in problems_found)


def test_two_packages_draw_what_one_cannot(copy: Path) -> None:
    """The bound is that of all packages that the machine says it has."""
    run = store.read_run(copy)
    run["machine"]["n_cpu_packages"], run["meters"]["rapl"] = 2, None
    (copy / store.RUN).write_text(json.dumps(run))
    tamper(copy, store.RECORDS, drew(1_500.0))
    assert found(copy) == []


@pytest.mark.parametrize(
    ("watts", "told"),
    [(-41.0, "is the clamp reversed?"), (42e6, "is the unit right?"), (1073.2, "more than a module (500 W) can draw")],
)
def test_sampled_joules_stand_on_possible_samples(watts: float, told: str, copy: Path) -> None:
    """One sample in a window that no rail can have is an error of the row whose joules it is part of."""
    edges = next(row for row in store.read_rows(copy / store.WINDOWS) if row["kind"] == "window")
    start_s, end_s = edges["segments"][0]
    header = {"header": {"t_s": edges["t_s"], "utc_s": edges["utc_s"], "period_s": 0.1}}
    times = [start_s - 1, (start_s + end_s) / 2, end_s + 1]
    samples = [{"t_s": t, "t_end_s": t, "hwmon.VDD_IN.power_w": w} for t, w in zip(times, (5, watts, 5), strict=True)]
    (copy / store.POWER).write_text("".join(json.dumps(line) + "\n" for line in (header, *samples)))
    assert found(copy) == []

    def edit(row: dict[str, Any]) -> None:
        joules = 5.0 * row["wall_s"]
        row.update(energy_system_j=joules, energy_system_method="sampled", energy_system_source="hwmon")
        row.update(energy_scope="system", energy_method="sampled", energy_j=joules, flags=[], flag_notes=[])
        row["energy_net_j"] = joules - row["idle_power_w"] * row["wall_s"]
        row["energy_j_per_audio_s"], row["co2e_g"] = joules / row["audio_s"], joules / 3.6e6 * 56

    tamper(copy, store.RECORDS, edit)
    (problem,) = [problem for problem in found(copy) if "is integrated from an impossible sample" in problem.what]
    assert told in problem.what
    assert "hwmon.VDD_IN.power_w" in problem.what


def test_more_than_the_machine_can_is_a_bad_peak(copy: Path, fake_peaks: dict[str, Any]) -> None:
    """A model that did 120 % of the peak was measured well, and the peak was not: a warning, and no other problem."""
    row = next(store.read_rows(copy / store.RECORDS))
    work = 1.2 * fake_peaks["macs_per_s"]["bf16"] / row["rtfx"]
    tamper(copy, store.RECORDS, changed(macs_per_audio_s=work, compute_dtype="bf16", mfu_pct=120.0))
    (problem,) = found(copy)
    assert problem.severity == "warning"
    assert "mfu_pct is 120: the peak in run.json is below what this model reached" in problem.what
    note = f"120 % of the peak that was measured, {2e-12 * fake_peaks['macs_per_s']['bf16']:.3g} TFLOP/s: it is too low"
    tamper(copy, store.RECORDS, changed(mfu_pct=None, mfu_note=note))
    (problem,) = found(copy)
    assert (problem.severity, problem.what) == ("warning", f"mfu_pct is null: {note}")
    tamper(copy, store.RECORDS, changed(mfu_note="a guess"))
    assert any("mfu_note is 'a guess'" in problem.what for problem in found(copy))
    tamper(copy, store.RECORDS, changed(compute_dtype=None, mfu_pct=None, mfu_note=None))
    assert found(copy) == []


def test_rows_of_a_run_without_peaks_are_clean(copy: Path) -> None:
    """What was measured before peaks were says nothing of them: only that columns are missing is told."""
    lines = [json.loads(line) for line in (copy / store.RECORDS).read_text().splitlines()]
    old = [{name: value for name, value in row.items() if name not in ("mfu_pct", "compute_dtype")} for row in lines]
    (copy / store.RECORDS).write_text("".join(json.dumps(row) + "\n" for row in old))
    run = store.read_run(copy)
    run.pop("peaks")
    (copy / store.RUN).write_text(json.dumps(run))
    (problem,) = found(copy)
    assert problem.severity == "warning"
    assert "lacks compute_dtype, mfu_pct" in problem.what


def test_rows_left_out_are_missed(copy: Path) -> None:
    """A repeat that is gone is an error, since a median without it is another, and so is a cell that is gone."""
    path = copy / store.RECORDS
    lines = path.read_text().splitlines(keepends=True)
    rows = [json.loads(line) for line in lines]
    path.write_text("".join(line for line, row in zip(lines, rows, strict=True) if row["repeat"] or row["round"]))
    told = [problem.what for problem in found(copy) if problem.severity == "error"]
    told = [what for what in told if "has no repeat" in what]
    assert len(told) == 2
    assert all("round 0 of the cell null/rtfx-100" in what and "has no repeat 0" in what for what in told)
    path.write_text("".join(line for line, row in zip(lines, rows, strict=True) if row["scenario"] == "offline"))
    seen = [problem for problem in found(copy) if "no row of the cell" in problem.what]
    assert [problem.severity for problem in seen] == ["error"]
    assert "single-stream" in seen[0].what


def test_what_only_left_out_is_not_missed(fresh: Path, copy: Path) -> None:
    """A run of chosen cells is complete without the others."""
    run_json = json.loads((copy / store.RUN).read_text())
    assert run_json["only"] is None
    (copy / store.RUN).write_text(json.dumps({**run_json, "only": "*offline*"}))
    for file in (store.RECORDS, store.HYPOTHESES, store.SCORES):
        rows = [row for row in store.read_rows(copy / file) if row["scenario"] == "offline"]
        (copy / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert found(copy) == []


def test_a_failed_cell_is_accounted_for(copy: Path) -> None:
    """A row that says why there is no measurement stands for its repeats."""
    rows = list(store.read_rows(copy / store.RECORDS))
    columns = {name: rows[0][name] for name in rows[0] if name in KEYS or name in ("suite", "suite_hash", "protocol")}
    kept = {name: rows[0][name] for name in ("threads", "n_windows", "schema")} | {
        name: value for name, value in rows[0].items() if name.startswith(("carbon_", "price_"))
    }
    failed = {**dict.fromkeys(rows[0]), **columns, **kept, "repeat": None, "status": "error", "reason": "killed",
              "flags": [], "flag_notes": []}  # fmt: skip
    (copy / store.RECORDS).write_text("".join(json.dumps(row) + "\n" for row in [failed, *rows[2:]]))
    assert {problem.what for problem in found(copy)} == {
        "texts of a row that does not exist", "a score of a row that does not exist",
    }  # fmt: skip


def test_a_copied_row_is_an_error_and_a_measured_again_one_is_told(copy: Path) -> None:
    """The same line twice is a mistake; the same key with other figures is what a resumed run leaves."""
    path = copy / store.RECORDS
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, lines[0]]))
    (problem,) = found(copy)
    assert (problem.severity, problem.what) == ("error", "a copy of line 1")
    path.write_text("".join([*lines, json.dumps({**json.loads(lines[0]), "load_s": 1.25}) + "\n"]))
    (problem,) = found(copy)
    assert problem.severity == "error"
    assert "has the key of line 1, other figures, and no window of its own" in problem.what
    window = next(row for row in store.read_rows(copy / store.WINDOWS) if row["kind"] == "window")
    later = [[end + 1000 for end in segment] for segment in window["segments"]]
    (copy / store.RECORDS).write_text("".join([*lines, _again(lines[0], later, window)]))
    idle = window | {"kind": "idle", "repeat": None, "segments": [[later[0][0] - 0.5, later[0][0] - 0.2]]}
    store.append(copy, [idle, window | {"segments": later}], store.WINDOWS)
    (problem,) = found(copy)
    assert (problem.severity, problem.what) == ("warning", "has the key of line 1, and other figures")


def _again(line: str, segments: list[list[float]], window: dict[str, Any]) -> str:
    """Return a row as a resumed run measures it again, later."""
    from datetime import datetime, timezone

    utc_s = segments[-1][1] + window["utc_s"] - window["t_s"]
    later = datetime.fromtimestamp(utc_s, timezone.utc).isoformat(timespec="seconds")
    again = {**json.loads(line), "load_s": 1.25, "timestamp_utc": later, **dict.fromkeys(control.COLUMNS)}
    return json.dumps(again) + "\n"


def test_rows_with_a_wall_meters_energy_are_clean(copy: Path, tmp_path: Path) -> None:
    """Rows that were written anew with the energy of an attached log agree with themselves and replace the others."""
    spans = [span for row in store.read_rows(copy / store.WINDOWS) for span in frames.segments_utc(row)]
    times = [spans[0][0] - 1 + n / 50 for n in range(int(50 * (spans[-1][1] - spans[0][0] + 2)))]
    log = tmp_path / "wall.csv"
    log.write_text("timestamp,watts\n" + "".join(f"{t},{20 + n % 3}\n" for n, t in enumerate(times)))
    attach.attach(copy, power_log.read(power_log.Source(log)))
    assert found(copy) == []
    rows = store.current(store.read_rows(copy / store.RECORDS))
    assert {row["energy_scope"] for row in rows} == {"system"}
    tamper(copy, store.RECORDS, changed(energy_system_j=1.0), number=9)
    assert any("energy_j is" in problem.what for problem in found(copy))


def test_wer_that_hangs_on_the_batch_is_told(copy: Path) -> None:
    """A WER at batch size 1 that is not the one of larger batches is a warning with both figures."""
    texts = [
        {**row, "hypothesis": row["reference"] if row["scenario"] == "offline" else row["hypothesis"]}
        for row in store.read_rows(copy / store.HYPOTHESES)
    ]
    (copy / store.HYPOTHESES).write_text("".join(json.dumps(row) + "\n" for row in texts))
    (copy / store.SCORES).unlink()
    rescore(copy, ["whisper-english"])
    scored = {tuple(row[name] for name in KEYS): row for row in store.read_rows(copy / store.SCORES)}
    rows = [{**row, **scored[tuple(row[name] for name in KEYS)]} for row in store.read_rows(copy / store.RECORDS)]
    (copy / store.RECORDS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (problem,) = found(copy)
    assert problem.severity == "warning"
    assert problem.what == "WER is 100.00 % at batch size 1 and 0.00 % at 4"


def test_every_run_below_a_folder_is_checked(fresh: Path, tmp_path: Path) -> None:
    """A parent folder is validated run by run; a folder without one is bad input."""
    for name in ("a", "b"):
        shutil.copytree(fresh, tmp_path / "all" / name)
        tamper(tmp_path / "all" / name, store.RECORDS, changed(rtfx=1.0))
    assert {Path(problem.where.partition(":")[0]).parent.name for problem in found(tmp_path / "all")} == {"a", "b"}
    with pytest.raises(InputError, match="no runs here"):
        found(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "edit",
    [
        lambda run: run["suite"]["datasets"][0].pop("name"),
        lambda run: run["machine"].update(gpus=[7], memory_bytes="much", n_cpus_logical=None),
        lambda run: run["meters"].update(codecarbon=["?"]),
        lambda run: run.update(peaks=[[]], versions={"numpy": {}}),
        lambda run: run["suite"].update(meters={"codecarbon": {"tdp_w": "many"}}),
    ],
)
def test_damage_of_any_kind_is_no_traceback(edit: Edit, copy: Path) -> None:
    """Whatever stands in `run.json`, the answer is a list of problems."""
    run_json = json.loads((copy / store.RUN).read_text())
    edit(run_json)
    (copy / store.RUN).write_text(json.dumps(run_json))
    assert all(isinstance(problem, Problem) for problem in found(copy))


def test_half_a_character_is_text(copy: Path) -> None:
    """A lone surrogate, which no UTF-8 can hold, is judged like any other text."""
    tamper(copy, store.HYPOTHESES, lambda row: row.update(hypothesis="TONE \ud800"))
    assert any(problem.severity == "error" for problem in found(copy))


def test_every_unit_has_a_bound() -> None:
    """A metric of a new unit is bounded as the others are: without its bound no run could be judged."""
    assert {metric.unit for metric in METRICS.values()} <= MOST.keys()
