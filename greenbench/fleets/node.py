"""The process on a node: it makes ready what a suite needs, measures it here, and sends home what comes of it."""

import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Literal

import psutil
from pydantic import BaseModel, ConfigDict

from greenbench import cache, processes
from greenbench.errors import GreenbenchError, InputError, words
from greenbench.files.unicode import from_json
from greenbench.fleets.messages import Begun, Checked, Hello, NodeMessage, RunEnd, Said, Stage, write
from greenbench.fleets.sync import Sender, file_name
from greenbench.plugins.events import (
    CellStarted,
    Event,
    Observer,
    Planned,
    Preparing,
    RowStored,
    Unavailable,
    Warned,
)
from greenbench.results import record, store
from greenbench.version import __version__

Send = Callable[[NodeMessage], None]


class Order(BaseModel):
    """What the process on a node is to do.

    Attributes:
        suite: its plain data; None where the node is only to say what it is.
        fleet: the id of the fleet, for the folder of the run.
        node: the name of the node, for the same.
        only: a glob on cells.
        shared: whether the node may get work of others meanwhile.
        daemons: parts of the command lines of the engine's processes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    suite: dict[str, Any] | None
    fleet: str = ""
    node: str = ""
    only: str | None = None
    shared: bool = False
    daemons: tuple[str, ...] = ()


def main() -> None:
    """Carry out the order on standard input, and send messages on standard output; what else prints goes to the log."""
    next_line = processes.follow_parent(sys.stdin.buffer)
    signal.signal(signal.SIGTERM, _interrupt)
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    order = Order.model_validate(from_json(next_line()))

    def send(message: NodeMessage) -> None:
        _send(out, message)

    send(hello())
    with suppress(KeyboardInterrupt):
        send(survey(send) if order.suite is None else measure(order, send))


def _interrupt(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _send(out: BinaryIO, message: NodeMessage) -> None:
    with suppress(BrokenPipeError):  # nobody listens any more: this process is about to be ended
        out.write(write(message).encode() + b"\n")


def hello() -> Hello:
    """Return what this node is."""
    from greenbench.hardware import environment, platforms
    from greenbench.sharing import privacy

    run = privacy.run({"machine": environment.machine()})
    card = next(iter(platforms.platforms([run]).values()))
    return Hello(
        version=__version__, rows=record.SCHEMA, python=platform.python_version(), platform=card.id,
        platform_name=card.name,
    )  # fmt: skip


def survey(send: Send) -> RunEnd:
    """Send what the doctor finds here."""
    from greenbench.doctor.checks import findings

    for finding in findings():
        send(Checked(**asdict(finding)))
    return RunEnd(status="ok")


def folder_of(order: Order) -> Path:
    """Return where a node keeps its run of a fleet: resumed there, nothing is measured twice."""
    return cache.folder().parent / "fleets" / file_name(order.fleet) / file_name(order.node)


def measure(order: Order, send: Send) -> RunEnd:
    """Measure a suite on this node; the stages are those of ``messages.Stage``."""
    watched = _Watched(Sender(folder_of(order), send), send, order.daemons)
    watched.sender.send_new()  # what an earlier attempt has left here
    reason: str | None = None
    try:
        reason = _run(order, watched)
        status: Literal["ok", "failed", "refused"] = "failed" if reason else "ok"
    except InputError as error:
        status, reason = "refused", words(error)
    except GreenbenchError as error:
        status, reason = "failed", words(error)
    finally:
        watched.begin("fetch")
        watched.sender.send_rest()
    return RunEnd(status=status, reason=reason, **watched.used())


def _run(order: Order, watched: "_Watched") -> str | None:
    """Make ready, check, and measure; return in what the run fell short of the suite."""
    from greenbench.harness import ahead, foreseen, runner
    from greenbench.suite import config
    from greenbench.suite.plan import plan

    folder = folder_of(order)
    watched.begin("prepare")
    suite = config.load(order.suite or {})
    cells = plan(suite, order.only)
    runner.check_only(suite, cells, order.only)
    known = ahead.look(cells, allow_emulated=suite.allow_emulated)
    foreseen.refuse(known)
    ahead.require(suite, cells)
    ahead.prepare(cells, [one for one in known if any(map(one.concerns, cells))], watched.observe)
    watched.begin("doctor")
    _examine(suite.protocol.use, watched.observe)
    watched.begin("lock")
    options = runner.Options(
        folder, (folder / store.RUN).exists(), order.only, f"greenbench fleet run (node {order.node})",
        wait=True, shared=order.shared,
    )  # fmt: skip
    shortfall: str | None = runner.run(suite, options, watched.observe).attrs["shortfall"]
    return shortfall


def _examine(protocol: str, observe: Observer) -> None:
    """Tell what here would disturb a measurement.

    Raises:
        InputError: the protocol is the official one, which cannot be met here.
    """
    from greenbench.doctor.checks import findings, verdict

    found = findings()
    if protocol == "official" and any(finding.blocks_official for finding in found):
        against = [f"{f.topic}: {f.message}" for f in found if f.blocks_official]
        raise InputError(f"{verdict(found)} ({'; '.join(against)})")
    for finding in found:
        if finding.ok is False:
            observe(Warned(f"{finding.topic}: {finding.message}"))


class _Watched:
    """What a run on this node tells: its rows are sent as they are stored, and what people should read."""

    def __init__(self, sender: Sender, send: Send, daemons: Sequence[str]) -> None:
        self.sender, self._send, self._daemons = sender, send, daemons
        self._begin_s: float | None = None
        self._engine_s = 0.0

    def begin(self, stage: Stage) -> None:
        """Say that a stage begins."""
        self._send(Begun(stage=stage))

    def observe(self, event: Event) -> None:
        """Send what an event says, and what is new in the run's folder."""
        match event:
            case Planned():
                self._begin_s, self._engine_s = time.monotonic(), cpu_s(self._daemons)
                self.begin("run")
                self._send(Said(text=f"{event.n_todo} of {event.n_cells} cells to run"))
            case CellStarted(label, number, n_cells):
                self.sender.send_new()
                self._send(Said(text=f"[{number}/{n_cells}] {label}"))
            case RowStored():
                self.sender.send_new()
            case Preparing(text) if event.elapsed_s is None:
                self._send(Said(text=text))
            case Unavailable(name, reason):
                self._send(Said(text=f"missing {name}: {reason}"))
            case Warned(text):
                self._send(Said(text=f"warning: {text}"))

    def used(self) -> dict[str, Any]:
        """Return how long the run took, and the CPU seconds of the engine's own processes meanwhile."""
        if self._begin_s is None:
            return {}
        engine_s = max(0.0, cpu_s(self._daemons) - self._engine_s) if self._daemons else None
        return {"run_s": time.monotonic() - self._begin_s, "engine_cpu_s": engine_s}


def cpu_s(daemons: Sequence[str]) -> float:
    """Return the CPU seconds so far of the processes whose command line has one of these parts."""
    total = 0.0
    for process in psutil.process_iter() if daemons else ():
        with suppress(psutil.Error):
            command = " ".join(process.cmdline())
            if any(part in command for part in daemons):
                times = process.cpu_times()
                total += times.user + times.system
    return total


if __name__ == "__main__":
    main()
