"""RAPL joules are those of packages and memory only, and unknown where the counters cannot tell."""

import errno
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.meters import rapl
from greenbench.meters.rapl import Rapl
from greenbench.plugins import Reading
from greenbench.traces import Trace

RANGE_UJ = 262_143_328_850
DESKTOP = {
    "intel-rapl:0": "package-0",
    "intel-rapl:0:0": "core",
    "intel-rapl:0:1": "uncore",
    "intel-rapl:0:2": "dram",
    "intel-rapl:1": "package-1",
    "intel-rapl:1:0": "dram",
    "intel-rapl:2": "psys",
    "intel-rapl-mmio:0": "package-0",
}


def _tree(root, zones=DESKTOP, start_uj=1_000_000_000, range_uj=RANGE_UJ):
    """Make a powercap folder; counters start 100 J apart so that none looks like another."""
    (root / "intel-rapl").mkdir(parents=True)
    for order, (folder, name) in enumerate(zones.items()):
        zone = root / folder
        zone.mkdir()
        (zone / "name").write_text(f"{name}\n")
        (zone / "max_energy_range_uj").write_text(f"{range_uj}\n")
        (zone / "energy_uj").write_text(f"{start_uj + order * 100_000_000}\n")
    return root


def _use(root, **used_uj):
    """Advance counters, wrapping as the kernel does; keys are zone folders with _ for : and no prefix."""
    for key, used in used_uj.items():
        path = root / ("intel-rapl:" + key.strip("_").replace("_", ":")) / "energy_uj"
        path.write_text(f"{(int(path.read_text()) + used) % RANGE_UJ}\n")


def _read(root, **used_uj):
    reading = Reading()
    with Rapl(root).window(reading):
        _use(root, **used_uj)
    return reading


def test_nested_domains_are_not_counted_twice(tmp_path):
    """psys, core, uncore and the MMIO copy of a package are inside or around it: packages alone add up."""
    root = _tree(tmp_path / "powercap")
    used = {"_0": 5_000_000, "_1": 7_000_000, "_0_0": 3_000_000, "_0_1": 1_000_000, "_2": 20_000_000}
    used |= {"_0_2": 2_000_000, "_1_0": 500_000}
    reading = Reading()
    with Rapl(root).window(reading):
        _use(root, **used)
        mmio = root / "intel-rapl-mmio:0" / "energy_uj"
        mmio.write_text(str(int(mmio.read_text()) + 5_000_000))
    cpu, dram = reading.quantities["energy_cpu_j"], reading.quantities["energy_dram_j"]
    assert (cpu.value, cpu.method, cpu.source) == (12.0, "counter", "rapl")
    assert dram.value == 2.5


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=4), st.integers(0, RANGE_UJ - 1))
def test_joules_are_the_sum_of_the_packages(tmp_path_factory, used_uj, start_uj):
    """For any start of the counters, one wrap included, joules are the microjoules used, summed."""
    zones = {f"intel-rapl:{n}": f"package-{n}" for n in range(len(used_uj))}
    root = tmp_path_factory.mktemp("powercap") / "root"
    _tree(root, zones)
    for folder in zones:
        (root / folder / "energy_uj").write_text(str(start_uj))
    reading = _read(root, **{f"_{n}": used for n, used in enumerate(used_uj)})
    assert reading.value("energy_cpu_j") == pytest.approx(sum(used_uj) / 1e6)


def test_a_wrap_is_made_good(tmp_path):
    """A counter that wrapped once inside the window gives the joules used, not fewer than none."""
    root = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"}, start_uj=RANGE_UJ - 1_000_000)
    assert _read(root, _0=3_000_000).value("energy_cpu_j") == pytest.approx(3.0)


def test_a_window_that_may_hide_a_wrap_is_unknown(tmp_path, monkeypatch):
    """A window in which a counter may have wrapped twice gives None and says how short it must be."""
    root = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"})
    seconds = iter([0.0, RANGE_UJ / 1e6 / rapl.MAX_POWER_W + 1])
    monkeypatch.setattr(rapl.time, "perf_counter", lambda: next(seconds))
    quantity = _read(root, _0=3_000_000).quantities["energy_cpu_j"]
    assert quantity.value is None
    assert "under 262 s" in quantity.note


