"""CPU time is charged to whoever used it."""

import os
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from greenbench.meters import cputime
from greenbench.meters.cputime import CpuTime
from greenbench.plugins import Reading
from greenbench.plugins.traces import Trace

CpuTimes = namedtuple("CpuTimes", "user nice system idle iowait steal guest guest_nice")

BURN = "import time\nwhile time.process_time() < 0.3: pass\n"
WORKER = """
from greenbench.meters.cputime import CpuTime
from greenbench.plugins import Reading
reading = Reading()
with CpuTime().window(reading):
    print("ready", flush=True)
    input()
print(reading.value("harness_cpu_s"), flush=True)
"""


pytestmark = pytest.mark.measures

PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}


def _burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_sleeping_costs_no_cpu_time():
    """cpu_s counts work and not waiting."""
    reading = Reading()
    with CpuTime().window(reading):
        time.sleep(0.2)
    assert reading.value("cpu_s") < 0.1


def test_own_work_is_counted():
    """cpu_s has the CPU seconds of this process."""
    reading = Reading()
    with CpuTime().window(reading):
        _burn(0.1)
    assert 0.1 <= reading.value("cpu_s") < 10  # and not the minutes of the tests before


def test_an_ended_child_is_counted():
    """A child that started and ended inside the window is in cpu_s, which a look at live processes misses."""
    reading = Reading()
    with CpuTime().window(reading):
        subprocess.run([sys.executable, "-S", "-c", BURN], check=True)
    assert reading.value("cpu_s") >= 0.28


def test_a_living_child_is_counted():
    """A child that still runs at the window's end is in cpu_s, which os.times alone misses."""
    code = BURN + "print('done', flush=True)\ninput()"
    child = subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    reading = Reading()
    with child:
        with CpuTime().window(reading):
            child.stdout.readline()
        child.stdin.close()
    # the child had burnt a little before the window opened
    assert reading.value("cpu_s") >= 0.2


@pytest.mark.parametrize(("busy", "low", "high"), [(True, 0.15, 0.8), (False, 0.0, 0.14)])
def test_the_waiting_parent_is_accounted(busy, low, high):
    """harness_cpu_s tells a parent that spins from one that sleeps."""
    with subprocess.Popen([sys.executable, "-c", WORKER], **PIPES) as worker:
        assert worker.stdout.readline() == "ready\n"
        if busy:
            _burn(0.3)
        print(file=worker.stdin, flush=True)
        harness_s = float(worker.stdout.readline())
    assert low <= harness_s <= high


def _foreign_s(monkeypatch, before, after, *, own_s=1.0, harness_s=0.5, n_cpus=1):
    readings, own, harness = iter([before, after]), iter([10.0, 10.0 + own_s]), iter([3.0, 3.0 + harness_s])
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(readings))
    monkeypatch.setattr(psutil, "cpu_count", lambda: n_cpus)
    monkeypatch.setattr(cputime, "tree_cpu_s", lambda: next(own))
    monkeypatch.setattr(cputime, "process_cpu_s", lambda _process: next(harness))
    reading = Reading()
    with CpuTime().window(reading):
        pass
    return reading.value("foreign_cpu_s")


def test_foreign_time_is_what_nobody_else_used(monkeypatch):
    """foreign_cpu_s counts nice and stolen time, leaves out waiting, and does not count guests twice."""
    before = CpuTimes(100, 10, 20, 500, 30, 1, 40, 5)
    after = CpuTimes(104, 13, 22, 510, 70, 2, 43, 6)  # 4 user + 3 nice + 2 system + 1 stolen = 10 busy
    assert _foreign_s(monkeypatch, before, after) == pytest.approx(10 - 1.0 - 0.5)


def test_the_poller_is_nobody_foreign(monkeypatch):
    """What the sampling process uses has a column of its own and is not foreign."""
    used_s = {os.getppid(): iter([3.0, 3.5]), os.getpid(): iter([7.0, 7.25])}
    system = iter([CpuTimes(100, 0, 0, 500, 0, 0, 0, 0), CpuTimes(104, 0, 0, 500, 0, 0, 0, 0)])
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(system))
    monkeypatch.setattr(psutil, "cpu_count", lambda: 1)
    monkeypatch.setattr(cputime, "tree_cpu_s", iter([10.0, 11.0]).__next__)
    monkeypatch.setattr(cputime, "process_cpu_s", lambda process: next(used_s[process.pid]))
    reading = Reading(trace=Trace(Path("none"), pid=os.getpid()))
    with CpuTime().window(reading):
        pass
    assert reading.value("poller_cpu_s") == 0.25
    assert reading.value("foreign_cpu_s") == pytest.approx(4 - 1.0 - 0.5 - 0.25)


