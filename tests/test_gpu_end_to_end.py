"""A GPU of known watts, from the suite to the row: real pynvml in real worker and poller, over the stub driver."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from greenbench import registry
from greenbench.harness.runner import Options, run

WATTS = 150
COUNTER = "nvmlDeviceGetTotalEnergyConsumption"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the stub is found through LD_LIBRARY_PATH")

PLUGIN = """
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar
import torch
from greenbench.plugins import Footprint, Variant

UUIDS = ("aaaa1111-0000-0000-0000-000000000000", "bbbb1111-0000-0000-0000-000000000000")
fake = dict(
    is_available=lambda: True, is_initialized=lambda: True, device_count=lambda: 2,
    get_device_name=lambda device: "Stub T4", get_device_properties=lambda i: SimpleNamespace(uuid=UUIDS[i]),
    synchronize=lambda device: None, reset_peak_memory_stats=lambda device: None,
    max_memory_reserved=lambda device: 3000 * device, max_memory_allocated=lambda device: 2000 * device,
)
for name, function in fake.items():
    setattr(torch.cuda, name, function)

class Model:
    footprint, batching = Footprint(1, 2), "sequential"
    def __call__(self, batch):
        time.sleep(0.02)
        return ["TONE"] * len(batch)

@dataclass(frozen=True)
class OnGpu:
    presets: ClassVar = {}
    takes_builds: ClassVar = False
    label = "model"
    def __call__(self, name, methods):
        return Variant(name=name, load=lambda device: Model())
"""


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver_file: Path) -> None:
    """Install a family that believes in CUDA, and the stub driver, for the processes that a run starts."""
    folder = tmp_path / "site"
    info = folder / "greenbench_gpu-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "greenbench_gpu.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greenbench-gpu\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[greenbench.variants]\ngpu = greenbench_gpu:OnGpu\n")
    import torch

    for name in ("is_available", "is_initialized", "device_count", "get_device_name", "get_device_properties",
                 "synchronize", "reset_peak_memory_stats", "max_memory_reserved", "max_memory_allocated"):  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, getattr(torch.cuda, name))  # put back what the plug-in replaces here
    monkeypatch.delitem(sys.modules, "greenbench_gpu", raising=False)  # it replaces these as it is imported
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(driver_file.parent))
    monkeypatch.setenv("STUB_NVML_WATTS", str(WATTS))
    registry.entries.cache_clear()
    yield
    registry.entries.cache_clear()


def row_of(suite_data: dict, out: Path) -> dict:
    """The one row of a run on the second of two GPUs."""
    protocol = {"use": "quick", "repeats": 1, "window_s": 1.5, "idle_s": 0, "warmup_batches": 1}
    own = {"protocol": protocol, "variants": [{"use": "gpu"}], "devices": ["cuda:1"], "trace_hz": 10}
    suite = {**suite_data, **own}
    (row,) = run(suite, Options(out=out)).to_dict("records")
    assert row["status"] == "ok", row["reason"]
    return row


@pytest.mark.usefixtures("gpu")
@pytest.mark.measures
def test_a_gpu_of_known_watts_gives_its_joules(
    suite_data: dict, tmp_path: Path, patience: Callable[[float], float]
) -> None:
    """The counter's joules are watts times seconds to within its step, and the row has the state of the board."""
    row = row_of(suite_data, tmp_path / "out")
    assert WATTS * (row["wall_s"] - 0.1) <= row["energy_gpu_j"] <= WATTS * (row["wall_s"] + patience(1))
    assert (row["energy_gpu_method"], row["energy_gpu_source"]) == ("counter", "nvml-total-energy")
    assert row["energy_gpu_scope"] == "device"
    assert (row["gpu_temp_start_c"], row["gpu_temp_end_c"]) == (41, 41)
    assert (row["gpu_throttled_s"], row["gpu_power_capped_s"]) == (0, 0)
    assert (row["peak_gpu_bytes"], row["peak_gpu_allocated_bytes"]) == (3000, 2000)
    assert row["device_name"] == "Stub T4"


@pytest.mark.usefixtures("gpu")
@pytest.mark.measures
def test_a_slice_without_a_counter_has_sampled_joules_and_a_flag(
    suite_data: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same watts from the poller's process, at half the driver's update; a slice is not ranked."""
    monkeypatch.setenv("STUB_NVML_REFUSE", COUNTER)
    monkeypatch.setenv("STUB_NVML_MIG", "1")
    row = row_of(suite_data, tmp_path / "out")
    assert WATTS * (row["wall_s"] - 0.1) <= row["energy_gpu_j"] <= WATTS * (row["wall_s"] + 0.1)
    assert (row["energy_gpu_method"], row["energy_gpu_source"]) == ("sampled", "nvml-power")
    assert "no energy counter" in row["energy_gpu_note"]
    assert row["energy_gpu_scope"] == "device_shared"
    assert "gpu-shared" in row["flags"]
    assert '"period_s": 0.05' in (tmp_path / "out" / "power.jsonl").read_text()