def _trace(path, watts, times):
    """A trace of one package counter that wraps at ``RANGE_UJ``, from 0 J at second 0."""
    samples = [{"t_s": t, "rapl.package-0.energy_uj": int(watts * t * 1e6) % RANGE_UJ} for t in times]
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return Trace(path)


def _read_long(root, trace, watts, window, monkeypatch):
    """Read one package that draws ``watts`` over a window in which it wraps several times."""
    seconds = iter(window)
    monkeypatch.setattr(rapl.time, "perf_counter", lambda: next(seconds))
    counter = root / "intel-rapl:0" / "energy_uj"
    counter.write_text(str(int(watts * window[0] * 1e6) % RANGE_UJ))
    reading = Reading(trace=trace)
    with Rapl(root).window(reading):
        counter.write_text(str(int(watts * window[1] * 1e6) % RANGE_UJ))
    return reading.quantities["energy_cpu_j"]


@pytest.mark.parametrize("window", [(250.0, 1250.0), (250.05, 1250.07), (2.0, 265.0), (10.0, 5000.0)])
def test_several_wraps_are_made_good_by_the_poller(tmp_path, monkeypatch, window):
    """A counter that wraps up to 19 times in a window gives its joules: the poller saw it more often than that."""
    root = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"})
    watts = 999.0
    trace = _trace(tmp_path / "power.jsonl", watts, [t / 2 for t in range(12_000)])
    quantity = _read_long(root, trace, watts, window, monkeypatch)
    assert quantity.value == pytest.approx(watts * (window[1] - window[0]), rel=1e-6)
    assert (quantity.method, quantity.source) == ("counter", "rapl")


@pytest.mark.parametrize("gap", [(0, 400), (500, 800), (900, 12_000)])
def test_a_poller_that_paused_too_long_makes_no_joules(tmp_path, monkeypatch, gap):
    """Where two samples, or an edge and its next sample, are further apart than a wrap may take, it is None."""
    root = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"})
    times = [t for t in range(2000) if not gap[0] <= t < gap[1]]
    quantity = _read_long(root, _trace(tmp_path / "power.jsonl", 500.0, times), 500.0, (100.0, 1250.0), monkeypatch)
    assert quantity.value is None
    assert "without a sample a counter may wrap twice" in quantity.note
    assert "trace_hz" in quantity.note


def test_the_poller_is_not_asked_about_a_short_window(tmp_path, monkeypatch):
    """Where one wrap at most can have happened the edges suffice, whatever the trace says."""
    root = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"})
    (tmp_path / "power.jsonl").write_text(json.dumps({"t_s": 101.0, "rapl.package-0.energy_uj": 7}) + "\n")
    trace = Trace(tmp_path / "power.jsonl")
    assert _read_long(root, trace, 50.0, (100.0, 102.0), monkeypatch).value == pytest.approx(100.0)


def test_samples_are_the_raw_counters_each_under_a_name_of_its_own(tmp_path, monkeypatch):
    """A sample has packages and their memories, exactly as the kernel counts; a refused one is left out."""
    root = _tree(tmp_path / "powercap")
    counters = {
        "rapl.package-0.energy_uj": 1_000_000_000,
        "rapl.package-0-dram.energy_uj": 1_300_000_000,
        "rapl.package-1.energy_uj": 1_400_000_000,
        "rapl.package-1-dram.energy_uj": 1_500_000_000,
    }
    assert Rapl(root).sample() == counters
    assert all(isinstance(uj, int) for uj in Rapl(root).sample().values())
    _refuse(monkeypatch, OSError(errno.ENODATA, "No data available"))
    assert Rapl(root).sample() == {}
    assert Rapl(tmp_path / "none").sample() == {}


@pytest.mark.parametrize("used_uj", [{}, {"_0": 5_000_000}])
def test_a_counter_that_stands_still_is_unknown(tmp_path, used_uj):
    """A counter that did not move gives None, not 0 J, even when another package's moved."""
    root = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0", "intel-rapl:1": "package-1"})
    quantity = _read(root, **used_uj).quantities["energy_cpu_j"]
    assert quantity.value is None
    assert "did not move" in quantity.note


