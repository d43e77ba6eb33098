"""The door for messages of a worker: what is whole passes as it is, whatever else comes is refused by what is wrong."""

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenbench import guard
from greenbench.harness import line, messages, process, rows
from greenbench.harness.job import Job
from greenbench.plugins.events import Event, Phase
from greenbench.results import record
from greenbench.results.runfiles import MAX_TEXT
from greenbench.suite import config
from greenbench.suite.plan import plan

Change = Callable[[dict], Any]


@pytest.fixture
def job(suite_data: dict) -> Job:
    loaded = config.load(suite_data)
    return Job("r", 0, loaded, plan(loaded)[0])


def sent(**message: Any) -> bytes:
    return json.dumps(message).encode()


def measured(job: Job) -> dict:
    """Return a row that can be stored: the planned columns of a cell, and what every window gives."""
    metrics = {"wall_s": 1.0, "audio_s": 2.0, "n_passes": 1, "rtfx": 2.0, "n_utterances": 8}
    return {**record.to_row(rows.not_measured(job, "ok", "")), **metrics, **job.key(1), "reason": None}


def test_a_row_comes_through_as_it_was_sent(job: Job) -> None:
    """Neither types nor the order of columns change."""
    row = measured(job)
    read = messages.read(sent(kind="record", row=row), job)
    assert isinstance(read, messages.Recorded)
    assert list(read.row.items()) == list(row.items())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda row: row | {"run_id": "another"}, "a row of another cell (run_id is"),
        (lambda row: row | {"repeat": 2}, "a row of a repeat that the protocol does not have (2)"),
        (lambda row: row | {"repeat": "1"}, "a row of a repeat that the protocol does not have"),
        (lambda row: row | {"wall_s": float("nan")}, "wall_s: a finite number is expected, not nan"),
        (lambda row: row | {"energy_j": float("inf")}, "energy_j: a finite number is expected, not inf"),
        (lambda row: row | {"wall_s": -1.0}, "wall_s: greater than or equal to 0 is expected, not -1.0"),
        (lambda row: row | {"audio_s": 0}, "audio_s: a number above 0 is expected, not 0"),
        (lambda row: row | {"n_params": "many"}, "n_params: a valid number is expected, not 'many'"),
        (lambda row: row | {"n_params": True}, "n_params: a valid number is expected, not True"),
        (lambda row: row | {"n_passes": 1.5}, "n_passes: a count, which is whole, is expected, not 1.5"),
        (lambda row: row | {"n_passes": 10**400}, "n_passes: a "),
        (lambda row: row | {"rtfx": None}, "status is ok, and rtfx is null"),
        (lambda row: row | {"flags": "spread"}, "flags: a valid list is expected, not 'spread'"),
        (
            lambda row: row | {"flags": ["spread"], "flag_notes": ["a", "b"]},
            "flag_notes: 1 notes on the flags are expected",
        ),
        (lambda row: row | {"decoding": {"a": 1}}, "decoding: a valid string is expected, not {'a': 1}"),
        (lambda row: row | {"status": "fine"}, "status: 'ok', 'error' or 'skipped' is expected, not 'fine'"),
        (lambda row: row | {"status": "error"}, "status is error without a reason"),
        (lambda row: row | {"status": "error", "reason": 5}, "reason: a valid string is expected, not 5"),
        (lambda row: row | {"another": 1}, "its columns are not those of a row (another)"),
        (lambda row: {k: v for k, v in row.items() if k != "cer"}, "its columns are not those of a row (cer)"),
        (lambda row: {k: v for k, v in row.items() if k != "status"}, "its columns are not those of a row (status)"),
        (lambda row: [row], "row: input should be a valid dictionary"),
    ],
)
def test_a_row_that_no_reader_could_believe_is_refused(job: Job, change: Change, why: str) -> None:
    """By the column and what stands in it, in one line."""
    with pytest.raises(messages.UnreadableError) as caught:
        messages.read(sent(kind="record", row=change(measured(job))), job)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def text(job: Job, **changes: Any) -> bytes:
    row = {**job.key(0), "utterance_id": "u", "speaker": None, "reference": "a", "audio_s": 1, "audio_digest": "d",
           "slices": {"noise": "street"}, "terms": ["a"], "words": [{"word": "a", "start_s": 0.0, "end_s": 0.5}],
           "hypothesis": "b", "latency_s": None, "shown": [{"time_s": 1.5, "text": "b"}]}  # fmt: skip
    return sent(kind="hypotheses", rows=[row | changes])


@pytest.mark.parametrize(
    "changes",
    [
        {"hypothesis": 5},
        {"hypothesis": "a" * (MAX_TEXT + 1)},
        {"audio_s": "1"},
        {"latency_s": float("nan")},
        {"slices": {"noise": 5}},
        {"more": 1},
        {"run_id": "another"},
    ],
)
def test_texts_and_edges_are_typed(job: Job, changes: dict) -> None:
    """A text passes; one with a value of another type, a column more, or of another cell does not."""
    assert isinstance(messages.read(text(job), job), messages.Hypotheses)
    with pytest.raises(messages.UnreadableError):
        messages.read(text(job, **changes), job)


