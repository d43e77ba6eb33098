"""The doctor finds what about a GPU spoils a measurement, and has nothing to say where there is none."""

import os

import pytest

from greenbench.doctor import boards
from greenbench.doctor.boards import findings
from greenbench.meters import gpu


@pytest.fixture
def finding(driver, monkeypatch):
    """A function that returns the finding on a topic; torch is built for CUDA 12.8, and no process is hidden."""
    monkeypatch.setattr(boards, "cuda_of_torch", lambda: (12, 8))
    monkeypatch.setattr(boards, "sees_all_processes", lambda: True)
    return lambda topic: next(found for found in findings() if found.topic == topic)


def test_healthy_gpus_are_fine(finding):
    """Two boards of their own, at their limits, in persistence mode and idle: nothing to do."""
    found = list(findings())
    assert {f.topic: f.ok for f in found} == dict.fromkeys(
        ["GPU persistence", "GPU power limit", "GPU sharing", "GPU processes", "CUDA driver"], True
    )
    assert all(f.remedy is None and "\n" not in f.message for f in found)


@pytest.mark.usefixtures("no_driver")
def test_without_gpus_there_is_nothing_to_say():
    """Where there is no driver the meter's finding says so, and this look is silent."""
    assert list(findings()) == []


def test_a_hidden_gpu_is_not_looked_at(driver, finding, monkeypatch):
    """Of the GPUs only those that CUDA may use are judged."""
    driver.set(1, persistence=0, mig=1, limit_mw=1000)
    driver.run(1, 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert all(f.ok for f in findings())


def test_persistence_mode_off_is_found(driver, finding):
    """The boards without it are named, with the command."""
    driver.set(1, persistence=0)
    found = finding("GPU persistence")
    assert found.ok is False
    assert "GPU 1" in found.message
    assert "GPU 0" not in found.message
    assert found.remedy == "sudo nvidia-smi -pm 1"


def test_a_lowered_power_limit_is_found(driver, finding):
    """A limit below the default is named with both figures, and undone by the command."""
    driver.set(0, limit_mw=150_000)
    found = finding("GPU power limit")
    assert found.ok is False
    assert "GPU 0 at 150 W, by default 250 W" in found.message
    assert found.remedy == "sudo nvidia-smi -i 0 -pl 250"


@pytest.mark.parametrize("value", [{"mig": 1}, {"virtual_mode": 2}])
def test_a_shared_board_is_found(driver, finding, value):
    """A slice by MIG or vGPU is found by its board."""
    driver.set(1, **value)
    found = finding("GPU sharing")
    assert found.ok is False
    assert "GPU 1;" in found.message
    assert "GPU 0" not in found.message


def test_others_on_the_gpu_are_found(driver, finding):
    """Processes that compute are counted by board."""
    driver.run(1, 1, os.getppid())
    found = finding("GPU processes")
    assert found.ok is False
    assert "2 on GPU 1" in found.message
    assert [f.topic for f in findings() if f.blocks_official] == ["GPU processes"]


def test_hidden_processes_are_no_idle_gpu(driver, finding, monkeypatch):
    """In a container an empty list tells nothing."""
    monkeypatch.setattr(boards, "sees_all_processes", lambda: False)
    assert finding("GPU processes").ok is None


@pytest.mark.parametrize(
    ("driver_cuda", "torch_cuda", "ok"),
    [
        (12080, (12, 8), True),
        (12020, (12, 8), True),
        (13000, (12, 8), True),
        (11040, (12, 8), False),
        (12080, (13, 0), False),
        (12080, None, None),
    ],
)
def test_a_driver_for_an_older_cuda_is_found(driver, finding, monkeypatch, driver_cuda, torch_cuda, ok):
    """Any driver of torch's major version or newer will do; an older major cannot run it at all."""
    driver.cuda(driver_cuda)
    monkeypatch.setattr(boards, "cuda_of_torch", lambda: torch_cuda)
    found = finding("CUDA driver")
    assert found.ok is ok
    assert ("update the driver" in (found.remedy or "")) == (ok is False)


@pytest.mark.parametrize(
    ("line", "expected"),
    [("cuda: Optional[str] = '12.8'", (12, 8)), ("cuda = '13.0'", (13, 0)), ("cuda: Optional[str] = None", None)],
)
def test_torchs_cuda_is_read_without_importing_it(tmp_path, monkeypatch, line, expected):
    """The version file of a build for CUDA has its version, and that of a build for CPUs has none."""
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('torch was imported')")
    (package / "version.py").write_text(f"__version__ = '2.9.0'\n{line}\nhip: Optional[str] = None\n")
    monkeypatch.setattr(boards, "find_spec", lambda name: _spec(package / "__init__.py"))
    assert boards.cuda_of_torch() == expected


def _spec(file):
    from importlib.util import spec_from_file_location

    return spec_from_file_location("torch", file)


@pytest.mark.parametrize("call", ["nvmlDeviceGetPersistenceMode", "nvmlDeviceGetPowerManagementLimit",
                                  "nvmlDeviceGetComputeRunningProcesses_v3"])  # fmt: skip
def test_what_the_driver_does_not_tell_is_not_judged(driver, finding, call):
    """A driver that keeps something to itself gives a note, neither praise nor blame."""
    for board in range(2):
        driver.refuse(board, call)
    assert [f.ok for f in findings()].count(None) == 1


def test_the_first_namespace_is_the_machines(tmp_path, monkeypatch):
    """The number of the machine's own namespace of processes is the kernel's; any other is a container's."""
    (tmp_path / "self/ns").mkdir(parents=True)
    link = tmp_path / "self/ns/pid"
    monkeypatch.setattr(gpu, "PROC", tmp_path)
    for name, expected in (("pid:[4026531836]", True), ("pid:[4026532281]", False)):
        link.symlink_to(name)
        assert gpu.sees_all_processes() is expected
        link.unlink()
    assert gpu.sees_all_processes() is True