def test_mirrored_dies_count_once(tmp_path):
    """Dies of one socket that show the same counter, read a moment apart, are one meter."""
    dies = {f"intel-rapl:{n}": f"package-0-die-{n}" for n in range(2)}
    root = _tree(tmp_path / "powercap", dies)
    (root / "intel-rapl:1" / "energy_uj").write_text(str(1_000_000_000 + 20_000))
    reading = _read(root, _0=68_000_000, _1=68_010_000)
    assert reading.value("energy_cpu_j") == 68.0


def test_distinct_dies_add_up(tmp_path):
    """Dies of one socket with counters of their own are both counted, even when they use the same."""
    dies = {f"intel-rapl:{n}": f"package-0-die-{n}" for n in range(2)}
    root = _tree(tmp_path / "powercap", dies)
    assert _read(root, _0=68_000_000, _1=68_000_000).value("energy_cpu_j") == 136.0


def test_two_sockets_are_never_mirrors(tmp_path):
    """Two sockets whose counters happen to agree are both counted."""
    sockets = {f"intel-rapl:{n}": f"package-{n}" for n in range(2)}
    root = _tree(tmp_path / "powercap", sockets)
    (root / "intel-rapl:1" / "energy_uj").write_text("1000000000")
    assert _read(root, _0=4_000_000, _1=4_000_000).value("energy_cpu_j") == 8.0


def test_without_a_memory_domain_there_is_no_memory_energy(tmp_path):
    """Where memory is not counted energy_dram_j is absent, rather than 0."""
    reading = _read(_tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"}), _0=1_000_000)
    assert "energy_dram_j" not in reading.quantities


@pytest.mark.parametrize("error", [OSError(errno.ENODATA, "No data available"), ValueError("not a number")])
def test_a_refused_read_is_unknown(tmp_path, monkeypatch, error):
    """A counter that the kernel refuses to read at the end gives None and does not end the run."""
    root = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"})
    reading = Reading()
    with Rapl(root).window(reading):
        _refuse(monkeypatch, error)
    quantity = reading.quantities["energy_cpu_j"]
    assert quantity.value is None
    assert "could not be read" in quantity.note


def test_segments_add_up(tmp_path):
    """Two windows with one reading add up, and what is used in between is not counted."""
    root = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"})
    reading = Reading()
    for _ in range(2):
        with Rapl(root).window(reading):
            _use(root, _0=1_500_000)
        _use(root, _0=50_000_000)
    assert reading.value("energy_cpu_j") == 3.0


def test_readable_counters_are_available(tmp_path):
    """A machine with a readable package counter is available, with or without memory domains."""
    assert Rapl(_tree(tmp_path / "a")).unavailable() is None
    assert Rapl(_tree(tmp_path / "b", {"intel-rapl:0": "package-0"})).unavailable() is None


@pytest.mark.parametrize("zones", [None, {}, {"intel-rapl:0": "psys"}])
def test_absence_names_the_place_and_a_way_out(tmp_path, zones):
    """Without a package counter the reason has the folder looked at and what to do, in one line."""
    root = tmp_path / "powercap" if zones is None else _tree(tmp_path / "powercap", zones)
    reason = Rapl(root).unavailable()
    assert str(root) in reason
    assert "bare metal" in reason
    assert "\n" not in reason


def _refuse(monkeypatch, error):
    """Let reading any energy counter fail; file modes do not stop root."""
    read_text = Path.read_text

    def refusing(path, *args, **kwargs):
        if path.name == "energy_uj":
            raise error
        return read_text(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", refusing)


def test_permission_denied_gives_the_remedies(tmp_path, monkeypatch):
    """Where only root may read, the reason has the command for now and the udev rule for good."""
    root = _tree(tmp_path / "powercap")
    file = str(root / "intel-rapl:0" / "energy_uj")
    _refuse(monkeypatch, PermissionError(errno.EACCES, "Permission denied", file))
    reason = Rapl(root).unavailable()
    assert file in reason
    assert f"sudo chmod a+r {root}/intel-rapl:*/energy_uj" in reason
    assert 'SUBSYSTEM=="powercap"' in reason
    assert "chgrp GROUP" in reason
    assert "\n" not in reason


def test_a_broken_counter_is_a_reason(tmp_path):
    """A counter with no number in it makes the meter unavailable, with the text in the reason."""
    root = _tree(tmp_path / "powercap")
    (root / "intel-rapl:0" / "energy_uj").write_text("rubbish\n")
    assert "rubbish" in Rapl(root).unavailable()
