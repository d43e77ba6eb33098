"""GPU joules come from the counters of the GPUs in use, read through the real pynvml from a stub driver."""

import ctypes
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import pynvml
import pytest

from greenbench.meters import nvml
from greenbench.meters.nvml import Nvml
from greenbench.plugins import Reading

UUIDS = ("GPU-aaaa1111-0000-0000-0000-000000000000", "GPU-bbbb2222-0000-0000-0000-000000000000")

DRIVER = """
#include <stdio.h>
typedef struct { unsigned long long mj; unsigned mig; int energy_error; const char *uuid; } gpu_t;
static gpu_t gpus[2] = {{1000, 0, 0, UUID_0}, {5000, 0, 0, UUID_1}};
static unsigned n_gpus = 2;
void stub_gpus(unsigned n) { n_gpus = n; }
void stub_use(unsigned i, long long mj) { gpus[i].mj += mj; }
void stub_mig(unsigned i, unsigned on) { gpus[i].mig = on; }
void stub_energy_error(unsigned i, int code) { gpus[i].energy_error = code; }
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return code == 3 ? "Not Supported" : "stub error"; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = n_gpus; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, gpu_t **gpu) {
  if (i >= n_gpus) return 2;
  *gpu = &gpus[i];
  return 0;
}
int nvmlDeviceGetUUID(gpu_t *gpu, char *text, unsigned size) { snprintf(text, size, "%s", gpu->uuid); return 0; }
int nvmlDeviceGetMigMode(gpu_t *gpu, unsigned *now, unsigned *later) {
  if (gpu->mig == 2) return 3; /* NOT_SUPPORTED: most GPUs cannot be split */
  *now = *later = gpu->mig;
  return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(gpu_t *gpu, unsigned long long *mj) {
  *mj = gpu->mj;
  return gpu->energy_error;
}
"""


@pytest.fixture(scope="session")
def driver_file(tmp_path_factory):
    """Compile the stub driver."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("the stub driver needs a C compiler")
    folder = tmp_path_factory.mktemp("driver")
    (folder / "nvml.c").write_text(DRIVER)
    library = folder / "libnvidia-ml.so.1"
    uuids = [f'-DUUID_{index}="{uuid}"' for index, uuid in enumerate(UUIDS)]
    subprocess.run([compiler, "-shared", "-fPIC", *uuids, "-o", library, folder / "nvml.c"], check=True)
    return library


def _load(monkeypatch, cdll):
    """Let pynvml look for the driver afresh."""
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    monkeypatch.setattr(pynvml, "CDLL", cdll)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delitem(sys.modules, "torch", raising=False)


@pytest.fixture
def driver(driver_file, monkeypatch):
    """Put the stub driver with two GPUs under pynvml."""
    library = ctypes.CDLL(str(driver_file))
    library.stub_use.argtypes = (ctypes.c_uint, ctypes.c_longlong)
    library.stub_gpus(2)
    for gpu in range(2):
        library.stub_mig(gpu, 0)
        library.stub_energy_error(gpu, 0)
    _load(monkeypatch, lambda name: library)
    return library


def _read(driver, used_mj=(2_500, 4_000), seconds=0.12):
    """Use so many millijoules of each GPU inside a window."""
    reading = Reading()
    with Nvml().window(reading):
        for gpu, used in enumerate(used_mj):
            driver.stub_use(gpu, used)
        time.sleep(seconds)
    return reading.quantities["energy_gpu_j"]


def test_joules_are_the_sum_over_the_gpus(driver):
    """Without a mask the millijoules of all GPUs add up to joules, as a counter's value."""
    quantity = _read(driver)
    assert (quantity.value, quantity.method, quantity.source) == (6.5, "counter", "nvml-total-energy")
    assert Nvml().unavailable() is None


@pytest.mark.parametrize(
    ("mask", "joules"),
    [
        ("0", 2.5),
        ("1", 4.0),
        ("1,0", 6.5),
        ("1,-1,0", 4.0),
        ("0,7,1", 2.5),
        (UUIDS[1], 4.0),
        ("GPU-aaaa", 2.5),
        (f" {UUIDS[0]} , {UUIDS[1]}", 6.5),
    ],
)
def test_only_visible_gpus_count(driver, monkeypatch, mask, joules):
    """CUDA_VISIBLE_DEVICES is followed as CUDA does: by index or UUID, up to the first entry that is none."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mask)
    assert _read(driver).value == joules


@pytest.mark.parametrize("mask", ["", "-1", "-1,0"])
def test_hiding_all_gpus_makes_it_unavailable(driver, monkeypatch, mask):
    """With every GPU hidden there is nothing to measure, and the reason names the variable."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mask)
    assert "CUDA_VISIBLE_DEVICES" in Nvml().unavailable()


