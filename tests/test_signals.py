"""Signals: Ctrl-C and time limits end every process cleanly, also after an engine that replaces signal stacks."""

import ctypes
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import TypeAdapter

import greenbench
from greenbench.compress import openvino_core
from greenbench.harness.job import Job
from greenbench.suite import config
from greenbench.suite.entries import VariantEntry, build_variant
from greenbench.suite.plan import plan

Start = Callable[..., "subprocess.Popen[Any]"]

HANDLED = """
import gc, os, signal, sys
signal.signal(signal.SIGUSR2, lambda *_: print("handled", file=sys.stderr, flush=True))
{work}
gc.collect()
os.kill(os.getpid(), signal.SIGUSR2)
"""

TWO_MODELS = """
import numpy, openvino
import openvino.opset13 as ops
from greenbench.compress.openvino_core import core, preserved_signal_stack
x = ops.parameter([1, 4], numpy.float32)
graph = openvino.Model([ops.relu(x)], [x], "m")
opened = [core().compile_model(graph, "CPU") for _ in range(2)]
with preserved_signal_stack():
    cores = [openvino.Core(), openvino.Core()]
    opened += [one.compile_model(graph, "CPU") for one in cores]
while opened:
    del opened[0]
    gc.collect()
while cores:
    del cores[0]
    gc.collect()
"""

ONE_CELL = """
from greenbench.harness import worker
worker.main()
"""

GUARDED = """
from pathlib import Path
from greenbench.compress import openvino
from greenbench.variants.wav2vec2 import Wav2Vec2
agreements = iter([1.0, 1.0])  # NNCF's trial and the float model; then too little, so that layers go back
openvino.agreement = lambda _compiled, _items, blank: (next(agreements, 0.5), None)
model, extractor, _ = Wav2Vec2(model=sys.argv[1]).open()
build = openvino.OpenVinoInt8(max_drop=0.02, n_calibration=2, n_validation=2)
build.export(model, extractor, Path(sys.argv[2]))
"""


def handled(work: str, *arguments: object, given: str = "") -> str:
    """Return what a process wrote that did this work, then got a signal, and lived to handle it."""
    command = [sys.executable, "-c", HANDLED.format(work=work), *map(str, arguments)]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-500:]}"
    assert done.stderr.splitlines()[-1] == "handled"
    return done.stdout


def job(manifest: Path, variant: Any) -> str:
    """Return what a worker reads: a job that takes a moment, and an answer to whatever it asks."""
    loaded = config.load({
        "name": "tiny",
        "protocol": {"use": "quick", "repeats": 1, "window_s": 0.1, "idle_s": 0},
        "datasets": [{"use": "manifest", "path": str(manifest), "limit": 2}],
        "variants": [variant],
    })  # fmt: skip
    return TypeAdapter(Job).dump_json(Job("r", 0, loaded, plan(loaded)[0])).decode() + "\n" * 20


def test_a_signal_is_handled_after_openvino_s_models_were_released() -> None:
    """Two models of our core and two cores of somebody else's, released in the order of their making."""
    pytest.importorskip("openvino", reason="not installed")
    handled(TWO_MODELS)


def test_no_core_is_made_elsewhere() -> None:
    """Every use of OpenVINO goes through the one core; ``openvino.compile_model`` makes another one at each call."""
    package = Path(greenbench.__file__).parent
    makes = re.compile(r"\b(openvino|ov)\.(Core|compile_model)\b")
    found = [str(file.relative_to(package)) for file in package.rglob("*.py") if makes.search(file.read_text())]
    assert found == [str(Path("compress", "openvino_core.py"))]


def test_the_former_signal_stack_comes_back_after_an_exception() -> None:
    """What failed leaves the thread's stack as it was, too."""
    if openvino_core.signal_stack() is None:
        pytest.skip("signal stacks are Linux's")
    memory = ctypes.create_string_buffer(1 << 16)
    mine, none = openvino_core.Stack(ctypes.addressof(memory), 0, 1 << 16), openvino_core.Stack(None, 2, 0)
    with openvino_core.preserved_signal_stack():
        openvino_core.set_signal_stack(mine)
        with suppress(ZeroDivisionError), openvino_core.preserved_signal_stack():
            openvino_core.set_signal_stack(none)
            assert 1 / 0
        assert openvino_core.signal_stack().sp == mine.sp


