"""The estimate is codecarbon's model, says which TDP it stands on, and never goes to the network."""

import logging
import socket
import time
from collections import namedtuple

import codecarbon.core.cpu as codecarbon_cpu
import psutil
import pytest
from codecarbon.input import DataSource

from greenbench import registry
from greenbench.errors import InputError
from greenbench.meters import estimate
from greenbench.meters.estimate import CodecarbonEstimate
from greenbench.plugins import Reading

CpuTimes = namedtuple("CpuTimes", "user nice system idle iowait guest")


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    """Look the TDP up afresh, with no network to look it up on."""

    def refuse(*_args):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    estimate._looked_up_tdp.cache_clear()
    yield
    estimate._looked_up_tdp.cache_clear()


def _read(meter, seconds=0.15, work=lambda: None):
    """Return the quantity and the window's length as seen from inside."""
    reading = Reading()
    with meter.window(reading):
        start = time.perf_counter()
        time.sleep(seconds)
        work()
        inside_s = time.perf_counter() - start
    return reading.quantities["energy_cpu_j"], inside_s


@pytest.mark.parametrize(("busy_s", "load"), [(0, 0.0), (20, 0.5), (40, 1.0)])
def test_power_follows_the_mean_load(monkeypatch, busy_s, load):
    """The power is TDP x (0.1 + 0.9 load^3) of the load between the edges, nice work included."""
    account = [CpuTimes(100, 50, 10, 1000, 5, 7)]
    monkeypatch.setattr(psutil, "cpu_times", lambda: account[-1])

    def work():
        account.append(CpuTimes(100 + busy_s / 2, 50 + busy_s / 2, 10, 1040 - busy_s, 5, 7))

    quantity, inside_s = _read(CodecarbonEstimate(tdp_w=100), work=work)
    assert quantity.value / inside_s == pytest.approx(100 * (0.1 + 0.9 * load**3), rel=0.1)


def test_a_tdp_in_milliwatts_is_no_estimate(monkeypatch):
    """A TDP that would make a package draw kilowatts gives None and asks for the unit, where there is one package."""
    monkeypatch.setattr(estimate, "cpu_packages", lambda: 1)
    quantity, _ = _read(CodecarbonEstimate(tdp_w=65_000))
    assert quantity.value is None
    assert "is tdp_w in W?" in quantity.note


def test_an_estimate_is_called_one():
    """Method, source and note tell an estimate on a given TDP from a measurement."""
    quantity, _ = _read(CodecarbonEstimate(tdp_w=65))
    assert (quantity.method, quantity.source) == ("estimated", "codecarbon-tdp")
    assert quantity.note == "TDP 65 W (given in the suite); a model, off by up to 40 %"
    assert CodecarbonEstimate.estimates


def test_a_known_cpu_has_the_tables_tdp(monkeypatch):
    """A CPU of codecarbon's table gets the TDP that the table has, and the note says so."""
    model = "AMD EPYC 7742"
    monkeypatch.setattr(codecarbon_cpu, "detect_cpu_model", lambda: model)
    quantity, _ = _read(CodecarbonEstimate())
    table = DataSource().get_cpu_power_data().set_index("Name")["TDP"]
    tdp_w = float(table[model])
    assert quantity.note.startswith(f"TDP {tdp_w:g} W (codecarbon's table, {model}); ")


def test_an_unknown_cpu_says_that_the_tdp_is_a_default(monkeypatch):
    """A CPU that codecarbon does not know gets its default, in the note and not on the terminal."""
    shown = []
    handler = logging.Handler()
    handler.emit = shown.append
    logger = logging.getLogger("codecarbon")
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(codecarbon_cpu, "detect_cpu_model", lambda: "Frobnicator 3000")
    assert CodecarbonEstimate().unavailable() is None
    quantity, _ = _read(CodecarbonEstimate())
    assert "default of 4 W a thread" in quantity.note
    assert "does not know Frobnicator 3000" in quantity.note
    assert shown == []
    assert not logger.disabled


def test_an_unreadable_cpu_needs_a_given_tdp(monkeypatch):
    """Where not even the model can be told the meter asks for tdp_w, and works with it."""
    monkeypatch.setattr(codecarbon_cpu, "detect_cpu_model", lambda: None)
    assert "tdp_w" in CodecarbonEstimate().unavailable()
    assert CodecarbonEstimate(tdp_w=15).unavailable() is None


def test_a_window_of_a_few_ticks_is_unknown():
    """A window too short for the system's load account gives None, not a tenth of the TDP."""
    quantity, _ = _read(CodecarbonEstimate(tdp_w=100), seconds=0.02)
    assert quantity.value is None
    assert "too short" in quantity.note


@pytest.mark.parametrize("tdp_w", [0, -5, "65"])
def test_a_senseless_tdp_is_refused(tdp_w):
    """A suite's tdp_w must be a number above 0."""
    with pytest.raises(InputError, match="tdp_w"):
        registry.create("meters", "codecarbon", {"tdp_w": tdp_w})
