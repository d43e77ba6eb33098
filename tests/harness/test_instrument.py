"""`greenbench.measure` around any code: values in closed form on fake meters, and a real block."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import greenbench
from greenbench import meters
from greenbench.errors import InputError
from greenbench.harness import instrument
from greenbench.plugins import Quantity, Reading


class Fake:
    """A meter that reads one value a window, in order."""

    estimates = False

    def __init__(self, metric: str, values: Sequence[float | None], method: Any = "counter", source: str = "fake"):
        self.metrics = (metric,)
        self.left, self.method, self.source, self.n_open = list(values), method, source, 0

    def unavailable(self) -> str | None:
        return None

    @contextmanager
    def window(self, reading: Reading) -> Iterator[None]:
        self.n_open += 1
        try:
            yield
        finally:
            self.n_open -= 1
        value = self.left.pop(0)
        note = "it is stuck" if value is None else None
        reading.add(self.metrics[0], Quantity(value, self.method, self.source, note))


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock is read as, in order, to be filled by a test."""
    reads: list[float] = []
    monkeypatch.setattr(meters, "time", SimpleNamespace(perf_counter=lambda: reads.pop(0)))
    return reads


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> list[Fake]:
    """The meters that are here, to be filled by a test."""
    here: list[Fake] = []
    monkeypatch.setattr(meters, "select", lambda _estimate, _options: here)
    monkeypatch.setattr(meters, "absent", lambda _chosen, _options: {"energy_gpu_j": "nvml: no driver"})
    return here


def test_the_joules_of_a_block_and_where_they_come_from(fakes: list[Fake], seconds: list[float]) -> None:
    """CPU and memory add up; the total is as weak as its weakest part, and names all sources."""
    seconds += [100.0, 102.0]
    fakes += [Fake("cpu_s", [1.5]), Fake("peak_rss_bytes", [3e6])]
    fakes += [Fake("energy_cpu_j", [10.0], source="rapl"), Fake("energy_dram_j", [2.5], "sampled", "hwmon")]
    with greenbench.measure() as m:
        assert m.wall_s is None
        assert m.why_missing("wall_s") == instrument.NOT_OVER
    assert (m.wall_s, m.cpu_s, m.peak_rss_bytes, m.energy_j) == (2.0, 1.5, 3e6, 12.5)
    assert (m.energy_method, m.energy_source, m.energy_scope) == ("sampled", "rapl+hwmon", "cpu+dram")
    assert (m.energy_net_j, m.idle_power_w) == (None, None)
    assert m.why_missing("energy_net_j") == "no idle baseline was measured: give idle_s"
    assert "energy_j: 12.5 (sampled, rapl+hwmon)" in str(m)


def test_net_joules_are_beyond_the_baseline(fakes: list[Fake], seconds: list[float]) -> None:
    """4 J in 2 s of idling are 2 W; of 30 J in 5 s the block's own are 30 - 2 x 5 = 20."""
    seconds += [100.0, 102.0, 103.0, 108.0]
    fakes += [Fake("energy_cpu_j", [4.0, 30.0])]
    with greenbench.measure(idle_s=0.01) as m:
        pass
    assert (m.idle_power_w, m.energy_j, m.energy_net_j) == (2.0, 30.0, 20.0)


def test_a_total_without_one_of_its_parts_is_unknown(fakes: list[Fake]) -> None:
    """On a GPU the CPU's joules alone are no total; the reason names the part."""
    fakes += [Fake("energy_cpu_j", [7.0])]
    with greenbench.measure("cuda") as m:
        pass
    assert (m.energy_j, m.energy_method, m.energy_scope) == (None, None, None)
    assert m.why_missing("energy_j") == "gpu: nvml: no driver"
    assert m.quantities["energy_cpu_j"].value == 7.0
    assert "energy_j: unknown (gpu: nvml: no driver)" in str(m)


def test_a_counter_that_cannot_be_trusted_gives_no_total(fakes: list[Fake]) -> None:
    """What the meter says of it is the reason."""
    fakes += [Fake("energy_cpu_j", [None])]
    with greenbench.measure() as m:
        pass
    assert m.energy_j is None
    assert m.why_missing("energy_j") == "cpu: it is stuck"
    assert m.why_missing("energy_cpu_j") == "it is stuck"


