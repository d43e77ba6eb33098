"""RAPL joules are those of packages and memory only, and unknown where the counters cannot tell."""

import errno
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greenbench.meters import measure, rapl
from greenbench.meters.rapl import Rapl
from greenbench.plugins import Reading
from greenbench.plugins.traces import Trace

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


@pytest.fixture(autouse=True)
def hand(monkeypatch):
    """A clock whose hand moves where a test says so: counters of known watts need known seconds."""
    now = [100.0]
    monkeypatch.setattr(rapl.time, "perf_counter", lambda: now[0])
    return now


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


def _read(root, hand, seconds=2.0, trace=None, **used_uj):
    reading = Reading(trace=trace)
    with measure([Rapl(root)], reading):
        _use(root, **used_uj)
        hand[0] += seconds
    return reading


def test_nested_domains_are_not_counted_twice(tmp_path, hand):
    """psys, core, uncore and the MMIO copy of a package are inside or around it: packages alone add up."""
    root = _tree(tmp_path / "powercap")
    used = {"_0": 5_000_000, "_1": 7_000_000, "_0_0": 3_000_000, "_0_1": 1_000_000, "_2": 20_000_000}
    used |= {"_0_2": 2_000_000, "_1_0": 500_000}
    reading = Reading()
    with measure([Rapl(root)], reading):
        _use(root, **used)
        hand[0] += 1.0
        mmio = root / "intel-rapl-mmio:0" / "energy_uj"
        mmio.write_text(str(int(mmio.read_text()) + 5_000_000))
    cpu, dram = reading.quantities["energy_cpu_j"], reading.quantities["energy_dram_j"]
    assert (cpu.value, cpu.method, cpu.source) == (12.0, "counter", "rapl")
    assert dram.value == 2.5


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(10**5, 10**9), min_size=1, max_size=4), st.integers(0, RANGE_UJ - 1))
def test_joules_are_the_sum_of_the_packages(tmp_path_factory, hand, used_uj, start_uj):
    """For any start of the counters, one wrap included, joules are the microjoules used, summed."""
    zones = {f"intel-rapl:{n}": f"package-{n}" for n in range(len(used_uj))}
    root = tmp_path_factory.mktemp("powercap") / "root"
    _tree(root, zones)
    for folder in zones:
        (root / folder / "energy_uj").write_text(str(start_uj))
    reading = _read(root, hand, **{f"_{n}": used for n, used in enumerate(used_uj)})
    assert reading.value("energy_cpu_j") == pytest.approx(sum(used_uj) / 1e6)


def test_a_wrap_is_made_good(tmp_path, hand):
    """A counter that wrapped once inside the window gives the joules used, not fewer than none."""
    root = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"}, start_uj=RANGE_UJ - 1_000_000)
    assert _read(root, hand, _0=3_000_000).value("energy_cpu_j") == pytest.approx(3.0)


def test_a_window_that_may_hide_a_wrap_is_unknown(tmp_path, hand):
    """A window in which a counter may have wrapped twice gives None and says how short it must be."""
    root = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"})
    quantity = _read(root, hand, RANGE_UJ / 1e6 / 1000 + 1, _0=3_000_000).quantities["energy_cpu_j"]
    assert quantity.value is None
    assert "under 262 s" in quantity.note


def _trace(path, watts, times, read_s=0.0):
    """A trace of one package counter that wraps at ``RANGE_UJ``, read in the middle of a sample."""
    samples = [
        {"t_s": t, "t_end_s": t + read_s, "rapl.package-0.energy_uj": int(watts * (t + read_s / 2) * 1e6) % RANGE_UJ}
        for t in times
    ]
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return Trace(path)


def _read_long(root, trace, watts, window, hand):
    """Read one package that draws ``watts`` over a window in which it wraps several times."""
    hand[0] = window[0]
    counter = root / "intel-rapl:0" / "energy_uj"
    counter.write_text(str(int(watts * window[0] * 1e6) % RANGE_UJ))
    reading = Reading(trace=trace)
    with measure([Rapl(root)], reading):
        counter.write_text(str(int(watts * window[1] * 1e6) % RANGE_UJ))
        hand[0] = window[1]
    return reading.quantities["energy_cpu_j"]


@pytest.mark.parametrize("window", [(250.0, 1250.0), (250.05, 1250.07), (2.0, 265.0), (10.0, 5000.0)])
def test_several_wraps_are_made_good_by_the_poller(tmp_path, hand, window):
    """A counter that wraps up to 19 times in a window gives its joules: the poller saw it more often than that."""
    root = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"})
    watts = 999.0
    trace = _trace(tmp_path / "power.jsonl", watts, [t / 2 for t in range(12_000)])
    quantity = _read_long(root, trace, watts, window, hand)
    assert quantity.value == pytest.approx(watts * (window[1] - window[0]), rel=1e-6)
    assert (quantity.method, quantity.source) == ("counter", "rapl")


