"""The power at a board's input, and none of the rails inside it, becomes the energy of the whole machine."""

import json
import re

import pytest

from greenbench import meters
from greenbench.meters import measure
from greenbench.meters.hwmon import Hwmon
from greenbench.plugins import Polled, Reading
from greenbench.plugins.traces import Trace
from greenbench.power import recorder
from greenbench.power.recorder import SilentError

ORIN_NX = {
    "name": "ina3221",
    "in1_label": "VDD_IN", "in1_input": 19_000, "curr1_input": 500,
    "in2_label": "VDD_CPU_GPU_CV", "in2_input": 19_000, "curr2_input": 200,
    "in3_label": "VDD_SOC", "in3_input": 19_000, "curr3_input": 100,
    # shunt voltages in uV and a sum of currents, which are no rail
    "in4_input": 400, "in7_input": 900, "curr4_input": 800,
}  # fmt: skip
DESKTOP = {"name": "amdgpu", "power1_label": "PPT", "power1_input": 30_000_000, "in0_input": 900}
METER = {"name": "ina226", "in1_input": 12_000, "curr1_input": 2_000, "power1_input": 24_500_000}
FAN = {"name": "nct6775", "in1_input": 1_000, "curr1_input": 3, "fan1_input": 900}


def tree(root, *chips):
    """Make a hwmon folder with a chip for each mapping of files."""
    for number, files in enumerate(chips):
        folder = root / f"hwmon{number}"
        folder.mkdir(parents=True)
        for name, content in files.items():
            (folder / name).write_text(f"{content}\n")
    return root


@pytest.mark.parametrize(
    ("chips", "rail", "sample"),
    [
        ([FAN, ORIN_NX], None, {"hwmon.VDD_IN.power_w": 9.5}),
        ([ORIN_NX], "VDD_SOC", {"hwmon.VDD_SOC.power_w": 1.9}),
        ([DESKTOP, METER], "ina226/power1", {"hwmon.ina226/power1.power_w": 24.5}),
        ([DESKTOP, METER], None, {}),
        ([ORIN_NX, ORIN_NX], None, {}),
        ([FAN], None, {}),
        ([], None, {}),
    ],
)
def test_a_sample_is_the_power_at_the_input(tmp_path, chips, rail, sample):
    """A known label, or the rail that the suite names, gives its watts; where it is not clear which, nothing."""
    meter = Hwmon(tree(tmp_path / "hwmon", *chips), rail)
    assert isinstance(meter, Polled)
    assert meter.sample() == pytest.approx(sample)
    assert (meter.unavailable() is None) == bool(sample)


def test_what_is_ambiguous_is_listed(tmp_path):
    """The reason has every rail that could be named, and a rail that is not there is repeated."""
    root = tree(tmp_path / "hwmon", DESKTOP, METER)
    assert Hwmon(root).unavailable() == (
        "no rail is known to be the machine's input: where one of these is, give its name as rail in the suite: "
        "PPT, ina226/power1"
    )
    assert "no rail is called 'VIN'" in Hwmon(root, "VIN").unavailable()
    assert "several rails are known" in Hwmon(tree(tmp_path / "two", ORIN_NX, ORIN_NX)).unavailable()


def test_without_a_sensor_the_place_and_a_way_out_are_named(tmp_path):
    """A machine without a sensor of power says where was looked, and points to the wall."""
    reason = Hwmon(tmp_path / "none").unavailable()
    assert str(tmp_path / "none") in reason
    assert "--power-log" in reason


def test_a_sensor_that_cannot_be_read_is_a_reason(tmp_path):
    """Rubbish in a sensor's file makes the meter unavailable, with the rail and the text in the reason."""
    root = tree(tmp_path / "hwmon", ORIN_NX)
    (root / "hwmon0" / "curr1_input").write_text("rubbish")
    assert "VDD_IN cannot be read" in Hwmon(root).unavailable()
    assert "rubbish" in Hwmon(root).unavailable()


FULL = ORIN_NX | {"in1_input": 32_760, "curr1_input": 32_760, "shunt1_resistor": 5_000}
INA226 = {"name": "ina226", "power1_label": "VIN", "power1_input": 300_000_000, "shunt_resistor": 10_000}


