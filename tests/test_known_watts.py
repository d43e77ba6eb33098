"""A power source of known watts, through the whole program: joules are watts x seconds, whoever reads them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from greenbench.results import store

WATTS = 9.5
Start = Callable[..., "subprocess.Popen[Any]"]


def process(*arguments: object) -> subprocess.CompletedProcess:
    """Run a command in a process of its own, beside which nothing counts."""
    command = [sys.executable, "-m", "greenbench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def suite_file(suite_data: dict, tmp_path: Path) -> Path:
    """The null model in both scenarios with an idle baseline, on a board that draws 9.5 W."""
    sensor = tmp_path / "hwmon" / "hwmon0"
    sensor.mkdir(parents=True)
    files = {"name": "ina3221", "in1_label": "VDD_IN", "in1_input": 19_000, "curr1_input": 500}
    for name, content in files.items():
        (sensor / name).write_text(f"{content}\n")
    data = {
        **suite_data,
        "protocol": {"use": "quick", "repeats": 2, "window_s": 1, "idle_s": 1},
        "scenarios": ["offline", "single-stream"],
        "meters": {"hwmon": {"root": str(tmp_path / "hwmon")}},
        "trace_hz": 10,
        "carbon": {"g_per_kwh": 56, "source": "RTE", "year": 2023},
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def measured(folder: Path, n_rows: int = 4) -> list[dict]:
    rows = store.current(store.read_rows(folder / store.RECORDS))
    assert [row["status"] for row in rows] == ["ok"] * n_rows, [row["reason"] for row in rows]
    return rows


def check(rows: list[dict], watts: float, source: str) -> None:
    """Every figure that has joules in it agrees with the watts, within a thousandth."""
    for row in rows:
        joules = watts * row["wall_s"]
        assert row["energy_j"] == row["energy_system_j"] == pytest.approx(joules, rel=1e-3)
        assert row["idle_power_w"] == pytest.approx(watts, rel=1e-3)
        assert row["energy_net_j"] == pytest.approx(0, abs=1e-3 * joules)
        assert row["energy_j_per_audio_s"] == pytest.approx(joules / row["audio_s"], rel=1e-3)
        assert row["co2e_g"] == pytest.approx(joules / 3.6e6 * 56, rel=1e-3)
        assert (row["energy_scope"], row["energy_method"]) == ("system", "sampled")
        assert (row["energy_system_method"], row["energy_system_source"]) == ("sampled", source)


@pytest.mark.measures
def test_a_boards_input_rail(suite_file: Path, tmp_path: Path) -> None:
    """Sampled by the poller, integrated over each window, in every scenario; nothing beats the model's known delay."""
    every = ["--set", "scenarios=[offline, single-stream, server]", "--set", "server={rate_hz: 20, percentile: 90}"]
    done = process("run", suite_file, *every, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    rows = measured(tmp_path / "run", n_rows=6)
    check(rows, WATTS, "hwmon")
    shortest_s, longest_s = 1.0 / 100, 1.7 / 100  # the tones last 1.0 to 1.7 s, and the model's RTFx is 100
    for row in rows:
        assert row["rtfx"] < 100.1
        assert row["audio_s"] == pytest.approx(10.8 * row["n_passes"])
        if row["scenario"] != "offline":
            assert row["latency_p50_s"] > shortest_s
            assert row["latency_p90_s"] is None or row["latency_p90_s"] > 0.9 * longest_s


@pytest.mark.measures
def test_a_trace_that_is_lost_costs_the_joules_and_is_flagged(greenbench, suite_file: Path, tmp_path: Path) -> None:
    """Pollers that are killed as they begin are started again a few times; rows without a trace have no joules.

    A poller that is back within a second leaves a gap over which power is integrated: the first rows may have joules.
    """
    trace, killed = tmp_path / "run" / store.POWER, set[int]()
    command = [sys.executable, "-m", "greenbench", "run", str(suite_file), "--out", str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as run:
        while run.poll() is None:
            rows = list(store.read_rows(trace)) if trace.exists() else []
            for pid in {row["header"]["pid"] for row in rows if "header" in row} - killed:
                killed.add(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        said = run.stderr.read()
    assert run.returncode == 0, said
    assert len(killed) > 1
    lost = [row for row in measured(tmp_path / "run") if row["trace_lost_s"]]
    assert lost
    for row in lost:
        assert {"trace-lost", "energy-unread"} <= set(row["flags"])
        assert f"{row['trace_lost_s']:.3g} s of" in row["flag_notes"][row["flags"].index("trace-lost")]
        assert (row["energy_j"], row["energy_system_j"], row["co2e_g"]) == (None, None, None)
    checked = greenbench("validate", tmp_path / "run")
    assert checked.returncode == 0, checked.stdout


def test_a_smart_plug_during_a_run_and_after_it(greenbench, suite_file: Path, tmp_path: Path, start: Start) -> None:
    """A plug of 42 W, recorded by the program itself, is attached at the end; a log of 21 W replaces it later."""

    class Plug(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"apower": 42}).encode())

        def log_message(self, *_arguments: object) -> None:
            pass

    server, wall = ThreadingHTTPServer(("127.0.0.1", 0), Plug), tmp_path / "wall.jsonl"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/rpc/Switch.GetStatus?id=0"
    command = [sys.executable, "-m", "greenbench", "power", "record", "--out", wall, "--url", url, "--period", "0.2"]
    recorder = start(command, stderr=subprocess.PIPE, text=True)
    while not wall.exists() and recorder.poll() is None:
        time.sleep(0.05)
    without = ["--set", "trace_hz=0", "--set", "meters={}"]  # no meter here reads any energy
    done = process("run", suite_file, *without, "--out", tmp_path / "run", "--power-log", wall)
    recorder.terminate()
    _, said = recorder.communicate()
    server.shutdown()
    server.server_close()
    assert done.returncode == 0, done.stderr
    assert "power log: the energy of 4 of 4 windows is known\n" in done.stderr
    assert (recorder.returncode, "stopped" in said) == (0, True)
    check(measured(tmp_path / "run"), 42.0, "external")

    half = tmp_path / "half.jsonl"
    half.write_text(wall.read_text().replace('"watts": 42', '"watts": 21'))
    attached = greenbench("power", "attach", tmp_path / "run", "--log", half)
    assert attached.returncode == 0, attached.stderr
    assert attached.stdout == f"{tmp_path / 'run'}: power log: the energy of 4 of 4 windows is known\n"
    check(measured(tmp_path / "run"), 21.0, "external")


def test_what_cannot_be_attached_is_one_line(greenbench, suite_file: Path, tmp_path: Path) -> None:
    """A missing log ends a run before it begins; a log of another day costs no row, and the exit code is 1."""
    missing = greenbench("run", suite_file, "--out", tmp_path / "run", "--power-log", tmp_path / "none.csv")
    assert missing.returncode == 2
    assert f"error: {tmp_path / 'none.csv'}: cannot read the power log" in missing.stderr
    assert not (tmp_path / "run").exists()

    old = tmp_path / "old.csv"
    old.write_text("timestamp,watts\n2020-01-01T00:00:00Z,10\n2020-01-01T00:00:01Z,10\n")
    options = ["--set", "scenarios=[offline]", "--set", "protocol.repeats=4", "--set", "protocol.idle_s=0"]
    done = greenbench("run", suite_file, *options, "--out", tmp_path / "run", "--power-log", old)
    assert done.returncode == 1, "what the run was asked for was not delivered"
    assert "the log covers no window" in done.stderr.splitlines()[-1]
    assert measured(tmp_path / "run")[0]["energy_system_source"] == "hwmon"
    again = greenbench("power", "attach", tmp_path / "run", "--log", old)
    assert again.returncode == 1
    assert "Nothing was changed" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["attach", "none", "--log", "none.csv"], "cannot read the power log"),
        (["record", "--out", "x.jsonl"], "give either --source"),
        (["record", "--out", "x.jsonl", "--source", "rapl"], "--source rapl"),
    ],
)
def test_bad_input_is_exit_code_2(greenbench, arguments: list[str], said: str) -> None:
    """What is wrong with the command is one line, and exit code 2."""
    done = greenbench("power", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
