"""A plug-in that does to its process what the settings ask for: one function a mode.

It is installed by ``test_hostile``; calls 1 to 4 come before the window (first utterance, three warm-ups).
"""

# ruff: noqa: PLE0303, PTH106, PTH123, SIM115

import ctypes
import json
import locale
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from greenbench.plugins import Footprint, Variant

SLEEP = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)  # hostile"]


class UnsayableError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class Nasty(str):
    """A text that answers every question wrongly."""

    def isascii(self):
        return True

    def __len__(self):
        return -1

    def encode(self, *_):
        raise RuntimeError("no bytes")


def recurse(depth):
    return recurse(depth + 1)


def throw(error):
    raise error


def everywhere(data):
    for fd in range(3, 64):
        try:
            if os.fstat(fd).st_mode & 0o170000 == 0o010000:  # a pipe
                os.write(fd, data)
        except OSError:
            pass


def sleep_for_ever():
    while True:
        time.sleep(600)


def orphan(command=SLEEP, **how):
    """Start a grandchild in a session of its own, whose parent ends at once, so that nobody here knows it."""
    if os.fork() == 0:
        subprocess.Popen(command, start_new_session=True, close_fds=False, **how)
        os._exit(0)
    os.wait()


def forked_orphan():
    """The same without another program: it holds every file of ours, the line to the harness among them."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            sleep_for_ever()
        os._exit(0)
    os.wait()


def forks(n):
    for _ in range(n):
        if os.fork() == 0:
            if os.fork() == 0:
                sleep_for_ever()
            sleep_for_ever()


def zombies():
    for _ in range(5):
        if os.fork() == 0:
            os.setsid()
            os._exit(0)


def removed_folder():
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.rmdir(folder)


def other_habits():
    locale.setlocale(locale.LC_ALL, "C")
    os.umask(0o777)
    os.nice(5)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def eats_memory():
    with open("/proc/self/statm") as stream:
        used = int(stream.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, used + 2**26))
    return [bytearray(2**24) for _ in range(100)]


def burns():
    used = int(sum(os.times()[:2]))
    resource.setrlimit(resource.RLIMIT_CPU, (used + 1, used + 5))
    while True:
        pass


def patched(module, name, value):
    setattr(module, name, value)


def prints(n_bytes):
    line = b"\x1b[2Jx" * 200 + b"\n"
    for _ in range(n_bytes // len(line)):
        os.write(1, line)


MODES = {
    "surrogate": lambda: throw(RuntimeError("half \ud83d of a pair")),
    "escapes": lambda: throw(RuntimeError("\x1b[2J\x07\rgone\u202e\nnew line")),
    "unsayable": lambda: throw(UnsayableError()),
    "long-words": lambda: throw(RuntimeError("x" * 50_000_000)),
    "system-exit": lambda: sys.exit(0),
    "keyboard-interrupt": lambda: throw(KeyboardInterrupt()),
    "base-exception": lambda: throw(BaseException("at the root")),
    "generator-exit": lambda: throw(GeneratorExit()),
    "exit-0": lambda: os._exit(0),
    "exit-7": lambda: os._exit(7),
    "becomes-another": lambda: os.execv("/bin/true", ["true"]),
    "sigkill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "sigsegv": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "sigterm": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "sigint": lambda: (os.kill(os.getpid(), signal.SIGINT), time.sleep(1)),
    "abort": os.abort,
    "nameless-signal": lambda: os.kill(os.getpid(), 40),
    "null-pointer": lambda: ctypes.string_at(0),
    "kills-group": lambda: os.killpg(0, signal.SIGKILL),
    "kills-parent": lambda: (os.kill(os.getppid(), signal.SIGKILL), sleep_for_ever()),
    "interrupts-parent": lambda: os.kill(os.getppid(), signal.SIGINT),
    "closes-standard": lambda: [os.close(fd) for fd in (0, 1, 2)],
    "closes-all": lambda: os.closerange(0, 256),
    "garbage": lambda: everywhere(b"what is this\n"),
    "garbage-without-end": lambda: everywhere(b"x" * 200_000),
    "deep-json": lambda: everywhere(b'{"kind": ' + b"[" * 100_000 + b"\n"),
    "forged-row": lambda: everywhere(b'{"kind": "record", "row": {"status": "ok"}}\n'),
    "forged-kind": lambda: everywhere(b'{"kind": "plan", "folder": "/"}\n'),
    "not-utf8": lambda: everywhere(b'{"kind": "phase", "text": "\xff\xfe"}\n'),
    "reads-input": input,
    "removed-folder": removed_folder,
    "other-habits": other_habits,
    "no-files": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0)) or open("/dev/null"),
    "recursion": lambda: recurse(1),
    "memory": eats_memory,
    "cpu-limit": burns,
    "patched-json": lambda: patched(json, "dumps", lambda *_, **__: '{"kind": "phase"'),
    "patched-clock": lambda: patched(time, "perf_counter", lambda: 1.0),
    "patched-time": lambda: patched(time, "time", lambda: throw(RuntimeError("no time"))),
    "patched-hook": lambda: patched(sys, "excepthook", lambda *_: os._exit(9)),
    "no-streams": lambda: (patched(sys, "stdout", None), patched(sys, "stderr", None), throw(RuntimeError("unseen"))),
    "prints": lambda: (prints(30_000_000), throw(RuntimeError("hoarse"))),
    "prints-on": lambda: prints(2_000_000),
    "thread-for-ever": lambda: threading.Thread(target=sleep_for_ever).start(),
    "daemon-thread": lambda: threading.Thread(target=sleep_for_ever, daemon=True).start(),
    "zombies": zombies,
    "orphan-then-exit": lambda: (forked_orphan(), os._exit(7)),
    "orphan-then-raise": lambda: (orphan(), throw(RuntimeError("not alone"))),
    "orphan": orphan,
    "orphan-without-environment": lambda: orphan(env={}),
    "forks": lambda: forks(10),
    "hangs": sleep_for_ever,
    "stops": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "deaf": lambda: ([signal.signal(n, signal.SIG_IGN) for n in (15, 2, 1)], sleep_for_ever()),
    "orphan-then-hangs": lambda: (forked_orphan(), sleep_for_ever()),
    "stops-parent": lambda: (orphan(), os.kill(os.getppid(), signal.SIGSTOP), sleep_for_ever()),
}  # fmt: skip
"""Mode -> what happens in the process at its first utterance."""

ANSWERS = {
    "generator": lambda n: (text for text in ["a"] * n),
    "dict": lambda n: dict.fromkeys(range(n), "a"),
    "too-few": lambda n: [],
    "too-long": lambda n: ["a" * 50_000_000] * n,
    "nasty-text": lambda n: [Nasty("half \ud83d\x1b")] * n,
}
LATE = ("late-generator", "late-too-few")
SIZES = {
    "size-of-text": Footprint(n_params="many"),
    "size-nan": Footprint(model_bytes=float("nan")),
    "work-infinite": Footprint(macs=lambda _n: float("inf")),
    "size-of-numpy": Footprint(n_params=np.int64(5), model_bytes=np.float32(6)),
    "no-footprint": None,
}


class Model:
    batching = "sequential"

    def __init__(self, how):
        self.how, self.calls, self.footprint = how, 0, SIZES.get(how, Footprint(1, 2))

    def __call__(self, batch):
        self.calls += 1
        if self.how in MODES and self.calls == 1:
            MODES[self.how]()
        if self.how in ANSWERS or (self.how in LATE and self.calls > 4):
            return ANSWERS[self.how.removeprefix("late-")](len(batch))
        return ["TONE NUMBER 1"] * len(batch)


@dataclass(frozen=True)
class Hostile:
    how: str
    presets: ClassVar = {}
    takes_builds: ClassVar = False

    @property
    def label(self):
        return self.how

    def load(self, device):
        if self.how == "import-error":
            import a_module_that_is_not_there  # noqa: F401
        if self.how == "loads-nothing":
            return None
        return Model(self.how)

    def __call__(self, name, methods):
        bad = {"decoding-dict": {"decoding": lambda: {"a": 1}}, "warnings-number": {"warnings": lambda: 5}}
        return Variant(name=name, load=self.load, **bad.get(self.how, {}))
