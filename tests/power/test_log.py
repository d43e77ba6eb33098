"""Power logs: whatever meters write is understood, or refused with the line and what to do; joules are watts x s."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.errors import InputError
from greenbench.files.limits import limits
from greenbench.power import log as power_log
from greenbench.power.log import Source, read

NOON = 1_700_000_000.0
"""2023-11-14 22:13:20 UTC"""


@pytest.fixture
def log(tmp_path: Path):
    """Write a log and return its source."""

    def write(text: str, **options) -> Source:
        path = tmp_path / "wall.csv"
        path.write_text(text)
        return Source(path, **options)

    return write


@pytest.mark.parametrize(
    "text",
    [
        "timestamp,watts\n1700000000,20\n1700000001,22\n",
        "Time;Power\n1700000000.0;20\n1700000001;22\n",
        "t\tW\n2023-11-14T22:13:20Z\t20\n2023-11-14T22:13:21Z\t22\n",
        "id, timestamp, power_w\n1, 2023-11-15 00:13:20+02:00, 20.0\n2, 2023-11-15 00:13:21+02:00, 22.0\n",
        '{"time": "2023-11-14T22:13:20.000+00:00", "watts": 20}\n\n{"time": 1700000001, "watts": 22.0}\n',
        "\ufefftimestamp,watts\r\n1700000000,20\r\n1700000001,22\r\n",
        "timestamp,watts\n1700000000,20\n1700000000.5,\n1700000000.6,nan\n1700000001,22\n1700000002,2",
        '{"t": 1700000000, "w": 20}\n{"t": 1700000000.5, "w": null}\n{"t": 1700000001, "w": 22}\n{"t": 17000',
    ],
    ids=["csv", "semicolon", "tab-iso", "offset", "jsonl", "bom-crlf", "csv-holes", "jsonl-holes"],
)
def test_logs_of_many_kinds_are_understood(log, text: str) -> None:
    """Heading, separator and time in any usual form; a last line half written and samples without watts left out."""
    found = read(log(text))
    assert found.times.tolist() == [NOON, NOON + 1]
    assert found.watts.tolist() == [20, 22]


def test_columns_can_be_named(log) -> None:
    """Columns that are not recognised, or of which the wrong one would be, are named, in any case."""
    text = "when,power,phase 1\n1700000000,1,20\n"
    found = read(log(text, time_name="When", power_name="Phase 1"))
    assert (found.times.tolist(), found.watts.tolist()) == ([NOON], [20])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("timestamp,watts\n2023-11-14T22:13:20,20\n", r"wall.csv:2: the time '2023-11-14T22:13:20' has no zone"),
        ("timestamp,watts\n1700000000,20\nyesterday,20\n", r"wall.csv:3: the time 'yesterday' is neither ISO 8601"),
        ("timestamp,watts\n1700000000000,20\n", r"wall.csv:2: .*milliseconds have to be divided by 1000"),
        ("timestamp,watts\n1700000000,20 W\n", r"wall.csv:2: the power '20 W' is not a number of watts"),
        ("timestamp,watts\n1700000000,1_0\n", r"wall.csv:2: the power '1_0' is not a number of watts"),
        (
            "when,watts\n1700000000,20\n",
            r"no column with the time \(timestamp, time, t\) among: when, watts\. .*--time",
        ),
        ("t,kw\n1700000000,20\n", r"no column with the watts .* among: t, kw. Name it with --power-column"),
        ("timestamp,watts\n", "holds no samples: is the meter recording?"),
        ("", "holds no samples"),
        ('{"t": 1700000000, "w": 20}\nrubbish\n', r"wall.csv:2: not JSON: "),
    ],
)
def test_what_is_not_understood_is_refused(log, text: str, said: str) -> None:
    """Local time without a zone, milliseconds, other units and missing columns are one clear line."""
    with pytest.raises(InputError, match=said):
        read(log(text))


def test_a_named_column_that_is_not_there(log) -> None:
    """A name given for a column that does not exist is repeated."""
    with pytest.raises(InputError, match="no column 'p' among: t, w"):
        read(log("t,w\n1700000000,20\n", power_name="p"))


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    """A missing file is bad input."""
    with pytest.raises(InputError, match=r"none\.csv: cannot read the power log: No such file or directory$") as found:
        read(Source(tmp_path / "none.csv"))
    assert str(found.value).count("none.csv") == 1


def test_what_is_recorded_is_understood(log) -> None:
    """A line that the recorder writes comes back, to the millisecond."""
    found = read(log(power_log.line(NOON + 0.1234, 12.5) + power_log.line(NOON + 1, 13)))
    assert found.times.tolist() == pytest.approx([NOON + 0.123, NOON + 1])
    assert found.watts.tolist() == [12.5, 13]


@given(watts=st.floats(0, 3000), start=st.floats(1, 10), length=st.floats(3, 40), skew=st.floats(-1e4, 1e4))
def test_watts_times_seconds(watts: float, start: float, length: float, skew: float, tmp_path_factory) -> None:
    """Constant power over a window gives power x time, however far ahead the meter's clock is, if that is told."""
    path = tmp_path_factory.mktemp("log") / "wall.csv"
    path.write_text("t,w\n" + "".join(f"{NOON + skew + n!r},{watts!r}\n" for n in range(60)))
    joules, why = read(Source(path, skew_s=skew)).energy_j([(NOON + start, NOON + start + length)])
    assert joules == pytest.approx(watts * length, rel=1e-4)
    assert why is None


