"""What the driver tells of its GPUs is described without naming them."""

import pynvml
import pytest

from greenbench.hardware import gpus


def test_a_gpu_is_described_by_its_kind_and_settings(driver):
    """Every GPU that NVML lists, whatever the mask says, with the settings that decide on its pace."""
    driver.set(1, persistence=0, mig=1, limit_mw=150_000)
    kind = {"name": "Stub T4", "memory_bytes": 16 * 2**30, "driver": "550.54.14", "power_limit_default_w": 250.0}
    assert gpus.describe() == [
        {**kind, "persistence_mode": True, "mig": False, "power_limit_w": 250.0},
        {**kind, "persistence_mode": False, "mig": True, "power_limit_w": 150.0},
    ]


def test_what_the_driver_does_not_tell_is_none(driver):
    """A virtual GPU keeps its limits to itself, and is described by the rest."""
    driver.gpus(1)
    for call in ("nvmlDeviceGetPowerManagementLimit", "nvmlDeviceGetPowerManagementDefaultLimit"):
        driver.refuse(0, call)
    driver.refuse(0, "nvmlDeviceGetPersistenceMode", pynvml.NVML_ERROR_NO_PERMISSION)
    (found,) = gpus.describe()
    assert {name for name, value in found.items() if value is None} == {
        "persistence_mode", "power_limit_w", "power_limit_default_w",
    }  # fmt: skip


@pytest.mark.usefixtures("no_driver")
def test_without_a_driver_there_are_none():
    """No driver, no GPUs, no error."""
    assert gpus.describe() == []
