"""The poller: a steady pace, one bad sensor among good ones, and an end with the run however that ends."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from greenbench.meters import poller
from greenbench.meters.poller import CPU, polling
from greenbench.plugins.traces import PID

Patience = Callable[[float], float]
Start = Callable[..., "subprocess.Popen[Any]"]


@dataclass
class Hand:
    """A clock's hand, and an event that ends the poller after so many seconds; waiting moves the hand."""

    end_s: float
    now: float = 50.0

    def wait(self, timeout: float) -> bool:
        assert timeout >= 0
        self.now += timeout
        return self.now >= self.end_s


@dataclass
class Sensor:
    """Gives what it is told to, in turn, and takes its time; an exception is raised instead."""

    answers: Iterator[Mapping[str, float] | Exception]
    hand: Hand | None = None
    takes_s: Iterator[float] = field(default_factory=lambda: iter([]))

    def sample(self) -> Mapping[str, float]:
        if self.hand is not None:
            self.hand.now += next(self.takes_s, 0.0)
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def polled(monkeypatch: pytest.MonkeyPatch, path: Path, hand: Hand, sensors: dict[str, Sensor]) -> list[dict]:
    """Poll ten times a second on the hand's clock; return the samples, without the header."""
    monkeypatch.setattr(time, "perf_counter", lambda: hand.now)
    poller.poll(path, 0.1, sensors, hand)  # type: ignore[arg-type]
    return lines(path)[1:]


def test_delays_do_not_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sensors that take their time leave the pace alone; those that take too long cost the samples missed."""
    hand = Hand(51.0)
    slow = Sensor(iter([{"a": 1.0}] * 20), hand, iter([0.03] * 4 + [0.25] + [0.03] * 9))
    found = polled(monkeypatch, tmp_path / "p", hand, {"slow": slow})
    at = [sample["t_s"] for sample in found]
    assert at == pytest.approx([50.0, 50.1, 50.2, 50.3, 50.4, 50.7, 50.8, 50.9])


def test_the_meter_in_the_greatest_hurry_sets_the_pace() -> None:
    """The run's period holds unless a meter needs a shorter one here; one that needs none slows nobody down."""
    hurried, slow, easy = (SimpleNamespace(period_s=s, sample=dict) for s in (0.05, 1.0, None))
    assert poller.pace_s(0.1, {"a": easy, "b": Sensor(iter([])), "c": slow}) == 0.1
    assert poller.pace_s(0.1, {"a": easy, "b": hurried, "c": slow}) == 0.05
    assert poller.pace_s(0.02, {"b": hurried}) == 0.02


def test_a_bad_sensor_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sensor that raises, or gives no number, is left out of that sample; the others and the later ones go on."""
    bad = Sensor(iter([{"b": 1.0}, OSError("gone"), {"b": float("nan"), "c": 2.0}, {"b": 3.0}]))
    good = Sensor(iter([{"a": float(n)} for n in range(4)]))
    found = polled(monkeypatch, tmp_path / "p", Hand(50.4), {"bad": bad, "good": good})
    assert [{name: sample[name] for name in ("a", "b", "c") if name in sample} for sample in found] == [
        {"a": 0, "b": 1}, {"a": 1}, {"a": 2, "c": 2}, {"a": 3, "b": 3},
    ]  # fmt: skip


def test_values_are_short_and_counters_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured has six digits, and a counter all of its own; the header maps the clock to UTC."""
    sensor = Sensor(iter([{"x.power_w": 12.3456789012, "rapl.package-0.energy_uj": 262_143_328_849}]))
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.5)
    (sample,) = polled(monkeypatch, tmp_path / "p", Hand(50.1), {"x": sensor})
    assert sample["x.power_w"] == 12.3457
    assert sample["rapl.package-0.energy_uj"] == 262_143_328_849
    header = lines(tmp_path / "p")[0]["header"]
    assert (header["t_s"], header["utc_s"], header["meters"]) == (50.0, 1_700_000_000.5, ["x"])


def test_a_full_disk_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples that cannot be written are lost, and the poller goes on."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    sensor, hand = Sensor(iter([{"a": 1.0}] * 3)), Hand(50.3)
    monkeypatch.setattr(time, "perf_counter", lambda: hand.now)
    poller.poll(full, 0.1, {"x": sensor}, hand)  # type: ignore[arg-type]
    assert list(sensor.answers) == []


