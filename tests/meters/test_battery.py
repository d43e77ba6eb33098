"""A battery measures the machine while it alone feeds it, and says so while it does not."""

import errno
import json
from pathlib import Path

import pytest

from greenbench import meters
from greenbench.meters import measure
from greenbench.meters.battery import Battery
from greenbench.plugins import Polled, Reading
from greenbench.plugins.traces import Trace

WATTS = {"type": "Battery", "status": "Discharging", "power_now": 12_500_000}
VOLTS = {"type": "Battery", "status": "Discharging", "voltage_now": 11_400_000, "current_now": 1_000_000}
MAINS = {"type": "Mains", "online": 1}


def tree(root, **supplies):
    """Make a power_supply folder with a supply for each mapping of files."""
    root.mkdir()
    for name, files in supplies.items():
        (root / name).mkdir()
        for file, content in files.items():
            (root / name / file).write_text(f"{content}\n")
    return root


@pytest.mark.parametrize(
    ("supplies", "watts"),
    [
        ({"BAT0": WATTS, "AC": MAINS | {"online": 0}}, 12.5),
        ({"BAT1": VOLTS}, 11.4),
        ({"CMB0": VOLTS | {"current_now": -1_000_000}}, 11.4),
        ({"BAT0": WATTS, "BAT1": VOLTS}, 23.9),
        ({"BAT0": WATTS, "BAT1": VOLTS | {"status": "Not charging"}}, 12.5),
        ({"BAT0": WATTS, "USB0": {"type": "USB", "online": 0}, "phone": MAINS | {"scope": "Device"}}, 12.5),
        ({"BAT0": WATTS, "BAT1": VOLTS | {"status": "Full"}}, 12.5),
        ({"BAT0": VOLTS | {"power_now": "rubbish"}}, 11.4),
        ({"BAT0": VOLTS | {"power_now": ""}}, 11.4),
        ({"BAT0": WATTS, "BAT1": WATTS | {"present": 0}}, 12.5),
        ({"BAT0": WATTS, "hidpp_battery_0": VOLTS | {"scope": "Device", "status": "Charging"}}, 12.5),
    ],
)
def test_a_sample_is_what_the_batteries_give(tmp_path, supplies, watts):
    """Watts, or volts times amperes whatever their sign, of every battery that gives; a mouse's is none of them."""
    meter = Battery(tree(tmp_path / "supply", **supplies))
    assert isinstance(meter, Polled)
    assert meter.sample() == {"battery.all.power_w": pytest.approx(watts)}
    assert meter.unavailable() is None


@pytest.mark.parametrize(
    ("supplies", "reason"),
    [
        ({}, "no battery under"),
        ({"AC": MAINS}, "no battery under"),
        ({"mouse": WATTS | {"scope": "Device"}}, "no battery under"),
        ({"BAT0": WATTS | {"status": "Charging"}}, "runs on mains (BAT0 charging): unplug it"),
        ({"BAT0": WATTS | {"status": "Full", "power_now": 0}}, "runs on mains (BAT0 full): unplug it"),
        ({"BAT0": WATTS, "BAT1": WATTS | {"status": "Charging"}}, "(BAT0 discharging, BAT1 charging)"),
        ({"BAT0": WATTS, "AC": MAINS}, "runs on mains (BAT0 discharging, AC online): unplug it"),
        ({"BAT0": WATTS, "usb": {"type": "USB", "online": 1}}, "(BAT0 discharging, usb online)"),
        ({"BAT0": WATTS | {"power_now": "rubbish"}}, "cannot be read"),
        ({"BAT0": {"type": "Battery", "status": "Discharging"}}, "cannot be read"),
    ],
)
def test_why_there_is_no_measurement(tmp_path, supplies, reason):
    """On mains, without a battery or with one that does not tell its power, the reason says which of these it is."""
    assert reason in Battery(tree(tmp_path / "supply", **supplies)).unavailable()


@pytest.mark.parametrize("status", ["Unknown", "", "Discharge"])
def test_a_battery_that_does_not_say_whether_it_gives_leaves_no_sum(tmp_path, status):
    """One of two may discharge too: 12.5 W of the other are not the machine's, and the reason names which it is."""
    root = tree(tmp_path / "supply", BAT0=WATTS, BAT1=WATTS | {"status": status})
    assert Battery(root).sample() == {}
    assert "BAT1 does not say whether it discharges (BAT0 discharging, BAT1" in Battery(root).unavailable()


@pytest.mark.parametrize(
    "supplies",
    [
        {"AC": MAINS},
        {"BAT2": WATTS | {"status": "Charging"}},
    ],
)
def test_where_mains_feed_the_machine_an_unknown_battery_is_not_the_reason(tmp_path, supplies):
    """What helps is to unplug it, which is said first."""
    root = tree(tmp_path / "supply", BAT0=WATTS, BAT1=WATTS | {"status": "Unknown"}, **supplies)
    assert "runs on mains" in Battery(root).unavailable()


def test_one_gauge_of_two_that_stands_at_0_leaves_no_sum(tmp_path):
    """A battery that is said to give and tells 0 W gives something: the other one's 12.5 W are not the machine's."""
    root = tree(tmp_path / "supply", BAT0=WATTS, BAT1=WATTS | {"power_now": 0})
    assert Battery(root).sample() == {"battery.all.power_w": 0.0}  # which no window takes for a power


def test_a_gauge_that_refuses_its_power_is_read_by_volts_and_amperes(tmp_path, monkeypatch):
    """Where the controller answers ENODEV for power_now the battery is not given up: 11.4 V x 1 A."""
    root, read_text = tree(tmp_path / "supply", BAT0=VOLTS | {"power_now": 0}), Path.read_text

    def refusing(path, *args, **kwargs):
        if path.name == "power_now":
            raise OSError(errno.ENODEV, "No such device", str(path))
        return read_text(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", refusing)
    assert Battery(root).unavailable() is None
    assert Battery(root).sample() == {"battery.all.power_w": pytest.approx(11.4)}
    (root / "BAT0" / "current_now").unlink()
    assert "power_now" in Battery(root).unavailable()


def test_on_mains_there_is_no_sample(tmp_path):
    """While the battery is charged its gauge shows what flows in, which is not what the machine draws."""
    assert Battery(tree(tmp_path / "supply", BAT0=WATTS | {"status": "Charging"})).sample() == {}


@pytest.mark.parametrize("plugged_in", [False, True])
def test_the_windows_energy_is_integrated_from_the_samples(tmp_path, monkeypatch, plugged_in):
    """Constant watts over two seconds are joules; a window in which somebody plugged the machine in is None."""
    path, watts = tmp_path / "power.jsonl", {"battery.all.power_w": 12.5}
    on_mains = range(30, 45) if plugged_in else ()
    samples = [{"t_s": t / 10, **({} if t in on_mains else watts)} for t in range(100)]
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    seconds = iter([2.5, 5.5])
    monkeypatch.setattr(meters.time, "perf_counter", lambda: next(seconds))
    reading = Reading(trace=Trace(path))
    with measure([Battery(tree(tmp_path / "supply", BAT0=WATTS))], reading):
        pass
    quantity = reading.quantities["energy_system_j"]
    assert quantity.value == (None if plugged_in else pytest.approx(37.5))
    assert (quantity.method, quantity.source) == ("sampled", "battery")
    assert not plugged_in or "no sample of power for 1.6 s" in quantity.note
