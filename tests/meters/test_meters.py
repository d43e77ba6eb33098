"""Every metric is answered once, measured rather than estimated, and the clock is innermost."""

import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import permutations
from types import SimpleNamespace
from typing import ClassVar

import pytest

from greenbench import meters, registry
from greenbench.errors import InputError
from greenbench.meters import absent, cputime, measure, nvml, rapl, select, survey
from greenbench.meters.cputime import CpuTime
from greenbench.meters.nvml import Nvml
from greenbench.meters.rapl import Rapl
from greenbench.metrics import METRICS
from greenbench.plugins import Quantity, Reading


def _meter(name, *metrics, estimates=False, reason=None, log=None):
    """Make a meter class that answers 1 and logs when its window opens and closes."""

    @contextmanager
    def window(self, reading):
        if log is not None:
            log.append(f"+{name}")
        yield
        if log is not None:
            log.append(f"-{name}")
        for metric in metrics:
            reading.add(metric, Quantity(1.0, "counter", name))

    def unavailable(self):
        if isinstance(reason, Exception):
            raise reason
        return reason

    members = {"metrics": metrics, "estimates": estimates, "window": window, "unavailable": unavailable}
    annotations = {"metrics": ClassVar[tuple[str, ...]], "estimates": ClassVar[bool]}
    return dataclass(frozen=True)(type(name, (), members | {"__annotations__": annotations}))


@pytest.fixture
def register(monkeypatch):
    """Replace the registered meters by classes given by name."""

    def replace(**classes):
        entries = {
            name: SimpleNamespace(value=f"acme:{name}", load=lambda cls=cls: cls) for name, cls in classes.items()
        }
        monkeypatch.setattr(registry, "entries", lambda group: entries)

    return replace


def _names(chosen):
    return [type(meter).__name__ for meter in chosen]


def test_the_built_in_meters_answer_declared_metrics_once():
    """Every metric of a built-in meter is in METRICS, and only for the whole machine there is a choice of meters."""
    built_in = [registry.load("meters", name) for name in registry.names("meters")]
    measured = Counter(metric for meter in built_in if not meter.estimates for metric in meter.metrics)
    assert {metric for meter in built_in for metric in meter.metrics} <= set(METRICS)
    assert [metric for metric, n in measured.items() if n > 1] == ["energy_system_j"]


def test_survey_has_every_meter_with_its_reason(register):
    """The survey lists available, unavailable, failing and unimportable meters alike."""

    def broken():
        raise ImportError("no module named acme")

    register(
        good=_meter("good", "wall_s"),
        absent=_meter("absent", "energy_cpu_j", reason="no counter: buy one"),
        failing=_meter("failing", "energy_gpu_j", reason=RuntimeError("boom")),
    )
    registry.entries("meters")["broken"] = SimpleNamespace(value="acme:Broken", load=broken)
    reasons = survey()
    assert reasons["good"] is None
    assert reasons["absent"] == "no counter: buy one"
    assert "RuntimeError: boom" in reasons["failing"]
    assert "no module named acme" in reasons["broken"]
    assert _names(select(estimate=True)) == ["good"]


def test_an_estimate_runs_only_when_asked(register):
    """Without the word of the user nothing is estimated, even where nothing measures."""
    register(guess=_meter("guess", "energy_cpu_j", estimates=True))
    assert select(estimate=False) == []
    assert _names(select(estimate=True)) == ["guess"]


def test_a_measurement_shuts_an_estimate_out(register):
    """An estimate of what is measured does not run: it would be added to it. The name's order is no matter."""
    register(
        a_guess=_meter("a_guess", "energy_cpu_j", estimates=True),
        rapl=_meter("rapl", "energy_cpu_j", "energy_dram_j"),
    )
    assert _names(select(estimate=True)) == ["rapl"]