def test_a_meter_that_fails_or_sees_nothing_is_not_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the registered meters those are polled that can be and see something; the others are left alone."""
    from types import SimpleNamespace

    from greenbench import registry

    meters = {
        "good": Sensor(iter([{"a": 1.0}])),
        "moody": Sensor(iter([OSError("no data"), {}, {"a": 1.0}])),
        "blind": Sensor(iter([{}] * 9)),
        "broken": Sensor(iter([RuntimeError("boom")] * 9)),
        "edges-only": SimpleNamespace(window=None),
    }
    monkeypatch.setattr(registry, "names", lambda _group: sorted(meters))
    monkeypatch.setattr(registry, "create", lambda _group, name, _options: meters[name])
    assert list(poller.sensors({})) == ["good", "moody"]


# --- as a process ----------------------------------------------------------------------------------------


@pytest.mark.measures
def test_it_samples_while_the_block_runs_and_is_nearly_idle(tmp_path: Path) -> None:
    """Samples begin before the block does and end with it; the process uses little of a core and then is gone."""
    path = tmp_path / "power.jsonl"
    with polling(path, 20, {}) as trace:
        assert trace is not None
        assert len(lines(path)) >= 1
        trace.await_sample(time.perf_counter() + 1)
        process = psutil.Process(trace.pid)
    header, *samples = lines(path)
    assert header["header"]["pid"] == trace.pid
    assert not process.is_running()
    used_s = samples[-1][CPU] - samples[0][CPU]
    assert used_s < 0.5 * (samples[-1]["t_s"] - samples[0]["t_s"])  # one that spins uses all of it
    assert all(0 <= sample["cpu.utilisation_pct"] <= 100 for sample in samples)


def test_never_means_never(tmp_path: Path) -> None:
    """With a pace of 0 there is neither a process nor a file."""
    before = psutil.Process().children()
    with polling(tmp_path / "power.jsonl", 0, {}) as trace:
        assert trace is None
        assert psutil.Process().children() == before
    assert not (tmp_path / "power.jsonl").exists()


def test_a_later_run_in_the_same_file_has_samples_of_its_own(tmp_path: Path) -> None:
    """A trace begins where its poller did: a resumed run may be on the clock of a machine that was started anew."""
    path = tmp_path / "power.jsonl"
    old = json.dumps({"t_s": 1e9, "cpu.power_w": 1.0}) + "\n"
    path.write_text(old)
    with polling(path, 20, {}) as trace:
        assert trace is not None
        trace.await_sample(time.perf_counter())
        assert trace.samples(0, 2e9)[-1]["t_s"] < 1e9
    assert path.read_text().startswith(old)


def test_a_line_that_was_torn_off_costs_no_later_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier poller could not finish is ended first, so that the header of the next is whole."""
    path, hand = tmp_path / "p", Hand(50.1)
    path.write_text('{"t_s": 1, "a"')
    monkeypatch.setattr(time, "perf_counter", lambda: hand.now)
    poller.poll(path, 0.1, {}, hand)  # type: ignore[arg-type]
    assert [json.loads(line).keys() for line in path.read_text().splitlines()[1:]] == [
        {"header"},
        {"t_s", "t_end_s", CPU, PID},
    ]


def pids(path: Path) -> list[int]:
    """The pollers that have begun to write, in turn."""
    return [line["header"]["pid"] for line in lines(path) if "header" in line] if path.exists() else []


def test_a_poller_that_dies_is_started_again(tmp_path: Path, patience: Patience) -> None:
    """After a SIGKILL another process samples on in the same file, and it is the one that is accounted for."""
    path, deadline = tmp_path / "power.jsonl", time.monotonic() + patience(60)
    with polling(path, 20, {}) as trace:
        assert trace is not None
        assert trace.present_pid() == trace.pid == pids(path)[0]
        os.kill(trace.pid, signal.SIGKILL)
        killed_s = time.perf_counter()
        while trace.samples(killed_s + 0.5, math.inf)[-1]["t_s"] < killed_s + 0.5:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        first, second = pids(path)
        assert trace.present_pid() == second != first
        process = psutil.Process(second)
    assert not process.is_running()


def test_a_poller_that_always_dies_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A poller that cannot write its file is started a few times and no more; the block runs, all of it unseen."""
    started: list[int] = []
    start = subprocess.Popen
    monkeypatch.setattr(poller, "LOOK_S", 0.01)
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **how: (started.append(1), start(*args, **how))[1])
    with polling(tmp_path / "none" / "power.jsonl", 10, {}) as trace:
        assert trace is not None
        while len(started) < 1 + poller.N_RESTARTS:
            time.sleep(0.05)
        time.sleep(0.5)
    assert len(started) == 1 + poller.N_RESTARTS
    assert trace.lost_s([(1.0, 3.5), (5.0, 6.0)]) == 3.5


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_its_parent_does(tmp_path: Path, sent: int, start: Start, patience: Patience) -> None:
    """However the run dies, its poller ends by itself."""
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom greenbench.meters.poller import polling\n"
        "with polling(Path(sys.argv[1]), 20, {}) as trace:\n    print(trace.pid, flush=True)\n    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "power.jsonl")]
    parent = start(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    process = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(sent)
    psutil.wait_procs([process], timeout=patience(20))
    assert not process.is_running()


def test_it_imports_nothing_heavy() -> None:
    """Finding and asking the built-in sensors imports no torch, pandas or transformers."""
    code = (
        "import sys\nfrom greenbench.meters import poller\npoller.sample(poller.sensors({}))\n"
        "print([name for name in ('torch', 'pandas', 'transformers', 'codecarbon') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_only_its_event_ends_it(tmp_path: Path) -> None:
    """A real event ends the loop only once it is set."""
    stopped = threading.Event()
    sensor = Sensor(iter([{"a": 1.0}] * 1000))
    thread = threading.Thread(target=poller.poll, args=[tmp_path / "p", 0.01, {"x": sensor}, stopped])
    thread.start()
    while not (tmp_path / "p").exists() or len((tmp_path / "p").read_text().splitlines()) < 4:
        time.sleep(0.01)
    stopped.set()
    thread.join()
    assert not thread.is_alive()
