"""Peaks: measured once for a machine and thread count, in a process of their own, and kept only where undisturbed."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from greenbench import cache
from greenbench.errors import MissingError
from greenbench.hardware.roofline import Peaks, ceiling, of_run
from greenbench.harness import kept_peaks, peaks, products
from greenbench.harness.line import THREAD_VARIABLES
from greenbench.plugins.events import Preparing, unobserved
from greenbench.results import store

RUN = {"run_id": "r", "machine": {"cpu_model": "Test CPU"}, "versions": {"torch": "2.9"}}
Told = list[tuple[str, Any]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Told:
    """The devices and threads that were measured, with a cache of its own; what is found is ``answer``."""
    monkeypatch.setenv("GREENBENCH_CACHE", str(tmp_path / "cache"))
    seen: Told = []

    def answer(device: str, threads: int | None) -> dict[str, Any]:
        seen.append((device, threads))
        return {"macs_per_s": {"fp32": 1e9 * len(seen)}, "threads": threads, "foreign_pct": 1.0}

    monkeypatch.setattr(kept_peaks, "measure", answer)
    return seen


def look(folder: Path, *devices: str, threads: int = 2, **run: Any) -> dict[str, Peaks]:
    """Ask for the peaks of a run that begins."""
    store.write_run(folder, RUN | run)
    return of_run(kept_peaks.measured(store.open_run(folder), devices, threads, unobserved).description)


def test_they_are_measured_once_and_told_in_the_run(asked: Told, tmp_path: Path) -> None:
    """A second run on the machine measures nothing, and both have the same in run.json, beside what was there."""
    first, second = look(tmp_path / "a", "cpu", "cpu"), look(tmp_path / "b", "cpu")
    assert asked == [("cpu", 2)]
    assert first == second == {"cpu": Peaks({"fp32": 1e9}, None, 2, 1.0)}
    for name in "ab":
        run = store.read_run(tmp_path / name)
        assert of_run(run) == first
        assert run["machine"] == RUN["machine"]


def test_another_machine_library_device_or_thread_count_is_measured_apart(asked: Told, tmp_path: Path) -> None:
    """Whatever decides on the speed of a product is part of the key."""
    look(tmp_path / "a", "cpu")
    look(tmp_path / "b", "cpu", threads=1)
    look(tmp_path / "c", "cpu", versions={"torch": "2.10"})
    look(tmp_path / "d", "cpu", machine={"cpu_model": "Test CPU", "turbo": False})
    look(tmp_path / "e", "cuda")
    assert asked == [("cpu", 2), ("cpu", 1), ("cpu", 2), ("cpu", 2), ("cuda", 2)]
    look(tmp_path / "f", "cpu", "cuda")
    assert len(asked) == 5


@pytest.mark.parametrize(
    "content", ['{"macs_per_s": {"fp32": 1e20}}', '{"macs_per_s": {"fp32": "fast"}}', "{}", "", None]
)
def test_kept_peaks_that_are_not_this_machines_are_measured_again(
    asked: Told, tmp_path: Path, content: str | None
) -> None:
    """A file that was changed, damaged, or copied with its folder from another machine's cache is not believed."""
    look(tmp_path / "a", "cpu")
    (mine,) = cache.folder().glob("*/peaks.json")
    if content is None:
        look(tmp_path / "b", "cpu", machine={"cpu_model": "Fast CPU"})
        (other,) = (file for file in cache.folder().glob("*/peaks.json") if file != mine)
        shutil.rmtree(mine.parent)
        other.parent.rename(mine.parent)
    else:
        mine.write_text(content)
    n_before = len(asked)
    with pytest.warns(UserWarning, match="the cached artefact cannot be used"):
        found = look(tmp_path / "c", "cpu")["cpu"]
    assert len(asked) == n_before + 1
    assert found.macs_per_s == {"fp32": 1e9 * len(asked)}


def test_a_measurement_without_any_rate_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, asked: Told, tmp_path: Path
) -> None:
    """Nothing that was measured is no peak, and the next run tries again."""
    quiet = kept_peaks.measure
    monkeypatch.setattr(kept_peaks, "measure", lambda _device, _threads: {"macs_per_s": {}})
    assert look(tmp_path / "a", "cpu")["cpu"].macs_per_s == {}
    monkeypatch.setattr(kept_peaks, "measure", quiet)
    assert look(tmp_path / "b", "cpu")["cpu"].macs_per_s == {"fp32": 1e9}