def test_an_estimate_that_is_not_wanted_is_not_asked(register, monkeypatch):
    """Whether a model of the CPU is there takes long to tell: it is asked for where the answer counts only."""
    asked = []
    guess = _meter("guess", "energy_cpu_j", estimates=True)

    def unavailable(self):
        asked.append(self)

    monkeypatch.setattr(guess, "unavailable", unavailable)
    register(guess=guess)
    absent(select(estimate=False))
    assert asked == []
    select(estimate=True)
    assert len(asked) == 1


def test_an_unavailable_measurement_lets_an_estimate_in(register):
    """An estimate asked for runs where the meter that would measure cannot."""
    register(
        guess=_meter("guess", "energy_cpu_j", estimates=True),
        rapl=_meter("rapl", "energy_cpu_j", reason="virtual machine"),
    )
    assert _names(select(estimate=True)) == ["guess"]


def test_two_meters_of_one_metric_do_not_add_up(register):
    """Of two meters that answer the same metric one runs, so that its value is not doubled."""
    register(acme=_meter("acme", "energy_cpu_j"), rapl=_meter("rapl", "energy_cpu_j"))
    reading = Reading()
    with measure(select(estimate=False), reading):
        pass
    assert reading.value("energy_cpu_j") == 1.0
    assert reading.quantities["energy_cpu_j"].source == "acme"


def test_energy_counters_are_next_to_the_clock(register):
    """What else is read at the edges is outside of what counts joules, whatever its name: it costs none of them."""
    log = []
    given = {"c": "energy_gpu_j", "z": "peak_rss_bytes", "a": "cpu_temp_end_c", "p": "cpu_s"}
    register(**{name: _meter(name, metric, log=log) for name, metric in given.items()})
    for chosen in (select(estimate=False), select(estimate=False)[::-1]):
        log.clear()
        with measure(chosen, Reading()):
            pass
        assert log in (
            ["+a", "+z", "+p", "+c", "-c", "-p", "-z", "-a"],
            ["+z", "+a", "+p", "+c", "-c", "-p", "-a", "-z"],
        )


def test_an_estimate_is_outside_of_the_counters(register):
    """A model of the CPU's energy works at the edges: that is not to be among the joules that the GPU counts."""
    log = []
    register(
        gpu=_meter("gpu", "energy_gpu_j", log=log), guess=_meter("guess", "energy_cpu_j", estimates=True, log=log),
        who=_meter("who", "cpu_s", log=log),
    )  # fmt: skip
    with measure(select(estimate=True), Reading()):
        pass
    assert log == ["+who", "+guess", "+gpu", "-gpu", "-guess", "-who"]


def test_what_is_made_of_the_reads_comes_after_all_meters_have_closed(register):
    """A counter next to the window leaves its arithmetic until the outer ones have been read."""
    log = []

    class Late(_meter("late", "energy_cpu_j", log=log)):
        @contextmanager
        def window(self, reading):
            with super().window(reading):
                yield
            reading.pending.append(lambda: log.append("late's arithmetic"))

    register(late=Late, outer=_meter("outer", "energy_dram_j", log=log), around=_meter("around", "cpu_s", log=log))
    reading = Reading()
    for _ in range(2):
        log.clear()
        with measure(select(estimate=False), reading):
            log.append("work")
        assert log[-1] == "late's arithmetic"
        assert log.count("late's arithmetic") == 1
        assert log.index("-around") < log.index("late's arithmetic")