def test_segments_add_up_and_one_unknown_makes_all_unknown(log) -> None:
    """A window of several segments has their sum; one that the log does not tell makes it None, with the reason."""
    text = "t,w\n" + "".join(f"{NOON + n},{10 if n < 20 else 30}\n" for n in range(40))
    found = read(log(text))
    assert found.energy_j([(NOON + 5, NOON + 10), (NOON + 25, NOON + 30)])[0] == pytest.approx(50 + 150)
    joules, why = found.energy_j([(NOON + 5, NOON + 10), (NOON + 38, NOON + 45)])
    assert joules is None
    assert "do not reach over the window" in why
    assert (
        read(log(text, max_gap_s=0.5)).energy_j([(NOON + 5, NOON + 10)])[1] == "there is no sample of power for 1.0 s"
    )


HOME = (
    "entity_id,state,last_changed\n"
    "sensor.plug_power,41.0,2023-11-14T22:13:20Z\nsensor.plug_voltage,230.1,2023-11-14T22:13:20Z\n"
    "sensor.plug_power,41.5,2023-11-14T22:13:21Z\nsensor.plug_voltage,unavailable,2023-11-14T22:13:21Z\n"
)
COLUMNS = {"time_name": "last_changed", "power_name": "state"}


def test_several_series_are_refused_with_their_names_and_one_can_be_chosen(log) -> None:
    """A home's export of power and voltage is not averaged: the names are listed, and --series takes one."""
    with pytest.raises(InputError, match=r"several series .*: sensor.plug_power, sensor.plug_voltage.*--series"):
        read(log(HOME, **COLUMNS))
    found = read(log(HOME, **COLUMNS, series="Sensor.Plug_Power"))
    assert (found.times.tolist(), found.watts.tolist()) == ([NOON, NOON + 1], [41.0, 41.5])
    with pytest.raises(InputError, match=r"--series lamp is not in the log. It has: sensor.plug_power, sensor"):
        read(log(HOME, **COLUMNS, series="lamp"))
    with pytest.raises(InputError, match=r"--series lamp is not in the log. It has: none is named"):
        read(log("t,w\n1700000000,20\n", series="lamp"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("t,w\n1700000000,41\n1700000000,230\n", r"wall.csv:3: 230 W at the time at which line 2 has 41 W: two series"),
        ('{"t": 1700000000, "w": 41}\n{"t": 1700000001, "w": 41}\n{"t": 1700000000, "w": 5}\n', r"wall.csv:3: 5 W at"),
        (
            '{"t": 1700000000, "w": 41, "sensor": "a"}\n{"t": 1700000001, "w": 5, "sensor": "b"}\n',
            "several series .* a, b",
        ),
        ("t,w\n1700000000,20\n1700000001,-41\n", r"wall.csv:3: -41 W: .*is the clamp reversed\?"),
        ("t,w\n1700000000,42000000\n", r"wall.csv:2: 42,000,000 W are more than a machine \(20,000 W\)"),
        ("t,watts,power\n1700000000,20,230\n", "the watts may be in watts or power: choose with --power-column"),
        ("t,power,unit\n1700000000,0.041,kW\n", r"wall.csv:2: the unit is kW, not W"),
    ],
)
def test_what_cannot_be_one_machines_power_is_refused(log, text: str, said: str) -> None:
    """Two values at one time, several meters, a reversed clamp, megawatts, another unit: refused with the line."""
    with pytest.raises(InputError, match=said):
        read(log(text))


@pytest.mark.parametrize(
    "text",
    [
        "t,w\n1700000000,41\n1700000000,41\n1700000001,41\n",  # a sample that was exported twice
        "id,t,w\n1,1700000000,41\n2,1700000001,41\n",  # a number of the line is no meter
        "sensor,t,w,unit\nplug,1700000000,41,W\nplug,1700000001,41,W\n",
    ],
)
def test_one_series_is_one(log, text: str) -> None:
    """Copies of a sample, numbered lines and a single meter's name are no second series."""
    assert read(log(text)).watts.tolist() == [41, 41]


def lines_of_two(column: str, *names: object) -> str:
    """A log of two meters of 40 and 240 W that take turns, half a second apart."""
    rows = (f"{NOON + n / 2},{names[n % 2]},{40 + 200 * (n % 2)}\n" for n in range(4))
    return f"t,{column},watts\n" + "".join(rows)