@pytest.mark.parametrize("segments", [[[1]], [[1, 2, 3]], [["1", "2"]], [1, 2], None])
def test_a_window_is_pairs_of_seconds(job: Job, segments: Any) -> None:
    edges = {"kind": "window", **job.key(0), "segments": [[1.5, 2]], "pass_s": [0.5], "t_s": 2.0, "utc_s": 3.0}
    assert isinstance(messages.read(sent(kind="window", row=edges), job), messages.Windowed)
    with pytest.raises(messages.UnreadableError):
        messages.read(sent(kind="window", row=edges | {"segments": segments}), job)


class Flood:
    """A line on which messages never end."""

    def receive(self, timeout_s: float) -> bytes:
        return b'{"kind": "phase", "text": "x"}'


def test_a_flood_of_messages_does_not_hold_up_the_time_limit(suite_data: dict, tmp_path: Path) -> None:
    """There is always one more; the time is up all the same."""
    loaded = config.load({**suite_data, "timeout_s": 0.05})
    seen: list[Event] = []
    outcome = process._exchange(Flood(), tmp_path, Job("r", 0, loaded, plan(loaded)[0]), seen.append)
    assert set(seen) == {Phase("x")}
    assert not outcome.has_ended


# --- the line --------------------------------------------------------------------------------------------


def test_lines_are_cut_where_they_are_seen_to_be_none() -> None:
    """A message of many chunks is whole; a flood without an end, or without a beginning, does not pile up."""
    whole = messages.BEGINNING + b"x" * 300_000
    assert list(line.lines(io.BufferedReader(io.BytesIO(whole + b"\n\nab\ncut")))) == [whole, b"", b"ab", b"cut"]
    flood = list(line.lines(io.BufferedReader(io.BytesIO(b"y" * 1_000_000))))
    assert b"".join(flood) == b"y" * 1_000_000
    assert max(map(len, flood)) < 200_000


class Pieces:
    """A stream that comes in pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self._left = list(pieces)

    def read1(self, _size: int) -> bytes:
        return self._left.pop(0) if self._left else b""


@pytest.mark.parametrize("n_first", [0, 1, 5, 7, 70_000])
@pytest.mark.parametrize("before", [b"", b"\n", b'{"kind": "done"}\n'])
def test_a_long_message_is_whole_wherever_its_pieces_end(before: bytes, n_first: int) -> None:
    """It may be the first, or follow one that ended with a piece; its own beginning may be in two pieces."""
    message = messages.BEGINNING + b"x" * 300_000
    whole = before + message + b"\n"
    cut = len(before) + n_first
    pieces = [*([before] if before else []), *([whole[len(before) : cut]] if n_first else [])]
    pieces += [whole[at : at + 65536] for at in range(cut, len(whole), 65536)]
    assert list(line.lines(Pieces(*pieces))) == [*before.splitlines(), message]  # type: ignore[arg-type]


def test_a_log_keeps_its_two_ends() -> None:
    """Of what is printed the first and last halves stay, what is missing is counted, and memory is bounded."""
    log = line.Log(kept=1000)
    log.write(b"first\n")
    for _ in range(300):
        log.write(b"0123456789" * 10)
    log.write(b"\n\x1b[2Jlast\n\n")
    kept = log.text()
    assert kept.startswith("first\n0123")
    assert kept.endswith("\\u001b[2Jlast\n\n")
    assert f"[{6 + 30_000 + 11 - 1000} bytes are left out here]" in kept
    assert log.last_line() == "\\u001b[2Jlast"
    assert len(log._tail) <= 1000
    short = line.Log(kept=1000)
    short.write(b"all\r\nof it")
    assert (short.text(), short.last_line()) == ("all\nof it", "of it")
    assert line.Log().last_line() == ""


ENDS_SOON = "import os, time; os.fork() or (time.sleep(0.3), os._exit(0)); os._exit(3)"
STAYS = "import os, time; os.fork() or (os.setsid(), os.fork() or time.sleep(600)); os._exit(4)"


@pytest.mark.skipif(sys.platform != "linux", reason="the guard is Linux's")
@pytest.mark.parametrize(("work", "told"), [(ENDS_SOON, (3, 0)), (STAYS, (4, 1)), ("import os; os.abort()", (-6, 0))])
def test_a_guard_tells_how_a_worker_ended_and_what_it_left(work: str, told: tuple[int, int]) -> None:
    """What ends by itself is not counted; what does not is ended, in whatever session it is."""
    command = [sys.executable, "-I", "-S", guard.__file__, sys.executable, "-I", "-S", "-c", work]
    done = subprocess.run(command, capture_output=True, check=True)
    end = json.loads(done.stdout.strip().splitlines()[-1])
    assert (end["returncode"], end["n_left"]) == told


@pytest.mark.skipif(sys.platform != "linux", reason="the guard is Linux's")
def test_a_guard_ends_with_the_run_that_was_killed(patience: Callable[[float], float]) -> None:
    """Nobody is left who could listen: the worker and the guard end, too."""
    code = f"""
import subprocess, sys, time
guarded = [sys.executable, "-I", "-S", {guard.__file__!r}, sys.executable, "-c",
           "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
print(subprocess.Popen(guarded, stdout=subprocess.PIPE).stdout.readline().decode(), flush=True)
time.sleep(600)
"""
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert run.stdout is not None
    worker = int(run.stdout.readline())
    run.kill()
    run.wait()
    run.stdout.close()
    deadline = time.monotonic() + patience(20)
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{worker}").exists()