@pytest.mark.parametrize("gap", [(0, 400), (500, 800), (900, 12_000)])
def test_a_poller_that_paused_too_long_makes_no_joules(tmp_path, hand, gap):
    """Where two samples, or an edge and its next sample, are further apart than a wrap may take, it is None."""
    root = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"})
    times = [t for t in range(2000) if not gap[0] <= t < gap[1]]
    quantity = _read_long(root, _trace(tmp_path / "power.jsonl", 500.0, times), 500.0, (100.0, 1250.0), hand)
    assert quantity.value is None
    assert "without a sample a counter may wrap twice" in quantity.note
    assert "trace_hz" in quantity.note


# --- a sample that is read while an edge is --------------------------------------------------------------


@pytest.mark.parametrize("read_s", [0.0005, 0.005, 0.02, 0.09])
@pytest.mark.parametrize("shift_s", [-0.5, -0.25, 0.0, 0.25, 0.5, 1.0])
def test_a_sample_across_an_edge_decides_no_wrap(tmp_path, hand, read_s, shift_s):
    """However a sample's read lies across an edge of a long window, watts x seconds come out: never a range more."""
    root, watts, window = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"}), 50.0, (300.0, 600.0)
    times = [t / 10 + shift_s * read_s for t in range(2900, 6100)]
    quantity = _read_long(root, _trace(tmp_path / "power.jsonl", watts, times, read_s), watts, window, hand)
    assert quantity.value == pytest.approx(watts * 300, rel=1e-6)


@pytest.mark.parametrize("edge", ["start", "end"])
def test_a_sample_stamped_inside_and_read_outside_does_not_count(tmp_path, hand, edge):
    """Stamped before the closing read and read after it, or the like at the start, a sample is left out."""
    root, watts, window = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"}), 50.0, (300.0, 600.0)
    trace = _trace(tmp_path / "power.jsonl", watts, range(290, 610))
    late = {"start": (299.9, 300.1, 300.0 - 1e-3), "end": (599.9, 600.1, 600.0 + 1e-3)}[edge]
    stray = {"t_s": late[0], "t_end_s": late[1], "rapl.package-0.energy_uj": int(watts * late[2] * 1e6)}
    lines = [*trace.path.read_text().splitlines(), json.dumps(stray)]
    trace.path.write_text("\n".join(sorted(lines, key=lambda line: json.loads(line)["t_s"])) + "\n")
    assert _read_long(root, trace, watts, window, hand).value == pytest.approx(watts * 300, rel=1e-6)


