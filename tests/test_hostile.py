"""Hostile plug-ins: whatever one does, its cell is a row with a truthful reason, and the next cell runs."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from greenbench import registry
from greenbench.harness import line, process
from greenbench.harness.runner import Options, run
from greenbench.plugins.events import Warned
from greenbench.results import store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux finds what leaves a process group")

OK = ""
ENDS = {
    "surrogate": r"RuntimeError: half \ud83d of a pair",
    "escapes": r"RuntimeError: \u001b[2J\u0007 gone\u202e new line",
    "unsayable": "UnsayableError: (its message cannot be read)",
    "long-words": "RuntimeError: xxx",
    "system-exit": "SystemExit: 0",
    "keyboard-interrupt": "KeyboardInterrupt",
    "base-exception": "BaseException: at the root",
    "generator-exit": "GeneratorExit",
    "exit-0": "ended early with exit code 0",
    "exit-7": "ended early with exit code 7",
    "becomes-another": "ended early with exit code 0",
    "sigkill": "killed by SIGKILL (out of memory, or killed from outside)",
    "sigsegv": "killed by SIGSEGV",
    "sigterm": "killed by SIGTERM",
    "sigint": "KeyboardInterrupt",
    "abort": "killed by SIGABRT",
    "nameless-signal": "killed by signal 40",
    "null-pointer": "killed by SIGSEGV",
    "kills-group": "killed by SIGKILL",
    "kills-parent": "killed by SIGKILL",
    "interrupts-parent": OK,
    "closes-standard": OK,
    "closes-all": "something in it closes file descriptors that are not its own",
    "garbage": 'sent something that is not a message: "what is this"',
    "garbage-without-end": 'sent something that is not a message: "xxx',
    "deep-json": "sent something that is not a message",
    "forged-row": "sent a row of another cell (run_id is None)",
    "forged-kind": "sent a message that cannot be read",
    "not-utf8": OK,
    "reads-input": "EOFError",
    "removed-folder": OK,
    "other-habits": OK,
    "no-files": "OSError: [Errno 24] Too many open files",
    "recursion": "RecursionError: maximum recursion depth exceeded",
    "memory": "MemoryError",
    "cpu-limit": "killed by SIGXCPU",
    "patched-json": "invalid JSON",
    "patched-clock": "the row cannot be stored: first_utterance_s: ",
    "patched-time": "RuntimeError: no time",
    "patched-hook": OK,
    "no-streams": "RuntimeError: unseen",
    "prints": "RuntimeError: hoarse",
    "prints-on": OK,
    "thread-for-ever": OK,
    "daemon-thread": OK,
    "zombies": OK,
    "orphan-then-exit": "ended early with exit code 7; it left 1 process behind, now ended",
    "orphan-then-raise": "RuntimeError: not alone; it left 1 process behind, now ended",
    "orphan": OK,
    "orphan-without-environment": OK,
    "forks": OK,
    "generator": "hostile:generator: the model returned a generator: a transcriber returns a list with one str for",
    "dict": "the model returned a dict:",
    "too-long": "the model returned a text of 50000000 characters, more than 250000:",
    "late-generator": "the model returned a generator:",
    "late-too-few": "the model returned 0 texts for a batch of",
    "nasty-text": OK,
    "size-of-text": "footprint.n_params is 'many': it must be a finite number",
    "size-nan": "footprint.model_bytes is 'nan': it must be a finite number",
    "work-infinite": "footprint.macs is 'inf': it must be a finite number",
    "size-of-numpy": OK,
    "no-footprint": "load() gave a Model with footprint None",
    "import-error": "ModuleNotFoundError: No module named 'a_module_that_is_not_there'",
    "loads-nothing": "load() gave a NoneType",
    "decoding-dict": "the row cannot be stored: decoding: a valid string is expected, not {'a': 1}",
    "warnings-number": "TypeError: 'int' object is not iterable",
}
"""Mode -> what its row must say; OK where the cell is measured all the same."""

LEFT = {"orphan": 1, "orphan-without-environment": 1, "forks": 20}
"""Measured cells that leave processes behind, and how many."""

NEVER_END = ("hangs", "stops", "deaf", "orphan-then-hangs", "stops-parent")


@pytest.fixture
def hostile_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the family ``hostile`` as a third party's package would be."""
    folder = tmp_path / "site"
    info = folder / "greenbench_hostile-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("hostile_plugin.py"), folder / "greenbench_hostile.py")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greenbench-hostile\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[greenbench.variants]\nhostile = greenbench_hostile:Hostile\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("HOSTILE_MARK", str(tmp_path))
    registry.entries.cache_clear()
    yield
    registry.entries.cache_clear()


