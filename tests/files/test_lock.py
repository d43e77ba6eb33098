"""Two processes never write into one folder: the second is refused with the name of the first, in one line."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from greenbench.errors import BusyError, StoreError
from greenbench.files import lock
from greenbench.harness.runner import Options, run
from greenbench.results import frames, store
from greenbench.results.rescore import rescore

Start = Callable[..., "subprocess.Popen[str]"]

HOLD = """
import sys
from pathlib import Path
from greenbench.files import lock
with lock.writing(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path: Path, start: Start) -> "tuple[Path, subprocess.Popen[str]]":
    """A folder that another process writes into, and that process."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    other = start([sys.executable, "-c", HOLD, tmp_path / "run"], **pipes)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    return tmp_path / "run", other


def test_the_second_is_told_who_is_first_and_since_when(held: "tuple[Path, subprocess.Popen[str]]") -> None:
    """One line, exit code 2, and nothing is changed."""
    folder, other = held
    since = json.loads((folder / lock.WRITER).read_text())["since_utc"]
    with pytest.raises(BusyError) as caught, lock.writing(folder):
        pass
    message = str(caught.value)
    assert (message.count("\n"), caught.value.exit_code) == (0, 2)
    assert message.startswith(f"{folder}: ")
    assert f"process {other.pid} on " in message
    assert f"since {since}" in message


@pytest.mark.parametrize("end", [signal.SIGKILL, None])
def test_a_process_that_has_ended_blocks_nobody(held: "tuple[Path, subprocess.Popen[str]]", end: int | None) -> None:
    """Killed or done, whatever it left."""
    folder, other = held
    if end:
        other.send_signal(end)
    else:
        other.communicate("")
    other.wait()
    with lock.writing(folder):
        pass
    assert not (folder / lock.WRITER).exists()


def test_two_threads_are_kept_apart_too(tmp_path: Path) -> None:
    """A second run in the same process is another writer."""
    refused: list[BaseException] = []

    def second() -> None:
        try:
            with lock.writing(tmp_path):
                pass
        except BusyError as error:
            refused.append(error)

    with lock.writing(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(refused) == 1


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """A file in its place is said, with what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot be written: .*Choose another --out"), lock.writing(tmp_path / "file"):
        pass


def test_whatever_writes_into_a_run_waits_for_no_one_and_is_refused(
    held: "tuple[Path, subprocess.Popen[str]]", whole_run: Path, suite_data: dict[str, Any]
) -> None:
    """Another run, resuming, and scoring anew; the files stay as they are, and reading goes on."""
    folder, _ = held
    for file in (store.RUN, store.RECORDS, store.HYPOTHESES, store.WINDOWS):
        (folder / file).write_bytes((whole_run / file).read_bytes())
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    for refused in (
        lambda: run(suite_data, Options(out=folder)),
        lambda: run(suite_data, Options(out=folder, resume=True)),
        lambda: rescore(folder, ["none"]),
    ):
        with pytest.raises(BusyError):
            refused()
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before
    assert len(frames.load(folder))


@pytest.mark.parametrize("command", ["rescore", "amend", "attach", "report", "validate"])
def test_commands_that_read_are_never_blocked_and_those_that_write_exit_with_2(
    greenbench, held: "tuple[Path, subprocess.Popen[str]]", whole_run: Path, tmp_path: Path, command: str
) -> None:
    """The page of a run under way can be written elsewhere; its rows cannot be changed."""
    folder, _ = held
    for file in whole_run.iterdir():
        if file.is_file() and not file.name.startswith("."):
            (folder / file.name).write_bytes(file.read_bytes())
    (tmp_path / "log.csv").write_text("timestamp,watts\n" + "".join(f"{t},5\n" for t in range(10**9, 10**9 + 9)))
    arguments = {
        "rescore": ["rescore", folder, "--normalizer", "none"],
        "amend": ["rescore", folder, "--amend"],
        "attach": ["power", "attach", folder, "--log", tmp_path / "log.csv", "--clock-skew", "0"],
        "report": ["report", folder, "--out", tmp_path / "page.html"],
        "validate": ["validate", folder],
    }[command]
    done = greenbench(*arguments)
    if command in ("rescore", "amend", "attach"):
        assert done.returncode == 2, done.stderr
        assert done.stderr.count("\n") == 1
        assert "has been writing here since" in done.stderr
    else:
        assert done.returncode == 0, done.stderr


def test_two_runs_into_one_folder_measure_each_cell_once(
    tmp_path: Path, suite_data: dict[str, Any], start: Start, patience: Callable[[float], float]
) -> None:
    """Started at the same time, one measures and the other is refused: each row is there once."""
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite_data))
    command = [sys.executable, "-m", "greenbench", "run", tmp_path / "suite.yaml", "--out", tmp_path / "run"]
    both = [start(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=patience(120))[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], told
    rows = list(store.read_rows(tmp_path / "run" / store.RECORDS))
    assert [row["repeat"] for row in rows] == [0, 1]
