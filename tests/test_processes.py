"""A process that greenbench starts ends at once when the one that started it is killed, whatever it does meanwhile."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from greenbench import guard, processes

Start = Callable[..., "subprocess.Popen[Any]"]
Patience = Callable[[float], float]

BY_PIPE = "from greenbench import processes\nprocesses.BY_KERNEL = False\n"
"""What Python runs first where the kernel ends no orphans."""

READY = "import os, pathlib, re, sys, time\npathlib.Path(sys.argv[1]).write_text(str(os.getpid()))\n"
FOLLOWS = "import sys\nfrom greenbench import processes\nprocesses.follow_parent(sys.stdin.buffer)\n"
WORKER = "from greenbench.harness.worker import Channel\nchannel = Channel()\n"
SLEEPS = "time.sleep(600)\n"
COMPUTES = "re.match('(a+)+$', 'a' * 64 + 'b')\n"
"""It computes for years, and no other thread gets to run meanwhile."""

RUNS = "import sys\nfrom greenbench import processes\n" \
    "processes.run([sys.executable, '-c', *sys.argv[1:]], processes.environment())"  # fmt: skip

EXPORTS = """
import time
from functools import partial
from pathlib import Path
from greenbench.models import exported
exported.export_apart(exported.ExportSource(partial(time.sleep, 600), {}), None, Path())
"""

POLLS = """
import os, sys
from pathlib import Path
from greenbench.meters.poller import polling
os.mkfifo(sys.argv[1])
with polling(Path(sys.argv[1]), 10, {}):
    pass
"""
"""Nobody reads what the poller wants to write, so that it waits for ever, as in a driver that hangs."""


@pytest.fixture(params=["kernel", "pipe"])
def how(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """By what a process learns that its parent is gone."""
    if request.param == "kernel" and not processes.BY_KERNEL:
        pytest.skip("the kernel of Linux does it")
    if request.param == "pipe":
        (tmp_path / "sitecustomize.py").write_text(BY_PIPE)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return request.param


def await_end(parent: "subprocess.Popen[Any]", child: psutil.Process, limit_s: float) -> bool:
    """Kill the parent; say whether the child ended in time. It does not outlive the test."""
    parent.kill()
    _, alive = psutil.wait_procs([child], timeout=limit_s)
    for process in alive:
        process.kill()
    return not alive


@pytest.mark.parametrize("begin", [FOLLOWS, WORKER])
def test_it_ends_with_its_parent_that_is_killed(
    begin: str, how: str, tmp_path: Path, start: Start, patience: Patience
) -> None:
    """A helper and a worker are asleep, or compute without a pause, and will say or ask nothing for long."""
    then, ready = COMPUTES if how == "kernel" else SLEEPS, tmp_path / "ready"
    parent = start([sys.executable, "-c", RUNS, begin + READY + then, ready])
    while not (ready.exists() and ready.read_text()):
        assert parent.poll() is None
        time.sleep(0.02)
    assert await_end(parent, psutil.Process(int(ready.read_text())), patience(20))


@pytest.mark.usefixtures("how")
@pytest.mark.parametrize("work", [EXPORTS, POLLS])
def test_what_a_run_starts_beside_its_workers_ends_with_it(
    work: str, tmp_path: Path, start: Start, patience: Patience
) -> None:
    """The exporter, in a model that takes long to open, and the poller, which hangs."""
    parent = start([sys.executable, "-c", work, tmp_path / "fifo"])
    while not (children := psutil.Process(parent.pid).children()):
        assert parent.poll() is None
        time.sleep(0.02)
    assert await_end(parent, children[0], patience(40))


@pytest.mark.skipif(not processes.BY_KERNEL, reason="the kernel of Linux does it")
def test_a_parent_that_ended_before_the_kernel_was_asked_is_noticed() -> None:
    """The process has another parent then than the one that started it."""
    env = {**os.environ, guard.PARENT: str(os.getppid())}
    done = subprocess.run([sys.executable, "-c", FOLLOWS], env=env, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == -signal.SIGKILL


ECHO = FOLLOWS.replace("processes.f", "sys.stdout.write(sys.stdin.readline()); processes.f") + "sys.exit('end')"


@pytest.mark.usefixtures("how")
def test_a_helper_gets_its_order_and_is_heard_to_its_end() -> None:
    """What it prints on both streams, and its exit code."""
    done = processes.run([sys.executable, "-c", ECHO], processes.environment(), b"do\n")
    assert (done.returncode, done.stdout.strip(), done.stderr.strip()) == (1, b"do", b"end")


def test_a_helper_that_does_not_read_its_order_is_heard_all_the_same() -> None:
    """More than a pipe holds was for one that ended at its start."""
    done = processes.run([sys.executable, "-c", "import sys; sys.exit(3)"], processes.environment(), b"x" * 10**6)
    assert done.returncode == 3


def test_a_helper_that_takes_too_long_is_ended() -> None:
    """The caller gets the limit that was passed, and no process stays."""
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(subprocess.TimeoutExpired):
        processes.run([sys.executable, "-c", "import time; time.sleep(600)"], processes.environment(), timeout_s=0.2)
    assert {child.pid for child in psutil.Process().children()} <= before
