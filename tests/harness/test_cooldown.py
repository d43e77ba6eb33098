"""The rest between two processes: by the clock, or until the machine is as cool as it was, and no longer than asked."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from pydantic import TypeAdapter

from greenbench.harness.cooldown import Cooldown, rest, rule, temperatures
from greenbench.harness.job import Job
from greenbench.suite.protocol import PROTOCOLS

OFFICIAL, STANDARD, QUICK = PROTOCOLS["official"], PROTOCOLS["standard"], PROTOCOLS["quick"]
START = {"cpu.temperature_c": 40.0, "nvml.0.temperature_c": 30.0}


@dataclass
class Machine:
    """Cools by a degree a second on a clock of its own; ``sleeps`` are the rests between two looks."""

    cpu_c: float
    gpu_c: float = 30.0
    now_s: float = 100.0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.cpu_c -= seconds
        self.gpu_c -= seconds

    def look(self) -> dict[str, float]:
        return {"cpu.temperature_c": self.cpu_c, "nvml.0.temperature_c": self.gpu_c}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    machine = Machine(cpu_c=70.0)
    monkeypatch.setattr(time, "perf_counter", lambda: machine.now_s)
    monkeypatch.setattr(time, "sleep", machine.sleep)
    return machine


@pytest.mark.parametrize(
    ("cpu_c", "gpu_c", "seconds"), [(45.0, 30.0, 0), (45.1, 30.0, 1), (70.0, 30.0, 25), (40, 55, 20)]
)
def test_a_rest_ends_once_all_parts_are_cool(machine: Machine, cpu_c: float, gpu_c: float, seconds: int) -> None:
    """Within 5 °C of the start at 1 °C a second: the slowest part ends it, and what is cool does not wait."""
    machine.cpu_c, machine.gpu_c = cpu_c, gpu_c
    found = rest(OFFICIAL, START, machine.look)
    assert found.cooldown_s == seconds
    assert found.cooldown_excess_c <= 5


def test_a_rest_has_its_longest(machine: Machine) -> None:
    """A machine that does not cool down in time is waited for no longer, and what is left is told."""
    machine.cpu_c = 140.0
    assert rest(OFFICIAL, START, machine.look) == Cooldown(60.0, 40.0)


@pytest.mark.parametrize("start", [{}, START])
def test_without_a_temperature_the_seconds_are_fixed(machine: Machine, start: dict) -> None:
    """Where none can be read, at the start or any more, the machine rests for all of the time."""
    assert rest(OFFICIAL, start, dict) == Cooldown(60.0, None)


def test_a_protocol_without_degrees_rests_its_seconds(machine: Machine) -> None:
    """Standard rests ten seconds however hot it is, and quick not at all; nobody looks."""

    def look() -> dict:
        raise AssertionError

    assert rest(STANDARD, START, look) == Cooldown(10.0, None)
    assert rest(QUICK, START, look) == Cooldown(0.0, None)


@pytest.mark.parametrize(
    ("steps", "start", "expected"),
    [
        (QUICK, {}, "none"),
        (STANDARD, {}, "10 s"),
        (OFFICIAL, {}, "60 s, for no temperature can be read here"),
        (OFFICIAL, START, "until within 5 °C of the run's start, at most 60 s"),
        (replace(OFFICIAL, cooldown_within_c=None), START, "60 s"),
    ],
)
def test_the_rule_in_words(steps, start: dict, expected: str) -> None:
    """run.json says what ends a rest."""
    assert rule(steps, start) == expected


class Sensor:
    """A polled meter of one reading."""

    def __init__(self, **seen: float) -> None:
        self.seen = seen

    def sample(self) -> dict[str, float]:
        return {name.replace("__", "."): value for name, value in self.seen.items()}


class Broken(Sensor):
    def sample(self) -> dict[str, float]:
        raise OSError("gone")


def test_temperatures_are_those_of_every_polled_meter() -> None:
    """Temperatures are taken from whatever is seen; a meter that is not polled, or fails, has none."""
    meters = [Sensor(cpu__temperature_c=41.0, cpu__power_w=9.0), Broken(), Sensor(nvml__0__temperature_c=33.0)]
    assert temperatures(meters) == {"cpu.temperature_c": 41.0, "nvml.0.temperature_c": 33.0}


def test_the_worker_is_told_of_the_rest(suite_data: dict) -> None:
    """What the parent did before the process reaches it, so that its rows can tell."""
    from greenbench.suite import config
    from greenbench.suite.plan import plan

    loaded = config.load(suite_data)
    job = Job("r", 3, loaded, plan(loaded)[0], rest=Cooldown(12.5, 4.0), measure_overhead=True)
    back = TypeAdapter(Job).validate_json(TypeAdapter(Job).dump_json(job))
    assert (back.rest, back.measure_overhead) == (job.rest, True)
    assert json.loads(TypeAdapter(Job).dump_json(job))["rest"] == {"cooldown_s": 12.5, "cooldown_excess_c": 4.0}
