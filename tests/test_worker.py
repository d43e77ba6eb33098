"""The worker's decisions before a window: which devices it can use, and what it calls them."""

import pytest
import torch

from greenbench import worker
from greenbench.environment import machine


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch that sees two CUDA devices."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU at {device}")


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:0", "cuda:1"])
def test_devices_that_are_there_are_usable(device: str) -> None:
    """The CPU and every CUDA device that torch sees can be used."""
    assert worker.unusable(device) is None


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_too_many_is_not_usable() -> None:
    """A CUDA index beyond those that torch sees gives a reason."""
    assert worker.unusable("cuda:2") == "there is no cuda:2: torch sees 2 CUDA device(s)"


def test_no_cuda_is_not_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without CUDA the reason names torch's version, since a CPU build is the usual cause."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert worker.unusable("cuda") == f"torch {torch.__version__} sees no CUDA device"


@pytest.mark.usefixtures("two_gpus")
def test_devices_have_product_names() -> None:
    """Rows name the CPU's model and the GPU's product."""
    assert worker.device_name("cuda:1") == "GPU at cuda:1"
    assert worker.device_name("cpu") == machine()["cpu_model"]