def test_a_resumed_run_keeps_its_own(asked: Told, tmp_path: Path) -> None:
    """Rows of one run are held against one peak, whatever became of the cache meanwhile."""
    first = look(tmp_path / "a", "cpu")
    cache.clear()
    again = kept_peaks.measured(store.open_run(tmp_path / "a"), ["cpu"], 2, unobserved)
    assert of_run(again.description) == first
    assert len(asked) == 1


def test_those_of_a_busy_machine_serve_once(monkeypatch: pytest.MonkeyPatch, asked: Told, tmp_path: Path) -> None:
    """Peaks that others spoilt are told with their share of the CPUs, hold for no row, and are measured anew."""
    busy = {"macs_per_s": {"fp32": 1e9}, "foreign_pct": 80.0}
    quiet = kept_peaks.measure
    monkeypatch.setattr(kept_peaks, "measure", lambda _device, _threads: busy)
    spoilt = look(tmp_path / "a", "cpu")["cpu"]
    assert spoilt.foreign_pct == 80.0
    assert ceiling(spoilt, "fp32") is None
    monkeypatch.setattr(kept_peaks, "measure", quiet)
    assert look(tmp_path / "b", "cpu")["cpu"].foreign_pct == 1.0
    assert look(tmp_path / "c", "cpu")["cpu"].foreign_pct == 1.0
    assert len(asked) == 1


def test_a_device_that_cannot_be_measured_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, asked: Told, tmp_path: Path
) -> None:
    """The run goes on without a share, run.json says why, and nothing is kept."""

    def fail(_device: str, _threads: int | None) -> dict[str, Any]:
        raise MissingError("the peaks of cuda could not be measured: there is no cuda:3")

    monkeypatch.setattr(kept_peaks, "measure", fail)
    assert look(tmp_path / "a", "cuda:3")["cuda:3"].reason == (
        "the peaks of cuda could not be measured: there is no cuda:3"
    )
    assert not cache.artefacts()
    assert asked == []


def test_the_process_says_why_it_could_not() -> None:
    """A device that torch does not see ends with one line, which is the reason in the run."""
    command = [sys.executable, "-m", "greenbench.harness.peaks", "cuda:77", "torch"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "CUDA device" in done.stderr.strip().splitlines()[-1]
    assert done.stdout == ""


def test_the_process_has_the_suites_threads_and_they_do_not_spin() -> None:
    """Every library gets the thread count, and waits asleep, so that neighbours spoil the peaks less."""
    variables = kept_peaks._variables(3)
    assert {variables[name] for name in THREAD_VARIABLES} == {"3"}
    assert variables["OMP_WAIT_POLICY"] == "PASSIVE"


# --- the measuring itself ----------------------------------------------------------------------------------


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small matrices and arrays, in one thread, each tried for a moment."""
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(peaks, "SMALLEST", 32)
    monkeypatch.setattr(peaks, "LARGEST", 64)
    monkeypatch.setattr(peaks, "TRY_S", 0.002)
    monkeypatch.setattr(peaks, "array_bytes", lambda _device: 2**20)
    yield
    torch.set_num_threads(n_threads)


@pytest.mark.usefixtures("brief")
@pytest.mark.measures
def test_this_machine_multiplies_and_moves_memory() -> None:
    """A real measurement gives a rate in float32, none in TF32, which is a GPU's, and a bandwidth."""
    found = peaks.measure("cpu")
    assert 1e6 < found.macs_per_s["fp32"] < 1e14
    assert "tf32" not in found.macs_per_s
    assert 1e6 < (found.bytes_per_s or 0) < 1e13
    assert found.threads == 1
    assert found.reason is None
    assert set(found.engines) == set(found.macs_per_s)
    assert set(found.engines.values()) == {"torch"}


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("engine", [name for name in products.engines("cpu") if name not in ("torch", "openvino")])
def test_other_engines_multiply_too(engine: str) -> None:
    """Each gives a rate in float32 and no bandwidth, and says which engine it was."""
    found = peaks.measure("cpu", engine)
    assert 1e6 < found.macs_per_s["fp32"] < 1e14
    assert found.bytes_per_s is None
    assert found.engines["fp32"] == engine


# --- the best of the engines -------------------------------------------------------------------------------


def answering(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any], **more: Any) -> list[str]:
    """Let these engines be installed and give these rates of float32, or fail with a text; return who was asked."""
    asked: list[str] = []

    def by(engine: str, _device: str, threads: int | None, _timeout_s: float) -> dict[str, Any]:
        asked.append(engine)
        if isinstance(answers[engine], str):
            raise MissingError(answers[engine])
        return {
            "macs_per_s": {"fp32": answers[engine]},
            "engines": {"fp32": engine},
            "threads": threads,
            "foreign_pct": 1.0,
            "bytes_per_s": 1e10 if engine == "torch" else None,
        } | more

    monkeypatch.setattr(products, "engines", lambda _device: tuple(answers))
    monkeypatch.setattr(kept_peaks, "by_engine", by)
    return asked


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The measuring itself, which conftest replaces, and a cache of its own."""
    monkeypatch.setenv("GREENBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_peaks, "measure", MEASURE)


MEASURE = kept_peaks.measure


@pytest.mark.usefixtures("real")
def test_the_fastest_engine_is_the_peak(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where another reaches twice what torch does, it is the peak, by its name; one that fails is named, too."""
    asked = answering(monkeypatch, {"torch": 1e11, "numpy": 9e10, "openvino": 2e11, "onnxruntime": "no kernel"})
    found = look(tmp_path / "a", "cpu")["cpu"]
    assert asked == ["torch", "numpy", "openvino", "onnxruntime"]
    assert (dict(found.macs_per_s), dict(found.engines)) == ({"fp32": 2e11}, {"fp32": "openvino"})
    assert found.failed == {"onnxruntime": "no kernel"}
    assert (found.bytes_per_s, found.threads, found.n_measured) == (1e10, 2, 1)
    assert of_run(store.read_run(tmp_path / "a"))["cpu"] == found


