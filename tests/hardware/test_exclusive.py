"""One measures at a time on one machine: the second is told who is first, waits, or has rows that do not rank."""

import getpass
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from greenbench import meters
from greenbench.errors import BusyError, StoreError
from greenbench.files import lock
from greenbench.hardware import exclusive
from greenbench.plugins.events import Preparing
from greenbench.recipes import recipe, student
from greenbench.results import store
from greenbench.results.flags import barring

Start = Callable[..., "subprocess.Popen[str]"]
Process = subprocess.Popen[str]

HOLD = """
import sys
from greenbench.hardware import exclusive
with exclusive.measuring():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(start: Start) -> Process:
    """Another process that measures on this machine."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = start([sys.executable, "-c", HOLD], **pipes)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_told_who_measures_and_what_to_do(other: Process) -> None:
    """One line with the command, its process, host and user, since when, and both ways out; exit code 2."""
    with pytest.raises(BusyError) as caught, exclusive.measuring():
        pass
    message = str(caught.value)
    assert (message.count("\n"), caught.value.exit_code) == (0, 2)
    assert message.startswith(f"'-c' (process {other.pid} on ")
    assert f", user {getpass.getuser()}) has been measuring on this machine since 20" in message
    assert "--wait" in message
    assert "--no-lock" in message


def test_who_was_killed_blocks_nobody(other: Process) -> None:
    """Whatever it left behind; and there is nothing left of who measured after it."""
    other.send_signal(signal.SIGKILL)
    other.wait()
    with exclusive.measuring():
        pass
    assert not exclusive.lock_file().with_suffix(".json").exists()


def test_who_waits_says_so_and_begins_when_the_first_has_ended(other: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ends once the second has said for whom it waits."""
    monkeypatch.setattr(lock, "LOOK_S", 0.01)
    told: list[str] = []

    def observe(event: object) -> None:
        assert isinstance(event, Preparing)
        told.append(event.text)
        other.communicate("")

    with exclusive.measuring(wait=True, observe=observe):
        assert other.poll() == 0
    assert len(told) == 1
    assert told[0].startswith(f"waiting: '-c' (process {other.pid} on ")


@pytest.mark.usefixtures("other")
def test_machines_that_share_a_cache_do_not_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another kernel runs on each."""
    (tmp_path / "boot_id").write_text("another\n")
    monkeypatch.setattr(exclusive, "BOOT", tmp_path / "boot_id")
    with exclusive.measuring():
        pass


def test_every_user_of_a_shared_cache_may_hold_the_lock() -> None:
    """The file may be written by all who reach it."""
    with exclusive.measuring():
        assert exclusive.lock_file().stat().st_mode & 0o666 == 0o666


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in its place is said, with what to do."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GREENBENCH_CACHE", str(tmp_path / "file"))
    with (
        pytest.raises(StoreError, match=r"cannot be written \(.*Set GREENBENCH_CACHE .*--no-lock"),
        exclusive.measuring(),
    ):
        pass


@pytest.mark.usefixtures("other")
def test_a_second_run_measures_nothing_or_is_not_ranked(
    greenbench: Callable[..., Any], suite_data: dict[str, Any], tmp_path: Path
) -> None:
    """It exits with 2 and leaves no folder; without the lock its rows are kept, with a flag that bars them."""
    suite, out = tmp_path / "suite.yaml", tmp_path / "run"
    suite.write_text(yaml.safe_dump(suite_data))
    refused = greenbench("run", suite, "--out", out)
    assert refused.returncode == 2
    assert "has been measuring on this machine since" in refused.stderr.splitlines()[-1]
    assert not out.exists()
    for harmless in (["run", suite, "--dry-run"], ["list", "meters"]):
        assert greenbench(*harmless).returncode == 0
    assert greenbench("run", suite, "--out", out, "--no-lock").returncode == 0
    rows = list(store.read_rows(out / store.RECORDS))
    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert all("node-shared" in barring(row["flags"]) for row in rows)


class Joules:
    """A meter of the CPU's energy."""

    metrics = ("energy_cpu_j",)


class Seconds:
    """A meter of something else."""

    metrics = ("cpu_s",)


class BegunError(Exception):
    """The teacher is opened."""


class Family:
    """A teacher that is there and says when it is opened."""

    def prepare(self) -> None:
        pass

    def open(self) -> None:
        raise BegunError


@pytest.mark.usefixtures("other")
@pytest.mark.parametrize("meter", [Joules(), Seconds()])
def test_making_a_student_is_measuring_where_a_meter_reads_its_energy(
    meter: object, tmp_path: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is refused before the teacher is opened; where nothing reads joules it goes on."""
    monkeypatch.setattr(student, "family_of", lambda *_: Family())
    monkeypatch.setattr(student, "check", lambda _recipe: None)
    monkeypatch.setattr(meters, "select", lambda _estimate: [meter])
    content = {
        "name": "s", "teacher": {"use": "wav2vec2/quickstart"}, "steps": [{"use": "layer-drop", "keep": 1}],
        "train": [{"use": "manifest", "path": str(manifest)}],
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    loaded = recipe.load(tmp_path / "recipe.yaml")
    with pytest.raises(BusyError if isinstance(meter, Joules) else BegunError):
        student.make_student(loaded, tmp_path / "s")
    with pytest.raises(BegunError):
        student.make_student(loaded, tmp_path / "s", exclusively=False)