@pytest.mark.parametrize(
    ("column", "names"),
    [("topic", ("shelly/a", "shelly/b")), ("friendly_name", ("desk", "rack")), ("deviceId", (1, 2)),
     ("channel", (0, 1)), ("index", (0, 1)), ("domain", ("package-0", "dram"))],
)  # fmt: skip
def test_meters_that_take_turns_are_several_series(log, column: str, names: tuple) -> None:
    """Whatever tells the meters apart, by text or number, they are never averaged; one of them is chosen by name."""
    text = lines_of_two(column, *names)
    with pytest.raises(InputError, match=f"several series in one log: {names[0]}, {names[1]}"):
        read(log(text))
    assert read(log(text, series=str(names[1]))).watts.tolist() == [240, 240]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{"t": 1700000000, "watts": 40}\n{"t": 1700000001, "power_w": 240}\n',
            "the watts in different columns: watts",
        ),
        ("t,watts\n1700000000,12,5\n", "wall.csv:2: more values than the heading has columns: decimal commas"),
        ("t;watts\n1700000000;12,5\n", "wall.csv:2: the power '12,5' is not a number"),
        ("t,watts,Watts\n1700000000,40,230\n", "two columns are called watts"),
        ('{"t": 1700000000, "watts": true}\n', "wall.csv:1: the power 'True' is not a number"),
        ('{"t": 1700000000, "watts": 40}\n[1, 2]\n', "wall.csv:2: a JSON object is expected, not a list"),
        ('{"t": 1700000000, "w": 0.2, "attributes": {"unit_of_measurement": "kW"}}\n', "the unit is kW"),
        ('{"t": ' + 100_000 * "[" + "\n", "wall.csv:1: nested too deep"),
        ("t,watts\n1700000000," + 200_000 * "4" + "\n", "this is not a power log: field larger"),
    ],
)
def test_lines_that_would_be_other_watts_are_refused(log, text: str, said: str) -> None:
    """Decimal commas, columns that change, kilowatts and what is no sample never become watts, and end in a line."""
    with pytest.raises(InputError, match=said):
        read(log(text))


@pytest.mark.parametrize(
    "column", ["power_kw", "Power [mW]", "voltage", "energy_kwh", "apparent VA", "apparent_power", "power_dBm"]
)
def test_a_column_of_another_unit_is_no_watts(log, column: str) -> None:
    """What a name says not to be watts is not taken for them, even where it was asked for."""
    with pytest.raises(InputError, match="is not in W by its name"):
        read(log(f"t,{column}\n1700000000,4\n", power_name=column))


@pytest.mark.parametrize("column", ["messpunkt", "wo", "beside"])
def test_meters_that_take_turns_are_several_whatever_their_column_is_called(log, column: str) -> None:
    """No list of words has every name; meters that are asked one after the other show themselves."""
    text = lines_of_two(column, "Pult", "Schrank") + lines_of_two(column, "Pult", "Schrank").partition("\n")[2]
    with pytest.raises(InputError, match="several series in one log: Pult, Schrank"):
        read(log(text))
    assert set(read(log(text, series="pult")).watts) == {40}


def test_a_state_that_stays_is_no_meter(log) -> None:
    """What a plug says of itself changes seldom."""
    states = ["on"] * 5 + ["standby"] * 3
    rows = "".join(f"{NOON + n},{state},{n}\n" for n, state in enumerate(states))
    assert read(log("t,state,watts\n" + rows)).watts.tolist() == list(range(8))


def test_two_columns_of_different_times_are_refused(log) -> None:
    """Which of two times is the meter's nobody can know; the same time twice, one cut to seconds, is one."""
    apart = f"timestamp,time,watts\n{NOON},{NOON + 3600},20\n{NOON + 1},{NOON + 3601},22\n"
    with pytest.raises(InputError, match=r"wall.csv:2: time and timestamp are different times: choose with --time-col"):
        read(log(apart))
    assert read(log(apart, time_name="time")).times[0] == NOON + 3600
    same = f"timestamp,time,watts\n{NOON + 0.9},2023-11-14T22:13:20Z,20\n"
    assert read(log(same)).times.tolist() == [NOON + 0.9]


@pytest.mark.parametrize(("limit", "what"), [("LOG_LINES", "more than 2 lines"), ("LOG_BYTES", "more than 0 MB")])
def test_a_log_larger_than_the_limits_is_refused(limit: str, what: str, log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its lines become rows in memory, with what to do."""
    source = log(f"t,watts\n{NOON},20\n{NOON + 1},22\n")
    assert len(read(source).times) == 2
    monkeypatch.setenv(f"GREENBENCH_MAX_{limit}", "2")
    limits.cache_clear()
    with pytest.raises(
        InputError, match=rf"{what}: cut the log to the hours of the run, or raise GREENBENCH_MAX_{limit}"
    ):
        read(source)
    monkeypatch.undo()
    limits.cache_clear()