@pytest.mark.parametrize(
    ("chip", "rail", "name"),
    [
        (FULL, None, "VDD_IN"),
        (FULL | {"curr1_input": 500}, None, "VDD_IN"),
        (FULL | {"in1_input": 19_000}, None, "VDD_IN"),
        (FULL | {"in1_input": 19_000, "curr1_input": -32_760}, None, "VDD_IN"),
        (INA226 | {"power1_input": 335_600_000}, "VIN", "VIN"),
        (METER | {"power1_rated_max": 12_000_000}, "ina226/power1", "ina226/power1"),
    ],
)
def test_a_sensor_at_the_end_of_its_range_gives_no_power(tmp_path, chip, rail, name):
    """The highest bus or shunt voltage of an INA3221, or twice what a sensor is rated for, is refused by its name."""
    meter = Hwmon(tree(tmp_path / "hwmon", chip), rail)
    assert list(meter.sample()) == [f"hwmon.{name}.full_scale_w"]
    assert f"{name} is at the end of its range" in meter.unavailable()
    with pytest.raises(SilentError, match="is at the end of its range"):
        recorder.machine("hwmon", {"root": str(tmp_path / "hwmon"), "rail": rail})


@pytest.mark.parametrize(
    ("chip", "rail", "watts"),
    [
        (FULL | {"in1_input": 19_000, "curr1_input": 32_759}, None, 622.421),
        (FULL | {"in1_input": 19_000, "shunt1_resistor": 0}, None, 622.44),
        (INA226, "VIN", 300.0),
        (METER | {"power1_rated_max": 24_000_000}, "ina226/power1", 24.5),
    ],
)
def test_a_reading_within_its_range_is_a_power(tmp_path, chip, rail, watts):
    """One step below the end, of a shunt that is not known, or a burst above the rating."""
    assert list(Hwmon(tree(tmp_path / "hwmon", chip), rail).sample().values()) == [pytest.approx(watts)]


@pytest.mark.parametrize(
    ("samples", "why"),
    [
        ({50: {"hwmon.VDD_IN.full_scale_w": 1073.2}}, r"at the end of its range \(1,073.2 W\) in 1 of 2"),
        ({t: {"hwmon.VDD_IN.full_scale_w": 1073.2} for t in range(100)}, "at the end of its range"),
        ({t: {"hwmon.VDD_IN.power_w": 1073.2} for t in range(100)}, "more than a module"),
    ],
)
def test_a_window_with_a_reading_at_the_end_has_no_joules(tmp_path, monkeypatch, samples, why):
    """Whether one sample is at the end or all are, and where only the watts show it: None, with the rail."""
    root, path = tree(tmp_path / "hwmon", ORIN_NX), tmp_path / "power.jsonl"
    lines = [{"t_s": t / 10, **samples.get(t, {"hwmon.VDD_IN.power_w": 10.0})} for t in range(100)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    seconds = iter([4.0, 6.0])
    monkeypatch.setattr(meters.time, "perf_counter", lambda: next(seconds))
    reading = Reading(trace=Trace(path))
    with measure([Hwmon(root)], reading):
        pass
    quantity = reading.quantities["energy_system_j"]
    assert quantity.value is None
    assert quantity.note.startswith("hwmon.VDD_IN.power_w: ")
    assert re.search(why, quantity.note)


def test_the_suite_names_the_rail(tmp_path):
    """Settings come from the suite: where hwmon is, and which rail is the input."""
    root = tree(tmp_path / "hwmon", METER)
    options = {"hwmon": {"root": str(root), "rail": "ina226/power1"}}
    assert meters.survey(options)["hwmon"] is None
    assert Hwmon(root, "ina226/power1") in meters.select(False, options)


def test_the_windows_energy_is_integrated_from_the_samples(tmp_path, monkeypatch):
    """Ten watts at the input over two seconds are twenty joules of the system, sampled, with the rail in the note."""
    root, path = tree(tmp_path / "hwmon", ORIN_NX), tmp_path / "power.jsonl"
    path.write_text("".join(json.dumps({"t_s": t / 10, "hwmon.VDD_IN.power_w": 10.0}) + "\n" for t in range(100)))
    seconds = iter([3.0, 5.0])
    monkeypatch.setattr(meters.time, "perf_counter", lambda: next(seconds))
    reading = Reading(trace=Trace(path))
    with measure([Hwmon(root)], reading):
        pass
    quantity = reading.quantities["energy_system_j"]
    assert quantity.value == pytest.approx(20.0)
    assert (quantity.method, quantity.source) == ("sampled", "hwmon")
    assert "rail VDD_IN" in quantity.note
