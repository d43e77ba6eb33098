"""Recording a power source at a pace: what comes out can be attached, and a source that falls silent is told of."""

import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from greenbench.errors import InputError, StoreError
from greenbench.power import log, recorder
from greenbench.power.log import Source
from greenbench.power.recorder import SilentError, plug, record

SHELLY = {"id": 0, "output": True, "apower": 42.5, "voltage": 230.1, "aenergy": {"total": 6.5}}
TASMOTA = {"StatusSNS": {"Time": "2025-01-01T00:00:00", "ENERGY": {"Power": [41, 3], "Voltage": 230}}}


@pytest.fixture
def serve() -> Iterator[Callable[[object], str]]:
    """A plug on this machine that answers with what it is given; returns its address."""
    servers = []

    def start(answer: object) -> str:
        class Plug(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if answer is not None else 503)
                self.end_headers()
                self.wfile.write(answer.encode() if isinstance(answer, str) else json.dumps(answer).encode())

            def log_message(self, *_arguments: object) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Plug))
        Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/rpc/Switch.GetStatus?id=0"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("answer", "path", "watts"),
    [(SHELLY, "apower", 42.5), (TASMOTA, "StatusSNS.ENERGY.Power.0", 41.0), ([{"w": 0}], "0.w", 0.0)],
)
def test_a_plug_is_asked_over_http(serve, answer: object, path: str, watts: float) -> None:
    """The watts are at a path of keys and indexes in the plug's answer."""
    assert plug(serve(answer), path)() == watts


@pytest.mark.parametrize(
    ("answer", "path", "said"),
    [
        (SHELLY, "power", "the answer has no 'power': 'power' is not among: id, output, apower"),
        (SHELLY, "apower.now", "'now' is not among: float"),
        (SHELLY, "output", "'output' is not a number of watts: True"),
        ({"w": None}, "w", "'w' is not a number of watts: None"),
        ({"w": [1]}, "w.1", "'1' is not among: list"),
        ("<html>", "apower", "Expecting value"),
    ],
)
def test_what_a_plug_does_not_tell(serve, answer: object, path: str, said: str) -> None:
    """A wrong path says what there is; text, null and truth are no watts."""
    with pytest.raises(ValueError, match=said):
        plug(serve(answer), path)()


def test_an_address_is_of_http() -> None:
    """Anything but HTTP is refused before it is opened."""
    with pytest.raises(InputError, match="--url file:///etc/passwd: write the whole address"):
        plug("file:///etc/passwd", "apower")


class World:
    """A monotonic clock, UTC an hour of seconds ahead of it, and a source that answers in turn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: list, takes_s: float = 0.0) -> None:
        self.now, self.answers, self.takes_s, self.said = 10.0, iter(answers), takes_s, []
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "time", lambda: self.now + 1_700_000_000)
        monkeypatch.setattr(time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds

    def ask(self) -> float:
        self.now += self.takes_s
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_samples_keep_their_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that takes a third of the period is asked every period, and each answer has the time in between."""
    world, out = World(monkeypatch, [1.0, 2.0, 3.0, 4.0], takes_s=0.3), tmp_path / "wall.jsonl"
    assert record(world.ask, out, 1.0, world.said.append, n_samples=4) == 4
    found = log.read(Source(out))
    assert found.watts.tolist() == [1, 2, 3, 4]
    assert found.times.tolist() == pytest.approx([1_700_000_010.15 + n for n in range(4)])


def test_a_source_that_falls_silent_is_told_of_once_and_asked_again(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails leaves a gap, which integration will notice; the user hears of it, and again only after an answer."""
    answers = [1.0, OSError("no route"), ValueError("rubbish"), 4.0, OSError("gone"), 6.0]
    world, out = World(monkeypatch, answers), tmp_path / "wall.jsonl"
    assert record(world.ask, out, 1.0, world.said.append, n_samples=6) == 3
    assert log.read(Source(out)).watts.tolist() == [1, 4, 6]
    assert world.said == ["no route", "gone"]


def test_a_source_that_never_answers_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong address is told of at once, and no file appears."""
    world = World(monkeypatch, [OSError("connection refused")])
    with pytest.raises(SilentError, match="the power source does not answer: connection refused"):
        record(world.ask, tmp_path / "wall.jsonl", 1.0, world.said.append)
    assert not (tmp_path / "wall.jsonl").exists()


def test_a_log_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An --out in a folder that does not exist is one line."""
    with pytest.raises(StoreError, match="cannot write the power log"):
        record(World(monkeypatch, [1.0]).ask, tmp_path / "none" / "wall.jsonl", 1.0, print)


def test_meters_of_the_machine_can_be_recorded(tmp_path: Path) -> None:
    """The sensors that a run samples are sources too; other meters, and those that cannot measure, are refused."""
    folder = tmp_path / "BAT0"
    folder.mkdir()
    for name, content in {"type": "Battery", "status": "Discharging", "power_now": 7_000_000}.items():
        (folder / name).write_text(str(content))
    ask = recorder.machine("battery", {"root": str(tmp_path)})
    assert ask() == 7.0
    (folder / "status").write_text("Charging")
    with pytest.raises(ValueError, match="runs on mains"):
        ask()
    with pytest.raises(SilentError, match="battery: the machine runs on mains"):
        recorder.machine("battery", {"root": str(tmp_path)})
    with pytest.raises(InputError, match="--source rapl: not a source .* Valid: hwmon, battery, ipmi"):
        recorder.machine("rapl", {})