def test_a_sample_of_an_earlier_version_counts_if_the_next_one_is_inside_too(tmp_path, hand):
    """With one time a sample had been read at the latest as the next began: the last inside is left out."""
    root, watts, window = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"}), 50.0, (300.0, 600.0)
    values = {290.0: 290.0, 299.0: 299.0, 350.0: 350.0, 450.0: 450.0, 550.0: 550.0, 599.999: 600.01, 601.0: 601.0}
    samples = [{"t_s": t, "rapl.package-0.energy_uj": int(watts * read_s * 1e6)} for t, read_s in values.items()]
    (tmp_path / "power.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    quantity = _read_long(root, Trace(tmp_path / "power.jsonl"), watts, window, hand)
    assert quantity.value == pytest.approx(watts * 300, rel=1e-6)


# --- a counter that was reset ----------------------------------------------------------------------------


def test_a_reset_is_no_wrap(tmp_path, hand):
    """A package of 40 W whose counter begins anew in a window of 30 s has no joules: no package draws 8 kW."""
    root = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"}, start_uj=20_000_000_000)
    reading = Reading()
    with measure([Rapl(root)], reading):
        (root / "intel-rapl:0" / "energy_uj").write_text("600000000")
        hand[0] += 30.0
    quantity = reading.quantities["energy_cpu_j"]
    assert quantity.value is None
    assert quantity.note == (
        "a counter stepped back from 20000 to 600 J, far from its range of 262143 J: it was reset (suspend, reloaded "
        "driver, hotplug)"
    )


@pytest.mark.parametrize("range_j", [1_000, 65_533, 262_143])
def test_a_reset_that_the_edges_do_not_show_is_seen_by_the_poller(tmp_path, hand, range_j):
    """A counter that has passed its first value again by the end would look fine: a sample stepped back in between."""
    root = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"}, start_uj=50_000_000, range_uj=range_j * 10**6)
    values_j = {100.1: 54, 100.6: 74, 101.1: 10, 101.6: 30, 102.1: 50, 102.6: 70, 103.1: 90}
    samples = [{"t_s": t, "t_end_s": t, "rapl.package-0.energy_uj": j * 10**6} for t, j in values_j.items()]
    (tmp_path / "p").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    reading = _read(root, hand, seconds=3.0, trace=Trace(tmp_path / "p"), _0=36_000_000)
    assert reading.value("energy_cpu_j") is None
    assert "stepped back from 74 to 10 J" in reading.quantities["energy_cpu_j"].note


@pytest.mark.parametrize(("before_j", "after_j"), [(1_000, 51_200), (60_000, 60_003), (49_999, 50_001), (-5, 1)])
def test_a_counter_outside_its_range_is_no_counter(tmp_path, hand, before_j, after_j):
    """Of 0 to 50,000 J: whoever takes the rest by the range makes 200 J of 50,200, and believes what cannot be read."""
    root = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"}, before_j * 10**6, range_uj=50_000 * 10**6)
    reading = Reading()
    with measure([Rapl(root)], reading):
        (root / "intel-rapl:0" / "energy_uj").write_text(str(after_j * 10**6))
        hand[0] += 2.0
    assert reading.value("energy_cpu_j") is None
    assert "outside its range of 50000 J" in reading.quantities["energy_cpu_j"].note


@pytest.mark.parametrize(("joules", "is_known"), [(1999.0, True), (2010.0, False), (0.001, False), (0.03, True)])
def test_joules_that_no_package_draws_are_none(tmp_path, hand, joules, is_known):
    """In 2 s a package draws at most 2,000 J, give or take an update, and not under a hundredth of a watt."""
    root = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"})
    quantity = _read(root, hand, 2.0, _0=int(joules * 1e6)).quantities["energy_cpu_j"]
    assert (quantity.value is not None) is is_known
    assert is_known or "CPU package" in quantity.note


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
def test_a_counter_that_stands_still_is_unknown(tmp_path, hand, used_uj):
    """A counter that did not move gives None, not 0 J, even when another package's moved."""
    root = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0", "intel-rapl:1": "package-1"})
    quantity = _read(root, hand, **used_uj).quantities["energy_cpu_j"]
    assert quantity.value is None
    assert "did not move" in quantity.note


def test_mirrored_dies_count_once(tmp_path, hand):
    """Dies of one socket that show the same counter, read a moment apart, are one meter."""
    dies = {f"intel-rapl:{n}": f"package-0-die-{n}" for n in range(2)}
    root = _tree(tmp_path / "powercap", dies)
    (root / "intel-rapl:1" / "energy_uj").write_text(str(1_000_000_000 + 20_000))
    reading = _read(root, hand, _0=68_000_000, _1=68_010_000)
    assert reading.value("energy_cpu_j") == 68.0


def test_distinct_dies_add_up(tmp_path, hand):
    """Dies of one socket with counters of their own are both counted, even when they use the same."""
    dies = {f"intel-rapl:{n}": f"package-0-die-{n}" for n in range(2)}
    root = _tree(tmp_path / "powercap", dies)
    assert _read(root, hand, _0=68_000_000, _1=68_000_000).value("energy_cpu_j") == 136.0


def test_two_sockets_are_never_mirrors(tmp_path, hand):
    """Two sockets whose counters happen to agree are both counted."""
    sockets = {f"intel-rapl:{n}": f"package-{n}" for n in range(2)}
    root = _tree(tmp_path / "powercap", sockets)
    (root / "intel-rapl:1" / "energy_uj").write_text("1000000000")
    assert _read(root, hand, _0=4_000_000, _1=4_000_000).value("energy_cpu_j") == 8.0


def test_without_a_memory_domain_there_is_no_memory_energy(tmp_path, hand):
    """Where memory is not counted energy_dram_j is absent, rather than 0."""
    reading = _read(_tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"}), hand, _0=1_000_000)
    assert "energy_dram_j" not in reading.quantities


@pytest.mark.parametrize("error", [OSError(errno.ENODATA, "No data available"), ValueError("not a number")])
def test_a_refused_read_is_unknown(tmp_path, monkeypatch, error):
    """A counter that the kernel refuses to read at the end gives None and does not end the run."""
    root = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"})
    reading = Reading()
    with measure([Rapl(root)], reading):
        _refuse(monkeypatch, error)
    quantity = reading.quantities["energy_cpu_j"]
    assert quantity.value is None
    assert "could not be read" in quantity.note


def test_segments_add_up(tmp_path, hand):
    """Two windows with one reading add up, and what is used in between is not counted."""
    root = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"})
    reading = Reading()
    for _ in range(2):
        with measure([Rapl(root)], reading):
            _use(root, _0=1_500_000)
            hand[0] += 0.1
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


@pytest.mark.parametrize("broken", ["dangling", "no name", "no range"])
def test_a_powercap_that_is_masked_or_mounted_by_half_is_one_clear_line(tmp_path, broken):
    """Dangling links, as in containers, and zones without their files say what to mount."""
    root = _tree(tmp_path / "powercap", {"intel-rapl:0": "package-0"})
    if broken == "dangling":
        (root / "intel-rapl:1").symlink_to(tmp_path / "devices" / "intel-rapl:1")
    else:
        (root / "intel-rapl:1").mkdir()
        (root / "intel-rapl:1" / ("max_energy_range_uj" if broken == "no name" else "name")).write_text("package-1\n")
    reason = Rapl(root).unavailable()
    assert "masked or mounted in part" in reason
    assert "mount both" in reason
    assert str(root / "intel-rapl:1") in reason
    assert "\n" not in reason


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