@pytest.mark.slow
@pytest.mark.parametrize("builds", [[], ["onnx"], ["openvino"], ["openvino-int8"]])
@pytest.mark.usefixtures("exports_here")
def test_a_signal_is_handled_after_a_measured_cell(builds: list[str], tiny_model: Path, manifest: Path) -> None:
    """Whatever engine ran it, the process can still be told to stop."""
    for needed in {"onnx": ["onnxruntime"], "openvino": ["openvino"], "openvino-int8": ["nncf"]}.get(
        "".join(builds), []
    ):
        pytest.importorskip(needed, reason="not installed")
    variant = {"use": "wav2vec2", "model": str(tiny_model), "builds": builds}
    build_variant(VariantEntry(**variant)).prepare()  # as a run does, before its cells
    assert '"status": "ok"' in handled(ONE_CELL, given=job(manifest, variant))


@pytest.mark.slow
def test_a_signal_is_handled_after_an_export_that_took_layers_back(tiny_model: Path, tmp_path: Path) -> None:
    """NNCF's accuracy control makes cores of its own and releases them in any order."""
    pytest.importorskip("nncf", reason="not installed")
    handled(GUARDED, tiny_model, tmp_path)


# --- Ctrl-C into each kind of process --------------------------------------------------------------------

LOAD = partial(exec, "import sys, time; print('ready', flush=True); time.sleep(600)")
"""Loads a model for ever, in the process that exports it."""


def module(name: str, *arguments: str) -> list[str]:
    """Return the command that starts a process of ours."""
    return [sys.executable, "-m", f"greenbench.{name}", *arguments]


def write(process: "subprocess.Popen[Any]", data: bytes) -> None:
    """Give a process its orders and leave its input open."""
    assert process.stdin is not None
    process.stdin.write(data)
    process.stdin.flush()


def test_ctrl_c_ends_an_export(start: Start, tmp_path: Path) -> None:
    """The process that exports has no handler; it ends by the signal itself."""
    from greenbench.compress.onnx import Onnx

    process = start(module("models.exported"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    write(process, pickle.dumps((LOAD, Onnx(), tmp_path)))
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    assert process.wait() == -signal.SIGINT


EXPORT = """
import sys
from functools import partial
from greenbench.models.exported import ExportSource, files
from greenbench.compress.onnx import Onnx
files(ExportSource(partial(exec, f"open({sys.argv[1]!r}, 'w').close(); import time; time.sleep(600)"), {}), Onnx())
"""


def test_ctrl_c_at_a_terminal_leaves_no_half_export(start: Start, tmp_path: Path) -> None:
    """It reaches both the process that wants the model and the one that exports it; both end, and nothing is kept."""
    pytest.importorskip("onnxruntime", reason="not installed")
    ready, kept = tmp_path / "ready", tmp_path / "cache"
    process = start(
        [sys.executable, "-c", EXPORT, ready],
        env={**os.environ, "GREENBENCH_CACHE": str(kept)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not ready.exists() and process.poll() is None:
        time.sleep(0.02)
    exporter = psutil.Process(process.pid).children()
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait() in {-signal.SIGINT, 1}  # 1: the exporter's end was noticed first
    assert len(exporter) == 1
    assert not any(one.is_running() for one in exporter)
    assert not list((kept / "artefacts").iterdir())


def test_ctrl_c_ends_a_worker(start: Start, manifest: Path) -> None:
    """In the middle of its cell."""
    process = start(module("harness.worker"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    write(process, job(manifest, {"use": "null", "delay_s": 600.0}).encode())
    while json.loads(process.stdout.readline()).get("text") != "first utterance":
        pass
    process.send_signal(signal.SIGINT)
    assert process.wait() == -signal.SIGINT


def test_ctrl_c_ends_a_poller(start: Start, tmp_path: Path) -> None:
    """Though it is in a session of its own, where none arrives from a terminal."""
    path = tmp_path / "power.jsonl"
    process = start(module("meters.poller"), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    write(process, json.dumps({"path": str(path), "period_s": 0.02, "options": {}}).encode() + b"\n")
    while not path.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait() in {0, -signal.SIGINT}


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_ctrl_c_ends_the_measuring_of_peaks(start: Start, engine: str) -> None:
    """Whatever engine it measures with."""
    if engine == "openvino":
        pytest.importorskip("openvino", reason="openvino is not installed")
    process = start(module("harness.peaks", "cpu", engine), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    begun = psutil.Process(process.pid)
    while process.poll() is None and begun.memory_info().rss < 4e8:  # torch is there, and its first matrices
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait() in {0, -signal.SIGINT}  # 0: it was done already