def test_a_poller_that_is_gone_leaves_the_rest(monkeypatch):
    """Where the sampling process has died its column is absent, and foreign time is still told."""
    reading = Reading(trace=Trace(Path("none"), pid=2**22 + 1))
    with CpuTime().window(reading):
        time.sleep(0.4)
    assert "poller_cpu_s" not in reading.quantities
    assert reading.value("foreign_cpu_s") is not None


def test_samples_are_load_and_mean_frequency(tmp_path, monkeypatch):
    """A sample has the load in percent and the mean of the CPUs' frequencies in Hz; a CPU off line is left out."""
    for cpu, khz in enumerate(["1000000", "2000000", "", "3000000"]):
        (tmp_path / f"cpu{cpu}" / "cpufreq").mkdir(parents=True)
        (tmp_path / f"cpu{cpu}" / "cpufreq" / "scaling_cur_freq").write_text(khz)
    monkeypatch.setattr(cputime, "CPUS", tmp_path)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: 42.5)
    assert CpuTime().sample() == {"cpu.utilisation_pct": 42.5, "cpu.frequency_hz": 2e9}
    monkeypatch.setattr(cputime, "CPUS", tmp_path / "none")
    assert CpuTime().sample() == {"cpu.utilisation_pct": 42.5}


@pytest.mark.parametrize(("n_cpus", "n_asked"), [(1, 1), (8, 8), (9, 5), (256, 8)])
def test_few_of_many_cpus_are_asked(tmp_path, n_cpus, n_asked):
    """On a large machine the frequency is that of some CPUs, spread evenly."""
    for cpu in range(n_cpus):
        (tmp_path / f"cpu{cpu}" / "cpufreq").mkdir(parents=True)
        (tmp_path / f"cpu{cpu}" / "cpufreq" / "scaling_cur_freq").write_text("1000")
    assert len(cputime._frequency_files(tmp_path)) == n_asked


def test_foreign_time_is_never_negative(monkeypatch):
    """A machine's account in ticks that lags behind the process's own gives 0 foreign seconds, not less."""
    before = CpuTimes(100, 0, 0, 500, 0, 0, 0, 0)
    after = CpuTimes(101.4, 0, 0, 500, 0, 0, 0, 0)
    assert _foreign_s(monkeypatch, before, after) == 0


@pytest.mark.parametrize(("n_cpus", "moved_s", "is_known"), [(1, 0.0002, False), (1, 0.19, False), (1, 0.2, True),
                                                              (64, 1.0, False), (64, 13.0, True)])  # fmt: skip
def test_a_share_within_the_ticks_is_unknown(monkeypatch, n_cpus, moved_s, is_known):
    """Where the machine's account moved by under 20 ticks of each CPU, one tick would be a twentieth of it or more."""
    before = CpuTimes(100, 0, 0, 500, 0, 0, 0, 0)
    after = CpuTimes(100 + moved_s, 0, 0, 500, 0, 0, 0, 0)
    found = _foreign_s(monkeypatch, before, after, own_s=0.0, harness_s=0.0, n_cpus=n_cpus)
    assert found == (pytest.approx(moved_s) if is_known else None)


def test_an_empty_system_account_gives_none(monkeypatch):
    """A sandbox whose system account stands still leaves foreign_cpu_s unknown, not 0."""
    still = CpuTimes(0, 0, 0, 0, 0, 0, 0, 0)
    assert _foreign_s(monkeypatch, still, still) is None


def test_an_unreadable_parent_gives_none(monkeypatch):
    """Where the parent may not be looked at, its time and the foreign time are unknown, not 0."""
    monkeypatch.setattr(cputime, "harness_process", lambda: None)
    reading = Reading()
    with CpuTime().window(reading):
        time.sleep(0.05)
    assert reading.quantities["harness_cpu_s"].value is None
    assert reading.quantities["foreign_cpu_s"].value is None


def test_a_window_that_raises_is_not_a_measurement():
    """An exception inside the window leaves the reading empty."""
    reading = Reading()
    with pytest.raises(RuntimeError), CpuTime().window(reading):
        raise RuntimeError
    assert reading.quantities == {}