def test_an_exception_closes_the_meters_and_measures_nothing(fakes: list[Fake], seconds: list[float]) -> None:
    """It passes through; the next block measures."""
    seconds += [100.0, 101.0, 104.0]
    fakes += [Fake("energy_cpu_j", [6.0])]
    with pytest.raises(RuntimeError, match="broke"), greenbench.measure() as m:
        raise RuntimeError("the code broke")
    assert [fake.n_open for fake in fakes] == [0]
    assert (m.wall_s, m.energy_j, dict(m.quantities)) == (None, None, {})
    assert str(m) == f"not measured: {instrument.NOT_OVER}"
    with greenbench.measure() as again:
        pass
    assert (again.wall_s, again.energy_j) == (3.0, 6.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "gpu"}, "measure: device: unknown device 'gpu'. Valid: auto"),
        ({"device": 0}, "measure: device: unknown device 0"),
        ({"idle_s": -1}, "measure: idle_s: seconds of at least 0"),
        ({"idle_s": float("nan")}, "measure: idle_s: seconds of at least 0"),
        ({"idle_s": True}, "measure: idle_s: seconds of at least 0"),
        ({"meters": {"rapll": {}}}, "unknown meter 'rapll'. Did you mean 'rapl'"),
    ],
)
def test_wrong_arguments_are_refused_before_the_block(arguments: dict[str, Any], message: str) -> None:
    """The block does not run."""
    with pytest.raises(InputError, match=message), greenbench.measure(**arguments):
        pytest.fail("the block ran")


@pytest.mark.measures
def test_a_real_block() -> None:
    """It took wall and CPU time, and held the megabytes that it allocated; energy has a method, or a reason."""
    with greenbench.measure() as m:
        block = np.ones(40_000_000 // 8)
        total = sum(float(block[:1000].sum()) for _ in range(20_000))
    assert total == 20_000_000
    assert m.wall_s is not None
    assert m.wall_s > 0
    assert m.cpu_s is not None
    assert m.cpu_s > 0
    assert m.peak_rss_bytes is not None
    assert m.peak_rss_bytes > 40e6
    assert m.quantities["wall_s"].source == "perf_counter"
    assert (m.energy_j is None) == (m.why_missing("energy_j") is not None) == (m.energy_method is None)


@pytest.mark.measures
def test_blocks_may_be_nested() -> None:
    """An inner block that begins later does not take its peak of memory from the outer one."""
    with greenbench.measure() as outer:
        block = np.ones(80_000_000 // 8)
        del block
        with greenbench.measure() as inner:
            pass
    assert outer.peak_rss_bytes is not None
    assert inner.peak_rss_bytes is not None
    assert outer.peak_rss_bytes >= inner.peak_rss_bytes + 60e6
    assert outer.wall_s is not None
    assert inner.wall_s is not None
    assert outer.wall_s > inner.wall_s


@pytest.mark.measures
def test_blocks_in_threads_are_of_the_whole_process() -> None:
    """Each of two that overlap has the memory that either allocates."""
    ready, found = threading.Barrier(2), {}

    def block(name: str, n_bytes: int) -> None:
        with greenbench.measure() as m:
            ready.wait(60)
            held = np.ones(n_bytes // 8)
            ready.wait(60)
            del held
        found[name] = m

    threads = [threading.Thread(target=block, args=arguments) for arguments in (("a", 80_000_000), ("b", 8))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(m.peak_rss_bytes is not None and m.peak_rss_bytes > 80e6 for m in found.values())


def test_torch_is_not_needed() -> None:
    """Where torch cannot be imported, the CPU is measured all the same; where it can, it is not."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import greenbench\n"
        "with greenbench.measure() as m: sum(range(1000))\n"
        "assert m.wall_s > 0 and m.cpu_s >= 0 and m.peak_rss_bytes > 0\n"
        "assert 'transformers' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.measures
def test_an_estimate_says_that_it_is_one() -> None:
    """Where no counter answers, codecarbon's model does, with the given design power behind it."""
    if any(name.startswith("energy_") for meter in meters.select(False) for name in meter.metrics):
        pytest.skip("a counter answers here")
    with greenbench.measure(estimate_energy=True, meters={"codecarbon": {"tdp_w": 100.0}}) as m:
        sum(i * i for i in range(3_000_000))
    if m.energy_j is None:
        assert "too short to know the CPU load" in str(m.why_missing("energy_j"))
    else:
        assert (m.energy_method, m.energy_source) == ("estimated", "codecarbon-tdp")
        assert 10.0 * (m.wall_s or 0) * 0.9 <= m.energy_j <= 100.0 * (m.wall_s or 0) * 1.1