@pytest.mark.usefixtures("real")
def test_without_torch_there_is_no_peak(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Torch's failure is the reason, as it was."""
    answering(monkeypatch, {"torch": "broken", "numpy": 9e10})
    assert look(tmp_path / "a", "cpu")["cpu"] == Peaks(threads=2, reason="broken")


@pytest.mark.usefixtures("real")
def test_all_engines_together_have_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch used is not left for the others, and none waits without end."""
    left: list[float] = []

    def by(_engine: str, _device: str, _threads: int | None, timeout_s: float) -> dict[str, Any]:
        left.append(timeout_s)
        now[0] += 50.0
        return {"macs_per_s": {"fp32": 1.0}}

    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(products, "engines", lambda _device: ("torch", "numpy", "openvino"))
    monkeypatch.setattr(kept_peaks, "by_engine", by)
    kept_peaks.measure("cpu", 2)
    assert left == pytest.approx([kept_peaks.TIMEOUT_S, kept_peaks.TIMEOUT_S - 50, kept_peaks.TIMEOUT_S - 100])


def row(rtfx: float, **changes: Any) -> dict[str, Any]:
    """A measured row of a model of 1 GMAC a second of audio in float32."""
    from greenbench.hardware.roofline import share

    share_pct, note = share(1e9, rtfx, Peaks({"fp32": 1e11}), "fp32")
    key = {"run_id": "r", "variant": "v", "dataset": "d", "device": "cpu", "scenario": "offline", "batch_size": 8}
    measured = {"round": 0, "repeat": 0, "status": "ok", "macs_per_audio_s": 1e9, "compute_dtype": "fp32"}
    return key | measured | {"rtfx": rtfx, "mfu_pct": share_pct, "mfu_note": note} | changes


@pytest.mark.usefixtures("real")
def test_a_row_above_the_peak_has_it_measured_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """170 % of torch's peak: another is found at twice the rate, and all rows of the device are held against that."""
    answering(monkeypatch, {"torch": 1e11})
    look(tmp_path / "a", "cpu", "cuda")
    rows = [row(170.0), row(50.0), row(50.0, device="cuda"), row(50.0, status="error", mfu_pct=None)]
    store.append(tmp_path / "a", rows)
    assert (rows[0]["mfu_pct"], rows[0]["mfu_note"]) == (
        None,
        "170 % of the peak that was measured, 0.2 TFLOP/s: it is too low",
    )
    seen: list[Any] = []
    asked = answering(monkeypatch, {"torch": 9e10, "openvino": 2e11})
    kept_peaks.review(store.open_run(tmp_path / "a"), 2, seen.append)
    assert asked == ["torch", "openvino"]
    assert seen == [
        Preparing("measuring the peak rates of cpu again: a row exceeded them", at_most_s=kept_peaks.TIMEOUT_S)
    ]
    after = list(store.read_rows(tmp_path / "a" / store.RECORDS))
    assert [(r["mfu_pct"], r["mfu_note"]) for r in after] == [
        (pytest.approx(85.0), None), (pytest.approx(25.0), None), (50.0, None), (None, None)
    ]  # fmt: skip
    told = of_run(store.read_run(tmp_path / "a"))
    assert (told["cpu"].n_measured, told["cuda"].n_measured) == (2, 1)
    asked.clear()
    assert look(tmp_path / "b", "cpu")["cpu"].macs_per_s == {"fp32": 2e11}, "the better peak is kept"
    assert asked == []


@pytest.mark.usefixtures("real")
def test_what_stays_above_the_peak_is_null_with_its_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A second measurement that is no better, or fails, leaves the first, and the row without a share."""
    for name, again in (("a", 9e10), ("b", "broken")):
        answering(monkeypatch, {"torch": 1e11})
        look(tmp_path / name, "cpu")
        store.append(tmp_path / name, [row(170.0)])
        answering(monkeypatch, {"torch": again})
        kept_peaks.review(store.open_run(tmp_path / name), 2, unobserved)
        (after,) = store.read_rows(tmp_path / name / store.RECORDS)
        assert after["mfu_pct"] is None
        assert after["mfu_note"].startswith("170 % of the peak")
        assert of_run(store.read_run(tmp_path / name))["cpu"].macs_per_s == {"fp32": 1e11}


def test_a_run_without_such_a_row_is_not_looked_at_again(asked: Told, tmp_path: Path) -> None:
    """Nothing is measured, and no file is written."""
    look(tmp_path / "a", "cpu")
    store.append(tmp_path / "a", [row(50.0)])
    before = (tmp_path / "a" / store.RECORDS).stat().st_mtime_ns, (tmp_path / "a" / store.RUN).stat().st_mtime_ns
    kept_peaks.review(store.open_run(tmp_path / "a"), 2, unobserved)
    assert len(asked) == 1
    assert before == (
        (tmp_path / "a" / store.RECORDS).stat().st_mtime_ns,
        (tmp_path / "a" / store.RUN).stat().st_mtime_ns,
    )


# --- torch's and OpenVINO's ways ---------------------------------------------------------------------------


def test_torch_multiplies_floats_by_two_libraries() -> None:
    """``torch.mm`` and a layer of oneDNN are both tried on the CPU, and both run here."""
    ways_here = products.products("torch", "fp32", "cpu")
    assert len(ways_here) == 2
    assert [tuple(way(64)().shape) for way in ways_here] == [(64, 64)] * 2


def test_openvino_computes_in_what_it_is_asked_for() -> None:
    """By its own account and by its error against float64: 1e-5 in float32 and more than 1e-4 in bfloat16.

    On a CPU with bfloat16 OpenVINO would choose that by itself: then a float32 build were none.
    """
    pytest.importorskip("openvino")
    done = subprocess.run([sys.executable, "-c", OPENVINO], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["f32"]["runs_in"] == ["f32"]
    assert found["f32"]["error"] < 1e-5
    if "bf16" in found:
        assert found["bf16"]["runs_in"] == ["bf16"]
        assert found["bf16"]["error"] > 1e-4


OPENVINO = """
import json, tempfile
from pathlib import Path
import numpy as np, openvino
from openvino import opset13 as op
from greenbench.compress.openvino import FILE, OpenVino, _open
from greenbench.compress.openvino_core import core
from greenbench.harness.products import precisions

rng = np.random.default_rng(1)
x, w = (rng.standard_normal((256, 256)).astype(np.float32) for _ in range(2))
port = op.parameter([-1, 256], np.float32, name="x")
port.output(0).get_tensor().set_names({"x"})
exact, found = x.astype(np.float64) @ w, {}
with tempfile.TemporaryDirectory() as folder:
    model = openvino.Model([op.matmul(port, op.constant(w), False, False)], [port])
    openvino.save_model(model, Path(folder) / FILE, compress_to_fp16=False)
    for kind in ("f32", *(["bf16"] if "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else [])):
        run = _open(Path(folder), OpenVino(precision=kind))
        error = float(np.abs(run({"x": x}) - exact).max() / np.abs(exact).max())
        compiled = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": kind})
        found[kind] = {"error": error, "runs_in": sorted(precisions(compiled))}
print(json.dumps(found))
"""


def clocked(monkeypatch: pytest.MonkeyPatch, seconds: Callable[[int], float]) -> list[int]:
    """Let products of ``n`` rows take so long, on a clock that only they move; return the sizes that were tried."""
    now, sizes = [0.0], list[int]()

    def prepare(n: int) -> Callable[[], None]:
        sizes.append(n)

        def product() -> None:
            now[0] += seconds(n)

        return product

    monkeypatch.setattr(products, "products", lambda _engine, _precision, _device: [prepare])
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return sizes


def test_matrices_grow_until_a_product_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 1 ms of overhead at 100 GMAC/s the sizes double up to 1024, whose rate is that of the largest."""
    sizes = clocked(monkeypatch, lambda n: 1e-3 + n**3 / 1e11)
    assert peaks.macs_per_s("fp32", "cpu") == pytest.approx(1024**3 / (1e-3 + 1024**3 / 1e11))
    assert sizes == [256, 512, 1024]


def test_the_fastest_of_all_sizes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a larger product is slower, the smaller one's rate is the peak."""
    clocked(monkeypatch, lambda n: n**3 / (1e11 if n < 1000 else 5e10))
    assert peaks.macs_per_s("fp32", "cpu") == pytest.approx(1e11)


def test_a_kernel_that_is_not_there_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """One way to multiply that fails leaves the other's rate; where all fail there is none."""

    def fail(_n: int) -> Callable[[], None]:
        raise RuntimeError("no kernel")

    clocked(monkeypatch, lambda n: n**3 / 1e11)
    known = products.products("torch", "int8", "cpu")
    monkeypatch.setattr(products, "products", lambda _engine, _precision, _device: [fail, *known])
    assert peaks.macs_per_s("int8", "cpu") == pytest.approx(1e11)
    monkeypatch.setattr(products, "products", lambda _engine, _precision, _device: [fail])
    assert peaks.macs_per_s("int8", "cpu") is None


def test_arrays_are_beyond_every_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Four times the last caches of all CPUs together, at least 64 MiB, and never more than memory has room for."""
    for cpu, shared_by in ((0, "0-1"), (1, "0-1"), (2, "2-3")):
        for level, size in ((2, "1024K"), (3, "32768K")):
            cached = tmp_path / f"devices/system/cpu/cpu{cpu}/cache/index{level}"
            cached.mkdir(parents=True)
            for name, text in (("level", level), ("shared_cpu_list", shared_by), ("size", size)):
                (cached / name).write_text(f"{text}\n")
    monkeypatch.setattr(peaks.environment, "SYS", tmp_path)
    monkeypatch.setattr(peaks.environment, "memory_bytes", lambda: 2**36)
    assert peaks.array_bytes("cpu") == 4 * 2 * 32 * 2**20
    monkeypatch.setattr(peaks.environment, "memory_bytes", lambda: 2**30)
    assert peaks.array_bytes("cpu") == 2**26
    monkeypatch.setattr(peaks.environment, "SYS", tmp_path / "none")
    monkeypatch.setattr(peaks.environment, "memory_bytes", lambda: 2**36)
    assert peaks.array_bytes("cpu") == 2**28


# --- devices that are not here, through torch's own interface -----------------------------------------------


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A CUDA device as torch describes it; its capability is ``capability``."""
    import torch

    about = SimpleNamespace(total_memory=80 * 2**30, L2_cache_size=50 * 2**20, capability=(9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: about)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: about.capability)
    return about


def ways(precision: str, device: str) -> list[products.Prepare]:
    """Torch's ways to multiply."""
    return products.products("torch", precision, device)


def test_tf32_is_of_gpus_that_have_it(board: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """From capability 8.0 on float32 is measured with and without it, each with torch told so."""
    import torch

    told: list[str] = []
    monkeypatch.setattr(torch, "set_float32_matmul_precision", told.append)
    assert len(ways("tf32", "cuda:1")) == len(ways("fp32", "cuda:1")) == 1
    assert told == ["high", "highest"]
    board.capability = (7, 5)
    assert ways("tf32", "cuda:1") == ways("tf32", "mps") == ways("tf32", "cpu") == []


def test_arrays_on_a_gpu_are_beyond_its_own_cache(board: SimpleNamespace) -> None:
    """Four times its L2; a small board gives a sixteenth of its memory at most."""
    assert peaks.array_bytes("cuda") == 200 * 2**20
    board.total_memory = 2**30
    assert peaks.array_bytes("cuda") == 64 * 2**20


def test_a_gpu_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products are sent in eights, and the clock is read when the device has done them."""
    now, sent = [0.0], [0]

    def send() -> None:
        sent[0] += 1

    def wait(_device: str) -> None:
        now[0] += 0.02 * sent[0]
        sent[0] = 0

    monkeypatch.setattr(peaks, "synchronise", wait)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    assert peaks._best_s(send, "cuda") == pytest.approx(0.02)