def test_the_built_in_meters_read_in_this_order(tmp_path, monkeypatch, driver):
    """Around the work the clock, then RAPL, then NVML, then the walk over /proc; arithmetic comes last."""
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    for name, text in {"name": "package-0", "max_energy_range_uj": 10**12, "energy_uj": 5}.items():
        (zone / name).write_text(f"{text}\n")
    log: list[str] = []

    def logged(owner, name, what):
        call = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a: (log.append(what), call(*a))[1])

    logged(rapl, "_read_all", "rapl")
    logged(nvml, "_read_mj", "nvml")
    logged(cputime, "_account", "/proc")
    logged(rapl, "_energy", "arithmetic")
    read = time.perf_counter
    monkeypatch.setattr(meters, "time", SimpleNamespace(perf_counter=lambda: (log.append("clock"), read())[1]))
    chosen = [CpuTime(), Rapl(tmp_path), Nvml()]
    for meters_in_some_order in permutations(chosen):
        log.clear()
        with measure(meters_in_some_order, Reading(device="cuda:0")):
            log.append("work")
        assert [what for what in log if what not in ("rapl", "nvml")] == [
            "/proc", "clock", "work", "clock", "/proc", "arithmetic",
        ]  # fmt: skip
        at = log.index("work")
        assert log[at - 1 : at + 2] == ["clock", "work", "clock"]
        assert sorted(log[1:3]) == sorted(log[at + 2 : at + 4]) == ["nvml", "rapl"]


def test_settings_reach_the_meter(tmp_path):
    """A suite's settings by meter name are the meter's: RAPL is looked for where the suite says."""
    assert str(tmp_path) in survey({"rapl": {"root": str(tmp_path)}})["rapl"]


@pytest.mark.parametrize("options", [{"rapel": {}}, {"rapl": {"roots": "/x"}}])
def test_a_typo_in_the_settings_is_refused(options):
    """An unknown meter or setting is bad input with the nearest name, not an unavailable meter."""
    with pytest.raises(InputError, match="Did you mean"):
        select(False, options)


def test_wall_time_ignores_a_stepped_wall_clock(monkeypatch):
    """A wall clock set back by an hour inside the window leaves wall_s alone."""
    steps = iter([1_000_000.0, 996_400.0, 996_400.0, 996_400.0])
    monkeypatch.setattr(time, "time", lambda: next(steps, 996_400.0))
    reading = Reading()
    with measure([], reading):
        time.sleep(0.05)
    assert 0.05 <= reading.value("wall_s") < 1800  # far from the hour


def test_the_seconds_of_several_windows_add_up(monkeypatch):
    """Two windows with one reading give the sum of their times, without the time in between."""
    hand, reading = iter([10.0, 10.5, 20.0, 20.25]), Reading()
    monkeypatch.setattr(time, "perf_counter", lambda: next(hand))
    for _ in range(2):
        with measure([], reading):
            pass
    assert reading.value("wall_s") == 0.75
    assert reading.segments == [(10.0, 10.5), (20.0, 20.25)]


def test_the_clock_and_memory_are_always_there():
    """On any machine a run has wall time and peak memory."""
    reading = Reading()
    with measure(select(estimate=False), reading):
        pass
    assert reading.value("wall_s") is not None
    assert reading.value("peak_rss_bytes") > 0


def test_work_that_raises_leaves_no_reading():
    """An exception inside the window passes through every meter and nothing is written."""
    reading = Reading()
    with pytest.raises(ZeroDivisionError), meters.measure([], reading):
        _ = 1 / 0
    assert reading.quantities == {}


def test_what_is_not_measured_has_its_reason(register):
    """Of a metric that no chosen meter answers every meter that would tells why; estimates and answers do not."""
    register(
        amd=_meter("amd", "energy_gpu_j", reason="no such card"),
        guess=_meter("guess", "energy_cpu_j", estimates=True, reason="no TDP"),
        nvml=_meter("nvml", "energy_gpu_j", reason="no driver"),
        rapl=_meter("rapl", "energy_cpu_j", reason="virtual machine"),
        wall=_meter("wall", "energy_system_j"),
        battery=_meter("battery", "energy_system_j", reason="on mains"),
    )
    chosen = select(estimate=False)
    assert absent(chosen) == {
        "energy_cpu_j": "rapl: virtual machine",
        "energy_gpu_j": "amd: no such card; nvml: no driver",
    }