def _torch(*uuids, initialized=True):
    devices = [SimpleNamespace(uuid=uuid.removeprefix("GPU-")) for uuid in uuids]
    return SimpleNamespace(
        cuda=SimpleNamespace(
            is_initialized=lambda: initialized,
            device_count=lambda: len(devices),
            get_device_properties=lambda index: devices[index],
        )
    )


def test_what_torch_uses_wins_over_the_index(driver, monkeypatch):
    """A torch that runs CUDA tells its GPU by UUID, since CUDA's index need not be NVML's."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setitem(sys.modules, "torch", _torch(UUIDS[1]))
    assert _read(driver).value == 4.0


def test_an_idle_torch_is_not_asked(driver, monkeypatch):
    """A torch that has not started CUDA is left alone, and the mask decides."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setitem(sys.modules, "torch", _torch(UUIDS[1], initialized=False))
    assert _read(driver).value == 2.5


@pytest.mark.parametrize("used_mj", [(0, 0), (2_500, 0), (2_500, -4_000)])
def test_a_counter_that_does_not_advance_is_unknown(driver, used_mj):
    """A counter that stood still, or fell as after a driver's reload, gives None, not 0 or less."""
    quantity = _read(driver, used_mj)
    assert quantity.value is None
    assert "did not move" in quantity.note


def test_a_window_under_the_update_is_unknown(driver):
    """A 50 ms window gives None even where a 100 ms step of the counter happens to fall into it."""
    quantity = _read(driver, (30_000, 30_000), seconds=0.05)
    assert quantity.value is None
    assert "update of 0.1 s" in quantity.note


def test_a_gpu_lost_inside_the_window_is_unknown(driver):
    """A counter that cannot be read at the end gives None with the reason."""
    reading = Reading()
    with Nvml().window(reading):
        driver.stub_energy_error(1, pynvml.NVML_ERROR_GPU_IS_LOST)
    assert reading.quantities["energy_gpu_j"].value is None


def test_segments_add_up(driver):
    """Two windows with one reading add up, and what is used in between is not counted."""
    reading = Reading()
    for _ in range(2):
        with Nvml().window(reading):
            driver.stub_use(0, 1_000)
            driver.stub_use(1, 500)
            time.sleep(0.11)
        driver.stub_use(0, 90_000)
    assert reading.value("energy_gpu_j") == 3.0


def test_a_gpu_without_a_counter_is_a_reason(driver):
    """A GPU whose counter is not supported makes the meter unavailable rather than 0 J."""
    driver.stub_energy_error(1, pynvml.NVML_ERROR_NOT_SUPPORTED)
    assert "no energy counter" in Nvml().unavailable()


def test_a_gpu_without_a_counter_outside_the_mask_does_not_matter(driver, monkeypatch):
    """Only the GPUs in use need a counter."""
    driver.stub_energy_error(1, pynvml.NVML_ERROR_NOT_SUPPORTED)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert Nvml().unavailable() is None


def test_a_refusing_driver_is_a_reason(driver):
    """Any other error of the driver makes the meter unavailable with the driver's words."""
    driver.stub_energy_error(0, pynvml.NVML_ERROR_NO_PERMISSION)
    reason = Nvml().unavailable()
    assert "NVML answers" in reason
    assert "\n" not in reason


def test_a_split_gpu_is_a_reason(driver):
    """A GPU in MIG mode counts for the whole board, so it is not taken for this process's."""
    driver.stub_mig(0, 1)
    assert "MIG" in Nvml().unavailable()


def test_a_gpu_that_cannot_be_split_is_fine(driver):
    """A GPU that does not know MIG at all is available."""
    driver.stub_mig(0, 2)
    assert Nvml().unavailable() is None


@pytest.mark.parametrize("name", ["MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", "GPU-cccc"])
def test_an_unlisted_device_is_a_reason(driver, monkeypatch, name):
    """A mask with a MIG slice or an unknown UUID makes the meter unavailable and names the entry."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", name)
    assert name in Nvml().unavailable()


def test_a_machine_without_gpus_is_a_reason(driver):
    """A driver that lists no GPU makes the meter unavailable."""
    driver.stub_gpus(0)
    assert "no GPU is visible" in Nvml().unavailable()


def test_no_driver_is_a_reason(monkeypatch):
    """Without the driver's library the reason says so and how to get it, in one line."""

    def absent(name):
        raise OSError(f"{name}: cannot open shared object file")

    _load(monkeypatch, absent)
    reason = Nvml().unavailable()
    assert "no NVIDIA driver" in reason
    assert "\n" not in reason


def test_visible_without_a_mask_is_everything(monkeypatch):
    """Without CUDA_VISIBLE_DEVICES every index is visible."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert nvml.visible(3) == ["0", "1", "2"]