def suite(data: dict, modes: list[str], timeout_s: float) -> dict:
    """Return a suite of one cell a mode, with a good cell after every tenth."""
    variants: list = [{"use": "hostile", "how": mode} for mode in modes]
    for place in range(len(variants), -1, -10):
        variants.insert(place, {"use": "null", "name": f"good-{place}"})
    (dataset,) = data["datasets"]
    protocol = {"use": "quick", "repeats": 1, "window_s": 0, "idle_s": 0, "resamples": 10}
    return {**data, "datasets": [{**dataset, "limit": 2}], "variants": variants, "protocol": protocol,
            "trace_hz": 0, "threads": 1, "batch_sizes": [2], "timeout_s": timeout_s}  # fmt: skip


def left_behind(mark: Path) -> list[psutil.Process]:
    """Return the processes of hostile plug-ins that are alive, by their environment or their command."""
    found = []
    for one in psutil.process_iter():
        try:
            if one.environ().get("HOSTILE_MARK") == str(mark) or any("# hostile" in word for word in one.cmdline()):
                found.append(one)
        except psutil.Error:
            continue
    return found


def reasons(folder: Path) -> dict[str, dict]:
    """Return the last row of each variant; every row must be one that can be stored."""
    return {row["variant"].removeprefix("hostile:"): row for row in store.read_rows(folder / store.RECORDS)}


@pytest.mark.usefixtures("hostile_plugin")
def test_whatever_a_plugin_does_is_a_row(
    suite_data: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: Callable[[float], float]
) -> None:
    """One run over all modes that end: each cell is a row that says why, good cells between are measured."""
    monkeypatch.setattr(process, "ENDS_S", patience(3))
    folder, warned = tmp_path / "run", []
    run(suite(suite_data, list(ENDS), patience(60)), Options(out=folder),
        lambda event: warned.append(event.text) if isinstance(event, Warned) else None)  # fmt: skip
    rows = reasons(folder)
    good = {name: row["status"] for name, row in rows.items() if name.startswith("good-")}
    assert len(good) == len(ENDS) // 10 + 1
    assert set(good.values()) == {"ok"}
    told = {mode: "" if rows[mode]["status"] == "ok" else rows[mode]["reason"] for mode in ENDS}
    assert {m: told[m] for m in ENDS if (ENDS[m] not in told[m] if ENDS[m] else told[m])} == {}
    assert {name: row["n_processes_left"] for name, row in rows.items() if row["n_processes_left"]} == {
        **LEFT, "orphan-then-raise": 1
    }  # fmt: skip
    assert all("processes-left" in rows[mode]["flags"] for mode in LEFT)
    assert next(text for text in warned if "did not end" in text).startswith("hostile:thread-for-ever")
    assert max(len(row["reason"] or "") for row in rows.values()) <= 2000
    assert max(path.stat().st_size for path in (folder / "logs").iterdir()) < 6 * line.LOG_BYTES
    assert b"\x1b" not in (folder / "logs" / f"cell-{rows['prints']['order_index']}.log").read_bytes()
    said = {t["hypothesis"] for t in store.read_rows(folder / store.HYPOTHESES) if t["variant"] == "hostile:nasty-text"}
    assert said == {"half \\ud83d\x1b"}
    assert left_behind(tmp_path) == []


@pytest.mark.usefixtures("hostile_plugin")
def test_a_time_limit_holds_whatever_a_plugin_does(
    suite_data: dict, tmp_path: Path, patience: Callable[[float], float]
) -> None:
    """A process that hangs, is stopped, ignores signals, leaves its session or stops its guard ends in time."""
    run(suite(suite_data, list(NEVER_END), patience(8)), Options(out=tmp_path / "run"))
    rows = reasons(tmp_path / "run")
    assert {mode: rows[mode]["status"] for mode in NEVER_END} == dict.fromkeys(NEVER_END, "error")
    assert all("took longer than timeout_s" in rows[mode]["reason"] for mode in NEVER_END)
    assert left_behind(tmp_path) == []


@pytest.mark.usefixtures("hostile_plugin")
def test_without_a_guard_reading_ends_with_the_worker(
    suite_data: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: Callable[[float], float]
) -> None:
    """On other systems: an orphan that keeps the pipe open holds up nothing, and a process group is ended."""
    monkeypatch.setattr(line, "HAS_GUARD", False)
    began = time.monotonic()
    run(suite(suite_data, ["forks", "orphan-then-exit"], patience(200)), Options(out=tmp_path / "run"))
    took_s, rows = time.monotonic() - began, reasons(tmp_path / "run")
    orphans = left_behind(tmp_path)
    for orphan in orphans:
        orphan.kill()
    assert took_s < patience(200), "the time limit of a cell"
    assert rows["orphan-then-exit"]["reason"].startswith("the worker ended early with exit code 7")
    assert rows["forks"]["status"] == "ok"
    assert len(orphans) == 1, "only what has left the group is not found"
