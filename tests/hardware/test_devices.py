"""Devices: which are there, what they are called, and that work on them has ended when the clock stops."""

import re
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from greenbench.hardware import devices, environment
from greenbench.hardware.environment import machine
from greenbench.meters import energy, measure
from greenbench.plugins import Quantity, Reading


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch that sees two CUDA devices."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU at {device}")


@pytest.fixture
def apple(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch on an Apple chip."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "get_name", lambda: "Apple M2 Pro")


@pytest.mark.parametrize("name", ["cpu", "auto", "mps", "cuda", "cuda:0", "cuda:12"])
def test_devices_have_these_names(name: str) -> None:
    """A suite may name the CPU, Apple's GPU, any CUDA device, or leave the choice."""
    assert re.match(devices.PATTERN, name)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "mps:0", "cuda0", "CPU", "xcpu", ""])
def test_nothing_else_is_a_device(name: str) -> None:
    """What is nearly a device is none."""
    assert not re.match(devices.PATTERN, name)


@pytest.mark.usefixtures("two_gpus", "apple")
@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:0", "cuda:1", "mps"])
def test_devices_that_are_there_are_usable(device: str) -> None:
    """The CPU, every CUDA device that torch sees and Apple's GPU can be used."""
    assert devices.unusable(device) is None


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_too_many_is_not_usable() -> None:
    """A CUDA index beyond those that torch sees gives a reason."""
    assert devices.unusable("cuda:2") == "there is no cuda:2: torch sees 2 CUDA device(s)"


@pytest.mark.parametrize(("device", "kind"), [("cuda", "CUDA device: "), ("mps", "Apple GPU (MPS)")])
def test_an_absent_gpu_is_not_usable(monkeypatch: pytest.MonkeyPatch, device: str, kind: str) -> None:
    """Without the GPU the reason names torch's version, since a build for CPUs is the usual cause."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert str(devices.unusable(device)).startswith(f"torch {torch.__version__} sees no {kind}")


@pytest.mark.usefixtures("two_gpus", "apple")
def test_devices_have_product_names() -> None:
    """Rows name the CPU's model and the GPU's product."""
    assert environment.product("cuda:1") == "GPU at cuda:1"
    assert environment.product("mps") == "Apple M2 Pro"
    assert environment.product("cpu") == machine()["cpu_model"]


# --- at rest at the window's edges -----------------------------------------------------------------------


class Gpu:
    """A torch with one GPU of each kind, which works on after the call that gave it work has returned."""

    def __init__(self, log: list[str], *, started: bool = True) -> None:
        self.log, self.started = log, started
        self.cuda = SimpleNamespace(is_initialized=lambda: started, synchronize=self.wait)
        self.mps = SimpleNamespace(synchronize=lambda: self.wait("mps"))

    def wait(self, device: str) -> None:
        self.log.append(f"wait for {device}")


def edges(monkeypatch: pytest.MonkeyPatch, device: str | None, **options: bool) -> list[str]:
    """What happens around a window on this device, in order."""
    log: list[str] = []
    monkeypatch.setitem(sys.modules, "torch", Gpu(log, **options))
    monkeypatch.setattr(time, "perf_counter", lambda: log.append("clock") or 0.0)
    with measure([], Reading(device=device)):
        log.append("work")
    return log


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_the_device_is_at_rest_whenever_the_clock_is_read(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    """Work from before the window does not leak into it, nor the window's own out of it; none waits inside."""
    wait = f"wait for {device}"
    assert edges(monkeypatch, device) == [wait, "clock", "work", wait, "clock"]


@pytest.mark.parametrize("device", ["cpu", None])
def test_a_cpu_needs_no_wait(monkeypatch: pytest.MonkeyPatch, device: str | None) -> None:
    """Where the model runs on the CPU, or nobody said where, no GPU is waited for."""
    assert edges(monkeypatch, device) == ["clock", "work", "clock"]


def test_a_torch_that_does_not_use_cuda_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another engine's model on the GPU does not make torch start CUDA."""
    assert edges(monkeypatch, "cuda", started=False) == ["clock", "work", "clock"]


def test_work_that_fails_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error on the device the error is passed on, and nothing more is asked of the device."""
    log: list[str] = []
    monkeypatch.setitem(sys.modules, "torch", Gpu(log))
    with pytest.raises(RuntimeError, match="illegal"), measure([], Reading(device="cuda")):
        raise RuntimeError("an illegal memory access was encountered")
    assert log == ["wait for cuda"]


def test_waiting_does_not_import_torch() -> None:
    """A measurement of a process without torch does not import it."""
    work = "from greenbench.hardware.devices import synchronise; synchronise('cuda')"
    code = f"import sys; {work}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_gpu_belongs_to_the_scope_of_its_energy(device: str) -> None:
    """Joules of the CPU alone are no total of a model on any GPU."""
    reading = Reading({"energy_cpu_j": Quantity(5.0, "counter", "rapl")})
    assert energy.total_j(device, reading) is None
