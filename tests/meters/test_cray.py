"""Cray's node counter: joules of the whole node, and unknown where the counter cannot tell."""

import json
from pathlib import Path

import pytest

from greenbench.meters import cray, measure
from greenbench.meters.cray import CrayPm
from greenbench.plugins import Quantity, Reading
from greenbench.plugins.traces import Trace
from greenbench.validate import joules

STAMP = 1_764_490_000_000_000

NODE = {
    "accel0_energy": "2000 J", "accel0_power": "90 W", "accel0_power_cap": "0 W", "cpu_energy": "5000 J",
    "cpu_power": "120 W", "cpu_temp": "45 C", "energy": "9000 J", "freshness": "400", "generation": "7",
    "memory_energy": "900 J", "memory_power": "20 W", "power": "300 W", "power_cap": "0 W", "raw_scan_hz": "10",
    "startup": "1764400000", "version": "2",
}  # fmt: skip
"""The files of a node with one accelerator, each with its time stamp (HPE, docs-csm; CSCS, "HPC Clusters")."""


@pytest.fixture(autouse=True)
def hand(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock whose hand moves where a test says so."""
    now = [100.0]
    monkeypatch.setattr(cray.time, "perf_counter", lambda: now[0])
    return now


@pytest.fixture
def node(tmp_path: Path) -> Path:
    root = tmp_path / "pm_counters"
    root.mkdir()
    put(root, NODE)
    return root


def put(root: Path, values: dict[str, str]) -> None:
    for name, value in values.items():
        (root / name).write_text(f"{value} {STAMP} us\n")


def read(root: Path, hand: list[float], seconds: float = 10.0, trace: Trace | None = None, **after: str) -> Quantity:
    reading = Reading(trace=trace)
    with measure([CrayPm(root)], reading):
        put(root, {"freshness": "500", **after})
        hand[0] += seconds
    return reading.quantities["energy_system_j"]


def test_the_node_s_counter_alone_is_its_energy(node: Path, hand: list[float]) -> None:
    """CPU, memory and accelerators are parts of it: nothing is added."""
    found = read(node, hand, energy="12000 J", cpu_energy="6500 J", memory_energy="1100 J", accel0_energy="3000 J")
    assert (found.value, found.method, found.source, found.note) == (3000.0, "counter", "cray-pm", None)


@pytest.mark.parametrize(
    ("after", "why"),
    [
        ({}, "it is stuck, or the window is shorter than its 0.1 s update"),
        ({"energy": "12000 J", "freshness": "400"}, "it is stuck"),
        ({"energy": "8999 J"}, "stepped back from 9000 to 8999 J: it was reset"),
        ({"energy": "12000 J", "startup": "1764490001"}, "controller was started again"),
        ({"energy": "12000 kJ"}, "could not be read at an edge"),
        ({"energy": "-1 J"}, "could not be read at an edge"),
        ({"energy": "not available"}, "could not be read at an edge"),
        ({"energy": "900000000 J"}, "more than a machine"),
    ],
)
def test_what_cannot_be_known_is_none_with_a_reason(
    node: Path, hand: list[float], after: dict[str, str], why: str
) -> None:
    """Stuck, reset, started again, in another unit, or beyond what a node draws: never 0, never a guess."""
    found = read(node, hand, **after)
    assert found.value is None
    assert why in (found.note or "")


@pytest.mark.parametrize("gone", ["startup", "freshness"])
def test_a_node_without_a_file_that_only_checks_has_its_joules(node: Path, hand: list[float], gone: str) -> None:
    """What is not there contradicts nothing."""
    (node / gone).unlink()
    reading = Reading()
    with measure([CrayPm(node)], reading):
        put(node, {"energy": "12000 J"} | ({} if gone == "freshness" else {"freshness": "500"}))
        hand[0] += 10
    assert reading.value("energy_system_j") == 3000.0


def test_a_reset_that_the_edges_do_not_show_is_seen_by_the_poller(
    node: Path, hand: list[float], tmp_path: Path
) -> None:
    """A counter that has passed its first value again by the end steps back in between."""
    samples = [{"t_s": t, "t_end_s": t, cray.ENERGY: j} for t, j in ((101.0, 9300), (102.0, 10), (109.0, 11_000))]
    (tmp_path / "p").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    found = read(node, hand, trace=Trace(tmp_path / "p"), energy="12000 J")
    assert found.value is None
    assert "stepped back from 9300 to 10 J" in str(found.note)


def test_samples_are_the_raw_counters(node: Path) -> None:
    """As the controller counts, without what cannot be read."""
    assert CrayPm(node).sample() == {cray.ENERGY: 9000, cray.STARTUP: 1_764_400_000, cray.FRESHNESS: 400}
    (node / "energy").write_text("")
    assert cray.ENERGY not in CrayPm(node).sample()
    assert CrayPm(node / "none").sample() == {}


def test_whether_it_can_measure_is_one_line_with_a_way_out(
    node: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the counter is absent, may not be read, or is something else."""
    assert CrayPm(node).unavailable() is None
    assert "wall (--power-log)" in str(CrayPm(tmp_path / "none").unavailable())
    put(node, {"energy": "9 kWh"})
    assert "'9 kWh" in str(CrayPm(node).unavailable())

    def refused(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(cray.kernel, "read", refused)
    assert str(CrayPm(node).unavailable()).startswith(f"{node / 'energy'} may not be read: ask the site")


def test_stored_joules_are_held_against_the_samples() -> None:
    """At 300 W, sampled every half second, ten seconds are about 3,000 J and neither half nor twice that."""
    samples = [{"t_s": 0.5 * n, cray.ENERGY: 150 * n} for n in range(-1, 22)]
    low, high = joules.bounds_j("system", "cray-pm", [(0.0, 10.0, samples)]) or (0.0, 0.0)
    assert 2000 < low < 3000 < high < 4000
