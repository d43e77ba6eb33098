"""Peaks: measured once for a machine and thread count, in a process of their own, and kept only where undisturbed."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from greenbench import cache, peaks, store
from greenbench.errors import MissingError
from greenbench.process import THREAD_VARIABLES
from greenbench.roofline import Peaks, ceiling, of_run

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

    monkeypatch.setattr(peaks, "_elsewhere", answer)
    return seen


def look(folder: Path, *devices: str, threads: int = 2, **run: Any) -> dict[str, Peaks]:
    """Ask for the peaks of a run that begins."""
    store.write_run(folder, RUN | run)
    return dict(peaks.measured(folder, devices, threads, lambda _kind, _content: None))


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


def test_a_resumed_run_keeps_its_own(asked: Told, tmp_path: Path) -> None:
    """Rows of one run are held against one peak, whatever became of the cache meanwhile."""
    first = look(tmp_path / "a", "cpu")
    cache.clear()
    again = peaks.measured(tmp_path / "a", ["cpu"], 2, lambda _kind, _content: None)
    assert again == first
    assert len(asked) == 1


def test_those_of_a_busy_machine_serve_once(monkeypatch: pytest.MonkeyPatch, asked: Told, tmp_path: Path) -> None:
    """Peaks that others spoilt are told with their share of the CPUs, hold for no row, and are measured anew."""
    busy = {"macs_per_s": {"fp32": 1e9}, "foreign_pct": 80.0}
    quiet = peaks._elsewhere
    monkeypatch.setattr(peaks, "_elsewhere", lambda _device, _threads: busy)
    spoilt = look(tmp_path / "a", "cpu")["cpu"]
    assert spoilt.foreign_pct == 80.0
    assert ceiling(spoilt, "fp32") is None
    monkeypatch.setattr(peaks, "_elsewhere", quiet)
    assert look(tmp_path / "b", "cpu")["cpu"].foreign_pct == 1.0
    assert look(tmp_path / "c", "cpu")["cpu"].foreign_pct == 1.0
    assert len(asked) == 1


def test_a_device_that_cannot_be_measured_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, asked: Told, tmp_path: Path
) -> None:
    """The run goes on without a share, run.json says why, and nothing is kept."""

    def fail(_device: str, _threads: int | None) -> dict[str, Any]:
        raise MissingError("the peaks of cuda could not be measured: there is no cuda:3")

    monkeypatch.setattr(peaks, "_elsewhere", fail)
    assert look(tmp_path / "a", "cuda:3")["cuda:3"].reason == (
        "the peaks of cuda could not be measured: there is no cuda:3"
    )
    assert not cache.artefacts()
    assert asked == []


def test_the_process_says_why_it_could_not() -> None:
    """A device that torch does not see ends with one line, which is the reason in the run."""
    command = [sys.executable, "-m", "greenbench.peaks", "cuda:77"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "CUDA device" in done.stderr.strip().splitlines()[-1]
    assert done.stdout == ""


def test_the_process_has_the_suites_threads_and_they_do_not_spin() -> None:
    """Every library gets the thread count, and waits asleep, so that neighbours spoil the peaks less."""
    variables = peaks._variables(3)
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


def clocked(monkeypatch: pytest.MonkeyPatch, seconds: Callable[[int], float]) -> list[int]:
    """Let products of ``n`` rows take so long, on a clock that only they move; return the sizes that were tried."""
    now, sizes = [0.0], list[int]()

    def prepare(n: int) -> Callable[[], None]:
        sizes.append(n)

        def product() -> None:
            now[0] += seconds(n)

        return product

    monkeypatch.setattr(peaks, "_products", lambda _precision, _device: [prepare])
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
    known = peaks._products("int8", "cpu")
    monkeypatch.setattr(peaks, "_products", lambda _precision, _device: [fail, *known])
    assert peaks.macs_per_s("int8", "cpu") == pytest.approx(1e11)
    monkeypatch.setattr(peaks, "_products", lambda _precision, _device: [fail])
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


def test_tf32_is_of_gpus_that_have_it(board: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """From capability 8.0 on float32 is measured with and without it, each with torch told so."""
    import torch

    told: list[str] = []
    monkeypatch.setattr(torch, "set_float32_matmul_precision", told.append)
    assert len(peaks._products("tf32", "cuda:1")) == len(peaks._products("fp32", "cuda:1")) == 1
    assert told == ["high", "highest"]
    board.capability = (7, 5)
    assert peaks._products("tf32", "cuda:1") == peaks._products("tf32", "mps") == peaks._products("tf32", "cpu") == []


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
